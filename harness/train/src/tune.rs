//! Tuning one backbone with one head: the second linear loop.
//!
//! Frames → (augment, mix) → backbone → head → soft-target cross entropy plus the head's own term →
//! AdamW with layer-wise rates, or Adam (method.md §5, §6). After each epoch the development set is scored, and the
//! weights are kept if a selection rule wants them; the test sets are looked at for the `oracle` rule only, when it is
//! asked for. When features cannot change (frozen backbone, nothing random), they are computed once.
//! Writes `epoch-K.safetensors` for each epoch a rule chose (trained parameters only),
//! `selection.json` and `curves.csv`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use candle_core::DType;
use facebench_engine::{checkpoint, ops::losses, recompute, schedule};
use facebench_protocols::{Protocol, Sample};
use serde::{Deserialize, Serialize};

use crate::batches::{groups, tuning_batches};
use crate::cache;
use crate::curves::{Curves, Means};
use crate::descent::{Descent, Treatment, check_device, is_matrix};
use crate::detector::{Detector, FeatureBatch, Features};
use crate::error::{Error, Result, at, bad_spec};
use crate::fit;
use crate::frames::{FoldData, FrameReader, Training};
use crate::job::{Done, Job, Outcome};
use crate::mix::{self, Mix};
use crate::select::{Chosen, Chosens, SELECTION, choose, dev_metrics, test_value};
use crate::spec::{LrSchedule, Optimiser, Sampling, TuneRecipe, TuneSpec, refuse};
use crate::state::{Keeper, put, take};

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Position {
    epoch: usize,
    batch: usize,
    images: u64,
    seconds: f64,
    waited: f64,
    means: Means,
    curves: Curves,
    chosen: Chosens,
}

/// A set of frames with its features, where they cannot change.
struct Set<'a> {
    name: &'a str,
    samples: &'a [Sample],
    reader: &'a FrameReader,
    features: Option<Features>,
}

impl Set<'_> {
    /// Logit margins in the samples' order; `None` when the job was stopped.
    fn margins(&self, detector: &Detector, batch: usize, job: &Job) -> Result<Option<Vec<f64>>> {
        match &self.features {
            Some(features) => detector.score_features(features, batch).map(Some),
            None => detector.score(self.reader, self.samples, batch, job),
        }
    }
}

