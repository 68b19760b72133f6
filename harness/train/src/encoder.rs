//! A backbone alone, in evaluation: pictures to tokens and pooled features.
//!
//! What `facebench features` runs. Weights are strict both ways, except where the layout itself excuses a missing
//! parameter (a fresh norm); such a parameter starts from its initialiser and is named in [`Encoder::fresh`].

use std::collections::BTreeSet;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use facebench_data::transform::Normalise;
use facebench_engine::ParamStore;
use facebench_host::{Backbone, BackboneInfo, Plugins, Purpose, RunCtx};
use serde_json::Value;

use crate::error::Result;
use crate::weights;

/// A backbone on weights.
pub struct Encoder {
    /// Channel statistics the weights expect
    pub normalise: Normalise,
    /// Name of the layout the file has; none without a file
    pub layout: Option<String>,
    /// Parameters that the file does not have and its layout excuses
    pub fresh: Vec<String>,
    backbone: Backbone,
    ctx: RunCtx,
    /// Owns the weights: packed copies of them are kept as long as it lives.
    _store: ParamStore,
}

impl Encoder {
    /// Makes backbone `name` with the weights of `file`, or with random ones from `seed`. All parameters are frozen, so
    /// nothing is recorded for gradients.
    ///
    /// Errors: an unknown backbone or setting, a file that cannot be read or does not fit.
    pub fn open(
        plugins: &Plugins,
        name: &str,
        config: &Value,
        file: Option<&Path>,
        device: &Device,
        seed: u64,
    ) -> Result<Self> {
        let info = plugins.backbone_info(name, config)?;
        let store = ParamStore::new(device, DType::F32, seed);
        store.set_frozen(|_| true);
        let ctx = RunCtx::new(device, DType::F32, seed);
        let given = match file {
            Some(file) => Some(weights::give(file, name, &info, &plugins.layouts(name, config)?, &store)?),
            None => None,
        };
        let backbone = plugins.backbone(name, config, Purpose::Downstream, &store, "", &ctx)?;
        let mut fresh = Vec::new();
        if let Some(given) = &given {
            fresh = store.initialised();
            given.check(&store, &BTreeSet::new())?;
        }
        let layout = given.as_ref().map(|g| g.layout.name.clone());
        let published = Normalise { mean: info.mean, std: info.std };
        let normalise = given.and_then(|g| g.normalise).unwrap_or(published);
        ctx.eval();
        Ok(Self { normalise, layout, fresh, backbone, ctx, _store: store })
    }

    /// What the backbone is.
    pub fn info(&self) -> &BackboneInfo {
        &self.backbone.info
    }

    /// Images (B, 3, H, W) → the last block's output (B, prefix + N, D).
    pub fn tokens(&self, images: &Tensor) -> Result<Tensor> {
        let embedded = self.backbone.embed(images, None, &self.ctx)?;
        Ok(self.backbone.encode(&embedded, &self.ctx)?)
    }

    /// Tokens → (B, pooled width), as the published model pools.
    pub fn pooled(&self, tokens: &Tensor) -> Result<Tensor> {
        Ok(self.backbone.pool(tokens)?)
    }
}
