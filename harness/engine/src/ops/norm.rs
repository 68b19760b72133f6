//! Layer normalisation and unit vectors.
use super::composite;
use crate::error::Result;
use candle_core::Tensor;

/// Layer normalisation over the last dimension: `(x - mean)/sqrt(var + eps)·w + b`, biased
/// variance. `x: (…, D)`, `w, b: (D)`.
pub fn layer_norm(x: &Tensor, w: &Tensor, b: &Tensor, eps: f64) -> Result<Tensor> {
    composite::layer_norm(x, w, b, eps)
}

/// `x / max(‖x‖₂, eps)` with the norm along `dim`, as in `torch.nn.functional.normalize`. Where
/// the norm is below `eps` the denominator is the constant `eps`; the gradient is finite there.
pub fn normalise(x: &Tensor, dim: usize, eps: f64) -> Result<Tensor> {
    // sqrt has an infinite slope at 0, so the square is clamped before the root
    let square = x.sqr()?.sum_keepdim(dim)?.maximum(eps * eps)?;
    Ok(x.broadcast_div(&square.sqrt()?)?)
}
