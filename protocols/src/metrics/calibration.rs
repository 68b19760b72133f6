//! How good the probabilities are as probabilities: log loss, Brier score, expected calibration error.
//!
//! A detector can rank well and still call every fake real at 0.5 (the published FSFM log has video AUC 91 with
//! 60 % accuracy); these three numbers show it. They need scores in [0, 1].

use super::{MetricError, check};

/// Scores are clipped to [eps, 1 − eps] by this where a caller has no other wish (float64 machine epsilon, as
/// scikit-learn does).
pub const LOG_LOSS_EPS: f64 = f64::EPSILON;

fn check_probabilities(scores: &[f64], labels: &[u8]) -> Result<(), MetricError> {
    check(scores, labels)?;
    match scores.iter().position(|s| !(0.0..=1.0).contains(s)) {
        Some(index) => Err(MetricError::NotProbability { index, value: scores[index] }),
        None => Ok(()),
    }
}

/// Mean −log P(label), natural logarithm, scores clipped to [eps, 1 − eps].
///
/// The clip decides the number as soon as one confident answer is wrong, so it is part of the result.
///
/// # Errors
/// Empty, unequal lengths, not finite, a bad label, a score outside [0, 1].
pub fn log_loss(scores: &[f64], labels: &[u8], eps: f64) -> Result<f64, MetricError> {
    check_probabilities(scores, labels)?;
    let sum: f64 = scores
        .iter()
        .zip(labels)
        .map(|(&s, &l)| {
            let p = s.clamp(eps, 1.0 - eps);
            if l == 1 { -p.ln() } else { -(1.0 - p).ln() }
        })
        .sum();
    Ok(sum / scores.len() as f64)
}

/// Mean squared difference of score and label.
///
/// # Errors
/// As [`log_loss`].
pub fn brier(scores: &[f64], labels: &[u8]) -> Result<f64, MetricError> {
    check_probabilities(scores, labels)?;
    let sum: f64 = scores.iter().zip(labels).map(|(&s, &l)| (s - f64::from(l)).powi(2)).sum();
    Ok(sum / scores.len() as f64)
}

/// Expected calibration error: Σ over `bins` equal-width bins of P(fake) of (share of samples) ·
/// |mean score − share of fakes|. A score of exactly 1 falls in the last bin.
///
/// # Errors
/// As [`log_loss`]; no bins.
pub fn ece(scores: &[f64], labels: &[u8], bins: usize) -> Result<f64, MetricError> {
    check_probabilities(scores, labels)?;
    if bins == 0 {
        return Err(MetricError::Argument { what: "bins", value: 0.0, range: "1.." });
    }
    let mut sums = vec![(0.0, 0usize); bins]; // (sum of scores, fakes)
    for (&s, &l) in scores.iter().zip(labels) {
        let bin = &mut sums[((s * bins as f64) as usize).min(bins - 1)];
        bin.0 += s;
        bin.1 += usize::from(l);
    }
    Ok(sums.iter().map(|&(sum, fakes)| (sum - fakes as f64).abs()).sum::<f64>() / scores.len() as f64)
}
