//! Several training runs: resample seeds *and* videos, so that an interval covers the luck of both.
//!
//! All runs are scored on the same videos. One resample draws videos once (stratified by class) and as many runs
//! as there are, with replacement, and averages their AUCs. With fewer than three runs the spread of training is
//! hardly in it; the number of runs is part of the result.

use super::bootstrap::{Observations, Plan, auc_resamples};
use super::summary;
use crate::evaluate::Interval;
use crate::metrics::{MetricError, auc};
use crate::rng::Stream;

/// The mean AUC of several runs with its two-level interval.
#[derive(Clone, Debug, PartialEq)]
pub struct SeedSummary {
    /// AUC of each run, in the order given.
    pub aucs: Vec<f64>,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation with divisor n (what this field prints).
    pub std: f64,
    /// 95 % interval of the mean over seeds × videos; absent where a class has a single cluster.
    pub interval: Option<Interval>,
}

/// Two-level bootstrap over `runs` (scores of the same samples, one slice a seed) and clusters.
///
/// # Errors
/// No run, or as [`Plan::new`] for any.
pub fn two_level(
    runs: &[&[f64]],
    labels: &[u8],
    clusters: &[u32],
    resamples: usize,
    seed: u64,
) -> Result<SeedSummary, MetricError> {
    let mut aucs = Vec::with_capacity(runs.len());
    let mut table = Vec::with_capacity(runs.len());
    let mut plan = None;
    for &scores in runs {
        let data = Observations { scores, labels, clusters };
        aucs.push(auc(scores, labels)?);
        let shared: &Plan = plan.get_or_insert(Plan::new(&data, resamples, seed)?);
        table.push(auc_resamples(&data, shared)?);
    }
    let (Some(mean), Some(std), Some(plan)) = (summary::mean(&aucs), summary::std_population(&aucs), plan)
    else {
        return Err(MetricError::Empty);
    };
    let means: Vec<f64> = (0..resamples)
        .map(|b| {
            let mut stream = Stream::new("bootstrap-seeds", seed, &[&b.to_string()]);
            (0..runs.len()).map(|_| table[stream.below(runs.len())][b]).sum::<f64>() / runs.len() as f64
        })
        .collect();
    Ok(SeedSummary { interval: plan.interval(&means), mean, std, aucs })
}
