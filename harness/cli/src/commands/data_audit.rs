//! `facebench data audit`: the leakage audit of a protocol by hand, before anything is trained.

use std::path::Path;

use anyhow::{Result, anyhow};
use facebench_protocols::Severity;

use crate::args::AuditArgs;
use crate::fail::{Permanent, Status};
use crate::run::{self, Screen};
use crate::{out, plan};

/// Dispatches.
pub(crate) fn run(args: &AuditArgs) -> Result<Status> {
    let protocol = plan::protocol(&args.protocol, Path::new(""))?;
    let names: Vec<&str> = protocol.folds.iter().map(|f| f.name.as_str()).collect();
    if let Some(fold) = args.fold.as_deref().filter(|f| !names.contains(f)) {
        let hint = format!("its folds are {}", names.join(", "));
        return Err(anyhow!("protocol `{}` has no fold `{fold}`\nhint: {hint}", protocol.id));
    }
    let stop = run::hear_signals()?;
    let screen = Screen::new();
    let (mut rows, mut worst) = (Vec::new(), None);
    for fold in names.into_iter().filter(|name| args.fold.as_deref().is_none_or(|f| f == *name)) {
        let progress = screen.unit(fold);
        let cache: Option<&Path> = args.cache.as_deref();
        let found = run::audit(&protocol, fold, &args.root, &args.pretrain, cache, &stop, &progress)?;
        drop(progress);
        let Some((findings, said)) = found else {
            screen.line("interrupted: nothing was found out");
            return Ok(Status::Interrupted);
        };
        worst = worst.max(findings.iter().any(|f| f.severity == Severity::Stop).then_some(()));
        if !args.json {
            let mut text = format!("{fold}: {said}\n");
            for f in &findings {
                let word = match f.severity {
                    Severity::Stop => "stop",
                    Severity::Warn => "warn",
                    Severity::Note => "note",
                };
                text.push_str(&format!("  {word}  {}: {}\n", f.code, f.message));
            }
            out::text(&text)?;
        }
        rows.push(serde_json::json!({"fold": fold, "findings": findings, "compared": said}));
    }
    if args.json {
        out::json(&rows)?;
    }
    match worst {
        Some(()) => {
            Err(anyhow!("training has seen what is tested\nhint: take the pictures out of one of the sides")
                .context(Permanent("the leakage audit says stop")))
        }
        None => Ok(Status::Done),
    }
}
