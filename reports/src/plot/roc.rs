//! ROC curves with an optional log-x axis and a bootstrap band over videos.
//!
//! The log axis shows the low false-positive region, the one that matters in use. The band resamples whole videos,
//! separately in both classes, because frames of a video are not independent; it is pointwise at 95 %. Ties move
//! diagonally. Axes follow this project's polarity: positive = fake.

use super::axes::{self, Axes, Scale};
use super::canvas::{DrawResult, Pen};
use super::palette::{FAINT, look};
use super::{FULL, Plot, legend};
use crate::{Error, table::fixed, write::csv_line};
use facebench_protocols::Stream;
use plotters::coord::Shift;
use plotters::prelude::{DrawingArea, DrawingBackend};
use plotters::style::Color;

/// One scored sample: a frame, or a video with its aggregated score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// P(fake).
    pub score: f64,
    /// Whether it is fake.
    pub fake: bool,
    /// Number of the video it belongs to; any numbering.
    pub video: usize,
}

/// One curve.
#[derive(Clone, Debug, PartialEq)]
pub struct RocCurve {
    /// Series name.
    pub name: String,
    /// `(FPR, TPR)` from (0, 0) to (1, 1).
    pub points: Vec<(f64, f64)>,
    /// `(FPR, lower TPR, upper TPR)`, pointwise 95 %.
    pub band: Vec<(f64, f64, f64)>,
    /// Area under the curve, half credit for ties.
    pub auc: f64,
}

/// A figure of ROC curves.
#[derive(Clone, Debug, PartialEq)]
pub struct Roc {
    /// File-name-safe name.
    pub id: String,
    /// Heading.
    pub title: String,
    /// Logarithmic false-positive axis.
    pub log_x: bool,
    /// The curves.
    pub curves: Vec<RocCurve>,
}

/// Lower end of the log axis.
const LOG_MIN: f64 = 1e-3;

impl RocCurve {
    /// The curve of `samples`, with a band from `resamples` resamplings (0 = no band).
    ///
    /// # Errors
    /// One class only, or a score that is not finite.
    pub fn of(name: &str, samples: &[Scored], resamples: usize) -> Result<Self, Error> {
        let fail =
            |message: &str| Error::Figure { figure: format!("roc of {name}"), message: message.into() };
        if samples.iter().any(|s| !s.score.is_finite()) {
            return Err(fail("a score is not finite"));
        }
        if !samples.iter().any(|s| s.fake) || samples.iter().all(|s| s.fake) {
            return Err(fail("needs real and fake samples"));
        }
        let mut sorted = samples.to_vec();
        sorted.sort_by(|a, b| {
            b.score.total_cmp(&a.score).then(a.fake.cmp(&b.fake)).then(a.video.cmp(&b.video))
        });
        let points = sweep(&sorted, |_| 1.0);
        let auc = points.windows(2).map(|p| (p[1].0 - p[0].0) * (p[0].1 + p[1].1) / 2.0).sum();
        let band = if resamples == 0 { Vec::new() } else { band(&sorted, resamples) };
        Ok(RocCurve { name: name.into(), points: thin(&points), band, auc })
    }
}

/// Cumulative rates over samples in falling score order; equal scores move together.
fn sweep(sorted: &[Scored], weight: impl Fn(&Scored) -> f64) -> Vec<(f64, f64)> {
    let total = |fake: bool| sorted.iter().filter(|s| s.fake == fake).map(&weight).sum::<f64>();
    let (fakes, reals) = (total(true), total(false));
    let mut points = vec![(0.0, 0.0)];
    let (mut fp, mut tp) = (0.0, 0.0);
    for tie in sorted.chunk_by(|a, b| a.score == b.score) {
        for sample in tie {
            if sample.fake { tp += weight(sample) } else { fp += weight(sample) }
        }
        points.push((fp / reals, tp / fakes));
    }
    points
}

/// False-positive rates at which the band is taken: a log part and a linear part.
fn grid() -> Vec<f64> {
    let log = (0..30).map(|i| LOG_MIN * 10_f64.powf(f64::from(i) / 15.0));
    let linear = (10..=100).map(|i| f64::from(i) / 100.0);
    std::iter::once(0.0).chain(log).chain(linear).collect()
}

fn band(sorted: &[Scored], resamples: usize) -> Vec<(f64, f64, f64)> {
    let mut videos: Vec<(usize, bool)> = sorted.iter().map(|s| (s.video, s.fake)).collect();
    videos.sort_unstable();
    videos.dedup();
    let index =
        |s: &Scored| videos.binary_search(&(s.video, s.fake)).expect("every sample's video is listed");
    let of: Vec<(Scored, usize)> = sorted.iter().map(|s| (*s, index(s))).collect();
    let class = |fake: bool| (0..videos.len()).filter(|&v| videos[v].1 == fake).collect::<Vec<usize>>();
    let classes = [class(false), class(true)];
    let mut stream = Stream::new("roc-band", 0, &[]);
    let grid = grid();
    let mut rates: Vec<Vec<f64>> = vec![Vec::with_capacity(resamples); grid.len()];
    let numbered: Vec<Scored> = of.iter().map(|(s, v)| Scored { video: *v, ..*s }).collect();
    for _ in 0..resamples {
        let mut weights = vec![0.0_f64; videos.len()];
        for members in &classes {
            for _ in 0..members.len() {
                weights[members[stream.below(members.len())]] += 1.0;
            }
        }
        let curve = sweep(&numbered, |s| weights[s.video]);
        for (at, rates) in grid.iter().zip(&mut rates) {
            rates.push(tpr_at(&curve, *at));
        }
    }
    let quantile = |sorted: &[f64], q: f64| sorted[((sorted.len() - 1) as f64 * q).round() as usize];
    grid.iter()
        .zip(&mut rates)
        .map(|(at, rates)| {
            rates.sort_by(f64::total_cmp);
            (*at, quantile(rates, 0.025), quantile(rates, 0.975))
        })
        .collect()
}

