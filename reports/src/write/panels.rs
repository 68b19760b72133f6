//! Cutting a table that is wider than the terminal into panels that repeat the label columns.
//!
//! A number is never wrapped or cut. Columns under one upper heading stay together where the width allows; labels
//! may take up to half of the width before they wrap.

use crate::table::Table;

/// Blank characters a column needs beside its text: one on each side and the edge.
pub(super) const GAP: usize = 3;
/// Labels are wrapped, but not to fewer characters than this.
const LABEL: usize = 8;

/// Column ranges, each to be printed as one panel. `widths(from, to)` are the text widths of a panel's columns.
pub(super) fn split(
    table: &Table,
    labels: &[usize],
    widths: &dyn Fn(usize, usize) -> Vec<usize>,
    width: Option<usize>,
) -> Vec<(usize, usize)> {
    let all = (0, table.columns.len());
    let Some(width) = width else { return vec![all] };
    let cost = |from: usize, to: usize| widths(from, to).iter().map(|w| w + GAP).sum::<usize>();
    let stub: usize = labels.iter().map(|w| w + GAP).sum();
    if stub + cost(all.0, all.1) <= width {
        return vec![all];
    }
    let room = width.saturating_sub(stub.min(width / 2));
    let mut panels: Vec<(usize, usize)> = Vec::new();
    let mut start = 0;
    for (_, from, to) in table.spans() {
        if cost(start, to) <= room {
            continue;
        }
        if from > start {
            panels.push((start, from));
            start = from;
        }
        for c in from + 1..to {
            if cost(start, c + 1) > room {
                panels.push((start, c));
                start = c;
            }
        }
    }
    panels.push((start, table.columns.len()));
    panels
}

/// Widths of the label columns beside values that take `used` characters: the longest give way first.
pub(super) fn shrink_labels(natural: &[usize], used: usize, width: Option<usize>) -> Vec<usize> {
    let mut widths = natural.to_vec();
    let Some(room) = width.map(|w| w.saturating_sub(used)) else { return widths };
    while widths.iter().map(|w| w + GAP).sum::<usize>() > room {
        match widths.iter_mut().max() {
            Some(longest) if *longest > LABEL => *longest -= 1,
            _ => break,
        }
    }
    widths
}
