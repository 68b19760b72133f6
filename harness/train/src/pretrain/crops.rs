//! DINO as a task of the pre-training loop: views, student and teacher, its schedules.
//!
//! With accumulation, centre, teacher and weight decay move once per update and the centre sees all micro-batches,
//! so the same images give the same update (up to rounding) whatever the micro-batch.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use candle_core::{DType, Tensor};
use facebench_data::image::Rgb;
use facebench_data::shard::FaceSource;
use facebench_data::transform::{MultiCrop, Normalise};
use facebench_engine::ParamStore;
use facebench_host::{BackboneInfo, Purpose, RunCtx};
use facebench_protocols::DataStamp;
use facebench_protocols::rng::Stream;

use super::{Moment, Raw, Setting, Task};
use crate::descent::Descent;
use crate::dino::{self, Centre, Network};
use crate::error::{Result, bad_spec};
use crate::job::Job;
use crate::spec::{DinoSpec, MaskingSpec, ObjectiveSpec, PretrainSpec};
use crate::state::{put, take};
use crate::watch::grid::{self, Row};

/// A batch of views as plain numbers.
pub(super) struct Views {
    /// Views of the backbone's size: (2, B, 3, S, S)
    global: Vec<f32>,
    /// The small ones: (n, B, 3, s, s)
    local: Vec<f32>,
    ids: Vec<String>,
}

impl Raw for Views {
    fn ids(&self) -> &[String] {
        &self.ids
    }
}

/// What worker threads share.
struct Faces {
    source: FaceSource,
    crops: MultiCrop,
    seed: u64,
}

impl Faces {
    fn views(&self, index: usize, epoch: usize) -> Result<Vec<Rgb>> {
        let (image, _) = self.source.read(index, false)?;
        let (epoch, id) = (epoch.to_string(), self.source.id(index));
        Ok(self.crops.views(&image, |v| Stream::new("view", self.seed, &[&epoch, id, &v.to_string()])))
    }
}

/// The task.
pub(super) struct Crops {
    spec: DinoSpec,
    start_decay: f64,
    faces: Arc<Faces>,
    stamp: DataStamp,
    info: BackboneInfo,
    student: Network,
    teacher: Network,
    store: ParamStore,
    twin: ParamStore,
    centre: Centre,
    ctx: RunCtx,
    device: candle_core::Device,
}

/// Settings that mean nothing here.
pub(super) fn check(spec: &PretrainSpec, d: &DinoSpec) -> Result<()> {
    if spec.masking != MaskingSpec::default() {
        return bad_spec!(
            "`masking` has no meaning with `objective.kind: dino`: its views are crops, nothing is hidden\n\
             hint: remove `masking`, or use `objective.kind: 3c`"
        );
    }
    let plain = ObjectiveSpec {
        kind: spec.objective.kind,
        dino: spec.objective.dino.clone(),
        ..ObjectiveSpec::default()
    };
    if spec.objective != plain {
        return bad_spec!(
            "reconstruction, decoder and similarity have no meaning with `objective.kind: dino`\n\
             hint: its settings are below `objective.dino`"
        );
    }
    let temperatures = [d.student_temp, d.teacher_temp, d.warmup_teacher_temp];
    if d.out < 2 || d.hidden == 0 || d.bottleneck == 0 || temperatures.iter().any(|t| *t <= 0.0) {
        return bad_spec!("`objective.dino`: `out` must be at least 2, widths and temperatures above 0");
    }
    for (name, [low, high]) in [("global_area", d.global_area), ("local_area", d.local_area)] {
        if !(0.0 < low && low <= high && high <= 1.0) {
            return bad_spec!(
                "`objective.dino.{name}` is [{low}, {high}], expected 0 < smallest ≤ largest ≤ 1"
            );
        }
    }
    Ok(())
}

/// Side of the small views in pixels.
///
/// # Errors
/// It is no whole number of patches.
pub(crate) fn local_size(d: &DinoSpec, info: &BackboneInfo) -> Result<usize> {
    let patch = info.patch.max(1);
    let local = d.local_size.unwrap_or_else(|| (info.image * 3 / 7 / patch).max(1) * patch);
    if local == 0 || !local.is_multiple_of(patch) || local > info.image {
        return bad_spec!(
            "`objective.dino.local_size: {local}` must be a multiple of the patch ({patch}) and at most {}",
            info.image
        );
    }
    Ok(local)
}

