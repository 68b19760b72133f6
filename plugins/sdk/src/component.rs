//! The three kinds of component and what their calls receive.

use facebench_abi::describe::{BackboneInfo, FeatureSpec, KeyMap, Scope};

use crate::{Config, Ctx, Params, Result, Rng, Tensor, nn};

/// What every component has.
pub trait Component: Send + Sync + Sized + 'static {
    /// Unique among components of its kind; what experiments write.
    const NAME: &'static str;
    /// One line for `plugin list`.
    const SUMMARY: &'static str;
    /// Settings, declared with [`config!`](macro@crate::config).
    type Config: Config;
}

/// An encoder: images → tokens → one vector.
///
/// Pre-training calls `embed` (visible patches only) → `encode` → `norm`; everything downstream calls `embed` (all patches)
/// → `encode` → `pool`. `ctx.purpose()` says which, so that `create` asks for the parameters of one of the two only.
pub trait Backbone: Component {
    /// What is known before any weight exists.
    fn info(cfg: &Self::Config) -> Result<BackboneInfo>;

    /// Builds it on the program's parameters.
    fn create(cfg: Self::Config, p: &Params, ctx: &Ctx) -> Result<Self>;

    /// Images (B,3,H,W) → patch tokens with positions added: (B,N,D), or (B,n,D) for the visible patches `keep` (B,n) u32.
    fn embed(&self, images: &Tensor, keep: Option<&Tensor>, ctx: &Ctx) -> Result<Tensor>;

    /// Patch tokens (B,n,D) → the last block's output (B,1+n,D), cls first, no final norm.
    fn encode(&self, tokens: &Tensor, ctx: &Ctx) -> Result<Tensor>;

    /// The encoder's final norm, any shape (…,D). Only called for [`Purpose::PRETRAIN`](crate::Purpose::PRETRAIN).
    fn norm(&self, tokens: &Tensor) -> Result<Tensor>;

    /// Tokens (B,1+n,D) → features (B,D), as the published model pools. Only called downstream.
    fn pool(&self, tokens: &Tensor) -> Result<Tensor>;

    /// Group of a parameter for layer-wise learning-rate decay: 0 embedding, i+1 block i, depth+1 the rest (method.md 5.1).
    fn layer_id(cfg: &Self::Config, name: &str) -> Result<usize> {
        Ok(nn::vit::layer_id(Self::info(cfg)?.depth, name))
    }

    /// Published checkpoint layouts, most specific first.
    fn layouts(cfg: &Self::Config) -> Result<Vec<KeyMap>>;
}

/// A masking strategy: a pure function of its input.
pub trait Masking: Component {
    /// Checks the settings.
    fn create(cfg: Self::Config) -> Result<Self>;

    /// Whether it cannot work without a parsing map.
    fn needs_parsing(&self) -> bool;

    /// Fills `mask` (1 = removed; exactly [`MaskInput::count`] ones) and `region` (1 = covered region, part of the mask).
    /// Both have one byte per patch, row-major, and arrive filled with zeros.
    fn mask(&self, input: &MaskInput, mask: &mut [u8], region: &mut [u8]) -> Result<()>;
}

/// What turns features into logits.
///
/// A head that needs something measured on the training set asks, in `create`, for a fixed tensor
/// ([`Params::get_values`], `trainable: false`) of one of these names; the program fills it before training and keeps
/// it with the head: `fit.mean` and `fit.std` (D), statistics of the pooled features; `fit.features`
/// (samples, D) and `fit.labels` (samples), all of them.
pub trait Head: Component {
    /// Builds it on the program's parameters.
    fn create(cfg: Self::Config, p: &Params, features: &FeatureSpec, ctx: &Ctx) -> Result<Self>;

    /// Which parameters train with this head.
    fn scope(&self) -> Scope {
        Scope::All
    }

    /// Whether `forward` looks at [`Features::tokens`]. Say no and the program need not keep them.
    fn reads_tokens(&self) -> bool {
        true
    }

    /// Own parameters (out, in) whose columns are scaled to unit length before every forward pass, by their full names.
    fn unit_columns(&self) -> Vec<String> {
        Vec::new()
    }

    /// Features → logits [real, fake], and whatever the loss needs.
    fn forward(&self, f: &Features, ctx: &Ctx) -> Result<HeadOutput>;

    /// An extra loss term, already weighted; `labels` (B,) i64 with 1 = fake. None for most heads.
    fn loss(&self, _out: &HeadOutput, _labels: &Tensor, _ctx: &Ctx) -> Result<Option<Tensor>> {
        Ok(None)
    }
}

/// A face-parsing map, one label per pixel, row-major.
#[derive(Clone, Copy, Debug)]
pub struct ParsingView<'a> {
    /// `height * width` labels of [`face::LABELS`](crate::face::LABELS).
    pub labels: &'a [u8],
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

/// What a masking strategy decides from.
#[derive(Clone, Copy, Debug)]
pub struct MaskInput<'a> {
    /// The parsing map, if there is one.
    pub parsing: Option<ParsingView<'a>>,
    /// Patch rows and columns.
    pub grid: (usize, usize),
    /// Share of patches to remove.
    pub ratio: f64,
    /// Key of [`MaskInput::patches`].
    pub patches_key: [u64; 2],
    /// Key of [`MaskInput::region`].
    pub region_key: [u64; 2],
}

impl MaskInput<'_> {
    /// N, the number of patches.
    pub fn n(&self) -> usize {
        self.grid.0 * self.grid.1
    }

    /// How many patches to remove: ratio · N, rounded to the nearest integer, halves up.
    ///
    /// The published code truncates and is only exact when ratio · N is an integer (method.md 2.3); this rule agrees there.
    pub fn count(&self) -> Result<usize> {
        if !(0.0..1.0).contains(&self.ratio) {
            crate::bail!("mask ratio {} is not in [0, 1)", self.ratio);
        }
        Ok((self.ratio * self.n() as f64).round() as usize)
    }

    /// The predicates of every patch from the parsing map (see [`face::patch_regions`](crate::face::patch_regions)).
    ///
    /// Errors: no map, or one that does not fit the grid.
    pub fn predicates(&self) -> Result<Vec<u8>> {
        let Some(map) = &self.parsing else { crate::bail!("a face-parsing map is needed and there is none") };
        let mut out = vec![0; self.n()];
        crate::face::patch_regions(map, self.grid, &mut out)?;
        Ok(out)
    }

    /// Stream for choices among patches: one per sample.
    pub fn patches(&self) -> Rng {
        Rng::new(self.patches_key)
    }

    /// Stream for the choice of a region: per sample, or shared by a batch, as the caller decides.
    pub fn region(&self) -> Rng {
        Rng::new(self.region_key)
    }
}

/// What a head sees of a batch.
#[derive(Clone, Debug)]
pub struct Features {
    /// (B, D), as the backbone pools.
    pub pooled: Tensor,
    /// (B, 1+N, D), the last block's output, cls first; of no use to heads that say they do not read it.
    pub tokens: Tensor,
}

/// What a head says.
#[derive(Clone, Debug)]
pub struct HeadOutput {
    /// (B, C): [real, fake].
    pub logits: Tensor,
    /// Whatever [`Head::loss`] needs.
    pub embedding: Option<Tensor>,
}

impl HeadOutput {
    /// Logits alone.
    pub fn logits(logits: Tensor) -> Self {
        Self { logits, embedding: None }
    }
}
