//! Cutting a table that is wider than the terminal into panels that repeat the label columns.
//!
//! A number is never wrapped or cut. Columns under one upper heading stay together where the width allows; labels
//! may take up to half of the width before they wrap.

use crate::table::Table;

/// Column ranges, each to be printed as one panel.
///
/// `values[c]` and `labels[l]` are the widths of the columns without padding.
pub(super) fn split(
    table: &Table,
    labels: &[usize],
    values: &[usize],
    width: Option<usize>,
) -> Vec<(usize, usize)> {
    let whole = vec![(0, values.len())];
    let Some(width) = width else { return whole };
    let stub: usize = labels.iter().map(|w| w + PADDING).sum();
    let room = width.saturating_sub(stub.min(width / 2));
    let cost = |from: usize, to: usize| values[from..to].iter().map(|w| w + PADDING).sum::<usize>();
    if stub + cost(0, values.len()) <= width {
        return whole;
    }
    let mut panels: Vec<(usize, usize)> = Vec::new();
    let mut start = 0;
    let mut end = 0;
    for (_, from, to) in table.spans() {
        if cost(start, to) <= room {
            end = to;
            continue;
        }
        if end > start {
            panels.push((start, end));
        }
        start = from;
        end = from;
        for c in from..to {
            if cost(start, c + 1) > room && c > start {
                panels.push((start, c));
                start = c;
            }
            end = c + 1;
        }
    }
    if end > start {
        panels.push((start, end));
    }
    if panels.is_empty() { whole } else { panels }
}

/// Blank characters a column needs beside its text.
pub(super) const PADDING: usize = 2;
