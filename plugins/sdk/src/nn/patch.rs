//! Patch embedding: a convolution with kernel = stride = patch, computed as one matrix product.
//!
//! Faster than the convolution, backward included, and only the visible patches need to be projected. The weight keeps
//! the convolution's shape (D, 3, P, P), so checkpoints load unchanged.

use crate::{Init, Params, Result, Tensor};

/// Images → patch tokens, keys `weight` (D, 3, P, P) and, where there is one, `bias` (D).
pub struct PatchEmbed {
    weight: Tensor,       // (D, 3, P, P)
    bias: Option<Tensor>, // (D)
    patch: usize,
    width: usize,
}

impl PatchEmbed {
    /// Xavier-uniform on the (D, 3P²) view; the bias keeps PyTorch's convolution start (method.md 3.10).
    pub fn new(patch: usize, width: usize, p: &Params) -> Result<Self> {
        let bias = p.get("bias", width, Init::torch_default(3 * patch * patch))?;
        Ok(Self { bias: Some(bias), ..Self::no_bias(patch, width, p)? })
    }

    /// The same without a bias.
    pub fn no_bias(patch: usize, width: usize, p: &Params) -> Result<Self> {
        let weight = p.get("weight", [width, 3, patch, patch], Init::XAVIER)?;
        Ok(Self { weight, bias: None, patch, width })
    }

    /// (B,3,H,W) → (B,N,D), or (B,n,D) for the patches `keep` (B,n).
    pub fn forward(&self, images: &Tensor, keep: Option<&Tensor>) -> Result<Tensor> {
        let patches = images.patchify(self.patch)?; // (B, N, 3P²)
        let patches = match keep {
            Some(keep) => patches.gather_tokens(keep)?, // (B, n, 3P²)
            None => patches,
        };
        let weight = self.weight.reshape((self.width, 3 * self.patch * self.patch))?;
        patches.linear(&weight, self.bias.as_ref())
    }
}
