//! Caption and footnotes, generated from what the rows have in common and in what they differ.
//!
//! What holds for all rows is said once, in the caption; where rows differ, those that differ from the most common
//! case carry a footnote. Covered: seeds, checkpoint rule, plan, code, and results that an audit stopped.

use super::Entry;
use crate::table::{Row, Table};
use facebench_protocols::{Selection, Severity};
use std::collections::BTreeMap;

/// Most differing plan entries to spell out, unless more are needed to tell rows apart.
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
    let silent: Vec<usize> = (0..order.len()).filter(|&row| rule(order[row]).is_none()).collect();
    let Some(common) = most_common(&said) else {
        if !silent.is_empty() {
            table.caption.push(match silent.len() == order.len() {
                true => "Checkpoint rule not stated.".into(),
                false => "Checkpoint rule of the ranked rows not stated.".into(),
            });
        }
        return;
    };
    table.caption.push(match silent.is_empty() {
        true => format!("Checkpoint: {common}."),
        false => format!("Checkpoint, where stated: {common}."),
    });
    for row in silent {
        note(table, row, "checkpoint rule not stated");
    }
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

/// Rows of equal labels come from different plans: say in what. A row names what it has otherwise than most of its twins
/// (where all agree on nothing, its own value), as many entries as it takes to tell it from each of them.
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
        let mut parts = differing(entry, &twins);
        if parts.is_empty() {
            parts.push(format!("unit {}", entry.runs.values().next().map(|r| r.short()).unwrap_or_default()));
        }
        note(table, row, &format!("plan: {}", parts.join(", ")));
    }
}

/// What to say of `entry`'s plan among its `twins`, itself one of them.
fn differing(entry: &Entry<'_>, twins: &[&Entry<'_>]) -> Vec<String> {
    let mut all: Vec<&String> = twins.iter().flat_map(|t| t.plan.keys()).collect();
    all.sort();
    all.dedup();
    all.retain(|key| twins.iter().any(|t| t.plan.get(*key) != entry.plan.get(*key)));
    let value =
        |t: &Entry<'_>, key: &str| t.plan.get(key).map_or("–", String::as_str).trim_matches('"').to_owned();
    // a branch that this row lacks is said by the leaf in its place, one that it has by its own leaves
    let is_null = |key: &str| entry.plan.get(key).is_some_and(|v| v == "null");
    let below_null = |key: &str| key.match_indices('.').any(|(at, _)| is_null(&key[..at]));
    let branch =
        |key: &str| entry.plan.keys().any(|k| k.strip_prefix(key).is_some_and(|k| k.starts_with('.')));
    all.retain(|key| !below_null(key) && !branch(key));
    let others = |key: &str| {
        let values: Vec<String> = twins.iter().map(|t| value(t, key)).collect();
        let count = |v: &String| values.iter().filter(|w| *w == v).count();
        // with the value that is more frequent than any other there is nothing to say
        let own = value(entry, key);
        values.iter().any(|v| *v != own && count(v) >= count(&own))
    };
    let (own, usual): (Vec<&String>, Vec<&String>) = all.into_iter().partition(|key| others(key));
    // first what tells the row from twins that are not told apart yet, then its own up to a few
    let mut alike: Vec<&&Entry<'_>> = twins.iter().filter(|t| t.plan != entry.plan).collect();
    let (mut chosen, mut left): (Vec<&String>, Vec<&String>) = (Vec::new(), Vec::new());
    for (key, is_own) in own.iter().map(|k| (*k, true)).chain(usual.iter().map(|k| (*k, false))) {
        let before = alike.len();
        alike.retain(|t| value(t, key) == value(entry, key));
        match (alike.len() < before, is_own) {
            (true, _) => chosen.push(key),
            (false, true) => left.push(key),
            (false, false) => {}
        }
    }
    let more = LEAVES.saturating_sub(chosen.len()).min(left.len());
    chosen.extend(left.drain(..more));
    let mut parts: Vec<String> =
        chosen.into_iter().map(|key| format!("{key} = {}", value(entry, key))).collect();
    if !left.is_empty() {
        parts.push(format!("{} more", left.len()));
    }
    parts
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
