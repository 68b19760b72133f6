//! Resampled error rates: EER and HTER of each resample of a plan.
//!
//! Meant for videos (thousands), one weighted pass a resample. The HTER's threshold is held fixed: its interval
//! says how well the test videos measure the error at that threshold, not how well development chose it.

use super::bootstrap::{Observations, Plan};

/// Interpolated EER of each resample. `data` must be what `plan` was made of.
pub fn eer_resamples(data: &Observations, plan: &Plan) -> Vec<f64> {
    let mut order: Vec<usize> = (0..data.scores.len()).collect();
    order.sort_by(|&a, &b| data.scores[b].total_cmp(&data.scores[a]));
    plan.map(|weights| {
        let mut totals = [0.0; 2];
        for (&cluster, &label) in data.clusters.iter().zip(data.labels) {
            totals[usize::from(label)] += f64::from(weights[cluster as usize]);
        }
        let mut counts = [0.0; 2]; // real, fake above the threshold
        for ties in order.chunk_by(|&a, &b| data.scores[a] == data.scores[b]) {
            let before = counts;
            for &i in ties {
                counts[usize::from(data.labels[i])] += f64::from(weights[data.clusters[i] as usize]);
            }
            let excess = |c: [f64; 2]| c[0] / totals[0] + c[1] / totals[1] - 1.0;
            let (low, high) = (excess(before), excess(counts));
            if high >= 0.0 {
                return (before[0] - (counts[0] - before[0]) * low / (high - low)) / totals[0];
            }
        }
        unreachable!("with everything above the threshold the excess is 1")
    })
}

/// HTER at `threshold` of each resample. `data` must be what `plan` was made of.
pub fn hter_resamples(data: &Observations, plan: &Plan, threshold: f64) -> Vec<f64> {
    plan.map(|weights| {
        let (mut wrong, mut totals) = ([0.0; 2], [0.0; 2]);
        for ((&score, &label), &cluster) in data.scores.iter().zip(data.labels).zip(data.clusters) {
            let (class, weight) = (usize::from(label), f64::from(weights[cluster as usize]));
            totals[class] += weight;
            wrong[class] += if (score > threshold) == (label == 1) { 0.0 } else { weight };
        }
        f64::midpoint(wrong[0] / totals[0], wrong[1] / totals[1])
    })
}
