//! A backbone with a head: the thing that is tuned and that scores frames.
//!
//! The head is made first, because it says which parameters train; the backbone's other parameters
//! are then handed out detached, so nothing is recorded for them. Logits are [real, fake].

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Tensor};
use facebench_data::transform::Normalise;
use facebench_engine::{ParamStore, no_grad};
use facebench_host::{Backbone, BackboneInfo, FeatureSpec, Head, Purpose, RunCtx, Scope};
use facebench_protocols::Sample;

use crate::error::{Result, bad_spec};
use crate::frames::FrameReader;
use crate::job::Job;
use crate::spec::{TuneSpec, WeightsFrom};
use crate::weights;

/// A backbone and a head on one parameter store.
pub struct Detector {
    /// All parameters, named as in published checkpoints
    pub store: ParamStore,
    /// Run context: device, random streams
    pub ctx: RunCtx,
    /// Channel statistics the weights expect
    pub normalise: Normalise,
    backbone: Backbone,
    head: Head,
    scope: Scope,
}

/// Pooled features and tokens of some images.
pub struct FeatureBatch {
    /// (B, D)
    pub pooled: Tensor,
    /// (B, 1+N, D)
    pub tokens: Tensor,
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
        let tokens: Vec<&Tensor> = parts.iter().map(|p| &p.tokens).collect();
        Ok(Self { pooled: Tensor::cat(&pooled, 0)?, tokens: Tensor::cat(&tokens, 0)? })
    }

    /// The rows of some images.
    pub fn rows(&self, indices: &[usize]) -> Result<Self> {
        let indices: Vec<u32> =
            indices.iter().map(|&i| u32::try_from(i).expect("fewer than 2^32 images")).collect();
        let rows = Tensor::new(indices, self.pooled.device())?;
        Ok(Self { pooled: self.pooled.index_select(&rows, 0)?, tokens: self.tokens.index_select(&rows, 0)? })
    }
}

impl Detector {
    /// Builds what `spec` describes, with the weights it starts from.
    pub fn build(spec: &TuneSpec, job: &Job) -> Result<Self> {
        let (plugins, config) = (job.plugins, spec.backbone.json());
        let info = plugins.backbone_info(&spec.backbone.plugin, &config)?;
        let store = ParamStore::new(&job.device, DType::F32, spec.seed);
        let ctx = RunCtx::new(&job.device, DType::F32, spec.seed);

        let features = FeatureSpec {
            width: info.pooled_width(),
            tokens: info.prefix_tokens + info.patches(),
            classes: 2,
        };
        let head = plugins.head(&spec.head.plugin, &spec.head.json(), &features, &store, "", &ctx)?;
        let of_head: BTreeSet<String> = store.names().into_iter().collect();
        let scope = head.scope().clone();
        let (own, rule) = (of_head.clone(), scope.clone());
        store.set_frozen(move |name| match &rule {
            Scope::All => false,
            Scope::HeadOnly => !own.contains(name),
            Scope::Matching(prefixes) => !own.contains(name) && !prefixes.iter().any(|p| name.starts_with(p)),
        });

        let given = match (&spec.init, &job.weights) {
            (WeightsFrom::Random, _) => None,
            (_, Some(path)) => {
                let layouts = plugins.layouts(&spec.backbone.plugin, &config)?;
                Some(weights::give(path, &spec.backbone.plugin, &info, &layouts, &store)?)
            }
            (init, None) => return bad_spec!("no checkpoint was given for `init: {init:?}`"),
        };
        let backbone =
            plugins.backbone(&spec.backbone.plugin, &config, Purpose::Downstream, &store, "", &ctx)?;
        if let Some(given) = &given {
            given.check(&store, &of_head)?;
        }
        let published = Normalise { mean: info.mean, std: info.std };
        let normalise = given.and_then(|g| g.normalise).unwrap_or(published);
        Ok(Self { store, ctx, normalise, backbone, head, scope })
    }

    /// What the backbone is.
    pub fn info(&self) -> &BackboneInfo {
        &self.backbone.info
    }

    /// Depth of a parameter, for layer-wise learning rates.
    pub fn layer_id(&self, name: &str) -> Result<usize> {
        Ok(self.backbone.layer_id(name)?)
    }

    /// Whether no parameter of the backbone trains.
    pub fn frozen_backbone(&self) -> bool {
        self.scope == Scope::HeadOnly
    }

    /// The trained parameters and the running statistics that changed with them, by name.
    pub fn trained(&self) -> BTreeMap<String, Tensor> {
        let trained = self.store.trainable().into_iter().map(|(n, v)| (n, v.as_detached_tensor()));
        trained.chain(self.store.states()).collect()
    }

    /// Features of images (B, 3, H, W).
    pub fn features(&self, images: &Tensor) -> Result<FeatureBatch> {
        let embedded = self.backbone.embed(images, None, &self.ctx)?;
        let tokens = self.backbone.encode(&embedded, &self.ctx)?;
        Ok(FeatureBatch { pooled: self.backbone.pool(&tokens)?, tokens })
    }

    /// Logits (B, 2).
    pub fn logits(&self, features: &FeatureBatch) -> Result<Tensor> {
        Ok(self.head.forward(&features.pooled, &features.tokens, &self.ctx)?.0)
    }

    /// Logits (B, 2) and the head's own loss term, for labels with 1 = fake.
    pub fn head(&self, features: &FeatureBatch, labels: &[u32]) -> Result<(Tensor, Option<Tensor>)> {
        let (logits, embedding) = self.head.forward(&features.pooled, &features.tokens, &self.ctx)?;
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
        self.ctx.eval();
        for frames in reader.stream(samples, chunks, None, job) {
            if job.stopped() {
                return Ok(None);
            }
            let images = frames?.tensor(&job.device)?;
            all.extend(margins(&no_grad(|| self.features(&images).and_then(|f| self.logits(&f)))?)?);
        }
        Ok(Some(all))
    }
}

/// Logit margins fake − real (B) from logits (B, 2).
pub fn margins(logits: &Tensor) -> Result<Vec<f64>> {
    let rows: Vec<Vec<f64>> = logits.detach().to_dtype(DType::F64)?.to_vec2()?;
    Ok(rows.into_iter().map(|row| row[1] - row[0]).collect())
}
