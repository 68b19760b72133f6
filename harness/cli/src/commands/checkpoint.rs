//! `facebench checkpoint show`: what is in a file of weights, which backbone reads it, and what of it would load.
//!
//! A comparison needs names and shapes only, so models of any size are compared without their memory. Without
//! `--backbone` every backbone in every named size is tried and the best few are listed.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::{Result, anyhow};
use facebench_engine::checkpoint::{self, Checkpoint};
use facebench_engine::{DType, Device, ParamStore};
use facebench_host::{Kind, Plugins, Purpose, RunCtx};
use facebench_train::weights;
use serde_json::{Map, Value, json};

use super::shared;
use crate::args::CheckpointCommand;
use crate::fail::{Permanent, Status};
use crate::out;

/// At most this many names are listed of one kind.
const SHOWN: usize = 6;

/// At most this many backbones are listed for a file that none reads completely.
const NEAREST: usize = 3;

/// A file against one backbone with one set of settings.
#[derive(Default)]
struct Verdict {
    backbone: String,
    settings: Map<String, Value>,
    /// Recognised layout; none if no layout knows these keys.
    layout: Option<String>,
    known: Vec<String>,
    loads: usize,
    ignored: Vec<(String, String)>,
    unknown: Vec<String>,
    missing: Vec<String>,
    fresh: Vec<String>,
    shapes: Vec<String>,
    resized: Vec<String>,
    problem: Option<String>,
}

impl Verdict {
    fn fits(&self) -> bool {
        self.layout.is_some() && self.faults() == 0 && self.problem.is_none()
    }

    fn faults(&self) -> usize {
        self.unknown.len() + self.missing.len() + self.shapes.len()
    }

    /// The settings as a user would type them.
    fn typed(&self) -> String {
        let one = |(k, v): (&String, &Value)| {
            format!(" -s {k}={}", v.as_str().map_or(v.to_string(), str::to_owned))
        };
        format!("--backbone {}{}", self.backbone, self.settings.iter().map(one).collect::<String>())
    }

    fn json(&self) -> Value {
        let ignored: Vec<Value> =
            self.ignored.iter().map(|(key, why)| json!({"key": key, "why": why})).collect();
        json!({
            "backbone": self.backbone, "settings": self.settings, "fits": self.fits(), "layout": self.layout,
            "loads": self.loads, "ignored": ignored, "not_known": self.unknown, "missing": self.missing,
            "fresh": self.fresh, "shapes": self.shapes, "resized": self.resized, "problem": self.problem,
        })
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let Some(layout) = &self.layout else {
            let known = self.known.join(", ");
            let _ =
                writeln!(text, "{}: its keys are of no layout this backbone reads ({known})", self.typed());
            return text;
        };
        let word = if self.fits() { "loads completely" } else { "does not fit" };
        let _ = writeln!(
            text,
            "{}: {word}, layout `{layout}`, {} parameters from the file",
            self.typed(),
            self.loads
        );
        if let Some(problem) = &self.problem {
            let _ = writeln!(text, "  problem: {problem}");
        }
        for (what, list) in [
            ("shape differs", &self.shapes),
            ("missing in the file", &self.missing),
            ("not known to the backbone", &self.unknown),
            ("position table resized", &self.resized),
            ("not in the file, keeps its initial value", &self.fresh),
        ] {
            for name in list.iter().take(SHOWN) {
                let _ = writeln!(text, "  {what}: {name}");
            }
            if list.len() > SHOWN {
                let _ = writeln!(text, "  {what}: and {} more", list.len() - SHOWN);
            }
        }
        let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
        for (key, why) in &self.ignored {
            match reasons.iter_mut().find(|(r, _)| r == why) {
                Some((_, keys)) => keys.push(key),
                None => reasons.push((why, vec![key])),
            }
        }
        for (why, keys) in reasons {
            let more = if keys.len() > 3 { format!(" … ({} tensors)", keys.len()) } else { String::new() };
            let _ = writeln!(text, "  ignored, {why}: {}{more}", keys[..keys.len().min(3)].join(", "));
        }
        text
    }
}

