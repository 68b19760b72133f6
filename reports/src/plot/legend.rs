//! The list of series beside a plot: sample of the line with its marker, name, value.
//!
//! It has its own strip at the right of the figure, so it can never cover data; long names take two lines, or are cut with an
//! ellipsis where these do not fit, and stand in full in the CSV.

use super::axes::SMALL;
use super::canvas::{Anchor, DrawResult, Pen, Weight};
use super::palette::{FAINT, INK, look};
use plotters::coord::Shift;
use plotters::prelude::{DrawingArea, DrawingBackend};

/// Height of one entry.
pub(super) const LINE: f64 = 18.0;

/// Height that a second line of a name adds.
const MORE: f64 = 14.0;

/// Draws entries `(name, value)` downwards from `(left, top)`, at most `width` wide.
pub(super) fn draw<DB: DrawingBackend>(
    area: &DrawingArea<DB, Shift>,
    pen: &Pen,
    entries: &[(String, String)],
    (left, top, width): (f64, f64, f64),
) -> DrawResult<DB> {
    let value_width = |value: &str| match value {
        "" => 0.0,
        text => pen.width(text, SMALL, Weight::Normal) + 8.0,
    };
    let room = |value: &str| width - 34.0 - value_width(value);
    let wrapped: Vec<(String, Option<String>)> = entries
        .iter()
        .map(|(name, value)| pen.wrap(name, SMALL, Weight::Normal, (room(value), width - 34.0)))
        .collect();
    let height: f64 = wrapped.iter().map(|(_, more)| if more.is_some() { LINE + MORE } else { LINE }).sum();
    // on two lines where the figure has the room, else cut
    let lines: Vec<(String, Option<String>)> = if top + height <= pen.css(area.dim_in_pixel().1) {
        wrapped
    } else {
        let narrowest = entries.iter().map(|(_, value)| room(value)).fold(f64::INFINITY, f64::min);
        let names: Vec<&str> = entries.iter().map(|(name, _)| name.as_str()).collect();
        pen.fit_all(&names, SMALL, Weight::Normal, narrowest).into_iter().map(|name| (name, None)).collect()
    };
    let mut y = top;
    for (i, ((_, value), (name, more))) in entries.iter().zip(&lines).enumerate() {
        let look = look(i);
        pen.line(area, &[(left, y), (left + 26.0, y)], (look.colour, 1.8, look.dash))?;
        pen.marker(area, look.marker, (left + 13.0, y), 3.4, look.colour)?;
        pen.text(area, name, (left + 34.0, y + 4.0), SMALL, (Anchor::Left, Weight::Normal, INK))?;
        if !value.is_empty() {
            pen.text(area, value, (left + width, y + 4.0), SMALL, (Anchor::Right, Weight::Normal, FAINT))?;
        }
        if let Some(more) = more {
            y += MORE;
            pen.text(area, more, (left + 34.0, y + 4.0), SMALL, (Anchor::Left, Weight::Normal, INK))?;
        }
        y += LINE;
    }
    Ok(())
}
