//! From runs to the tables the field prints, one shape per protocol family.
//!
//! Rows are model and pre-training, grouped by head, averaged over seeds. Runs are first parted into those that may
//! stand in one table: same protocol version and fingerprint, same samples, all synthetic or none. What may not be
//! mixed gets a table of its own that says why. Runs selected on the test set go into a last group that is never
//! ranked.

mod ablation;
mod cited;
mod compare;
mod dfd;
mod diff;
mod differences;
pub(crate) mod efficiency;
mod entries;
mod fas;
mod folds;
mod notes;
mod own;
mod part;
mod rank;
mod scores;
mod shape;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_told;

pub use ablation::ablation;
pub(crate) use cited::append as cite;
pub(crate) use compare::Compared;
pub use differences::{Difference, difference_table};
pub(crate) use entries::{Entry, entries, leaves};
pub(crate) use part::{Part, parts};
pub(crate) use rank::{by_result, primary_column};
pub(crate) use scores::{Scores, SetScores};
pub(crate) use shape::{metric_id, sets};

use crate::Error;
use crate::runs::Run;
use crate::table::{Group, RowKind, Table};
use facebench_protocols::{Family, Protocol};
use shape::Shape;

/// Ids of the protocols the runs have results of, sorted.
pub fn protocols(runs: &[Run]) -> Vec<String> {
    let scored = runs.iter().filter(|r| part::counts(r));
    let mut ids: Vec<String> =
        scored.filter_map(|r| r.record.protocol.as_ref().map(|p| p.id.clone())).collect();
    ids.sort();
    ids.dedup();
    ids
}

/// The tables of one protocol; more than one where results may not be mixed. `extra` are protocols that do not ship.
///
/// Where score files are there, rows that a paired test cannot tell from the best are marked.
///
/// # Errors
/// No run of the protocol has an evaluation, a score file is broken, or a table breaks a rule of the model.
pub fn for_protocol(id: &str, runs: &[Run], extra: &[Protocol]) -> Result<Vec<Table>, Error> {
    Ok(studies(id, runs, extra)?.into_iter().map(|study| study.table).collect())
}

/// As [`for_protocol`], each table with the paired differences behind its marks. Where all runs are of one fold of several
/// the table has that fold only.
///
/// # Errors
/// As [`for_protocol`].
pub fn with_differences(
    id: &str,
    runs: &[Run],
    extra: &[Protocol],
) -> Result<Vec<(Table, Vec<Difference>)>, Error> {
    let both = |study: Study<'_>| {
        let differences = Difference::of(&study.compared, &study.entries);
        (study.table, differences)
    };
    let parts = parts(id, runs, extra).into_iter().map(Part::of_one_fold).collect();
    Ok(studies_of(id, parts)?.into_iter().map(both).collect())
}

/// As [`for_protocol`], with published rows below the measured ones.
///
/// # Errors
/// As [`for_protocol`].
pub fn with_published(id: &str, runs: &[Run], extra: &[Protocol]) -> Result<Vec<Table>, Error> {
    let mut studies = studies(id, runs, extra)?;
    studies.iter_mut().for_each(cite);
    Ok(studies.into_iter().map(|study| study.table).collect())
}

/// A table with everything its figures need.
pub(crate) struct Study<'a> {
    pub(crate) part: Part<'a>,
    pub(crate) entries: Vec<Entry<'a>>,
    pub(crate) scores: Scores,
    pub(crate) compared: Vec<Compared>,
    pub(crate) table: Table,
    shape: Shape,
    /// Entry of each measured row of the table.
    pub(crate) order: Vec<usize>,
}

/// The studies of one protocol.
pub(crate) fn studies<'a>(id: &str, runs: &'a [Run], extra: &[Protocol]) -> Result<Vec<Study<'a>>, Error> {
    studies_of(id, parts(id, runs, extra))
}

fn studies_of<'a>(id: &str, parts: Vec<Part<'a>>) -> Result<Vec<Study<'a>>, Error> {
    if parts.is_empty() {
        return Err(Error::NoResults { id: id.to_owned() });
    }
    let count = parts.len();
    parts.into_iter().map(|part| study(part, count)).collect()
}

