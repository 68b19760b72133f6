//! The plain vision transformer that FS-VFM, MAE and DINO share: sizes, positions, blocks, checkpoint names.
//!
//! What differs between them (fixed or learned positions, pooling, norms, checkpoint layouts) stays in their plugins.
//! Keys are timm's: `cls_token, pos_embed, patch_embed.proj.*, blocks.{i}.*`.

use super::{Block, PatchEmbed, sincos};
use crate::{Context, Ctx, Init, Params, Result, Tensor, bail, choice};

choice! {
    /// Named sizes. Explicit dimensions in the settings override their parts.
    pub enum Size {
        /// 64 px, patch 8, width 96, depth 4, 3 heads: minutes on a laptop; not a published size
        Micro = "micro",
        /// ViT-S/16
        Small = "small",
        /// ViT-B/16
        Base = "base",
        /// ViT-L/16
        Large = "large",
        /// ViT-H/14
        Huge = "huge",
    }
}

/// Dimensions of a vision transformer, all decided.
#[derive(Clone, Debug, PartialEq)]
pub struct VitDims {
    /// Input side in pixels.
    pub image: usize,
    /// Patch side in pixels.
    pub patch: usize,
    /// D.
    pub width: usize,
    /// Blocks.
    pub depth: usize,
    /// Attention heads.
    pub heads: usize,
}

/// Dimensions that settings may override.
#[derive(Clone, Copy, Debug, Default)]
pub struct Overrides {
    /// Input side in pixels.
    pub image: Option<usize>,
    /// Patch side in pixels.
    pub patch: Option<usize>,
    /// D.
    pub width: Option<usize>,
    /// Blocks.
    pub depth: Option<usize>,
    /// Attention heads.
    pub heads: Option<usize>,
}

impl VitDims {
    /// The published dimensions of a size (method.md 3.1), with overrides. `small_heads` is 12 for FS-VFM and 6 for
    /// everybody else.
    ///
    /// Errors: dimensions that do not divide.
    pub fn resolve(size: Size, small_heads: usize, over: Overrides) -> Result<Self> {
        let (image, patch, width, depth, heads) = match size {
            Size::Micro => (64, 8, 96, 4, 3),
            Size::Small => (224, 16, 384, 12, small_heads),
            Size::Base => (224, 16, 768, 12, 12),
            Size::Large => (224, 16, 1024, 24, 16),
            Size::Huge => (224, 14, 1280, 32, 16),
        };
        let dims = Self { image, patch, width, depth, heads }.with(over)?;
        if dims.width % 4 != 0 {
            bail!("width {} is not a multiple of 4, which sine-cosine positions need", dims.width);
        }
        Ok(dims)
    }

    /// These dimensions with overrides.
    ///
    /// Errors: dimensions that do not divide.
    pub fn with(self, over: Overrides) -> Result<Self> {
        let dims = Self {
            image: over.image.unwrap_or(self.image),
            patch: over.patch.unwrap_or(self.patch),
            width: over.width.unwrap_or(self.width),
            depth: over.depth.unwrap_or(self.depth),
            heads: over.heads.unwrap_or(self.heads),
        };
        let Self { image, patch, width, depth, heads } = dims;
        if [image, patch, width, depth, heads].contains(&0) {
            bail!(
                "image {image}, patch {patch}, width {width}, depth {depth}, heads {heads}: all must be positive"
            );
        }
        if image % patch != 0 {
            bail!("image {image} is not a multiple of patch {patch}");
        }
        if width % heads != 0 {
            bail!("width {width} is not a multiple of {heads} heads");
        }
        Ok(dims)
    }

    /// Patch rows and columns.
    pub fn grid(&self) -> (usize, usize) {
        (self.image / self.patch, self.image / self.patch)
    }

    /// N, the number of patches.
    pub fn patches(&self) -> usize {
        self.grid().0 * self.grid().1
    }
}

/// Where the position table comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Positions {
    /// Sine–cosine values that stay.
    Fixed,
    /// Sine–cosine values that train from there on.
    FromSincos,
    /// Learned from N(0, 0.02²), cut at ±2.
    Learned,
}