/// Prints keys and shapes, and what which backbone would make of them.
pub(crate) fn run(command: CheckpointCommand) -> Result<Status> {
    let (file, backbone, set, keys, json, plugins) = match command {
        CheckpointCommand::Show { file, backbone, set, keys, json, plugins } => {
            (file, backbone, set, keys, json, plugins)
        }
        CheckpointCommand::Convert { input, output, layout, root } => {
            return super::convert::run(&input, &output, layout, root.as_deref());
        }
    };
    let read = checkpoint::read(&file)?;
    let plugins = shared::plugins(&plugins)?;
    let settings = shared::plugin_config(&set)?;
    let verdicts = match &backbone {
        Some(name) => vec![compare(&plugins, &read, name, &settings)?],
        None => survey(&plugins, &read, &settings),
    };
    if json {
        let list: Vec<Value> = read
            .tensors
            .iter()
            .map(|(n, t)| json!({"name": n, "shape": t.dims(), "dtype": dtype(t.dtype())}))
            .collect();
        out::json(&json!({
            "file": file, "container": format!("{:?}", read.container).to_lowercase(), "root": read.root,
            "tensors": list, "metadata": read.metadata, "other_tensors": read.extra.len(),
            "backbones": verdicts.iter().map(Verdict::json).collect::<Vec<_>>(),
        }))?;
    } else {
        out::text(&describe(&read, &verdicts, keys))?;
    }
    match (&backbone, verdicts.first()) {
        (Some(name), Some(v)) if !v.fits() => {
            let rest = match &v.layout {
                None => format!(
                    "its keys match no layout of it ({})\nhint: leave --backbone out to see who reads it",
                    v.known.join(", ")
                ),
                Some(layout) => {
                    let why = v.problem.clone().unwrap_or_else(|| {
                        let (s, m, u) = (v.shapes.len(), v.missing.len(), v.unknown.len());
                        format!("{s} tensors of another shape, {m} missing, {u} not known")
                    });
                    format!(
                        "read as layout `{layout}`: {why}\nhint: check its size, or leave --backbone out to see who reads it"
                    )
                }
            };
            Err(anyhow!("{}: does not fit backbone `{name}`: {rest}", file.display())
                .context(Permanent("would not load")))
        }
        _ => Ok(Status::Done),
    }
}

fn dtype(dtype: DType) -> String {
    format!("{dtype:?}").to_lowercase()
}

fn describe(read: &Checkpoint, verdicts: &[Verdict], keys: bool) -> String {
    let mut text = String::new();
    if keys || verdicts.iter().all(|v| !v.fits()) {
        let most = if keys { usize::MAX } else { SHOWN };
        for (name, tensor) in read.tensors.iter().take(most) {
            let _ = writeln!(text, "{name}  {:?} {}", tensor.dims(), dtype(tensor.dtype()));
        }
        if read.tensors.len() > most {
            let _ = writeln!(text, "… ({} tensors; `--keys` lists all)", read.tensors.len());
        }
    }
    for (key, value) in &read.metadata {
        let _ = writeln!(text, "# {key} = {}", value.chars().take(200).collect::<String>());
    }
    let root = if read.root.is_empty() { String::new() } else { format!(" under `{}`", read.root) };
    let scalars: usize = read.tensors.values().map(facebench_engine::Tensor::elem_count).sum();
    let _ = writeln!(text, "# {} tensors{root}, {scalars} numbers", read.tensors.len());
    if verdicts.is_empty() {
        let _ = writeln!(
            text,
            "no backbone knows these keys; `facebench plugin list` shows the backbones there are"
        );
    } else if verdicts.iter().all(|v| !v.fits()) {
        let _ = writeln!(text, "no backbone reads this file completely; nearest:");
    }
    for v in verdicts {
        text += &v.text();
    }
    text
}

