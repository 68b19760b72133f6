//! Predictions for files without labels: what outside leaderboards ask for.
//!
//! A CSV with a column of names (`name`, `filename`, `path` or `image`) and a column `score` = P(fake). No identity is
//! derived from a name here: the board's own list says which names there are.

use std::path::Path;

use crate::csv;
use crate::error::{Error, Result};

/// One file and its score.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// Name as on the board's list.
    pub name: String,
    /// P(fake).
    pub score: f64,
}

/// Headings that may stand over names.
const NAMES: [&str; 4] = ["name", "filename", "path", "image"];

/// Reads a table of predictions.
///
/// # Errors
/// The file cannot be read, has no column of names or scores, or a score is not a finite number.
pub fn read_predictions(path: &Path) -> Result<Vec<Prediction>> {
    let text = csv::read(path)?;
    let table = csv::Table::parse(path, &text)?;
    let name = match NAMES.iter().find_map(|n| table.optional(n)) {
        Some(column) => column,
        None => table.column(NAMES[0])?,
    };
    let score = table.column("score")?;
    let mut out = Vec::new();
    for row in table.rows() {
        let prediction = Prediction { name: row.text(name).to_owned(), score: row.parse(score, "score")? };
        if !prediction.score.is_finite() {
            return Err(Error::NotFinite { id: prediction.name, column: "score", value: prediction.score });
        }
        out.push(prediction);
    }
    Ok(out)
}
