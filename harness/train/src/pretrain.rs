//! Self-supervised pre-training: one linear loop.
//!
//! Each micro-batch: masks → online loss → gradients; each `accum` micro-batches: learning rate for
//! this fractional epoch → clip → AdamW; after every micro-batch the target follows (method.md §3.8,
//! §4). Incomplete batches and left-over micro-batches at the end of an epoch are dropped, as in the
//! published recipe. Writes `model.safetensors` (all online parameters, names as released),
//! `curves.csv` and the pieces of the reconstruction picture.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use candle_core::{DType, Tensor};
use facebench_data::loader;
use facebench_data::transform::Normalise;
use facebench_engine::optim::ema_update;
use facebench_engine::{ParamStore, checkpoint, schedule};
use facebench_host::{Purpose, RunCtx};
use facebench_protocols::Params;
use serde::{Deserialize, Serialize};

use crate::batches::{full_batches, order};
use crate::curves::{Curves, Means};
use crate::descent::{Descent, Treatment, is_matrix};
use crate::error::{Error, Result, bad_spec};
use crate::faces::{Faces, RawBatch};
use crate::job::{Done, Job, Outcome};
use crate::pictures;
use crate::spec::{PretrainSpec, TargetUpdate};
use crate::state::{Keeper, put, take};
use crate::threec::{MaskedBatch, Online, Target};

/// Name of the checkpoint in the unit's folder.
pub const MODEL: &str = "model.safetensors";

/// Where the loop is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Position {
    epoch: usize,
    batch: usize,
    images: u64,
    seconds: f64,
    waited: f64,
    means: Means,
    curves: Curves,
    normalise: Option<([f32; 3], [f32; 3])>,
}

