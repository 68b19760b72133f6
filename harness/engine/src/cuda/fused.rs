//! Self-attention by cuDNN: forward and backward on the packed bf16 projection, by strides.
//!
//! No reordering of heads and no scores in memory. When a gradient will be asked for, the graph keeps the result, which
//! it keeps anyway, and the log-sum-exp of each row of scores, `(B, H, N)` in f32. A forward pass is cuDNN's only if
//! its backward pass is, too. The backward pass is cuDNN's deterministic one.
use super::cudnn::{self, Cudnn, Pass, Problem};
use super::launch::{Fresh, at, empty};
use super::{flat, node};
use crate::error::Result;
use candle_core::{DType, Device, Tensor};

/// What computes bf16 attention on packed projections on this device: `cudnn` with its version, or `composition` on a
/// GPU without it. On the CPU it is our kernel, in f32: `cpu`.
#[must_use]
pub fn attention_kind(device: &Device) -> &'static str {
    match cudnn::on(device) {
        Some(cudnn) => cudnn.name(),
        None if device.is_cpu() => "cpu",
        None => "composition",
    }
}

/// [`crate::ops::attention_qkv`] of a contiguous `(B, N, 3D)` → `(B, N, D)`; `None` where it is not cuDNN's to do.
pub(super) fn attention_qkv(qkv: &Tensor, heads: usize) -> Result<Option<Tensor>> {
    if qkv.dtype() != DType::BF16 {
        return Ok(None);
    }
    let Some(cudnn) = cudnn::on(qkv.device()) else { return Ok(None) };
    let (batch, tokens, c3) = qkv.dims3()?;
    let width = c3 / 3 / heads;
    let tracked = qkv.track_op() && crate::grad::records();
    let pass = if tracked { Pass::ForwardStats } else { Pass::Forward };
    let forward = Problem { batch, tokens, heads, width, pass };
    let backward = Problem { pass: Pass::Backward, ..forward };
    if !cudnn.can(&forward)? || (tracked && !cudnn.can(&backward)?) {
        return Ok(None);
    }
    let out = Fresh::new(qkv, (batch, tokens, heads * width), DType::BF16)?;
    let stats = match tracked {
        true => Some(empty(qkv, (batch, heads, tokens), DType::F32)?),
        false => None,
    };
    let input = aligned(qkv)?;
    let [q, k, v] = parts(&input, &forward)?;
    let stats_at = stats.as_ref().map_or(Ok(0), at)?;
    // SAFETY: q, k and v of shape (B, H, N, d) lie in the packed projection at the strides of the problem; the result
    // and the stats are ours and of the sizes it writes.
    unsafe { cudnn.run(&forward, &input, &[q, k, v, cudnn::fresh(&out)?, 0, 0, 0, 0, stats_at]) }?;
    let Some(stats) = stats else {
        return node::one("cudnn-attention", &qkv.detach(), out, |_, _, _| Ok(None)).map(Some);
    };
    node::one("cudnn-attention", qkv, out, move |qkv, y, g| {
        gradient(cudnn, &backward, [qkv, y, g], &stats).map(Some)
    })
    .map(Some)
}

/// Gradient of the packed projection: `[qkv, y, dy]` → `(B, N, 3D)`.
fn gradient(cudnn: &Cudnn, problem: &Problem, [qkv, y, g]: [&Tensor; 3], stats: &Tensor) -> Result<Tensor> {
    let (input, y, g) = (aligned(qkv)?, aligned(y)?, aligned(&g.to_dtype(qkv.dtype())?)?);
    let out = empty(qkv, qkv.shape(), qkv.dtype())?;
    let [q, k, v] = parts(&input, problem)?;
    let [dq, dk, dv] = parts(&out, problem)?;
    // SAFETY: as in the forward pass; the gradient is a fresh tensor laid out as the projection.
    unsafe { cudnn.run(problem, &input, &[q, k, v, at(&y)?, at(&g)?, dq, dk, dv, at(stats)?]) }?;
    Ok(out)
}

/// Addresses of the three parts of a packed tensor.
fn parts(packed: &Tensor, p: &Problem) -> Result<[u64; 3]> {
    let (start, bytes) = (at(packed)?, (p.heads * p.width * 2) as u64);
    Ok([0, 1, 2].map(|part| start + part * bytes))
}

/// The values contiguous, outside any graph, from an address that cuDNN takes.
fn aligned(t: &Tensor) -> Result<Tensor> {
    let t = flat(t)?;
    Ok(if at(&t)?.is_multiple_of(16) { t } else { t.force_contiguous()? })
}
