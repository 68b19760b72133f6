//! `facebench run`: carry an experiment out, then print its tables.

use anyhow::Result;

use super::{report, shared};
use crate::args::RunArgs;
use crate::fail::Status;
use crate::run;
use crate::store::Store;

/// Runs the units that are not finished; with all of them done, reports, and says whether a result must not be used.
pub(crate) fn run(args: &RunArgs) -> Result<Status> {
    let e = &args.experiment;
    let settings = shared::settings(&args.machine, 1)?;
    let plugins = shared::plugins(&e.plugins)?;
    let plan = shared::plan(&e.experiment, &e.set, &plugins)?;
    let wanted = match &args.unit {
        Some(digest) => plan.closure(&[plan.unit(digest)?]),
        None => (0..plan.units.len()).collect(),
    };
    let store = Store::open(&e.runs)?;
    let stop = run::hear_signals()?;
    let status = run::execute(&plan, &wanted, &store, &plugins, &settings, &stop)?;
    if status != Status::Done {
        return Ok(status);
    }
    if args.unit.is_none() {
        report::of_plan(&plan, &store, args.out.as_deref())?;
    }
    run::verdict(&plan, &wanted, &store)
}
