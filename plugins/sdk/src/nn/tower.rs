//! The vision transformer with everything published models vary: activation, biases, LayerScale, registers, pre-norm,
//! relative positions. The plain one of MAE and FS-VFM is [`vit::Vit`](super::vit::Vit).
//!
//! Names are timm's, whatever the published file says (a key map translates): `cls_token, dist_token, reg_token,
//! pos_embed, patch_embed.proj.*, norm_pre.*, blocks.{i}.{norm1,attn,ls1,norm2,mlp,ls2}.*`. A tower that differs from
//! the plain one in nothing runs on the program's fused blocks.
//!
//! LayerScale: Touvron et al., arXiv 2103.17239. Registers: Darcet et al., arXiv 2309.16588. SwiGLU: Shazeer, arXiv
//! 2002.05202. Relative positions with three extra entries for cls: Bao et al., arXiv 2106.08254.

use super::vit::VitDims;
use super::{Block, LayerNorm, Linear, PatchEmbed};
use crate::{BackboneInfo, Context, Ctx, Init, Params, Result, Tensor, bail};

/// What stands between the two layers of the block's MLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mlp {
    /// exact GELU
    Gelu,
    /// x · sigmoid(1.702 x), of OpenAI's CLIP
    QuickGelu,
    /// GELU by tanh, of JAX code bases
    GeluTanh,
    /// silu(a) · b with (a, b) one layer of twice the hidden width
    SwiGlu,
}

impl Mlp {
    /// The activation on (…, hidden), from `fc1` of (…, D).
    pub fn hidden(self, fc1: &Linear, x: &Tensor) -> Result<Tensor> {
        match self {
            Mlp::Gelu => fc1.forward_gelu(x),
            Mlp::QuickGelu => {
                let h = fc1.forward(x)?;
                &h * h.affine(1.702, 0.0)?.sigmoid()
            }
            Mlp::GeluTanh => gelu_tanh(&fc1.forward(x)?),
            Mlp::SwiGlu => {
                let h = fc1.forward(x)?;
                let half = h.dim(-1)? / 2;
                h.narrow(-1, 0, half)?.silu()? * h.narrow(-1, half, half)
            }
        }
    }
}

/// Biases of query, key and value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QkvBias {
    /// one of all three
    Full,
    /// `q_bias` and `v_bias`; keys have none
    QueryValue,
}

/// What the table of positions covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cover {
    /// the tokens before the patches (registers excepted) and the patches
    All,
    /// the patches
    Patches,
    /// there is none
    Nothing,
}

/// How a tower differs from the plain one.
#[derive(Clone, Copy, Debug)]
pub struct TowerOptions {
    /// Width of the MLP's hidden layer.
    pub hidden: usize,
    /// The MLP.
    pub mlp: Mlp,
    /// Added to variances in every norm.
    pub eps: f64,
    /// Whether the patch embedding has a bias.
    pub patch_bias: bool,
    /// Whether there is a norm before the blocks.
    pub pre_norm: bool,
    /// Biases of query, key and value.
    pub qkv_bias: QkvBias,
    /// Start of the LayerScale factors, if there are any.
    pub layer_scale: Option<f64>,
    /// Names of the tokens with a row of their own in the table of positions.
    pub tokens: &'static [&'static str],
    /// Number of registers, between those tokens and the patches.
    pub registers: usize,
    /// The table of positions.
    pub cover: Cover,
    /// Whether every block has a table of relative positions.
    pub relative: bool,
    /// Stochastic depth of the last block, rising linearly from 0; active while training.
    pub drop_path: f64,
}

impl TowerOptions {
    /// The plain vision transformer with a cls token and learned positions.
    pub fn plain(width: usize) -> Self {
        Self {
            hidden: 4 * width,
            mlp: Mlp::Gelu,
            eps: 1e-6,
            patch_bias: true,
            pre_norm: false,
            qkv_bias: QkvBias::Full,
            layer_scale: None,
            tokens: &["cls_token"],
            registers: 0,
            cover: Cover::All,
            relative: false,
            drop_path: 0.0,
        }
    }

    /// Tokens before the patches.
    pub fn prefix_tokens(&self) -> usize {
        self.tokens.len() + self.registers
    }
}

/// What the program must know of a backbone made of a tower.
pub fn info(
    dims: &VitDims,
    options: &TowerOptions,
    statistics: ([f32; 3], [f32; 3]),
    pooling: &str,
) -> BackboneInfo {
    BackboneInfo {
        image: dims.image,
        patch: dims.patch,
        grid: dims.grid(),
        width: dims.width,
        depth: dims.depth,
        heads: dims.heads,
        prefix_tokens: options.prefix_tokens(),
        mean: statistics.0,
        std: statistics.1,
        pooling: pooling.into(),
        pooled: None,
    }
}

