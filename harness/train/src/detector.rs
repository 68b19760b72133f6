//! A backbone with a head: the thing that is tuned and that scores frames.
//!
//! The head is made first, because it says which parameters train; the backbone's other parameters
//! are then handed out detached, so nothing is recorded for them. Logits are [real, fake]. What a head asks of the
//! program besides (unit columns, measured tensors, a low-rank update of the backbone) is done here too.

use std::cell::{Ref, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Tensor};
use facebench_data::transform::Normalise;
use facebench_engine::{ParamStore, no_grad};
use facebench_host::{
    Backbone, BackboneInfo, FeatureSpec, Head, HeadTraits, Plugins, Purpose, RunCtx, Scope, glob,
};
use facebench_protocols::{Params, Sample};
use serde_json::Value;

use crate::error::{Result, bad_spec};
use crate::fit;
use crate::frames::FrameReader;
use crate::job::Job;
use crate::lowrank::{self, Update};
use crate::spec::{Component, TuneSpec, WeightsFrom};
use crate::weights;

/// A backbone and a head on one parameter store.
pub struct Detector<'p> {
    /// All parameters, named as in published checkpoints
    pub store: ParamStore,
    /// Channel statistics the weights expect
    pub normalise: Normalise,
    /// What the backbone is
    pub info: BackboneInfo,
    ctx: RunCtx,
    plugins: &'p Plugins,
    component: Component,
    backbone: RefCell<Backbone>,
    head: Head,
    head_name: String,
    traits: HeadTraits,
    of_head: BTreeSet<String>,
    update: Option<Update>,
}

/// Pooled features of some images, and their tokens where the head reads them.
#[derive(Clone)]
pub struct FeatureBatch {
    /// (B, D)
    pub pooled: Tensor,
    /// (B, 1+N, D)
    pub tokens: Option<Tensor>,
}

/// Features of a whole set, kept in memory.
pub type Features = FeatureBatch;

impl FeatureBatch {
    /// Number of images.
    pub fn count(&self) -> Result<usize> {
        Ok(self.pooled.dim(0)?)
    }

    /// Joins batches.
    pub fn join(parts: &[Self]) -> Result<Self> {
        let pooled: Vec<&Tensor> = parts.iter().map(|p| &p.pooled).collect();
        let tokens: Option<Vec<&Tensor>> = parts.iter().map(|p| p.tokens.as_ref()).collect();
        let tokens = tokens.map(|t| Tensor::cat(&t, 0)).transpose()?;
        Ok(Self { pooled: Tensor::cat(&pooled, 0)?, tokens })
    }

    /// The rows of some images.
    pub fn rows(&self, indices: &[usize]) -> Result<Self> {
        let indices: Vec<u32> =
            indices.iter().map(|&i| u32::try_from(i).expect("fewer than 2^32 images")).collect();
        let rows = Tensor::new(indices, self.pooled.device())?;
        let tokens = self.tokens.as_ref().map(|t| t.index_select(&rows, 0)).transpose()?;
        Ok(Self { pooled: self.pooled.index_select(&rows, 0)?, tokens })
    }
}

impl<'p> Detector<'p> {
    /// Builds what `spec` describes, with the weights it starts from; `samples` frames are trained on.
    pub fn build(spec: &TuneSpec, job: &Job<'p>, samples: usize) -> Result<Self> {
        Self::with_dtype(spec, job, samples, DType::F32)
    }

