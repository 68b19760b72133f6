//! Whole runs on tiny synthetic faces: determinism, interruption, what a unit leaves.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use candle_core::Device;
use facebench_data::synth::{SynthSpec, generate};
use facebench_engine::checkpoint;
use facebench_protocols::{DataStamp, Protocol, Selection};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::plugins;
use crate::job::{Done, Job, Outcome, Progress, Silent};
use crate::spec::{Component, PretrainSpec, ScoreSpec, TuneSpec, WeightsFrom};
use crate::{MODEL, pretrain, score, tune};

/// Tiny synthetic faces, made once.
pub(super) fn faces() -> &'static Path {
    static FACES: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    &FACES
        .get_or_init(|| {
            let dir = tempfile::tempdir().unwrap();
            let out = dir.path().join("faces");
            generate(&out, &SynthSpec::tiny(1), &|_, _| {}).unwrap();
            (dir, out)
        })
        .1
}

/// Raises the stop flag at a given tick.
struct StopAt<'a> {
    tick: u64,
    seen: AtomicU64,
    stop: &'a AtomicBool,
}

impl Progress for StopAt<'_> {
    fn phase(&self, _: &str, _: u64) {}
    fn tick(&self, _: u64, _: &str) {
        if self.seen.fetch_add(1, Ordering::Relaxed) + 1 == self.tick {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
    fn note(&self, _: &str) {}
}

/// A place for one unit.
pub(super) struct Place {
    dir: TempDir,
    stop: AtomicBool,
}

impl Place {
    pub(super) fn new() -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap(), stop: AtomicBool::new(false) };
        std::fs::create_dir(place.out()).unwrap();
        place
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    pub(super) fn job<'a>(
        &'a self,
        state: &'a Path,
        out: &'a Path,
        workers: usize,
        progress: &'a dyn Progress,
    ) -> Job<'a> {
        Job {
            dir: out,
            state,
            plugins: plugins(),
            device: Device::Cpu,
            data_root: faces().to_owned(),
            weights: None,
            tuned: None,
            cache: None,
            workers,
            stop: &self.stop,
            progress,
        }
    }

    /// A job in this place without threads that shares features in `cache`.
    pub(super) fn sharing<'a>(&'a self, state: &'a Path, out: &'a Path, cache: &Path) -> Job<'a> {
        Job { cache: Some(cache.to_owned()), ..self.job(state, out, 0, &Silent) }
    }
}

pub(super) fn micro() -> Value {
    json!({"width": 24, "depth": 1, "heads": 2, "patch": 8, "image": 32})
}

pub(super) fn backbone() -> Component {
    Component { plugin: "fsvfm".into(), config: micro().as_object().unwrap().clone() }
}

pub(super) fn pretrain_spec() -> PretrainSpec {
    let spec = json!({
        "backbone": backbone(),
        "objective": {
            "decoder": {"width": 16, "depth": 1, "heads": 2},
            "similarity": {"depth": 1, "heads": 2, "hidden": 32, "out": 8}
        },
        "optim": {"epochs": 3, "warmup_epochs": 1.0, "batch": 8, "accum": 1, "blr": 0.05},
    });
    serde_json::from_value(spec).unwrap()
}

fn dino_spec(accum: usize) -> PretrainSpec {
    let spec = json!({
        "backbone": {"plugin": "dino", "config": micro()},
        "objective": {"kind": "dino", "dino": {
            "out": 64, "hidden": 32, "bottleneck": 16, "local_crops": 2, "local_size": 16,
            "warmup_teacher_temp_epochs": 2.0, "teacher_momentum": 0.9,
        }},
        "optim": {
            "epochs": 3, "warmup_epochs": 1.0, "batch": 8 / accum, "accum": accum, "blr": 0.05,
            "weight_decay": 0.04, "betas": [0.9, 0.999], "clip": 3.0,
        },
    });
    serde_json::from_value(spec).unwrap()
}

/// Rows of `curves.csv`, without the epoch.
pub(super) fn curves(place: &Place) -> Vec<Vec<f64>> {
    let text = std::fs::read_to_string(place.out().join("curves.csv")).unwrap();
    text.lines().skip(1).map(|l| l.split(',').skip(1).map(|v| v.parse().unwrap()).collect()).collect()
}

