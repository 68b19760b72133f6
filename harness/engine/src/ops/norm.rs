//! Layer normalisation and unit vectors.
use super::{composite, fast, half};
use crate::cuda;
use crate::error::{Error, Result};
use crate::kernels::scratch::uninit;
use crate::kernels::{level, rows};
use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Tensor};

/// Layer normalisation over the last dimension: `(x - mean)/sqrt(var + eps)·w + b`, biased
/// variance. `x: (…, D)`, `w, b: (D)`.
pub fn layer_norm(x: &Tensor, w: &Tensor, b: &Tensor, eps: f64) -> Result<Tensor> {
    if x.dims().last() != w.dims().first() || w.rank() != 1 || b.dims() != w.dims() {
        let got = format!("x {:?}, w {:?}, b {:?}", x.dims(), w.dims(), b.dims());
        return Err(Error::argument("layer_norm", "x (.., D), w (D), b (D)", got));
    }
    if cuda::applies(x, &[w, b]) {
        return match cuda::layer_norm(x, w, b, eps)? {
            Some(y) => Ok(y),
            None => composite::layer_norm(x, &w.to_dtype(x.dtype())?, &b.to_dtype(x.dtype())?, eps),
        };
    }
    if half::on_cpu(x) {
        return half::in_f32(x, [w, b], |x, [w, b]| layer_norm(x, &w, &b, eps));
    }
    if !fast::applies(&[x, w, b]) || x.elem_count() == 0 {
        return composite::layer_norm(x, w, b, eps);
    }
    let (x, w, b) = (x.contiguous()?, w.contiguous()?, b.contiguous()?);
    let op = NormOp { eps: eps as f32 };
    Ok(if fast::tracked(&[&x, &w, &b]) { x.apply_op3(&w, &b, op)? } else { x.apply_op3_no_bwd(&w, &b, &op)? })
}

struct NormOp {
    eps: f32,
}

impl CustomOp3 for NormOp {
    fn name(&self) -> &'static str {
        "fused-layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
        b: &CpuStorage,
        lb: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let x = fast::values(x, lx)?;
        let mut y = uninit(x.len());
        rows::layer_norm(level(), x, fast::values(w, lw)?, fast::values(b, lb)?, &mut y, self.eps);
        Ok((CpuStorage::F32(y), lx.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _y: &Tensor,
        g: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let mut dx = uninit(x.elem_count());
        let weights = fast::tracked(&[w, b]);
        let sums = fast::with(x, |x| {
            fast::with(w, |w| {
                fast::with(g, |g| {
                    Ok(rows::layer_norm_backward(level(), (x, w, g), &mut dx, false, self.eps, weights))
                })
            })
        })?;
        let (mut dw, mut db) = (None, None);
        if let Some((sw, sb)) = sums {
            dw = if w.track_op() { fast::parameter(w, sw)? } else { None };
            db = if b.track_op() { fast::parameter(b, sb)? } else { None };
        }
        let dx = if x.track_op() { Some(fast::tensor(dx, x.shape())?) } else { None };
        Ok((dx, dw, db))
    }
}

/// `x / max(‖x‖₂, eps)` with the norm along `dim`, as in `torch.nn.functional.normalize`. Where
/// the norm is below `eps` the denominator is the constant `eps`; the gradient is finite there.
pub fn normalise(x: &Tensor, dim: usize, eps: f64) -> Result<Tensor> {
    // sqrt has an infinite slope at 0, so the square is clamped before the root
    let square = x.sqr()?.sum_keepdim(dim)?.maximum(eps * eps)?;
    Ok(x.broadcast_div(&square.sqrt()?)?)
}
