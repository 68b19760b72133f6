//! The full ROC and what is read off it: AUC, EER, TPR@FPR, average precision, the EER threshold.
//!
//! The curve is kept as integer counts at every distinct score (no vertex is dropped: dropping collinear ones moves
//! step values when scores tie). "Positive" is fake: FPR = reals called fake, TPR = fakes called fake, FNR = 1 − TPR.

use super::compat::{self, EerMode};
use super::{MetricError, check_two, radix};

/// The full ROC, from the strictest threshold to the loosest.
#[derive(Clone, Debug, PartialEq)]
pub struct Roc {
    /// Distinct scores in falling order; vertex `i + 1` calls everything ≥ `scores[i]` fake.
    pub scores: Vec<f64>,
    /// Reals called fake at each vertex; starts with 0, ends with the number of reals.
    pub fp: Vec<u64>,
    /// Fakes called fake at each vertex; starts with 0, ends with the number of fakes.
    pub tp: Vec<u64>,
}

/// Keys of each class, sorted ascending: `[real, fake]`.
fn ranked(scores: &[f64], labels: &[u8]) -> Result<[Vec<u64>; 2], MetricError> {
    let [real, fake] = check_two(scores, labels)?;
    let mut keys = [Vec::with_capacity(real), Vec::with_capacity(fake)];
    for (&score, &label) in scores.iter().zip(labels) {
        keys[usize::from(label)].push(radix::key(score));
    }
    let [mut real, mut fake] = keys;
    if scores.len() > 1 << 16 {
        rayon::join(|| radix::sort(&mut real), || radix::sort(&mut fake));
    } else {
        radix::sort(&mut real);
        radix::sort(&mut fake);
    }
    Ok([real, fake])
}

/// Area under the ROC: P(fake scores above real) + ½ P(they tie), by the Mann-Whitney count.
///
/// Ten million scores take well under a second; memory is two 8-byte keys a score.
///
/// # Errors
/// Empty, unequal lengths, a score that is not finite, a label other than 0 or 1, one class.
pub fn auc(scores: &[f64], labels: &[u8]) -> Result<f64, MetricError> {
    let [real, fake] = ranked(scores, labels)?;
    Ok(twice_wins(&real, &fake) as f64 / (2 * real.len() as u128 * fake.len() as u128) as f64)
}

/// 2·#(fake > real) + #(fake = real), for ascending keys.
fn twice_wins(real: &[u64], fake: &[u64]) -> u128 {
    let (mut below, mut upto, mut sum) = (0usize, 0usize, 0u128);
    for &f in fake {
        while below < real.len() && real[below] < f {
            below += 1;
        }
        upto = upto.max(below);
        while upto < real.len() && real[upto] == f {
            upto += 1;
        }
        sum += (below + upto) as u128;
    }
    sum
}

/// Area under the ROC from FPR 0 to `max_fpr`, divided by `max_fpr` (so that a perfect detector has 1).
///
/// # Errors
/// As [`auc`]; `max_fpr` outside (0, 1].
pub fn partial_auc(scores: &[f64], labels: &[u8], max_fpr: f64) -> Result<f64, MetricError> {
    if !(max_fpr > 0.0 && max_fpr <= 1.0) {
        return Err(MetricError::Argument { what: "max_fpr", value: max_fpr, range: "(0, 1]" });
    }
    let roc = Roc::new(scores, labels)?;
    let points = roc.points();
    let mut area = 0.0;
    for pair in points.windows(2) {
        let ([x0, y0], [x1, y1]) = (pair[0], pair[1]);
        if x0 >= max_fpr {
            break;
        }
        let end = x1.min(max_fpr);
        let y_end = if x1 > x0 { y0 + (y1 - y0) * (end - x0) / (x1 - x0) } else { y1 };
        area += (end - x0) * (y0 + y_end) / 2.0;
    }
    Ok(area / max_fpr)
}

