//! The global norm of gradients, and clipping to it.
use crate::error::Result;
use candle_core::backprop::GradStore;
use candle_core::{DType, Var};

/// √Σ‖g‖² over the gradients of `params`, accumulated in f64 in the order given.
pub fn global_norm(grads: &GradStore, params: &[(String, Var)]) -> Result<f64> {
    let mut square = 0.0;
    for (_, var) in params {
        if let Some(grad) = grads.get(var) {
            square += grad.to_dtype(DType::F64)?.sqr()?.sum_all()?.to_scalar::<f64>()?;
        }
    }
    Ok(square.sqrt())
}

/// Scales the gradients of `params` so that their global norm is at most `max_norm`, with PyTorch's
/// factor `max_norm / (norm + 1e-6)` where that is below 1. Returns the norm before clipping.
pub fn clip_global_norm(grads: &mut GradStore, params: &[(String, Var)], max_norm: f64) -> Result<f64> {
    let norm = global_norm(grads, params)?;
    let factor = max_norm / (norm + 1e-6);
    if factor < 1.0 {
        scale_gradients(grads, params, factor)?;
    }
    Ok(norm)
}

/// Multiplies the gradients of `params` by `factor`.
pub fn scale_gradients(grads: &mut GradStore, params: &[(String, Var)], factor: f64) -> Result<()> {
    for (_, var) in params {
        if let Some(grad) = grads.remove(var) {
            grads.insert(var, (grad * factor)?);
        }
    }
    Ok(())
}
