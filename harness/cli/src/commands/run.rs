//! `facebench run`: carry an experiment out, then print its tables.

use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};

use super::{report, shared};
use crate::args::RunArgs;
use crate::fail::Status;
use crate::run;
use crate::store::Store;

/// Proves that the report's folder can be written, before hours go into what it will show. Leaves nothing behind.
fn writable(out: &Path) -> Result<()> {
    let above = out.ancestors().find(|p| p.exists()).unwrap_or(Path::new("."));
    if !above.is_dir() {
        let shown = above.display();
        return Err(anyhow!("--out {}: {shown} is no folder\nhint: name a folder", out.display()));
    }
    let probe = above.join(format!(".probe-{}", std::process::id()));
    File::create(&probe)
        .and_then(|_| std::fs::remove_file(&probe))
        .with_context(|| format!("--out {}: cannot be written\nhint: choose another folder", out.display()))
}

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
    if let (Some(out), None) = (&args.out, &args.unit) {
        writable(out)?;
    }
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
