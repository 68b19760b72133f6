//! Images to patch vectors.
//!
//! [`patchify`] orders a patch like the weights of a convolution, so that the patch embedding is
//! one matrix product. [`patch_targets`] orders it like the pixel targets of MAE.
use crate::error::{Error, Result};
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
    // (B, C, gh, p, gw, p): candle permutes at most six dimensions, which is exactly enough
    let x = images.reshape(vec![b, c, gh, p, gw, p])?.permute(order.to_vec())?;
    Ok(x.reshape((b, gh * gw, c * p * p))?)
}
