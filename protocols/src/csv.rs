//! The few lines of CSV (RFC 4180) that manifests, scores and reference rows need.
//!
//! Fields with a comma, a quote or a line break are quoted; a UTF-8 byte-order mark and CRLF are accepted when
//! reading, LF is written. Columns are found by name, so their order in a user's file does not matter and extra
//! columns are ignored. No streaming: these files hold one line per frame and are read once.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{Error, Result};
use crate::nearest::nearest;

/// A parsed CSV file with its header.
pub struct Table<'a> {
    path: &'a Path,
    columns: BTreeMap<String, usize>,
    rows: Vec<(usize, Vec<String>)>,
}

/// One row and where it stands.
pub struct Row<'t> {
    table: &'t Table<'t>,
    /// 1-based line in the file.
    pub line: usize,
    cells: &'t [String],
}

impl<'a> Table<'a> {
    /// Parse a text that came from `path`.
    ///
    /// # Errors
    /// No header, a column twice, a row of another width, a quote that is never closed.
    pub fn parse(path: &'a Path, text: &str) -> Result<Self> {
        let mut lines = records(path, text)?.into_iter();
        let Some((_, header)) = lines.next() else {
            let what = path.display().to_string();
            return Err(Error::Empty {
                what,
                hint: "the first line names the columns, the others are samples",
            });
        };
        let width = header.len();
        // a number is no name of a column; where one stands twice, the line is surely none of names
        let value = header.iter().map(|cell| cell.trim()).find(|cell| is_number(cell)).map(str::to_owned);
        let mut columns = BTreeMap::new();
        for (index, name) in header.into_iter().enumerate() {
            let name = name.trim().to_owned();
            if columns.insert(name.clone(), index).is_some() {
                if let Some(value) = &value {
                    return Err(headless(path, value));
                }
                return Err(fault(path, 1, format!("column {name:?} appears twice"), None));
            }
        }
        let rows: Vec<_> = lines.collect();
        if let Some((line, row)) = rows.iter().find(|(_, row)| row.len() != width) {
            return Err(fault(path, *line, format!("{} fields, expected {width}", row.len()), None));
        }
        Ok(Self { path, columns, rows })
    }

    /// Columns of equal length that were read from another kind of file; rows count from 1.
    pub fn of_columns(path: &'a Path, named: Vec<(String, Vec<String>)>) -> Self {
        let rows = named.first().map_or(0, |(_, cells)| cells.len());
        let columns = named.iter().enumerate().map(|(i, (name, _))| (name.clone(), i)).collect();
        let mut cells: Vec<_> = named.into_iter().map(|(_, cells)| cells.into_iter()).collect();
        let rows = (1..=rows).map(|n| (n, cells.iter_mut().filter_map(Iterator::next).collect())).collect();
        Self { path, columns, rows }
    }

    /// Index of a column that must be there.
    ///
    /// # Errors
    /// It is not; the nearest name is told.
    pub fn column(&self, name: &str) -> Result<usize> {
        self.columns.get(name).copied().ok_or_else(|| {
            let known: Vec<&str> = self.columns.keys().map(String::as_str).collect();
            if let Some(value) = known.iter().find(|name| is_number(name)) {
                return headless(self.path, value);
            }
            let hint = match nearest(name, known.iter().copied()) {
                Some(near) => format!("rename {near:?}?"),
                None => format!("the file has {}", known.join(", ")),
            };
            fault(self.path, 1, format!("column {name:?} is missing"), Some(hint))
        })
    }

    /// Index of a column that may be there.
    pub fn optional(&self, name: &str) -> Option<usize> {
        self.columns.get(name).copied()
    }

    /// All rows, in order.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|(line, cells)| Row { table: self, line: *line, cells })
    }
}

impl Row<'_> {
    /// The text of a cell.
    pub fn text(&self, column: usize) -> &str {
        &self.cells[column]
    }

    /// A cell that must parse, named `what` in the error.
    ///
    /// # Errors
    /// It does not.
    pub fn parse<T: std::str::FromStr>(&self, column: usize, what: &str) -> Result<T> {
        self.cells[column].trim().parse().map_err(|_| {
            self.error(format!("{what} is {:?}, expected {}", self.cells[column], expected::<T>()))
        })
    }

    /// An error about this row.
    pub fn error(&self, message: String) -> Error {
        fault(self.table.path, self.line, message, None)
    }

    /// An error about this row, with what would help.
    pub fn error_with(&self, message: String, hint: String) -> Error {
        fault(self.table.path, self.line, message, Some(hint))
    }
}

/// Whether a heading is a value.
fn is_number(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit() || "-.".contains(c)) && text.parse::<f64>().is_ok()
}

