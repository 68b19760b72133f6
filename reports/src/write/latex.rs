//! LaTeX with booktabs: no vertical rules, spanning upper headings, best bold, second underlined.
//!
//! Needs `booktabs`, `graphicx` (a table wider than the text is shrunk to it) and, for cited rows, `xcolor`; tables of more than [`LONG`] rows use `longtable` so that they
//! break over pages. Everything a name may hold is escaped; a character that pdfLaTeX has no glyph for is written as
//! its code point, because a paper that does not compile is worse than an ugly cell.

use super::{Style, legend, one_line};
use crate::table::{CellText, Mark, RowKind, Table, cell_text, marks, note_mark};

/// Rows above which a float cannot fit a page.
const LONG: usize = 45;
/// Shrinks what is wider than the text and leaves the rest alone.
const FIT: &str = "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%\n";

/// A complete table environment, or only its rows with `style.body_only`.
pub(super) fn write(table: &Table, style: &Style) -> String {
    let body = body(table, style);
    if style.body_only {
        // LaTeX's own \input cannot stand before \multicolumn or a rule; TeX's can.
        let hint = "% rows only; inside your tabular: \\csname @@input\\endcsname FILE\n";
        return format!("{hint}{body}");
    }
    let long = table.rows().count() > LONG;
    let packages = match (long, table.has_cited()) {
        (false, false) => "booktabs, graphicx",
        (true, false) => "booktabs, longtable",
        (false, true) => "booktabs, graphicx, xcolor",
        (true, true) => "booktabs, longtable, xcolor",
    };
    let stamp = table
        .stamp
        .as_ref()
        .map(|s| format!(" {}@{} {}", s.id, s.version, s.fingerprint))
        .unwrap_or_default();
    let synthetic = if table.synthetic { " SYNTHETIC" } else { "" };
    let mut out = format!("% facebench{}{synthetic}; needs {packages}\n", one_line(&stamp));
    let columns = format!("@{{}}{}*{{{}}}{{c}}@{{}}", "l".repeat(table.stub.len()), table.columns.len());
    let caption = format!("\\caption{{{}}}\\label{{tab:{}}}", caption(table, style), label(&table.id));
    let head = format!("\\toprule\n{}\\midrule\n", header(table));
    let (float, size) = match table.columns.len() {
        0..=6 => ("table", "\\small"),
        7..=10 => ("table*", "\\small"), // both columns of a paper
        _ => ("table*", "\\footnotesize\\setlength{\\tabcolsep}{3pt}"),
    };
    if long {
        out.push_str(&format!(
            "\\begingroup\\small\n\\begin{{longtable}}{{{columns}}}\n{caption}\\\\\n{head}\\endfirsthead\n"
        ));
        out.push_str(&format!(
            "{head}\\endhead\n\\bottomrule\n\\endfoot\n{body}\\end{{longtable}}\n\\endgroup\n"
        ));
    } else {
        out.push_str(&format!(
            "\\begin{{{float}}}[t]\\centering{size}\n{caption}\n{FIT}\\begin{{tabular}}{{{columns}}}\n"
        ));
        out.push_str(&format!("{head}{body}\\bottomrule\n\\end{{tabular}}}}\n\\end{{{float}}}\n"));
    }
    out
}

/// One or two header lines, each ending in `\\`.
fn header(table: &Table) -> String {
    let mut out = String::new();
    let stub = table.stub.len();
    if table.two_levels() {
        let mut rules = String::new();
        out.push_str(&"& ".repeat(stub - 1));
        for (group, from, to) in table.spans() {
            if group.is_empty() {
                out.push_str(&"& ".repeat(to - from));
            } else {
                out.push_str(&format!(
                    "& \\multicolumn{{{}}}{{c}}{{{}}} ",
                    to - from,
                    escape(&table.span_heading(from, to))
                ));
                rules.push_str(&format!("\\cmidrule(lr){{{}-{}}}", stub + from + 1, stub + to));
            }
        }
        out.push_str(&format!("\\\\ {rules}\n"));
    }
    let names = table
        .stub
        .iter()
        .map(|s| escape(s))
        .chain(table.headings().iter().map(|h| escape(h)).collect::<Vec<_>>());
    out.push_str(&format!("{} \\\\\n", names.collect::<Vec<_>>().join(" & ")));
    out
}

/// The rows, each on a line ending in `\\`, groups separated by rules.
fn body(table: &Table, style: &Style) -> String {
    let all = marks(table);
    let width = table.stub.len() + table.columns.len();
    let mut out = String::new();
    for (g, group) in table.groups.iter().enumerate() {
        if g > 0 {
            out.push_str("\\midrule\n");
        }
        if !group.title.is_empty() {
            out.push_str(&format!(
                "\\multicolumn{{{width}}}{{@{{}}l}}{{\\textit{{{}}}}} \\\\\n",
                escape(&group.title)
            ));
        }
        for (r, row) in group.rows.iter().enumerate() {
            let mut cells: Vec<String> = row.labels.iter().map(|s| escape(s)).collect();
            let notes = row.notes.iter().map(|&n| note_mark(n)).collect::<Vec<_>>().join(",");
            let cited = row.kind == RowKind::Cited;
            let dagger = if cited { "\\dagger" } else { "" };
            if !dagger.is_empty() || !notes.is_empty() {
                cells[0].push_str(&format!(
                    "$^{{{dagger}{}}}$",
                    if notes.is_empty() { String::new() } else { format!("\\mathrm{{{notes}}}") }
                ));
            }
            for (c, (cell, column)) in row.cells.iter().zip(&table.columns).enumerate() {
                cells.push(markup(&cell_text(cell, column, style.interval), all[g][r][c]));
            }
            if cited {
                cells.iter_mut().for_each(|cell| *cell = format!("\\textcolor{{gray}}{{{cell}}}"));
            }
            // A cell opening with a bracket would be read as the optional argument of the line before.
            let open = if cells[0].starts_with(['[', '*']) { "{}" } else { "" };
            out.push_str(&format!("{open}{} \\\\\n", cells.join(" & ")));
        }
    }
    out
}