pub(super) fn tune_spec(head: &str, config: &Value) -> TuneSpec {
    let spec = json!({
        "backbone": backbone(),
        "init": "random",
        "head": {"plugin": head, "config": config},
        "recipe": {"epochs": 2, "warmup_epochs": 0.5, "batch": 16, "blr": 0.01, "layer_decay": 0.9},
        "protocol": "dfd-cross",
        "fold": "",
    });
    let mut spec: TuneSpec = serde_json::from_value(spec).unwrap();
    spec.fold = protocol().folds[0].name.clone();
    spec
}

pub(super) fn protocol() -> Protocol {
    Protocol::builtin("dfd-cross").unwrap().unwrap()
}

pub(super) fn done(outcome: Outcome) -> Done {
    match outcome {
        Outcome::Done(done) => *done,
        Outcome::Interrupted => panic!("interrupted"),
    }
}

/// Every file below `dir` with the digest of its bytes.
pub(super) fn files(dir: &Path) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("events.") {
            continue; // event files hold the time of day
        }
        if path.is_dir() {
            out.extend(files(&path).into_iter().map(|(n, b)| (format!("{name}/{n}"), b)));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            let text = String::from_utf8(bytes.clone()).ok().filter(|_| name.ends_with(".csv"));
            out.insert(name, text.unwrap_or_else(|| DataStamp::digest([(format!("{bytes:?}"), 0)])));
        }
    }
    out
}

/// Runs `unit` until it is done, stopping it at each of these ticks on the way.
pub(super) fn run(
    workers: usize,
    stops: &[u64],
    unit: &dyn Fn(&Job) -> crate::Result<Outcome>,
) -> (Place, Done) {
    let place = Place::new();
    let (state, out) = (place.dir.path().join("state"), place.out());
    for &tick in stops {
        place.stop.store(false, Ordering::Relaxed);
        let watch = StopAt { tick, seen: AtomicU64::new(0), stop: &place.stop };
        let outcome = unit(&place.job(&state, &out, workers, &watch)).unwrap();
        assert!(matches!(outcome, Outcome::Interrupted), "the stop at tick {tick} was not heeded");
    }
    place.stop.store(false, Ordering::Relaxed);
    let outcome = unit(&place.job(&state, &out, workers, &Silent)).unwrap();
    (place, done(outcome))
}

#[test]
fn pretraining_gives_the_same_bits_with_other_threads_and_after_interruptions() {
    let spec = pretrain_spec();
    let unit = |job: &Job| pretrain(&spec, job);
    let (plain, what) = run(0, &[], &unit);
    let (threaded, _) = run(3, &[], &unit);
    let (stopped, _) = run(1, &[1, 1], &unit);
    let files_of = |place: &Place| files(&place.out());
    assert!(what.synthetic && what.params.trained > 0);
    let names: Vec<String> = files_of(&plain).into_keys().collect();
    assert!(names.contains(&MODEL.to_owned()) && names.contains(&"curves.csv".to_owned()), "{names:?}");
    assert_eq!(files_of(&plain), files_of(&threaded));
    assert_eq!(files_of(&plain), files_of(&stopped));
}

#[test]
fn a_shard_trains_to_the_same_bits_as_its_folder() {
    let spec = pretrain_spec();
    let set = &spec.data.sets[0];
    let (plain, _) = run(1, &[], &|job| pretrain(&spec, job));
    let dir = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    let out = dir.path().join("faces.fbshard");
    facebench_data::shard::pack(&[faces().join(set)], &out, 1, &stop, &|_, _| {}).unwrap().unwrap();
    let mut packed = spec.clone();
    packed.data.sets = vec![out.display().to_string()]; // an absolute path stands for itself
    for (workers, stops) in [(0, vec![]), (2, vec![2])] {
        let (shard, done) = run(workers, &stops, &|job| pretrain(&packed, job));
        assert_eq!(files(&plain.out()), files(&shard.out()), "{workers} workers");
        assert!(done.synthetic);
    }
}

#[test]
fn dino_gives_the_same_bits_with_other_threads_and_after_interruptions() {
    let spec = dino_spec(1);
    let unit = |job: &Job| pretrain(&spec, job);
    let (plain, what) = run(0, &[], &unit);
    let (threaded, _) = run(3, &[], &unit);
    let (stopped, _) = run(1, &[1, 2], &unit);
    let names: Vec<String> = files(&plain.out()).into_keys().collect();
    assert!(what.synthetic && names.contains(&MODEL.to_owned()), "{names:?}");
    assert!(names.contains(&"grids/epoch-0003.png".to_owned()), "{names:?}");
    assert_eq!(files(&plain.out()), files(&threaded.out()));
    assert_eq!(files(&plain.out()), files(&stopped.out()));
    // the teacher's encoder, and nothing else, which is what a detector loads
    let tensors = checkpoint::read(&plain.out().join(MODEL)).unwrap().tensors;
    assert!(tensors.contains_key("cls_token") && !tensors.keys().any(|k| k.starts_with("head.")));
}

