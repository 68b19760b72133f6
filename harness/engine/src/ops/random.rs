//! Dropout and stochastic depth, drawing from a named stream.
use super::fast;
use crate::cuda;
use crate::error::{Error, Result};
use crate::kernels::parallel::{self, Shared};
use crate::kernels::scratch::uninit;
use crate::rng::Rng;
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};

/// Zeroes each element with probability `p` and scales the rest by `1/(1-p)`. `p = 0` is free.
pub fn dropout(x: &Tensor, p: f64, rng: &mut Rng) -> Result<Tensor> {
    scale_random(x, p, rng, "dropout", x.elem_count())
}

/// Stochastic depth (Huang et al., 2016): drops whole samples of the batch with probability `p`
/// and scales the kept ones by `1/(1-p)`. `x: (B, …)`.
pub fn drop_path(x: &Tensor, p: f64, rng: &mut Rng) -> Result<Tensor> {
    scale_random(x, p, rng, "drop_path", x.dims().first().copied().unwrap_or(1))
}

/// The factors [`drop_path`] would use for a batch: 0 with probability `p`, else `1/(1-p)`.
pub fn path_scales(batch: usize, p: f64, rng: &mut Rng) -> Vec<f32> {
    let keep = (1.0 / (1.0 - p)) as f32;
    (0..batch).map(|_| if rng.uniform() < p { 0.0 } else { keep }).collect()
}

/// Multiplies equal parts of `x` by `count` random factors.
fn scale_random(x: &Tensor, p: f64, rng: &mut Rng, op: &'static str, count: usize) -> Result<Tensor> {
    if !(0.0..1.0).contains(&p) {
        return Err(Error::argument(op, "a probability in [0, 1)", p.to_string()));
    }
    if p == 0.0 || x.elem_count() == 0 {
        return Ok(x.clone());
    }
    if cuda::applies(x, &[]) && rng.position().is_multiple_of(2) {
        return cuda::scale_random(x, p, rng, count);
    }
    let factors = path_scales(count, p, rng);
    if !fast::applies(&[x]) {
        let mut dims = vec![1; x.rank()];
        if count == x.elem_count() {
            dims = x.dims().to_vec();
        } else if let Some(first) = dims.first_mut() {
            *first = count;
        }
        let factors = Tensor::from_vec(factors, dims, x.device())?.to_dtype(x.dtype())?;
        return Ok(x.broadcast_mul(&factors)?);
    }
    let x = x.contiguous()?;
    let op = Parts { factors };
    Ok(if x.track_op() { x.apply_op1(op)? } else { x.apply_op1_no_bwd(&op)? })
}

/// Multiplies equal consecutive parts by constant factors.
struct Parts {
    factors: Vec<f32>,
}

impl Parts {
    fn scale(&self, x: &[f32]) -> Vec<f32> {
        let part = x.len() / self.factors.len();
        let mut y = uninit(x.len());
        let out = Shared::new(&mut y);
        let piece = parallel::piece(self.factors.len(), (1 << 14) / part.max(1));
        parallel::for_each(self.factors.len().div_ceil(piece), x.len(), |task| {
            for i in task * piece..self.factors.len().min((task + 1) * piece) {
                // SAFETY: tasks write disjoint parts.
                let out = unsafe { out.slice(i * part, part) };
                for (o, v) in out.iter_mut().zip(&x[i * part..]) {
                    *o = v * self.factors[i];
                }
            }
        });
        y
    }
}

impl CustomOp1 for Parts {
    fn name(&self) -> &'static str {
        "scale-parts"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(self.scale(fast::values(x, layout)?)), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, g: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let dx = fast::with(g, |g| Ok(self.scale(g)))?;
        Ok(Some(fast::tensor(dx, x.shape())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    #[test]
    fn kept_samples_keep_their_mean() {
        let x = Tensor::ones((4000, 2), DType::F32, &Device::Cpu).unwrap();
        let y = drop_path(&x, 0.25, &mut Rng::new("test", 0, &[])).unwrap().to_vec2::<f32>().unwrap();
        assert!(y.iter().all(|row| row[0] == row[1] && (row[0] == 0.0 || (row[0] - 4.0 / 3.0).abs() < 1e-6)));
        let dropped = y.iter().filter(|row| row[0] == 0.0).count();
        assert!((900..1100).contains(&dropped), "{dropped}");
    }

    #[test]
    fn a_probability_of_one_is_refused() {
        let x = Tensor::ones(3, DType::F32, &Device::Cpu).unwrap();
        let error = dropout(&x, 1.0, &mut Rng::new("test", 0, &[])).unwrap_err();
        assert_eq!(error.to_string(), "dropout: expected a probability in [0, 1), got 1");
    }
}
