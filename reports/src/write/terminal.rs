//! Aligned text for a terminal, laid out by comfy-table.
//!
//! Marks are characters (`*` best, `_` second, `=` not different from the best), so the table reads the same in a log
//! file; escape codes come on top when asked for. comfy-table has neither spanning headings nor spanning rows: both
//! are laid out blank and written over afterwards, at the column edges its junctions give away.

use super::{Style, legend, one_line, panels};
use crate::table::{Cell, CellText, Column, Mark, Row, RowKind, Table, cell_text, marks, note_mark};
use comfy_table::{
    Cell as Text, CellAlignment, ColumnConstraint, ContentArrangement, ContentLineStyle, LineStyle,
    Table as Grid, TableStyle, Width,
};

/// Horizontal rules only; the junctions are the column edges and are replaced after layout.
const RULES: TableStyle = TableStyle::new()
    .top_border(LineStyle::none().fill('─').junction('┬'))
    .header_lines(ContentLineStyle::none().junction(' '))
    .header_separator(LineStyle::none().fill('─').junction('┼'))
    .content_lines(ContentLineStyle::none().junction(' '))
    .bottom_border(LineStyle::none().fill('─').junction('┴'));

/// Invisible characters of width zero that stand for escape codes until layout is done.
const CODES: [(char, &str); 4] =
    [('\u{2061}', "\x1b[1m"), ('\u{2062}', "\x1b[22m"), ('\u{2063}', "\x1b[4m"), ('\u{2064}', "\x1b[24m")];
const BOLD: (char, char) = ('\u{2061}', '\u{2062}');
const LINED: (char, char) = ('\u{2063}', '\u{2064}');
/// Marks a laid-out line as the place of a group title.
const GROUP: char = '\u{2060}';

/// Heading line, panels, legend.
pub(super) fn write(table: &Table, style: &Style) -> String {
    let synthetic = if table.synthetic { " · synthetic" } else { "" };
    let mut out = format!("{}{}{synthetic}{}\n", BOLD.0, one_line(&table.headline()), BOLD.1);
    let texts = Texts::of(table, style);
    for (from, to) in panels::split(
        table,
        &texts.label_widths(table),
        &|from, to| texts.value_widths(table, from, to),
        style.width,
    ) {
        out.push_str(&panel(table, &texts, from, to, style.width));
    }
    let names = legend::MarkNames { best: "*", second: "_", equal: "=" };
    for sentence in legend::sentences(table, style.interval, &names) {
        out.push_str(&wrap(&one_line(&sentence), "", style.width));
    }
    for (mark, text) in legend::footnotes(table) {
        out.push_str(&wrap(&format!("[{mark}] {}", one_line(&text)), "    ", style.width));
    }
    if style.colour {
        CODES.iter().fold(out, |text, (sign, code)| text.replace(*sign, code))
    } else {
        out.replace(CODES.map(|(sign, _)| sign), "")
    }
}

/// All texts of the table before layout: `[group][row][column]`.
struct Texts {
    labels: Vec<Vec<Vec<String>>>,
    values: Vec<Vec<Vec<String>>>,
}

impl Texts {
    fn of(table: &Table, style: &Style) -> Self {
        let all = marks(table);
        let equal = table.has_equal();
        let value = |g: usize, r: usize, row: &Row| -> Vec<String> {
            let cells = row.cells.iter().zip(&table.columns).zip(&all[g][r]);
            cells.map(|((cell, column), &mark)| value_text(cell, column, mark, style, equal)).collect()
        };
        let groups = || table.groups.iter().enumerate();
        Texts {
            labels: groups()
                .map(|(_, g)| g.rows.iter().map(|row| labels(row, !g.title.is_empty())).collect())
                .collect(),
            values: groups()
                .map(|(g, group)| group.rows.iter().enumerate().map(|(r, row)| value(g, r, row)).collect())
                .collect(),
        }
    }

    fn label_widths(&self, table: &Table) -> Vec<usize> {
        let longest = |l: usize| self.labels.iter().flatten().map(|row| length(&row[l])).max().unwrap_or(0);
        (0..table.stub.len()).map(|l| longest(l).max(length(&table.stub[l]))).collect()
    }

    /// Widths of the values of a panel; its last column is widened where an upper heading needs it.
    fn value_widths(&self, table: &Table, from: usize, to: usize) -> Vec<usize> {
        let longest = |c: usize| self.values.iter().flatten().map(|row| length(&row[c])).max().unwrap_or(0);
        let headings = table.headings();
        let mut widths: Vec<usize> = (from..to).map(|c| longest(c).max(length(&headings[c]))).collect();
        for (_, start, stop) in table.spans() {
            let (first, end) = (start.max(from), stop.min(to));
            if first < end {
                let have: usize = widths[first - from..end - from].iter().map(|w| w + panels::GAP).sum();
                let need = length(&table.span_heading(start, stop)) + panels::GAP;
                widths[end - from - 1] += need.saturating_sub(have);
            }
        }
        widths
    }
}

fn labels(row: &Row, indent: bool) -> Vec<String> {
    let mut labels: Vec<String> = row.labels.iter().map(|s| one_line(s)).collect();
    let notes: String = row.notes.iter().map(|&n| format!(" [{}]", note_mark(n))).collect();
    let cited = if row.kind == RowKind::Cited { "†" } else { "" };
    let indent = if indent { "  " } else { "" };
    labels[0] = format!("{indent}{}{cited}{notes}", labels[0]);
    labels
}

