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
    let plan = shared::draft(&e.experiment, &e.set, &plugins)?;
    let store = Store::at(&e.runs);
    // a program that reads digests gets true ones or none
    if args.format != PlanFormat::Term && !plan.absent.is_empty() {
        plan.ready()?;
    }
    match args.format {
        PlanFormat::Term => out::text(&plan::term(&plan, &store, args.full)?)?,
        PlanFormat::Json => out::json(&plan::json(&plan, &store)?)?,
        PlanFormat::Sh => out::text(&plan::commands(&plan, &store, &shared::repeat(e))?)?,
    }
    Ok(Status::Done)
}
