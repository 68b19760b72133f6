//! `facebench demo`: the main job on synthetic faces, from nothing to tables and figures.
//!
//! It is `facebench run preset:demo` with its results and its report in one folder, so everything that holds
//! for experiments (skipping, resuming, exit codes) holds here.

use anyhow::Result;

use super::{report, shared};
use crate::args::DemoArgs;
use crate::fail::Status;
use crate::run;
use crate::store::Store;

/// Small models leave cores idle, so several units run at a time; more would only cost memory.
const MOST_JOBS: usize = 4;

/// Runs the embedded experiment and reports.
pub(crate) fn run(args: &DemoArgs) -> Result<Status> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let settings = shared::settings(&args.machine, cores.min(MOST_JOBS))?;
    let plugins = shared::plugins(&args.plugins)?;
    let plan = shared::plan("preset:demo", &args.set, &plugins)?;
    let runs = args.runs.clone().unwrap_or_else(|| args.out.join("runs"));
    let store = Store::open(&runs)?;
    let stop = run::hear_signals()?;
    let all: Vec<usize> = (0..plan.units.len()).collect();
    let status = run::execute(&plan, &all, &store, &plugins, &settings, &stop)?;
    if status != Status::Done {
        return Ok(status);
    }
    report::of_plan(&plan, &store, Some(&args.out))?;
    run::verdict(&plan, &all, &store)
}