impl Crops {
    pub(super) fn new(spec: &PretrainSpec, job: &Job) -> Result<Self> {
        let d = spec.objective.dino.clone().unwrap_or_default();
        let config = spec.backbone.json();
        let info = job.plugins.backbone_info(&spec.backbone.plugin, &config)?;
        let local = local_size(&d, &info)?;
        let store = ParamStore::new(&job.device, DType::F32, spec.seed);
        let ctx = RunCtx::new(&job.device, DType::F32, spec.seed).in_bf16(spec.optim.precision.half());
        let backbone = |store: &ParamStore| {
            job.plugins.backbone(&spec.backbone.plugin, &config, Purpose::Pretrain, store, "", &ctx)
        };
        let student = Network::new(&d, backbone(&store)?, &store)?;
        let twin = store.detached_copy()?;
        let teacher = Network::new(&d, backbone(&twin)?, &twin)?;

        let roots: Vec<PathBuf> = spec.data.sets.iter().map(|set| job.data_root.join(set)).collect();
        let mut source = FaceSource::open(&roots)?;
        if let Some(limit) = spec.data.limit {
            source.truncate(limit);
        }
        if source.is_empty() {
            return bad_spec!("{}: no image left to train on", roots[0].display());
        }
        let stamp = DataStamp {
            dataset: spec.data.sets.join("+"),
            samples: source.len(),
            videos: source.len(),
            sha256: DataStamp::digest((0..source.len()).map(|i| (source.id(i).to_owned(), 0))),
            synthetic: source.synthetic(),
        };
        let crops = MultiCrop {
            global: info.image,
            local,
            locals: d.local_crops,
            global_area: d.global_area,
            local_area: d.local_area,
            colour: d.colour,
        };
        Ok(Self {
            start_decay: spec.optim.weight_decay,
            faces: Arc::new(Faces { source, crops, seed: spec.seed }),
            stamp,
            info,
            student,
            teacher,
            store,
            twin,
            centre: Centre::new(&d, &job.device)?,
            ctx,
            device: job.device.clone(),
            spec: d,
        })
    }

    /// Views of one size, stacked: `count` tensors (B, 3, s, s).
    fn stack(&self, pixels: &[f32], count: usize, side: usize) -> Result<Option<Tensor>> {
        if count == 0 {
            return Ok(None);
        }
        let rows = pixels.len() / (3 * side * side);
        Ok(Some(Tensor::from_slice(pixels, (rows, 3, side, side), &self.device)?))
    }

    /// (n·B, K) → n × (B, K)
    fn split(all: &Tensor, views: usize) -> Result<Vec<Tensor>> {
        let b = all.dim(0)? / views;
        (0..views).map(|v| Ok(all.narrow(0, v * b, b)?)).collect()
    }
}

impl Task for Crops {
    type Raw = Views;

