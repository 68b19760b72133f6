//! Which detector: a finished unit of the store, or plugins with files of weights.
//!
//! A unit knows everything about its model but the file of published weights it started from, because a record holds
//! no path; that file is asked for and compared by its SHA-256.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use facebench_engine::{Tensor, checkpoint};
use facebench_host::{Kind, Plugins};
use facebench_protocols::{PluginStamp, Protocol, RunRecord, Selection, TestTransform};
use facebench_train::spec::{Component, TuneRecipe, TuneSpec, WeightsFrom};
use facebench_train::{MODEL, chosen_tensors, weights};
use serde_json::{Map, Value, json};

use crate::args::ScoreArgs;
use crate::commands::shared;
use crate::plan;
use crate::store::{self, Store};

/// A model, ready to be built.
pub(crate) struct Model {
    /// What it is
    pub(crate) spec: TuneSpec,
    /// What tuning left
    pub(crate) tuned: BTreeMap<String, Tensor>,
    /// Tensors of the file that the backbone's layout excuses
    pub(crate) excused: Vec<String>,
    /// Weights the backbone starts from
    pub(crate) start: Option<PathBuf>,
    /// Frames it was tuned on; 0 where unknown
    pub(crate) samples: usize,
    /// Whether random weights that the seed makes again are meant
    pub(crate) seeded: bool,
    /// Whether anything it learnt from was synthetic, where known
    pub(crate) synthetic: bool,
    /// The transform of the protocol it was tuned for, where known
    pub(crate) transform: Option<TestTransform>,
    /// What it is, for the record and for comparing
    pub(crate) told: Value,
    /// Name for people
    pub(crate) title: String,
}

/// Finds the model that was asked for.
///
/// # Errors
/// No such unit or plugin, a checkpoint that was not kept, a file that is missing or another one.
pub(crate) fn open(args: &ScoreArgs, plugins: &Plugins) -> Result<Model> {
    match (&args.unit, &args.backbone, &args.head, &args.weights) {
        (Some(unit), ..) => of_unit(args, unit, plugins),
        (None, Some(backbone), Some(head), Some(file)) => of_files(args, backbone, head, file, plugins),
        _ => bail!("give a unit, or --backbone, --head and --weights"),
    }
}

fn of_unit(args: &ScoreArgs, unit: &str, plugins: &Plugins) -> Result<Model> {
    let folder = find(unit, &args.runs)?;
    let mut record = read(&folder)?;
    let mut rule = args.selection.map(Selection::from);
    let mut folder = folder;
    if record.kind == "score" {
        rule = rule.or(record.selection);
        folder = input(&folder, &record, "tune")?;
        record = read(&folder)?;
    }
    if record.kind != "tune" {
        bail!(
            "{}: a {} unit has no head to score with\nhint: name a `tune-…` or `score-…` unit",
            folder.display(),
            record.kind
        );
    }
    let protocol = record.protocol.as_ref().and_then(|p| Protocol::builtin(&p.id)).transpose()?;
    let Some(rule) = rule.or(protocol.as_ref().map(|p| p.selection)) else {
        bail!(
            "{}: which checkpoint?\nhint: give `--selection`; its protocol is not a built-in one",
            folder.display()
        );
    };
    let (chosen, tuned) = chosen_tensors(&folder, rule)?;
    let spec: TuneSpec = serde_json::from_value(record.plan["spec"].clone())
        .with_context(|| format!("{}: run.json: plan", folder.display()))?;
    let start = start(args, &spec, &folder, &record)?;
    for stamp in &record.plugins {
        let kind = if stamp.kind == Kind::Head.to_string() { Kind::Head } else { Kind::Backbone };
        let now = plugins.info(kind, &stamp.name)?;
        if now.sha256 != stamp.sha256 {
            eprintln!(
                "warn: {} plugin `{}` is another build than the one that tuned the model",
                stamp.kind, stamp.name
            );
        }
    }
    let file = store::file_digest(&folder.join(&chosen.file)).with_context(|| chosen.file.clone())?;
    Ok(Model {
        told: json!({
            "unit": record.unit, "selection": rule, "epoch": chosen.epoch, "weights_sha256": file,
            "model": record.model, "pretraining": record.pretraining, "head": record.head,
            "spec": spec, "plugins": stamps(plugins, &spec)?,
        }),
        title: format!("{} · {} ({rule}, epoch {})", record.model, record.head, chosen.epoch),
        samples: record.data.iter().find(|d| d.dataset == "train").map_or(0, |d| d.samples),
        synthetic: record.synthetic,
        transform: protocol.map(|p| p.test_transform),
        excused: Vec::new(),
        seeded: true,
        spec,
        tuned,
        start,
    })
}

/// The folder of a unit, named by its path or the beginning of its digest.
fn find(unit: &str, runs: &Path) -> Result<PathBuf> {
    let path = PathBuf::from(unit);
    if path.is_dir() {
        return Ok(path);
    }
    let (kind, digest) = unit.split_once('-').map_or(("", unit), |(k, d)| (k, d));
    let digest = digest.trim_end_matches('…');
    let entries = std::fs::read_dir(runs).with_context(|| {
        format!("{}: no folder of results\nhint: say where it is with `--runs DIR`", runs.display())
    })?;
    let mut hits = Vec::new();
    for entry in entries {
        let name = entry.with_context(|| runs.display().to_string())?.file_name();
        let Some((k, d)) = name.to_str().and_then(|n| n.split_once('-')) else { continue };
        let fits = if kind.is_empty() { ["tune", "score"].contains(&k) } else { k == kind };
        if fits && digest.len() >= 4 && d.starts_with(digest) {
            hits.push(runs.join(&name));
        }
    }
    hits.sort();
    match hits.as_slice() {
        [one] => Ok(one.clone()),
        [] => bail!(
            "{}: no finished tuning or scoring unit begins with `{unit}`\n\
             hint: `facebench plan EXPERIMENT` lists the units; four characters of the digest are enough",
            runs.display()
        ),
        many => {
            let names: Vec<String> = many.iter().map(|p| p.display().to_string()).collect();
            bail!("{} units begin with `{unit}`\nhint: give one of: {}", many.len(), names.join(", "))
        }
    }
}