/// How a vision transformer starts and regularises.
#[derive(Clone, Copy, Debug)]
pub struct VitOptions {
    /// The position table.
    pub positions: Positions,
    /// Start of the linear weights in the blocks.
    pub linear: Init,
    /// Start of the cls token.
    pub cls: Init,
    /// Stochastic depth of the last block, rising linearly from 0 at the first; active while training.
    pub drop_path: f64,
}

/// Patch embedding, positions, cls token, blocks. No final norm, no pooling.
pub struct Vit {
    dims: VitDims,
    patch_embed: PatchEmbed,
    cls_token: Tensor, // (1, 1, D)
    pos_embed: Tensor, // (1, 1+N, D)
    blocks: Vec<Block>,
}

impl Vit {
    /// Builds the encoder on parameters named as in timm checkpoints.
    pub fn new(dims: VitDims, options: VitOptions, p: &Params) -> Result<Self> {
        let (d, shape) = (dims.width, [1, 1 + dims.patches(), dims.width]);
        if !(0.0..1.0).contains(&options.drop_path) {
            bail!("drop_path {} is not in [0, 1)", options.drop_path);
        }
        let pos_embed = match options.positions {
            Positions::Fixed => p.get_values("pos_embed", shape, &sincos(d, dims.grid()), false)?,
            Positions::FromSincos => p.get_values("pos_embed", shape, &sincos(d, dims.grid()), true)?,
            Positions::Learned => p.get("pos_embed", shape, Init::trunc_normal(0.02))?,
        };
        let last = (dims.depth - 1).max(1) as f64;
        let block = |i: usize| {
            let drop = options.drop_path * i as f64 / last;
            Block::new(d, 4 * d, dims.heads, drop, options.linear, &p.pp("blocks").pp(i))
        };
        Ok(Self {
            patch_embed: PatchEmbed::new(dims.patch, d, &p.pp("patch_embed.proj"))?,
            cls_token: p.get("cls_token", [1, 1, d], options.cls)?,
            pos_embed,
            blocks: (0..dims.depth).map(block).collect::<Result<_>>()?,
            dims,
        })
    }

    /// (B,3,H,W) → (B,N,D) with positions, or (B,n,D) for the visible patches `keep` (B,n) u32.
    ///
    /// Images may be smaller than the backbone's (the local views of multi-crop training): the position table is then
    /// interpolated bicubically to their grid, with gradients.
    pub fn embed(&self, images: &Tensor, keep: Option<&Tensor>) -> Result<Tensor> {
        let (b, _, h, w) = images.dims4()?;
        let (side, patch) = (self.dims.image, self.dims.patch);
        let resized = h <= side && w <= side && h % patch == 0 && w % patch == 0 && h * w > 0;
        if (h, w) != (side, side) && !resized {
            bail!(
                "images of {h}x{w}, expected {side}x{side}\nhint: set `image` of the backbone or of the data"
            );
        }
        let (d, old, new) = (self.dims.width, self.dims.grid(), (h / patch, w / patch));
        let n = new.0 * new.1;
        let tokens = self.patch_embed.forward(images, keep).context("patch_embed")?;
        let mut positions = self.pos_embed.narrow(1, 1, self.dims.patches())?; // (1, N, D)
        if new != old {
            let grids = [old.0, old.1, new.0, new.1].map(|side| side as f64);
            positions = Tensor::call("regrid_positions", &[&positions], &grids)?;
        }
        match keep {
            Some(keep) => tokens + positions.broadcast([b, n, d])?.gather_tokens(keep),
            None => tokens + positions,
        }
    }

    /// (B,n,D) → (B,1+n,D): cls token with its position in front, then all blocks.
    pub fn encode(&self, tokens: &Tensor, ctx: &Ctx) -> Result<Tensor> {
        let (b, _, d) = tokens.dims3()?;
        let cls = (&self.cls_token + self.pos_embed.narrow(1, 0, 1))?.broadcast([b, 1, d])?;
        let mut x = Tensor::cat(&[&cls, tokens], 1)?; // (B, 1+n, D)
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.forward(&x, ctx).context(format_args!("block {i}"))?;
        }
        Ok(x)
    }
}

