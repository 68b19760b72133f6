//! Self-supervised pre-training: one linear loop for every objective.
//!
//! What differs between objectives is a [`Task`]: how a batch is made, its loss, what moves at an update.
//! Each micro-batch: loss → gradients; each `accum` micro-batches: learning rate for this fractional epoch → clip →
//! AdamW (method.md §3.8, §4). Incomplete batches and left-over micro-batches at the end of an epoch are dropped, as
//! in the published recipe. Worker threads make batches ahead, across the ends of epochs, and hold a fixed number of
//! them. A loss that is not a number goes back to the last checkpoint `watch.retries` times and then stops with the
//! step's inputs on the disk. Writes `model.safetensors`, `curves.csv`, event files and pictures.

mod crops;
mod masked;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use candle_core::Tensor;
use facebench_data::image::Rgb;
use facebench_data::loader;
use facebench_data::transform::Normalise;
use facebench_engine::{ParamStore, checkpoint, recompute, schedule};
use facebench_protocols::{DataStamp, Params};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::batches::order;
use crate::curves::{Curves, Means};
use crate::descent::{Descent, Treatment, is_matrix};
use crate::error::{Error, Result, bad_spec};
use crate::job::{Done, Job, Outcome};
use crate::pictures;
use crate::spec::{ObjectiveKind, Optimiser, PretrainSpec, refuse};
use crate::state::{Keeper, put, take};
use crate::watch::{self, Speed, Trace, Watch, dump};

pub(crate) use crops::local_size;

/// Name of the checkpoint in the unit's folder.
pub const MODEL: &str = "model.safetensors";

/// Makes the batch of some images in (epoch, batch of the epoch); called from worker threads.
type Setting<R> = Arc<dyn Fn(&[usize], usize, usize) -> Result<R> + Send + Sync>;

/// A batch as plain numbers.
trait Raw: Send + 'static {
    /// Names of its images.
    fn ids(&self) -> &[String];
    /// Images without a usable parsing map: masked at random, left out, and what is wrong with the first such map.
    fn fallbacks(&self) -> (usize, usize, Option<&str>) {
        (0, 0, None)
    }
}

/// Where in the schedules a step is.
struct Moment {
    /// Micro-batch, from 0, of the whole run
    step: u64,
    /// Micro-batches of the whole run
    total: u64,
    /// Fractional epoch of the first micro-batch of the update, which counts, as published
    first_e: f64,
    /// Epochs of the run
    epochs: f64,
    /// Learning rate at this micro-batch, for the curves
    lr: f64,
    /// Learning rate at `first_e`
    first_lr: f64,
}

/// An objective in the loop.
trait Task {
    type Raw: Raw;
    /// Names of what [`Task::loss`] reports; the loss comes first.
    fn columns(&self) -> &'static [&'static str];
    /// The parameters that train.
    fn store(&self) -> &ParamStore;
    /// Number of images and what they are.
    fn faces(&self) -> (usize, &DataStamp);
    /// Channel statistics.
    fn statistics(&self, told: &dyn Fn(&str)) -> Result<Normalise>;
    /// How batches are made.
    fn maker(&self, normalise: Normalise) -> Setting<Self::Raw>;
    /// The tensors of a batch, by name.
    fn inputs(&self, raw: &Self::Raw) -> Result<BTreeMap<String, Tensor>>;
    /// The loss with its graph, and the values of the columns.
    fn loss(&mut self, raw: &Self::Raw, when: &Moment) -> Result<(Tensor, Vec<f64>)>;
    /// One update from the gathered gradients.
    fn update(&mut self, descent: &mut Descent, when: &Moment) -> Result<()>;
    /// After every micro-batch.
    fn after(&mut self, _when: &Moment) -> Result<()> {
        Ok(())
    }
    /// What was gathered for an update that never comes is forgotten.
    fn drop_gathered(&mut self) {}
    /// A step's values for people.
    fn message(&self, values: &[f64]) -> String;
    /// Adds what must survive an interruption, besides the optimiser.
    fn state(&self, all: &mut BTreeMap<String, Tensor>);
    /// Restores [`Task::state`].
    fn load_state(&mut self, all: &BTreeMap<String, Tensor>) -> Result<()>;
    /// The tensors of the result.
    fn model(&self) -> BTreeMap<String, Tensor>;
    /// What the network makes of these images.
    fn picture(&self, title: &str, normalise: &Normalise, epoch: usize, examples: &[usize]) -> Result<Rgb>;
    /// Writes what else belongs to the result; returns remarks.
    fn leave(&self, job: &Job, normalise: &Normalise, epoch: usize) -> Result<Vec<String>>;
}

