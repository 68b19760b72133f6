//! The one table model: what is shown, before any decision about how it looks.
//!
//! A table has label columns (the stub), value columns under at most one upper heading, and groups of rows. Values are
//! kept unrounded in their own unit; rounding, marks and markup belong to the writers, so that six formats cannot
//! disagree. Two rules live here because no writer may bend them: a run selected on the test set never stands in a
//! ranked group, and a missing cell carries its reason.

mod cells;
mod marks;
mod number;
mod queries;
#[cfg(test)]
mod tests;

pub use cells::{CellText, cell_text};
pub use marks::{Mark, marks};
pub use number::fixed;
pub use queries::note_mark;

use facebench_protocols::evaluate::Interval;

/// A table ready to be written in any format.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// File-name-safe name, e.g. `dfd-cross`.
    pub id: String,
    /// What the table shows, e.g. `Cross-dataset deepfake detection`.
    pub title: String,
    /// The protocol every row was evaluated under, if one.
    pub stamp: Option<Stamp>,
    /// True when any row was made from synthetic faces; the title then says so in every format.
    pub synthetic: bool,
    /// Headings of the label columns.
    pub stub: Vec<String>,
    /// Value columns, left to right.
    pub columns: Vec<Column>,
    /// Groups of rows, top to bottom.
    pub groups: Vec<Group>,
    /// Sentences that hold for the whole table.
    pub caption: Vec<String>,
    /// Footnotes; rows refer to them by index.
    pub notes: Vec<String>,
    /// Print intervals even where the style does not ask for them.
    pub intervals: bool,
}

/// Which protocol, in which version, with which fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// Protocol id, e.g. `dfd-cross`.
    pub id: String,
    /// Its version.
    pub version: u32,
    /// `sha256:…` over splits, frames, aggregation, selection and metric version.
    pub fingerprint: String,
}

impl Stamp {
    /// `dfd-cross@1 3f2a9c01`: id, version and the first eight hex digits of the fingerprint.
    pub fn short(&self) -> String {
        let hex = self.fingerprint.strip_prefix("sha256:").unwrap_or(&self.fingerprint);
        let prefix: String = hex.chars().take(8).collect();
        format!("{}@{} {prefix}", self.id, self.version)
    }
}

/// A value column.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Upper heading shared by neighbouring columns; empty for none.
    pub group: String,
    /// Heading.
    pub name: String,
    /// Test set, fold or other thing measured; machine-readable.
    pub set: String,
    /// Metric id, machine-readable, e.g. `video_auc`.
    pub metric: String,
    /// Which direction is better.
    pub direction: Direction,
    /// Unit of the stored values and how they print.
    pub unit: Unit,
    /// Digits after the decimal point in print.
    pub decimals: usize,
}

impl Column {
    /// Machine name, unique in its table: `set/metric`.
    pub fn key(&self) -> String {
        format!("{}/{}", self.set, self.metric)
    }

    /// Heading with its arrow.
    pub fn heading(&self) -> String {
        match self.direction.arrow() {
            "" => self.name.clone(),
            arrow => format!("{} {arrow}", self.name),
        }
    }
}

/// Which direction of a metric is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Larger is better.
    Up,
    /// Smaller is better.
    Down,
    /// No value is better than another; the column has no marks.
    Neither,
}

impl Direction {
    /// `↑`, `↓` or nothing.
    pub fn arrow(self) -> &'static str {
        match self {
            Direction::Up => "↑",
            Direction::Down => "↓",
            Direction::Neither => "",
        }
    }

    /// `up`, `down` or `neither`, for machines.
    pub fn name(self) -> &'static str {
        match self {
            Direction::Up => "up",
            Direction::Down => "down",
            Direction::Neither => "neither",
        }
    }
}

/// Unit of a column's stored values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A fraction in [0, 1], printed as percent.
    Percent,
    /// Printed as it is.
    Plain,
    /// A count, printed in millions.
    Millions,
}

impl Unit {
    /// Power of ten between the stored and the printed number.
    pub fn shift(self) -> i32 {
        match self {
            Unit::Percent => 2,
            Unit::Plain => 0,
            Unit::Millions => -6,
        }
    }
}

/// Rows that belong together, e.g. all with one head.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Line above the rows; empty for none.
    pub title: String,
    /// Whether the rows compete for best and second.
    pub ranked: bool,
    /// The rows.
    pub rows: Vec<Row>,
}

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// One text per label column.
    pub labels: Vec<String>,
    /// One cell per value column.
    pub cells: Vec<Cell>,
    /// Where the numbers come from.
    pub kind: RowKind,
    /// Footnotes of this row: indices into `Table::notes`.
    pub notes: Vec<usize>,
}

/// Where a row's numbers come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowKind {
    /// Measured here, checkpoint chosen without the test sets.
    Run,
    /// Measured here, checkpoint chosen on the test set: an upper bound.
    Oracle,
    /// Copied from a publication.
    Cited,
}

impl RowKind {
    /// `run`, `oracle` or `cited`, for machines.
    pub fn name(self) -> &'static str {
        match self {
            RowKind::Run => "run",
            RowKind::Oracle => "oracle",
            RowKind::Cited => "cited",
        }
    }
}

/// One cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// A measured number.
    Value(Value),
    /// Nothing, and why.
    Missing(String),
    /// Words, e.g. ✓ in an ablation.
    Text(String),
}

/// A measured number, unrounded, in the column's unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// The number, or the mean over seeds.
    pub mean: f64,
    /// Sample standard deviation over seeds (n − 1); none for one seed.
    pub std: Option<f64>,
    /// Number of seeds.
    pub n: usize,
    /// 95 % interval.
    pub interval: Option<Interval>,
    /// Not different from the best of its column (paired test, Holm).
    pub equal_to_best: bool,
}

impl Value {
    /// One number from one run.
    pub fn single(mean: f64) -> Self {
        Value { mean, std: None, n: 1, interval: None, equal_to_best: false }
    }

    /// Mean and sample standard deviation over seeds. Needs at least one number.
    pub fn over_seeds(values: &[f64]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n as f64;
        let std = (n > 1).then(|| {
            let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
            (squares / (n as f64 - 1.0)).sqrt()
        });
        Some(Value { mean, std, n, interval: None, equal_to_best: false })
    }
}
