//! DeLong's variance of an AUC, and the paired test of two AUCs on the same samples.
//!
//! DeLong, DeLong & Clarke-Pearson, Biometrics 1988, with the O(n log n) placements of Sun & Xu, IEEE SPL 2014.
//! Samples are taken as independent, so feed it videos, not frames.

use super::normal;
use crate::metrics::{MetricError, check_two};

/// An AUC with its DeLong variance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeLong {
    /// First model's AUC.
    pub auc: f64,
    /// Its variance.
    pub variance: f64,
}

/// A paired comparison of two models.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Paired {
    /// First model.
    pub a: DeLong,
    /// Second model.
    pub b: DeLong,
    /// a − b.
    pub difference: f64,
    /// Standard error of the difference.
    pub standard_error: f64,
    /// Two-sided p-value of "no difference"; 1 where both models agree on every pair.
    pub p: f64,
}

/// AUC and variance of one model.
///
/// # Errors
/// As [`crate::metrics::auc`]; a class with a single sample has no variance.
pub fn delong(scores: &[f64], labels: &[u8]) -> Result<DeLong, MetricError> {
    let parts = placements(scores, labels)?;
    let variance = parts.covariance(&parts);
    Ok(DeLong { auc: parts.auc, variance })
}

/// Paired test: `a` and `b` are two models' scores of the same samples.
///
/// # Errors
/// As [`delong`], for either.
pub fn delong_paired(a: &[f64], b: &[f64], labels: &[u8]) -> Result<Paired, MetricError> {
    let (pa, pb) = (placements(a, labels)?, placements(b, labels)?);
    let (va, vb, cov) = (pa.covariance(&pa), pb.covariance(&pb), pa.covariance(&pb));
    let (difference, variance) = (pa.auc - pb.auc, (va + vb - 2.0 * cov).max(0.0));
    let standard_error = variance.sqrt();
    // rounding leaves about 1e-17 where the two rank alike
    let p = match (difference.abs() < 1e-12, variance < 1e-20) {
        (true, true) => 1.0,
        (false, true) => 0.0,
        _ => normal::two_sided(difference / standard_error),
    };
    Ok(Paired {
        a: DeLong { auc: pa.auc, variance: va },
        b: DeLong { auc: pb.auc, variance: vb },
        difference,
        standard_error,
        p,
    })
}

/// For each sample the share of the other class that it is on the right side of (ties count half).
struct Placements {
    real: Vec<f64>,
    fake: Vec<f64>,
    auc: f64,
}

impl Placements {
    fn covariance(&self, other: &Self) -> f64 {
        let part = |x: &[f64], y: &[f64]| {
            let products: f64 = x.iter().zip(y).map(|(a, b)| (a - self.auc) * (b - other.auc)).sum();
            products / (x.len() - 1) as f64 / x.len() as f64
        };
        part(&self.real, &other.real) + part(&self.fake, &other.fake)
    }
}

fn placements(scores: &[f64], labels: &[u8]) -> Result<Placements, MetricError> {
    let [real, fake] = check_two(scores, labels)?;
    if real < 2 || fake < 2 {
        return Err(MetricError::OneClass { real, fake });
    }
    let of = |class| {
        scores.iter().zip(labels).filter(|(_, l)| **l == class).map(|(s, _)| *s).collect::<Vec<f64>>()
    };
    let (reals, fakes) = (of(0), of(1));
    let sorted = |values: &[f64]| {
        let mut v = values.to_vec();
        v.sort_unstable_by(f64::total_cmp);
        v
    };
    let (rising_reals, rising_fakes) = (sorted(&reals), sorted(&fakes));
    let below = |rising: &[f64], s: f64| {
        (rising.partition_point(|&x| x < s) + rising.partition_point(|&x| x <= s)) as f64
            / (2 * rising.len()) as f64
    };
    let fake: Vec<f64> = fakes.iter().map(|&s| below(&rising_reals, s)).collect();
    let real: Vec<f64> = reals.iter().map(|&s| 1.0 - below(&rising_fakes, s)).collect();
    let auc = fake.iter().sum::<f64>() / fake.len() as f64;
    Ok(Placements { real, fake, auc })
}
