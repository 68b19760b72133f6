//! Train × test: one group of rows per training set, one column per test set, video AUC.
//!
//! For protocols that test the same sets after several trainings, such as cross-manipulation evaluation. Rows compete
//! only with rows of the same training; the set that training saw is printed and left out of the average.

use super::shape::{Shape, sets};
use super::{Entry, Part, compare::Compared, entries, shape::Source};
use crate::table::{Cell, Group, RowKind, Table};
use facebench_protocols::{Family, Metric};

/// One shape per fold, all with the same columns; nothing if the protocol is not of this kind.
pub(super) fn shapes(part: &Part<'_>) -> Option<Vec<(String, Shape)>> {
    let family = part.protocol.as_ref().map(|p| p.family).or_else(|| super::family(&part.stamp.id));
    if family != Some(Family::DeepfakeDetection) {
        return None;
    }
    let all = sets(part);
    let mut folds: Vec<&String> = Vec::new();
    all.iter().for_each(|(f, _, _)| {
        if !folds.contains(&f) {
            folds.push(f);
        }
    });
    let of = |fold: &String| all.iter().filter(|(f, _, _)| f == fold).map(|(_, s, _)| s).collect::<Vec<_>>();
    let names = of(folds.first()?);
    if folds.len() < 2 || names.len() < 2 || folds.iter().any(|f| of(f) != names) {
        return None;
    }
    let shape = |fold: &String| {
        let mut shape = Shape::new();
        let mut unseen = Vec::new();
        for (f, set, in_domain) in all.iter().filter(|(f, _, _)| f == fold) {
            let index = shape.measure("Tested on, video AUC %", set, (f, set), Metric::VideoAuc);
            shape.columns[index].set.clone_from(set);
            if !in_domain {
                unseen.push(index);
            }
        }
        shape.average("Tested on, video AUC %", "Avg unseen", unseen, Metric::VideoAuc);
        (fold.clone(), shape)
    };
    Some(folds.into_iter().map(shape).collect())
}

/// Fills the groups of `table`; returns the entry of each row.
pub(super) fn fill(
    table: &mut Table,
    shapes: &[(String, Shape)],
    list: &[Entry<'_>],
    labels: &[Vec<String>],
) -> Vec<usize> {
    table.by_group = true;
    table.stub.push("Head".into());
    let mut order = Vec::new();
    for oracle in [false, true] {
        for (fold, shape) in shapes {
            let members: Vec<usize> = (0..list.len()).filter(|&i| list[i].oracle == oracle).collect();
            if members.is_empty() {
                continue;
            }
            let row = |&i: &usize| {
                let mut labels = labels[i].clone();
                labels.push(list[i].head.clone());
                shape.row(&list[i], labels, if oracle { RowKind::Oracle } else { RowKind::Run })
            };
            let title = match oracle {
                false => format!("trained on {fold}"),
                true => format!("trained on {fold}; oracle selection, an upper bound, not ranked"),
            };
            table.groups.push(Group { title, ranked: !oracle, rows: members.iter().map(row).collect() });
            order.extend(members);
        }
    }
    let counts: Vec<String> = entries::parameter_lines(list);
    table.caption.extend(counts);
    order
}

/// Marks the cells that are not different from the best of their group.
pub(super) fn mark(
    table: &mut Table,
    shapes: &[(String, Shape)],
    order: &[usize],
    flat: &Shape,
    compared: &[Compared],
) {
    for c in compared.iter().filter(|c| !c.different()) {
        let Source::Measure { fold, set, .. } = &flat.sources[c.column] else { continue };
        let Some(group) = shapes.iter().position(|(f, _)| f == fold) else { continue };
        let Some(column) = table.columns.iter().position(|k| k.set == *set) else { continue };
        let Some(rows) = table.groups.get_mut(group).map(|g| &mut g.rows) else { continue };
        // ranked groups come first and have the same rows in the same order
        let at = order[group * rows.len()..].iter().take(rows.len()).position(|&e| e == c.entry);
        if let Some(Cell::Value(value)) = at.and_then(|at| rows.get_mut(at)).map(|r| &mut r.cells[column]) {
            value.equal_to_best = true;
        }
    }
}
