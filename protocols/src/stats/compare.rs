//! Two models on the same test set: difference of video AUC with its interval and p-values.
//!
//! The two score files must hold exactly the same samples; comparing on an intersection would hide which frames
//! one model never scored. Correct several test sets together with [`holm`](super::holm()).

use std::collections::BTreeSet;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::bootstrap::{Observations, Plan, auc_resamples, auc_resamples_of};
use super::delong::delong_paired;
use crate::error::{Error, Result};
use crate::evaluate::Interval;
use crate::metrics::{MetricError, video};
use crate::protocol::Aggregation;
use crate::scores::ScoreRow;

/// Scores that are sorted and held together, at 8 bytes each.
const AT_ONCE: usize = 16 << 20;

/// A paired comparison at video level; a − b.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Test set.
    pub set: String,
    /// Video AUC of the first model.
    pub auc_a: f64,
    /// Video AUC of the second model.
    pub auc_b: f64,
    /// Difference a − b.
    pub difference: f64,
    /// 95 % interval of the difference: paired bootstrap over videos.
    pub interval: Option<Interval>,
    /// Two-sided p-value of the paired DeLong test.
    pub p_delong: f64,
    /// Two-sided p-value of the paired bootstrap, at least 2/(resamples + 1).
    pub p_bootstrap: f64,
    /// Videos: `[real, fake]`.
    pub videos: [usize; 2],
}

/// Compare `a` and `b` on test set `set`.
///
/// # Errors
/// The two do not hold the same samples with the same labels, or a metric is undefined.
pub fn compare(
    set: &str,
    a: &[ScoreRow],
    b: &[ScoreRow],
    aggregation: Aggregation,
    resamples: usize,
    seed: u64,
) -> Result<Comparison> {
    let rows =
        |all: &'_ [ScoreRow]| -> Vec<usize> { (0..all.len()).filter(|&i| all[i].set == set).collect() };
    let (ia, ib) = (rows(a), rows(b));
    let (ra, rb): (Vec<&ScoreRow>, Vec<&ScoreRow>) =
        (ia.iter().map(|&i| &a[i]).collect(), ib.iter().map(|&i| &b[i]).collect());
    same_samples(set, &ra, &rb)?;
    let (va, vb) = (video::group(&ra, aggregation)?, video::group(&rb, aggregation)?);
    let labels: Vec<u8> = va.iter().map(|v| v.row.label).collect();
    let (sa, sb): (Vec<f64>, Vec<f64>) =
        (va.iter().map(|v| v.score).collect(), vb.iter().map(|v| v.score).collect());
    let mut one = compare_videos(set, &[&sa], &sb, &labels, resamples, seed)?;
    Ok(one.remove(0))
}

/// Compare each of `models` with `b`, all of them scores of the same videos in the same order.
///
/// The weights of the resamples are drawn once, so that hundreds of models cost little more than their sorting.
///
/// # Errors
/// A metric is undefined.
pub fn compare_videos(
    set: &str,
    models: &[&[f64]],
    b: &[f64],
    labels: &[u8],
    resamples: usize,
    seed: u64,
) -> Result<Vec<Comparison>> {
    let undefined = |source: MetricError| Error::Metric { set: set.to_owned(), level: "video", source };
    let clusters: Vec<u32> = (0..labels.len() as u32).collect();
    let observed = Observations { scores: b, labels, clusters: &clusters };
    let plan = Plan::new(&observed, resamples, seed).map_err(undefined)?;
    let resampled_b = auc_resamples(&observed, &plan).map_err(undefined)?;
    let fake = labels.iter().filter(|&&l| l == 1).count();
    let at_once = (AT_ONCE / labels.len().max(1)).max(1);
    let mut out = Vec::with_capacity(models.len());
    for models in models.chunks(at_once) {
        let resampled = auc_resamples_of(models, labels, &clusters, &plan).map_err(undefined)?;
        let compared = models.par_iter().zip(&resampled).map(|(a, resampled)| {
            let differences: Vec<f64> = resampled.iter().zip(&resampled_b).map(|(x, y)| x - y).collect();
            let test = delong_paired(a, b, labels).map_err(undefined)?;
            let beyond = |keep: fn(f64) -> bool| differences.iter().filter(|d| keep(**d)).count();
            let tail = beyond(|d| d <= 0.0).min(beyond(|d| d >= 0.0));
            Ok(Comparison {
                set: set.to_owned(),
                auc_a: test.a.auc,
                auc_b: test.b.auc,
                difference: test.difference,
                interval: plan.interval(&differences),
                p_delong: test.p,
                p_bootstrap: (2.0 * (tail + 1) as f64 / (resamples + 1) as f64).min(1.0),
                videos: [labels.len() - fake, fake],
            })
        });
        out.extend(compared.collect::<Result<Vec<Comparison>>>()?);
    }
    Ok(out)
}

fn same_samples(set: &str, a: &[&ScoreRow], b: &[&ScoreRow]) -> Result<()> {
    let ids = |rows: &[&ScoreRow]| rows.iter().map(|r| (r.id(), r.label)).collect::<BTreeSet<_>>();
    let (ids_a, ids_b) = (ids(a), ids(b));
    let only_a = ids_a.difference(&ids_b).count();
    let only_b = ids_b.difference(&ids_a).count();
    match ids_a.symmetric_difference(&ids_b).next() {
        Some((example, _)) => {
            Err(Error::DifferentSamples { set: set.to_owned(), only_a, only_b, example: example.clone() })
        }
        None => Ok(()),
    }
}
