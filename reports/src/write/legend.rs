//! The sentences under a table, as plain text; each writer adds its own markup.
//!
//! They are generated from what the table holds: a mark that does not occur is not explained.

use crate::table::{Mark, Table, marks, note_mark};

/// How a writer shows the three marks, for the sentence that explains them.
pub(super) struct MarkNames<'a> {
    pub(super) best: &'a str,
    pub(super) second: &'a str,
    pub(super) equal: &'a str,
}

/// Sentences: caption, marks, intervals, citations, missing cells.
pub(super) fn sentences(table: &Table, with_interval: bool, names: &MarkNames<'_>) -> Vec<String> {
    let mut lines = table.caption.clone();
    let all = marks(table);
    let occurs = |mark| all.iter().flatten().flatten().any(|&m| m == mark);
    if occurs(Mark::Best) {
        let second = if occurs(Mark::Second) { format!(", {} second", names.second) } else { String::new() };
        lines.push(format!("{} best{second} of a column, ranked on unrounded values.", names.best));
    }
    if table.has_equal() {
        lines.push(format!(
            "{} not different from the best at 95 % (paired test, Holm-corrected).",
            names.equal
        ));
    }
    if with_interval && table.has_interval() {
        lines.push("Brackets: 95 % interval, bootstrap over videos.".into());
    }
    if table.has_cited() {
        lines.push("† cited from the original publication; not tested here.".into());
    }
    if let [first, rest @ ..] = table.reasons().as_slice() {
        let rest: String = rest.iter().map(|r| format!("; {r}")).collect();
        lines.push(format!("– missing: {first}{rest}."));
    }
    lines
}

/// Footnotes with their marks.
pub(super) fn footnotes(table: &Table) -> Vec<(String, String)> {
    table.notes.iter().enumerate().map(|(i, text)| (note_mark(i), text.clone())).collect()
}
