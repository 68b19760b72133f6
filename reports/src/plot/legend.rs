//! The list of series beside a plot: sample of the line with its marker, name, value.
//!
//! It has its own strip at the right of the figure, so it can never cover data; long names are cut with an ellipsis
//! and stand in full in the CSV.

use super::axes::SMALL;
use super::canvas::{Anchor, DrawResult, Pen, Weight};
use super::palette::{FAINT, INK, look};
use plotters::coord::Shift;
use plotters::prelude::{DrawingArea, DrawingBackend};

/// Height of one entry.
pub(super) const LINE: f64 = 18.0;

/// Draws entries `(name, value)` downwards from `(left, top)`, at most `width` wide.
pub(super) fn draw<DB: DrawingBackend>(
    area: &DrawingArea<DB, Shift>,
    pen: &Pen,
    entries: &[(String, String)],
    (left, top, width): (f64, f64, f64),
) -> DrawResult<DB> {
    for (i, (name, value)) in entries.iter().enumerate() {
        let y = top + LINE * i as f64;
        let look = look(i);
        pen.line(area, &[(left, y), (left + 26.0, y)], (look.colour, 1.8, look.dash))?;
        pen.marker(area, look.marker, (left + 13.0, y), 3.4, look.colour)?;
        let value_width = pen.width(value, SMALL, Weight::Normal);
        let gap = if value.is_empty() { 0.0 } else { 8.0 };
        let name = pen.fit(name, SMALL, Weight::Normal, width - 34.0 - value_width - gap);
        pen.text(area, &name, (left + 34.0, y + 4.0), SMALL, (Anchor::Left, Weight::Normal, INK))?;
        if !value.is_empty() {
            pen.text(area, value, (left + width, y + 4.0), SMALL, (Anchor::Right, Weight::Normal, FAINT))?;
        }
    }
    Ok(())
}