/// Runs `spec` to its end or until the job is stopped.
pub fn tune(spec: &TuneSpec, protocol: &Protocol, job: &Job) -> Result<Outcome> {
    let recipe = &spec.recipe;

    // ---- data, network, optimiser
    let data = FoldData::open(protocol, &spec.fold, &job.data_root)?;
    let (train, dev) = (&data.assembled.train, &data.assembled.dev);
    both_classes("training", train)?;
    both_classes("development", dev)?;
    let batch_size = recipe.batch.min(train.len());
    let frames = match recipe.sampling {
        Sampling::PerSource => batch_size * groups(train, 0..train.len()).len(),
        _ => batch_size,
    };
    check(recipe, frames)?;
    check_device(recipe.activation_checkpointing, recipe.precision, "recipe", job)?;
    // a batch of one class is found before training, not after the first epoch
    dev_metrics(dev, &vec![0.0; dev.len()], recipe.validation, recipe.batch, spec.seed)?;
    let detector = Detector::build(spec, job, train.len())?;
    let mut descent = descent(&detector, recipe)?;
    refuse("recipe.", &recipe.validate(!descent.is_empty()))?;
    let reader = |mode| FrameReader::new(detector.info.image, mode, detector.normalise, spec.seed);
    let test_reader = reader(protocol.test_transform);
    let val_reader = reader(recipe.val_transform.unwrap_or(protocol.test_transform));
    let deal =
        |epoch| tuning_batches(train, recipe.sampling, spec.seed, epoch, batch_size, recipe.epoch_batches);
    // a head without parameters to train (k-NN) is measured once
    let (per_epoch, epochs) = if descent.is_empty() { (0, 1) } else { (deal(0).len(), recipe.epochs) };
    let peak = recipe.lr.unwrap_or_else(|| schedule::scaled_lr(recipe.blr, frames));

    // ---- features that cannot change, once
    let fixed = detector.fixed_features();
    let plain = per_epoch == 0 || (recipe.augment.is_none() && recipe.mixing.is_none());
    let mut sets = vec![("train", train.as_slice(), &test_reader), ("dev", dev.as_slice(), &val_reader)];
    if spec.oracle {
        let tests = data.assembled.tests.iter();
        sets.extend(tests.map(|(set, samples)| (set.name.as_str(), samples.as_slice(), &test_reader)));
    }
    let wants = |name: &str, count: usize| {
        let fits = fixed && cache::fits(&detector, count);
        // running statistics move while training frames pass through the backbone
        let still = plain || !detector.has_statistics();
        fits && still && (name != "train" || plain) || (name == "train" && fit::wanted(&detector.store))
    };
    let ahead: usize = sets.iter().filter(|s| wants(s.0, s.1.len())).map(|s| s.1.len()).sum();
    if ahead > 0 {
        job.progress.phase("features", ahead as u64);
    }
    let mut done = 0;
    let mut read: Vec<Set> = Vec::new();
    for (name, samples, reader) in sets {
        let features = match wants(name, samples.len()) {
            true => match cache::features(&detector, spec, reader, samples, job, done)? {
                Some((features, _)) => {
                    done += samples.len() as u64;
                    Some(features)
                }
                None => return Ok(Outcome::Interrupted),
            },
            false => None,
        };
        read.push(Set { name, samples, reader, features });
    }
    if let Some(features) = &read[0].features {
        fit::fill(&detector.store, features, train)?;
    }
    if !(fixed && plain) {
        read[0].features = None; // they were for the head's measurements only
    }
    let cached = read[0].features.as_ref();

    // ---- where we were
    let mut keeper = Keeper::new(job.state, spec);
    let columns: &[&str] = match spec.oracle {
        true => &["train_loss", "val_loss", "val_auc", "lr", "oracle"],
        false => &["train_loss", "val_loss", "val_auc", "lr"],
    };
    let mut at_ = Position { curves: Curves::new(columns), ..Position::default() };
    if let Some((tensors, position)) = keeper.load::<Position>()? {
        detector.store.set_all(&take(&tensors, "online"))?;
        descent.load_state(&take(&tensors, "optim"))?;
        at_ = position;
        job.progress.note(&format!("goes on at epoch {} of {epochs}", at_.epoch));
    }
    let kept = |file: &str| job.state.join(file);

    // ---- the loop
    let total_steps = (epochs * per_epoch) as u64;
    job.progress.phase("tune", total_steps);
    while at_.epoch < epochs {
        let mut began = Instant::now();
        let batches = if per_epoch == 0 { Vec::new() } else { deal(at_.epoch) };
        let batches: Vec<Vec<usize>> = batches.into_iter().skip(at_.batch).collect();
        let mut source = match cached {
            Some(features) => Source::Cached(features, batches.into_iter()),
            None => {
                let training = Training {
                    augment: recipe.augment,
                    mixing: recipe.mixing,
                    epoch: at_.epoch,
                    first: at_.epoch * per_epoch + at_.batch,
                    repeats: recipe.sampling == Sampling::PerSource,
                };
                Source::Read(test_reader.stream(train, batches, Some(training), job))
            }
        };
        loop {
            let step = (at_.epoch * per_epoch + at_.batch) as u64;
            detector.train(step)?;
            let next = recompute(recipe.activation_checkpointing, || source.next(&detector, job));
            let Some(next) = next else { break };
            let Batch { indices, mix, features } = next?;
            let lr = match recipe.schedule {
                LrSchedule::Constant => peak,
                LrSchedule::Cosine => {
                    let e = at_.epoch as f64 + at_.batch as f64 / per_epoch as f64;
                    schedule::warmup_cosine(e, epochs as f64, recipe.warmup_epochs, peak, recipe.min_lr)
                }
            };

            let labels: Vec<u32> = indices.iter().map(|&i| u32::from(train[i].label)).collect();
            let (out, extra) = detector.head(&features, &labels)?;
            let targets = mix.targets(&labels, 2, recipe.smoothing, &out)?;
            let mut loss = losses::cross_entropy(&out, &targets)?;
            if let Some(extra) = extra {
                loss = (loss + extra)?;
            }
            let value = loss.detach().to_dtype(DType::F64)?.to_scalar::<f64>()?;
            if !value.is_finite() {
                return Err(Error::NotFinite {
                    what: "loss".into(),
                    value,
                    at: format!("epoch {}, batch {}", at_.epoch, at_.batch),
                    inputs: indices.iter().map(|&i| train[i].id()).collect::<Vec<_>>().join(", "),
                });
            }
            descent.gather(&loss, 1)?;
            descent.step(lr)?;
            detector.constrain()?;

            at_.means.add(&[value, lr]);
            at_.batch += 1;
            at_.images += indices.len() as u64;
            job.progress.tick(step + 1, &format!("epoch {} loss {value:.4}", at_.epoch));
            if job.stopped() || keeper.due() {
                at_.seconds += began.elapsed().as_secs_f64();
                began = Instant::now();
                save(&mut keeper, &detector, &descent, &at_)?;
                if job.stopped() {
                    return Ok(Outcome::Interrupted);
                }
            }
        }
        at_.waited += source.waited();

        // ---- the development set (and the test sets, for the oracle), and what the selection rules say
        let mut scored = Vec::new();
        for set in &read[1..] {
            match set.margins(&detector, recipe.batch, job)? {
                Some(margins) => scored.push(margins),
                None => {
                    at_.batch = per_epoch;
                    save(&mut keeper, &detector, &descent, &at_)?;
                    return Ok(Outcome::Interrupted);
                }
            }
        }
        let (val_loss, val_auc) = dev_metrics(dev, &scored[0], recipe.validation, recipe.batch, spec.seed)?;
        let test = match spec.oracle {
            true => {
                let tests = read[2..].iter().zip(&scored[1..]);
                let tests: Vec<_> = tests.map(|(s, m)| (s.name, s.samples, m.as_slice())).collect();
                Some(test_value(protocol, &data.fold, &tests)?)
            }
            false => None,
        };
        let means = if per_epoch == 0 { vec![val_loss, 0.0] } else { at_.means.means() };
        let mut line = vec![means[0], val_loss, val_auc, means[1]];
        line.extend(test.map(|t| t.value));
        at_.curves.rows.push(line);
        let file = format!("epoch-{}.safetensors", at_.epoch);
        let this = Chosen { epoch: at_.epoch, file: file.clone(), val_loss, val_auc, test };
        choose(&mut at_.chosen, &this);
        if at_.chosen.values().any(|c| c.epoch == at_.epoch) {
            std::fs::create_dir_all(job.state).map_err(at(job.state))?;
            checkpoint::write_safetensors(&kept(&file), &detector.trained(), &BTreeMap::new())?;
        }
        at_.means = Means::default();
        at_.epoch += 1;
        at_.batch = 0;
        at_.seconds += began.elapsed().as_secs_f64();
        if at_.epoch < epochs && (job.stopped() || keeper.due()) {
            save(&mut keeper, &detector, &descent, &at_)?;
            if job.stopped() {
                return Ok(Outcome::Interrupted);
            }
        }
    }

    // ---- what it leaves
    for file in at_.chosen.values().map(|c| c.file.as_str()).collect::<BTreeSet<_>>() {
        copy(&kept(file), &job.dir.join(file))?;
    }
    let text = serde_json::to_string_pretty(&at_.chosen).expect("plain data");
    let path = job.dir.join(SELECTION);
    std::fs::write(&path, text).map_err(at(&path))?;
    at_.curves.write_csv(&job.dir.join("curves.csv"))?;
    let params = detector.count();
    let mut notes = vec![format!("{} of {} parameters trained", params.trained, params.total)];
    notes.extend(at_.chosen.iter().map(|(rule, c)| describe(rule, c)));
    Ok(Outcome::Done(Box::new(Done {
        params,
        data: data.stamps(&["train", "dev"]),
        synthetic: data.synthetic,
        images: at_.images,
        loop_s: at_.seconds,
        data_wait: if at_.seconds > 0.0 { at_.waited / at_.seconds } else { 0.0 },
        notes,
        evaluation: None,
    })))
}