/// Channel means and standard deviations of ImageNet.
pub const IMAGENET: ([f32; 3], [f32; 3]) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
/// To [−1, 1]: what TensorFlow's and JAX's models were trained with.
pub const HALF: ([f32; 3], [f32; 3]) = ([0.5; 3], [0.5; 3]);

/// Patch embedding, positions, tokens, blocks. No final norm, no pooling.
pub struct Tower {
    dims: VitDims,
    options: TowerOptions,
    patch_embed: PatchEmbed,
    tokens: Vec<Tensor>,       // (1, 1, D) each
    registers: Option<Tensor>, // (1, R, D)
    pos_embed: Option<Tensor>, // (1, rows + N, D)
    norm_pre: Option<LayerNorm>,
    blocks: Vec<AnyBlock>,
    relative: Vec<u32>, // (T · T) rows of the tables
}

/// A block of the program's own kernel, or one spelled out.
enum AnyBlock {
    Fused(Box<Block>),
    Open(Box<OpenBlock>),
}

impl Tower {
    /// Builds the encoder. Linear weights and tokens start from N(0, 0.02²) cut at ±2.
    pub fn new(dims: VitDims, options: TowerOptions, p: &Params) -> Result<Self> {
        let d = dims.width;
        if !(0.0..1.0).contains(&options.drop_path) {
            bail!("drop_path {} is not in [0, 1)", options.drop_path);
        }
        if options.hidden == 0 {
            bail!("the MLP's hidden width is 0");
        }
        let init = Init::trunc_normal(0.02);
        let rows = match options.cover {
            Cover::All => Some(options.tokens.len() + dims.patches()),
            Cover::Patches => Some(dims.patches()),
            Cover::Nothing => None,
        };
        let last = (dims.depth - 1).max(1) as f64;
        let fused = options.mlp == Mlp::Gelu
            && options.qkv_bias == QkvBias::Full
            && options.layer_scale.is_none()
            && !options.relative;
        let block = |i: usize| {
            let (drop, p) = (options.drop_path * i as f64 / last, p.pp("blocks").pp(i));
            Ok(if fused {
                let block = Block::new(d, options.hidden, dims.heads, drop, init, &p)?;
                AnyBlock::Fused(Box::new(block.with_eps(options.eps)))
            } else {
                AnyBlock::Open(Box::new(OpenBlock::new(&dims, &options, drop, &p)?))
            })
        };
        let patch = p.pp("patch_embed.proj");
        let count = options.registers;
        Ok(Self {
            patch_embed: if options.patch_bias {
                PatchEmbed::new(dims.patch, d, &patch)?
            } else {
                PatchEmbed::no_bias(dims.patch, d, &patch)?
            },
            tokens: options.tokens.iter().map(|n| p.get(n, [1, 1, d], init)).collect::<Result<_>>()?,
            registers: (count > 0)
                .then(|| p.get("reg_token", [1, count, d], Init::normal(1e-6)))
                .transpose()?,
            pos_embed: rows.map(|rows| p.get("pos_embed", [1, rows, d], init)).transpose()?,
            norm_pre: options
                .pre_norm
                .then(|| LayerNorm::with_eps(d, options.eps, &p.pp("norm_pre")))
                .transpose()?,
            blocks: (0..dims.depth).map(block).collect::<Result<_>>()?,
            relative: if options.relative { relative_index(dims.grid()) } else { Vec::new() },
            dims,
            options,
        })
    }

    fn own_rows(&self) -> usize {
        if self.options.cover == Cover::All { self.tokens.len() } else { 0 }
    }

    /// (B,3,H,W) → (B,N,D) with positions, or (B,n,D) for the visible patches `keep` (B,n) u32.
    pub fn embed(&self, images: &Tensor, keep: Option<&Tensor>) -> Result<Tensor> {
        let (b, _, h, w) = images.dims4()?;
        let side = self.dims.image;
        if (h, w) != (side, side) {
            bail!(
                "images of {h}x{w}, expected {side}x{side}\nhint: set `image` of the backbone or of the data"
            );
        }
        if keep.is_some() && self.options.relative {
            bail!("relative positions need every patch: this backbone cannot leave patches out");
        }
        let tokens = self.patch_embed.forward(images, keep).context("patch_embed")?;
        let Some(table) = &self.pos_embed else { return Ok(tokens) };
        let (n, d) = (self.dims.patches(), self.dims.width);
        let positions = table.narrow(1, self.own_rows(), n)?; // (1, N, D)
        match keep {
            Some(keep) => tokens + positions.broadcast([b, n, d])?.gather_tokens(keep),
            None => tokens + positions,
        }
    }