/// Where the loop is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Position {
    epoch: usize,
    batch: usize,
    images: u64,
    /// Passes of images without a usable parsing map: masked at random, left out
    #[serde(default)]
    fallbacks: (u64, u64),
    seconds: f64,
    waited: f64,
    means: Means,
    curves: Curves,
    normalise: Option<([f32; 3], [f32; 3])>,
    trace: Trace,
}

/// Refuses settings of one objective beside the other.
pub(crate) fn check_objective(spec: &PretrainSpec) -> Result<()> {
    match (spec.objective.kind, &spec.objective.dino) {
        (ObjectiveKind::Dino, d) => crops::check(spec, &d.clone().unwrap_or_default()),
        (ObjectiveKind::ThreeC, Some(_)) => bad_spec!(
            "`objective.dino` is given, but `objective.kind` is `3c`\nhint: set `objective.kind: dino`, or remove it"
        ),
        (ObjectiveKind::ThreeC, None) => Ok(()),
    }
}

/// Runs `spec` to its end or until the job is stopped.
pub fn pretrain(spec: &PretrainSpec, job: &Job) -> Result<Outcome> {
    check_objective(spec)?;
    refuse("", &spec.validate())?;
    let mut tried = 0;
    loop {
        let ended = match spec.objective.kind {
            ObjectiveKind::ThreeC => run(masked::Masked::new(spec, job)?, spec, job, tried),
            ObjectiveKind::Dino => run(crops::Crops::new(spec, job)?, spec, job, tried),
        };
        match ended {
            Err(Error::NotFinite { what, value, at, .. }) if tried < spec.watch.retries => {
                tried += 1;
                job.progress.note(&format!(
                    "{what} is {value} at {at}: back to the last checkpoint, try {tried} of {}",
                    spec.watch.retries
                ));
            }
            ended => return ended,
        }
    }
}

/// The order of the images in the epochs that are being read: one or two at a time.
struct Orders {
    seed: u64,
    images: usize,
    recent: Mutex<BTreeMap<usize, Arc<Vec<usize>>>>,
}

impl Orders {
    fn of(&self, epoch: usize) -> Arc<Vec<usize>> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let made = recent
            .entry(epoch)
            .or_insert_with(|| Arc::new(order("pretrain-order", self.seed, epoch, self.images)));
        let made = Arc::clone(made);
        recent.retain(|e, _| *e + 2 > epoch);
        made
    }
}