fn markup(text: &CellText, mark: Mark) -> String {
    match text {
        CellText::Missing(_) => "--".into(),
        CellText::Text(text) => escape(text),
        CellText::Number { number, spread, interval, equal } => {
            let number = match number.strip_prefix('-') {
                Some(digits) => format!("$-${digits}"),
                None => number.clone(),
            };
            let number = match mark {
                Mark::Best => format!("\\textbf{{{number}}}"),
                Mark::Second => format!("\\underline{{{number}}}"),
                Mark::None => number,
            };
            let spread = spread.as_ref().map(|s| format!("{{\\scriptsize$\\pm${s}}}")).unwrap_or_default();
            let interval =
                interval.as_ref().map(|(l, h)| format!("{{\\scriptsize\\,[{l}, {h}]}}")).unwrap_or_default();
            format!("{number}{spread}{interval}{}", if *equal { "$^{=}$" } else { "" })
        }
    }
}

fn caption(table: &Table, style: &Style) -> String {
    let names = legend::MarkNames { best: "BOLD", second: "LINED", equal: "EQUAL" };
    let synthetic = if table.synthetic { " \\textbf{(synthetic)}" } else { "" };
    let mut parts = vec![format!("{}{synthetic}.", escape(&table.headline()))];
    for sentence in legend::sentences(table, style.interval, &names) {
        let text = escape(&sentence);
        let text = match text.strip_prefix("BOLD best") {
            Some(rest) => {
                format!("\\textbf{{Best}}{}", rest.replacen("LINED second", "\\underline{second}", 1))
            }
            None => text,
        };
        parts.push(text.strip_prefix("EQUAL ").map_or(text.clone(), |rest| format!("$^{{=}}$ {rest}")));
    }
    for (mark, text) in legend::footnotes(table) {
        parts.push(format!("$^{{\\mathrm{{{mark}}}}}$ {}", escape(&text)));
    }
    parts.join(" ")
}

/// A label that needs no escaping: letters, digits, hyphens.
fn label(id: &str) -> String {
    id.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

/// Text that prints as itself under pdfLaTeX.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in one_line(text).chars() {
        match c {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => out.extend(['\\', c]),
            '\\' => out.push_str("\\textbackslash{}"),
            '~' => out.push_str("\\textasciitilde{}"),
            '^' => out.push_str("\\textasciicircum{}"),
            '<' => out.push_str("\\textless{}"),
            '>' => out.push_str("\\textgreater{}"),
            '|' => out.push_str("\\textbar{}"),
            '"' => out.push_str("''"),
            '\u{a0}' => out.push('~'),
            c if c.is_ascii() => out.push(c),
            c => match symbol(c) {
                Some(symbol) => out.push_str(symbol),
                None if ('\u{a1}'..='\u{17f}').contains(&c) => out.push(c), // inputenc knows these
                None => out.push_str(&format!("\\texttt{{U+{:04X}}}", u32::from(c))),
            },
        }
    }
    out
}

/// LaTeX of the signs our own texts and Greek-loving authors use.
fn symbol(c: char) -> Option<&'static str> {
    Some(match c {
        '–' => "--",
        '—' => "---",
        '‘' => "`",
        '’' => "'",
        '“' => "``",
        '”' => "''",
        '…' => "\\dots{}",
        '†' => "$^\\dagger$",
        '·' => "$\\cdot$",
        '±' => "$\\pm$",
        '×' => "$\\times$",
        '÷' => "$\\div$",
        '≤' => "$\\le$",
        '≥' => "$\\ge$",
        '≈' => "$\\approx$",
        '≠' => "$\\neq$",
        '∞' => "$\\infty$",
        '−' => "$-$",
        '↑' => "$\\uparrow$",
        '↓' => "$\\downarrow$",
        '→' => "$\\rightarrow$",
        '←' => "$\\leftarrow$",
        '✓' => "$\\surd$",
        '°' => "$^\\circ$",
        '²' => "$^2$",
        '³' => "$^3$",
        '¹' => "$^1$",
        '⁼' => "$^{=}$",
        'µ' | 'μ' => "$\\mu$",
        'α' => "$\\alpha$",
        'β' => "$\\beta$",
        'γ' => "$\\gamma$",
        'δ' => "$\\delta$",
        'ε' => "$\\varepsilon$",
        'κ' => "$\\kappa$",
        'λ' => "$\\lambda$",
        'ρ' => "$\\rho$",
        'σ' => "$\\sigma$",
        'τ' => "$\\tau$",
        'φ' => "$\\varphi$",
        'χ' => "$\\chi$",
        'ω' => "$\\omega$",
        'Δ' => "$\\Delta$",
        'Σ' => "$\\Sigma$",
        'Ω' => "$\\Omega$",
        _ => return None,
    })
}
