//! The first lines: what came out, and whether it may be believed.
//!
//! One sentence per table, generated from its last average (or its first column): who leads, by how much, and whether a
//! paired test can tell the runner-up apart. Then the audits in one line.

use super::Content;
use crate::table::{Cell, Direction, Mark, Row, fixed, marks};
use crate::tables::{Study, primary_column};
use crate::write::escape_html;
use facebench_protocols::Severity;

/// Verdict lines and the banner of synthetic results.
pub(super) fn section(content: &Content<'_, '_>, synthetic: bool) -> String {
    let mut out = String::new();
    for study in content.studies.iter() {
        if let Some(line) = sentence(study) {
            out.push_str(&format!("<p class=\"verdict\">{line}</p>\n"));
        }
    }
    let findings: Vec<Severity> = content
        .runs
        .iter()
        .filter_map(|r| r.record.evaluation.as_ref())
        .flat_map(|e| &e.findings)
        .map(|f| f.severity)
        .collect();
    let warn = findings.iter().filter(|f| **f == Severity::Warn).count();
    // one result may be stopped for several reasons
    let evaluations = content.runs.iter().filter_map(|r| r.record.evaluation.as_ref());
    let stop = evaluations.filter(|e| e.stopped()).count();
    let scored = content.studies.iter().map(|s| s.part.runs.len()).sum::<usize>();
    let warn = match warn {
        0 => String::new(),
        1 => "warn once".to_owned(),
        n => format!("warn {n} times"),
    };
    let stopped = format!("<strong class=\"stop\">audits stopped {stop} of {scored} results</strong>");
    let audits = match (stop, warn.is_empty()) {
        (0, true) => "audits found nothing to stop or warn about".to_owned(),
        (0, false) => format!("audits {warn}, see below"),
        (_, true) => format!("{stopped}, see below"),
        (_, false) => format!("{stopped} and {warn}, see below"),
    };
    let s = if content.runs.len() == 1 { "" } else { "s" };
    out.push_str(&format!(
        "<p class=\"meta\">{} run{s}, {scored} scored; {audits}.</p>\n",
        content.runs.len()
    ));
    if synthetic {
        out.push_str(
            "<p class=\"banner\"><strong>Synthetic faces.</strong> Results marked synthetic were made with generated faces. \
             They show that the machinery works and cannot be compared with published numbers.</p>\n",
        );
    }
    out
}

fn sentence(study: &Study<'_>) -> Option<String> {
    let table = &study.table;
    let c = primary_column(study)?;
    let column = &table.columns[c];
    let headline = format!(
        "<strong>{}</strong>{}",
        escape_html(&table.headline()),
        if table.synthetic { " · synthetic" } else { "" }
    );
    // nobody leads with a number that must not be used
    let stopped: Vec<usize> = (0..study.order.len()).filter(|&row| stops(study, row)).collect();
    let mut used = table.clone();
    let cells = used.groups.iter_mut().flat_map(|g| &mut g.rows).map(|row| &mut row.cells[c]);
    cells.enumerate().filter(|(row, _)| stopped.contains(row)).for_each(|(_, cell)| {
        *cell = Cell::Missing("stopped".into());
    });
    let flat: Vec<Mark> = marks(&used).into_iter().flatten().map(|row| row[c]).collect();
    let with = |mark: Mark| (0..flat.len()).filter(|&i| flat[i] == mark).collect::<Vec<_>>();
    let rows: Vec<&Row> = table.rows().map(|(_, row)| row).collect();
    let name = |&i: &usize| escape_html(&study.entries[study.order[i]].name());
    let value = |i: usize| match &rows[i].cells[c] {
        Cell::Value(v) => Some(fixed(v.mean, column.unit.shift(), column.decimals)),
        _ => None,
    };
    let heading = if column.group.is_empty() {
        column.name.clone()
    } else {
        format!("{}, {}", column.group, column.name)
    };
    let best = with(Mark::Best);
    let names = best.iter().map(name).collect::<Vec<_>>().join(" and ");
    let (verb, lower) = (if best.len() > 1 { "lead" } else { "leads" }, column.direction == Direction::Down);
    let left_out = match stopped.len() {
        0 => String::new(),
        1 => "One row is left out: an audit stopped it".to_owned(),
        n => format!("{n} rows are left out: audits stopped them"),
    };
    let Some(&first) = best.first() else {
        return (!stopped.is_empty()).then(|| format!("{headline}: no row leads. {left_out}."));
    };
    let mut line = format!(
        "{headline}: {names} {verb} with {} ({}{})",
        value(first)?,
        escape_html(&heading),
        if lower { ", lower is better" } else { "" }
    );
    if let Some(second) = with(Mark::Second).first() {
        line.push_str(&format!("; {} follows with {}", name(second), value(*second)?));
    }
    let clear = study.compared.iter().filter(|c| c.different()).count();
    if !study.compared.is_empty() {
        line.push_str(&format!(
            ". Paired tests tell the best row of a test set from the others in {clear} of {} comparisons",
            study.compared.len()
        ));
    }
    if !left_out.is_empty() {
        line.push_str(&format!(". {left_out}"));
    }
    Some(format!("{line}."))
}

/// Whether an audit stopped a ranked row of the table.
fn stops(study: &Study<'_>, row: usize) -> bool {
    let entry = &study.entries[study.order[row]];
    let evaluations = entry.runs.values().filter_map(|r| r.record.evaluation.as_ref());
    !entry.oracle && evaluations.into_iter().any(facebench_protocols::Evaluation::stopped)
}
