//! Axes: a plot rectangle, two scales, ticks at round numbers, light grid, labels.
//!
//! Linear and logarithmic scales. Ticks are chosen so that labels cannot touch: as many round steps as the length
//! allows at 11 px text.

use super::canvas::{Anchor, DrawResult, Pen, Weight};
use super::palette::{FAINT, GRID, INK};
use plotters::coord::Shift;
use plotters::prelude::{DrawingArea, DrawingBackend};

/// Size of tick and legend text in CSS pixels.
pub(super) const SMALL: f64 = 11.0;
/// Size of the title.
pub(super) const TITLE: f64 = 13.0;

/// One axis.
#[derive(Clone, Debug)]
pub(super) struct Scale {
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) log: bool,
    pub(super) label: String,
}

impl Scale {
    pub(super) fn linear(min: f64, max: f64, label: &str) -> Self {
        Scale { min, max, log: false, label: label.into() }
    }

    pub(super) fn log(min: f64, max: f64, label: &str) -> Self {
        Scale { min, max, log: true, label: label.into() }
    }

    /// A linear scale around `values`, five per cent wider on both sides; never of zero length.
    pub(super) fn around(values: impl Iterator<Item = f64>, label: &str) -> Self {
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        let margin = if high > low { (high - low) * 0.05 } else { high.abs().max(1.0) * 0.05 };
        Scale::linear(low - margin, high + margin, label)
    }

    /// Position of `v` in [0, 1], clamped.
    fn unit(&self, v: f64) -> f64 {
        let t = if self.log {
            (v.max(self.min).ln() - self.min.ln()) / (self.max.ln() - self.min.ln())
        } else {
            (v - self.min) / (self.max - self.min)
        };
        t.clamp(0.0, 1.0)
    }

    /// Tick values with their texts; at most about `most` of them.
    pub(super) fn ticks(&self, most: usize) -> Vec<(f64, String)> {
        if self.log {
            let (from, to) = (self.min.log10().floor() as i32, self.max.log10().ceil() as i32);
            let steps = |mantissas: &[f64]| -> Vec<(f64, String)> {
                let all = (from..=to).flat_map(|e| mantissas.iter().map(move |m| m * 10_f64.powi(e)));
                let inside = all.filter(|v| (self.min * 0.999..=self.max * 1.001).contains(v));
                inside.map(|v| (v, plain(v, 6))).collect()
            };
            // over less than two decades powers of ten alone would leave the axis bare
            let lists: [&[f64]; 3] =
                [&[1.0], &[1.0, 2.0, 5.0], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]];
            return lists.map(steps).into_iter().find(|t| t.len() > 2).unwrap_or_else(|| steps(lists[2]));
        }
        let rough = (self.max - self.min) / most.max(1) as f64;
        let power = 10_f64.powi(rough.log10().floor() as i32);
        let step = [1.0, 2.0, 2.5, 5.0, 10.0]
            .map(|m| m * power)
            .into_iter()
            .find(|s| *s >= rough * 0.999)
            .unwrap_or(power * 10.0);
        let decimals = (0..9).find(|&d| {
            let scaled = step * 10_f64.powi(d);
            (scaled - scaled.round()).abs() < 1e-6 * scaled.max(1.0)
        });
        let decimals = usize::try_from(decimals.unwrap_or(9)).expect("below ten");
        let first = (self.min / step - 1e-9).ceil() as i64;
        let last = (self.max / step + 1e-9).floor() as i64;
        (first..=last)
            .map(|i| i as f64 * step)
            .map(|v| (v, format!("{:.decimals$}", v + 0.0).replace('-', "−")))
            .collect()
    }
}

/// A number without trailing zeros.
pub(super) fn plain(v: f64, decimals: usize) -> String {
    let text = format!("{v:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A plot rectangle with its scales.
#[derive(Clone, Debug)]
pub(super) struct Axes {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
    pub(super) x: Scale,
    pub(super) y: Scale,
}

impl Axes {
    /// Where a data point lies; points outside are clamped to the border.
    pub(super) fn at(&self, x: f64, y: f64) -> (f64, f64) {
        (
            self.left + self.x.unit(x) * (self.right - self.left),
            self.bottom - self.y.unit(y) * (self.bottom - self.top),
        )
    }

    /// Grid, ticks, labels. `x_ticks`/`y_ticks` switch the tick labels of an axis off for categorical plots.
    pub(super) fn draw<DB: DrawingBackend>(
        &self,
        area: &DrawingArea<DB, Shift>,
        pen: &Pen,
        (x_ticks, y_ticks): (bool, bool),
    ) -> DrawResult<DB> {
        let faint = (Anchor::Middle, Weight::Normal, FAINT);
        if x_ticks {
            for (v, text) in self.x.ticks(((self.right - self.left) / 60.0) as usize) {
                let (x, _) = self.at(v, self.y.min);
                pen.line(area, &[(x, self.top), (x, self.bottom)], (GRID, 0.7, &[]))?;
                pen.text(area, &text, (x, self.bottom + 15.0), SMALL, faint)?;
            }
        }
        if y_ticks {
            for (v, text) in self.y.ticks(((self.bottom - self.top) / 38.0) as usize) {
                let (_, y) = self.at(self.x.min, v);
                pen.line(area, &[(self.left, y), (self.right, y)], (GRID, 0.7, &[]))?;
                pen.text(
                    area,
                    &text,
                    (self.left - 6.0, y + 4.0),
                    SMALL,
                    (Anchor::Right, Weight::Normal, FAINT),
                )?;
            }
        }
        pen.line(
            area,
            &[(self.left, self.top), (self.left, self.bottom), (self.right, self.bottom)],
            (INK, 1.0, &[]),
        )?;
        let middle = (self.left + self.right) / 2.0;
        pen.text(
            area,
            &self.x.label,
            (middle, self.bottom + 32.0),
            SMALL,
            (Anchor::Middle, Weight::Normal, INK),
        )?;
        if !self.y.label.is_empty() {
            // longer than the axis it would run into the title
            let label = pen.fit(&self.y.label, SMALL, Weight::Normal, self.bottom - self.top);
            pen.upward(area, &label, (self.left - 38.0, (self.top + self.bottom) / 2.0), SMALL)?;
        }
        Ok(())
    }
}

/// The heading of a figure, at its upper left corner.
pub(super) fn title<DB: DrawingBackend>(
    area: &DrawingArea<DB, Shift>,
    pen: &Pen,
    text: &str,
    width: f64,
) -> DrawResult<DB> {
    // the end says which protocol, and whether faces are synthetic
    let text = pen.fit_middle(text, TITLE, Weight::Bold, width - 24.0);
    pen.text(area, &text, (12.0, 22.0), TITLE, (Anchor::Left, Weight::Bold, INK))
}
