//! What lies beside a score file and says what it is: the record of `facebench score`, or that of a run.
//!
//! It tells what cannot be seen in scores: that faces are synthetic, the model's name, how its checkpoint was chosen. It is
//! believed only if it is the record of these samples; a file that was cut or exchanged since gets a warning.

use std::path::Path;

use facebench_protocols::{DataStamp, RunRecord, ScoreRow, Selection};
use serde::Deserialize;

use super::metrics::stamps;

/// What is known of a score file beyond its scores.
#[derive(Debug, Default)]
pub(super) struct Beside {
    pub(super) synthetic: bool,
    pub(super) model: Option<String>,
    pub(super) selection: Option<Selection>,
}

/// The parts of the record of `facebench score` that matter here.
#[derive(Deserialize)]
struct ScoreRecord {
    what: What,
    synthetic: bool,
}

#[derive(Deserialize)]
struct What {
    model: Told,
    sets: Vec<DataStamp>,
}

#[derive(Deserialize)]
struct Told {
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    selection: Option<Selection>,
}

/// What the record beside `path` says; nothing where there is none, or one of other samples.
pub(super) fn of(path: &Path, rows: &[ScoreRow]) -> Beside {
    let own = path.with_extension("json");
    let found = of_score(&own).map(|found| (own, found)).or_else(|| {
        let file = path.with_file_name("run.json");
        let is_of_run = path.file_name().is_some_and(|name| name == "scores.csv");
        let found = if is_of_run { of_run(&file) } else { None };
        found.map(|found| (file, found))
    });
    let Some((file, (beside, sets))) = found else { return Beside::default() };
    let same = |ours: &DataStamp| sets.iter().any(|s| s.dataset == ours.dataset && s.sha256 == ours.sha256);
    if stamps(rows, beside.synthetic).iter().all(same) {
        return beside;
    }
    eprintln!(
        "warn: {}: the record of other samples than those of {}, so it is not used; `--name`, `--selection` and \
         `--synthetic` say what it would",
        file.display(),
        path.display()
    );
    Beside::default()
}

fn of_score(file: &Path) -> Option<(Beside, Vec<DataStamp>)> {
    let record: ScoreRecord = serde_json::from_str(&std::fs::read_to_string(file).ok()?).ok()?;
    let Told { model, selection } = record.what.model;
    let model = model.filter(|name| !name.is_empty());
    Some((Beside { synthetic: record.synthetic, model, selection }, record.what.sets))
}

fn of_run(file: &Path) -> Option<(Beside, Vec<DataStamp>)> {
    let record: RunRecord = serde_json::from_str(&std::fs::read_to_string(file).ok()?).ok()?;
    let beside = Beside { synthetic: record.synthetic, model: None, selection: record.selection };
    (record.kind == "score").then_some((beside, record.data))
}
