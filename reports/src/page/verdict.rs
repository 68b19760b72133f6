//! The first lines: what came out, and whether it may be believed.
//!
//! One sentence per table, generated from its last average (or its first column): who leads, by how much, and whether a
//! paired test can tell the runner-up apart. Then the audits in one line.

use super::Content;
use crate::table::{Cell, Direction, Mark, Row, fixed, marks};
use crate::tables::{Study, metric_id};
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

/// Column that stands for the table: the average of the protocol's primary metric, any average, the first column.
fn column(study: &Study<'_>) -> Option<usize> {
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

fn sentence(study: &Study<'_>) -> Option<String> {
    let table = &study.table;
    let c = column(study)?;
    let column = &table.columns[c];
    let flat: Vec<Mark> = marks(table).into_iter().flatten().map(|row| row[c]).collect();
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
    let mut line = format!(
        "<strong>{}</strong>: {names} {verb} with {} ({}{})",
        escape_html(&table.headline()),
        value(*best.first()?)?,
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
    Some(format!("{line}."))
}
