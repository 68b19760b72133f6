//! A finished scoring unit, opened again: its record says what it was, its neighbours in the store are what it used.
//!
//! Everything that could make the network another one is checked: the protocol's fingerprint, the digest of a checkpoint
//! file, the digests of the samples. What may differ without being wrong (a plugin built again, another version of this
//! program) is said, and the caller compares scores.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::{Context as _, Result, anyhow, bail};
use facebench_engine::Device;
use facebench_host::{Kind, Plugins};
use facebench_protocols::{Protocol, RunRecord};
use facebench_reports::{Run, runs};
use facebench_train::frames::FoldData;
use facebench_train::spec::{ScoreSpec, WeightsFrom};
use facebench_train::{Job, Progress};

use super::shared;
use crate::args::FinishedArgs;
use crate::config::nearest;
use crate::plan::{self, VERSION};
use crate::store::{self, short};

/// A scoring unit with all that scoring it needs.
pub(crate) struct Reopened {
    /// The run and its folder
    pub(crate) run: Run,
    /// What was scored
    pub(crate) spec: ScoreSpec,
    /// Its protocol
    pub(crate) protocol: Protocol,
    /// Where the faces are
    data_root: PathBuf,
    /// The tuning unit's folder
    tuned: PathBuf,
    /// What the model started from
    weights: Option<PathBuf>,
}

/// The scored runs that the arguments choose, in the order of tables; at least one.
///
/// # Errors
/// No runs, or no run of such a name: then with the names there are.
pub(crate) fn choose(args: &FinishedArgs) -> Result<Vec<Run>> {
    let all: Vec<Run> = runs::load(&args.runs)?.into_iter().filter(|r| r.record.kind == "score").collect();
    if all.is_empty() {
        bail!(
            "{}: no finished scoring unit\nhint: `facebench run` scores what it tunes",
            args.runs.display()
        );
    }
    let given = protocol_of(args)?;
    let protocol = given.as_ref().map(|p| p.id.clone()).or_else(|| args.protocol.clone());
    type Get = fn(&RunRecord) -> String;
    let fields: [(&str, Option<String>, Get); 5] = [
        ("model", args.model.clone(), |r| r.model.clone()),
        ("head", args.head.clone(), |r| r.head.clone()),
        ("protocol", protocol, |r| r.protocol.clone().unwrap_or_default().id),
        ("fold", args.fold.clone(), |r| r.protocol.clone().unwrap_or_default().fold),
        ("seed", args.seed.map(|s| s.to_string()), |r| r.seed.to_string()),
    ];
    let mut left = all;
    if let Some(unit) = &args.unit {
        let digits = unit.trim_end_matches('/').rsplit(['-', '/']).next().unwrap_or_default().to_owned();
        left.retain(|r| digits.len() >= 4 && r.record.unit.starts_with(&digits));
        if left.is_empty() {
            bail!("--unit {unit}: no scoring unit in {} begins so", args.runs.display());
        }
    }
    for (what, wanted, get) in fields {
        let Some(wanted) = wanted else { continue };
        let mut names: Vec<String> = left.iter().map(|r| get(&r.record)).collect();
        names.sort();
        names.dedup();
        left.retain(|r| get(&r.record) == wanted);
        if left.is_empty() {
            let near = nearest(&wanted, &names).map(|n| format!("did you mean `{n}`? "));
            let hint = near.unwrap_or_default();
            bail!(
                "--{what} {wanted}: none of the runs chosen so far has it\nhint: {hint}there are: {}",
                names.join(", ")
            );
        }
    }
    Ok(left)
}

/// The protocol file among the arguments, if it is one.
fn protocol_of(args: &FinishedArgs) -> Result<Option<Protocol>> {
    match args.protocol.as_deref().filter(|p| Path::new(p).is_file()) {
        Some(file) => Ok(Some(plan::protocol(file, Path::new(""))?)),
        None => Ok(None),
    }
}

impl Reopened {
    /// Opens `run`; what may differ without being wrong goes to `say`.
    ///
    /// # Errors
    /// Something that the run used is not there or is not what it was.
    pub(crate) fn open(run: Run, args: &FinishedArgs, plugins: &Plugins, say: &dyn Fn(&str)) -> Result<Self> {
        let place = run.folder.display().to_string();
        let r = &run.record;
        let spec: ScoreSpec = serde_json::from_value(r.plan["spec"].clone())
            .with_context(|| format!("{place}: run.json: plan.spec is not that of a scoring unit"))?;
        if r.facebench != VERSION {
            say(&format!("scored by facebench {}, this is {VERSION}", r.facebench));
        }
        for stamp in &r.plugins {
            let Some(kind) = kind(&stamp.kind) else { continue };
            if plugins.info(kind, &stamp.name)?.sha256 != stamp.sha256 {
                say(&format!("{} plugin `{}` was built again since the run", stamp.kind, stamp.name));
            }
        }
        let protocol = protocol(r, args)?;
        let root = run.folder.parent().unwrap_or(Path::new("."));
        let beside = |kind: &str| {
            let folders = r.inputs.iter().map(|digest| root.join(format!("{kind}-{}", short(digest))));
            folders.into_iter().find(|f| f.is_dir())
        };
        let tuned = beside("tune").ok_or_else(|| {
            anyhow!("{place}: the tuning unit that it scored is not beside it\nhint: keep the units of a run in one folder")
        })?;
        let data_root = match (&args.data, beside("data")) {
            (Some(given), _) => given.clone(),
            (None, Some(made)) => made,
            (None, None) => {
                bail!("{place}: the run read faces from outside\nhint: `--data DIR` says where they are")
            }
        };
        let weights = match &spec.tune.init {
            WeightsFrom::Random => None,
            WeightsFrom::Pretrain { .. } => Some(pretrained(&tuned, root)?),
            WeightsFrom::Checkpoint { sha256 } => Some(checkpoint(args, sha256, &place)?),
        };
        Ok(Self { spec, protocol, data_root, tuned, weights, run })
    }