/// The mean of the patch tokens, cls left out: (B,1+n,D) → (B,D).
pub fn mean_of_patches(tokens: &Tensor) -> Result<Tensor> {
    let n = tokens.dim(1)?;
    tokens.narrow(1, 1, n - 1)?.mean(1)
}

/// Layer-wise decay groups of timm names: embedding 0, block i → i+1, everything else depth+1 (method.md 5.1).
pub fn layer_id(depth: usize, name: &str) -> usize {
    let tokens = ["cls_token", "dist_token", "reg_token", "pos_embed"];
    if tokens.contains(&name) || name.starts_with("patch_embed.") || name.starts_with("norm_pre.") {
        return 0;
    }
    let block = name.strip_prefix("blocks.").and_then(|rest| rest.split('.').next());
    block.and_then(|i| i.parse::<usize>().ok()).map_or(depth + 1, |i| i + 1)
}

/// The names of a backbone made of [`Vit`], for tests and key maps: encoder only, no norm.
pub fn names(depth: usize) -> Vec<String> {
    let mut names: Vec<String> =
        ["cls_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias"]
            .map(String::from)
            .into();
    for i in 0..depth {
        for part in ["norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2"] {
            names.push(format!("blocks.{i}.{part}.weight"));
            names.push(format!("blocks.{i}.{part}.bias"));
        }
    }
    names
}

/// Declares the settings of a vision transformer: a named size, the dimensions that override its parts, what the
/// component has of its own, and `drop_path`. `overrides()` gives the dimensions.
/// `vit_config! { /// Settings.
/// pub struct MyConfig(vit::Size = vit::Size::Base) { /// its own
/// pooling: Pooling = Pooling::Mean, } }`.
#[macro_export]
macro_rules! vit_config {
    ($(#[$meta:meta])* $vis:vis struct $Name:ident($Size:ty = $size:expr) {
        $( $(#[doc = $doc:literal])* $field:ident : $ty:ty = $default:expr ),* $(,)?
    }) => {
        $crate::config! {
            $(#[$meta])*
            $vis struct $Name {
                /// named size; the dimensions below override its parts
                size: $Size = $size,
                /// input side in pixels
                image: Option<usize> = None,
                /// patch side in pixels
                patch: Option<usize> = None,
                /// width of a token
                width: Option<usize> = None,
                /// number of blocks
                depth: Option<usize> = None,
                /// attention heads
                heads: Option<usize> = None,
                $( $(#[doc = $doc])* $field: $ty = $default, )*
                /// stochastic depth of the last block while tuning
                drop_path: f64 = 0.0,
            }
        }

        impl $Name {
            /// The dimensions that were given.
            fn overrides(&self) -> $crate::nn::vit::Overrides {
                let Self { image, patch, width, depth, heads, .. } = *self;
                $crate::nn::vit::Overrides { image, patch, width, depth, heads }
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_the_published_ones() {
        let small = VitDims::resolve(Size::Small, 12, Overrides::default()).unwrap();
        assert_eq!(small, VitDims { image: 224, patch: 16, width: 384, depth: 12, heads: 12 });
        let huge = VitDims::resolve(Size::Huge, 12, Overrides::default()).unwrap();
        assert_eq!((huge.patches(), huge.width / huge.heads), (256, 80));
    }

    #[test]
    fn overrides_are_checked() {
        let over = Overrides { heads: Some(5), ..Overrides::default() };
        let e = VitDims::resolve(Size::Micro, 6, over).unwrap_err().to_string();
        assert_eq!(e, "width 96 is not a multiple of 5 heads");
        let over = Overrides { image: Some(60), ..Overrides::default() };
        assert!(
            VitDims::resolve(Size::Micro, 6, over).unwrap_err().to_string().contains("multiple of patch")
        );
    }

    /// method.md 5.1: B with decay 0.65 has embed 0.65^13 and block 11 at 0.65.
    #[test]
    fn layer_ids_follow_the_published_rule() {
        let scale = |name| 0.65f64.powi(13 - layer_id(12, name) as i32);
        assert!((scale("pos_embed") - 0.003_697).abs() < 1e-6);
        assert!((scale("blocks.11.mlp.fc2.bias") - 0.65).abs() < 1e-12);
        assert!((scale("fc_norm.weight") - 1.0).abs() < 1e-12);
    }
}
