//! Six ways to write one table: terminal, Markdown, CSV (wide and long), JSON, LaTeX, HTML fragment.
//!
//! A writer decides markup only. Numbers, marks and reasons come from the table model, and every writer refuses a
//! table that breaks the model's rules. Output depends on the table and the style alone: no clock, no locale, no
//! terminal detection (the caller passes width and colour).

mod csv;
mod html;
mod json;
mod latex;
mod legend;
mod markdown;
mod panels;
mod terminal;
#[cfg(test)]
mod tests;

pub(crate) use csv::line as csv_line;
pub use html::escape as escape_html;
pub use latex::escape as escape_latex;

use crate::{Error, table::Table};

/// A format for one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Aligned text for a terminal.
    Terminal,
    /// GitHub-flavoured Markdown.
    Markdown,
    /// Comma-separated values, one line per row, several columns per value.
    Csv,
    /// Comma-separated values, one line per cell.
    CsvLong,
    /// JSON with unrounded values, marks and reasons.
    Json,
    /// LaTeX with booktabs.
    Latex,
    /// An HTML `<table>` without a page around it.
    Html,
}

impl Format {
    /// All formats, in the order they are documented.
    pub const ALL: [Format; 7] = [
        Format::Terminal,
        Format::Markdown,
        Format::Csv,
        Format::CsvLong,
        Format::Json,
        Format::Latex,
        Format::Html,
    ];

    /// End of the file name, e.g. `tex`.
    pub fn extension(self) -> &'static str {
        match self {
            Format::Terminal => "txt",
            Format::Markdown => "md",
            Format::Csv => "csv",
            Format::CsvLong => "long.csv",
            Format::Json => "json",
            Format::Latex => "tex",
            Format::Html => "html",
        }
    }
}

/// Choices a caller makes about looks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// Print 95 % intervals where the table has them.
    pub interval: bool,
    /// Columns of the terminal; `None` = as wide as the table needs.
    pub width: Option<usize>,
    /// Bold and underline by escape codes. Marks are printed as characters either way.
    pub colour: bool,
    /// LaTeX: only the rows, to `\input` into one's own tabular.
    pub body_only: bool,
}

/// Writes `table` in `format`.
///
/// # Errors
/// The table breaks a rule of the model (see [`Table::check`]).
pub fn write(table: &Table, format: Format, style: &Style) -> Result<String, Error> {
    table.check()?;
    let style = &Style { interval: style.interval || table.intervals, ..*style };
    Ok(match format {
        Format::Terminal => terminal::write(table, style),
        Format::Markdown => markdown::write(table, style),
        Format::Csv => csv::wide(table),
        Format::CsvLong => csv::long(table),
        Format::Json => json::write(table),
        Format::Latex => latex::write(table, style),
        Format::Html => html::write(table, style),
    })
}

/// One line of text: control characters and line breaks become spaces, invisible marks are dropped.
///
/// Labels come from users' files; an escape sequence in a name must not reach a terminal.
pub(crate) fn one_line(text: &str) -> String {
    let visible = text.chars().filter(|c| !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'));
    visible.map(|c| if c.is_control() { ' ' } else { c }).collect()
}
