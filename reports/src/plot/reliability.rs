//! Reliability diagrams: how often what is called p % fake is fake.
//!
//! Equal-width bins of P(fake) as for the expected calibration error (Guo et al. 2017); a marker per non-empty bin, its
//! area by the share of samples in it. On the diagonal a score means what it says.

use super::axes::{self, Axes, Scale};
use super::canvas::{DrawResult, Pen};
use super::palette::{FAINT, look};
use super::{FULL, Plot, Scored, legend};
use crate::{Error, table::fixed, write::csv_line};
use plotters::coord::Shift;
use plotters::prelude::{DrawingArea, DrawingBackend};

/// One bin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bin {
    /// Mean score in it.
    pub score: f64,
    /// Share of fakes in it.
    pub fake: f64,
    /// Number of samples in it.
    pub n: usize,
}

/// One series.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// Series name.
    pub name: String,
    /// Non-empty bins in rising score.
    pub bins: Vec<Bin>,
    /// Expected calibration error, a fraction.
    pub ece: f64,
}

/// A reliability diagram.
#[derive(Clone, Debug, PartialEq)]
pub struct Reliability {
    /// File-name-safe name.
    pub id: String,
    /// Heading.
    pub title: String,
    /// The series.
    pub series: Vec<Calibration>,
}

impl Calibration {
    /// Bins of `samples`; scores are P(fake) in [0, 1].
    pub fn of(name: &str, samples: &[Scored], bins: usize) -> Self {
        let mut sums = vec![(0.0, 0.0, 0_usize); bins];
        for s in samples {
            let at = ((s.score * bins as f64) as usize).min(bins - 1);
            let slot = &mut sums[at];
            *slot = (slot.0 + s.score, slot.1 + f64::from(u8::from(s.fake)), slot.2 + 1);
        }
        let of =
            |(score, fake, n): (f64, f64, usize)| Bin { score: score / n as f64, fake: fake / n as f64, n };
        let bins: Vec<Bin> = sums.into_iter().filter(|s| s.2 > 0).map(of).collect();
        let total = samples.len().max(1) as f64;
        let ece = bins.iter().map(|b| b.n as f64 / total * (b.score - b.fake).abs()).sum();
        Calibration { name: name.into(), bins, ece }
    }
}

impl Plot for Reliability {
    fn id(&self) -> &str {
        &self.id
    }

    fn title(&self) -> &str {
        &self.title
    }

    fn description(&self) -> String {
        let list: Vec<String> =
            self.series.iter().map(|s| format!("{} video ECE {} %", s.name, fixed(s.ece, 2, 1))).collect();
        format!("Share of fakes over the predicted probability of fake. {}.", list.join("; "))
    }

    fn csv(&self) -> String {
        let mut out = csv_line(&["series", "mean_score", "share_fake", "n"]);
        for s in &self.series {
            for b in &s.bins {
                out.push_str(&csv_line(&[
                    &s.name,
                    &b.score.to_string(),
                    &b.fake.to_string(),
                    &b.n.to_string(),
                ]));
            }
        }
        out
    }

    fn size(&self) -> (u32, u32) {
        let entries = u32::try_from(self.series.len()).unwrap_or(u32::MAX).min(60);
        (FULL, 386.max(70 + entries * legend::LINE as u32))
    }

    fn check(&self) -> Result<(), Error> {
        let bins = self.series.iter().flat_map(|s| &s.bins);
        let fail = |message: &str| Err(Error::Figure { figure: self.id.clone(), message: message.into() });
        if bins.clone().next().is_none() {
            return fail("no samples");
        }
        if bins.clone().any(|b| !(0.0..=1.0).contains(&b.score)) {
            return fail("a score is outside [0, 1]");
        }
        Ok(())
    }

    fn draw<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>, pen: &Pen) -> DrawResult<DB> {
        axes::title(area, pen, &self.title, f64::from(FULL))?;
        let x = Scale::linear(0.0, 1.0, "Predicted P(fake)");
        let y = Scale::linear(0.0, 1.0, "Share of fakes");
        let axes = Axes { left: 58.0, top: 38.0, right: 362.0, bottom: 342.0, x, y };
        axes.draw(area, pen, (true, true))?;
        pen.line(area, &[axes.at(0.0, 0.0), axes.at(1.0, 1.0)], (FAINT, 0.8, &[3.0, 3.0]))?;
        for (i, s) in self.series.iter().enumerate() {
            let look = look(i);
            let total = s.bins.iter().map(|b| b.n).sum::<usize>().max(1) as f64;
            let points: Vec<(f64, f64)> = s.bins.iter().map(|b| axes.at(b.score, b.fake)).collect();
            pen.line(area, &points, (look.colour, 1.4, look.dash))?;
            for (at, b) in points.iter().zip(&s.bins) {
                let r = 2.0 + 7.0 * (b.n as f64 / total).sqrt();
                pen.marker(area, look.marker, *at, r, look.colour)?;
            }
        }
        let entries: Vec<(String, String)> = self
            .series
            .iter()
            .map(|s| (s.name.clone(), format!("video ECE {} %", fixed(s.ece, 2, 1))))
            .collect();
        legend::draw(area, pen, &entries, (384.0, 48.0, f64::from(FULL) - 384.0 - 12.0))
    }
}
