//! Questions every writer asks of a table, and the rules it must keep.
//!
//! Headings, spans, reasons and footnote marks are answered here once, so that six writers give the same answer.

use super::{Cell, Direction, Row, RowKind, Table};
use crate::Error;

impl Table {
    /// The same table with the columns under the upper heading `group` moved to the left; per cent before whatever else,
    /// each part in its order. A table whose groups stand for folds or trainings keeps its order.
    #[must_use]
    pub fn with_first(&self, group: &str) -> Self {
        let levels: Vec<(&str, usize, usize)> = self.spans();
        let same_sets = |a: &(&str, usize, usize), b: &(&str, usize, usize)| {
            let names = |s: &(&str, usize, usize)| {
                self.columns[s.1..s.2].iter().map(|c| c.name.clone()).collect::<Vec<_>>()
            };
            names(a) == names(b)
        };
        let mut out = self.clone();
        let levels_of_one_thing = levels.len() == 2 && same_sets(&levels[0], &levels[1]);
        if levels_of_one_thing && levels[1].0 == group {
            let by = levels[1].1;
            out.columns.rotate_left(by);
            out.groups.iter_mut().flat_map(|g| &mut g.rows).for_each(|row| row.cells.rotate_left(by));
        }
        out
    }

    /// All rows with the index of their group.
    pub fn rows(&self) -> impl Iterator<Item = (usize, &Row)> {
        self.groups.iter().enumerate().flat_map(|(g, group)| group.rows.iter().map(move |row| (g, row)))
    }

    /// Checks the rules no writer may bend; every writer calls it first.
    ///
    /// # Errors
    /// A row of another width, a number that is not finite, or an oracle-selected run in a ranked group.
    pub fn check(&self) -> Result<(), Error> {
        for (g, row) in self.rows() {
            let name = || row.labels.join(" · ");
            let shape = |what, expected, got| Error::Shape {
                table: self.id.clone(),
                row: name(),
                what,
                expected,
                got,
            };
            if row.labels.len() != self.stub.len() {
                return Err(shape("labels", self.stub.len(), row.labels.len()));
            }
            if row.cells.len() != self.columns.len() {
                return Err(shape("cells", self.columns.len(), row.cells.len()));
            }
            if let Some(&note) = row.notes.iter().find(|&&n| n >= self.notes.len()) {
                return Err(shape("footnotes", self.notes.len(), note));
            }
            if row.kind == RowKind::Oracle && self.groups[g].ranked {
                return Err(Error::OracleInMain { table: self.id.clone(), row: name() });
            }
            for (cell, column) in row.cells.iter().zip(&self.columns) {
                if let Cell::Value(v) = cell {
                    for value in [Some(v.mean), v.std, v.interval.map(|i| i.low), v.interval.map(|i| i.high)]
                    {
                        if let Some(value) = value.filter(|x| !x.is_finite()) {
                            let (table, column) = (self.id.clone(), column.key());
                            return Err(Error::NotFinite { table, row: name(), column, value });
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// The title line without markup: `Title · dfd-cross@1 3f2a9c01`. Writers append the synthetic mark.
    pub fn headline(&self) -> String {
        match &self.stamp {
            Some(stamp) => format!("{} · {}", self.title, stamp.short()),
            None => self.title.clone(),
        }
    }

    /// Runs of neighbouring columns with the same upper heading: `(heading, first, past the last)`.
    pub fn spans(&self) -> Vec<(&str, usize, usize)> {
        let mut spans: Vec<(&str, usize, usize)> = Vec::new();
        for (i, column) in self.columns.iter().enumerate() {
            match spans.last_mut() {
                Some((name, _, end)) if *name == column.group => *end = i + 1,
                _ => spans.push((&column.group, i, i + 1)),
            }
        }
        spans
    }

    /// Upper heading of columns `from..to`, with the arrow if all of them have the same direction.
    pub fn span_heading(&self, from: usize, to: usize) -> String {
        let group = &self.columns[from].group;
        match self.common_arrow(from, to) {
            Some(arrow) => format!("{group} {arrow}"),
            None => group.clone(),
        }
    }

    /// Headings of all columns; the arrow is left out where the upper heading has it.
    pub fn headings(&self) -> Vec<String> {
        let mut headings = Vec::with_capacity(self.columns.len());
        for (group, from, to) in self.spans() {
            let lifted = !group.is_empty() && self.common_arrow(from, to).is_some();
            headings.extend(
                self.columns[from..to].iter().map(|c| if lifted { c.name.clone() } else { c.heading() }),
            );
        }
        headings
    }

    fn common_arrow(&self, from: usize, to: usize) -> Option<&'static str> {
        let first = self.columns[from].direction;
        let common =
            first != Direction::Neither && self.columns[from..to].iter().all(|c| c.direction == first);
        common.then(|| first.arrow())
    }

    /// Whether any column has an upper heading.
    pub fn two_levels(&self) -> bool {
        self.columns.iter().any(|c| !c.group.is_empty())
    }

    /// Distinct reasons of missing cells, in order of appearance.
    pub fn reasons(&self) -> Vec<&str> {
        let mut reasons: Vec<&str> = Vec::new();
        for (_, row) in self.rows() {
            for cell in &row.cells {
                if let Cell::Missing(reason) = cell
                    && !reasons.contains(&reason.as_str())
                {
                    reasons.push(reason);
                }
            }
        }
        reasons
    }

    /// Whether any row was copied from a publication.
    pub fn has_cited(&self) -> bool {
        self.rows().any(|(_, row)| row.kind == RowKind::Cited)
    }

    /// Whether any cell is marked as not different from the best.
    pub fn has_equal(&self) -> bool {
        let equal = |cell: &Cell| matches!(cell, Cell::Value(v) if v.equal_to_best);
        self.rows().any(|(_, row)| row.cells.iter().any(equal))
    }

    /// Whether any cell has an interval.
    pub fn has_interval(&self) -> bool {
        let has = |cell: &Cell| matches!(cell, Cell::Value(v) if v.interval.is_some());
        self.rows().any(|(_, row)| row.cells.iter().any(has))
    }
}

/// `a`, `b`, … `z`, `aa`, …: the mark of footnote `index`.
pub fn note_mark(index: usize) -> String {
    let letter = char::from(b'a' + u8::try_from(index % 26).expect("a remainder of 26 fits a byte"));
    if index < 26 { letter.to_string() } else { format!("{}{letter}", note_mark(index / 26 - 1)) }
}
