//! The 3C objective (and MAE) as a task of the pre-training loop: masks, online network, target.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{DType, Tensor};
use facebench_data::image::Rgb;
use facebench_data::transform::Normalise;
use facebench_engine::optim::ema_update;
use facebench_engine::{ParamStore, schedule};
use facebench_host::{BackboneInfo, Purpose, RunCtx};
use facebench_protocols::DataStamp;

use super::{Moment, Raw, Setting, Task};
use crate::descent::Descent;
use crate::error::Result;
use crate::faces::{Faces, RawBatch};
use crate::job::Job;
use crate::pictures;
use crate::spec::{PretrainSpec, TargetUpdate};
use crate::state::{put, take};
use crate::threec::{MaskedBatch, Online, Target};
use crate::watch::grid::{self, Row};

impl Raw for RawBatch {
    fn ids(&self) -> &[String] {
        &self.ids
    }
    fn fallbacks(&self) -> (usize, usize, Option<&str>) {
        (self.at_random, self.left_out, self.unusable.first().map(String::as_str))
    }
}

/// The task.
pub(super) struct Masked {
    spec: PretrainSpec,
    faces: Arc<Faces>,
    info: BackboneInfo,
    online: Online,
    target: Option<Target>,
    store: ParamStore,
    twin: ParamStore,
    ctx: RunCtx,
    device: candle_core::Device,
}

impl Masked {
    pub(super) fn new(spec: &PretrainSpec, job: &Job) -> Result<Self> {
        let config = spec.backbone.json();
        let info = job.plugins.backbone_info(&spec.backbone.plugin, &config)?;
        let store = ParamStore::new(&job.device, DType::F32, spec.seed);
        let ctx = RunCtx::new(&job.device, DType::F32, spec.seed).in_bf16(spec.optim.precision.half());
        let backbone = |store: &ParamStore| {
            job.plugins.backbone(&spec.backbone.plugin, &config, Purpose::Pretrain, store, "", &ctx)
        };
        let online = Online::new(&spec.objective, backbone(&store)?, &store)?;
        let twin = store.detached_copy()?;
        let target = match &spec.objective.similarity {
            Some(s) => Some(Target::new(s, backbone(&twin)?, &twin)?),
            None => None,
        };
        let faces = Arc::new(Faces::open(spec, &info, job)?);
        let device = job.device.clone();
        Ok(Self { spec: spec.clone(), faces, info, online, target, store, twin, ctx, device })
    }

    fn batch(&self, raw: &RawBatch) -> Result<MaskedBatch> {
        let (b, s, n) = (raw.size, self.info.image, self.info.grid.0 * self.info.grid.1);
        let floats = |bits: &[u8]| bits.iter().map(|&x| f32::from(x)).collect::<Vec<f32>>();
        Ok(MaskedBatch {
            images: Tensor::from_slice(&raw.pixels, (b, 3, s, s), &self.device)?,
            keep: Tensor::from_slice(&raw.keep, (b, raw.keep.len() / b), &self.device)?,
            mask: Tensor::from_vec(floats(&raw.mask), (b, n), &self.device)?,
            region: Tensor::from_vec(floats(&raw.region), (b, n), &self.device)?,
            covered: raw.region.iter().filter(|&&x| x == 1).count(),
        })
    }

    /// Some images as they are masked in `epoch`, and their reconstruction.
    fn rebuilt(&self, normalise: &Normalise, epoch: usize, examples: &[usize]) -> Result<(RawBatch, Tensor)> {
        let raw = self.faces.batch(examples, epoch, 0, normalise)?;
        self.ctx.eval();
        let rebuilt = self.online.reconstruct(&self.batch(&raw)?, &self.ctx)?;
        Ok((raw, rebuilt))
    }
}

impl Task for Masked {
    type Raw = RawBatch;

