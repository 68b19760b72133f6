//! Dropout and stochastic depth, drawing from a named stream.
use crate::error::{Error, Result};
use crate::rng::Rng;
use candle_core::Tensor;

/// Zeroes each element with probability `p` and scales the rest by `1/(1-p)`. `p = 0` is free.
pub fn dropout(x: &Tensor, p: f64, rng: &mut Rng) -> Result<Tensor> {
    scale_random(x, p, rng, "dropout", x.dims())
}

/// Stochastic depth (Huang et al., 2016): drops whole samples of the batch with probability `p`
/// and scales the kept ones by `1/(1-p)`. `x: (B, …)`.
pub fn drop_path(x: &Tensor, p: f64, rng: &mut Rng) -> Result<Tensor> {
    let mut dims = vec![1; x.rank()];
    if let (Some(first), Some(&batch)) = (dims.first_mut(), x.dims().first()) {
        *first = batch;
    }
    scale_random(x, p, rng, "drop_path", &dims)
}

fn scale_random(x: &Tensor, p: f64, rng: &mut Rng, op: &'static str, dims: &[usize]) -> Result<Tensor> {
    if !(0.0..1.0).contains(&p) {
        return Err(Error::argument(op, "a probability in [0, 1)", p.to_string()));
    }
    if p == 0.0 {
        return Ok(x.clone());
    }
    let keep = (1.0 / (1.0 - p)) as f32;
    let count = dims.iter().product::<usize>();
    let factors: Vec<f32> = (0..count).map(|_| if rng.uniform() < p { 0.0 } else { keep }).collect();
    let factors = Tensor::from_vec(factors, dims, x.device())?.to_dtype(x.dtype())?;
    Ok(x.broadcast_mul(&factors)?)
}
