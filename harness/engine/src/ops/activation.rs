//! GELU and softmax.
use super::composite;
use crate::error::Result;
use candle_core::Tensor;

/// Exact (erf) GELU, elementwise.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    composite::gelu(x)
}

/// Softmax over dimension `dim`.
pub fn softmax(x: &Tensor, dim: usize) -> Result<Tensor> {
    composite::softmax(x, dim)
}