/// Equal error rate, by the default rule ([`EerMode::Interpolated`]).
///
/// # Errors
/// As [`auc`].
pub fn eer(scores: &[f64], labels: &[u8]) -> Result<f64, MetricError> {
    Ok(Roc::new(scores, labels)?.eer())
}

/// Equal error rate by a named rule. The three rules can differ: 0.667, 0.333 and 0.167 on six samples.
///
/// # Errors
/// As [`auc`].
pub fn eer_mode(scores: &[f64], labels: &[u8], mode: EerMode) -> Result<f64, MetricError> {
    match mode {
        EerMode::Interpolated => eer(scores, labels),
        EerMode::DeepfakeBench => Ok(compat::deepfakebench_eer(&Roc::new(scores, labels)?)),
        EerMode::FewShotFas => {
            check_two(scores, labels)?;
            let (live, is_live) = compat::to_live(scores, labels);
            Ok(compat::few_shot_fas_eer(&live, &is_live).eer)
        }
    }
}

/// Average precision with fake as the positive class: Σ (R_i − R_{i−1})·P_i over distinct scores.
///
/// # Errors
/// As [`auc`].
pub fn average_precision(scores: &[f64], labels: &[u8]) -> Result<f64, MetricError> {
    Ok(Roc::new(scores, labels)?.average_precision())
}

/// The largest TPR on the full ROC whose FPR is at most `max_fpr`.
///
/// # Errors
/// As [`auc`]; `max_fpr` outside [0, 1].
pub fn tpr_at_fpr(scores: &[f64], labels: &[u8], max_fpr: f64) -> Result<f64, MetricError> {
    if !(0.0..=1.0).contains(&max_fpr) {
        return Err(MetricError::Argument { what: "max_fpr", value: max_fpr, range: "[0, 1]" });
    }
    Ok(Roc::new(scores, labels)?.tpr_at_fpr(max_fpr))
}

/// The threshold at which FPR and FNR are nearest to equal (fake if score > threshold): [`Roc::eer_threshold`].
///
/// # Errors
/// As [`auc`].
pub fn threshold_at_eer(scores: &[f64], labels: &[u8]) -> Result<f64, MetricError> {
    Ok(Roc::new(scores, labels)?.eer_threshold())
}

impl Roc {
    /// The ROC of `scores`.
    ///
    /// # Errors
    /// As [`auc`].
    pub fn new(scores: &[f64], labels: &[u8]) -> Result<Self, MetricError> {
        let [real, fake] = ranked(scores, labels)?;
        let (mut r, mut f) = (real.len(), fake.len());
        let mut roc = Self { scores: Vec::new(), fp: vec![0], tp: vec![0] };
        while r > 0 || f > 0 {
            let top = real[..r].last().max(fake[..f].last()).copied().expect("one side is not empty");
            while r > 0 && real[r - 1] == top {
                r -= 1;
            }
            while f > 0 && fake[f - 1] == top {
                f -= 1;
            }
            roc.scores.push(radix::score(top));
            roc.fp.push((real.len() - r) as u64);
            roc.tp.push((fake.len() - f) as u64);
        }
        Ok(roc)
    }

    /// Number of real samples.
    pub fn reals(&self) -> u64 {
        *self.fp.last().expect("a curve has a first vertex")
    }

    /// Number of fake samples.
    pub fn fakes(&self) -> u64 {
        *self.tp.last().expect("a curve has a first vertex")
    }

    /// Vertices `[FPR, TPR]` from (0, 0) to (1, 1).
    pub fn points(&self) -> Vec<[f64; 2]> {
        let (real, fake) = (self.reals() as f64, self.fakes() as f64);
        self.fp.iter().zip(&self.tp).map(|(&x, &y)| [x as f64 / real, y as f64 / fake]).collect()
    }

    /// Area under the curve.
    pub fn auc(&self) -> f64 {
        let twice: u128 = (1..self.fp.len())
            .map(|i| u128::from(self.fp[i] - self.fp[i - 1]) * u128::from(self.tp[i] + self.tp[i - 1]))
            .sum();
        twice as f64 / (2 * u128::from(self.reals()) * u128::from(self.fakes())) as f64
    }

