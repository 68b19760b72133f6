//! The same operations written as compositions of candle operations.
//!
//! This is the definition of each operation: any float dtype, any device, gradients by candle's
//! autograd. The fast kernels are tested against it in f32, and it is tested against finite
//! differences in f64. Half-precision statistics are computed in f32.
use crate::error::Result;
use candle_core::{CpuStorage, CustomOp1, D, DType, Layout, Shape, Tensor};

/// `x wᵀ + b` over the last dimension. `x: (…, I)`, `w: (O, I)`, `b: (O)` → `(…, O)`.
pub fn linear(x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Tensor> {
    let mut dims = x.dims().to_vec();
    let (out, inner) = w.dims2()?;
    let rows = x.elem_count() / inner.max(1);
    let y = x.reshape((rows, inner))?.matmul(&w.t()?)?;
    if let Some(last) = dims.last_mut() {
        *last = out;
    }
    let y = y.reshape(dims)?;
    Ok(match b {
        Some(b) => y.broadcast_add(b)?,
        None => y,
    })
}

/// Layer normalisation over the last dimension with biased variance (Ba et al., 2016).
pub fn layer_norm(x: &Tensor, w: &Tensor, b: &Tensor, eps: f64) -> Result<Tensor> {
    let dtype = x.dtype();
    let inner = if matches!(dtype, DType::F16 | DType::BF16) { DType::F32 } else { dtype };
    let x = x.to_dtype(inner)?;
    let x = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let var = x.sqr()?.mean_keepdim(D::Minus1)?;
    let x = x.broadcast_div(&(var + eps)?.sqrt()?)?.to_dtype(dtype)?;
    Ok(x.broadcast_mul(w)?.broadcast_add(b)?)
}

/// Softmax over `dim`; the subtracted maximum carries no gradient.
pub fn softmax(x: &Tensor, dim: usize) -> Result<Tensor> {
    let shifted = x.broadcast_sub(&x.max_keepdim(dim)?.detach())?;
    let e = shifted.exp()?;
    Ok(e.broadcast_div(&e.sum_keepdim(dim)?)?)
}

/// Logarithm of the softmax over `dim`.
pub fn log_softmax(x: &Tensor, dim: usize) -> Result<Tensor> {
    let shifted = x.broadcast_sub(&x.max_keepdim(dim)?.detach())?;
    let log_sum = shifted.exp()?.sum_keepdim(dim)?.log()?;
    Ok(shifted.broadcast_sub(&log_sum)?)
}

/// Exact (erf) GELU, `x Φ(x)`. On the CPU an elementwise custom operation, because the gradient of
/// candle's own has constants rounded to six digits.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() && matches!(x.dtype(), DType::F32 | DType::F64) {
        return Ok(x.contiguous()?.apply_op1(ExactGelu { derivative: false })?);
    }
    Ok(x.gelu_erf()?)
}

/// `softmax(q kᵀ · scale) v` for `(B, H, N, d)` tensors.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, scale: f64) -> Result<Tensor> {
    Ok(attention_weights(q, k, scale)?.matmul(&v.contiguous()?)?)
}

/// `softmax(q kᵀ · scale)` for `(B, H, N, d)` tensors → `(B, H, N, N)`.
pub fn attention_weights(q: &Tensor, k: &Tensor, scale: f64) -> Result<Tensor> {
    let scores = q.contiguous()?.matmul(&k.t()?.contiguous()?)?.affine(scale, 0.0)?;
    let last = scores.rank() - 1;
    softmax(&scores, last)
}

/// Multi-head self-attention on a packed `(B, N, 3·H·d)` projection, order `(3, H, d)`, scaled by
/// `d^-½` → `(B, N, H·d)`.
pub fn attention_qkv(qkv: &Tensor, heads: usize) -> Result<Tensor> {
    let (b, n, c3) = qkv.dims3()?;
    let d = c3 / 3 / heads;
    let qkv = qkv.reshape((b, n, 3, heads, d))?.permute((2, 0, 3, 1, 4))?; // (3, B, H, N, d)
    let (q, k, v) = (qkv.get(0)?, qkv.get(1)?, qkv.get(2)?);
    let y = attention(&q, &k, &v, 1.0 / (d as f64).sqrt())?; // (B, H, N, d)
    Ok(y.transpose(1, 2)?.reshape((b, n, heads * d))?)
}

/// GELU or its derivative, elementwise in the precision of the input.
struct ExactGelu {
    derivative: bool,
}

fn gelu_value(x: f64, derivative: bool) -> f64 {
    let cdf = 0.5 * candle_core::cpu::erf::erfc_f64(-x * std::f64::consts::FRAC_1_SQRT_2);
    if derivative {
        let pdf =
            (-0.5 * x * x).exp() * 0.5 * std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2;
        cdf + x * pdf
    } else {
        x * cdf
    }
}

impl CustomOp1 for ExactGelu {
    fn name(&self) -> &'static str {
        "exact-gelu"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let Some((start, end)) = layout.contiguous_offsets() else {
            candle_core::bail!("exact-gelu: the input must be contiguous");
        };
        let out = match storage {
            CpuStorage::F32(v) => CpuStorage::F32(
                v[start..end].iter().map(|&x| gelu_value(f64::from(x), self.derivative) as f32).collect(),
            ),
            CpuStorage::F64(v) => {
                CpuStorage::F64(v[start..end].iter().map(|&x| gelu_value(x, self.derivative)).collect())
            }
            _ => candle_core::bail!("exact-gelu: the input must be f32 or f64"),
        };
        Ok((out, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let slope = x.apply_op1_no_bwd(&Self { derivative: true })?;
        Ok(Some(grad.mul(&slope)?))
    }
}
