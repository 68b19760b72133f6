//! Names and scores for boards: from our own score files, and the boards' lists.

use super::super::{Error, Result};
use facebench_protocols::{Prediction, ScoreRow};
use std::collections::BTreeMap;
use std::path::Path;

/// Places in a name template.
const PLACES: [&str; 4] = ["{dataset}", "{method}", "{video}", "{frame}"];

/// One prediction per name of a score file's set. The name is made by `template` from the identity, e.g. `{video}.mp4`;
/// rows with the same name are averaged, so a template without `{frame}` gives video scores.
///
/// # Errors
/// The set has no rows, or the template names something else.
pub fn aggregated(rows: &[ScoreRow], set: &str, template: &str) -> Result<Vec<Prediction>> {
    let malformed = |message: String| Error::Malformed { path: Path::new("scores").to_owned(), message };
    let rest = PLACES.iter().fold(template.to_owned(), |t, place| t.replace(place, ""));
    if rest.contains(['{', '}']) || rest.len() == template.len() {
        return Err(malformed(format!("name template {template:?}: it may use {}", PLACES.join(", "))));
    }
    let mut sums: BTreeMap<String, (f64, usize)> = BTreeMap::new();
    let mut rows: Vec<&ScoreRow> = rows.iter().filter(|r| r.set == set).collect();
    if rows.is_empty() {
        return Err(malformed(format!("no rows of set {set:?}")));
    }
    rows.sort_by_key(|r| r.id()); // sums of floats depend on their order; results must not
    for row in rows {
        let frame = row.frame.to_string();
        let values = [&row.dataset, &row.method, &row.video, &frame];
        let name = PLACES.iter().zip(values).fold(template.to_owned(), |t, (place, v)| t.replace(place, v));
        let sum = sums.entry(name).or_default();
        *sum = (sum.0 + row.score, sum.1 + 1);
    }
    Ok(sums.into_iter().map(|(name, (sum, n))| Prediction { name, score: sum / n as f64 }).collect())
}

/// A board's list: one name per line; what follows a blank or comma is passed over, and so is a heading `filename`.
///
/// # Errors
/// The file cannot be read or is empty.
pub fn list(path: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
    let text = text.trim_start_matches('\u{feff}');
    let names: Vec<String> = text
        .lines()
        .map(|l| l.split([',', ' ', '\t']).next().unwrap_or("").trim().to_owned())
        .filter(|n| !n.is_empty())
        .enumerate()
        .filter(|(i, n)| *i > 0 || !matches!(n.as_str(), "filename" | "name" | "path" | "image"))
        .map(|(_, n)| n)
        .collect();
    if names.is_empty() {
        return Err(Error::Malformed { path: path.to_owned(), message: "no names in it".into() });
    }
    Ok(names)
}