#[test]
fn a_kill_costs_the_work_since_the_last_save_and_no_bit() {
    for spec in [pretrain_spec(), dino_spec(2)] {
        let unit = |job: &Job| pretrain(&spec, job);
        let (straight, _) = run(1, &[], &unit);
        let place = Place::new();
        let (state, out) = (place.dir.path().join("state"), place.out());
        let stop_at = |tick| {
            place.stop.store(false, Ordering::Relaxed);
            let watch = StopAt { tick, seen: AtomicU64::new(0), stop: &place.stop };
            assert!(matches!(unit(&place.job(&state, &out, 2, &watch)).unwrap(), Outcome::Interrupted));
        };
        stop_at(1);
        // the state as a kill would leave it: saved after the first update, but more was done and shown after it
        let kept = std::fs::read(state.join("state.safetensors")).unwrap();
        stop_at(1);
        std::fs::write(state.join("state.safetensors"), kept).unwrap();
        place.stop.store(false, Ordering::Relaxed);
        done(unit(&place.job(&state, &out, 1, &Silent)).unwrap());
        assert_eq!(files(&straight.out()), files(&out), "{:?}", spec.objective.kind);
    }
}

#[test]
fn accumulated_micro_batches_are_one_batch_for_dino() {
    let losses = |accum| {
        let mut spec = dino_spec(accum);
        spec.optim.epochs = 2;
        curves(&run(1, &[], &|job| pretrain(&spec, job)).0)
    };
    let (whole, halves) = (losses(1), losses(2));
    for (a, b) in whole.iter().zip(&halves) {
        assert!((a[0] - b[0]).abs() < 2e-3 * a[0], "{whole:?} {halves:?}");
    }
}

#[test]
fn masks_and_reconstruction_are_refused_with_dino() {
    let refused = |change: &dyn Fn(&mut PretrainSpec)| {
        let mut spec = dino_spec(1);
        change(&mut spec);
        let place = Place::new();
        let (state, out) = (place.dir.path().join("state"), place.out());
        pretrain(&spec, &place.job(&state, &out, 0, &Silent)).unwrap_err().to_string()
    };
    let error = refused(&|s| s.masking.plugin = "random".into());
    assert!(
        error.contains("`masking` has no meaning with `objective.kind: dino`") && error.contains("hint: ")
    );
    let error = refused(&|s| s.objective.norm_pix = false);
    assert!(error.contains("reconstruction, decoder and similarity have no meaning"), "{error}");
    let error = refused(&|s| s.objective.dino.as_mut().unwrap().local_size = Some(13));
    assert!(error.contains("local_size: 13"), "{error}");
    let error = refused(&|s| s.objective.kind = crate::spec::ObjectiveKind::ThreeC);
    assert!(error.contains("`objective.dino` is given"), "{error}");
}

#[test]
fn a_loss_that_is_not_a_number_is_retried_and_leaves_its_inputs() {
    struct Notes(std::sync::Mutex<Vec<String>>);
    impl Progress for Notes {
        fn phase(&self, _: &str, _: u64) {}
        fn tick(&self, _: u64, _: &str) {}
        fn note(&self, message: &str) {
            self.0.lock().unwrap().push(message.to_owned());
        }
    }
    for (mut spec, inputs) in [(pretrain_spec(), "images"), (dino_spec(1), "global")] {
        spec.watch.retries = 2;
        let place = Place::new();
        let (state, out) = (place.dir.path().join("state"), place.out());
        // one step with this rate leaves parameters whose squares overflow
        (spec.optim.blr, spec.optim.warmup_epochs, spec.optim.clip) = (1e30, 0.0, None);
        if let Some(dino) = &mut spec.objective.dino {
            dino.freeze_last_layer = 0.0;
        }
        let notes = Notes(std::sync::Mutex::default());
        let error = pretrain(&spec, &place.job(&state, &out, 1, &notes)).unwrap_err().to_string();
        assert!(error.contains("at epoch 1, batch 0") && error.contains("failed-step"), "{error}");
        let notes = notes.0.into_inner().unwrap();
        assert_eq!(
            notes.iter().filter(|n| n.contains("back to the last checkpoint")).count(),
            2,
            "{notes:?}"
        );
        let step = std::fs::read_to_string(state.join("failed-step/step.json")).unwrap();
        let step: Value = serde_json::from_str(&step).unwrap();
        let samples = step["samples"].as_array().unwrap();
        assert_eq!((samples.len(), &step["step"]), (8, &json!(1)));
        assert!(["NaN", "inf", "-inf"].contains(&step["values"]["loss"].as_str().unwrap()), "{step}");
        assert!(samples[0].as_str().unwrap().starts_with("synthfaces/"));
        let dumped = checkpoint::read(&state.join("failed-step/inputs.safetensors")).unwrap().tensors;
        let rows = if inputs == "images" { 8 } else { 16 };
        assert_eq!(dumped[inputs].dims(), [rows, 3, 32, 32]);
    }
}

