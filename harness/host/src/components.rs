//! Components as the rest of the program sees them: candle tensors in and out, shapes and masks checked.

use std::path::PathBuf;

use facebench_abi::{
    BackboneDesc, BoxBackbone, BoxHead, BoxMasking, ErrKind, HeadDesc, MaskingDesc, OpResult, OpsPtr,
    PluginError, RawFeatures, RawHeadOutput, RawMaskInput, RawParams, RawParsing, Slot,
    abi_stable::std_types::{ROption, RResult, RSlice, RSliceMut, RString},
};
use facebench_engine::{DType, ParamStore, Tensor};
use serde_json::Value;

use crate::{
    BackboneInfo, FeatureSpec, HeadTraits, HostError, KeyMap, Kind, Purpose, Result, RunCtx, Scope,
    ops::{Params, host_ops, raw, take},
};

/// Kind, name and file of a component, for messages.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

impl Who {
    pub(crate) fn fail(&self, message: impl Into<String>) -> HostError {
        let (name, path) = (self.name.clone(), self.path.clone());
        HostError::Component { kind: self.kind, name, path, message: message.into() }
    }

    pub(crate) fn check<T>(&self, answer: RResult<T, PluginError>) -> Result<T> {
        answer.into_result().map_err(|e| {
            let (name, path) = (self.name.clone(), self.path.clone());
            match e.kind {
                ErrKind::CONFIG => {
                    let message = e.message.to_string();
                    HostError::Config { kind: self.kind, name, path, message }
                }
                ErrKind::PANIC => {
                    let message = format!("{e}\nhint: a mistake in the plugin; tell its author");
                    HostError::Component { kind: self.kind, name, path, message }
                }
                _ => self.fail(e.to_string()),
            }
        })
    }

    fn tensor(&self, what: &str, answer: OpResult, expected: &[usize]) -> Result<Tensor> {
        let tensor = take(self.check(answer)?);
        if tensor.dims() != expected {
            return Err(self.fail(format!("{what}: expected shape {expected:?}, got {:?}", tensor.dims())));
        }
        Ok(tensor)
    }

    /// `x` in another type, where it is not in that already.
    fn cast(&self, what: &str, x: &Tensor, to: DType) -> Result<Tensor> {
        x.to_dtype(to).map_err(|e| self.fail(format!("{what}: {e}")))
    }

    /// bf16 as f32; other types stay.
    fn widen(&self, what: &str, x: &Tensor) -> Result<Tensor> {
        if x.dtype() == DType::BF16 { self.cast(what, x, DType::F32) } else { Ok(x.clone()) }
    }

    fn rank<const N: usize>(&self, what: &str, tensor: &Tensor) -> Result<[usize; N]> {
        tensor
            .dims()
            .try_into()
            .map_err(|_| self.fail(format!("{what}: expected {N} dimensions, got {:?}", tensor.dims())))
    }
}

fn raw_params<'a>(params: &'a Params<'a>) -> RawParams {
    RawParams { slot: std::ptr::from_ref(params).cast::<std::ffi::c_void>() as Slot, ops: OpsPtr(host_ops()) }
}

/// A backbone on parameters.
pub struct Backbone {
    /// Sizes, normalisation, pooling.
    pub info: BackboneInfo,
    object: BoxBackbone,
    desc: BackboneDesc,
    config: String,
    purpose: Purpose,
    who: Who,
}

impl Backbone {
    pub(crate) fn create(
        who: Who,
        desc: BackboneDesc,
        config: &Value,
        purpose: Purpose,
        store: &ParamStore,
        prefix: &str,
        ctx: &RunCtx,
    ) -> Result<Self> {
        let config = config.to_string();
        let info = who.json((desc.info)(config.as_str().into()))?;
        let params = Params { store, prefix };
        let object =
            who.check((desc.create)(config.as_str().into(), &ctx.raw(purpose), &raw_params(&params)))?;
        Ok(Self { info, object, desc, config, purpose, who })
    }