    fn columns(&self) -> &'static [&'static str] {
        &["loss", "marginal_entropy", "row_entropy", "teacher_temp", "lr"]
    }

    fn store(&self) -> &ParamStore {
        &self.store
    }

    fn faces(&self) -> (usize, &DataStamp) {
        (self.faces.source.len(), &self.stamp)
    }

    fn statistics(&self, told: &dyn Fn(&str)) -> Result<Normalise> {
        Ok(self.faces.source.statistics(self.info.image, told)?)
    }

    fn maker(&self, normalise: Normalise) -> Setting<Views> {
        let faces = Arc::clone(&self.faces);
        Arc::new(move |indices, epoch, _| {
            let mut views: Vec<Vec<Rgb>> = Vec::with_capacity(indices.len());
            let mut ids = Vec::with_capacity(indices.len());
            for &i in indices {
                views.push(faces.views(i, epoch)?);
                ids.push(faces.source.id(i).to_owned());
            }
            let gather = |kinds: std::ops::Range<usize>| {
                kinds
                    .flat_map(|v| views.iter().map(move |of| &of[v]))
                    .flat_map(|p| normalise.apply(p))
                    .collect()
            };
            Ok(Views { global: gather(0..2), local: gather(2..2 + faces.crops.locals), ids })
        })
    }

    fn inputs(&self, raw: &Views) -> Result<BTreeMap<String, Tensor>> {
        let crops = &self.faces.crops;
        let parts =
            [("global", &raw.global, 2, crops.global), ("local", &raw.local, crops.locals, crops.local)];
        let mut out = BTreeMap::new();
        for (name, pixels, count, side) in parts {
            out.extend(self.stack(pixels, count, side)?.map(|t| (name.to_owned(), t)));
        }
        Ok(out)
    }

    fn loss(&mut self, raw: &Views, when: &Moment) -> Result<(Tensor, Vec<f64>)> {
        let crops = self.faces.crops;
        let global = self.stack(&raw.global, 2, crops.global)?.expect("there are two");
        self.ctx.eval();
        let seen = Self::split(&self.teacher.forward(&global, &self.ctx)?.detach(), 2)?;
        let temperature = dino::teacher_temperature(&self.spec, when.first_e);
        let targets = seen
            .iter()
            .map(|t| dino::targets(t, &self.centre.value, temperature))
            .collect::<Result<Vec<_>>>()?;
        self.ctx.train(when.step);
        let mut views = Self::split(&self.student.forward(&global, &self.ctx)?, 2)?;
        if let Some(local) = self.stack(&raw.local, crops.locals, crops.local)? {
            views.extend(Self::split(&self.student.forward(&local, &self.ctx)?, crops.locals)?);
        }
        let loss = dino::loss(&views, &targets, self.spec.student_temp)?;
        self.centre.see(&seen)?;
        let value = loss.detach().to_dtype(DType::F64)?.to_scalar::<f64>()?;
        let (marginal, row) = dino::entropies(&targets)?;
        Ok((loss, vec![value, marginal, row, temperature, when.lr]))
    }

    fn update(&mut self, descent: &mut Descent, when: &Moment) -> Result<()> {
        let first = when.first_e;
        if self.start_decay > 0.0 {
            let decay = dino::cosine(first, when.epochs, self.start_decay, self.spec.weight_decay_end);
            descent.set_decay_factor(decay / self.start_decay);
        }
        if first < self.spec.freeze_last_layer {
            descent.rest(dino::LAST);
        }
        descent.step(when.first_lr)?;
        self.centre.update()?;
        let momentum = dino::cosine(first, when.epochs, self.spec.teacher_momentum, 1.0);
        dino::follow(&self.twin, &self.store, momentum)
    }

    fn drop_gathered(&mut self) {
        self.centre.forget();
    }

    fn message(&self, values: &[f64]) -> String {
        format!("loss {:.4} (entropy {:.2} of rows {:.2})", values[0], values[1], values[2])
    }

    fn state(&self, all: &mut BTreeMap<String, Tensor>) {
        put(all, "online", self.store.tensors());
        put(all, "target", self.twin.tensors());
        all.insert("centre.value".into(), self.centre.value.clone());
    }

    fn load_state(&mut self, all: &BTreeMap<String, Tensor>) -> Result<()> {
        self.store.set_all(&take(all, "online"))?;
        self.twin.set_all(&take(all, "target"))?;
        let Some(centre) = all.get("centre.value") else {
            return bad_spec!("the resume state has no centre");
        };
        self.centre.value = centre.to_device(&self.device)?;
        Ok(())
    }

    fn model(&self) -> BTreeMap<String, Tensor> {
        // the teacher is the model; its head has done its work
        self.twin.tensors().into_iter().filter(|(name, _)| !name.starts_with(dino::HEAD)).collect()
    }

    fn picture(&self, title: &str, normalise: &Normalise, epoch: usize, examples: &[usize]) -> Result<Rgb> {
        let _ = normalise; // views are drawn before normalisation
        let shown = 2 + self.faces.crops.locals.min(4);
        let mut rows = Vec::new();
        for &i in examples {
            let mut pictures = self.faces.views(i, epoch)?;
            pictures.truncate(shown);
            rows.push(Row { name: self.faces.source.id(i).to_owned(), pictures });
        }
        let columns: Vec<String> = (0..shown)
            .map(|v| if v < 2 { format!("large {}", v + 1) } else { format!("small {}", v - 1) })
            .collect();
        Ok(grid::draw(title, &columns, &rows))
    }

    fn leave(&self, _: &Job, _: &Normalise, _: usize) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}
