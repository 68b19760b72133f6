//! Published numbers with their provenance: what a result may stand beside, and what differs.
//!
//! Rows are embedded from `references/*.csv`, exactly as read at their sources (percent stays percent there;
//! [`Reference::fraction`] converts). The comparability key is (protocol, set, measure, selection): a row without a
//! set belongs to no column of ours, for instance CDFv2 on 518 videos, and never gets one by likeness of names.

use std::path::Path;
use std::sync::LazyLock;

use crate::csv;
use crate::error::Result;
use crate::measures::Metric;

/// One published value.
#[derive(Clone, Debug, PartialEq)]
pub struct Reference {
    /// Method, as its source calls it.
    pub method: String,
    /// Training data, as stated.
    pub train: String,
    /// Test set, as stated, with the list where it is known.
    pub test: String,
    /// Metric as printed there: `auc`, `eer`, `hter`, `tpr_at_fpr_1pct`; `_last` = at the last evaluation.
    pub metric: String,
    /// `frame`, `video` or `image`.
    pub level: String,
    /// The value, in `unit`.
    pub value: f64,
    /// `percent` or `fraction`.
    pub unit: String,
    /// Standard deviation over runs (divisor n), in `unit`.
    pub std: Option<f64>,
    /// Single runs, in `unit`.
    pub runs: Vec<f64>,
    /// Test images, where stated.
    pub images: Option<usize>,
    /// Where it was read.
    pub source: String,
    /// How it was read: published, author log, second hand, …
    pub status: String,
    /// What came with it.
    pub note: String,
    /// Built-in protocol it may stand beside.
    pub protocol: Option<String>,
    /// Test set of that protocol.
    pub set: Option<String>,
    /// What it is in our terms.
    pub measure: Metric,
    /// How its checkpoint was chosen: `min-val-loss`, `last`, `oracle`, `dev-per-set` or `unknown`.
    pub selection: String,
    /// What differs from our protocol; empty = nothing known. Print it with the number.
    pub difference: String,
}

impl Reference {
    /// The value as a fraction in [0, 1].
    pub fn fraction(&self) -> f64 {
        self.to_fraction(self.value)
    }

    /// The standard deviation over runs as a fraction.
    pub fn std_fraction(&self) -> Option<f64> {
        self.std.map(|s| self.to_fraction(s))
    }

    fn to_fraction(&self, value: f64) -> f64 {
        if self.unit == "percent" { value / 100.0 } else { value }
    }

    /// Whether its checkpoint, or its threshold, was chosen on the test set.
    pub fn oracle(&self) -> bool {
        self.selection == "oracle" || self.measure == Metric::HterOracle
    }

    /// Comparability key. Rows of different keys do not share a column without a footnote.
    pub fn key(&self) -> String {
        let text = |o: &Option<String>| o.clone().unwrap_or_else(|| "-".to_owned());
        format!("{}|{}|{}|{}", text(&self.protocol), text(&self.set), self.measure.id(), self.selection)
    }
}

const FILES: [(&str, &str); 4] = [
    ("fsfm.csv", include_str!("../references/fsfm.csv")),
    ("second-hand.csv", include_str!("../references/second-hand.csv")),
    ("deepfakebench.csv", include_str!("../references/deepfakebench.csv")),
    ("flip.csv", include_str!("../references/flip.csv")),
];

static REFERENCES: LazyLock<Vec<Reference>> = LazyLock::new(|| {
    FILES
        .iter()
        .flat_map(|(name, text)| read(Path::new(name), text).expect("embedded files are read by a test"))
        .collect()
});

/// All published values, in the order of the files.
pub fn all_references() -> &'static [Reference] {
    &REFERENCES
}

/// Published values that may stand in a column of the built-in protocol `protocol_id`.
pub fn references(protocol_id: &str) -> Vec<&'static Reference> {
    REFERENCES.iter().filter(|r| r.protocol.as_deref() == Some(protocol_id)).collect()
}

fn read(path: &Path, text: &str) -> Result<Vec<Reference>> {
    let table = csv::Table::parse(path, text)?;
    let mut out = Vec::new();
    for row in table.rows() {
        let cell = |name: &str| Ok::<_, crate::Error>(row.text(table.column(name)?).to_owned());
        let number = |name: &str| row.parse::<f64>(table.column(name)?, name);
        let some = |text: String| Some(text).filter(|t| !t.is_empty());
        let measure = cell("measure")?;
        out.push(Reference {
            method: cell("method")?,
            train: cell("train")?,
            test: cell("test")?,
            metric: cell("metric")?,
            level: cell("level")?,
            value: number("value")?,
            unit: cell("unit")?,
            std: if cell("std")?.is_empty() { None } else { Some(number("std")?) },
            runs: cell("runs")?
                .split(';')
                .filter(|t| !t.is_empty())
                .map(|t| t.parse().map_err(|_| row.error(format!("runs: {t:?} is no number"))))
                .collect::<Result<_>>()?,
            images: some(cell("images")?)
                .map(|_| row.parse(table.column("images")?, "images"))
                .transpose()?,
            source: cell("source")?,
            status: cell("status")?,
            note: cell("note")?,
            protocol: some(cell("protocol")?),
            set: some(cell("set")?),
            measure: Metric::from_id(&measure)
                .ok_or_else(|| row.error(format!("unknown measure {measure:?}")))?,
            selection: cell("selection")?,
            difference: cell("difference")?,
        });
    }
    Ok(out)
}
