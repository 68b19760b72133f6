//! Paired differences as numbers and as a table: what stands behind the marks "not different from the best".

use super::{Compared, Entry};
use crate::table::{Cell, Column, Direction, Group, Row, RowKind, Table, Unit, Value};
use facebench_protocols::Interval;
use serde::Serialize;

/// The smallest p-value that four decimals show.
const SMALLEST_P: f64 = 0.0001;

/// One row against the best of a column, on the same videos.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Test set, or the fold where each has one.
    pub set: String,
    /// The row.
    pub row: String,
    /// The row with the highest video AUC on this set.
    pub best: String,
    /// Row minus best in video AUC, a fraction; the mean over seeds.
    pub difference: f64,
    /// 95 % interval of the difference, as fractions: paired bootstrap over videos; over seeds the mean of the ends.
    pub interval: Interval,
    /// p-value of the paired DeLong test (over seeds twice the median), Holm-corrected over all comparisons of the table.
    pub p: f64,
}

impl Difference {
    pub(super) fn of(compared: &[Compared], entries: &[Entry<'_>]) -> Vec<Difference> {
        let one = |c: &Compared| Difference {
            set: c.set.clone(),
            row: entries[c.entry].name(),
            best: entries[c.best].name(),
            difference: c.difference,
            interval: c.interval,
            p: c.p,
        };
        compared.iter().map(one).collect()
    }
}

/// The differences that belong to `of` as a table; nothing where nothing was compared.
pub fn difference_table(differences: &[Difference], of: &Table) -> Option<Table> {
    let column = |name: &str, metric: &str, unit, decimals| Column {
        group: String::new(),
        name: name.into(),
        set: "difference".into(),
        metric: metric.into(),
        direction: Direction::Neither,
        unit,
        decimals,
    };
    let row = |d: &Difference| {
        let difference = Value { interval: Some(d.interval), ..Value::single(d.difference) };
        // a p-value is never nothing: below what is printed, say so
        let p = match d.p < SMALLEST_P {
            true => Cell::Text(format!("<{SMALLEST_P}")),
            false => Cell::Value(Value::single(d.p)),
        };
        let cells = vec![Cell::Value(difference), p];
        let labels = vec![d.set.clone(), d.row.clone(), d.best.clone()];
        Row { labels, cells, kind: RowKind::Run, notes: Vec::new() }
    };
    let rows: Vec<Row> = differences.iter().map(row).collect();
    (!rows.is_empty()).then(|| Table {
        id: format!("{}-differences", of.id),
        title: "Paired differences in video AUC, in points".into(),
        stamp: of.stamp.clone(),
        synthetic: of.synthetic,
        stub: vec!["Test set".into(), "Row".into(), "Best".into()],
        columns: vec![
            column("Row − best [95 %]", "video_auc_difference", Unit::Percent, 2),
            column("p (Holm)", "p_holm", Unit::Plain, 4),
        ],
        groups: vec![Group { title: String::new(), ranked: false, rows }],
        caption: vec![
            "Intervals: paired bootstrap over videos. p: paired DeLong test, two-sided, Holm over all lines; over \
             several seeds twice the median."
                .into(),
        ],
        notes: Vec::new(),
        intervals: true,
    })
}
