//! Best and second of each column.
//!
//! Ranks are taken on unrounded values in the column's direction, over all ranked groups of the table. A value that
//! prints the same as the best shares its mark, because a reader cannot see the difference; second is the best of
//! what prints differently. A column in which fewer than two rows compete has no marks.

use super::{Cell, Column, Direction, Table, fixed};

/// Standing of one cell in its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Neither best nor second.
    None,
    /// Best of its column.
    Best,
    /// Second of its column.
    Second,
}

impl Mark {
    /// `best`, `second` or nothing, for machines.
    pub fn name(self) -> &'static str {
        match self {
            Mark::Best => "best",
            Mark::Second => "second",
            Mark::None => "",
        }
    }
}

/// Marks of all cells: `[group][row][column]`.
pub fn marks(table: &Table) -> Vec<Vec<Vec<Mark>>> {
    let blank = |rows: usize| vec![vec![Mark::None; table.columns.len()]; rows];
    let mut marks: Vec<Vec<Vec<Mark>>> = table.groups.iter().map(|g| blank(g.rows.len())).collect();
    for (c, column) in table.columns.iter().enumerate() {
        let Some((best, second)) = podium(table, c, column) else { continue };
        for (g, group) in table.groups.iter().enumerate().filter(|(_, group)| group.ranked) {
            for (r, row) in group.rows.iter().enumerate() {
                let Some(text) = printed(&row.cells[c], column) else { continue };
                marks[g][r][c] = if text == best {
                    Mark::Best
                } else if Some(&text) == second.as_ref() {
                    Mark::Second
                } else {
                    Mark::None
                };
            }
        }
    }
    marks
}

/// Printed text of the best and, if any, the second of column `c`.
fn podium(table: &Table, c: usize, column: &Column) -> Option<(String, Option<String>)> {
    let sign = match column.direction {
        Direction::Up => -1.0,
        Direction::Down => 1.0,
        Direction::Neither => return None,
    };
    let ranked = table.groups.iter().filter(|g| g.ranked).flat_map(|g| &g.rows);
    let mut values: Vec<(f64, String)> = ranked
        .filter_map(|row| match &row.cells[c] {
            Cell::Value(v) => Some((v.mean * sign, printed(&row.cells[c], column)?)),
            _ => None,
        })
        .collect();
    if values.len() < 2 {
        return None;
    }
    values.sort_by(|a, b| a.0.total_cmp(&b.0));
    let best = values[0].1.clone();
    let second = values.into_iter().map(|(_, text)| text).find(|text| *text != best);
    Some((best, second))
}

fn printed(cell: &Cell, column: &Column) -> Option<String> {
    match cell {
        Cell::Value(v) => Some(fixed(v.mean, column.unit.shift(), column.decimals)),
        _ => None,
    }
}
