//! `facebench plan`: what would run, what is finished, and every default.

use anyhow::Result;

use super::shared;
use crate::args::{PlanArgs, PlanFormat};
use crate::fail::Status;
use crate::store::Store;
use crate::{out, plan};

/// Prints the plan.
pub(crate) fn run(args: &PlanArgs) -> Result<Status> {
    let e = &args.experiment;
    let plugins = shared::plugins(&e.plugins)?;
    let plan = shared::plan(&e.experiment, &e.set, &plugins)?;
    let store = Store::at(&e.runs);
    match args.format {
        PlanFormat::Term => out::text(&plan::term(&plan, &store, args.full)?)?,
        PlanFormat::Json => out::json(&plan::json(&plan, &store)?)?,
        PlanFormat::Sh => out::text(&plan::commands(&plan, &store, &shared::repeat(e))?)?,
    }
    Ok(Status::Done)
}
