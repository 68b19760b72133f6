//! The 3C objective of FSFM and FS-VFM: what stands around a backbone while it is pre-trained.
//!
//! Online network: encoder on visible patches → (a) pixel decoder → reconstruction of hidden
//! patches, (b) representation decoder → mean over all tokens → projector → predictor. Target
//! network: encoder, representation decoder and projector on the full view, without gradient.
//! `L = w·L_rec + w_fr·L_rec^fr + w_cl·L_sim` (method.md §3.5–§3.9; arXiv 2412.12032 §3).
//! Without the similarity branch, with the mask token after the embedding and random masks, this is
//! MAE (arXiv 2111.06377). Parameter names are those of the released checkpoints (method.md §3.11).

use std::sync::Arc;

use candle_core::{DType, Tensor};
use facebench_engine::ops::{self, losses};
use facebench_engine::{Init, ParamStore, nn};
use facebench_host::{Backbone, BackboneInfo, RunCtx};

use crate::error::{Result, bad_spec};
use crate::spec::{DecoderSpec, MaskToken, ObjectiveSpec, RepPosEmbed, SimilarityLoss, SimilaritySpec};

/// A batch with its masks.
pub struct MaskedBatch {
    /// Normalised images (B, 3, H, W)
    pub images: Tensor,
    /// Indices of the visible patches (B, n), u32
    pub keep: Tensor,
    /// 1 = hidden (B, N)
    pub mask: Tensor,
    /// 1 = hidden and part of the covered region (B, N)
    pub region: Tensor,
    /// Number of patches of covered regions in the batch; the region term is left out when it is 0
    /// (the released code divides 0 by 0 and stops, method.md §2.3)
    pub covered: usize,
}

/// The terms of one step. `total` carries the graph.
pub struct Terms {
    /// Weighted sum
    pub total: Tensor,
    /// Reconstruction of all hidden patches
    pub rec: f64,
    /// Reconstruction of the covered region; 0 when there is none
    pub region: f64,
    /// Similarity between the views; 0 when switched off
    pub similarity: f64,
}

// ------------------------------------------------------------------------------ parts

/// Fills hidden positions: (B, 1+n, D) → (B, 1+N, D), cls first.
fn fill(x: &Tensor, keep: &Tensor, token: &Tensor, total: usize) -> Result<Tensor> {
    let visible = x.dim(1)? - 1;
    let patches = ops::scatter_tokens(&x.narrow(1, 1, visible)?, keep, token, total)?; // (B, N, D)
    Ok(Tensor::cat(&[&x.narrow(1, 0, 1)?, &patches], 1)?)
}

/// bf16 activations as f32: losses and what follows a mean are in full precision.
pub(crate) fn wide(x: &Tensor) -> Result<Tensor> {
    Ok(if x.dtype() == DType::BF16 { x.to_dtype(DType::F32)? } else { x.clone() })
}

/// Pixel decoder (method.md §3.6).
struct PixelDecoder {
    mask_token: Tensor,
    place: MaskToken,
    embed: nn::Linear,
    pos: Tensor,
    blocks: Vec<nn::Block>,
    norm: nn::LayerNorm,
    pred: nn::Linear,
}

impl PixelDecoder {
    fn new(spec: &DecoderSpec, info: &BackboneInfo, store: &ParamStore) -> Result<Self> {
        let token_width = match spec.mask_token {
            MaskToken::BeforeEmbed => info.width,
            MaskToken::AfterEmbed => spec.width,
        };
        Ok(Self {
            mask_token: mask_token(store, token_width)?,
            place: spec.mask_token,
            embed: linear(store, "decoder_embed", info.width, spec.width)?,
            pos: position_table(store, "decoder_pos_embed", spec.width, info.grid.0, true)?,
            blocks: blocks(store, "decoder_blocks", spec.depth, spec.width, spec.heads)?,
            norm: nn::LayerNorm::new(store, "decoder_norm", spec.width, 1e-6)?,
            pred: linear(store, "decoder_pred", spec.width, info.patch * info.patch * 3)?,
        })
    }

