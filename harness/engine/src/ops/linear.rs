//! Affine maps, optionally followed by GELU.
use super::composite;
use crate::error::Result;
use candle_core::Tensor;

/// `x wᵀ + b` over the last dimension. `x: (…, I)`, `w: (O, I)`, `b: (O)` → `(…, O)`.
pub fn linear(x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Tensor> {
    composite::linear(x, w, b)
}

/// `gelu(x wᵀ + b)` with the exact (erf) GELU; shapes as [`linear`].
pub fn linear_gelu(x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Tensor> {
    composite::gelu(&composite::linear(x, w, b)?)
}
