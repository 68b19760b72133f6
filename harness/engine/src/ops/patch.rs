//! Images to patch vectors.
//!
//! [`patchify`] orders a patch like the weights of a convolution, so that the patch embedding is
//! one matrix product. [`patch_targets`] orders it like the pixel targets of MAE.
use super::fast;
use crate::cuda;
use crate::error::{Error, Result};
use crate::kernels::parallel::{self, Shared};
use crate::kernels::scratch::uninit;
use candle_core::{D, Tensor};

/// Patch vectors in `(c, y, x)` order. `images: (B, C, H, W)` → `(B, N, C·p·p)`, patches row-major.
pub fn patchify(images: &Tensor, p: usize) -> Result<Tensor> {
    unfold(images, p, "patchify", [0, 2, 4, 1, 3, 5])
}

/// Patch vectors in `(y, x, c)` order, the pixel targets of MAE. `(B, C, H, W)` → `(B, N, p·p·C)`.
pub fn patch_targets(images: &Tensor, p: usize) -> Result<Tensor> {
    unfold(images, p, "patch_targets", [0, 2, 4, 3, 5, 1])
}

/// Targets normalised per patch: `(t - mean)/sqrt(var + 1e-6)` over the last dimension, variance
/// unbiased (MAE's `norm_pix_loss`).
pub fn normalise_pixels(targets: &Tensor) -> Result<Tensor> {
    if cuda::applies(targets, &[])
        && let Some(y) = cuda::normalise_pixels(targets)?
    {
        return Ok(y);
    }
    let n = targets.dim(D::Minus1)? as f64;
    let centred = targets.broadcast_sub(&targets.mean_keepdim(D::Minus1)?)?;
    let var = (centred.sqr()?.sum_keepdim(D::Minus1)? / (n - 1.0))?;
    Ok(centred.broadcast_div(&(var + 1e-6)?.sqrt()?)?)
}

fn unfold(images: &Tensor, p: usize, op: &'static str, order: [usize; 6]) -> Result<Tensor> {
    let (b, c, h, w) = images.dims4()?;
    if p == 0 || h % p != 0 || w % p != 0 {
        return Err(Error::argument(
            op,
            format!("sides divisible by the patch side {p}"),
            format!("{h} x {w}"),
        ));
    }
    let (gh, gw) = (h / p, w / p);
    if fast::applies(&[images]) && !images.track_op() {
        // pixels carry no gradient: copy straight into place
        let interleaved = order[5] == 1;
        let out = fast::with(images, |x| Ok(copy(x, [b, c, h, w], p, interleaved)))?;
        return Ok(fast::tensor(out, (b, gh * gw, c * p * p))?);
    }
    let x = images.reshape(vec![b, c, gh, p, gw, p])?.permute(order.to_vec())?;
    Ok(x.reshape((b, gh * gw, c * p * p))?)
}

fn copy(x: &[f32], [b, c, h, w]: [usize; 4], p: usize, interleaved: bool) -> Vec<f32> {
    let (gh, gw) = (h / p, w / p);
    let len = c * p * p;
    let mut out = uninit(x.len());
    let shared = Shared::new(&mut out);
    parallel::for_each(b * gh, x.len(), |task| {
        let (image, gy) = (task / gh.max(1), task % gh.max(1));
        // SAFETY: each task writes one row of patches of one image.
        let row = unsafe { shared.slice(task * gw * len, gw * len) };
        for (gx, patch) in row.chunks_exact_mut(len).enumerate() {
            for ch in 0..c {
                for y in 0..p {
                    let from = &x[((image * c + ch) * h + gy * p + y) * w + gx * p..][..p];
                    if interleaved {
                        for (i, v) in from.iter().enumerate() {
                            patch[(y * p + i) * c + ch] = *v;
                        }
                    } else {
                        patch[(ch * p + y) * p..][..p].copy_from_slice(from);
                    }
                }
            }
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn copying_equals_permuting() {
        let values: Vec<f32> = (0..2 * 3 * 8 * 12).map(|i| i as f32).collect();
        let var = Var::from_tensor(&Tensor::from_vec(values, (2, 3, 8, 12), &Device::Cpu).unwrap()).unwrap();
        for f in [patchify, patch_targets] {
            let fast = f(&var.as_detached_tensor(), 4).unwrap().to_vec3::<f32>().unwrap();
            assert_eq!(fast, f(&var, 4).unwrap().to_vec3::<f32>().unwrap());
        }
    }

    #[test]
    fn normalised_targets_have_unit_unbiased_variance() {
        let t = Tensor::new(&[[1.0f64, 2.0, 4.0, 9.0]], &Device::Cpu).unwrap();
        let t = normalise_pixels(&t).unwrap().to_vec2::<f64>().unwrap();
        let square: f64 = t[0].iter().map(|v| v * v).sum();
        assert!(t[0].iter().sum::<f64>().abs() < 1e-12 && (square / 3.0 - 1.0).abs() < 1e-6);
    }

    #[test]
    fn a_side_that_does_not_divide_is_refused() {
        let x = Tensor::zeros((1, 3, 8, 9), candle_core::DType::F32, &Device::Cpu).unwrap();
        let error = patchify(&x, 4).unwrap_err().to_string();
        assert_eq!(error, "patchify: expected sides divisible by the patch side 4, got 8 x 9");
    }
}