    /// Encoder output (B, 1+n, D) → predicted pixels (B, N, P²·3).
    fn forward(&self, x: &Tensor, keep: &Tensor, total: usize) -> Result<Tensor> {
        let x = match self.place {
            MaskToken::BeforeEmbed => self.embed.forward(&fill(x, keep, &self.mask_token, total)?)?,
            MaskToken::AfterEmbed => fill(&self.embed.forward(x)?, keep, &self.mask_token, total)?,
        };
        let mut x = x.broadcast_add(&self.pos.to_dtype(x.dtype())?)?; // (B, 1+N, d)
        for block in &self.blocks {
            x = block.forward(&x, None)?;
        }
        let x = self.norm.forward(&x.narrow(1, 1, total)?.contiguous()?)?;
        wide(&self.pred.forward(&x)?)
    }
}

/// Representation decoder (method.md §3.5), the same in both networks.
struct RepDecoder {
    mask_token: Tensor,
    embed: nn::Linear,
    pos: Tensor,
    blocks: Vec<nn::Block>,
    norm: nn::LayerNorm,
    pred: nn::Linear,
}

impl RepDecoder {
    fn new(spec: &SimilaritySpec, info: &BackboneInfo, store: &ParamStore) -> Result<Self> {
        let (width, sincos) = (info.width, spec.rep_pos_embed == RepPosEmbed::Sincos);
        Ok(Self {
            mask_token: mask_token(store, width)?,
            embed: linear(store, "rep_decoder_embed", width, width)?,
            pos: position_table(store, "rep_decoder_pos_embed", width, info.grid.0, sincos)?,
            blocks: blocks(store, "rep_decoder_blocks", spec.depth, width, spec.heads)?,
            norm: nn::LayerNorm::new(store, "rep_decoder_norm", width, 1e-6)?,
            pred: linear(store, "rep_decoder_pred", width, width)?,
        })
    }

    /// Encoder output (B, 1+n, D) → mean over all 1+N tokens (B, D). `keep` is absent for a full view.
    fn forward(&self, x: &Tensor, keep: Option<&Tensor>, total: usize) -> Result<Tensor> {
        let mut x = self.embed.forward(x)?;
        if let Some(keep) = keep {
            x = fill(&x, keep, &self.mask_token, total)?;
        }
        let mut x = x.broadcast_add(&self.pos.to_dtype(x.dtype())?)?; // (B, 1+N, D)
        for block in &self.blocks {
            x = block.forward(&x, None)?;
        }
        Ok(wide(&self.pred.forward(&self.norm.forward(&x)?)?)?.mean(1)?)
    }
}

/// Projector and predictor: Linear → LayerNorm (eps 1e-5) → ReLU → Linear (method.md §3.7).
struct Projection {
    first: nn::Linear,
    norm: nn::LayerNorm,
    last: nn::Linear,
}