    /// (B,n,D) → (B,prefix+n,D): tokens with their positions and registers in front, then all blocks.
    pub fn encode(&self, patches: &Tensor, ctx: &Ctx) -> Result<Tensor> {
        let (b, _, d) = patches.dims3()?;
        let mut parts = Vec::new();
        for (i, token) in self.tokens.iter().enumerate() {
            let token = match &self.pos_embed {
                Some(table) if self.options.cover == Cover::All => (token + table.narrow(1, i, 1))?,
                _ => token.clone(),
            };
            parts.push(token.broadcast([b, 1, d])?);
        }
        if let Some(registers) = &self.registers {
            parts.push(registers.broadcast([b, self.options.registers, d])?);
        }
        parts.push(patches.clone());
        let mut x = Tensor::cat(&parts.iter().collect::<Vec<_>>(), 1)?; // (B, prefix + n, D)
        if let Some(norm) = &self.norm_pre {
            x = norm.forward(&x)?;
        }
        for (i, block) in self.blocks.iter().enumerate() {
            x = match block {
                AnyBlock::Fused(block) => block.forward(&x, ctx),
                AnyBlock::Open(block) => block.forward(&x, &self.relative, ctx),
            }
            .context(format_args!("block {i}"))?;
        }
        Ok(x)
    }

    /// The mean of the patch tokens: (B,prefix+N,D) → (B,D).
    pub fn mean_of_patches(&self, tokens: &Tensor) -> Result<Tensor> {
        let (n, prefix) = (tokens.dim(1)?, self.options.prefix_tokens());
        tokens.narrow(1, prefix, n - prefix)?.mean(1)
    }
}

/// `x += ls1·attn(norm1(x)); x += ls2·mlp(norm2(x))` with every variant spelled out.
struct OpenBlock {
    norm1: LayerNorm,
    qkv: Linear,
    query_value: Option<(Tensor, Tensor)>,
    table: Option<Tensor>, // ((2g−1)² + 3, heads)
    proj: Linear,
    norm2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    scales: Option<(Tensor, Tensor)>,
    mlp: Mlp,
    heads: usize,
    drop_path: f64,
}

impl OpenBlock {
    fn new(dims: &VitDims, o: &TowerOptions, drop_path: f64, p: &Params) -> Result<Self> {
        let (d, init) = (dims.width, Init::trunc_normal(0.02));
        let wide = if o.mlp == Mlp::SwiGlu { 2 * o.hidden } else { o.hidden };
        let (gh, gw) = dims.grid();
        let rows = (2 * gh - 1) * (2 * gw - 1) + 3;
        let attn = p.pp("attn");
        let scale = |name: &str, v: f64| p.pp(name).get("gamma", d, Init::constant(v));
        let full = o.qkv_bias == QkvBias::Full;
        Ok(Self {
            norm1: LayerNorm::with_eps(d, o.eps, &p.pp("norm1"))?,
            qkv: if full {
                Linear::with_init(d, 3 * d, init, &attn.pp("qkv"))?
            } else {
                Linear::no_bias(d, 3 * d, init, &attn.pp("qkv"))?
            },
            query_value: if full {
                None
            } else {
                Some((attn.get("q_bias", d, Init::ZEROS)?, attn.get("v_bias", d, Init::ZEROS)?))
            },
            table: if o.relative {
                Some(attn.get("relative_position_bias_table", [rows, dims.heads], Init::ZEROS)?)
            } else {
                None
            },
            proj: Linear::with_init(d, d, init, &attn.pp("proj"))?,
            norm2: LayerNorm::with_eps(d, o.eps, &p.pp("norm2"))?,
            fc1: Linear::with_init(d, wide, init, &p.pp("mlp.fc1"))?,
            fc2: Linear::with_init(o.hidden, d, init, &p.pp("mlp.fc2"))?,
            scales: o.layer_scale.map(|v| Ok((scale("ls1", v)?, scale("ls2", v)?))).transpose()?,
            mlp: o.mlp,
            heads: dims.heads,
            drop_path,
        })
    }

