//! `.eval_results/*.yaml`: results in a model repository on the Hugging Face hub.
//!
//! One file per row (a model with its pre-training and head), one entry per test set, as the hub's documentation asks:
//! `dataset.id`, `dataset.task_id`, `value`, and optionally `source` and `notes`. The benchmark data set must have opted
//! in on the hub, so its identifier is the user's to give. Written by hand: five keys, every text quoted as JSON, which
//! YAML reads.

use super::super::{Error, Result};
use crate::figures::slug;
use crate::runs::Run;
use crate::table::fixed;
use facebench_protocols::{Measures, Metric, Selection};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What the hub wants to know besides the numbers.
#[derive(Clone, Debug)]
pub struct EvalOptions {
    /// Identifier of the benchmark on the hub, `owner/name`.
    pub dataset: String,
    /// The number to report.
    pub metric: Metric,
    /// Where the results can be looked up.
    pub url: Option<String>,
}

/// `(set, per-seed numbers)` of a row.
type Sets = BTreeMap<String, Vec<(u64, f64, usize)>>;

/// Writes one file per row of `runs` to `out/.eval_results`; returns the files.
///
/// # Errors
/// The identifier is not `owner/name`, no run is scored, a checkpoint was chosen on the test set, or a file cannot be
/// written.
pub fn eval_results(runs: &[Run], out: &Path, options: &EvalOptions) -> Result<Vec<PathBuf>> {
    let rule = |rule: String, hint: &str| Error::Rule {
        board: "eval-results".into(),
        rule,
        hint: Some(hint.to_owned()),
    };
    let parts: Vec<&str> = options.dataset.split('/').collect();
    if parts.len() != 2 || parts.iter().any(|p| p.is_empty() || p.contains(char::is_whitespace)) {
        let hint = "give the benchmark's identifier on the hub as owner/name";
        return Err(rule(format!("{:?} is not the name of a data set", options.dataset), hint));
    }
    let mut rows: BTreeMap<(String, String, String, String), (Sets, String)> = BTreeMap::new();
    for run in runs.iter().filter(|r| r.record.kind == "score") {
        let r = &run.record;
        let (Some(stamp), Some(evaluation)) = (&r.protocol, &r.evaluation) else { continue };
        if r.selection == Some(Selection::Oracle) {
            let hint = "a number chosen on the test set is not a result; give runs with another selection";
            return Err(rule(format!("{} was selected on the test set", r.name), hint));
        }
        let key = (stamp.id.clone(), r.model.clone(), r.pretraining.clone(), r.head.clone());
        let about = format!("protocol {}@{} {:.12}", stamp.id, stamp.version, stamp.fingerprint);
        let row = rows.entry(key).or_insert_with(|| (Sets::new(), about.clone()));
        if row.1 != about {
            let hint = "give the runs of one protocol version at a time";
            return Err(rule(format!("{} mixes fingerprints of {}", r.name, stamp.id), hint));
        }
        for m in &evaluation.sets {
            if let Some(value) = options.metric.of(m) {
                let set = if evaluation.sets.len() == 1 { &stamp.fold } else { &m.set };
                row.0.entry(set.clone()).or_default().push((r.seed, value, videos(m)));
            }
        }
    }
    rows.retain(|_, (sets, _)| !sets.is_empty());
    if rows.is_empty() {
        return Err(Error::NothingScored);
    }
    let folder = out.join(".eval_results");
    std::fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, e))?;
    let mut files = Vec::new();
    for ((protocol, model, pretraining, head), (sets, about)) in rows {
        let labels: Vec<&str> =
            [&*model, &*pretraining, &*head].into_iter().filter(|t| !t.is_empty() && *t != "none").collect();
        let mut text = String::new();
        for (set, mut seeds) in sets {
            seeds.sort_by_key(|s| s.0);
            let n = seeds.len() as f64;
            let mean = seeds.iter().map(|s| s.1).sum::<f64>() / n;
            let notes = format!(
                "{}; {} in %, {} videos, mean over {} seed{}; {about}",
                labels.join(", "),
                options.metric.label(),
                seeds[0].2,
                seeds.len(),
                if seeds.len() == 1 { "" } else { "s" },
            );
            text.push_str(&format!(
                "- dataset:\n    id: {}\n    task_id: {}\n  value: {}\n",
                quoted(&options.dataset),
                quoted(&slug(&[&protocol, &set])),
                fixed(mean, 2, 4)
            ));
            if let Some(url) = &options.url {
                text.push_str(&format!("  source:\n    url: {}\n    name: \"facebench\"\n", quoted(url)));
            }
            text.push_str(&format!("  notes: {}\n", quoted(&notes)));
        }
        let file = folder.join(format!("{}.yaml", slug(&[&[&*protocol], labels.as_slice()].concat())));
        std::fs::write(&file, text).map_err(|e| Error::io(&file, e))?;
        files.push(file);
    }
    Ok(files)
}

fn videos(m: &Measures) -> usize {
    m.videos[0] + m.videos[1]
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
