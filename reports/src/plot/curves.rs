//! Lines over a common axis: training curves, scaling curves, robustness over severity.
//!
//! One panel, series told apart by colour, dash and marker, names beside the plot.

use super::axes::{self, Axes, Scale};
use super::canvas::{DrawResult, Pen};
use super::palette::look;
use super::{FULL, Plot, legend};
use crate::{Error, write::csv_line};
use plotters::coord::Shift;
use plotters::prelude::{DrawingArea, DrawingBackend};

/// Distance between series with intervals, in CSS pixels.
const APART: f64 = 4.5;

/// One series.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Series name.
    pub name: String,
    /// `(x, y)` in rising x.
    pub points: Vec<(f64, f64)>,
}

/// A figure of lines.
#[derive(Clone, Debug, PartialEq)]
pub struct Curves {
    /// File-name-safe name.
    pub id: String,
    /// Heading.
    pub title: String,
    /// Label of the x axis.
    pub x: String,
    /// Label of the y axis.
    pub y: String,
    /// Logarithmic x axis.
    pub log_x: bool,
    /// The series.
    pub lines: Vec<Line>,
    /// Ends of an interval for each point of each series; empty draws none. Series are then moved apart by a few pixels.
    pub whiskers: Vec<Vec<(f64, f64)>>,
}

impl Curves {
    fn points(&self) -> impl Iterator<Item = &(f64, f64)> + Clone {
        self.lines.iter().flat_map(|l| &l.points)
    }
}

impl Plot for Curves {
    fn id(&self) -> &str {
        &self.id
    }

    fn title(&self) -> &str {
        &self.title
    }

    fn description(&self) -> String {
        let ends =
            self.lines.iter().filter_map(|l| Some(format!("{} ends at {:.4}", l.name, l.points.last()?.1)));
        format!("{} over {}. {}.", self.y, self.x, ends.collect::<Vec<_>>().join("; "))
    }

    fn csv(&self) -> String {
        let ends = !self.whiskers.is_empty();
        let head = ["series", "x", "y", "low", "high"];
        let mut out = csv_line(&head[..if ends { 5 } else { 3 }]);
        for (i, line) in self.lines.iter().enumerate() {
            for (k, (x, y)) in line.points.iter().enumerate() {
                let mut cells = vec![line.name.clone(), x.to_string(), y.to_string()];
                if ends {
                    let (low, high) = self.whiskers[i][k];
                    cells.extend([low.to_string(), high.to_string()]);
                }
                out.push_str(&csv_line(&cells.iter().map(String::as_str).collect::<Vec<_>>()));
            }
        }
        out
    }

    fn size(&self) -> (u32, u32) {
        let entries = u32::try_from(self.lines.len()).unwrap_or(u32::MAX).min(60);
        (FULL, 320.max(70 + entries * legend::LINE as u32))
    }

    fn check(&self) -> Result<(), Error> {
        let fail = |message: &str| Err(Error::Figure { figure: self.id.clone(), message: message.into() });
        if self.points().next().is_none() {
            return fail("no points");
        }
        if self.points().any(|(x, y)| !x.is_finite() || !y.is_finite()) {
            return fail("a point is not finite");
        }
        let lengths = |all: &[Vec<(f64, f64)>]| all.iter().map(Vec::len).collect::<Vec<_>>();
        let points: Vec<usize> = self.lines.iter().map(|l| l.points.len()).collect();
        if !self.whiskers.is_empty() && lengths(&self.whiskers) != points {
            return fail("not one interval for each point");
        }
        if self.whiskers.iter().flatten().any(|(low, high)| !low.is_finite() || !high.is_finite()) {
            return fail("an interval is not finite");
        }
        if self.log_x && self.points().any(|(x, _)| *x <= 0.0) {
            return fail("a logarithmic axis needs positive values");
        }
        Ok(())
    }

    fn draw<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>, pen: &Pen) -> DrawResult<DB> {
        axes::title(area, pen, &self.title, f64::from(FULL))?;
        let xs = self.points().map(|p| p.0);
        let (low, high) = xs.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        let high = if high > low { high } else { low + low.abs().max(1.0) };
        // room for series that are moved apart
        let room = if self.whiskers.is_empty() || self.log_x { 0.0 } else { 0.05 * (high - low) };
        let (low, high) = (low - room, high + room);
        let x = if self.log_x { Scale::log(low, high, &self.x) } else { Scale::linear(low, high, &self.x) };
        let ends = self.whiskers.iter().flatten().flat_map(|w| [w.0, w.1]);
        let y = Scale::around(self.points().map(|p| p.1).chain(ends), &self.y);
        let axes = Axes { left: 64.0, top: 38.0, right: 440.0, bottom: 276.0, x, y };
        axes.draw(area, pen, (true, true))?;
        for (i, line) in self.lines.iter().enumerate() {
            let look = look(i);
            let apart = match self.whiskers.is_empty() {
                true => 0.0,
                false => APART * (i as f64 - (self.lines.len() - 1) as f64 / 2.0),
            };
            let place = |x: f64, y: f64| (axes.at(x, y).0 + apart, axes.at(x, y).1);
            let points: Vec<(f64, f64)> = line.points.iter().map(|p| place(p.0, p.1)).collect();
            for (p, (low, high)) in line.points.iter().zip(self.whiskers.get(i).into_iter().flatten()) {
                let ((x, from), (_, to)) = (place(p.0, *low), place(p.0, *high));
                pen.line(area, &[(x, from), (x, to)], (look.colour, 0.9, &[]))?;
                for y in [from, to] {
                    pen.line(area, &[(x - 2.0, y), (x + 2.0, y)], (look.colour, 0.9, &[]))?;
                }
            }
            pen.line(area, &points, (look.colour, 1.8, look.dash))?;
            let step = points.len().div_ceil(12).max(1);
            for at in points.iter().step_by(step).chain(points.last()) {
                pen.marker(area, look.marker, *at, 3.0, look.colour)?;
            }
        }
        let last = |l: &Line| l.points.last().map(|p| format!("{:.3}", p.1)).unwrap_or_default();
        let entries: Vec<(String, String)> = self.lines.iter().map(|l| (l.name.clone(), last(l))).collect();
        legend::draw(area, pen, &entries, (458.0, 48.0, f64::from(FULL) - 458.0 - 12.0))
    }
}
