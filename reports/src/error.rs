//! What can go wrong between a run folder and a finished report.
//!
//! Every variant carries the file or table it happened in and, where a fix is known, a hint line. Nothing here is
//! recoverable by guessing: a broken record or a table that would mislead stops the report.

use std::path::PathBuf;

/// Errors of loading runs, building tables and writing them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("cannot access {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// `run.json` is not a run record.
    #[error("{} is not a run record: {source}\nhint: move the folder away, or run its unit again", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What the decoder said, with line and column.
        source: serde_json::Error,
    },
    /// `scores.csv` could not be understood.
    #[error("{} is not a score table: {message}\nhint: move the folder away, or run its unit again", path.display())]
    Scores {
        /// The file.
        path: PathBuf,
        /// What was wrong.
        message: String,
    },
    /// `curves.csv` is not a table of numbers.
    #[error("{} is not a table of training curves: {message}", path.display())]
    Curves {
        /// The file.
        path: PathBuf,
        /// What was wrong.
        message: String,
    },
    /// A folder holds no finished run at all.
    #[error("no finished run under {}\nhint: a finished run is a folder with a run.json; names starting with a dot are unfinished", path.display())]
    NoRuns {
        /// The folder that was searched.
        path: PathBuf,
    },
    /// The runs hold no result of a protocol.
    #[error("no run of protocol {id} has an evaluation\nhint: score the tuned models first")]
    NoResults {
        /// The protocol asked for.
        id: String,
    },
    /// A row or group has another number of cells than the table has columns.
    #[error("table {table}: row {row} has {got} {what}, expected {expected}")]
    Shape {
        /// Table id.
        table: String,
        /// Row labels, joined.
        row: String,
        /// `cells` or `labels`.
        what: &'static str,
        /// Number the table's columns ask for.
        expected: usize,
        /// Number the row has.
        got: usize,
    },
    /// A number that is not finite reached a table.
    #[error("table {table}: row {row}, column {column} is {value}")]
    NotFinite {
        /// Table id.
        table: String,
        /// Row labels, joined.
        row: String,
        /// Column key.
        column: String,
        /// The value.
        value: f64,
    },
    /// An oracle-selected run in a group that is ranked.
    #[error(
        "table {table}: row {row} was selected on the test set and cannot stand in a main table\nhint: put it in a group with `ranked: false`"
    )]
    OracleInMain {
        /// Table id.
        table: String,
        /// Row labels, joined.
        row: String,
    },
    /// A plot cannot be drawn from these numbers.
    #[error("figure {figure}: {message}")]
    Figure {
        /// Figure id.
        figure: String,
        /// Why.
        message: String,
    },
    /// Drawing or encoding failed.
    #[error("figure {figure}: the drawing backend failed: {message}")]
    Backend {
        /// Figure id.
        figure: String,
        /// What the backend said.
        message: String,
    },
    /// A picture could not be decoded.
    #[error("{} is not a readable picture: {message}", path.display())]
    Picture {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        message: String,
    },
    /// A format name nobody knows.
    #[error("unknown report format `{name}`, expected one of {expected}")]
    UnknownFormat {
        /// What was asked for.
        name: String,
        /// The names that exist.
        expected: String,
    },
    /// A statistic could not be computed.
    #[error("comparing {what}: {message}")]
    Statistics {
        /// Which comparison.
        what: String,
        /// Why.
        message: String,
    },
}

impl Error {
    /// An `Io` error for `path`.
    pub(crate) fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Error::Io { path: path.into(), source }
    }
}
