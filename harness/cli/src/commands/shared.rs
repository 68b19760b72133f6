//! Steps that several commands take: open the plugins, resolve an experiment, choose device and threads.

use anyhow::{Context as _, Result, anyhow};
use facebench_engine::Device;
use facebench_host::{Plugins, default_dirs};
use serde_json::{Map, Value};

use crate::args::{ExperimentArgs, MachineArgs, PluginDirs};
use crate::config;
use crate::plan::{self, Plan};
use crate::run::Settings;

/// Opens all plugins: beside the program, `FACEBENCH_PLUGINS`, `--plugins`.
pub(crate) fn plugins(dirs: &PluginDirs) -> Result<Plugins> {
    Ok(Plugins::open(&default_dirs(&dirs.plugins))?)
}

/// Reads and resolves an experiment that can run.
pub(crate) fn plan(source: &str, set: &[String], plugins: &Plugins) -> Result<Plan> {
    let plan = draft(source, set, plugins)?;
    plan.ready()?;
    Ok(plan)
}

/// The same for one that may wait for files.
pub(crate) fn draft(source: &str, set: &[String], plugins: &Plugins) -> Result<Plan> {
    let loaded = config::load(source, set)?;
    plan::build(loaded, plugins)
}

/// The arguments that name this experiment again, for `plan --format sh`.
pub(crate) fn repeat(e: &ExperimentArgs) -> Vec<String> {
    let mut words = vec![e.experiment.clone()];
    for set in &e.set {
        words.extend(["-s".to_owned(), set.clone()]);
    }
    words.extend(["--runs".to_owned(), e.runs.display().to_string()]);
    for dir in &e.plugins.plugins {
        words.extend(["--plugins".to_owned(), dir.display().to_string()]);
    }
    words
}

/// Device, jobs and threads; `jobs` is the default number of units at a time.
pub(crate) fn settings(machine: &MachineArgs, jobs: usize) -> Result<Settings> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = machine.jobs.map_or(jobs, usize::from).max(1);
    let threads = machine.threads.map_or((cores / jobs).max(1), usize::from);
    let (device, device_name) = device(&machine.device)?;
    Ok(Settings { jobs, threads, device, device_name })
}

/// The device of that name; `auto` is the first GPU where this build can use one, else the CPU.
///
/// # Errors
/// A name that is none, or a GPU that cannot be used.
pub(crate) fn device(name: &str) -> Result<(Device, String)> {
    let cpu = || (Device::Cpu, "cpu".to_owned());
    let cuda = |n: usize| facebench_engine::cuda::open(n).map(|device| (device, format!("cuda:{n}")));
    let number = match name {
        "cpu" => return Ok(cpu()),
        "auto" if cfg!(feature = "cuda") => {
            return Ok(cuda(0).unwrap_or_else(|error| {
                let reason = error.to_string();
                eprintln!("using the CPU: {}", reason.lines().next().unwrap_or_default());
                cpu()
            }));
        }
        "auto" => return Ok(cpu()),
        "cuda" => Some(0),
        other => other.strip_prefix("cuda:").and_then(|n| n.parse::<usize>().ok()),
    };
    match number {
        None => Err(anyhow!("--device {name}: no such device\nhint: `cpu`, `cuda:0` or `auto`")),
        Some(n) => cuda(n).map_err(|error| anyhow!("--device {error}")),
    }
}

/// Settings of a plugin from `-s a=b`.
pub(crate) fn plugin_config(set: &[String]) -> Result<Map<String, Value>> {
    let mut value = Value::Object(Map::new());
    config::apply(&mut value, set)?;
    match value {
        Value::Object(map) => Ok(map),
        other => Err(anyhow!("-s: expected keys and values, got {other}")).context("plugin settings"),
    }
}