    /// As [`Detector::build`], in another precision.
    pub fn with_dtype(spec: &TuneSpec, job: &Job<'p>, samples: usize, dtype: DType) -> Result<Self> {
        let (plugins, config) = (job.plugins, spec.backbone.json());
        let info = plugins.backbone_info(&spec.backbone.plugin, &config)?;
        let store = ParamStore::new(&job.device, dtype, spec.seed);
        let ctx = RunCtx::new(&job.device, dtype, spec.seed).in_bf16(spec.recipe.precision.half());

        let features = FeatureSpec {
            width: info.pooled_width(),
            tokens: info.prefix_tokens + info.patches(),
            classes: 2,
            samples,
        };
        let head = plugins.head(&spec.head.plugin, &spec.head.json(), &features, &store, "", &ctx)?;
        let of_head: BTreeSet<String> = store.names().into_iter().collect();
        let traits = head.traits().clone();
        let (own, rule) = (of_head.clone(), traits.scope.clone());
        store.set_frozen(move |name| match &rule {
            _ if own.contains(name) => false,
            Scope::All => false,
            Scope::HeadOnly => true,
            Scope::Matching(prefixes) => !prefixes.iter().any(|p| name.starts_with(p)),
            Scope::Named(patterns) => !patterns.iter().any(|p| glob(p, name)),
            Scope::LowRank(_) => !name.starts_with(lowrank::PREFIX),
        });

        let given = match (&spec.init, &job.weights) {
            (WeightsFrom::Random, _) => None,
            (_, Some(path)) => {
                let layouts = plugins.layouts(&spec.backbone.plugin, &config)?;
                Some(weights::give(path, &spec.backbone.plugin, &info, &layouts, &store)?)
            }
            (init, None) => return bad_spec!("no checkpoint was given for `init: {init:?}`"),
        };
        let backbone = create(plugins, &spec.backbone, &store, &ctx)?;
        if let Some(given) = &given {
            given.check(&store, &of_head)?;
        }
        let published = Normalise { mean: info.mean, std: info.std };
        let normalise = given.and_then(|g| g.normalise).unwrap_or(published);
        let update = match &traits.scope {
            Scope::LowRank(how) => Some(Update::new(how, &store)?),
            _ => None,
        };
        let detector = Self {
            store,
            normalise,
            info,
            ctx,
            plugins,
            component: spec.backbone.clone(),
            backbone: RefCell::new(backbone),
            head,
            head_name: spec.head.plugin.clone(),
            traits,
            of_head,
            update,
        };
        detector.constrain()?;
        Ok(detector)
    }

    /// Depth of a parameter, for layer-wise learning rates.
    pub fn layer_id(&self, name: &str) -> Result<usize> {
        Ok(self.backbone().layer_id(name)?)
    }