fn read(folder: &Path) -> Result<RunRecord> {
    let file = folder.join("run.json");
    let text = std::fs::read_to_string(&file).with_context(|| {
        format!("{}: not a finished unit\nhint: name a `tune-…` or `score-…` folder", folder.display())
    })?;
    serde_json::from_str(&text).with_context(|| file.display().to_string())
}

/// The folder of a unit that another one used; they lie side by side.
fn input(folder: &Path, record: &RunRecord, kind: &str) -> Result<PathBuf> {
    let whole = std::path::absolute(folder).with_context(|| folder.display().to_string())?;
    let store = Store::at(whole.parent().unwrap_or(Path::new("")));
    let found = record.inputs.iter().map(|digest| store.folder(kind, digest)).find(|f| f.is_dir());
    found.ok_or_else(|| {
        anyhow!(
            "{}: the {kind} unit it used is not beside it\nhint: keep units of one folder of results together",
            folder.display()
        )
    })
}

/// The file a unit's backbone started from.
fn start(args: &ScoreArgs, spec: &TuneSpec, folder: &Path, record: &RunRecord) -> Result<Option<PathBuf>> {
    let given = args.checkpoint.as_ref();
    let wanted = match &spec.init {
        WeightsFrom::Checkpoint { sha256 } => sha256,
        other => {
            if let Some(file) = given {
                let from =
                    if *other == WeightsFrom::Random { "random weights" } else { "a pre-training unit" };
                bail!("--checkpoint {}: this unit started from {from}\nhint: leave it out", file.display());
            }
            return match other {
                WeightsFrom::Pretrain { .. } => Ok(Some(input(folder, record, "pretrain")?.join(MODEL))),
                _ => Ok(None),
            };
        }
    };
    let Some(file) = given else {
        bail!(
            "{}: this unit started from published weights, which it does not hold\n\
             hint: give the file with `--checkpoint FILE`; its SHA-256 is {wanted}",
            folder.display()
        );
    };
    let got = store::file_digest(file).with_context(|| file.display().to_string())?;
    if got != *wanted {
        bail!("--checkpoint {}: SHA-256 {got}, the unit started from {wanted}", file.display());
    }
    Ok(Some(file.clone()))
}

fn of_files(args: &ScoreArgs, backbone: &str, head: &str, file: &Path, plugins: &Plugins) -> Result<Model> {
    let component = |kind: Kind, name: &str, set: &[String]| -> Result<Component> {
        let given = Value::Object(shared::plugin_config(set)?);
        let config = match plugins.resolve(kind, name, &given)? {
            Value::Object(config) => config,
            _ => Map::new(), // a plugin without settings
        };
        Ok(Component { plugin: name.to_owned(), config })
    };
    let sha = |path: &Path| store::file_digest(path).with_context(|| path.display().to_string());
    let init = match &args.checkpoint {
        Some(path) => WeightsFrom::Checkpoint { sha256: sha(path)? },
        None => WeightsFrom::Random,
    };
    let spec = TuneSpec {
        backbone: component(Kind::Backbone, backbone, &args.set)?,
        init,
        head: component(Kind::Head, head, &args.head_set)?,
        recipe: TuneRecipe::default(),
        protocol: String::new(),
        fold: String::new(),
        seed: 0,
        oracle: false,
    };
    let config = spec.backbone.json();
    let (info, layouts) = (plugins.backbone_info(backbone, &config)?, plugins.layouts(backbone, &config)?);
    let read = checkpoint::read(file)?;
    let (mut tuned, mut excused) = (read.tensors.clone(), Vec::new());
    // a whole published detector has its backbone in a published layout; the head's names are left as they are
    if let Some(layout) = weights::recognise(&layouts, &read) {
        tuned = weights::map(&read, layout, &info).map_err(|e| anyhow!("{}: {e}", file.display()))?.tensors;
        excused = tuned.keys().filter(|n| layout.may_leave(n)).cloned().collect();
    }
    Ok(Model {
        told: json!({
            "weights_sha256": sha(file)?, "spec": spec, "plugins": stamps(plugins, &spec)?,
        }),
        title: format!("{backbone} · {head} ({})", file.display()),
        samples: 0,
        synthetic: false,
        transform: None,
        start: args.checkpoint.clone(),
        seeded: false,
        excused,
        spec,
        tuned,
    })
}

/// The plugins that do the work.
fn stamps(plugins: &Plugins, spec: &TuneSpec) -> Result<Vec<PluginStamp>> {
    let stamp = |kind, name: &str| plan::stamp(plugins, kind, name);
    Ok(vec![stamp(Kind::Backbone, &spec.backbone.plugin)?, stamp(Kind::Head, &spec.head.plugin)?])
}
