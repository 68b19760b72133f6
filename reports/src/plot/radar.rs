//! A radar over test sets: one ray per set, one outline per row.
//!
//! All rays have the same scale, from the stated origin outwards, because rays of their own make any outline round. Three
//! to eight sets; more cannot be told apart, fewer are a bar chart.

use super::axes;
use super::canvas::{Anchor, DrawResult, Pen, Weight};
use super::palette::{FAINT, GRID, INK, look};
use super::{FULL, Line, Plot, legend};
use crate::{Error, write::csv_line};
use plotters::coord::Shift;
use plotters::prelude::{DrawingArea, DrawingBackend};
use plotters::style::Color;
use std::f64::consts::TAU;

/// A radar figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Radar {
    /// File-name-safe name.
    pub id: String,
    /// Heading.
    pub title: String,
    /// What is drawn, e.g. `Video AUC (%)`.
    pub what: String,
    /// Names of the rays, clockwise from the top.
    pub rays: Vec<String>,
    /// Value at the centre.
    pub origin: f64,
    /// Value at the rim.
    pub rim: f64,
    /// One outline per row; `points[i].1` is the value on ray i.
    pub rows: Vec<Line>,
}

/// Where the names of the rows begin.
const LEGEND: f64 = 440.0;
const CENTRE: (f64, f64) = (214.0, 212.0);
const RADIUS: f64 = 138.0;

impl Radar {
    fn place(&self, ray: usize, value: f64) -> (f64, f64) {
        let t = ((value - self.origin) / (self.rim - self.origin)).clamp(0.0, 1.0);
        let angle = TAU * ray as f64 / self.rays.len() as f64;
        (CENTRE.0 + RADIUS * t * angle.sin(), CENTRE.1 - RADIUS * t * angle.cos())
    }

    fn ring(&self, value: f64) -> Vec<(f64, f64)> {
        (0..=self.rays.len()).map(|i| self.place(i % self.rays.len(), value)).collect()
    }
}

impl Plot for Radar {
    fn id(&self) -> &str {
        &self.id
    }

    fn title(&self) -> &str {
        &self.title
    }

    fn description(&self) -> String {
        let row = |r: &Line| {
            let values: Vec<String> =
                self.rays.iter().zip(&r.points).map(|(n, p)| format!("{n} {:.1}", p.1)).collect();
            format!("{}: {}", r.name, values.join(", "))
        };
        let rows: Vec<String> = self.rows.iter().map(row).collect();
        format!(
            "{} from {} in the centre to {} at the rim. {}.",
            self.what,
            self.origin,
            self.rim,
            rows.join("; ")
        )
    }

    fn csv(&self) -> String {
        let mut out = csv_line(&["series", "set", "value"]);
        for row in &self.rows {
            for (ray, p) in self.rays.iter().zip(&row.points) {
                out.push_str(&csv_line(&[&row.name, ray, &p.1.to_string()]));
            }
        }
        out
    }

    fn size(&self) -> (u32, u32) {
        let entries = u32::try_from(self.rows.len()).unwrap_or(u32::MAX).min(60);
        (FULL, 392.max(70 + entries * legend::LINE as u32))
    }

    fn check(&self) -> Result<(), Error> {
        let fail = |message: &str| Err(Error::Figure { figure: self.id.clone(), message: message.into() });
        if !(3..=8).contains(&self.rays.len()) {
            return fail("a radar has three to eight rays");
        }
        if self.rows.is_empty() || self.rows.iter().any(|r| r.points.len() != self.rays.len()) {
            return fail("every row needs one value per ray");
        }
        if self.rim <= self.origin || self.rows.iter().flat_map(|r| &r.points).any(|p| !p.1.is_finite()) {
            return fail("the rim must be above the origin, and every value finite");
        }
        Ok(())
    }

    fn draw<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>, pen: &Pen) -> DrawResult<DB> {
        axes::title(area, pen, &self.title, f64::from(FULL))?;
        for k in 1..=4 {
            let value = self.origin + (self.rim - self.origin) * f64::from(k) / 4.0;
            pen.line(area, &self.ring(value), (GRID, 0.8, &[]))?;
            let (x, y) = self.place(0, value);
            let left = (Anchor::Left, Weight::Normal, FAINT);
            pen.text(area, &axes::plain(value, 1), (x + 4.0, y + 12.0), axes::SMALL, left)?;
        }
        for (i, name) in self.rays.iter().enumerate() {
            pen.line(area, &[CENTRE, self.place(i, self.rim)], (GRID, 0.8, &[]))?;
            let (x, y) = self.place(i, self.rim);
            let (dx, dy) = (x - CENTRE.0, y - CENTRE.1);
            let at = (x + dx * 0.06, y + dy * 0.06 + 4.0 + if dy > 1.0 { 5.0 } else { 0.0 });
            let (anchor, room) = if dx.abs() < 1.0 {
                (Anchor::Middle, 150.0)
            } else if dx > 0.0 {
                (Anchor::Left, LEGEND - 8.0 - at.0)
            } else {
                (Anchor::Right, at.0 - 8.0)
            };
            let name = pen.fit(name, axes::SMALL, Weight::Normal, room);
            pen.text(area, &name, at, axes::SMALL, (anchor, Weight::Normal, INK))?;
        }
        for (i, row) in self.rows.iter().enumerate() {
            let look = look(i);
            let mut points: Vec<(f64, f64)> =
                row.points.iter().enumerate().map(|(ray, p)| self.place(ray, p.1)).collect();
            pen.fill(area, &points, look.colour.mix(0.07))?;
            points.push(points[0]);
            pen.line(area, &points, (look.colour, 1.8, look.dash))?;
            for p in &points[1..] {
                pen.marker(area, look.marker, *p, 3.0, look.colour)?;
            }
        }
        let note = format!("{}, centre = {}", self.what, axes::plain(self.origin, 1));
        pen.text(area, &note, (12.0, 382.0), axes::SMALL, (Anchor::Left, Weight::Normal, FAINT))?;
        let entries: Vec<(String, String)> =
            self.rows.iter().map(|r| (r.name.clone(), String::new())).collect();
        legend::draw(area, pen, &entries, (LEGEND, 48.0, f64::from(FULL) - LEGEND - 12.0))
    }
}
