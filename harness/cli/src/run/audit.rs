//! What a scored fold leaked: files, copies, look-alikes and people on both sides of a wall.
//!
//! Run after every scoring unit, from the pictures themselves, with prints kept in the folder of results: each picture
//! is read once, whatever the number of models. Findings join those of the evaluation. Those that nobody should miss are
//! said on stderr when they arise, and a result that must not be used gives the command an exit code of its own.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use facebench_data::audit::{Seen, leakage, parts};
use facebench_protocols::{Finding, Protocol, RunRecord, Severity};
use facebench_train::Progress;
use facebench_train::frames::FoldData;

use super::progress::Screen;
use crate::fail::Status;
use crate::plan::{Plan, Task};
use crate::store::Store;

/// Folder of the prints, in the folder of results.
pub(crate) const PRINTS: &str = ".prints";

/// Findings, and a sentence that says what was compared; `None` if the program was asked to stop. `pretrained` are
/// folders and shards under the data root.
///
/// # Errors
/// The data cannot be read, or the cache not written.
pub(crate) fn audit(
    protocol: &Protocol,
    fold: &str,
    root: &Path,
    pretrained: &[String],
    cache: Option<&Path>,
    stop: &AtomicBool,
    progress: &dyn Progress,
) -> Result<Option<(Vec<Finding>, String)>> {
    let data = FoldData::open(protocol, fold, root)?;
    let open = |set: &String| Seen::open(set, &root.join(set));
    let seen = pretrained.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let parts = parts(&data.assembled, &seen);
    let total: usize = parts.iter().map(|p| p.items.len()).sum();
    progress.phase("leakage audit", total as u64);
    Ok(leakage(&parts, cache, stop, &|n| progress.tick(n, "reading pictures"))?)
}

/// The one reason to stop that the user chose himself: tables mark such rows, so neither stderr nor the exit code does.
const CHOSEN: &str = "oracle-selection";

/// Whether a result must not be used, for a reason that was found and not chosen.
fn stops(finding: &Finding) -> bool {
    finding.severity == Severity::Stop && finding.code != CHOSEN
}

/// What to do about a finding, where one thing helps.
fn fix(code: &str) -> Option<&'static str> {
    Some(match code {
        "leak-path" | "leak-bytes" => {
            "take these pictures out of one of the two sides and run again; `facebench data audit` looks before training"
        }
        "leak-near" => "look at both pictures, and take one away if they are the same shot",
        "constant-scores" => "look at the curve of its tuning: it diverged, or it never began to learn",
        "polarity" => "check which label means fake in this set",
        _ => return None,
    })
}

/// Says findings that a reader of the number must know, each message once; `said` holds what was said before.
pub(super) fn tell(name: &str, findings: &[Finding], said: &Mutex<BTreeSet<String>>, screen: &Screen) {
    for finding in findings.iter().filter(|f| f.code != CHOSEN) {
        let word = match finding.severity {
            Severity::Stop => "stop",
            Severity::Warn => "warn",
            Severity::Note => continue,
        };
        // what the data have in common is the same for every model that is scored on them
        let whose = if finding.code.starts_with("leak-") { String::new() } else { format!("{name}: ") };
        let text = format!("{word}: {whose}{} ({})", finding.message, finding.code);
        if said.lock().unwrap_or_else(PoisonError::into_inner).insert(text.clone()) {
            let hint = fix(&finding.code).map_or_else(String::new, |fix| format!("\nhint: {fix}"));
            screen.line(&(text + &hint));
        }
    }
}

/// The last word on finished units: [`Status::Wrong`] if a result of `wanted` must not be used, whichever call made it.
///
/// # Errors
/// The record of a finished unit cannot be read.
pub(crate) fn verdict(plan: &Plan, wanted: &[usize], store: &Store) -> Result<Status> {
    let (mut scored, mut stopped, mut codes) = (0, 0, BTreeSet::new());
    for unit in wanted.iter().map(|i| &plan.units[*i]).filter(|u| matches!(u.task, Task::Score(_))) {
        let Some(folder) = unit.finished(store)? else { continue };
        let file = folder.join(unit.task.marker().file());
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let record: RunRecord = serde_json::from_str(&text).with_context(|| file.display().to_string())?;
        let findings = record.evaluation.map_or_else(Vec::new, |e| e.findings);
        let found: Vec<&Finding> = findings.iter().filter(|f| stops(f)).collect();
        scored += 1;
        stopped += usize::from(!found.is_empty());
        codes.extend(found.into_iter().map(|f| f.code.clone()));
    }
    if stopped == 0 {
        return Ok(Status::Done);
    }
    let codes: Vec<String> = codes.into_iter().collect();
    Screen::new().line(&format!(
        "error: {stopped} of {scored} results must not be used: the audit says stop ({}); they are kept in {}\n\
         hint: `facebench report` says why below each table",
        codes.join(", "),
        store.root().display()
    ));
    Ok(Status::Wrong)
}
