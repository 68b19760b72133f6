//! Finished runs on disk: `run.json` with what stands beside it.
//!
//! A run is a folder with a `run.json`; names starting with a dot are work in progress and folders with a `data.json`
//! are data, both are passed over. A record that cannot be read is an error, because leaving it out would change a
//! table without a word. Scores and curves are read only when asked for: half a million rows need not be in memory to
//! print a table.

use crate::Error;
use facebench_protocols::{RunRecord, ScoreRow, read_scores};
use std::path::{Path, PathBuf};

/// How deep below the given folder runs are looked for.
const DEPTH: usize = 3;

/// One finished run.
#[derive(Clone, Debug)]
pub struct Run {
    /// What the run says of itself.
    pub record: RunRecord,
    /// Its folder.
    pub folder: PathBuf,
}

/// A column of `curves.csv` over its first column.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Column heading.
    pub name: String,
    /// `(epoch, value)`.
    pub points: Vec<(f64, f64)>,
}

/// All finished runs in `dir` and up to two levels of folders below it, in an order that depends on their contents only.
///
/// # Errors
/// The folder cannot be read, a `run.json` is not a run record, or there is no run at all.
pub fn load(dir: &Path) -> Result<Vec<Run>, Error> {
    let mut runs = Vec::new();
    collect(dir, DEPTH, &mut runs)?;
    if runs.is_empty() {
        return Err(Error::NoRuns { path: dir.to_owned() });
    }
    sort(&mut runs);
    runs.dedup_by(|a, b| a.record.unit == b.record.unit && a.record.kind == b.record.kind);
    Ok(runs)
}

/// The run in `folder`.
pub(crate) fn one(folder: &Path) -> Result<Run, Error> {
    Ok(Run { record: record(&folder.join("run.json"))?, folder: folder.to_owned() })
}

/// Rows without pre-training first, then by model, pre-training, head, protocol, fold, seed.
fn sort(runs: &mut [Run]) {
    let key = |run: &Run| {
        let r = &run.record;
        let protocol = r.protocol.clone().unwrap_or_default();
        (
            (r.pretraining != "none" && !r.pretraining.is_empty(), r.model.clone(), r.pretraining.clone()),
            (r.head.clone(), protocol.id, protocol.version, protocol.fold),
            (r.seed, r.kind.clone(), r.unit.clone(), run.folder.clone()),
        )
    };
    runs.sort_by_cached_key(key);
}

fn collect(dir: &Path, depth: usize, runs: &mut Vec<Run>) -> Result<(), Error> {
    let file = dir.join("run.json");
    if file.is_file() {
        runs.push(Run { record: record(&file)?, folder: dir.to_owned() });
        return Ok(());
    }
    if depth == 0 || dir.join("data.json").is_file() {
        return Ok(());
    }
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|e| Error::io(dir, e))? {
        let entry = entry.map_err(|e| Error::io(dir, e))?;
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if !hidden && entry.path().is_dir() {
            folders.push(entry.path());
        }
    }
    folders.sort();
    folders.iter().try_for_each(|folder| collect(folder, depth - 1, runs))
}

fn record(file: &Path) -> Result<RunRecord, Error> {
    let text = std::fs::read_to_string(file).map_err(|e| Error::io(file, e))?;
    let bad = |source| Error::Record { path: file.to_owned(), source };
    let record: RunRecord = serde_json::from_str(&text).map_err(bad)?;
    if record.unit.is_empty() || record.kind.is_empty() {
        let missing = if record.unit.is_empty() { "unit" } else { "kind" };
        return Err(bad(serde::de::Error::custom(format!("`{missing}` is missing or empty"))));
    }
    Ok(record)
}

impl Run {
    /// The scores, if the run has some.
    ///
    /// # Errors
    /// `scores.csv` is there but cannot be understood.
    pub fn scores(&self) -> Result<Option<Vec<ScoreRow>>, Error> {
        let path = self.folder.join("scores.csv");
        if !path.is_file() {
            return Ok(None);
        }
        read_scores(&path).map(Some).map_err(|e| Error::Scores { path, message: e.to_string() })
    }

    /// The training curves, if the run has some; columns without a finite number are left out.
    ///
    /// # Errors
    /// `curves.csv` is there but is not a table of numbers.
    pub fn curves(&self) -> Result<Vec<Series>, Error> {
        let path = self.folder.join("curves.csv");
        if !path.is_file() {
            return Ok(Vec::new());
        }
        let text = std::fs::read_to_string(&path).map_err(|e| Error::io(&path, e))?;
        parse_curves(&text).map_err(|message| Error::Curves { path, message })
    }

    /// Whether the checkpoint was chosen on the test set.
    pub fn oracle(&self) -> bool {
        self.record.selection == Some(facebench_protocols::Selection::Oracle)
    }

    /// First eight characters of the unit's digest.
    pub fn short(&self) -> String {
        self.record.unit.chars().take(8).collect()
    }
}

fn parse_curves(text: &str) -> Result<Vec<Series>, String> {
    let mut lines = text.lines().enumerate();
    let (_, head) = lines.next().ok_or("the file is empty")?;
    let names: Vec<&str> = head.split(',').collect();
    let mut series: Vec<Series> =
        names.iter().skip(1).map(|n| Series { name: (*n).into(), points: Vec::new() }).collect();
    for (at, line) in lines.filter(|(_, l)| !l.is_empty()) {
        let cells: Vec<&str> = line.split(',').collect();
        if cells.len() != names.len() {
            return Err(format!("line {}: {} fields, expected {}", at + 1, cells.len(), names.len()));
        }
        let number = |cell: &str| {
            cell.trim().parse::<f64>().map_err(|_| format!("line {}: `{cell}` is not a number", at + 1))
        };
        let x = number(cells[0])?;
        for (series, cell) in series.iter_mut().zip(&cells[1..]) {
            if !cell.trim().is_empty() {
                series.points.push((x, number(cell)?));
            }
        }
    }
    for s in &mut series {
        s.points.retain(|p| p.0.is_finite() && p.1.is_finite());
    }
    series.retain(|s| !s.points.is_empty());
    Ok(series)
}