fn run<T: Task>(mut task: T, spec: &PretrainSpec, job: &Job, tried: usize) -> Result<Outcome> {
    let optim = &spec.optim;
    if optim.epochs == 0 || optim.batch == 0 || optim.accum == 0 {
        return bad_spec!("`optim.epochs`, `optim.batch` and `optim.accum` must be at least 1");
    }
    let mut descent = Descent::new(
        task.store(),
        optim.optimiser,
        optim.betas,
        optim.weight_decay,
        optim.clip,
        |name, rank| {
            let decays = optim.optimiser == Optimiser::Adam || is_matrix(name, rank);
            Ok(Treatment { lr_scale: 1.0, decays })
        },
    )?;
    let (images, stamp) = task.faces();
    let stamp = stamp.clone();
    let batch_size = optim.batch.min(images);
    let per_epoch = images / batch_size;
    if per_epoch < optim.accum {
        return bad_spec!(
            "an epoch has {per_epoch} batches, fewer than `optim.accum: {}`: no update would ever happen\n\
             hint: lower `optim.batch` or `optim.accum`",
            optim.accum
        );
    }
    crate::descent::check_device(optim.activation_checkpointing, optim.precision, "optim", job)?;
    let peak = schedule::scaled_lr(optim.blr, batch_size * optim.accum);

    // ---- where we were
    let mut keeper = Keeper::new(job.state, spec);
    let mut at = Position { curves: Curves::new(task.columns()), ..Position::default() };
    if let Some((tensors, position)) = keeper.load::<Position>()? {
        task.load_state(&tensors)?;
        descent.load_state(&take(&tensors, "optim"))?;
        at = position;
        job.progress.note(&format!("goes on at epoch {} of {}", at.epoch, optim.epochs));
    }
    let normalise = match at.normalise {
        Some((mean, std)) => Normalise { mean, std },
        None => task.statistics(&|text| job.progress.note(text))?,
    };
    at.normalise = Some((normalise.mean, normalise.std));

    // ---- the loop
    let total = (optim.epochs * per_epoch) as u64;
    let examples: Vec<usize> = (0..images.min(pictures::EXAMPLES)).collect();
    let pictures_every = spec.watch.pictures_every.unwrap_or(optim.epochs.div_ceil(5)).max(1);
    let mut watch = Watch::open(job.state, &at.curves.columns, &at.trace, total, stamp.synthetic)?;
    job.progress.phase("pre-train", total);
    let mut ahead = {
        let (make, begin) = (task.maker(normalise), at.epoch * per_epoch + at.batch);
        let orders = Orders { seed: spec.seed, images, recent: Mutex::default() };
        loader::counted(total as usize - begin, job.workers, 2 * job.workers.max(1), move |k| {
            let (epoch, batch) = ((begin + k) / per_epoch, (begin + k) % per_epoch);
            make(&orders.of(epoch)[batch * batch_size..(batch + 1) * batch_size], epoch, batch)
        })
    };
    let (mut began, mut waited, mut speed, mut here) = (Instant::now(), 0.0, Speed::new(), 0u64);
    let mut memory: Vec<u64> = Vec::new(); // at the ends of the epochs of this process
    while at.epoch < optim.epochs {
        while at.batch < per_epoch {
            let Some(raw) = ahead.next() else { break };
            let raw = raw?;
            let (at_random, left_out, why) = raw.fallbacks();
            if let Some(first) = why.filter(|_| at.fallbacks == (0, 0)) {
                let policy = spec.masking.on_missing;
                job.progress.note(&format!("a parsing map cannot be used (policy {policy:?}): {first}"));
            }
            at.fallbacks.0 += at_random as u64;
            at.fallbacks.1 += left_out as u64;
            let fraction = |batch: usize| at.epoch as f64 + batch as f64 / per_epoch as f64;
            let rate =
                |e| schedule::warmup_cosine(e, optim.epochs as f64, optim.warmup_epochs, peak, optim.min_lr);
            let (e, first_e) = (fraction(at.batch), fraction(at.batch - at.batch % optim.accum));
            let when = Moment {
                step: (at.epoch * per_epoch + at.batch) as u64,
                total,
                first_e,
                epochs: optim.epochs as f64,
                lr: rate(e),
                first_lr: rate(first_e),
            };
            let (loss, values) = recompute(optim.activation_checkpointing, || task.loss(&raw, &when))?;
            if !values[0].is_finite() {
                let stopped = not_finite(&task, &raw, &values, &at, &when, job, tried >= spec.watch.retries)?;
                return Err(stopped);
            }
            descent.gather(&loss, optim.accum)?;
            drop(loss);
            let updates = (at.batch + 1).is_multiple_of(optim.accum);
            if updates {
                task.update(&mut descent, &when)?;
            }
            task.after(&when)?;

            at.means.add(&values);
            at.batch += 1;
            at.images += raw.ids().len() as u64;
            here += raw.ids().len() as u64;
            speed.hear(here, ahead.waited().as_secs_f64());
            watch.step(&mut at.trace, when.step, &values, &speed)?;
            job.progress.tick(
                when.step + 1,
                &format!(
                    "epoch {}/{} {}, {:.0} img/s, data wait {:.0} %",
                    at.epoch + 1,
                    optim.epochs,
                    task.message(&values),
                    speed.images,
                    100.0 * speed.waiting
                ),
            );
            if updates && (job.stopped() || keeper.due()) {
                clock(&mut at, &mut began, &mut waited, ahead.waited().as_secs_f64());
                save(&mut keeper, &task, &descent, &at)?;
                if job.stopped() {
                    return Ok(Outcome::Interrupted);
                }
            }
        }
        clock(&mut at, &mut began, &mut waited, ahead.waited().as_secs_f64());
        at.curves.rows.push(at.means.means());
        at.means = Means::default();
        at.epoch += 1;
        at.batch = 0;
        // left-over micro-batches do not reach into the next epoch
        descent.drop_gathered();
        task.drop_gathered();
        watch.curves(&at.curves)?;
        if at.epoch.is_multiple_of(pictures_every) || at.epoch == optim.epochs {
            let title = format!("epoch {} of {}", at.epoch, optim.epochs);
            let picture = task.picture(&title, &normalise, at.epoch, &examples)?;
            watch.picture(at.epoch, (at.epoch * per_epoch) as u64, &picture)?;
        }
        memory.extend(watch::resident());
        if job.stopped() && at.epoch < optim.epochs {
            save(&mut keeper, &task, &descent, &at)?;
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
        ("synthetic".to_owned(), stamp.synthetic.to_string()),
    ]);
    checkpoint::write_safetensors(&job.dir.join(MODEL), &task.model(), &metadata)?;
    at.curves.write_csv(&job.dir.join("curves.csv"))?;
    watch.publish(job.dir)?;
    let last = at.curves.rows.last().cloned().unwrap_or_default();
    let named: Vec<String> =
        at.curves.columns.iter().zip(&last).take(4).map(|(c, v)| format!("{c} {v:.4}")).collect();
    let mut notes = vec![format!("final epoch: {}", named.join(", "))];
    notes.extend(task.leave(job, &normalise, optim.epochs)?);
    if let [_, second, .., end] = memory[..] {
        let mib = |bytes: u64| bytes / (1 << 20);
        notes.push(format!("memory: {} MiB after 2 epochs, {} MiB at the end", mib(second), mib(end)));
    }
    let count = task.store().count();
    let (at_random, left_out) = at.fallbacks;
    for (count, what) in [(at_random, "masked at random"), (left_out, "left out")] {
        if count > 0 {
            notes.push(format!(
                "{count} of {} image passes had no usable parsing map and were {what}",
                at.images + left_out
            ));
        }
    }
    Ok(Outcome::Done(Box::new(Done {
        params: Params { total: count.total, trained: count.trainable },
        synthetic: stamp.synthetic,
        data: vec![stamp],
        images: at.images,
        loop_s: at.seconds,
        data_wait: if at.seconds > 0.0 { at.waited / at.seconds } else { 0.0 },
        notes,
        evaluation: None,
    })))
}