    fn columns(&self) -> &'static [&'static str] {
        &["loss", "rec", "region", "similarity", "lr"]
    }

    fn store(&self) -> &ParamStore {
        &self.store
    }

    fn faces(&self) -> (usize, &DataStamp) {
        (self.faces.len(), &self.faces.stamp)
    }

    fn statistics(&self, told: &dyn Fn(&str)) -> Result<Normalise> {
        self.faces.statistics(told)
    }

    fn maker(&self, normalise: Normalise) -> Setting<RawBatch> {
        let faces = Arc::clone(&self.faces);
        Arc::new(move |indices, epoch, batch| faces.batch(indices, epoch, batch, &normalise))
    }

    fn inputs(&self, raw: &RawBatch) -> Result<BTreeMap<String, Tensor>> {
        let MaskedBatch { images, keep, mask, region, .. } = self.batch(raw)?;
        let named = [("images", images), ("keep", keep), ("mask", mask), ("region", region)];
        Ok(named.into_iter().map(|(name, t)| (name.to_owned(), t)).collect())
    }

    fn loss(&mut self, raw: &RawBatch, when: &Moment) -> Result<(Tensor, Vec<f64>)> {
        let batch = self.batch(raw)?;
        self.ctx.train(when.step);
        let terms = self.online.loss(&batch, self.target.as_ref(), &self.ctx)?;
        let total = terms.total.detach().to_dtype(DType::F64)?.to_scalar::<f64>()?;
        Ok((terms.total, vec![total, terms.rec, terms.region, terms.similarity, when.lr]))
    }

    fn update(&mut self, descent: &mut Descent, when: &Moment) -> Result<()> {
        descent.step(when.first_lr).map(drop)
    }

    fn after(&mut self, when: &Moment) -> Result<()> {
        // after every micro-batch, as published
        match self.spec.objective.similarity.as_ref().filter(|s| s.target == TargetUpdate::Ema) {
            Some(s) => {
                let momentum = schedule::ema_momentum(when.step, when.total, s.momentum);
                Ok(ema_update(&self.twin, &self.store, momentum)?)
            }
            None => Ok(()),
        }
    }

    fn message(&self, values: &[f64]) -> String {
        format!("loss {:.4} (rec {:.4} sim {:.4})", values[0], values[1], values[3])
    }

    fn state(&self, all: &mut BTreeMap<String, Tensor>) {
        put(all, "online", self.store.tensors());
        put(all, "target", self.twin.tensors());
    }

    fn load_state(&mut self, all: &BTreeMap<String, Tensor>) -> Result<()> {
        self.store.set_all(&take(all, "online"))?;
        Ok(self.twin.set_all(&take(all, "target"))?)
    }

    fn model(&self) -> BTreeMap<String, Tensor> {
        self.store.tensors()
    }

    fn picture(&self, title: &str, normalise: &Normalise, epoch: usize, examples: &[usize]) -> Result<Rgb> {
        let (raw, rebuilt) = self.rebuilt(normalise, epoch, examples)?;
        let panels = pictures::panels(&raw, &rebuilt, &self.info, normalise)?;
        let rows: Vec<Row> =
            raw.ids.iter().zip(panels).map(|(id, p)| Row { name: id.clone(), pictures: p.into() }).collect();
        Ok(grid::draw(title, &pictures::PANELS.map(str::to_owned), &rows))
    }

    fn leave(&self, job: &Job, normalise: &Normalise, epoch: usize) -> Result<Vec<String>> {
        let examples: Vec<usize> = (0..self.faces.len().min(pictures::EXAMPLES)).collect();
        let (raw, rebuilt) = self.rebuilt(normalise, epoch, &examples)?;
        let dir = job.dir.join("pictures");
        pictures::write(&dir, &raw, &rebuilt, &self.info, normalise, self.faces.synthetic)?;
        let mut notes = Vec::new();
        if self.faces.without_map > 0 {
            notes.push(format!(
                "{} images without parsing map: policy {:?}",
                self.faces.without_map, self.spec.masking.on_missing
            ));
        }
        Ok(notes)
    }
}
