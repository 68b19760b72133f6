//! Tuning a head, or everything, on the training set of one fold: one linear loop.
//!
//! Frames → (augment) → backbone → head → soft-target cross entropy plus the head's own term →
//! AdamW with layer-wise rates (method.md §5.1, §6). After each epoch the development set is scored
//! as a whole (its AUC is global, not a mean over batches), and the weights are kept if a selection
//! rule wants them; the test sets are never looked at. When the backbone is frozen and frames are
//! not augmented, its features are computed once.
//! Writes `epoch-K.safetensors` for each epoch a rule chose (trained parameters only),
//! `selection.json` and `curves.csv`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use candle_core::{DType, Tensor};
use facebench_engine::{checkpoint, ops::losses, schedule};
use facebench_protocols::{Params, Protocol, Sample, Selection, metrics};
use serde::{Deserialize, Serialize};

use crate::batches::tuning_batches;
use crate::curves::{Curves, Means};
use crate::descent::{Descent, Treatment, is_matrix};
use crate::detector::{Detector, FeatureBatch, Features, margins};
use crate::error::{Error, Result, at, bad_spec};
use crate::frames::{FoldData, FrameReader};
use crate::job::{Done, Job, Outcome};
use crate::spec::TuneSpec;
use crate::state::{Keeper, put, take};

/// A checkpoint that a rule chose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chosen {
    /// Epoch, from 0
    pub epoch: usize,
    /// File in the unit's folder
    pub file: String,
    /// Cross entropy on the development set
    pub val_loss: f64,
    /// AUC on the development set, frame level
    pub val_auc: f64,
}

/// `selection.json`: name of the rule → checkpoint.
pub type Chosens = BTreeMap<String, Chosen>;

/// Name of the file that says which rule chose which checkpoint.
pub const SELECTION: &str = "selection.json";

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