    fn forward(&self, x: &Tensor, relative: &[u32], ctx: &Ctx) -> Result<Tensor> {
        let scaled = |y: Tensor, scale: Option<&Tensor>| match scale {
            Some(scale) => (&y * scale)?.drop_path(self.drop_path, ctx),
            None => y.drop_path(self.drop_path, ctx),
        };
        let (first, second) = (self.scales.as_ref().map(|s| &s.0), self.scales.as_ref().map(|s| &s.1));
        let x = &x.observe_block_input();
        let y = self.attention(&self.norm1.forward(x)?, relative, ctx)?;
        let x = (x + scaled(y, first))?;
        let y = self.fc2.forward(&self.mlp.hidden(&self.fc1, &self.norm2.forward(&x)?)?)?;
        &x + scaled(y, second)
    }

    fn attention(&self, x: &Tensor, relative: &[u32], ctx: &Ctx) -> Result<Tensor> {
        let (b, t, d) = x.dims3()?;
        let qkv = match &self.query_value {
            None => self.qkv.forward(x)?,
            Some((q, v)) => {
                let bias = Tensor::cat(&[q, &q.affine(0.0, 0.0)?.detach()?, v], 0)?;
                x.linear(&self.qkv.weight, Some(&bias))?
            }
        };
        let y = match &self.table {
            None => qkv.attention_qkv(self.heads)?,
            Some(table) => {
                let index = ctx.from_u32(relative, relative.len())?;
                let bias = table.index_select(&index, 0)?.reshape((t, t, self.heads))?;
                let bias = bias.permute([2, 0, 1])?.reshape((1, self.heads, t, t))?;
                attention_with_bias(&qkv, self.heads, &bias)?
            }
        };
        self.proj.forward(&y.reshape((b, t, d))?)
    }
}

/// softmax(q kᵀ / √d + bias) v on packed (B, T, 3D), laid out as (3, H, d); `bias` (1, H, T, T).
fn attention_with_bias(qkv: &Tensor, heads: usize, bias: &Tensor) -> Result<Tensor> {
    let (b, t, wide) = qkv.dims3()?;
    let d = wide / 3 / heads;
    let qkv = qkv.reshape((b, t, 3, heads, d))?.permute([2, 0, 3, 1, 4])?; // (3, B, H, T, d)
    let part = |i: usize| qkv.select(0, i)?.contiguous();
    let (q, k, v) = (part(0)?, part(1)?, part(2)?);
    let scores = q.affine(1.0 / (d as f64).sqrt(), 0.0)?.matmul(&k.transpose(-2, -1)?.contiguous()?)?;
    let weights = (scores + bias)?.softmax(-1)?.observe_attention();
    weights.matmul(&v)?.permute([0, 2, 1, 3])?.contiguous()?.reshape((b, t, wide / 3))
}

/// 0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³))).
fn gelu_tanh(x: &Tensor) -> Result<Tensor> {
    let cube = (&x.sqr()? * x)?.affine(0.044_715, 0.0)?;
    let inner = (x + cube)?.affine((2.0 / std::f64::consts::PI).sqrt(), 0.0)?;
    inner.tanh()?.affine(0.5, 0.5)? * x
}

/// Row of the table for every (from, to) pair of cls and patches: offsets (dy, dx) row-major, then cls → patch, patch →
/// cls, cls → cls.
fn relative_index(grid: (usize, usize)) -> Vec<u32> {
    let (h, w) = grid;
    let (n, pairs) = (h * w, (2 * h - 1) * (2 * w - 1));
    let row = |from: usize, to: usize| match (from, to) {
        (0, 0) => pairs + 2,
        (0, _) => pairs,
        (_, 0) => pairs + 1,
        (from, to) => {
            let ((y, x), (v, u)) = (((from - 1) / w, (from - 1) % w), ((to - 1) / w, (to - 1) % w));
            (y + h - 1 - v) * (2 * w - 1) + (x + w - 1 - u)
        }
    };
    let pairs = (0..=n).flat_map(|from| (0..=n).map(move |to| (from, to)));
    // a table has fewer rows than u32 has values: (2g−1)² + 3 for a grid that fits in memory
    pairs.map(|(from, to)| u32::try_from(row(from, to)).unwrap_or(u32::MAX)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the BEiT paper's code: on a 2 × 2 grid patch 0 sees itself at the table's centre.
    #[test]
    fn relative_rows_of_a_small_grid() {
        let index = relative_index((2, 2));
        assert_eq!(index.len(), 25);
        assert_eq!(index[..5], [11, 9, 9, 9, 9]);
        assert_eq!(index[5..10], [10, 4, 3, 1, 0]);
        assert_eq!(index[20..], [10, 8, 7, 5, 4]);
    }

    #[test]
    fn the_plain_tower_has_one_prefix_token() {
        assert_eq!(TowerOptions::plain(8).prefix_tokens(), 1);
    }
}
