//! Score histograms, one panel per test set: real above, fake below the base line, thresholds as vertical lines.
//!
//! Mirrored bars keep both classes visible where they overlap, without relying on colour. Heights are shares of the
//! class, so unequal class sizes do not hide the smaller one.

use super::axes::{self, SMALL};
use super::canvas::{Anchor, DrawResult, Pen, Weight};
use super::palette::{FAINT, FAKE, INK, REAL};
use super::{FULL, Plot};
use crate::{Error, write::csv_line};
use plotters::coord::Shift;
use plotters::prelude::{DrawingArea, DrawingBackend};
use plotters::style::Color;

/// Bins over [0, 1].
const BINS: usize = 40;
/// Panels side by side.
const ACROSS: usize = 3;

/// A named decision threshold.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    /// E.g. `dev EER`.
    pub name: String,
    /// Score at or above which a sample is called fake.
    pub at: f64,
}

/// One panel.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// Test set.
    pub name: String,
    /// Counts of real and of fake samples per bin.
    pub counts: [[usize; BINS]; 2],
    /// Thresholds to mark.
    pub thresholds: Vec<Threshold>,
}

/// A figure of score histograms.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// File-name-safe name.
    pub id: String,
    /// Heading.
    pub title: String,
    /// One panel per test set.
    pub panels: Vec<Panel>,
}

impl Histogram {
    /// An empty figure.
    pub fn new(id: &str, title: &str) -> Self {
        Histogram { id: id.into(), title: title.into(), panels: Vec::new() }
    }

    /// Adds a panel from scores in [0, 1] with their labels (true = fake).
    pub fn add(&mut self, name: &str, scores: impl Iterator<Item = (f64, bool)>, thresholds: Vec<Threshold>) {
        let mut counts = [[0; BINS]; 2];
        for (score, fake) in scores {
            let bin = ((score.clamp(0.0, 1.0) * BINS as f64) as usize).min(BINS - 1);
            counts[usize::from(fake)][bin] += 1;
        }
        self.panels.push(Panel { name: name.into(), counts, thresholds });
    }

    fn rows(&self) -> usize {
        self.panels.len().div_ceil(ACROSS)
    }

    /// Distinct names of thresholds, in order of appearance.
    fn threshold_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for threshold in self.panels.iter().flat_map(|p| &p.thresholds) {
            if !names.contains(&threshold.name.as_str()) {
                names.push(&threshold.name);
            }
        }
        names
    }
}

/// Dash pattern of the `i`-th kind of threshold.
fn dash(i: usize) -> &'static [f64] {
    [&[][..], &[3.0, 2.0], &[1.0, 2.0]][i % 3]
}

const TOP: f64 = 56.0;
const PANEL: f64 = 150.0;

impl Plot for Histogram {
    fn id(&self) -> &str {
        &self.id
    }

    fn title(&self) -> &str {
        &self.title
    }

    fn description(&self) -> String {
        let names: Vec<&str> = self.panels.iter().map(|p| p.name.as_str()).collect();
        format!(
            "Histograms of P(fake), real upwards and fake downwards, as shares of the class, for {}.",
            names.join(", ")
        )
    }

    fn csv(&self) -> String {
        let mut out = csv_line(&["set", "from", "to", "real", "fake"]);
        for panel in &self.panels {
            for bin in 0..BINS {
                let edge = |i: usize| (i as f64 / BINS as f64).to_string();
                let count = |c: usize| panel.counts[c][bin].to_string();
                out.push_str(&csv_line(&[panel.name.clone(), edge(bin), edge(bin + 1), count(0), count(1)]));
            }
        }
        out
    }

    fn size(&self) -> (u32, u32) {
        (FULL, (TOP + PANEL * self.rows() as f64) as u32)
    }

    fn check(&self) -> Result<(), Error> {
        let message = if self.panels.is_empty() { "no panels" } else { return Ok(()) };
        Err(Error::Figure { figure: self.id.clone(), message: message.into() })
    }

    fn draw<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>, pen: &Pen) -> DrawResult<DB> {
        axes::title(area, pen, &self.title, f64::from(FULL))?;
        let mut x = 12.0;
        for (name, colour) in [("real (up)", REAL), ("fake (down)", FAKE)] {
            pen.rect(area, (x, 33.0), (x + 10.0, 43.0), colour.to_rgba())?;
            pen.text(area, name, (x + 15.0, 42.0), SMALL, (Anchor::Left, Weight::Normal, INK))?;
            x += 90.0;
        }
        let names = self.threshold_names();
        for (i, name) in names.iter().enumerate() {
            pen.line(area, &[(x + 5.0, 32.0), (x + 5.0, 44.0)], (INK, 1.1, dash(i)))?;
            pen.text(area, name, (x + 13.0, 42.0), SMALL, (Anchor::Left, Weight::Normal, INK))?;
            x += 32.0 + pen.width(name, SMALL, Weight::Normal);
        }
        let width = (f64::from(FULL) - 24.0) / ACROSS as f64;
        for (i, panel) in self.panels.iter().enumerate() {
            let left = 12.0 + width * (i % ACROSS) as f64;
            let top = TOP + PANEL * (i / ACROSS) as f64;
            draw_panel(area, pen, panel, &names, (left, top, left + width - 16.0))?;
        }
        Ok(())
    }
}

fn draw_panel<DB: DrawingBackend>(
    area: &DrawingArea<DB, Shift>,
    pen: &Pen,
    panel: &Panel,
    names: &[&str],
    (left, top, right): (f64, f64, f64),
) -> DrawResult<DB> {
    let name = pen.fit(&panel.name, SMALL, Weight::Bold, right - left);
    pen.text(area, &name, (left, top + 12.0), SMALL, (Anchor::Left, Weight::Bold, INK))?;
    let (upper, lower) = (top + 24.0, top + PANEL - 28.0);
    let middle = (upper + lower) / 2.0;
    let share = |class: usize, bin: usize| {
        let total: usize = panel.counts[class].iter().sum();
        panel.counts[class][bin] as f64 / total.max(1) as f64
    };
    let peak = (0..BINS).flat_map(|b| [share(0, b), share(1, b)]).fold(1e-9, f64::max);
    let step = (right - left) / BINS as f64;
    for (class, colour) in [(0, REAL), (1, FAKE)] {
        for bin in 0..BINS {
            let height = share(class, bin) / peak * (middle - upper);
            if height > 0.0 {
                let x = left + step * bin as f64;
                let to = if class == 0 { middle - height } else { middle + height };
                pen.rect(
                    area,
                    (x + 0.15 * step, middle.min(to)),
                    (x + 0.95 * step, middle.max(to)),
                    colour.to_rgba(),
                )?;
            }
        }
    }
    pen.line(area, &[(left, middle), (right, middle)], (INK, 0.8, &[]))?;
    for threshold in &panel.thresholds {
        let x = left + threshold.at.clamp(0.0, 1.0) * (right - left);
        let look = dash(names.iter().position(|n| *n == threshold.name).unwrap_or(0));
        pen.line(area, &[(x, upper - 4.0), (x, lower + 2.0)], (INK, 1.1, look))?;
    }
    for (v, anchor) in [(0.0, Anchor::Left), (0.5, Anchor::Middle), (1.0, Anchor::Right)] {
        let x = left + v * (right - left);
        pen.text(area, &axes::plain(v, 1), (x, lower + 14.0), 10.0, (anchor, Weight::Normal, FAINT))?;
    }
    Ok(())
}