#[test]
fn a_run_leaves_events_and_pictures() {
    let mut spec = pretrain_spec();
    spec.watch.pictures_every = Some(2);
    let (place, done) = run(1, &[], &|job| pretrain(&spec, job));
    let events = crate::watch::tensorboard::tests::read(&place.out().join("events.out.tfevents.facebench"));
    let losses: Vec<f64> =
        events.iter().filter(|(_, tag, _)| tag == "train/loss").map(|(_, _, v)| f64::from(*v)).collect();
    assert_eq!(losses.len() as u64, done.images / 8, "one point a step in a run this short");
    let rows = curves(&place);
    let per_epoch = losses.len() / rows.len();
    for (epoch, row) in rows.iter().enumerate() {
        let mean = losses[epoch * per_epoch..][..per_epoch].iter().sum::<f64>() / per_epoch as f64;
        assert!((mean - row[0]).abs() < 1e-5, "{mean} {row:?}");
    }
    assert!(events.iter().any(|(_, tag, v)| tag == "speed/images_per_s" && *v > 0.0));
    assert_eq!(events.iter().filter(|(_, tag, _)| tag == "pictures").count(), 2);
    let grids: Vec<String> = files(&place.out()).into_keys().filter(|n| n.starts_with("grids/")).collect();
    assert_eq!(grids, ["grids/epoch-0002.png", "grids/epoch-0003.png"]);
}

#[test]
fn the_pretraining_loss_falls() {
    let mut spec = pretrain_spec();
    spec.optim.epochs = 12;
    let (place, _) = run(1, &[], &|job| pretrain(&spec, job));
    let text = std::fs::read_to_string(place.out().join("curves.csv")).unwrap();
    let rec: Vec<f64> = text.lines().skip(1).map(|l| l.split(',').nth(2).unwrap().parse().unwrap()).collect();
    assert_eq!(rec.len(), 12);
    assert!(rec[11] < 0.95 * rec[0], "{rec:?}");
}

#[test]
fn tuning_resumes_with_the_same_bits() {
    for (head, config) in [("linear", json!({"train": "all"})), ("fs-adapter", json!({}))] {
        let (spec, protocol) = (tune_spec(head, &config), protocol());
        let unit = |job: &Job| tune(&spec, &protocol, job);
        let (plain, what) = run(0, &[], &unit);
        let (stopped, _) = run(2, &[4], &unit);
        assert_eq!(files(&plain.out()), files(&stopped.out()), "{head}");
        assert!(what.params.trained <= what.params.total);
    }
}

#[test]
fn scores_come_from_the_chosen_weights_and_survive_a_stop() {
    let (pre, _) = run(1, &[], &|job| pretrain(&pretrain_spec(), job));
    let protocol = protocol();
    let mut spec = tune_spec("linear", &json!({"train": "head"}));
    spec.init = WeightsFrom::Pretrain { name: "x".into() };
    let weights = pre.out().join(MODEL);
    let with = |job: &Job, tuned: Option<&Path>, unit: &dyn Fn(&Job) -> crate::Result<Outcome>| {
        unit(&Job {
            dir: job.dir,
            state: job.state,
            plugins: job.plugins,
            device: Device::Cpu,
            data_root: job.data_root.clone(),
            weights: Some(weights.clone()),
            tuned: tuned.map(Path::to_owned),
            cache: job.cache.clone(),
            workers: job.workers,
            stop: job.stop,
            progress: job.progress,
        })
    };
    let (tuned, what) = run(1, &[], &|job| with(job, None, &|job| tune(&spec, &protocol, job)));
    // a linear layer on the pooled features, nothing of the backbone
    assert_eq!(what.params.trained, 24 * 2 + 2);
    let scoring = ScoreSpec { tune: spec.clone(), selection: Selection::MinValLoss, batch: 16 };
    let unit = |job: &Job| with(job, Some(&tuned.out()), &|job| score(&scoring, &protocol, job));
    let (plain, scored) = run(0, &[], &unit);
    let (stopped, _) = run(2, &[3], &unit);
    assert_eq!(files(&plain.out()), files(&stopped.out()));
    let evaluation = scored.evaluation.unwrap();
    assert_eq!(evaluation.sets.len(), protocol.folds[0].tests.len());
    assert!(scored.synthetic);
}

