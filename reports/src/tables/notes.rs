//! Caption and footnotes, generated from what the rows have in common and in what they differ.
//!
//! What holds for all rows is said once, in the caption; where rows differ, those that differ from the most common
//! case carry a footnote. Covered: seeds, checkpoint rule, plan, code, and results that an audit stopped.

use super::Entry;
use crate::table::{Row, Table};
use facebench_protocols::{Selection, Severity};
use std::collections::BTreeMap;

/// Most differing plan entries to spell out.
const LEAVES: usize = 3;

/// Adds caption lines and footnotes. `order[i]` is the entry of the table's `i`-th row.
pub(super) fn annotate(table: &mut Table, entries: &[Entry<'_>], order: &[usize]) {
    seeds(table, entries, order);
    selection(table, entries, order);
    plans(table, entries, order);
    code(table, entries, order);
    stops(table, entries, order);
}

fn seeds(table: &mut Table, entries: &[Entry<'_>], order: &[usize]) {
    let counts: Vec<usize> = order.iter().map(|&i| entries[i].seeds().len()).collect();
    let Some(common) = most_common(&counts) else { return };
    table.caption.push(match common {
        1 => "One seed.".into(),
        n => format!("Mean ± standard deviation (n − 1) over {n} seeds."),
    });
    for (row, &count) in counts.iter().enumerate().filter(|(_, c)| **c != common) {
        note(table, row, &format!("{count} seed{}", if count == 1 { "" } else { "s" }));
    }
    for (row, &i) in order.iter().enumerate() {
        let entry = &entries[i];
        let folds: Vec<&String> = entry.runs.keys().map(|(fold, _)| fold).collect();
        let complete =
            entry.seeds().iter().all(|s| folds.iter().all(|f| entry.runs.contains_key(&((*f).clone(), *s))));
        if !complete {
            note(table, row, "not every seed has every fold; each cell takes the seeds it has");
        }
    }
}

fn selection(table: &mut Table, entries: &[Entry<'_>], order: &[usize]) {
    let rule = |i: usize| entries[i].runs.values().find_map(|run| run.record.selection);
    let rules: Vec<Option<&str>> =
        order.iter().map(|&i| rule(i).filter(|r| *r != Selection::Oracle).map(rule_name)).collect();
    let said: Vec<&str> = rules.iter().copied().flatten().collect();
    let Some(common) = most_common(&said) else { return };
    table.caption.push(format!("Checkpoint: {common}."));
    for (row, rule) in rules.iter().enumerate() {
        if let Some(other) = rule.filter(|r| *r != common) {
            note(table, row, &format!("checkpoint: {other}"));
        }
    }
}

fn rule_name(rule: Selection) -> &'static str {
    match rule {
        Selection::Last => "last",
        Selection::MinValLoss => "lowest development loss",
        Selection::MaxValAuc => "highest development AUC",
        Selection::Oracle => "chosen on the test set",
    }
}

/// Rows of equal labels come from different plans: say in what.
fn plans(table: &mut Table, entries: &[Entry<'_>], order: &[usize]) {
    for (row, &i) in order.iter().enumerate() {
        let entry = &entries[i];
        let twin = |e: &&Entry<'_>| {
            (&e.model, &e.pretraining, &e.head, e.oracle)
                == (&entry.model, &entry.pretraining, &entry.head, entry.oracle)
        };
        let twins: Vec<&Entry<'_>> = entries.iter().filter(twin).collect();
        if twins.len() < 2 {
            continue;
        }
        let differs = |key: &&String| twins.iter().any(|t| t.plan.get(*key) != entry.plan.get(*key));
        let mut keys: Vec<&String> = twins.iter().flat_map(|t| t.plan.keys()).filter(differs).collect();
        keys.sort();
        keys.dedup();
        let value =
            |key: &String| entry.plan.get(key).map_or("–", String::as_str).trim_matches('"').to_owned();
        let mut parts: Vec<String> =
            keys.iter().take(LEAVES).map(|k| format!("{k} = {}", value(k))).collect();
        if keys.len() > LEAVES {
            parts.push(format!("{} more", keys.len() - LEAVES));
        }
        if parts.is_empty() {
            parts.push(format!("unit {}", entry.runs.values().next().map(|r| r.short()).unwrap_or_default()));
        }
        note(table, row, &format!("plan: {}", parts.join(", ")));
    }
}

/// Rows made by another version of the program.
fn code(table: &mut Table, entries: &[Entry<'_>], order: &[usize]) {
    let version = |i: usize| {
        let mut versions: Vec<&str> = entries[i].runs.values().map(|r| r.record.facebench.as_str()).collect();
        versions.sort_unstable();
        versions.dedup();
        versions.join(", ")
    };
    let versions: Vec<String> = order.iter().map(|&i| version(i)).collect();
    let Some(common) = most_common(&versions) else { return };
    for (row, other) in versions.iter().enumerate().filter(|(_, v)| **v != common) {
        note(table, row, &format!("facebench {other} (the others {common})"));
    }
}

/// Numbers an audit says must not be used.
fn stops(table: &mut Table, entries: &[Entry<'_>], order: &[usize]) {
    for (row, &i) in order.iter().enumerate() {
        let findings =
            entries[i].runs.values().filter_map(|r| r.record.evaluation.as_ref()).flat_map(|e| &e.findings);
        let mut codes: Vec<&str> =
            findings.filter(|f| f.severity == Severity::Stop).map(|f| f.code.as_str()).collect();
        codes.sort_unstable();
        codes.dedup();
        if !codes.is_empty() {
            note(table, row, &format!("do not use: the audit stopped on {}", codes.join(", ")));
        }
    }
}

/// The most frequent value; the smallest of those equally frequent.
fn most_common<T: Ord + Clone>(values: &[T]) -> Option<T> {
    let mut counts: BTreeMap<&T, usize> = BTreeMap::new();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    counts.into_iter().max_by(|a, b| a.1.cmp(&b.1).then_with(|| b.0.cmp(a.0))).map(|(value, _)| value.clone())
}

/// Puts footnote `text` on the table's `row`-th row, reusing an equal one.
pub(super) fn note(table: &mut Table, row: usize, text: &str) {
    let index = table.notes.iter().position(|n| n == text).unwrap_or_else(|| {
        table.notes.push(text.to_owned());
        table.notes.len() - 1
    });
    let rows: Vec<&mut Row> = table.groups.iter_mut().flat_map(|g| &mut g.rows).collect();
    if let Some(row) = rows.into_iter().nth(row).filter(|r| !r.notes.contains(&index)) {
        row.notes.push(index);
    }
}