impl Projection {
    fn new(store: &ParamStore, name: &str, input: usize, spec: &SimilaritySpec) -> Result<Self> {
        let name = format!("{name}.projection_head");
        Ok(Self {
            first: linear(store, &format!("{name}.0"), input, spec.hidden)?,
            norm: nn::LayerNorm::new(store, &format!("{name}.1"), spec.hidden, 1e-5)?,
            last: linear(store, &format!("{name}.3"), spec.hidden, spec.out)?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.last.forward(&self.norm.forward(&self.first.forward(x)?)?.relu()?)?)
    }
}

fn mask_token(store: &ParamStore, width: usize) -> Result<Tensor> {
    Ok(store.get("mask_token", (1, 1, width), &Init::Normal { mean: 0.0, std: 0.02 })?)
}

fn linear(store: &ParamStore, name: &str, input: usize, output: usize) -> Result<nn::Linear> {
    Ok(nn::Linear::new(store, name, input, output, &Init::XavierUniform)?)
}

fn blocks(
    store: &ParamStore,
    name: &str,
    depth: usize,
    width: usize,
    heads: usize,
) -> Result<Vec<nn::Block>> {
    if heads == 0 || !width.is_multiple_of(heads) {
        return bad_spec!("a width of {width} in `{name}` is no multiple of its {heads} attention heads");
    }
    let block = |i| {
        let name = format!("{name}.{i}");
        Ok(nn::Block::new(store, &name, width, heads, 4 * width, 1e-6, &Init::XavierUniform)?)
    };
    (0..depth).map(block).collect()
}

/// A fixed table (1, 1+N, D), cls row first: sine-cosine (method.md §3.3) or zeros.
fn position_table(store: &ParamStore, name: &str, width: usize, grid: usize, sincos: bool) -> Result<Tensor> {
    let rows = 1 + grid * grid;
    let table = if sincos { nn::sincos_pos_embed(width, grid)? } else { vec![0.0; rows * width] };
    Ok(store.get_fixed(name, (1, rows, width), &Init::Values(Arc::new(table)))?)
}

// ------------------------------------------------------------------------------ networks

/// The branch that compares the two views.
struct Similarity {
    spec: SimilaritySpec,
    rep: RepDecoder,
    projector: Projection,
    predictor: Projection,
}

/// The online network.
pub struct Online {
    spec: ObjectiveSpec,
    info: BackboneInfo,
    backbone: Backbone,
    decoder: PixelDecoder,
    similarity: Option<Similarity>,
}

/// The target network: encoder, representation decoder, projector; nothing of it is trained.
pub struct Target {
    backbone: Backbone,
    rep: RepDecoder,
    projector: Projection,
    patches: usize,
}

impl Online {
    /// Builds the network around `backbone`; all parameters come from `store`.
    pub fn new(spec: &ObjectiveSpec, backbone: Backbone, store: &ParamStore) -> Result<Self> {
        let info = backbone.info.clone();
        if info.grid.0 != info.grid.1 {
            return bad_spec!(
                "pre-training needs a square grid of patches, got {} x {}",
                info.grid.0,
                info.grid.1
            );
        }
        let same_width = spec.decoder.mask_token == MaskToken::BeforeEmbed;
        if spec.similarity.is_some() && !same_width && spec.decoder.width != info.width {
            return bad_spec!(
                "the two decoders share one mask token: `decoder.mask_token: after-embed` needs `decoder.width: {}` \
                 or `similarity: null`",
                info.width
            );
        }
        let similarity = match &spec.similarity {
            Some(s) => Some(Similarity {
                spec: s.clone(),
                rep: RepDecoder::new(s, &info, store)?,
                projector: Projection::new(store, "projector", info.width, s)?,
                predictor: Projection::new(store, "predictor", s.out, s)?,
            }),
            None => None,
        };
        let decoder = PixelDecoder::new(&spec.decoder, &info, store)?;
        Ok(Self { spec: spec.clone(), info, backbone, decoder, similarity })
    }

    /// Encoder output on the visible patches, after the final norm (B, 1+n, D).
    pub fn encode(&self, batch: &MaskedBatch, ctx: &RunCtx) -> Result<Tensor> {
        let tokens = self.backbone.embed(&batch.images, Some(&batch.keep), ctx)?;
        Ok(self.backbone.norm(&self.backbone.encode(&tokens, ctx)?)?)
    }

    /// Predicted pixels (B, N, P²·3) from the encoder output.
    pub fn decode(&self, encoded: &Tensor, keep: &Tensor) -> Result<Tensor> {
        self.decoder.forward(encoded, keep, self.patches())
    }

    /// Unit vectors of the online prediction (B, out), when the similarity branch is on.
    pub fn predict(&self, encoded: &Tensor, keep: &Tensor) -> Result<Option<Tensor>> {
        let Some(s) = &self.similarity else { return Ok(None) };
        let pooled = s.rep.forward(encoded, Some(keep), self.patches())?;
        let z = s.predictor.forward(&s.projector.forward(&pooled)?)?;
        Ok(Some(ops::normalise(&z, 1, 1e-12)?))
    }

    /// The loss of one micro-batch (not divided by the number of accumulated batches).
    pub fn loss(&self, batch: &MaskedBatch, target: Option<&Target>, ctx: &RunCtx) -> Result<Terms> {
        let encoded = self.encode(batch, ctx)?;
        let mut total: Option<Tensor> = None;
        let mut add = |term: &Tensor, weight: f64| -> Result<()> {
            let term = (term * weight)?;
            total = Some(match total.take() {
                Some(sum) => (sum + term)?,
                None => term,
            });
            Ok(())
        };
        let (mut rec, mut region, mut similarity) = (0.0, 0.0, 0.0);

        let fr = self.spec.region_weight != 0.0 && batch.covered > 0;
        if self.spec.reconstruction_weight != 0.0 || fr {
            let pixels = self.decode(&encoded, &batch.keep)?;
            let wanted = self.wanted(&batch.images)?;
            if self.spec.reconstruction_weight != 0.0 {
                let term = ops::masked_mse(&pixels, &wanted, &batch.mask)?;
                rec = scalar(&term)?;
                add(&term, self.spec.reconstruction_weight)?;
            }
            if fr {
                let term = ops::masked_mse(&pixels, &wanted, &batch.region)?;
                region = scalar(&term)?;
                add(&term, self.spec.region_weight)?;
            }
        }
        if let (Some(s), Some(target)) = (&self.similarity, target) {
            let online = self.predict(&encoded, &batch.keep)?.expect("the branch is on");
            let wanted = target.project(&batch.images, ctx)?;
            let term = similarity_loss(&s.spec, &online, &wanted)?;
            similarity = scalar(&term)?;
            add(&term, s.spec.weight)?;
        }
        let Some(total) = total else {
            return bad_spec!("every term of the objective is switched off");
        };
        Ok(Terms { total, rec, region, similarity })
    }

