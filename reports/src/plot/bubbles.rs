//! What a model costs against what it reaches: parameters on a logarithmic axis, quality above them.
//!
//! One marker per row, its area by the parameters that were trained, names beside the plot. The line joins rows of one
//! family from small to large.

use super::axes::{self, Axes, Scale};
use super::canvas::{Anchor, DrawResult, Pen, Weight};
use super::palette::{FAINT, look};
use super::{FULL, Plot, legend};
use crate::{Error, write::csv_line};
use plotters::coord::Shift;
use plotters::prelude::{DrawingArea, DrawingBackend};

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub struct Bubble {
    /// Row name.
    pub name: String,
    /// Rows of the same family are joined.
    pub family: String,
    /// Parameters, all of them.
    pub total: f64,
    /// Parameters that were trained.
    pub trained: f64,
    /// Quality, as the axis says.
    pub value: f64,
}

/// A figure of cost against quality.
#[derive(Clone, Debug, PartialEq)]
pub struct Bubbles {
    /// File-name-safe name.
    pub id: String,
    /// Heading.
    pub title: String,
    /// Label of the y axis.
    pub y: String,
    /// Whether lower is better; the axis is then turned over, so that up is better in every figure.
    pub lower_is_better: bool,
    /// The rows.
    pub rows: Vec<Bubble>,
}

impl Plot for Bubbles {
    fn id(&self) -> &str {
        &self.id
    }

    fn title(&self) -> &str {
        &self.title
    }

    fn description(&self) -> String {
        let rows: Vec<String> =
            self.rows.iter().map(|r| format!("{}: {} parameters, {:.2}", r.name, r.total, r.value)).collect();
        format!("{} over the number of parameters. {}.", self.y, rows.join("; "))
    }

    fn csv(&self) -> String {
        let mut out = csv_line(&["name", "family", "parameters", "trained", "value"]);
        for r in &self.rows {
            let numbers = [r.total, r.trained, r.value].map(|v| v.to_string());
            out.push_str(&csv_line(&[&r.name, &r.family, &numbers[0], &numbers[1], &numbers[2]]));
        }
        out
    }

    fn size(&self) -> (u32, u32) {
        let entries = u32::try_from(self.rows.len()).unwrap_or(u32::MAX).min(60);
        (FULL, 320.max(70 + entries * legend::LINE as u32))
    }

    fn check(&self) -> Result<(), Error> {
        let fail = |message: &str| Err(Error::Figure { figure: self.id.clone(), message: message.into() });
        if self.rows.is_empty() {
            return fail("no rows");
        }
        if self.rows.iter().any(|r| !(r.total > 0.0 && r.total.is_finite() && r.value.is_finite())) {
            return fail("a row has no parameters or a value that is not finite");
        }
        Ok(())
    }

    fn draw<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>, pen: &Pen) -> DrawResult<DB> {
        axes::title(area, pen, &self.title, f64::from(FULL))?;
        let sizes = self.rows.iter().map(|r| r.total / 1e6);
        let (low, high) = sizes.fold((f64::INFINITY, 0.0_f64), |(l, h), v| (l.min(v), h.max(v)));
        let x = Scale::log(low * 0.6, high * 1.7, "Parameters (million, logarithmic)");
        let sign = if self.lower_is_better { -1.0 } else { 1.0 };
        let arrow = if self.lower_is_better { "↓" } else { "↑" };
        let y = Scale::around(self.rows.iter().map(|r| sign * r.value), &format!("{} {arrow}", self.y));
        let axes = Axes { left: 64.0, top: 38.0, right: 400.0, bottom: 276.0, x, y };
        axes.draw(area, pen, (false, !self.lower_is_better))?;
        let faint = (Anchor::Middle, Weight::Normal, FAINT);
        let mut marks: Vec<f64> = Vec::new();
        for power in -6..7 {
            marks.extend([1.0, 2.0, 5.0].map(|m| m * 10_f64.powi(power)));
        }
        let shown: Vec<f64> = marks.into_iter().filter(|v| (axes.x.min..=axes.x.max).contains(v)).collect();
        let step = shown.len().div_ceil(7).max(1);
        for v in shown.into_iter().step_by(step) {
            let (x, _) = axes.at(v, axes.y.min);
            pen.text(area, &axes::plain(v, 6), (x, axes.bottom + 15.0), axes::SMALL, faint)?;
        }
        if self.lower_is_better {
            for (v, text) in axes.y.ticks(6) {
                let (_, y) = axes.at(axes.x.min, v);
                let text = text.trim_start_matches('−').to_owned();
                let right = (Anchor::Right, Weight::Normal, FAINT);
                pen.text(area, &text, (axes.left - 6.0, y + 4.0), axes::SMALL, right)?;
            }
        }
        let place = |r: &Bubble| axes.at(r.total / 1e6, sign * r.value);
        let mut families: Vec<&str> = self.rows.iter().map(|r| r.family.as_str()).collect();
        families.sort_unstable();
        families.dedup();
        for family in families {
            let mut rows: Vec<&Bubble> = self.rows.iter().filter(|r| r.family == family).collect();
            rows.sort_by(|a, b| a.total.total_cmp(&b.total));
            pen.line(area, &rows.into_iter().map(place).collect::<Vec<_>>(), (FAINT, 0.9, &[2.0, 2.5]))?;
        }
        let most = self.rows.iter().map(|r| r.trained).fold(1.0, f64::max);
        for (i, r) in self.rows.iter().enumerate() {
            let look = look(i);
            pen.marker(area, look.marker, place(r), 3.0 + 7.0 * (r.trained / most).sqrt(), look.colour)?;
        }
        let entries: Vec<(String, String)> =
            self.rows.iter().map(|r| (r.name.clone(), format!("{:.2}", r.value))).collect();
        legend::draw(area, pen, &entries, (416.0, 48.0, f64::from(FULL) - 416.0 - 12.0))
    }
}