/// The recipe's optimiser over what trains.
pub(crate) fn descent(detector: &Detector, recipe: &TuneRecipe) -> Result<Descent> {
    let (depth, decay) = (detector.info.depth, recipe.layer_decay);
    let (betas, wd) = (recipe.betas, recipe.weight_decay);
    Descent::new(&detector.store, recipe.optimiser, betas, wd, recipe.clip, |name, rank| {
        let spared = !is_matrix(name, rank) || name.ends_with("pos_embed") || name.ends_with("cls_token");
        Ok(Treatment {
            lr_scale: schedule::layer_scale(detector.layer_id(name)?, depth, decay),
            decays: recipe.optimiser == Optimiser::Adam || !spared,
        })
    })
}

/// A rule's choice for people.
fn describe(rule: &str, c: &Chosen) -> String {
    let (epoch, loss, auc) = (c.epoch, c.val_loss, c.val_auc);
    match c.test {
        None => format!("{rule}: epoch {epoch} (val loss {loss:.4}, val AUC {auc:.4})"),
        Some(t) => {
            format!("{rule}: epoch {epoch}, chosen on the test sets ({} {:.4})", t.metric.label(), t.value)
        }
    }
}

/// What a recipe may not say; `frames` are in a batch.
fn check(recipe: &TuneRecipe, frames: usize) -> Result<()> {
    if recipe.epochs == 0 || recipe.batch == 0 || recipe.epoch_batches == Some(0) {
        return bad_spec!("`recipe.epochs`, `recipe.batch` and `recipe.epoch_batches` must be at least 1");
    }
    let augment = &recipe.augment;
    for (key, value) in [
        ("smoothing", recipe.smoothing),
        ("augment.erase", augment.erase),
        ("augment.colour", augment.colour),
        ("augment.crop", augment.crop),
    ] {
        if !(0.0..=1.0).contains(&value) {
            return bad_spec!("`recipe.{key}` is {value}, expected a share in 0..1");
        }
    }
    recipe.mixing.as_ref().map_or(Ok(()), |mixing| mix::check(mixing, frames))?;
    refuse("recipe.", &recipe.validate(false))
}