fn value_text(cell: &Cell, column: &Column, mark: Mark, style: &Style, any_equal: bool) -> String {
    match cell_text(cell, column, style.interval) {
        CellText::Missing(_) => "–".into(),
        CellText::Text(text) => one_line(&text),
        CellText::Number { number, spread, interval, equal } => {
            let number = match mark {
                Mark::Best => format!("*{}{number}{}", BOLD.0, BOLD.1),
                Mark::Second => format!("_{}{number}{}", LINED.0, LINED.1),
                Mark::None => number,
            };
            let spread = spread.map(|s| format!(" ±{s}")).unwrap_or_default();
            let interval = interval.map(|(l, h)| format!(" [{l}, {h}]")).unwrap_or_default();
            let equal = if equal {
                "="
            } else if any_equal {
                " "
            } else {
                ""
            };
            format!("{number}{spread}{interval}{equal}")
        }
    }
}

/// One panel: columns `from..to` beside the labels.
fn panel(table: &Table, texts: &Texts, from: usize, to: usize, width: Option<usize>) -> String {
    let two = table.two_levels();
    let lift = if two { "\n" } else { "" };
    let mut grid = Grid::new();
    grid.load_style(RULES).set_content_arrangement(ContentArrangement::Dynamic);
    let mut head: Vec<Text> =
        table.stub.iter().map(|s| Text::new(format!("{lift}{}", one_line(s)))).collect();
    let right = |text: String| Text::new(text).set_alignment(CellAlignment::Right);
    head.extend(table.headings()[from..to].iter().map(|h| right(format!("{lift}{}", one_line(h)))));
    grid.set_header(head);
    let mut titles = Vec::new();
    for (g, group) in table.groups.iter().enumerate() {
        if !group.title.is_empty() {
            titles.push(one_line(&group.title));
            grid.add_row([GROUP.to_string()]);
        }
        for (labels, values) in texts.labels[g].iter().zip(&texts.values[g]) {
            let cells = labels.iter().map(Text::new).chain(values[from..to].iter().cloned().map(right));
            grid.add_row(cells.collect::<Vec<_>>());
        }
    }
    constrain(&mut grid, table, texts, (from, to), width);
    let mut lines: Vec<String> = grid.lines().map(|line| line.trim_end().to_owned()).collect();
    if let Some(edges) = lines.first().map(|line| edges(line)).filter(|_| two) {
        lines[1] = spans(table, from, to, &edges);
    }
    let mut titles = titles.into_iter();
    let mut out = String::new();
    for line in lines {
        let line =
            if line.contains(GROUP) { format!(" {}", titles.next().unwrap_or_default()) } else { line };
        let rule = line.starts_with('─');
        let line = if rule { line.replace(['┬', '┼', '┴'], "─") } else { line };
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Value columns keep their width; labels share what is left of the terminal.
fn constrain(
    grid: &mut Grid,
    table: &Table,
    texts: &Texts,
    (from, to): (usize, usize),
    width: Option<usize>,
) {
    let values = texts.value_widths(table, from, to);
    let used: usize = values.iter().map(|w| w + panels::GAP).sum();
    let labels = panels::shrink_labels(&texts.label_widths(table), used, width);
    for (i, text) in labels.iter().chain(&values).enumerate() {
        let padded = u16::try_from(text + panels::GAP - 1).unwrap_or(u16::MAX);
        if let Some(column) = grid.column_mut(i) {
            column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(padded)));
        }
    }
}

/// Character positions where columns begin, plus the end of the line.
fn edges(rule: &str) -> Vec<usize> {
    let junctions = rule.chars().enumerate().filter(|(_, c)| *c == '┬').map(|(i, _)| i + 1);
    std::iter::once(0).chain(junctions).chain(std::iter::once(rule.chars().count() + 1)).collect()
}

/// The line of upper headings, each centred over its columns and underscored by dashes to both edges.
fn spans(table: &Table, from: usize, to: usize, edges: &[usize]) -> String {
    let stub = table.stub.len();
    let mut line: Vec<char> = vec![' '; edges.last().copied().unwrap_or(0)];
    for (group, start, stop) in table.spans() {
        let (first, end) = (start.max(from), stop.min(to));
        if group.is_empty() || first >= end {
            continue;
        }
        let group = table.span_heading(start, stop);
        let (left, right) = (edges[stub + first - from] + 1, edges[stub + end - from] - 2);
        let room = right.saturating_sub(left);
        let text: Vec<char> = one_line(&group).chars().take(room).collect();
        let pad = room - text.len();
        let before = if pad >= 4 { pad / 2 } else { 0 };
        if pad >= 4 {
            line[left..right].fill('╌');
            line[left + before - 1] = ' ';
            line[left + before + text.len()] = ' ';
        }
        line[left + before..left + before + text.len()].copy_from_slice(&text);
    }
    line.into_iter().collect::<String>().trim_end().to_owned()
}

/// Breaks a sentence at spaces; every line ends in a line break.
fn wrap(text: &str, indent: &str, width: Option<usize>) -> String {
    let width = width.unwrap_or(usize::MAX);
    let mut out = String::new();
    let mut line = String::new();
    for word in text.split(' ') {
        if !line.trim().is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            out.push_str(&format!("{line}\n"));
            line = indent.to_owned();
        } else if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    out + &line + "\n"
}

/// Characters a text takes, without the invisible marks.
fn length(text: &str) -> usize {
    text.chars().filter(|c| !('\u{2060}'..='\u{2064}').contains(c)).count()
}