/// Runs `spec` to its end or until the job is stopped.
pub fn tune(spec: &TuneSpec, protocol: &Protocol, job: &Job) -> Result<Outcome> {
    let recipe = &spec.recipe;
    if recipe.epochs == 0 || recipe.batch == 0 {
        return bad_spec!("`recipe.epochs` and `recipe.batch` must be at least 1");
    }
    if !(0.0..1.0).contains(&recipe.smoothing) {
        return bad_spec!("`recipe.smoothing` is {}, expected a share in 0..1", recipe.smoothing);
    }

    // ---- data, network, optimiser
    let data = FoldData::open(protocol, &spec.fold, &job.data_root)?;
    let (train, dev) = (data.assembled.train.clone(), data.assembled.dev.clone());
    both_classes("training", &train)?;
    both_classes("development", &dev)?;
    let detector = Detector::build(spec, job)?;
    let (depth, decay) = (detector.info().depth, recipe.layer_decay);
    let mut descent =
        Descent::new(&detector.store, recipe.betas, recipe.weight_decay, recipe.clip, |name, rank| {
            Ok(Treatment {
                lr_scale: schedule::layer_scale(detector.layer_id(name)?, depth, decay),
                decays: is_matrix(name, rank) && !name.ends_with("pos_embed") && !name.ends_with("cls_token"),
            })
        })?;
    let reader =
        FrameReader::new(detector.info().image, protocol.test_transform, detector.normalise, spec.seed);
    let batch_size = recipe.batch.min(train.len());
    let per_epoch = tuning_batches(&train, recipe.sampling, spec.seed, 0, batch_size).len();
    let peak = schedule::scaled_lr(recipe.blr, batch_size);

    // ---- where we were
    let mut keeper = Keeper::new(job.state, spec);
    let columns = ["train_loss", "val_loss", "val_auc", "lr"];
    let mut at_ = Position { curves: Curves::new(&columns), ..Position::default() };
    if let Some((tensors, position)) = keeper.load::<Position>()? {
        detector.store.set_all(&take(&tensors, "online"))?;
        descent.load_state(&take(&tensors, "optim"))?;
        at_ = position;
        job.progress.note(&format!("goes on at epoch {} of {}", at_.epoch, recipe.epochs));
    }
    let kept = |file: &str| job.state.join(file);

    // ---- features of a frozen backbone, once
    let cached = if detector.frozen_backbone() && recipe.augment.is_none() {
        job.progress.phase("features", (train.len() + dev.len()) as u64);
        match cached_features(&detector, &reader, &[&train, &dev], job)? {
            Some(mut both) => Some((both.remove(0), both.remove(0))),
            None => return Ok(Outcome::Interrupted),
        }
    } else {
        None
    };

    // ---- the loop
    let total_steps = (recipe.epochs * per_epoch) as u64;
    job.progress.phase("tune", total_steps);
    while at_.epoch < recipe.epochs {
        let mut began = Instant::now();
        let batches: Vec<Vec<usize>> =
            tuning_batches(&train, recipe.sampling, spec.seed, at_.epoch, batch_size);
        let batches: Vec<Vec<usize>> = batches.into_iter().skip(at_.batch).collect();
        let mut source = match &cached {
            Some((features, _)) => Source::Cached(features, batches.into_iter()),
            None => Source::Read(reader.stream(&train, batches, Some((recipe.augment, at_.epoch)), job)),
        };
        loop {
            detector.ctx.train((at_.epoch * per_epoch + at_.batch) as u64);
            let Some(next) = source.next(&detector, job) else { break };
            let (indices, features) = next?;
            let e = at_.epoch as f64 + at_.batch as f64 / per_epoch as f64;
            let lr =
                schedule::warmup_cosine(e, recipe.epochs as f64, recipe.warmup_epochs, peak, recipe.min_lr);
            let step = (at_.epoch * per_epoch + at_.batch) as u64;

            let labels: Vec<u32> = indices.iter().map(|&i| u32::from(train[i].label)).collect();
            let (out, extra) = detector.head(&features, &labels)?;
            let targets = losses::one_hot(&labels, 2, recipe.smoothing, &out)?;
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

        // ---- the development set, and what the selection rules say
        let margins = match &cached {
            Some((_, features)) => dev_margins_cached(&detector, features, recipe.batch)?,
            None => match detector.score(&reader, &dev, recipe.batch, job)? {
                Some(margins) => margins,
                None => {
                    at_.batch = per_epoch;
                    save(&mut keeper, &detector, &descent, &at_)?;
                    return Ok(Outcome::Interrupted);
                }
            },
        };
        let (val_loss, val_auc) = dev_metrics(&dev, &margins)?;
        let means = at_.means.means();
        at_.curves.rows.push(vec![means[0], val_loss, val_auc, means[1]]);
        choose(&mut at_.chosen, at_.epoch, val_loss, val_auc);
        let file = format!("epoch-{}.safetensors", at_.epoch);
        if at_.chosen.values().any(|c| c.epoch == at_.epoch) {
            std::fs::create_dir_all(job.state).map_err(at(job.state))?;
            checkpoint::write_safetensors(&kept(&file), &detector.trained(), &BTreeMap::new())?;
        }
        at_.means = Means::default();
        at_.epoch += 1;
        at_.batch = 0;
        at_.seconds += began.elapsed().as_secs_f64();
        if at_.epoch < recipe.epochs && (job.stopped() || keeper.due()) {
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
    let count = detector.store.count();
    Ok(Outcome::Done(Box::new(Done {
        params: Params { total: count.total, trained: count.trainable },
        data: data.stamps(&["train", "dev"]),
        synthetic: data.synthetic,
        images: at_.images,
        loop_s: at_.seconds,
        data_wait: if at_.seconds > 0.0 { at_.waited / at_.seconds } else { 0.0 },
        notes: at_
            .chosen
            .iter()
            .map(|(rule, c)| {
                format!("{rule}: epoch {} (val loss {:.4}, val AUC {:.4})", c.epoch, c.val_loss, c.val_auc)
            })
            .collect(),
        evaluation: None,
    })))
}

/// Where the features of a training batch come from.
enum Source<'a> {
    Cached(&'a Features, std::vec::IntoIter<Vec<usize>>),
    Read(crate::frames::FrameStream),
}

impl Source<'_> {
    fn next(&mut self, detector: &Detector, job: &Job) -> Option<Result<(Vec<usize>, FeatureBatch)>> {
        match self {
            Self::Cached(features, batches) => {
                let indices = batches.next()?;
                Some(features.rows(&indices).map(|f| (indices, f)))
            }
            Self::Read(stream) => {
                let frames = match stream.next()? {
                    Ok(frames) => frames,
                    Err(error) => return Some(Err(error)),
                };
                let features = frames.tensor(&job.device).and_then(|images| detector.features(&images));
                Some(features.map(|f| (frames.indices, f)))
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

fn cached_features(
    detector: &Detector,
    reader: &FrameReader,
    sets: &[&Vec<Sample>],
    job: &Job,
) -> Result<Option<Vec<Features>>> {
    detector.ctx.eval();
    let mut done = 0;
    let mut all = Vec::with_capacity(sets.len());
    for samples in sets {
        let indices: Vec<usize> = (0..samples.len()).collect();
        let chunks: Vec<Vec<usize>> = indices.chunks(64).map(<[usize]>::to_vec).collect();
        let mut parts = Vec::new();
        for frames in reader.stream(samples, chunks, None, job) {
            if job.stopped() {
                return Ok(None);
            }
            let frames = frames?;
            parts.push(detector.features(&frames.tensor(&job.device)?)?);
            done += frames.indices.len() as u64;
            job.progress.tick(done, "");
        }
        all.push(Features::join(&parts)?);
    }
    Ok(Some(all))
}

fn dev_margins_cached(detector: &Detector, features: &Features, batch: usize) -> Result<Vec<f64>> {
    detector.ctx.eval();
    let indices: Vec<usize> = (0..features.count()?).collect();
    let mut all = Vec::with_capacity(indices.len());
    for chunk in indices.chunks(batch) {
        all.extend(margins(&detector.logits(&features.rows(chunk)?)?)?);
    }
    Ok(all)
}

/// Mean cross entropy and frame AUC of the development set, from logit margins (fake − real).
fn dev_metrics(dev: &[Sample], margins: &[f64]) -> Result<(f64, f64)> {
    // −log P(label) = softplus(∓margin)
    let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
    let loss: f64 = dev.iter().zip(margins).map(|(s, &m)| softplus(if s.label == 1 { -m } else { m })).sum();
    let labels: Vec<u8> = dev.iter().map(|s| s.label).collect();
    Ok((loss / dev.len() as f64, metrics::auc(margins, &labels)?))
}

/// Applies the selection rules that need no test set. Ties keep the earlier epoch.
fn choose(chosen: &mut Chosens, epoch: usize, val_loss: f64, val_auc: f64) {
    let this = Chosen { epoch, file: format!("epoch-{epoch}.safetensors"), val_loss, val_auc };
    let better = |rule: Selection| match (rule, chosen.get(&rule.to_string())) {
        (Selection::MinValLoss, Some(best)) => val_loss < best.val_loss,
        (Selection::MaxValAuc, Some(best)) => val_auc > best.val_auc,
        _ => true,
    };
    let rules = [Selection::Last, Selection::MinValLoss, Selection::MaxValAuc];
    for rule in rules.into_iter().filter(|r| better(*r)).collect::<Vec<_>>() {
        chosen.insert(rule.to_string(), this.clone());
    }
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

/// The trained tensors of a published tuning unit that `rule` chose.
pub(crate) fn chosen_tensors(unit: &Path, rule: Selection) -> Result<(Chosen, BTreeMap<String, Tensor>)> {
    let path = unit.join(SELECTION);
    let text = std::fs::read_to_string(&path).map_err(at(&path))?;
    let all: Chosens =
        serde_json::from_str(&text).map_err(|e| Error::State { path: path.clone(), what: e.to_string() })?;
    let Some(chosen) = all.get(&rule.to_string()) else {
        return bad_spec!(
            "{}: no checkpoint was chosen by `{rule}`; there are: {}\nhint: `oracle` needs the test sets while tuning, \
             which this version does not offer",
            path.display(),
            all.keys().cloned().collect::<Vec<_>>().join(", ")
        );
    };
    Ok((chosen.clone(), checkpoint::read(&unit.join(&chosen.file))?.tensors))
}