/// Every backbone in every named size: those that fit, else the nearest.
fn survey(plugins: &Plugins, read: &Checkpoint, settings: &Map<String, Value>) -> Vec<Verdict> {
    let mut all = Vec::new();
    for plugin in plugins.list().iter().filter(|p| p.kind == Kind::Backbone) {
        let words = |key: &str| -> Vec<Value> {
            let choice = plugin.schema["properties"][key]["enum"].as_array().cloned();
            if settings.contains_key(key) { Vec::new() } else { choice.unwrap_or_default() }
        };
        // the size, and which of the published variants it is; each word may be left at its default
        let mut tries = vec![settings.clone()];
        for key in ["size", "variant"] {
            let words = words(key);
            if !words.is_empty() {
                tries = tries
                    .iter()
                    .flat_map(|t| words.iter().map(|w| (t.clone(), w.clone())))
                    .map(|(mut t, w)| {
                        t.insert(key.to_owned(), w);
                        t
                    })
                    .collect();
            }
        }
        let mut best: Option<Verdict> = None;
        for settings in tries {
            let Ok(v) = compare(plugins, read, &plugin.name, &settings) else { continue };
            if v.layout.is_some() && best.as_ref().is_none_or(|b| v.faults() < b.faults()) {
                best = Some(v);
            }
        }
        all.extend(best);
    }
    all.sort_by_key(|v| (!v.fits(), v.faults(), std::cmp::Reverse(v.loads)));
    if all.iter().any(Verdict::fits) {
        all.retain(Verdict::fits);
    } else {
        all.truncate(NEAREST);
    }
    all
}

/// The file against one backbone, by names and shapes.
fn compare(
    plugins: &Plugins,
    read: &Checkpoint,
    name: &str,
    settings: &Map<String, Value>,
) -> Result<Verdict> {
    let config = Value::Object(settings.clone());
    let info = plugins.backbone_info(name, &config)?;
    let layouts = plugins.layouts(name, &config)?;
    let known = layouts.iter().map(|l| l.name.clone()).collect();
    let mut v = Verdict { backbone: name.into(), settings: settings.clone(), known, ..Verdict::default() };
    let Some(layout) = weights::recognise(&layouts, read) else { return Ok(v) };
    v.layout = Some(layout.name.clone());
    let store = ParamStore::shapes_only();
    let ctx = RunCtx::new(&Device::Cpu, DType::F32, 0);
    plugins.backbone(name, &config, Purpose::Downstream, &store, "", &ctx)?;
    let wanted = store.shapes();
    let mapped = match weights::map(read, layout, &info) {
        Ok(mapped) => mapped,
        Err(problem) => {
            v.problem = Some(problem);
            v.missing = wanted.keys().cloned().collect();
            return Ok(v);
        }
    };
    let mut found = BTreeSet::new();
    for (target, tensor) in &mapped.tensors {
        let from = mapped.keys[target].join(" + ");
        let label = if from == *target { from.clone() } else { format!("{from} → {target}") };
        match wanted.get(target) {
            Some(shape) if shape == tensor.dims() => {
                v.loads += 1;
                if let Some(rows) = mapped.resized.get(target) {
                    let dims = tensor.dims();
                    let now = if dims.len() == 3 { dims[1] } else { dims[0] };
                    v.resized.push(format!("{label}: {rows} → {now} rows"));
                }
            }
            Some(shape) => {
                let dims = tensor.dims();
                v.shapes.push(format!("{label}: {dims:?} in the file, {shape:?} in the backbone"));
            }
            None if layout.may_leave(target) => v.ignored.push((from, layout.reason(target).to_owned())),
            None => v.unknown.push(label),
        }
        found.insert(target);
    }
    for name in wanted.keys().filter(|n| !found.contains(n)) {
        if layout.may_miss(name) { v.fresh.push(name.clone()) } else { v.missing.push(name.clone()) }
    }
    Ok(v)
}