    /// Surroundings to score it in.
    pub(crate) fn job<'a>(
        &self,
        plugins: &'a Plugins,
        device: &Device,
        threads: usize,
        stop: &'a AtomicBool,
        progress: &'a dyn Progress,
    ) -> Job<'a> {
        let nowhere = Path::new("");
        Job {
            dir: nowhere,
            state: nowhere,
            plugins,
            device: device.clone(),
            data_root: self.data_root.clone(),
            weights: self.weights.clone(),
            tuned: Some(self.tuned.clone()),
            cache: None,
            workers: threads,
            stop,
            progress,
        }
    }

    /// Checks that the test samples are those that were scored.
    ///
    /// # Errors
    /// Other samples, with the set.
    pub(crate) fn same_samples(&self, data: &FoldData) -> Result<()> {
        for now in data.stamps(&["tests"]) {
            let then = self.run.record.data.iter().find(|d| d.dataset == now.dataset);
            if let Some(then) = then.filter(|then| then.sha256 != now.sha256) {
                bail!(
                    "{}: test set {} has {} samples in {} videos, the run scored {} in {}, or others of these names\n\
                     hint: `--data` must name the same data root",
                    self.data_root.display(),
                    now.dataset,
                    now.samples,
                    now.videos,
                    then.samples,
                    then.videos
                );
            }
        }
        Ok(())
    }
}

/// The run's protocol, by identifier or from the file that was given, with the run's fingerprint.
fn protocol(r: &RunRecord, args: &FinishedArgs) -> Result<Protocol> {
    let stamp = r.protocol.clone().unwrap_or_default();
    let shipped = Protocol::builtin(&stamp.id).transpose()?;
    let known = [protocol_of(args)?, shipped];
    let same = known.into_iter().flatten().find(|p| p.id == stamp.id && p.fingerprint() == stamp.fingerprint);
    same.ok_or_else(|| {
        anyhow!(
            "run {}: protocol `{}` with fingerprint {} is not known\nhint: `--protocol FILE` names the file it was run with",
            r.name,
            stamp.id,
            stamp.fingerprint
        )
    })
}

/// The weights that a tuning unit started from, of a unit beside it.
fn pretrained(tuned: &Path, root: &Path) -> Result<PathBuf> {
    let file = tuned.join("run.json");
    let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let record: RunRecord = serde_json::from_str(&text).with_context(|| file.display().to_string())?;
    let folders = record.inputs.iter().map(|d| root.join(format!("pretrain-{}", short(d))));
    let found = folders.map(|f| f.join(facebench_train::MODEL)).find(|f| f.is_file());
    found.ok_or_else(|| {
        anyhow!("{}: the pre-training unit it started from is not beside it\nhint: keep the units of a run in one folder", tuned.display())
    })
}

fn checkpoint(args: &FinishedArgs, sha256: &str, place: &str) -> Result<PathBuf> {
    let Some(file) = &args.checkpoint else {
        bail!(
            "{place}: the model started from a file of weights\nhint: `--checkpoint FILE`, with SHA-256 {sha256}"
        );
    };
    let found = store::file_digest(file).with_context(|| format!("--checkpoint {}", file.display()))?;
    if found != sha256 {
        bail!("--checkpoint {}: SHA-256 {found}, the run used {sha256}", file.display());
    }
    Ok(file.clone())
}

/// The kind of plugin of a record's word, as far as scoring uses it.
pub(crate) fn kind(word: &str) -> Option<Kind> {
    match word {
        "backbone" => Some(Kind::Backbone),
        "head" => Some(Kind::Head),
        _ => None,
    }
}

/// Writes a file beside its place and renames it, so that a reader never sees half of it.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn put(folder: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf> {
    let path = folder.join(name);
    let beside = folder.join(format!(".{name}.part"));
    std::fs::write(&beside, bytes)
        .and_then(|()| std::fs::rename(&beside, &path))
        .with_context(|| path.display().to_string())?;
    Ok(path)
}

/// Threads of the arguments.
pub(crate) fn threads(args: &FinishedArgs) -> usize {
    args.threads.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from)
}

/// Device of the arguments.
///
/// # Errors
/// As [`shared::device`].
pub(crate) fn device(args: &FinishedArgs) -> Result<Device> {
    Ok(shared::device(&args.device)?.0)
}

/// The largest difference between margins computed now and those of the run, said if it is more than arithmetic.
pub(crate) fn compare(name: &str, now: &[f64], then: &[f64], say: &dyn Fn(&str)) {
    let far = |(a, b): (&f64, &f64)| (a - b).abs() / b.abs().max(1.0);
    let largest = now.iter().zip(then).map(far).fold(0.0, f64::max);
    if largest > 1e-3 {
        say(&format!(
            "{name}: margins computed now differ from the run's by up to {largest:.2e}: plugins, weights or decoder changed"
        ));
    }
}
