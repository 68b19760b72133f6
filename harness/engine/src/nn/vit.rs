//! The plain ViT (Dosovitskiy et al., arXiv 2010.11929) with timm's parameter names.
//!
//! Parts are separate (`embed`, `encode`, `pool`, `head`) so that masked pre-training can encode
//! visible patches only. Pooling is the mean of the patch tokens followed by `fc_norm`, or the
//! final `norm` on the cls token.
use super::{Block, LayerNorm, Linear};
use crate::error::Result;
use crate::ops;
use crate::params::{Init, ParamStore};
use candle_core::{D, Tensor};

/// How tokens become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// Mean of the patch tokens, then `fc_norm`.
    Mean,
    /// `norm`, then the cls token.
    Cls,
}

/// Sizes of a ViT.
#[derive(Clone, Debug)]
pub struct VitConfig {
    /// Side of the square input image, pixels.
    pub image: usize,
    /// Side of a patch, pixels.
    pub patch: usize,
    /// Width D.
    pub width: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Attention heads.
    pub heads: usize,
    /// Classes of the linear head.
    pub classes: usize,
    /// Pooling.
    pub pool: Pool,
}

impl VitConfig {
    /// Patches per side.
    pub fn grid(&self) -> usize {
        self.image / self.patch
    }
}

/// A ViT with its parameters.
#[derive(Clone, Debug)]
pub struct Vit {
    cls_token: Tensor,    // (1, 1, D)
    pos_embed: Tensor,    // (1, 1+N, D)
    patch_weight: Tensor, // (D, 3, p, p)
    patch_bias: Tensor,   // (D)
    blocks: Vec<Block>,
    norm: LayerNorm, // `norm` or `fc_norm`
    head: Linear,
    config: VitConfig,
}

/// Added to the variance in every layer norm of the ViT.
const EPS: f64 = 1e-6;

impl Vit {
    /// Creates every parameter below `prefix` (empty, or ending in a dot).
    pub fn new(p: &ParamStore, prefix: &str, config: &VitConfig) -> Result<Self> {
        let (d, patch, n) = (config.width, config.patch, config.grid() * config.grid());
        let key = |name: &str| format!("{prefix}{name}");
        let init = Init::TruncNormal { std: 0.02 };
        let norm = if config.pool == Pool::Mean { "fc_norm" } else { "norm" };
        Ok(Self {
            cls_token: p.get(&key("cls_token"), (1, 1, d), &init)?,
            pos_embed: p.get(&key("pos_embed"), (1, 1 + n, d), &init)?,
            patch_weight: p.get(&key("patch_embed.proj.weight"), (d, 3, patch, patch), &Init::FanIn)?,
            patch_bias: p.get(
                &key("patch_embed.proj.bias"),
                d,
                &Init::Uniform { bound: 1.0 / ((3 * patch * patch) as f64).sqrt() },
            )?,
            blocks: (0..config.depth)
                .map(|i| Block::new(p, &key(&format!("blocks.{i}")), d, config.heads, 4 * d, EPS, &init))
                .collect::<Result<_>>()?,
            norm: LayerNorm::new(p, &key(norm), d, EPS)?,
            head: Linear::new(p, &key("head"), d, config.classes, &init)?,
            config: config.clone(),
        })
    }

    /// Patch tokens with positions. `images: (B, 3, H, W)`, `keep: (B, n)` u32 visible patches →
    /// `(B, n or N, D)`.
    pub fn embed(&self, images: &Tensor, keep: Option<&Tensor>) -> Result<Tensor> {
        let d = self.config.width;
        let mut patches = ops::patchify(images, self.config.patch)?; // (B, N, 3pp)
        let (b, n, c) = patches.dims3()?;
        let mut positions = self.pos_embed.narrow(1, 1, n)?; // (1, N, D)
        if let Some(keep) = keep {
            patches = ops::gather_tokens(&patches, keep)?;
            positions = ops::gather_tokens(&positions.broadcast_as((b, n, d))?, keep)?;
        }
        let tokens = ops::linear(&patches, &self.patch_weight.reshape((d, c))?, Some(&self.patch_bias))?;
        Ok(tokens.broadcast_add(&positions)?)
    }

    /// Prepends the cls token and runs the blocks. `(B, n, D)` → `(B, 1+n, D)`, no final norm.
    pub fn encode(&self, tokens: &Tensor) -> Result<Tensor> {
        let (b, _, d) = tokens.dims3()?;
        let cls = self.cls_token.add(&self.pos_embed.narrow(1, 0, 1)?)?.broadcast_as((b, 1, d))?;
        let mut x = Tensor::cat(&[&cls, tokens], 1)?;
        for block in &self.blocks {
            x = block.forward(&x, None)?;
        }
        Ok(x)
    }

    /// `(B, 1+n, D)` → `(B, D)` as the configuration says.
    pub fn pool(&self, tokens: &Tensor) -> Result<Tensor> {
        let (_, n, _) = tokens.dims3()?;
        let pooled = match self.config.pool {
            Pool::Mean => tokens.narrow(1, 1, n - 1)?.mean(1)?,
            Pool::Cls => tokens.narrow(1, 0, 1)?.squeeze(1)?,
        };
        self.norm.forward(&pooled)
    }

    /// Images to class logits. `(B, 3, H, W)` → `(B, classes)`.
    pub fn forward(&self, images: &Tensor) -> Result<Tensor> {
        let tokens = self.encode(&self.embed(images, None)?)?;
        self.head.forward(&self.pool(&tokens)?)
    }

    /// Probability of class `class`. `(B, 3, H, W)` → `(B)`.
    pub fn probability(&self, images: &Tensor, class: usize) -> Result<Tensor> {
        Ok(ops::softmax(&self.forward(images)?, 1)?.narrow(D::Minus1, class, 1)?.squeeze(1)?)
    }
}