fn study(part: Part<'_>, parts: usize) -> Result<Study<'_>, Error> {
    let entries = entries(&part.runs);
    let shape = shape_of(&part);
    let (mut table, order) = table(&part, &entries, &shape);
    notes::annotate(&mut table, &entries, &order);
    if let Some(fold) = &part.only_fold {
        table.caption.push(format!("Fold {fold} only."));
    }
    if parts > 1 {
        table
            .caption
            .push(format!("Not comparable with the other tables of {}: {}.", part.stamp.id, part.why));
    }
    table.check()?;
    let mut scores = Scores::new(part.aggregation());
    let compared = compare::compare_rows(&shape, &entries, &mut scores)?;
    compare::mark(&mut table, &order, &compared);
    Ok(Study { part, entries, scores, compared, table, shape, order })
}

/// The table without footnotes, and the entry of each of its rows.
fn table(part: &Part<'_>, entries: &[Entry<'_>], shape: &Shape) -> (Table, Vec<usize>) {
    let (stub, labels) = entries::labels(entries);
    let mut table = Table {
        id: part.id(),
        title: part.protocol.as_ref().map_or_else(|| part.stamp.id.clone(), |p| p.title.clone()),
        stamp: Some(part.stamp.clone()),
        synthetic: part.synthetic,
        stub,
        columns: shape.columns.clone(),
        groups: Vec::new(),
        caption: shape.caption.clone(),
        notes: Vec::new(),
        intervals: shape.intervals,
    };
    let mut heads: Vec<&str> = Vec::new();
    for entry in entries.iter().filter(|e| !e.oracle) {
        if !heads.contains(&entry.head.as_str()) {
            heads.push(&entry.head);
        }
    }
    let mut order = Vec::new();
    for head in heads {
        let members: Vec<usize> =
            (0..entries.len()).filter(|&i| !entries[i].oracle && entries[i].head == head).collect();
        let rows = members.iter().map(|&i| shape.row(&entries[i], labels[i].clone(), RowKind::Run)).collect();
        table.groups.push(Group { title: entries::head_title(head, entries, &members), ranked: true, rows });
        order.extend(members);
    }
    let oracle: Vec<usize> = (0..entries.len()).filter(|&i| entries[i].oracle).collect();
    if !oracle.is_empty() {
        let rows = oracle.iter().map(|&i| {
            let mut row = shape.row(&entries[i], labels[i].clone(), RowKind::Oracle);
            row.labels[0] = format!("{} · {}", row.labels[0], entries[i].head);
            row
        });
        let title = "oracle selection: checkpoint chosen on the test set, an upper bound; not ranked".into();
        table.groups.push(Group { title, ranked: false, rows: rows.collect() });
        order.extend(oracle);
    }
    (table, order)
}

fn shape_of(part: &Part<'_>) -> Shape {
    if let Some(protocol) = part.protocol.as_ref().filter(|p| p.over_folds) {
        return folds::shape(part, protocol);
    }
    let family = part.protocol.as_ref().map(|p| p.family).or_else(|| family(&part.stamp.id));
    // of one fold of several the columns stay those of the protocol
    let whole = part.only_fold.is_none() || family != Some(Family::AntiSpoofing);
    if sets(part).len() == 1 && whole {
        return own::shape(part);
    }
    match family {
        Some(Family::DeepfakeDetection) => dfd::shape(part),
        Some(Family::AntiSpoofing) => fas::shape(part),
        Some(Family::DiffusionForgery) => diff::shape(part),
        None => own::shape(part),
    }
}

/// Family of a protocol nobody described to us, by its name.
fn family(id: &str) -> Option<Family> {
    [("dfd-", Family::DeepfakeDetection), ("fas-", Family::AntiSpoofing), ("diff-", Family::DiffusionForgery)]
        .into_iter()
        .find(|(prefix, _)| id.starts_with(prefix))
        .map(|(_, family)| family)
}