    /// Images (B,3,H,W) → patch tokens with positions (B,N,D), or (B,n,D) for the visible patches `keep` (B,n) u32.
    pub fn embed(&self, images: &Tensor, keep: Option<&Tensor>, ctx: &RunCtx) -> Result<Tensor> {
        let [batch, _, height, width] = self.who.rank::<4>("embed", images)?;
        let n = match keep {
            Some(keep) => self.who.rank::<2>("embed, keep", keep)?[1],
            // a smaller image has fewer patches; a plugin that takes none says so itself
            None if (height, width) != (self.info.image, self.info.image) => {
                (height / self.info.patch.max(1)) * (width / self.info.patch.max(1))
            }
            None => self.info.patches(),
        };
        let images = if ctx.dtype() == DType::BF16 {
            self.who.cast("embed", images, DType::BF16)?
        } else {
            images.clone()
        };
        let (images, keep) = (raw(images), keep.map(|k| raw(k.clone())));
        let out = self.object.embed(&images, keep.as_ref().into(), &ctx.raw(self.purpose));
        self.who.tensor("embed", out, &[batch, n, self.info.width])
    }

    /// Patch tokens (B,n,D) → the last block's output (B,1+n,D), cls first, no final norm.
    pub fn encode(&self, tokens: &Tensor, ctx: &RunCtx) -> Result<Tensor> {
        let [batch, n, width] = self.who.rank::<3>("encode", tokens)?;
        let out = self.object.encode(&raw(tokens.clone()), &ctx.raw(self.purpose));
        self.who.tensor("encode", out, &[batch, self.info.prefix_tokens + n, width])
    }

    /// The encoder's final norm; for [`Purpose::Pretrain`].
    pub fn norm(&self, tokens: &Tensor) -> Result<Tensor> {
        let out = self.object.norm(&raw(tokens.clone()));
        self.who.tensor("norm", out, tokens.dims())
    }

    /// Tokens (B,1+n,D) → features (B,D), as the published model pools; for [`Purpose::Downstream`].
    pub fn pool(&self, tokens: &Tensor) -> Result<Tensor> {
        let [batch, ..] = self.who.rank::<3>("pool", tokens)?;
        let out = self.object.pool(&raw(tokens.clone()));
        let pooled = self.who.tensor("pool", out, &[batch, self.info.pooled_width()])?;
        self.who.widen("pool", &pooled)
    }

    /// Group of one of its parameters (name without the prefix) for layer-wise decay, 0..=depth+1.
    pub fn layer_id(&self, name: &str) -> Result<usize> {
        let id = self.who.check((self.desc.layer_id)(self.config.as_str().into(), name.into()))?;
        Ok(usize::try_from(id).unwrap_or(usize::MAX).min(self.info.depth + 1))
    }

    /// Checkpoint layouts it knows, most specific first.
    pub fn layouts(&self) -> Result<Vec<KeyMap>> {
        self.who.json((self.desc.layouts)(self.config.as_str().into()))
    }
}

/// A masking strategy.
pub struct Masking {
    object: BoxMasking,
    needs_parsing: bool,
    who: Who,
}

impl Masking {
    pub(crate) fn create(who: Who, desc: &MaskingDesc, config: &Value) -> Result<Self> {
        let object = who.check((desc.create)(config.to_string().as_str().into()))?;
        let needs_parsing = who.check(object.needs_parsing())?;
        Ok(Self { object, needs_parsing, who })
    }

    /// Whether it cannot work without a parsing map.
    pub fn needs_parsing(&self) -> bool {
        self.needs_parsing
    }

