//! Exponential moving average of parameters: the target network of BYOL-style training.
use super::inplace::{AverageOp, direct};
use crate::cuda::optim as cuda;
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
        if direct(&var) && direct(value) {
            var.inplace_op2(value, &AverageOp { m: m as f32 })?;
        } else if cuda::applies(&var) && cuda::applies(value) {
            cuda::average(&var, value, m)?;
        } else {
            let mixed = ((var.as_detached_tensor() * m)? + (value * (1.0 - m))?)?;
            var.set(&mixed)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::Init;
    use candle_core::{DType, Device};

    #[test]
    fn the_twin_moves_towards_the_online_network() {
        for dtype in [DType::F32, DType::F64] {
            let online = ParamStore::new(&Device::Cpu, dtype, 0);
            let w = online.get("w", 3, &Init::ONES).unwrap();
            let target = online.detached_copy().unwrap();
            let t = target.get("w", 3, &Init::ZEROS).unwrap();
            online.set_all(&[("w".to_owned(), (w * 3.0).unwrap())].into()).unwrap();
            ema_update(&target, &online, 0.75).unwrap();
            let got = t.to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap();
            assert!(got.iter().all(|v| (v - 1.5).abs() < 1e-7), "{got:?}");
        }
    }

    #[test]
    fn a_parameter_without_a_partner_is_an_error() {
        let (a, b) =
            (ParamStore::new(&Device::Cpu, DType::F32, 0), ParamStore::new(&Device::Cpu, DType::F32, 0));
        a.get("w", 1, &Init::ONES).unwrap();
        assert!(ema_update(&a, &b, 0.5).unwrap_err().to_string().contains("an online parameter w"));
    }
}
