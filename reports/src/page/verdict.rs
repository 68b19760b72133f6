//! The first lines: what came out, and whether it may be believed.
//!
//! One sentence per table, generated from its last average (or its first column): who leads, by how much, and whether a
//! paired test can tell the runner-up apart. Then the audits in one line.

use super::Content;
use crate::table::{Cell, Direction, Mark, Table, fixed, marks};
use crate::tables::Study;
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
    let count = |s: Severity| findings.iter().filter(|f| **f == s).count();
    let scored = content.studies.iter().map(|s| s.part.runs.len()).sum::<usize>();
    let audits = match (count(Severity::Stop), count(Severity::Warn)) {
        (0, 0) => "audits found nothing to stop or warn about".to_owned(),
        (0, warn) => format!("audits warn {warn} times, see below"),
        (stop, warn) => format!(
            "<strong class=\"stop\">audits stopped {stop} results</strong> and warn {warn} times, see below"
        ),
    };
    out.push_str(&format!(
        "<p class=\"meta\">{} runs, {scored} of them scored; {audits}.</p>\n",
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

/// Column that stands for the table: the last average, else the first ranked column.
fn column(table: &Table) -> Option<usize> {
    let ranked = |c: &usize| table.columns[*c].direction != Direction::Neither;
    let average = (0..table.columns.len()).filter(ranked).filter(|&c| table.columns[c].set == "average");
    average.last().or_else(|| (0..table.columns.len()).find(ranked))
}

fn sentence(study: &Study<'_>) -> Option<String> {
    let table = &study.table;
    let c = column(table)?;
    let column = &table.columns[c];
    let all = marks(table);
    let of = |mark: Mark| {
        let rows = table
            .groups
            .iter()
            .zip(&all)
            .flat_map(|(g, m)| g.rows.iter().zip(m).map(move |(r, m)| (g, r, m[c])));
        rows.filter(|(_, _, m)| *m == mark).map(|(g, r, _)| (g, r)).collect::<Vec<_>>()
    };
    let name = |(group, row): &(&crate::table::Group, &crate::table::Row)| {
        let head = group.title.split(" · ").next().unwrap_or_default();
        escape_html(&format!("{} with {head}", row.labels.join(", ")))
    };
    let value = |row: &crate::table::Row| match &row.cells[c] {
        Cell::Value(v) => Some(fixed(v.mean, column.unit.shift(), column.decimals)),
        _ => None,
    };
    let heading = if column.group.is_empty() {
        column.name.clone()
    } else {
        format!("{}, {}", column.group, column.name)
    };
    let best = of(Mark::Best);
    let first = best.first()?;
    let names = best.iter().map(name).collect::<Vec<_>>().join(" and ");
    let verb = if best.len() > 1 { "lead" } else { "leads" };
    let mut line = format!(
        "<strong>{}</strong>: {names} {verb} with {} ({})",
        escape_html(&table.headline()),
        value(first.1)?,
        escape_html(&heading)
    );
    if let Some(second) = of(Mark::Second).first() {
        line.push_str(&format!(", {} follows with {}", name(second), value(second.1)?));
    }
    let unclear = study.compared.iter().filter(|c| !c.different()).count();
    if !study.compared.is_empty() {
        line.push_str(&format!(
            "; paired tests tell {} of {} rows from the best of their test set",
            study.compared.len() - unclear,
            study.compared.len()
        ));
    }
    Some(format!("{line}."))
}