    /// Fills `mask` (1 = removed) and `region` (1 = covered region), one byte per patch, row-major. `parsing` is
    /// (labels, height, width); `patches` and `region_key` are keys of random streams.
    ///
    /// Errors also when the strategy breaks its promises: round(ratio · N) ones, region inside mask.
    #[allow(clippy::too_many_arguments)] // the call of the boundary, spelled out
    pub fn mask(
        &self,
        parsing: Option<(&[u8], usize, usize)>,
        grid: (usize, usize),
        ratio: f64,
        patches: [u64; 2],
        region_key: [u64; 2],
        mask: &mut [u8],
        region: &mut [u8],
    ) -> Result<()> {
        let n = grid.0 * grid.1;
        if mask.len() != n || region.len() != n {
            let (m, r) = (mask.len(), region.len());
            return Err(self.who.fail(format!("mask: expected {n} patches, got slices of {m} and {r}")));
        }
        if self.needs_parsing && parsing.is_none() {
            return Err(self.who.fail(
                "mask: needs a face-parsing map\nhint: choose `random` masking for images without parsing maps",
            ));
        }
        mask.fill(0);
        region.fill(0);
        let input = RawMaskInput {
            parsing: parsing
                .map(|(labels, height, width)| RawParsing {
                    labels: RSlice::from_slice(labels),
                    height,
                    width,
                })
                .into(),
            grid_h: grid.0,
            grid_w: grid.1,
            ratio,
            patches,
            region: region_key,
        };
        let (to_mask, to_region) = (RSliceMut::from_mut_slice(mask), RSliceMut::from_mut_slice(region));
        self.who.check(self.object.mask(&input, to_mask, to_region))?;
        let want = (ratio * n as f64).round() as usize;
        let got = mask.iter().filter(|m| **m == 1).count();
        if got != want || mask.iter().any(|m| *m > 1) {
            return Err(self.who.fail(format!("mask: expected {want} of {n} patches removed, got {got}")));
        }
        if region.iter().zip(mask.iter()).any(|(r, m)| r > m) {
            return Err(self.who.fail("mask: the covered region is not part of the mask"));
        }
        Ok(())
    }
}

/// A head on parameters.
pub struct Head {
    object: BoxHead,
    traits: HeadTraits,
    features: FeatureSpec,
    who: Who,
}

impl Head {
    pub(crate) fn create(
        who: Who,
        desc: &HeadDesc,
        config: &Value,
        features: &FeatureSpec,
        store: &ParamStore,
        prefix: &str,
        ctx: &RunCtx,
    ) -> Result<Self> {
        let params = Params { store, prefix };
        let spec = serde_json::to_string(features).map_err(|e| who.fail(e.to_string()))?;
        let object = who.check((desc.create)(
            config.to_string().as_str().into(),
            spec.as_str().into(),
            &ctx.raw(Purpose::Downstream),
            &raw_params(&params),
        ))?;
        let traits: RResult<RString, PluginError> = object.scope();
        let traits = who.json(traits)?;
        Ok(Self { object, traits, features: features.clone(), who })
    }

    /// Which parameters train with this head.
    pub fn scope(&self) -> &Scope {
        &self.traits.scope
    }

    /// All it says of itself.
    pub fn traits(&self) -> &HeadTraits {
        &self.traits
    }

    /// (B,D) and (B,1+N,D) → logits (B,C) = [real, fake], and what the loss needs.
    pub fn forward(
        &self,
        pooled: &Tensor,
        tokens: &Tensor,
        ctx: &RunCtx,
    ) -> Result<(Tensor, Option<Tensor>)> {
        let [batch, _] = self.who.rank::<2>("forward, pooled", pooled)?;
        let pooled = raw(self.who.widen("forward, pooled", pooled)?);
        let tokens = raw(self.who.widen("forward, tokens", tokens)?);
        let features = RawFeatures { pooled: &pooled, tokens: &tokens };
        let out = ctx.widely(|| self.object.forward(&features, &ctx.raw(Purpose::Downstream)));
        let out = self.who.check(out)?;
        let logits = take(out.logits);
        let expected = [batch, self.features.classes];
        if logits.dims() != expected {
            let got = logits.dims();
            return Err(self.who.fail(format!("forward: expected logits of {expected:?}, got {got:?}")));
        }
        Ok((logits, out.embedding.into_option().map(take)))
    }

    /// The head's own loss term, already weighted, a scalar; `labels` (B,) i64 with 1 = fake.
    pub fn loss(
        &self,
        logits: &Tensor,
        embedding: Option<&Tensor>,
        labels: &Tensor,
        ctx: &RunCtx,
    ) -> Result<Option<Tensor>> {
        let embedding: ROption<_> = embedding.map(|e| raw(e.clone())).into();
        let output = RawHeadOutput { logits: raw(logits.clone()), embedding };
        let labels = raw(labels.clone());
        let loss = ctx.widely(|| self.object.loss(&output, &labels, &ctx.raw(Purpose::Downstream)));
        let loss = self.who.check(loss)?;
        match loss.into_option().map(take) {
            Some(loss) if loss.rank() != 0 => {
                Err(self.who.fail(format!("loss: expected a scalar, got {:?}", loss.dims())))
            }
            loss => Ok(loss),
        }
    }
}
