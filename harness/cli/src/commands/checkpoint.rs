//! `facebench checkpoint show`: what is in a file of weights, and what of it a backbone would load.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use facebench_engine::{DType, Device, ParamStore, checkpoint};
use facebench_host::{Plugins, Purpose, RunCtx};
use facebench_train::weights;
use serde_json::{Value, json};

use super::shared;
use crate::args::CheckpointCommand;
use crate::fail::{Permanent, Status};
use crate::{fail, out};

/// Prints keys and shapes; with a backbone, tries to load it.
pub(crate) fn run(command: CheckpointCommand) -> Result<Status> {
    let (file, backbone, set, json, plugins) = match command {
        CheckpointCommand::Show { file, backbone, set, json, plugins } => {
            (file, backbone, set, json, plugins)
        }
        CheckpointCommand::Convert { input, output, layout, root } => {
            return super::convert::run(&input, &output, layout, root.as_deref());
        }
    };
    let read = checkpoint::read(&file)?;
    let tensors: Vec<(String, Vec<usize>, String)> = read
        .tensors
        .iter()
        .map(|(name, t)| (name.clone(), t.dims().to_vec(), format!("{:?}", t.dtype()).to_lowercase()))
        .collect();
    let scalars: usize = tensors.iter().map(|(_, dims, _)| dims.iter().product::<usize>()).sum();
    let keys: Vec<String> = read.tensors.keys().cloned().collect();
    let verdict = match &backbone {
        Some(name) => Some(try_load(&file, &keys, name, &set, &shared::plugins(&plugins)?)),
        None => None,
    };
    if json {
        let list: Vec<Value> =
            tensors.iter().map(|(n, d, t)| json!({"name": n, "shape": d, "dtype": t})).collect();
        let loads = verdict.as_ref().map(|v| match v {
            Ok(layout) => json!({"loads": true, "layout": layout}),
            Err(e) => json!({"loads": false, "why": fail::message(e)}),
        });
        out::json(&json!({
            "file": file, "container": format!("{:?}", read.container).to_lowercase(), "root": read.root,
            "tensors": list, "metadata": read.metadata, "other_tensors": read.extra.len(), "backbone": loads,
        }))?;
    } else {
        let mut text = String::new();
        for (name, dims, dtype) in &tensors {
            let _ = writeln!(text, "{name}  {dims:?} {dtype}");
        }
        for (key, value) in &read.metadata {
            let _ = writeln!(text, "# {key} = {}", value.chars().take(200).collect::<String>());
        }
        let root = if read.root.is_empty() { String::new() } else { format!(" under `{}`", read.root) };
        let _ = writeln!(text, "# {} tensors{root}, {scalars} numbers", tensors.len());
        if let (Some(name), Some(Ok(layout))) = (&backbone, &verdict) {
            let _ = writeln!(text, "# loads into backbone `{name}` as layout `{layout}`");
        }
        out::text(&text)?;
    }
    match verdict {
        Some(Err(e)) => Err(e.context(Permanent("would not load"))),
        _ => Ok(Status::Done),
    }
}

/// The layout as which the file loads, strict both ways.
fn try_load(file: &Path, keys: &[String], name: &str, set: &[String], plugins: &Plugins) -> Result<String> {
    let config = Value::Object(shared::plugin_config(set)?);
    let info = plugins.backbone_info(name, &config)?;
    let layouts = plugins.layouts(name, &config)?;
    let store = ParamStore::new(&Device::Cpu, DType::F32, 0);
    let given = weights::give(file, name, &info, &layouts, &store)?;
    let ctx = RunCtx::new(&Device::Cpu, DType::F32, 0);
    plugins.backbone(name, &config, Purpose::Downstream, &store, "", &ctx)?;
    given.check(&store, &BTreeSet::new())?;
    let keys = keys.iter().map(String::as_str);
    let layout = layouts.iter().find(|l| l.recognises(keys.clone()));
    Ok(layout.map(|l| l.name.clone()).unwrap_or_default())
}
