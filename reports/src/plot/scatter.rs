//! Points in the plane, such as features laid out by t-SNE: colour by domain, filled for fake, hollow for real.
//!
//! Axes carry no numbers, because an embedding has none; what was done is in the caption line below.

use super::axes;
use super::canvas::{Anchor, DrawResult, Pen, Weight};
use super::palette::{FAINT, GRID, INK, look};
use super::{FULL, Plot};
use crate::{Error, write::csv_line};
use plotters::coord::Shift;
use plotters::prelude::{DrawingArea, DrawingBackend};
use plotters::style::WHITE;

/// One point.
#[derive(Clone, Debug, PartialEq)]
pub struct Dot {
    /// Sample id.
    pub id: String,
    /// Domain: data set, or method.
    pub domain: String,
    /// Whether it is fake.
    pub fake: bool,
    /// Where.
    pub at: (f64, f64),
}

/// A scatter figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Scatter {
    /// File-name-safe name.
    pub id: String,
    /// Heading.
    pub title: String,
    /// What was done to get the positions.
    pub caption: String,
    /// The points.
    pub dots: Vec<Dot>,
}

const BOX: (f64, f64, f64, f64) = (14.0, 38.0, 440.0, 400.0);

impl Scatter {
    fn domains(&self) -> Vec<&str> {
        let mut domains: Vec<&str> = Vec::new();
        for dot in &self.dots {
            if !domains.contains(&dot.domain.as_str()) {
                domains.push(&dot.domain);
            }
        }
        domains
    }
}

impl Plot for Scatter {
    fn id(&self) -> &str {
        &self.id
    }

    fn title(&self) -> &str {
        &self.title
    }

    fn description(&self) -> String {
        let n = |fake: bool| self.dots.iter().filter(|d| d.fake == fake).count();
        let domains = self.domains().join(", ");
        format!("{} real and {} fake samples of {domains}. {}", n(false), n(true), self.caption)
    }

    fn csv(&self) -> String {
        let mut out = csv_line(&["id", "domain", "label", "x", "y"]);
        for d in &self.dots {
            let (x, y) = (d.at.0.to_string(), d.at.1.to_string());
            out.push_str(&csv_line(&[&*d.id, &d.domain, if d.fake { "fake" } else { "real" }, &x, &y]));
        }
        out
    }

    fn size(&self) -> (u32, u32) {
        (FULL, 432)
    }

    fn check(&self) -> Result<(), Error> {
        let fail = |message: &str| Err(Error::Figure { figure: self.id.clone(), message: message.into() });
        if self.dots.is_empty() {
            return fail("no points");
        }
        if self.dots.iter().any(|d| !d.at.0.is_finite() || !d.at.1.is_finite()) {
            return fail("a point is not finite");
        }
        Ok(())
    }

    fn draw<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>, pen: &Pen) -> DrawResult<DB> {
        axes::title(area, pen, &self.title, f64::from(FULL))?;
        let (left, top, right, bottom) = BOX;
        let frame = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)];
        pen.line(area, &frame, (GRID, 1.0, &[]))?;
        let range = |f: fn(&Dot) -> f64| {
            let (l, h) = self
                .dots
                .iter()
                .map(f)
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
            (l, (h - l).max(1e-9))
        };
        let ((x0, w), (y0, h)) = (range(|d| d.at.0), range(|d| d.at.1));
        let place = |d: &Dot| {
            let (u, v) = ((d.at.0 - x0) / w, (d.at.1 - y0) / h);
            (left + 10.0 + u * (right - left - 20.0), bottom - 10.0 - v * (bottom - top - 20.0))
        };
        let domains = self.domains();
        let of = |d: &Dot| look(domains.iter().position(|n| *n == d.domain).unwrap_or(0));
        for d in &self.dots {
            let look = of(d);
            pen.marker(area, look.marker, place(d), 2.8, look.colour)?;
            if !d.fake {
                pen.marker(area, look.marker, place(d), 1.6, WHITE)?;
            }
        }
        let normal = (Anchor::Left, Weight::Normal, INK);
        let mut y = top + 12.0;
        for (i, name) in domains.iter().enumerate() {
            let look = look(i);
            pen.marker(area, look.marker, (right + 22.0, y - 4.0), 4.0, look.colour)?;
            let name = pen.fit(name, axes::SMALL, Weight::Normal, 170.0);
            pen.text(area, &name, (right + 34.0, y), axes::SMALL, normal)?;
            y += 18.0;
        }
        for (name, hollow) in [("fake: filled", false), ("real: hollow", true)] {
            let look = look(0);
            pen.marker(area, look.marker, (right + 22.0, y + 4.0), 4.0, FAINT)?;
            if hollow {
                pen.marker(area, look.marker, (right + 22.0, y + 4.0), 2.4, WHITE)?;
            }
            pen.text(area, name, (right + 34.0, y + 8.0), axes::SMALL, normal)?;
            y += 18.0;
        }
        let caption = pen.fit(&self.caption, axes::SMALL, Weight::Normal, f64::from(FULL) - 28.0);
        pen.text(area, &caption, (14.0, 422.0), axes::SMALL, (Anchor::Left, Weight::Normal, FAINT))
    }
}