    fn backbone(&self) -> Ref<'_, Backbone> {
        self.backbone.borrow()
    }

    /// Whether two passes of an image give the same features, all through training: no parameter of the backbone
    /// trains, and nothing in it is random.
    pub fn fixed_features(&self) -> bool {
        let random = self.component.config.get("drop_path").and_then(Value::as_f64).unwrap_or(0.0) > 0.0;
        self.traits.scope == Scope::HeadOnly && !random
    }

    /// The parameters that are not the head's: what features depend on.
    pub fn backbone_tensors(&self) -> BTreeMap<String, Tensor> {
        self.store.tensors().into_iter().filter(|(n, _)| !self.of_head.contains(n)).collect()
    }

    /// Whether the head reads tokens.
    pub fn reads_tokens(&self) -> bool {
        self.traits.tokens
    }

    /// Whether the backbone keeps running statistics, which change with every training step.
    pub fn has_statistics(&self) -> bool {
        !self.store.states().is_empty()
    }

    /// What must be kept of a tuned detector, by name: trained parameters, the running statistics that changed with
    /// them, and what was measured.
    pub fn trained(&self) -> BTreeMap<String, Tensor> {
        let trained = self.store.trainable().into_iter().map(|(n, v)| (n, v.as_detached_tensor()));
        let measured = self.store.tensors().into_iter().filter(|(n, _)| n.starts_with(fit::PREFIX));
        trained.chain(self.store.states()).chain(measured).collect()
    }

    /// Numbers of parameters; what was measured and running statistics are none.
    pub fn count(&self) -> Params {
        let count = self.store.count();
        let states = self.store.states();
        let of = |(name, tensor): (&String, &Tensor)| {
            let none = name.starts_with(fit::PREFIX) || states.contains_key(name);
            if none { tensor.elem_count() } else { 0 }
        };
        let none: usize = self.store.tensors().iter().map(of).sum();
        Params { total: count.total - none as u64, trained: count.trainable }
    }

    /// Prepares a training step.
    pub fn train(&self, step: u64) -> Result<()> {
        self.ctx.train(step);
        self.refresh(true)
    }

    /// Prepares scoring. Call it after parameters have changed.
    pub fn eval(&self) -> Result<()> {
        self.ctx.eval();
        self.refresh(false)
    }

    /// Hands the updated weights to the backbone.
    fn refresh(&self, tracked: bool) -> Result<()> {
        let Some(update) = &self.update else { return Ok(()) };
        self.store.replace(update.effective(tracked)?);
        *self.backbone.borrow_mut() = create(self.plugins, &self.component, &self.store, &self.ctx)?;
        Ok(())
    }

    /// Scales the columns that the head wants at unit length; after every update.
    pub fn constrain(&self) -> Result<()> {
        let tensors = self.store.tensors();
        let mut scaled = BTreeMap::new();
        for name in &self.traits.unit_columns {
            let Some(weight) = tensors.get(name) else {
                return bad_spec!("the head wants unit columns in `{name}`, which it does not have");
            };
            let norm = weight.sqr()?.sum_keepdim(0)?.sqrt()?;
            scaled.insert(name.clone(), weight.broadcast_div(&norm)?);
        }
        Ok(self.store.set_all(&scaled)?)
    }

    /// Features of images (B, 3, H, W).
    pub fn features(&self, images: &Tensor) -> Result<FeatureBatch> {
        let tokens = self.encode(images)?;
        Ok(FeatureBatch { pooled: self.pool(&tokens)?, tokens: self.traits.tokens.then_some(tokens) })
    }

    /// Images (B, 3, H, W) → the last block's output (B, prefix + N, D).
    pub(crate) fn encode(&self, images: &Tensor) -> Result<Tensor> {
        let backbone = self.backbone();
        let embedded = backbone.embed(images, None, &self.ctx)?;
        Ok(backbone.encode(&embedded, &self.ctx)?)
    }

    /// Tokens (B, prefix + N, D) → (B, pooled width).
    pub(crate) fn pool(&self, tokens: &Tensor) -> Result<Tensor> {
        Ok(self.backbone().pool(tokens)?)
    }

    /// Name of the backbone plugin, for messages.
    pub(crate) fn backbone_name(&self) -> &str {
        &self.component.plugin
    }

    /// Name of the head plugin, for messages.
    pub(crate) fn head_name(&self) -> &str {
        &self.head_name
    }

    fn forward(&self, features: &FeatureBatch) -> Result<(Tensor, Option<Tensor>)> {
        // a head that reads no tokens gets one, made of what it does read
        let tokens = match &features.tokens {
            Some(tokens) => tokens.clone(),
            None => features.pooled.unsqueeze(1)?,
        };
        Ok(self.head.forward(&features.pooled, &tokens, &self.ctx)?)
    }

    /// Logits (B, 2).
    pub fn logits(&self, features: &FeatureBatch) -> Result<Tensor> {
        Ok(self.forward(features)?.0)
    }

    /// Logits (B, 2) and the head's own loss term, for labels with 1 = fake.
    pub fn head(&self, features: &FeatureBatch, labels: &[u32]) -> Result<(Tensor, Option<Tensor>)> {
        let (logits, embedding) = self.forward(features)?;
        let labels: Vec<i64> = labels.iter().map(|&l| i64::from(l)).collect();
        let labels = Tensor::new(labels, features.pooled.device())?;
        let extra = self.head.loss(&logits, embedding.as_ref(), &labels, &self.ctx)?;
        Ok((logits, extra))
    }

    /// Logit margins of `samples` in their order; `None` when the job was stopped.
    pub fn score(
        &self,
        reader: &FrameReader,
        samples: &[Sample],
        batch: usize,
        job: &Job,
    ) -> Result<Option<Vec<f64>>> {
        let indices: Vec<usize> = (0..samples.len()).collect();
        let chunks: Vec<Vec<usize>> = indices.chunks(batch.max(1)).map(<[usize]>::to_vec).collect();
        let mut all = Vec::with_capacity(samples.len());
        self.eval()?;
        for frames in reader.stream(samples, chunks, None, job) {
            if job.stopped() {
                return Ok(None);
            }
            let images = frames?.tensor(&job.device)?;
            all.extend(margins(&no_grad(|| self.features(&images).and_then(|f| self.logits(&f)))?)?);
        }
        Ok(Some(all))
    }

    /// Logit margins of features that are at hand.
    pub fn score_features(&self, features: &Features, batch: usize) -> Result<Vec<f64>> {
        self.eval()?;
        let indices: Vec<usize> = (0..features.count()?).collect();
        let mut all = Vec::with_capacity(indices.len());
        for chunk in indices.chunks(batch.max(1)) {
            all.extend(margins(&self.logits(&features.rows(chunk)?)?)?);
        }
        Ok(all)
    }
}

fn create(plugins: &Plugins, component: &Component, store: &ParamStore, ctx: &RunCtx) -> Result<Backbone> {
    Ok(plugins.backbone(&component.plugin, &component.json(), Purpose::Downstream, store, "", ctx)?)
}

/// Logit margins fake − real (B) from logits (B, 2).
pub fn margins(logits: &Tensor) -> Result<Vec<f64>> {
    let rows: Vec<Vec<f64>> = logits.detach().to_dtype(DType::F64)?.to_vec2()?;
    Ok(rows.into_iter().map(|row| row[1] - row[0]).collect())
}