    /// FPR + TPR − 1 at vertex `i`, times reals·fakes: rises from −1 to 1.
    fn excess(&self, i: usize) -> i128 {
        let (real, fake) = (i128::from(self.reals()), i128::from(self.fakes()));
        i128::from(self.fp[i]) * fake + i128::from(self.tp[i]) * real - real * fake
    }

    /// Crossing of the piecewise-linear curve with TPR = 1 − FPR.
    pub fn eer(&self) -> f64 {
        let after = (0..self.fp.len()).position(|i| self.excess(i) >= 0).expect("the last vertex is (1, 1)");
        let before = after - 1; // the first vertex is (0, 0), with an excess of -1
        let (low, high) = (self.excess(before), self.excess(after));
        let (x0, x1) = (i128::from(self.fp[before]), i128::from(self.fp[after]));
        (x0 * (high - low) - (x1 - x0) * low) as f64 / (i128::from(self.reals()) * (high - low)) as f64
    }

    /// Threshold with the smallest |FPR − FNR|; among equals the smallest FPR + FNR, then the highest threshold.
    ///
    /// It lies midway between two neighbouring scores, so that it means the same after `score → 1 − score` and
    /// does not sit on a sample; beyond the extreme scores it is the extreme itself (above) or just below it.
    pub fn eer_threshold(&self) -> f64 {
        let cost = |i: usize| {
            let (real, fake) = (u128::from(self.reals()), u128::from(self.fakes()));
            let fpr = u128::from(self.fp[i]) * fake;
            let fnr = u128::from(self.fakes() - self.tp[i]) * real;
            (fpr.abs_diff(fnr), fpr + fnr)
        };
        let best = (0..self.fp.len()).min_by_key(|&i| cost(i)).expect("a curve has a first vertex");
        match (best.checked_sub(1).map(|i| self.scores[i]), self.scores.get(best)) {
            (Some(above), Some(&below)) => middle(below, above),
            (None, Some(&top)) => top,
            (Some(bottom), None) => bottom.next_down(),
            (None, None) => unreachable!("a curve has at least one score"),
        }
    }

    /// Largest TPR whose FPR is at most `max_fpr`.
    pub fn tpr_at_fpr(&self, max_fpr: f64) -> f64 {
        let real = self.reals() as f64;
        let last = self.fp.partition_point(|&fp| fp as f64 / real <= max_fpr);
        last.checked_sub(1).map_or(0.0, |i| self.tp[i] as f64 / self.fakes() as f64)
    }

    /// TPR at exactly `fpr`, by linear interpolation (the top of a vertical step).
    pub fn tpr_at_fpr_interpolated(&self, fpr: f64) -> f64 {
        interpolate(&self.points(), fpr)
    }

    /// Step-wise average precision.
    pub fn average_precision(&self) -> f64 {
        let fake = self.fakes() as f64;
        let mut sum = 0.0;
        for i in 1..self.fp.len() {
            let gained = (self.tp[i] - self.tp[i - 1]) as f64;
            sum += gained * self.tp[i] as f64 / (self.tp[i] + self.fp[i]) as f64;
        }
        sum / fake
    }
}

/// A number t with low ≤ t < high, midway where that exists: `high > t` holds, `low > t` does not.
fn middle(low: f64, high: f64) -> f64 {
    let mid = low + (high - low) / 2.0;
    if mid > low && mid < high { mid } else { low }
}

/// Linear interpolation through vertices with rising x; at repeated x the last vertex counts.
pub(super) fn interpolate(points: &[[f64; 2]], x: f64) -> f64 {
    let after = points.partition_point(|p| p[0] <= x);
    if after == 0 {
        return points[0][1];
    }
    let [x0, y0] = points[after - 1];
    match points.get(after) {
        Some(&[x1, y1]) => y0 + (y1 - y0) / (x1 - x0) * (x - x0),
        None => y0,
    }
}