#[test]
fn weights_of_another_backbone_are_refused() {
    let (pre, _) = run(1, &[], &|job| pretrain(&pretrain_spec(), job));
    let tensors = checkpoint::read(&pre.out().join(MODEL)).unwrap().tensors;
    let broken = tempfile::tempdir().unwrap();
    let path = broken.path().join("broken.safetensors");
    let mut fewer = tensors.clone();
    fewer.remove("blocks.0.attn.qkv.weight");
    checkpoint::write_safetensors(&path, &fewer, &BTreeMap::new()).unwrap();
    let info = plugins().backbone_info("fsvfm", &micro()).unwrap();
    let store = facebench_engine::ParamStore::new(&Device::Cpu, candle_core::DType::F32, 0);
    let layouts = plugins().layouts("fsvfm", &micro()).unwrap();
    let given = crate::weights::give(&path, "fsvfm", &info, &layouts, &store).unwrap();
    let ctx = facebench_host::RunCtx::new(&Device::Cpu, candle_core::DType::F32, 0);
    let purpose = facebench_host::Purpose::Downstream;
    plugins().backbone("fsvfm", &micro(), purpose, &store, "", &ctx).unwrap();
    let error = given.check(&store, &std::collections::BTreeSet::new()).unwrap_err().to_string();
    assert!(error.contains("missing (1): blocks.0.attn.qkv.weight"), "{error}");
}

/// The rules of the update can be chosen in both loops; each resumes with its state, and they differ.
#[test]
fn every_optimiser_trains_and_resumes_with_the_same_bits() {
    use crate::spec::Optimiser;
    let (mut tuned, mut trained) = (Vec::new(), Vec::new());
    for optimiser in [Optimiser::AdamW, Optimiser::Adam, Optimiser::Sgd, Optimiser::Lars] {
        let (mut spec, protocol) = (tune_spec("linear", &json!({})), protocol());
        spec.recipe.optimiser = optimiser;
        let unit = |job: &Job| tune(&spec, &protocol, job);
        let (plain, _) = run(0, &[], &unit);
        let (stopped, _) = run(0, &[2], &unit);
        assert_eq!(files(&plain.out()), files(&stopped.out()), "{optimiser:?}");
        tuned.push(files(&plain.out()));

        let mut spec = pretrain_spec();
        spec.optim.optimiser = optimiser;
        let unit = |job: &Job| pretrain(&spec, job);
        let (plain, _) = run(0, &[], &unit);
        let (stopped, _) = run(0, &[2], &unit);
        assert_eq!(files(&plain.out()), files(&stopped.out()), "{optimiser:?}");
        trained.push(files(&plain.out())[MODEL].clone());
    }
    for all in 0..4 {
        assert!((0..all).all(|other| tuned[all] != tuned[other] && trained[all] != trained[other]));
    }
}

#[test]
fn activation_checkpointing_changes_nothing_in_a_run() {
    let mut spec = pretrain_spec();
    let (plain, _) = run(0, &[], &|job: &Job| pretrain(&spec, job));
    let before = serde_json::to_string(&spec).unwrap();
    assert!(!before.contains("checkpointing"), "the default must not change digests");
    spec.optim.activation_checkpointing = true;
    let (less, _) = run(0, &[], &|job: &Job| pretrain(&spec, job));
    assert_eq!(files(&plain.out())[MODEL], files(&less.out())[MODEL]);

    let (mut spec, protocol) = (tune_spec("linear", &json!({})), protocol());
    let (plain, _) = run(0, &[], &|job: &Job| tune(&spec, &protocol, job));
    spec.recipe.activation_checkpointing = true;
    let (less, _) = run(0, &[], &|job: &Job| tune(&spec, &protocol, job));
    assert_eq!(files(&plain.out()), files(&less.out()));
}
