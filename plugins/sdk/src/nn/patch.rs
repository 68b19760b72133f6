//! Patch embedding: a convolution with kernel = stride = patch, computed as one matrix product.
//!
//! Faster than the convolution, backward included, and only the visible patches need to be projected. The weight keeps
//! the convolution's shape (D, 3, P, P), so checkpoints load unchanged.

use crate::{Init, Params, Result, Tensor};

/// Images → patch tokens, keys `weight` (D, 3, P, P) and `bias` (D).
pub struct PatchEmbed {
    weight: Tensor, // (D, 3, P, P)
    bias: Tensor,   // (D)
    patch: usize,
    width: usize,
}

impl PatchEmbed {
    /// Xavier-uniform on the (D, 3P²) view; the bias keeps PyTorch's convolution start (method.md 3.10).
    pub fn new(patch: usize, width: usize, p: &Params) -> Result<Self> {
        let fan_in = 3 * patch * patch;
        Ok(Self {
            weight: p.get("weight", [width, 3, patch, patch], Init::XAVIER)?,
            bias: p.get("bias", width, Init::torch_default(fan_in))?,
            patch,
            width,
        })
    }

    /// (B,3,H,W) → (B,N,D), or (B,n,D) for the patches `keep` (B,n).
    pub fn forward(&self, images: &Tensor, keep: Option<&Tensor>) -> Result<Tensor> {
        let patches = images.patchify(self.patch)?; // (B, N, 3P²)
        let patches = match keep {
            Some(keep) => patches.gather_tokens(keep)?, // (B, n, 3P²)
            None => patches,
        };
        let weight = self.weight.reshape((self.width, 3 * self.patch * self.patch))?;
        patches.linear(&weight, Some(&self.bias))
    }
}
