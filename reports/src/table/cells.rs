//! The parts of a cell as text, before markup: number, spread, interval.
//!
//! All writers print these same strings, so a number cannot differ between two formats.

use super::{Cell, Column, fixed};

/// Text parts of one cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CellText {
    /// A number with what surrounds it.
    Number {
        /// The rounded number.
        number: String,
        /// Standard deviation over seeds, same rounding.
        spread: Option<String>,
        /// Limits of the 95 % interval, same rounding.
        interval: Option<(String, String)>,
        /// Not different from the best of the column.
        equal: bool,
    },
    /// A missing value, with the reason.
    Missing(String),
    /// Words.
    Text(String),
}

/// The text of `cell` in `column`; intervals only when asked for.
pub fn cell_text(cell: &Cell, column: &Column, with_interval: bool) -> CellText {
    let print = |x: f64| fixed(x, column.unit.shift(), column.decimals);
    match cell {
        Cell::Missing(reason) => CellText::Missing(reason.clone()),
        Cell::Text(text) => CellText::Text(text.clone()),
        Cell::Value(v) => CellText::Number {
            number: print(v.mean),
            spread: v.std.map(print),
            interval: v.interval.filter(|_| with_interval).map(|i| (print(i.low), print(i.high))),
            equal: v.equal_to_best,
        },
    }
}
