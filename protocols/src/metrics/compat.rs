//! The field's own rules, for comparison with its printed numbers: DeepfakeBench, few_shot_fas, FSFM.
//!
//! Written from the description of what those programs print (`tests/golden/metrics.json`), not from their code.
//! None of these is used for a main number: DeepfakeBench's EER of a constant detector is 0, and few_shot_fas'
//! HTER is an oracle (its threshold comes from the test set) on a grid of 10⁻⁴ that saturated scores fall through.
//!
//! few_shot_fas speaks of live faces: here `live` = P(live), `is_live` = 1 for live.

use serde::{Deserialize, Serialize};

use super::{MetricError, Roc};

/// Which rule makes the equal error rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EerMode {
    /// Crossing of the piecewise-linear full ROC with TPR = 1 − FPR (also FSFM's rule).
    #[default]
    Interpolated,
    /// FPR at the vertex with the smallest |FNR − FPR|, over the curve without collinear vertices.
    DeepfakeBench,
    /// (FAR + FRR)/2 at the last point of a 10⁻⁴ grid with the smallest |FRR − FAR|.
    FewShotFas,
}

/// P(fake), fake = 1 to P(live), live = 1.
pub fn to_live(scores: &[f64], labels: &[u8]) -> (Vec<f64>, Vec<u8>) {
    (scores.iter().map(|s| 1.0 - s).collect(), labels.iter().map(|l| 1 - l).collect())
}

/// Vertices `[FPR, TPR]` without those in the middle of a straight line of equal steps (scikit-learn's
/// `drop_intermediate`).
pub fn reduced_points(roc: &Roc) -> Vec<[f64; 2]> {
    let points = roc.points();
    let n = roc.scores.len(); // vertex 0 is the added (0, 0); dropping looks at vertices 1..=n only
    let bend = |counts: &[u64], i: usize| counts[i + 1] + counts[i - 1] != 2 * counts[i];
    (0..=n).filter(|&i| i <= 1 || i == n || bend(&roc.fp, i) || bend(&roc.tp, i)).map(|i| points[i]).collect()
}

/// DeepfakeBench's EER.
pub fn deepfakebench_eer(roc: &Roc) -> f64 {
    let mut best = (f64::INFINITY, 0.0);
    for [fpr, tpr] in reduced_points(roc) {
        let gap = ((1.0 - tpr) - fpr).abs();
        if gap < best.0 {
            best = (gap, fpr);
        }
    }
    best.1
}

/// few_shot_fas' EER, its threshold, and what it prints as HTER (the same number) and accuracy there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GridEer {
    /// (FAR + FRR)/2 at the threshold.
    pub eer: f64,
    /// Accepted as live if P(live) ≥ this.
    pub threshold: f64,
    /// Share of right decisions at the threshold.
    pub accuracy: f64,
}

/// few_shot_fas' threshold search: 0, 10⁻⁴, …, 1 and 1.1; the last one whose |FRR − FAR| is minimal.
pub fn few_shot_fas_eer(live: &[f64], is_live: &[u8]) -> GridEer {
    let ascending = |class: u8| {
        let mut v: Vec<f64> =
            live.iter().zip(is_live).filter(|(_, l)| **l == class).map(|(s, _)| *s).collect();
        v.sort_unstable_by(f64::total_cmp);
        v
    };
    let (spoof, real) = (ascending(0), ascending(1));
    let mut best = (1.0, GridEer { eer: 1.0, threshold: 0.0, accuracy: 0.0 });
    for t in (0..=10_000).map(|i| f64::from(i) / 1e4).chain([1.1]) {
        let accepted = spoof.len() - spoof.partition_point(|&s| s < t);
        let rejected = real.partition_point(|&s| s < t);
        let far = rate(accepted, spoof.len());
        let frr = rate(rejected, real.len());
        let gap = (frr - far).abs();
        if gap <= best.0 {
            let right = spoof.len() - accepted + real.len() - rejected;
            let accuracy = right as f64 / live.len() as f64;
            best = (gap, GridEer { eer: (far + frr) / 2.0, threshold: t, accuracy });
        }
    }
    best.1
}

/// few_shot_fas' error rates at a threshold: (APCER, NPCER, ACER, accuracy); an empty class counts as 1.
pub fn few_shot_fas_rates(live: &[f64], is_live: &[u8], threshold: f64) -> (f64, f64, f64, f64) {
    let (mut wrong, mut total) = ([0usize; 2], [0usize; 2]);
    for (&score, &label) in live.iter().zip(is_live) {
        let class = usize::from(label == 1);
        total[class] += 1;
        wrong[class] += usize::from((score >= threshold) != (label == 1));
    }
    let (apcer, npcer) = (rate(wrong[0], total[0]), rate(wrong[1], total[1]));
    let accuracy = (live.len() - wrong[0] - wrong[1]) as f64 / live.len() as f64;
    (apcer, npcer, (apcer + npcer) / 2.0, accuracy)
}

/// few_shot_fas' TPR@FPR: the last vertex of the reduced curve with FPR ≤ `max_fpr`; 0 if there is none.
pub fn few_shot_fas_tpr_at_fpr(roc: &Roc, max_fpr: f64) -> f64 {
    reduced_points(roc).iter().rev().find(|p| p[0] <= max_fpr).map_or(0.0, |p| p[1])
}

/// FSFM's validation AUC while training: the mean of per-batch AUCs, weighted by batch size.
///
/// # Errors
/// As [`super::auc`], for each batch: one class in a batch is an error there as here.
pub fn fsfm_batch_auc(scores: &[f64], labels: &[u8], batch: usize) -> Result<f64, MetricError> {
    if batch == 0 {
        return Err(MetricError::Argument { what: "batch", value: 0.0, range: "1.." });
    }
    let mut sum = 0.0;
    for (s, l) in scores.chunks(batch).zip(labels.chunks(batch)) {
        sum += super::auc(s, l)? * s.len() as f64;
    }
    Ok(sum / scores.len() as f64)
}

fn rate(part: usize, whole: usize) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}
