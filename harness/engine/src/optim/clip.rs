//! The global norm of gradients, and clipping to it.
use super::inplace::{AddOp, ScaleOp, direct, square_sum};
use crate::cuda::optim as cuda;
use crate::error::Result;
use candle_core::backprop::GradStore;
use candle_core::{DType, Tensor, Var};

/// √Σ‖g‖² over the gradients of `params`, accumulated in f64 in the order given.
pub fn global_norm(grads: &GradStore, params: &[(String, Var)]) -> Result<f64> {
    let gradients: Vec<&Tensor> = params.iter().filter_map(|(_, var)| grads.get(var)).collect();
    if !gradients.is_empty() && gradients.iter().all(|grad| cuda::reads(grad)) {
        return Ok(cuda::square_sums(&gradients)?.iter().sum::<f64>().sqrt());
    }
    let mut square = 0.0;
    for (_, var) in params {
        if let Some(grad) = grads.get(var) {
            square += if direct(grad) {
                square_sum(grad)?
            } else {
                grad.to_dtype(DType::F64)?.sqr()?.sum_all()?.to_scalar::<f64>()?
            };
        }
    }
    Ok(square.sqrt())
}

/// Scales the gradients of `params` so that their global norm is at most `max_norm`, with PyTorch's
/// factor `max_norm / (norm + 1e-6)` where that is below 1. Returns the norm before clipping; if it
/// is not finite nothing is scaled.
pub fn clip_global_norm(grads: &mut GradStore, params: &[(String, Var)], max_norm: f64) -> Result<f64> {
    let norm = global_norm(grads, params)?;
    let factor = max_norm / (norm + 1e-6);
    if factor < 1.0 && norm.is_finite() {
        scale_gradients(grads, params, factor)?;
    }
    Ok(norm)
}

/// Multiplies the gradients of `params` by `factor`, in place where they are plain f32 tensors.
pub fn scale_gradients(grads: &mut GradStore, params: &[(String, Var)], factor: f64) -> Result<()> {
    for (_, var) in params {
        let Some(grad) = grads.get(var) else { continue };
        if direct(grad) {
            grad.inplace_op1(&ScaleOp { factor: factor as f32 })?;
        } else if cuda::applies(grad) {
            cuda::scale(grad, factor)?;
        } else {
            let scaled = (grad * factor)?;
            grads.insert(var, scaled);
        }
    }
    Ok(())
}

/// Adds the gradients of `params` in `more` to those in `grads`: accumulation over micro-batches, in place where they are
/// plain f32 tensors.
pub fn accumulate_gradients(
    grads: &mut GradStore,
    more: &mut GradStore,
    params: &[(String, Var)],
) -> Result<()> {
    for (_, var) in params {
        let Some(new) = more.remove(var) else { continue };
        let total = match grads.remove(var) {
            Some(old) if direct(&old) && direct(&new) => {
                old.inplace_op2(&new, &AddOp)?;
                old
            }
            Some(old) if cuda::applies(&old) && cuda::reads(&new) => {
                cuda::add(&old, &new)?;
                old
            }
            Some(old) => old.add(&new)?,
            None => new,
        };
        grads.insert(var, total);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn setup(dtype: DType) -> (GradStore, Vec<(String, Var)>) {
        let make = |v: &[f64]| {
            Var::from_tensor(&candle_core::Tensor::new(v, &Device::Cpu).unwrap().to_dtype(dtype).unwrap())
                .unwrap()
        };
        let (a, b) = (make(&[3.0]), make(&[0.0, 2.0]));
        // gradient of (a² + Σ b²)/2 is (3; 0, 2)
        let loss = ((a.sqr().unwrap().sum_all().unwrap() + b.sqr().unwrap().sum_all().unwrap()).unwrap()
            / 2.0)
            .unwrap();
        (crate::backward(&loss).unwrap(), vec![("a".into(), a), ("b".into(), b)])
    }

    #[test]
    fn norms_and_clipping() {
        for dtype in [DType::F32, DType::F64] {
            let (mut grads, params) = setup(dtype);
            let norm = 13f64.sqrt();
            assert!((global_norm(&grads, &params).unwrap() - norm).abs() < 1e-12);
            assert!((clip_global_norm(&mut grads, &params, 10.0).unwrap() - norm).abs() < 1e-12);
            assert!(
                (global_norm(&grads, &params).unwrap() - norm).abs() < 1e-12,
                "below the limit nothing moves"
            );
            clip_global_norm(&mut grads, &params, 1.0).unwrap();
            assert!((global_norm(&grads, &params).unwrap() - norm / (norm + 1e-6)).abs() < 1e-7);
        }
    }

    #[test]
    fn accumulation_adds() {
        let (mut grads, params) = setup(DType::F32);
        let loss = (params[0].1.sum_all().unwrap() * 5.0).unwrap();
        let mut more = crate::backward(&loss).unwrap();
        accumulate_gradients(&mut grads, &mut more, &params).unwrap();
        assert_eq!(grads.get(&params[0].1).unwrap().to_vec1::<f32>().unwrap(), [8.0]);
        assert_eq!(grads.get(&params[1].1).unwrap().to_vec1::<f32>().unwrap(), [0.0, 2.0]);
    }
}