/// A batch on its way to the head.
struct Batch {
    indices: Vec<usize>,
    mix: Mix,
    features: FeatureBatch,
}

/// Where the features of a training batch come from.
enum Source<'a> {
    Cached(&'a Features, std::vec::IntoIter<Vec<usize>>),
    Read(crate::frames::FrameStream),
}

impl Source<'_> {
    fn next(&mut self, detector: &Detector, job: &Job) -> Option<Result<Batch>> {
        match self {
            Self::Cached(features, batches) => {
                let indices = batches.next()?;
                let features = features.rows(&indices);
                Some(features.map(|features| Batch { indices, mix: Mix::NONE, features }))
            }
            Self::Read(stream) => {
                let frames = match stream.next()? {
                    Ok(frames) => frames,
                    Err(error) => return Some(Err(error)),
                };
                let features = frames.tensor(&job.device).and_then(|images| detector.features(&images));
                Some(features.map(|features| Batch { indices: frames.indices, mix: frames.mix, features }))
            }
        }
    }

    fn waited(&self) -> f64 {
        match self {
            Self::Cached(..) => 0.0,
            Self::Read(stream) => stream.waited(),
        }
    }
}

fn both_classes(what: &str, samples: &[Sample]) -> Result<()> {
    let fakes = samples.iter().filter(|s| s.label == 1).count();
    if fakes == 0 || fakes == samples.len() {
        return bad_spec!(
            "the {what} set has {} real and {fakes} fake frames; both classes are needed",
            samples.len() - fakes
        );
    }
    Ok(())
}

fn save(keeper: &mut Keeper, detector: &Detector, descent: &Descent, at: &Position) -> Result<()> {
    let mut all = BTreeMap::new();
    put(&mut all, "online", detector.trained());
    put(&mut all, "optim", descent.state()?);
    keeper.save(&all, at)
}

fn copy(from: &Path, to: &PathBuf) -> Result<()> {
    std::fs::copy(from, to).map(drop).map_err(at(from))
}