/// TPR of the polyline at `fpr`; the upper end of a vertical step.
fn tpr_at(curve: &[(f64, f64)], fpr: f64) -> f64 {
    let after = curve.partition_point(|p| p.0 <= fpr);
    if after == curve.len() {
        return 1.0;
    }
    let ((x0, y0), (x1, y1)) = (curve[after - 1], curve[after]);
    y0 + (y1 - y0) * (fpr - x0) / (x1 - x0)
}

/// Drops points that no figure can show: within 1/4000 of a linear and 1/1000 of a log axis of the last kept one.
fn thin(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let place = |x: f64| x + 0.25 * (x.max(LOG_MIN) / LOG_MIN).ln();
    let mut kept: Vec<(f64, f64)> = Vec::new();
    for (i, &(x, y)) in points.iter().enumerate() {
        let far =
            kept.last().is_none_or(|&(kx, ky)| (place(x) - place(kx)).abs() + (y - ky).abs() >= 1.0 / 4000.0);
        if far || i + 1 == points.len() {
            kept.push((x, y));
        }
    }
    kept
}

impl Plot for Roc {
    fn id(&self) -> &str {
        &self.id
    }

    fn title(&self) -> &str {
        &self.title
    }

    fn description(&self) -> String {
        let list: Vec<String> =
            self.curves.iter().map(|c| format!("{} AUC {} %", c.name, fixed(c.auc, 2, 1))).collect();
        let axis = if self.log_x { "logarithmic" } else { "linear" };
        let band = if self.curves.iter().any(|c| !c.band.is_empty()) {
            ", bands 95 % bootstrap over videos"
        } else {
            ""
        };
        format!("ROC curves, fake is positive, {axis} false positive rate{band}. {}.", list.join("; "))
    }

    fn csv(&self) -> String {
        let mut out = csv_line(&["series", "kind", "fpr", "tpr", "low", "high"]);
        for curve in &self.curves {
            for (x, y) in &curve.points {
                out.push_str(&csv_line(&[&curve.name, "curve", &x.to_string(), &y.to_string(), "", ""]));
            }
            for (x, low, high) in &curve.band {
                out.push_str(&csv_line(&[
                    &curve.name,
                    "band",
                    &x.to_string(),
                    "",
                    &low.to_string(),
                    &high.to_string(),
                ]));
            }
        }
        out
    }

    fn size(&self) -> (u32, u32) {
        let entries = u32::try_from(self.curves.len()).unwrap_or(u32::MAX).min(60);
        (FULL, 386.max(70 + entries * legend::LINE as u32))
    }

    fn check(&self) -> Result<(), Error> {
        if self.curves.is_empty() {
            return Err(Error::Figure { figure: self.id.clone(), message: "no curves".into() });
        }
        Ok(())
    }

    fn draw<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>, pen: &Pen) -> DrawResult<DB> {
        axes::title(area, pen, &self.title, f64::from(FULL))?;
        let x = "False positive rate (real called fake)";
        let x = if self.log_x { Scale::log(LOG_MIN, 1.0, x) } else { Scale::linear(0.0, 1.0, x) };
        let y = Scale::linear(0.0, 1.0, "True positive rate (fake called fake)");
        let axes = Axes { left: 58.0, top: 38.0, right: 362.0, bottom: 342.0, x, y };
        axes.draw(area, pen, (true, true))?;
        let chance: Vec<(f64, f64)> =
            grid().into_iter().filter(|x| !self.log_x || *x > 0.0).map(|x| axes.at(x, x)).collect();
        pen.line(area, &chance, (FAINT, 0.8, &[3.0, 3.0]))?;
        let shown = |x: f64| !self.log_x || x >= LOG_MIN;
        for (i, curve) in self.curves.iter().enumerate() {
            let edge = curve.band.iter().filter(|b| shown(b.0));
            let mut outline: Vec<(f64, f64)> = edge.clone().map(|b| axes.at(b.0, b.2)).collect();
            outline.extend(edge.rev().map(|b| axes.at(b.0, b.1)));
            if outline.len() > 2 {
                pen.fill(area, &outline, look(i).colour.mix(0.13))?;
            }
        }
        for (i, curve) in self.curves.iter().enumerate() {
            let start = self.log_x.then(|| (LOG_MIN, tpr_at(&curve.points, LOG_MIN)));
            let rest = curve.points.iter().copied().filter(|p| shown(p.0));
            let points: Vec<(f64, f64)> = start.into_iter().chain(rest).map(|(x, y)| axes.at(x, y)).collect();
            let look = look(i);
            pen.line(area, &points, (look.colour, 1.8, look.dash))?;
            for k in 1..=3 {
                let at = f64::from(k) / 4.0 + 0.03 * (i % 6) as f64;
                let x = if self.log_x { LOG_MIN.powf(1.0 - at.min(1.0)) } else { at.min(1.0) };
                pen.marker(area, look.marker, axes.at(x, tpr_at(&curve.points, x)), 3.0, look.colour)?;
            }
        }
        let entries: Vec<(String, String)> =
            self.curves.iter().map(|c| (c.name.clone(), format!("AUC {} %", fixed(c.auc, 2, 1)))).collect();
        legend::draw(area, pen, &entries, (384.0, 48.0, f64::from(FULL) - 384.0 - 12.0))
    }
}
