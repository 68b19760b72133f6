//! Rows in the order of their results, for pages on which people look for the first one.
//!
//! The order is that of the column that stands for a table: best first. Rows that print the same there stand in the order
//! of their names, rows without a number last. Rows of one head stay together, heads by their best row; what is not
//! ranked (`oracle`) stays below. Nothing but the order of the runs changes: tables take their rows from it.

use super::{Study, metric_id, studies};
use crate::Error;
use crate::runs::Run;
use crate::table::{Cell, Direction, fixed};
use facebench_protocols::Protocol;
use std::collections::BTreeMap;

/// Column that stands for a table: the average of the protocol's primary metric, any average, the first column.
pub(crate) fn primary_column(study: &Study<'_>) -> Option<usize> {
    let table = &study.table;
    let ranked: Vec<usize> =
        (0..table.columns.len()).filter(|&c| table.columns[c].direction != Direction::Neither).collect();
    let primary = study.part.protocol.as_ref().map(|p| metric_id(p.primary));
    let is_primary = |c: &&usize| Some(&table.columns[**c].metric) == primary.as_ref();
    let averages: Vec<usize> =
        ranked.iter().copied().filter(|&c| table.columns[c].set == "average").collect();
    let candidates =
        [averages.iter().find(is_primary), averages.last(), ranked.iter().find(is_primary), ranked.first()];
    candidates.into_iter().flatten().next().copied()
}

/// Sorts `runs` so that the rows of every table stand best first. `extra` are protocols that do not ship.
///
/// # Errors
/// As [`super::for_protocol`].
pub(crate) fn by_result(runs: &mut [Run], extra: &[Protocol]) -> Result<(), Error> {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for id in super::protocols(runs) {
        for study in studies(&id, runs, extra)? {
            let Some(c) = primary_column(&study) else { continue };
            let column = &study.table.columns[c];
            let sign = if column.direction == Direction::Down { 1.0 } else { -1.0 };
            let mut rows: Vec<(f64, String, usize)> = study
                .table
                .rows()
                .zip(&study.order)
                .map(|((_, row), &entry)| {
                    // what prints the same is the same
                    let value = match &row.cells[c] {
                        Cell::Value(v) => fixed(v.mean, column.unit.shift(), column.decimals).parse().ok(),
                        _ => None,
                    };
                    let value = value.map_or(f64::INFINITY, |v: f64| sign * v);
                    (value, study.entries[entry].name(), entry)
                })
                .collect();
            rows.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
            for (place, (.., entry)) in rows.into_iter().enumerate() {
                for run in study.entries[entry].runs.values() {
                    places.insert(run.record.unit.clone(), place);
                }
            }
        }
    }
    runs.sort_by_key(|run| (places.get(&run.record.unit).copied().unwrap_or(usize::MAX), run.record.seed));
    Ok(())
}
