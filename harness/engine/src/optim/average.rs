//! Exponential moving average of parameters: the target network of BYOL-style training.
use crate::error::{Error, Result};
use crate::params::ParamStore;

/// `target ← m·target + (1-m)·online` for every parameter of `target`, fixed tables included.
/// A parameter the online store does not have is an error.
pub fn ema_update(target: &ParamStore, online: &ParamStore, m: f64) -> Result<()> {
    let source = online.tensors();
    for (name, var) in target.variables() {
        let Some(value) = source.get(&name) else {
            return Err(Error::argument("ema_update", format!("an online parameter {name}"), "none"));
        };
        let mixed = ((var.as_detached_tensor() * m)? + (value * (1.0 - m))?)?;
        var.set(&mixed)?;
    }
    Ok(())
}
