//! Taking gradients.
use crate::error::Result;
use candle_core::Tensor;
use candle_core::backprop::GradStore;

/// Gradients of the scalar `loss` with respect to every variable it depends on.
pub fn backward(loss: &Tensor) -> Result<GradStore> {
    Ok(loss.backward()?)
}