/// Runs `spec` to its end or until the job is stopped.
pub fn pretrain(spec: &PretrainSpec, job: &Job) -> Result<Outcome> {
    let optim = &spec.optim;
    if optim.epochs == 0 || optim.batch == 0 || optim.accum == 0 {
        return bad_spec!("`optim.epochs`, `optim.batch` and `optim.accum` must be at least 1");
    }

    // ---- the network
    let config = spec.backbone.json();
    let info = job.plugins.backbone_info(&spec.backbone.plugin, &config)?;
    let store = ParamStore::new(&job.device, DType::F32, spec.seed);
    let ctx = RunCtx::new(&job.device, DType::F32, spec.seed);
    let backbone =
        job.plugins.backbone(&spec.backbone.plugin, &config, Purpose::Pretrain, &store, "", &ctx)?;
    let online = Online::new(&spec.objective, backbone, &store)?;
    let twin = store.detached_copy()?;
    let target = match &spec.objective.similarity {
        Some(s) => {
            let backbone =
                job.plugins.backbone(&spec.backbone.plugin, &config, Purpose::Pretrain, &twin, "", &ctx)?;
            Some(Target::new(s, backbone, &twin)?)
        }
        None => None,
    };
    let mut descent = Descent::new(&store, optim.betas, optim.weight_decay, optim.clip, |name, rank| {
        Ok(Treatment { lr_scale: 1.0, decays: is_matrix(name, rank) })
    })?;

    // ---- the data
    let faces = Arc::new(Faces::open(spec, &info, job)?);
    let batch_size = optim.batch.min(faces.len());
    let per_epoch = full_batches(&order("pretrain-order", spec.seed, 0, faces.len()), batch_size).len();
    if per_epoch < optim.accum {
        return bad_spec!(
            "an epoch has {per_epoch} batches, fewer than `optim.accum: {}`: no update would ever happen\n\
             hint: lower `optim.batch` or `optim.accum`",
            optim.accum
        );
    }
    let peak = schedule::scaled_lr(optim.blr, batch_size * optim.accum);

    // ---- where we were
    let mut keeper = Keeper::new(job.state, spec);
    let mut at = Position {
        curves: Curves::new(&["loss", "rec", "region", "similarity", "lr"]),
        ..Position::default()
    };
    if let Some((tensors, position)) = keeper.load::<Position>()? {
        store.set_all(&take(&tensors, "online"))?;
        twin.set_all(&take(&tensors, "target"))?;
        descent.load_state(&take(&tensors, "optim"))?;
        at = position;
        job.progress.note(&format!("goes on at epoch {} of {}", at.epoch, optim.epochs));
    }
    let normalise = match at.normalise {
        Some((mean, std)) => Normalise { mean, std },
        None => faces.statistics(&|text| job.progress.note(text))?,
    };
    at.normalise = Some((normalise.mean, normalise.std));

    // ---- the loop
    let total_steps = (optim.epochs * per_epoch) as u64;
    job.progress.phase("pre-train", total_steps);
    while at.epoch < optim.epochs {
        let batches = full_batches(&order("pretrain-order", spec.seed, at.epoch, faces.len()), batch_size);
        let jobs: Vec<(usize, Vec<usize>)> = batches.into_iter().enumerate().skip(at.batch).collect();
        let (shared, epoch, norm) = (Arc::clone(&faces), at.epoch, normalise);
        let mut ahead =
            loader::ordered(jobs, job.workers, 2 * job.workers.max(1), move |(number, indices)| {
                shared.batch(&indices, epoch, number, &norm)
            });
        let mut began = Instant::now();
        for raw in ahead.by_ref() {
            let raw: RawBatch = raw?;
            let step = (at.epoch * per_epoch + at.batch) as u64;
            let e = at.epoch as f64 + at.batch as f64 / per_epoch as f64;
            let lr = schedule::warmup_cosine(e, optim.epochs as f64, optim.warmup_epochs, peak, optim.min_lr);

            let batch = to_device(&raw, &info, job)?;
            ctx.train(step);
            let terms = online.loss(&batch, target.as_ref(), &ctx)?;
            let total = terms.total.detach().to_dtype(DType::F64)?.to_scalar::<f64>()?;
            if !total.is_finite() {
                return Err(Error::NotFinite {
                    what: format!(
                        "loss (rec {}, region {}, similarity {})",
                        terms.rec, terms.region, terms.similarity
                    ),
                    value: total,
                    at: format!("epoch {}, batch {}", at.epoch, at.batch),
                    inputs: raw.ids.join(", "),
                });
            }
            descent.gather(&terms.total, optim.accum)?;
            let updates = (at.batch + 1).is_multiple_of(optim.accum);
            if updates {
                // the rate of the first micro-batch of the group, as published
                let first = at.epoch as f64 + (at.batch + 1 - optim.accum) as f64 / per_epoch as f64;
                let lr = schedule::warmup_cosine(
                    first,
                    optim.epochs as f64,
                    optim.warmup_epochs,
                    peak,
                    optim.min_lr,
                );
                descent.step(lr)?;
            }
            if let Some(s) = spec.objective.similarity.as_ref().filter(|s| s.target == TargetUpdate::Ema) {
                ema_update(&twin, &store, schedule::ema_momentum(step, total_steps, s.momentum))?;
            }

            at.means.add(&[total, terms.rec, terms.region, terms.similarity, lr]);
            at.batch += 1;
            at.images += raw.size as u64;
            job.progress.tick(
                step + 1,
                &format!(
                    "epoch {} loss {total:.4} (rec {:.4} sim {:.4})",
                    at.epoch, terms.rec, terms.similarity
                ),
            );

            if updates && (job.stopped() || keeper.due()) {
                at.seconds += began.elapsed().as_secs_f64();
                began = Instant::now();
                save(&mut keeper, &store, &twin, &descent, &at)?;
                if job.stopped() {
                    return Ok(Outcome::Interrupted);
                }
            }
        }
        at.seconds += began.elapsed().as_secs_f64();
        at.waited += ahead.waited().as_secs_f64();
        at.curves.rows.push(at.means.means());
        at.means = Means::default();
        at.epoch += 1;
        at.batch = 0;
        descent.drop_gathered(); // left-over micro-batches do not reach into the next epoch
        if job.stopped() && at.epoch < optim.epochs {
            save(&mut keeper, &store, &twin, &descent, &at)?;
            return Ok(Outcome::Interrupted);
        }
    }

    // ---- what it leaves
    let metadata = BTreeMap::from([
        ("facebench".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("backbone".to_owned(), serde_json::to_string(&spec.backbone).expect("plain data")),
        (
            "normalise".to_owned(),
            serde_json::to_string(&(normalise.mean, normalise.std)).expect("plain data"),
        ),
        ("synthetic".to_owned(), faces.synthetic.to_string()),
    ]);
    checkpoint::write_safetensors(&job.dir.join(MODEL), &store.tensors(), &metadata)?;
    at.curves.write_csv(&job.dir.join("curves.csv"))?;
    let examples: Vec<usize> = (0..faces.len().min(pictures::EXAMPLES)).collect();
    let raw = faces.batch(&examples, optim.epochs, 0, &normalise)?;
    let batch = to_device(&raw, &info, job)?;
    ctx.eval();
    let rebuilt = online.reconstruct(&batch, &ctx)?;
    pictures::write(&job.dir.join("pictures"), &raw, &rebuilt, &info, &normalise, faces.synthetic)?;

    let count = store.count();
    let last = at.curves.rows.last().cloned().unwrap_or_default();
    let mut notes = vec![format!(
        "final epoch: loss {:.4}, rec {:.4}, region {:.4}, similarity {:.4}",
        last[0], last[1], last[2], last[3]
    )];
    if faces.without_map > 0 {
        notes.push(format!(
            "{} images without parsing map: policy {:?}",
            faces.without_map, spec.masking.on_missing
        ));
    }
    Ok(Outcome::Done(Box::new(Done {
        params: Params { total: count.total, trained: count.trainable },
        data: vec![faces.stamp.clone()],
        synthetic: faces.synthetic,
        images: at.images,
        loop_s: at.seconds,
        data_wait: if at.seconds > 0.0 { at.waited / at.seconds } else { 0.0 },
        notes,
        evaluation: None,
    })))
}

fn save(
    keeper: &mut Keeper,
    store: &ParamStore,
    twin: &ParamStore,
    descent: &Descent,
    at: &Position,
) -> Result<()> {
    let mut all = BTreeMap::new();
    put(&mut all, "online", store.tensors());
    put(&mut all, "target", twin.tensors());
    put(&mut all, "optim", descent.state()?);
    keeper.save(&all, at)
}

fn to_device(raw: &RawBatch, info: &facebench_host::BackboneInfo, job: &Job) -> Result<MaskedBatch> {
    let (b, s, n) = (raw.size, info.image, info.grid.0 * info.grid.1);
    let floats = |bits: &[u8]| bits.iter().map(|&x| f32::from(x)).collect::<Vec<f32>>();
    Ok(MaskedBatch {
        images: Tensor::from_slice(&raw.pixels, (b, 3, s, s), &job.device)?,
        keep: Tensor::from_slice(&raw.keep, (b, raw.keep.len() / b), &job.device)?,
        mask: Tensor::from_vec(floats(&raw.mask), (b, n), &job.device)?,
        region: Tensor::from_vec(floats(&raw.region), (b, n), &job.device)?,
        covered: raw.region.iter().filter(|&&x| x == 1).count(),
    })
}
