//! An HTML `<table>`: caption, scoped headings, one `<tbody>` per group, no script and no style of its own.
//!
//! Best is bold *and* carries a star, second is underlined *and* carries a hollow star, both with words for screen
//! readers, so that colour carries nothing. `data-v` holds the unrounded value for a page that sorts.

use super::{Style, legend};
use crate::table::{Cell, CellText, Column, Direction, Mark, RowKind, Table, cell_text, marks, note_mark};

/// Labels up to this length are not broken over lines.
const SHORT: usize = 32;

/// The table and its legend inside one `<figure>`.
pub(super) fn write(table: &Table, style: &Style) -> String {
    let synthetic = if table.synthetic { " · <strong>synthetic</strong>" } else { "" };
    let id = escape(&table.id);
    let columns = table.stub.len() + table.columns.len(); // what print makes the type small by
    let mut out = format!("<figure class=\"fb-table\" id=\"table-{id}\">\n");
    out.push_str(&format!(
        "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-labelledby=\"caption-{id}\">\n<table style=\"--n:{columns}\">\n"
    ));
    out.push_str(&format!(
        "<caption id=\"caption-{id}\"><span>{}{synthetic}</span></caption>\n<thead>\n",
        escape(&table.headline())
    ));
    out.push_str(&header(table));
    out.push_str("</thead>\n");
    let all = marks(table);
    for (g, group) in table.groups.iter().enumerate() {
        let class = if group.ranked { "" } else { " class=\"unranked\"" };
        out.push_str(&format!("<tbody{class}>\n"));
        if !group.title.is_empty() {
            let title = escape(&group.title);
            out.push_str(&format!(
                "<tr class=\"group\"><th colspan=\"{columns}\" scope=\"rowgroup\">{title}</th></tr>\n"
            ));
        }
        for (r, row) in group.rows.iter().enumerate() {
            let cited = row.kind == RowKind::Cited;
            out.push_str(if cited { "<tr class=\"cited\">" } else { "<tr>" });
            for (l, label) in row.labels.iter().enumerate() {
                let (tag, marks) = if l == 0 {
                    ("th scope=\"row\"", row_marks(cited, &row.notes))
                } else {
                    ("td", String::new())
                };
                let short = if label.chars().count() <= SHORT { " class=\"short\"" } else { "" };
                out.push_str(&format!("<{tag}{short}>{}{marks}</{}>", escape(label), &tag[..2]));
            }
            for (c, (cell, column)) in row.cells.iter().zip(&table.columns).enumerate() {
                out.push_str(&apart(data(cell, column, all[g][r][c], style), table, c));
            }
            out.push_str("</tr>\n");
        }
        out.push_str("</tbody>\n");
    }
    out.push_str("</table>\n</div>\n");
    out.push_str(&caption(table, style));
    out.push_str("</figure>\n");
    out
}

fn header(table: &Table) -> String {
    let mut out = String::new();
    let two = table.two_levels();
    let rows = if two { " rowspan=\"2\"" } else { "" };
    let names = table.headings();
    out.push_str("<tr>");
    for name in &table.stub {
        out.push_str(&format!("<th scope=\"col\"{rows}>{}</th>", escape(name)));
    }
    if two {
        for (group, from, to) in table.spans() {
            if group.is_empty() {
                (from..to).for_each(|c| out.push_str(&heading(&table.columns[c], &names[c], rows)));
            } else {
                out.push_str(&format!(
                    "<th scope=\"colgroup\" colspan=\"{}\"{}><span>{}</span></th>",
                    to - from,
                    if from > 0 { " class=\"apart\"" } else { "" },
                    escape(&table.span_heading(from, to))
                ));
            }
        }
        out.push_str("</tr>\n<tr>");
    }
    for (c, (column, name)) in table.columns.iter().zip(&names).enumerate() {
        if !two || !column.group.is_empty() {
            out.push_str(&apart(heading(column, name, ""), table, c));
        }
    }
    out.push_str("</tr>\n");
    out
}

fn heading(column: &Column, name: &str, rows: &str) -> String {
    let better = column.direction.name();
    format!("<th scope=\"col\" class=\"num\"{rows} data-better=\"{better}\">{}</th>", escape(name))
}

/// A cell of column `c`; the first of an upper heading stands apart from what is left of it.
fn apart(cell: String, table: &Table, c: usize) -> String {
    if c == 0 || table.columns[c].group == table.columns[c - 1].group {
        return cell;
    }
    match cell.split_once(" class=\"") {
        Some((tag, rest)) => format!("{tag} class=\"apart {rest}"),
        None => cell.replacen("<td>", "<td class=\"apart\">", 1),
    }
}

fn row_marks(cited: bool, notes: &[usize]) -> String {
    let mut marks: Vec<String> = notes.iter().map(|&n| note_mark(n)).collect();
    if cited {
        marks.insert(0, "†".into());
    }
    if marks.is_empty() { String::new() } else { format!("<sup>{}</sup>", marks.join(",")) }
}

fn data(cell: &Cell, column: &Column, mark: Mark, style: &Style) -> String {
    match (cell_text(cell, column, style.interval), cell) {
        (CellText::Number { number, spread, interval, equal }, Cell::Value(v)) => {
            let (number, star) = match mark {
                Mark::Best => (
                    format!("<b>{number}</b>"),
                    "<span role=\"img\" title=\"best\" aria-label=\"best\">★</span>",
                ),
                Mark::Second => (
                    format!("<u>{number}</u>"),
                    "<span role=\"img\" title=\"second\" aria-label=\"second\">☆</span>",
                ),
                Mark::None => (number, ""),
            };
            let equal = if equal { "<span title=\"not different from the best\">=</span>" } else { "" };
            let spread = spread.map(|s| format!("<small>±{s}</small>")).unwrap_or_default();
            let interval = interval
                .map(|(l, h)| format!(" <small class=\"interval\">[{l}, {h}]</small>"))
                .unwrap_or_default();
            // The marks have a box of fixed width in every cell, so that digits stay under digits.
            let marks = if column.direction == Direction::Neither {
                String::new()
            } else {
                format!("<span class=\"mark\">{star}{equal}</span>")
            };
            format!("<td class=\"num\" data-v=\"{}\">{number}{spread}{interval}{marks}</td>", v.mean)
        }
        (CellText::Missing(reason), _) => {
            format!(
                "<td class=\"num missing\" title=\"{}\">–<span class=\"mark\"></span></td>",
                escape(&reason)
            )
        }
        (CellText::Text(text), _) => format!("<td>{}</td>", escape(&text)),
        (CellText::Number { number, .. }, _) => format!("<td class=\"num\">{number}</td>"),
    }
}

fn caption(table: &Table, style: &Style) -> String {
    let names = legend::MarkNames { best: "★", second: "☆", equal: "=" };
    let lines = legend::sentences(table, style.interval, &names);
    let notes = legend::footnotes(table);
    if lines.is_empty() && notes.is_empty() {
        return String::new();
    }
    let mut out = String::from("<figcaption>");
    out.push_str(&lines.iter().map(|l| escape(l)).collect::<Vec<_>>().join(" "));
    for (mark, text) in notes {
        out.push_str(&format!("<br><sup>{mark}</sup> {}", escape(&text)));
    }
    out.push_str("</figcaption>\n");
    out
}

/// Text that reads as itself in content and in quoted attributes. Control characters become the replacement sign.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
