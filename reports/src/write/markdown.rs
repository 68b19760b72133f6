//! GitHub-flavoured Markdown: a pipe table, best in bold, second underlined with `<ins>`.
//!
//! Markdown has one header line and no spanning cells, so the upper heading stands before the name
//! (`Frame AUC · CDFv2 ↑`) and a group of rows starts with a line of its own.

use super::{Style, legend, one_line};
use crate::table::{CellText, Mark, RowKind, Table, cell_text, marks, note_mark};

/// The table with its heading line and legend.
pub(super) fn write(table: &Table, style: &Style) -> String {
    let synthetic = if table.synthetic { " · **synthetic**" } else { "" };
    let mut out = format!("### {}{synthetic}\n\n", escape(&table.headline()));
    let mut head: Vec<String> = table.stub.iter().map(|s| escape(s)).collect();
    head.extend(table.columns.iter().map(|c| match c.group.as_str() {
        "" => escape(&c.heading()),
        group => format!("{} · {}", escape(group), escape(&c.heading())),
    }));
    push_row(&mut out, &head);
    let rules = table.stub.iter().map(|_| ":--").chain(table.columns.iter().map(|_| "--:"));
    push_row(&mut out, &rules.map(String::from).collect::<Vec<_>>());
    let all = marks(table);
    for (g, group) in table.groups.iter().enumerate() {
        if !group.title.is_empty() {
            let mut cells = vec![String::new(); head.len()];
            cells[0] = format!("*{}*", escape(&group.title));
            push_row(&mut out, &cells);
        }
        for (r, row) in group.rows.iter().enumerate() {
            let mut cells: Vec<String> = row.labels.iter().map(|s| escape(s)).collect();
            let notes: String = row.notes.iter().map(|&n| format!("<sup>{}</sup>", note_mark(n))).collect();
            let cited = if row.kind == RowKind::Cited { "†" } else { "" };
            cells[0] = format!("{}{cited}{notes}", cells[0]);
            for (c, (cell, column)) in row.cells.iter().zip(&table.columns).enumerate() {
                cells.push(markup(&cell_text(cell, column, style.interval), all[g][r][c]));
            }
            push_row(&mut out, &cells);
        }
    }
    let names = legend::MarkNames { best: "**bold**", second: "<ins>underlined</ins>", equal: "⁼" };
    let lines = legend::sentences(table, style.interval, &names);
    if !lines.is_empty() {
        out.push_str(&format!("\n{}\n", lines.join("  \n")));
    }
    for (mark, text) in legend::footnotes(table) {
        out.push_str(&format!("\n<sup>{mark}</sup> {}  \n", escape(&text)));
    }
    out
}

fn markup(text: &CellText, mark: Mark) -> String {
    match text {
        CellText::Missing(_) => "–".into(),
        CellText::Text(text) => escape(text),
        CellText::Number { number, spread, interval, equal } => {
            let number = match mark {
                Mark::Best => format!("**{number}**"),
                Mark::Second => format!("<ins>{number}</ins>"),
                Mark::None => number.clone(),
            };
            let spread = spread.as_ref().map(|s| format!(" ± {s}")).unwrap_or_default();
            let interval = interval.as_ref().map(|(l, h)| format!(" [{l}, {h}]")).unwrap_or_default();
            format!("{number}{spread}{interval}{}", if *equal { "⁼" } else { "" })
        }
    }
}

fn push_row(out: &mut String, cells: &[String]) {
    out.push_str("| ");
    out.push_str(&cells.join(" | "));
    out.push_str(" |\n");
}

/// Text that reads as itself inside a table cell.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in one_line(text).chars() {
        match c {
            '\\' | '|' | '*' | '_' | '`' | '[' | ']' | '~' | '$' | '#' => out.extend(['\\', c]),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            c => out.push(c),
        }
    }
    out
}
