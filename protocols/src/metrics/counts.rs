//! Metrics of decisions at a threshold: fake if score > threshold, real otherwise.
//!
//! With this rule `real` wins a tie, which is what score > 0.5 (P(fake)), P(real) ≥ 0.5 and "accept if P(live) ≥ t"
//! all say. HTER is the mean of the two error rates; whether its threshold came from a development set or from the
//! test set itself ("oracle") is the caller's to say, and must be said.

use super::{MetricError, both_classes, check};

/// Error rates at a threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Reals called fake: FPR, FRR of a live-face system, BPCER.
    pub fpr: f64,
    /// Fakes called real: FNR, FAR of a live-face system, APCER (pooled).
    pub fnr: f64,
    /// Share of right decisions.
    pub accuracy: f64,
}

impl Rates {
    /// Half total error rate: mean of the two error rates. Also ACER (pooled) and 1 − balanced accuracy.
    pub fn hter(&self) -> f64 {
        f64::midpoint(self.fpr, self.fnr)
    }
}

/// Error rates at `threshold`.
///
/// # Errors
/// Empty, unequal lengths, not finite, a bad label, one class.
pub fn rates_at(scores: &[f64], labels: &[u8], threshold: f64) -> Result<Rates, MetricError> {
    let counts = check(scores, labels)?;
    both_classes(counts)?;
    let mut wrong = [0usize; 2];
    for (&score, &label) in scores.iter().zip(labels) {
        wrong[usize::from(label)] += usize::from((score > threshold) != (label == 1));
    }
    Ok(Rates {
        fpr: wrong[0] as f64 / counts[0] as f64,
        fnr: wrong[1] as f64 / counts[1] as f64,
        accuracy: (scores.len() - wrong[0] - wrong[1]) as f64 / scores.len() as f64,
    })
}

/// Half total error rate at `threshold`.
///
/// # Errors
/// As [`rates_at`].
pub fn hter_at(scores: &[f64], labels: &[u8], threshold: f64) -> Result<f64, MetricError> {
    Ok(rates_at(scores, labels, threshold)?.hter())
}

/// Mean of the two class-wise accuracies at `threshold`.
///
/// # Errors
/// As [`rates_at`].
pub fn balanced_accuracy(scores: &[f64], labels: &[u8], threshold: f64) -> Result<f64, MetricError> {
    let rates = rates_at(scores, labels, threshold)?;
    Ok(f64::midpoint(1.0 - rates.fpr, 1.0 - rates.fnr))
}

/// Share of right decisions at `threshold`. Defined for one class too.
///
/// # Errors
/// Empty, unequal lengths, not finite, a bad label.
pub fn accuracy(scores: &[f64], labels: &[u8], threshold: f64) -> Result<f64, MetricError> {
    check(scores, labels)?;
    let right = scores.iter().zip(labels).filter(|&(&s, &l)| (s > threshold) == (l == 1)).count();
    Ok(right as f64 / scores.len() as f64)
}