/// Adds the time since the last call; `waited` is the loader's total at that call.
fn clock(at: &mut Position, began: &mut Instant, waited: &mut f64, now: f64) {
    at.seconds += began.elapsed().as_secs_f64();
    at.waited += now - *waited;
    (*began, *waited) = (Instant::now(), now);
}

/// The error of a loss that is not a number; the last one leaves the step's inputs behind.
fn not_finite<T: Task>(
    task: &T,
    raw: &T::Raw,
    values: &[f64],
    at: &Position,
    when: &Moment,
    job: &Job,
    last: bool,
) -> Result<Error> {
    let terms: Vec<String> =
        at.curves.columns.iter().zip(values).skip(1).map(|(c, v)| format!("{c} {v}")).collect();
    let inputs = if last {
        let named: BTreeMap<&String, String> =
            at.curves.columns.iter().zip(values.iter().map(ToString::to_string)).collect();
        let step = json!({
            "epoch": at.epoch, "batch": at.batch, "step": when.step, "lr": when.lr, "values": named,
            "samples": raw.ids(),
        });
        dump::write(job.state, &task.inputs(raw)?, &step)?.display().to_string()
    } else {
        String::new()
    };
    Ok(Error::NotFinite {
        what: format!("loss ({})", terms.join(", ")),
        value: values[0],
        at: format!("epoch {}, batch {}", at.epoch, at.batch),
        inputs,
    })
}

fn save<T: Task>(keeper: &mut Keeper, task: &T, descent: &Descent, at: &Position) -> Result<()> {
    let mut all = BTreeMap::new();
    task.state(&mut all);
    put(&mut all, "optim", descent.state()?);
    keeper.save(&all, at)
}
