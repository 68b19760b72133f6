//! `facebench plugin`: list, show, check, new.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Result, anyhow};
use facebench_host::{HostError, PluginInfo, check_file};
use serde_json::Value;

use super::{plugin_new, shared};
use crate::args::PluginCommand;
use crate::config::nearest;
use crate::fail::{Permanent, Status};
use crate::{out, store};

/// Dispatches.
pub(crate) fn run(command: PluginCommand) -> Result<Status> {
    match command {
        PluginCommand::List { json, verbose, plugins } => {
            let plugins = shared::plugins(&plugins)?;
            for problem in plugins.problems().iter().filter(|p| verbose || !p.is_foreign()) {
                eprintln!("warning: not opened: {problem}");
            }
            if json {
                out::json(&plugins.list())?;
            } else {
                out::text(&table(&plugins.list()))?;
            }
            Ok(Status::Done)
        }
        PluginCommand::Show { name, json, plugins } => show(&name, json, &shared::plugins(&plugins)?.list()),
        PluginCommand::Check { file } => check(&file),
        PluginCommand::New { name, kind, path, sdk } => {
            plugin_new::run(&name, kind, path.as_deref(), sdk.as_deref())
        }
    }
}

fn table(list: &[PluginInfo]) -> String {
    let mut text = String::new();
    let width = list.iter().map(|p| p.name.len()).max().unwrap_or(0);
    for p in list {
        let _ = writeln!(
            text,
            "{:8}  {:width$}  {:8}  {}  {}",
            p.kind.to_string(),
            p.name,
            p.version,
            store::short(&p.sha256),
            p.summary
        );
    }
    if list.is_empty() {
        text += "no plugins\n";
    }
    text
}

fn show(name: &str, json: bool, list: &[PluginInfo]) -> Result<Status> {
    let found: Vec<&PluginInfo> = list.iter().filter(|p| p.name == name).collect();
    if found.is_empty() {
        let names: Vec<String> = list.iter().map(|p| p.name.clone()).collect();
        let hint = nearest(name, &names).map_or_else(
            || "`facebench plugin list` shows all; those of your own need `--plugins DIR`".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        return Err(anyhow!("no plugin is called `{name}`\nhint: {hint}"));
    }
    if json {
        out::json(&found)?;
        return Ok(Status::Done);
    }
    let mut text = String::new();
    for p in found {
        let _ = writeln!(
            text,
            "{} {} {}: {}\n{}\nsha256 {}",
            p.kind,
            p.name,
            p.version,
            p.summary,
            p.path.display(),
            p.sha256
        );
        text += &settings(&p.schema);
    }
    out::text(&text)?;
    Ok(Status::Done)
}

/// One line per setting: name, default, meaning.
fn settings(schema: &Value) -> String {
    let mut text = String::new();
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return text };
    for (key, sub) in properties {
        let default = sub.get("default").map_or(String::new(), |d| format!(" = {d}"));
        let about = sub.get("description").and_then(Value::as_str).unwrap_or_default();
        let _ = writeln!(text, "  {key}{default}  {about}");
    }
    text
}

fn check(file: &Path) -> Result<Status> {
    let list = check_file(file).map_err(|e| match e {
        HostError::Io { .. } => e.into(), // no such file: nothing was checked
        _ => anyhow::Error::from(e).context(Permanent("not a usable plugin")),
    })?;
    out::text(&table(&list))?;
    Ok(Status::Done)
}