/// A file whose first line does not name its columns.
fn headless(path: &Path, value: &str) -> Error {
    let message = format!("the first line does not name the columns: it holds the value {value}");
    fault(path, 1, message, Some("put a line with the names of the columns before the values".into()))
}

fn expected<T>() -> &'static str {
    match std::any::type_name::<T>() {
        "f64" => "a number",
        "u8" | "u32" | "usize" => "a whole number",
        _ => "another value",
    }
}

fn fault(path: &Path, line: usize, message: String, hint: Option<String>) -> Error {
    Error::Csv { path: path.to_path_buf(), line, message, hint }
}

/// All records with the line each starts on; empty lines are skipped.
fn records(path: &Path, text: &str) -> Result<Vec<(usize, Vec<String>)>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (mut out, mut row, mut cell) = (Vec::new(), Vec::new(), String::new());
    let (mut line, mut start, mut quoted, mut was_quoted) = (1, 1, false, false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\n' {
            line += 1;
        }
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                cell.push('"');
                chars.next();
            }
            '"' if quoted => quoted = false,
            c if quoted => cell.push(c),
            '"' if cell.is_empty() && !was_quoted => (quoted, was_quoted) = (true, true),
            ',' => {
                row.push(std::mem::take(&mut cell));
                was_quoted = false;
            }
            '\r' if chars.peek() == Some(&'\n') => {}
            '\n' => {
                if !row.is_empty() || !cell.is_empty() || was_quoted {
                    row.push(std::mem::take(&mut cell));
                    out.push((start, std::mem::take(&mut row)));
                }
                (start, was_quoted) = (line, false);
            }
            c => cell.push(c),
        }
    }
    if quoted {
        return Err(fault(path, start, "a quoted field is never closed".into(), None));
    }
    if !row.is_empty() || !cell.is_empty() || was_quoted {
        row.push(cell);
        out.push((start, row));
    }
    Ok(out)
}

/// Append one record to `out`.
pub fn push_record<'s>(out: &mut String, cells: impl IntoIterator<Item = &'s str>) {
    for (i, cell) in cells.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        if cell.contains([',', '"', '\n', '\r']) {
            out.push('"');
            out.push_str(&cell.replace('"', "\"\""));
            out.push('"');
        } else {
            out.push_str(cell);
        }
    }
    out.push('\n');
}

/// Read a whole text file.
pub(crate) fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|e| Error::io(path, e))
}

/// Write a whole text file: to a temporary neighbour first, then renamed, so that nothing half-written is seen.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(format!(".partial-{}", std::process::id()));
    let partial = std::path::PathBuf::from(partial);
    std::fs::write(&partial, text).and_then(|()| std::fs::rename(&partial, path)).map_err(|e| {
        let _ = std::fs::remove_file(&partial); // the write failed; what is left of it must not stay
        Error::io(path, e)
    })
}

#[cfg(test)]
mod tests {
    use super::{Table, push_record, records};
    use std::path::Path;

    fn cells(text: &str) -> Vec<Vec<String>> {
        records(Path::new("t.csv"), text).unwrap().into_iter().map(|(_, r)| r).collect()
    }

    #[test]
    fn quotes_bom_and_crlf_are_read() {
        assert_eq!(
            cells("\u{feff}a,b\r\n\"x,\"\"y\"\"\",\r\n\n1,2"),
            [["a", "b"], ["x,\"y\"", ""], ["1", "2"]]
        );
        assert!(records(Path::new("t.csv"), "a\n\"b").is_err());
    }

    #[test]
    fn a_file_without_names_of_columns_is_called_that() {
        let path = Path::new("t.csv");
        for text in ["dev,a,b,0,0,0.5\ndev,a,c,0,1,0.7\n", "dev,a,b,3,1,0.5\n"] {
            let error = Table::parse(path, text).and_then(|t| t.column("set")).unwrap_err().to_string();
            assert!(error.contains("t.csv:1: the first line does not name the columns"), "{error}");
        }
        let twice = Table::parse(path, "a,b,a\n").err().unwrap().to_string();
        assert!(twice.contains("column \"a\" appears twice"), "{twice}");
        let empty = Table::parse(path, "").err().unwrap().to_string();
        assert!(empty.contains("t.csv is empty\nhint: the first line names the columns"), "{empty}");
    }

    #[test]
    fn what_is_written_reads_back() {
        let row = ["plain", "with,comma", "with \"quote\"", "two\nlines", "ünï"];
        let mut text = String::new();
        push_record(&mut text, row);
        assert_eq!(cells(&text), [row]);
    }
}
