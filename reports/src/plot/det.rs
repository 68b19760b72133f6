//! DET curves: both error rates on normal-deviate axes, where a Gaussian model is a straight line.
//!
//! Martin et al., "The DET curve in assessment of detection task performance" (1997). x: bona fide called attack (BPCER,
//! false positives); y: attack called bona fide (APCER, misses); lower left is better. Rates are drawn within
//! [0.1 %, 60 %]; a curve leaves the figure where it has too few videos for smaller rates.

use super::axes::{self, Axes, Scale};
use super::canvas::{Anchor, DrawResult, Pen, Weight};
use super::palette::{FAINT, GRID, INK, look};
use super::{FULL, Plot, RocCurve, legend};
use crate::{Error, table::fixed, write::csv_line};
use facebench_protocols::stats::normal;
use plotters::coord::Shift;
use plotters::prelude::{DrawingArea, DrawingBackend};

/// A figure of DET curves.
#[derive(Clone, Debug, PartialEq)]
pub struct Det {
    /// File-name-safe name.
    pub id: String,
    /// Heading.
    pub title: String,
    /// The curves; `points` are `(FPR, TPR)`.
    pub curves: Vec<RocCurve>,
}

const LOW: f64 = 1e-3;
const HIGH: f64 = 0.6;
/// Rates with a grid line and a label.
const TICKS: [(f64, &str); 8] = [
    (0.001, "0.1"),
    (0.002, "0.2"),
    (0.005, "0.5"),
    (0.01, "1"),
    (0.05, "5"),
    (0.1, "10"),
    (0.2, "20"),
    (0.4, "40"),
];

impl Det {
    fn lines(&self) -> Vec<Vec<(f64, f64)>> {
        let inside = |(x, y): &(f64, f64)| (LOW..=HIGH).contains(x) && (LOW..=HIGH).contains(y);
        let errors = |c: &RocCurve| c.points.iter().map(|(f, t)| (*f, 1.0 - t)).filter(inside).collect();
        self.curves.iter().map(errors).collect()
    }
}

impl Plot for Det {
    fn id(&self) -> &str {
        &self.id
    }

    fn title(&self) -> &str {
        &self.title
    }

    fn description(&self) -> String {
        let names: Vec<String> =
            self.curves.iter().map(|c| format!("{} AUC {} %", c.name, fixed(c.auc, 2, 1))).collect();
        format!("DET curves on normal-deviate axes, both error rates from 0.1 to 60 %. {}.", names.join("; "))
    }

    fn csv(&self) -> String {
        let mut out = csv_line(&["series", "false_positive_rate", "miss_rate"]);
        for curve in &self.curves {
            for (f, t) in &curve.points {
                out.push_str(&csv_line(&[&curve.name, &f.to_string(), &(1.0 - t).to_string()]));
            }
        }
        out
    }

    fn size(&self) -> (u32, u32) {
        let entries = u32::try_from(self.curves.len()).unwrap_or(u32::MAX).min(60);
        (FULL, 386.max(70 + entries * legend::LINE as u32))
    }

    fn check(&self) -> Result<(), Error> {
        if self.lines().iter().all(Vec::is_empty) {
            let message = "no curve has both error rates between 0.1 and 60 %".into();
            return Err(Error::Figure { figure: self.id.clone(), message });
        }
        Ok(())
    }

    fn draw<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>, pen: &Pen) -> DrawResult<DB> {
        axes::title(area, pen, &self.title, f64::from(FULL))?;
        let scale = |label: &str| Scale::linear(normal::quantile(LOW), normal::quantile(HIGH), label);
        let x = scale("False positive rate (%), real called fake");
        let y = scale("Miss rate (%), fake called real");
        let axes = Axes { left: 58.0, top: 38.0, right: 362.0, bottom: 342.0, x, y };
        let at = |f: f64, m: f64| axes.at(normal::quantile(f), normal::quantile(m));
        for (rate, text) in TICKS {
            let (x, y) = at(rate, rate);
            pen.line(area, &[(x, axes.top), (x, axes.bottom)], (GRID, 0.7, &[]))?;
            pen.line(area, &[(axes.left, y), (axes.right, y)], (GRID, 0.7, &[]))?;
            pen.text(
                area,
                text,
                (x, axes.bottom + 15.0),
                axes::SMALL,
                (Anchor::Middle, Weight::Normal, FAINT),
            )?;
            pen.text(
                area,
                text,
                (axes.left - 6.0, y + 4.0),
                axes::SMALL,
                (Anchor::Right, Weight::Normal, FAINT),
            )?;
        }
        axes.draw(area, pen, (false, false))?;
        pen.line(area, &[at(LOW, LOW), at(HIGH, HIGH)], (FAINT, 0.8, &[3.0, 3.0]))?;
        pen.text(
            area,
            "EER",
            (at(0.35, 0.35).0 + 4.0, at(0.35, 0.35).1 + 12.0),
            axes::SMALL,
            (Anchor::Left, Weight::Normal, INK),
        )?;
        for (i, line) in self.lines().iter().enumerate() {
            let look = look(i);
            let points: Vec<(f64, f64)> = line.iter().map(|(f, m)| at(*f, *m)).collect();
            pen.line(area, &points, (look.colour, 1.8, look.dash))?;
            let step = points.len().div_ceil(5).max(1);
            for p in points.iter().skip(i % 3).step_by(step) {
                pen.marker(area, look.marker, *p, 3.0, look.colour)?;
            }
        }
        let entries: Vec<(String, String)> =
            self.curves.iter().map(|c| (c.name.clone(), format!("AUC {} %", fixed(c.auc, 2, 1)))).collect();
        legend::draw(area, pen, &entries, (384.0, 48.0, f64::from(FULL) - 384.0 - 12.0))
    }
}
