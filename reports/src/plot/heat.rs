//! Heat map with the numbers in its cells: train × test, method × manipulation.
//!
//! The number is always printed, so colour is a help and never the message. Missing cells are blank with a dash.

use super::axes::{self, SMALL};
use super::canvas::{Anchor, DrawResult, Pen, Weight};
use super::palette::{FAINT, GRID, INK, sequential};
use super::{FULL, Plot};
use crate::{Error, table::fixed, write::csv_line};
use plotters::coord::Shift;
use plotters::prelude::{DrawingArea, DrawingBackend};
use plotters::style::{Color, RGBColor};

/// A figure of numbers in a grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Heat {
    /// File-name-safe name.
    pub id: String,
    /// Heading.
    pub title: String,
    /// What the rows are, e.g. `trained on`.
    pub row_axis: String,
    /// What the columns are, e.g. `tested on`.
    pub column_axis: String,
    /// Row names.
    pub rows: Vec<String>,
    /// Column names.
    pub columns: Vec<String>,
    /// Values, row by row; `None` = missing.
    pub values: Vec<Vec<Option<f64>>>,
    /// Values at the light and the dark end of the colours.
    pub range: (f64, f64),
    /// Printed value = stored value · 10^shift.
    pub shift: i32,
    /// Printed decimals.
    pub decimals: usize,
}

const CELL: f64 = 30.0;
const TOP: f64 = 74.0;
/// Where the cells begin, unless names need more and cells can spare it.
const LEFT: f64 = 190.0;

impl Plot for Heat {
    fn id(&self) -> &str {
        &self.id
    }

    fn title(&self) -> &str {
        &self.title
    }

    fn description(&self) -> String {
        format!(
            "Grid of {} rows ({}) by {} columns ({}); numbers are printed in the cells.",
            self.rows.len(),
            self.row_axis,
            self.columns.len(),
            self.column_axis
        )
    }

    fn csv(&self) -> String {
        let mut out = csv_line(&[self.row_axis.as_str(), &self.column_axis, "value"]);
        for (row, values) in self.rows.iter().zip(&self.values) {
            for (column, value) in self.columns.iter().zip(values) {
                out.push_str(&csv_line(&[
                    row.clone(),
                    column.clone(),
                    value.map(|v| v.to_string()).unwrap_or_default(),
                ]));
            }
        }
        out
    }

    fn size(&self) -> (u32, u32) {
        (FULL, (TOP + CELL * self.rows.len() as f64 + 16.0) as u32)
    }

    fn check(&self) -> Result<(), Error> {
        let fail = |message: &str| Err(Error::Figure { figure: self.id.clone(), message: message.into() });
        if self.rows.is_empty() || self.columns.is_empty() {
            return fail("no cells");
        }
        if self.values.len() != self.rows.len() || self.values.iter().any(|r| r.len() != self.columns.len()) {
            return fail("the values do not fill the grid");
        }
        if self.values.iter().flatten().flatten().any(|v| !v.is_finite()) {
            return fail("a value is not finite");
        }
        Ok(())
    }

    fn draw<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>, pen: &Pen) -> DrawResult<DB> {
        axes::title(area, pen, &self.title, f64::from(FULL))?;
        let widest =
            |names: &[String]| names.iter().map(|n| pen.width(n, SMALL, Weight::Normal)).fold(0.0, f64::max);
        let cell = (widest(&self.columns) + 6.0).clamp(48.0, 90.0);
        let spare = f64::from(FULL) - 12.0 - cell * self.columns.len() as f64;
        let left = (widest(&self.rows) + 24.0).min(spare).max(LEFT);
        let width = ((f64::from(FULL) - left - 12.0) / self.columns.len() as f64).min(90.0);
        let faint = |anchor| (anchor, Weight::Normal, FAINT);
        pen.text(area, &self.column_axis, (left, TOP - 28.0), 10.0, faint(Anchor::Left))?;
        pen.text(area, &self.row_axis, (left - 10.0, TOP - 8.0), 10.0, faint(Anchor::Right))?;
        for (c, name) in self.columns.iter().enumerate() {
            let name = pen.fit(name, SMALL, Weight::Normal, width - 4.0);
            let x = left + width * (c as f64 + 0.5);
            pen.text(area, &name, (x, TOP - 8.0), SMALL, (Anchor::Middle, Weight::Normal, INK))?;
        }
        for (r, name) in self.rows.iter().enumerate() {
            let y = TOP + CELL * r as f64;
            let (name, more) = pen.wrap(name, SMALL, Weight::Normal, (left - 22.0, left - 22.0));
            let middle = y + CELL / 2.0 + 4.0;
            let right = (Anchor::Right, Weight::Normal, INK);
            let first = if more.is_some() { middle - 7.0 } else { middle };
            pen.text(area, &name, (left - 10.0, first), SMALL, right)?;
            if let Some(more) = more {
                pen.text(area, &more, (left - 10.0, middle + 6.0), SMALL, right)?;
            }
            for (c, value) in self.values[r].iter().enumerate() {
                let x = left + width * c as f64;
                self.cell(area, pen, *value, (x, y, x + width - 1.5, y + CELL - 1.5))?;
            }
        }
        Ok(())
    }
}

impl Heat {
    fn cell<DB: DrawingBackend>(
        &self,
        area: &DrawingArea<DB, Shift>,
        pen: &Pen,
        value: Option<f64>,
        (x0, y0, x1, y1): (f64, f64, f64, f64),
    ) -> DrawResult<DB> {
        let middle = ((x0 + x1) / 2.0, (y0 + y1) / 2.0 + 4.0);
        let Some(value) = value else {
            pen.line(area, &[(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)], (GRID, 1.0, &[]))?;
            return pen.text(area, "–", middle, SMALL, (Anchor::Middle, Weight::Normal, FAINT));
        };
        let t = (value - self.range.0) / (self.range.1 - self.range.0);
        pen.rect(area, (x0, y0), (x1, y1), sequential(t).to_rgba())?;
        // Not the palette's ink: the text lies on a coloured cell, also on a dark page.
        let ink = if t > 0.55 { RGBColor(255, 255, 255) } else { RGBColor(20, 20, 20) };
        let text = fixed(value, self.shift, self.decimals);
        pen.text(area, &text, middle, SMALL, (Anchor::Middle, Weight::Normal, ink))
    }
}
