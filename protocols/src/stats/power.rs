//! What a test list can resolve at all: the smallest difference of two AUCs that it would find.
//!
//! Hanley & McNeil, Radiology 1982, for the standard error; correlation of the two models as in Radiology 1983.
//! On 108 real and 340 fake videos an AUC of 0.914 has a standard error of 1.3 points, so a gain of one point
//! proves nothing there.

use super::normal;
use crate::metrics::MetricError;

/// Hanley-McNeil standard error of an AUC from `real` and `fake` independent samples.
///
/// # Errors
/// A class without samples; `auc` outside [0, 1].
pub fn auc_standard_error(auc: f64, real: usize, fake: usize) -> Result<f64, MetricError> {
    crate::metrics::both_classes([real, fake])?;
    if !(0.0..=1.0).contains(&auc) {
        return Err(MetricError::Argument { what: "auc", value: auc, range: "[0, 1]" });
    }
    let (real, fake) = (real as f64, fake as f64);
    let q1 = auc / (2.0 - auc);
    let q2 = 2.0 * auc * auc / (1.0 + auc);
    let variance = auc * (1.0 - auc) + (fake - 1.0) * (q1 - auc * auc) + (real - 1.0) * (q2 - auc * auc);
    Ok((variance.max(0.0) / (real * fake)).sqrt())
}

/// Smallest difference of two AUCs near `auc` that a two-sided paired test at level `alpha` finds with probability
/// `power`, when the two models' AUCs correlate by `correlation` (0.5 is typical of detectors on the same videos).
///
/// # Errors
/// As [`auc_standard_error`]; `correlation` outside [0, 1), `alpha` or `power` outside (0, 1).
pub fn minimum_detectable_difference(
    auc: f64,
    [real, fake]: [usize; 2],
    correlation: f64,
    alpha: f64,
    power: f64,
) -> Result<f64, MetricError> {
    for (what, value, open) in
        [("correlation", correlation, false), ("alpha", alpha, true), ("power", power, true)]
    {
        if !(value < 1.0 && (value > 0.0 || (!open && value == 0.0))) {
            return Err(MetricError::Argument { what, value, range: "(0, 1)" });
        }
    }
    let z = normal::quantile(1.0 - alpha / 2.0) + normal::quantile(power);
    Ok(z * (2.0 * (1.0 - correlation)).sqrt() * auc_standard_error(auc, real, fake)?)
}

#[cfg(test)]
mod tests {
    use super::{auc_standard_error, minimum_detectable_difference};

    #[test]
    fn the_celeb_df_example() {
        let se = auc_standard_error(0.914, 108, 340).unwrap();
        assert!((se - 0.013).abs() < 0.001, "{se}");
        let found = minimum_detectable_difference(0.914, [108, 340], 0.5, 0.05, 0.8).unwrap();
        assert!((found - 2.801_585 * se).abs() < 1e-6, "{found}");
        assert!(minimum_detectable_difference(0.9, [0, 3], 0.5, 0.05, 0.8).is_err());
        assert!(minimum_detectable_difference(0.9, [3, 3], 1.0, 0.05, 0.8).is_err());
    }
}
