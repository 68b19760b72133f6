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
fn faces() -> &'static Path {
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
struct Place {
    dir: TempDir,
    stop: AtomicBool,
}

impl Place {
    fn new() -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap(), stop: AtomicBool::new(false) };
        std::fs::create_dir(place.out()).unwrap();
        place
    }

    fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    fn job<'a>(
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
            workers,
            stop: &self.stop,
            progress,
        }
    }
}

fn micro() -> Value {
    json!({"width": 24, "depth": 1, "heads": 2, "patch": 8, "image": 32})
}

fn backbone() -> Component {
    Component { plugin: "fsvfm".into(), config: micro().as_object().unwrap().clone() }
}

fn pretrain_spec() -> PretrainSpec {
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

fn tune_spec(head: &str, config: &Value) -> TuneSpec {
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

fn protocol() -> Protocol {
    Protocol::builtin("dfd-cross").unwrap().unwrap()
}

fn done(outcome: Outcome) -> Done {
    match outcome {
        Outcome::Done(done) => *done,
        Outcome::Interrupted => panic!("interrupted"),
    }
}

/// Every file below `dir` with the digest of its bytes.
fn files(dir: &Path) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
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
fn run(workers: usize, stops: &[u64], unit: &dyn Fn(&Job) -> crate::Result<Outcome>) -> (Place, Done) {
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