    /// What the decoder should predict: patch pixels, normalised per patch when `norm_pix` is on.
    fn wanted(&self, images: &Tensor) -> Result<Tensor> {
        let patches = ops::patch_targets(images, self.info.patch)?; // (B, N, P²·3)
        if !self.spec.norm_pix {
            return Ok(patches);
        }
        Ok(ops::normalise_pixels(&patches)?)
    }

    /// The reconstruction as an image (B, 3, H, W), in normalised pixels; with `norm_pix` each
    /// patch's own moments are put back.
    pub fn reconstruct(&self, batch: &MaskedBatch, ctx: &RunCtx) -> Result<Tensor> {
        let pixels = self.decode(&self.encode(batch, ctx)?, &batch.keep)?;
        let pixels = if self.spec.norm_pix {
            let (mean, std) = patch_moments(&ops::patch_targets(&batch.images, self.info.patch)?)?;
            pixels.broadcast_mul(&std)?.broadcast_add(&mean)?
        } else {
            pixels
        };
        let (g, p, b) = (self.info.grid.0, self.info.patch, pixels.dim(0)?);
        Ok(pixels.reshape(&[b, g, g, p, p, 3])?.permute([0, 5, 1, 3, 2, 4])?.reshape((b, 3, g * p, g * p))?)
    }

    fn patches(&self) -> usize {
        self.info.grid.0 * self.info.grid.1
    }

    /// What the encoder is.
    pub fn info(&self) -> &BackboneInfo {
        &self.info
    }
}

/// Mean and √(unbiased variance + 1e-6) of each patch (B, N, 1).
fn patch_moments(patches: &Tensor) -> Result<(Tensor, Tensor)> {
    let n = patches.dim(2)? as f64;
    let mean = patches.mean_keepdim(2)?;
    let var = (patches.broadcast_sub(&mean)?.sqr()?.sum_keepdim(2)? / (n - 1.0))?;
    Ok((mean, (var + 1e-6)?.sqrt()?))
}

impl Target {
    /// Builds the target on `store`, the detached twin of the online network's parameters.
    pub fn new(spec: &SimilaritySpec, backbone: Backbone, store: &ParamStore) -> Result<Self> {
        let info = backbone.info.clone();
        Ok(Self {
            rep: RepDecoder::new(spec, &info, store)?,
            projector: Projection::new(store, "projector", info.width, spec)?,
            patches: info.grid.0 * info.grid.1,
            backbone,
        })
    }

    /// Unit vectors of the full view (B, out), without gradient.
    pub fn project(&self, images: &Tensor, ctx: &RunCtx) -> Result<Tensor> {
        let tokens = self.backbone.embed(images, None, ctx)?;
        let encoded = self.backbone.norm(&self.backbone.encode(&tokens, ctx)?)?;
        let z = self.projector.forward(&self.rep.forward(&encoded, None, self.patches)?)?;
        Ok(ops::normalise(&z, 1, 1e-12)?.detach())
    }
}

fn similarity_loss(spec: &SimilaritySpec, online: &Tensor, target: &Tensor) -> Result<Tensor> {
    Ok(match spec.loss {
        SimilarityLoss::Simsiam => losses::simsiam(online, target)?,
        SimilarityLoss::Byol => losses::byol(online, target)?,
        SimilarityLoss::InfoNce => losses::info_nce(online, target, spec.temperature, false)?,
        SimilarityLoss::InfoNcePositive => losses::info_nce(online, target, spec.temperature, true)?,
        SimilarityLoss::MocoV3 => losses::moco_v3(online, target, spec.temperature)?,
        SimilarityLoss::SimClr => losses::sim_clr(online, target, spec.temperature)?,
    })
}

fn scalar(x: &Tensor) -> Result<f64> {
    Ok(x.detach().to_dtype(DType::F64)?.to_scalar::<f64>()?)
}
