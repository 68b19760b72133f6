//! The reconstruction loss of masked pre-training.
//!
//! On the CPU one operation: the squared error of each masked patch is read once forward and once
//! backward, and patches outside the mask are not read at all.
use super::fast;
use crate::cuda;
use crate::error::{Error, Result};
use crate::kernels::math::{map3, sum2};
use crate::kernels::parallel::{self, Shared};
use crate::kernels::scratch::uninit;
use crate::kernels::{Isa, Kernel, dispatch, level};
use candle_core::{CpuStorage, CustomOp1, D, Layout, Shape, Tensor};

/// `Σ mask·mean((pred-target)²) / Σ mask`, the mean over the last dimension. `pred, target:
/// (B, N, C)`, `mask: (B, N)` of 0 and 1. An empty mask gives 0 with zero gradient.
pub fn masked_mse(pred: &Tensor, target: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let (b, n, _) = pred.dims3()?;
    if target.dims() != pred.dims() || mask.dims() != [b, n] {
        let got = format!("pred {:?}, target {:?}, mask {:?}", pred.dims(), target.dims(), mask.dims());
        return Err(Error::argument("masked_mse", "pred and target (B, N, C), mask (B, N)", got));
    }
    if cuda::applies(pred, &[target]) && !fast::tracked(&[target, mask]) {
        return cuda::masked_mse(pred, target, &mask.to_device(pred.device())?);
    }
    let mask = mask.to_dtype(pred.dtype())?;
    if fast::applies(&[pred, target, &mask]) && !fast::tracked(&[target, &mask]) {
        let pred = pred.contiguous()?;
        let mask = mask.flatten_all()?.to_vec1::<f32>()?;
        let total: f64 = mask.iter().map(|&m| f64::from(m)).sum();
        let op =
            MaskedOp { target: target.contiguous()?, mask, total: if total == 0.0 { 1.0 } else { total } };
        return Ok(if pred.track_op() { pred.apply_op1(op)? } else { pred.apply_op1_no_bwd(&op)? });
    }
    let per_patch = pred.sub(target)?.sqr()?.mean(D::Minus1)?; // (B, N)
    let count = mask.sum_all()?;
    let empty = count.eq(0.0)?.to_dtype(count.dtype())?; // avoids 0/0
    Ok(per_patch.mul(&mask)?.sum_all()?.div(&(count + empty)?)?)
}

struct MaskedOp {
    target: Tensor,
    mask: Vec<f32>,
    total: f64,
}

impl MaskedOp {
    /// Calls `f(patch, target)` for every masked patch, patches in parallel.
    fn each(&self, width: usize, f: impl Fn(usize, &[f32]) + Sync + Send) -> candle_core::Result<()> {
        fast::with(&self.target, |target| {
            let patches = self.mask.len();
            let piece = parallel::piece(patches, 8);
            parallel::for_each(patches.div_ceil(piece), target.len(), |task| {
                for patch in task * piece..patches.min((task + 1) * piece) {
                    if self.mask[patch] != 0.0 {
                        f(patch, &target[patch * width..][..width]);
                    }
                }
            });
            Ok(())
        })
    }
}

impl CustomOp1 for MaskedOp {
    fn name(&self) -> &'static str {
        "masked-mse"
    }

    fn cpu_fwd(&self, pred: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let pred = fast::values(pred, layout)?;
        let width = pred.len() / self.mask.len().max(1);
        let mut errors = vec![0.0f32; self.mask.len()];
        let out = Shared::new(&mut errors);
        self.each(width, |patch, target| {
            let pred = &pred[patch * width..][..width];
            // SAFETY: each patch has its own entry; the instruction set is available.
            unsafe { *out.get().add(patch) = dispatch(level(), Distance { pred, target }) / width as f32 };
        })?;
        let sum: f64 = errors.iter().zip(&self.mask).map(|(&e, &m)| f64::from(e) * f64::from(m)).sum();
        Ok((CpuStorage::F32(vec![(sum / self.total) as f32]), Shape::from(())))
    }

    fn bwd(&self, pred: &Tensor, _loss: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let grad = f64::from(grad.to_scalar::<f32>()?);
        let width = pred.elem_count() / self.mask.len().max(1);
        let mut dx = uninit(pred.elem_count());
        let out = Shared::new(&mut dx);
        fast::with(pred, |pred| {
            for (patch, mask) in self.mask.iter().enumerate() {
                if *mask == 0.0 {
                    // SAFETY: nothing else runs yet.
                    unsafe { out.slice(patch * width, width) }.fill(0.0);
                }
            }
            self.each(width, |patch, target| {
                let factor = (2.0 * grad * f64::from(self.mask[patch]) / (self.total * width as f64)) as f32;
                let pred = &pred[patch * width..][..width];
                // SAFETY: each patch has its own part of the gradient.
                unsafe {
                    dispatch(level(), Slope { pred, target, factor, out: out.slice(patch * width, width) });
                };
            })
        })?;
        Ok(Some(fast::tensor(dx, pred.shape())?))
    }
}

struct Distance<'a> {
    pred: &'a [f32],
    target: &'a [f32],
}

impl Kernel for Distance<'_> {
    type Output = f32;
    #[inline(always)]
    unsafe fn run<I: Isa>(self) -> f32 {
        sum2(self.pred, self.target, |p, t| (p - t) * (p - t))
    }
}

struct Slope<'a> {
    pred: &'a [f32],
    target: &'a [f32],
    factor: f32,
    out: &'a mut [f32],
}

impl Kernel for Slope<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<I: Isa>(self) {
        map3(self.out, self.pred, self.target, |_, p, t| self.factor * (p - t));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device, Var};

    #[test]
    fn an_empty_mask_gives_zero_and_no_slope() {
        for dtype in [DType::F32, DType::F64] {
            let pred = Var::ones((2, 3, 4), dtype, &Device::Cpu).unwrap();
            let target = pred.as_detached_tensor().zeros_like().unwrap();
            let mask = Tensor::zeros((2, 3), dtype, &Device::Cpu).unwrap();
            let loss = masked_mse(&pred, &target, &mask).unwrap();
            assert_eq!(loss.to_dtype(DType::F64).unwrap().to_scalar::<f64>().unwrap(), 0.0);
            let grads = crate::backward(&loss).unwrap();
            let slope = grads.get(&pred).unwrap().abs().unwrap().sum_all().unwrap();
            assert_eq!(slope.to_dtype(DType::F64).unwrap().to_scalar::<f64>().unwrap(), 0.0);
        }
    }
}
