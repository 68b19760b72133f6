//! Published rows below our own: greyed, marked †, never ranked, with what differs as a footnote.
//!
//! A published value gets a cell only if its protocol, test set and measure are those of the column (the comparability
//! key of `facebench_protocols::references`); nothing is matched by likeness of names. How its checkpoint was chosen and
//! what else differs stands in a footnote. Published numbers were made with real faces, so they never stand below
//! synthetic ones.

use super::shape::Source;
use super::{Study, notes};
use crate::table::{Cell, Group, Row, RowKind, Value};
use facebench_protocols::{Reference, references};

/// Appends the published rows of the study's protocol to its table, those with the most cells first.
pub(crate) fn append(study: &mut Study<'_>) {
    if study.part.synthetic {
        study.table.caption.push("Published numbers are not shown beside synthetic faces.".into());
        return;
    }
    let all = references(&study.part.stamp.id);
    let mut keys: Vec<(&str, &str, &str, &str)> = Vec::new();
    let key = |r: &'static Reference| (&*r.method, &*r.train, &*r.source, &*r.selection);
    for r in &all {
        if !keys.contains(&key(r)) {
            keys.push(key(r));
        }
    }
    let mut rows: Vec<(Row, Vec<String>)> = keys
        .into_iter()
        .filter_map(|k| row(study, &all.iter().copied().filter(|r| key(r) == k).collect::<Vec<_>>()))
        .collect();
    let filled = |row: &Row| row.cells.iter().filter(|c| matches!(c, Cell::Value(_))).count();
    rows.sort_by_key(|(row, _)| std::cmp::Reverse(filled(row))); // stable: then in the order of the files
    if rows.is_empty() {
        return;
    }
    let first = study.table.rows().count();
    let (rows, texts): (Vec<Row>, Vec<Vec<String>>) = rows.into_iter().unzip();
    let title = "published, not measured here; not ranked".to_owned();
    study.table.groups.push(Group { title, ranked: false, rows });
    for (at, texts) in texts.iter().enumerate() {
        texts.iter().for_each(|t| notes::note(&mut study.table, first + at, t));
    }
}

/// The row of one publication and its footnotes; nothing if no column is its.
fn row(study: &Study<'_>, values: &[&'static Reference]) -> Option<(Row, Vec<String>)> {
    let shape = &study.shape;
    let mut used: Vec<&Reference> = Vec::new();
    let mut means: Vec<Option<f64>> = vec![None; shape.sources.len()];
    let mut cells: Vec<Cell> = Vec::new();
    for (c, source) in shape.sources.iter().enumerate() {
        let cell = match source {
            Source::Measure { set, metric, .. } => {
                let found = values.iter().find(|r| r.set.as_ref() == Some(set) && r.measure == *metric);
                found.map(|r| {
                    used.push(r);
                    means[c] = Some(r.fraction());
                    let n = r.runs.len().max(1);
                    Cell::Value(Value { std: r.std_fraction(), n, ..Value::single(r.fraction()) })
                })
            }
            Source::Average(of) => {
                let parts: Option<Vec<f64>> = of.iter().map(|&i| means[i]).collect();
                parts.map(|p| Cell::Value(Value::single(p.iter().sum::<f64>() / p.len() as f64)))
            }
            Source::Folds { .. } => None, // no reference row is of such a protocol
        };
        cells.push(cell.unwrap_or_else(|| Cell::Missing("not published".into())));
    }
    let first = used.first()?;
    let mut texts = vec![format!("{} ({})", first.source, first.status)];
    let rule = match first.selection.as_str() {
        "unknown" => "checkpoint rule not stated".to_owned(),
        "oracle" => "checkpoint chosen on the test set (oracle)".to_owned(),
        other => format!("checkpoint: {other}"),
    };
    texts.push(rule);
    for r in &used {
        if !r.difference.is_empty() && !texts.contains(&r.difference) {
            texts.push(r.difference.clone());
        }
    }
    let mut labels = vec![first.method.clone(), first.train.clone()];
    if study.table.stub.len() < labels.len() {
        labels.truncate(study.table.stub.len());
        texts.push(format!("trained on {}", first.train));
    }
    labels.resize(study.table.stub.len(), String::new());
    Some((Row { labels, cells, kind: RowKind::Cited, notes: Vec::new() }, texts))
}
