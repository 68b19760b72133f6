//! Cluster bootstrap: resample whole videos (or people), stratified by class, and look at the spread of a metric.
//!
//! Scores are sorted once. One resample is a whole-number weight per cluster, and its AUC one pass over the sorted
//! frames; eight resamples share a pass. All sums are whole numbers below 2⁵³, hence exact in f64, hence the same
//! whatever the order of work. Stratifying by class keeps the class sizes of the test list, which are part of it.
//!
//! Intervals of AUC are BCa (Efron, JASA 1987), because near 1 an AUC's distribution is skewed, and expanded by
//! t·√(n/(n − 1)) for the n of the smaller class (Hesterberg, American Statistician 2015), because resampling n
//! videos spreads a little less than drawing n new ones. Plain percentiles of 50 + 60 videos contain the truth in
//! 92 to 94 % of draws; these in 94 to 96 %.

use rayon::prelude::*;

use super::normal;
use crate::evaluate::Interval;
use crate::metrics::{MetricError, auc, check_two};
use crate::rng::Stream;

/// Resamples that share one pass over the data.
const LANES: usize = 8;

/// Scored samples with the cluster that each belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Observations<'a> {
    /// P(fake), or any score that rises with it.
    pub scores: &'a [f64],
    /// 1 = fake.
    pub labels: &'a [u8],
    /// Cluster of each sample, numbered from 0 without gaps.
    pub clusters: &'a [u32],
}

/// Which clusters are drawn in each resample. Two metrics resampled by one plan are paired.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    strata: Vec<Vec<u32>>,
    clusters: usize,
    /// Number of resamples.
    pub resamples: usize,
    /// Seed; resample `b` draws from its own stream.
    pub seed: u64,
}

impl Plan {
    /// Resample clusters within strata: those with only real, only fake, and both kinds of samples.
    ///
    /// # Errors
    /// As [`crate::metrics::auc`]; a cluster number without samples.
    pub fn new(data: &Observations, resamples: usize, seed: u64) -> Result<Self, MetricError> {
        check_two(data.scores, data.labels)?;
        if data.clusters.len() != data.scores.len() {
            return Err(MetricError::Length { scores: data.scores.len(), labels: data.clusters.len() });
        }
        let clusters = data.clusters.iter().max().map_or(0, |&c| c as usize + 1);
        let mut kinds = vec![0u8; clusters]; // bit 0: has real, bit 1: has fake
        for (&cluster, &label) in data.clusters.iter().zip(data.labels) {
            kinds[cluster as usize] |= 1 << label;
        }
        if let Some(empty) = kinds.iter().position(|&k| k == 0) {
            return Err(MetricError::Argument {
                what: "cluster",
                value: empty as f64,
                range: "clusters with samples",
            });
        }
        let of_kind =
            |kind| (0..clusters as u32).filter(|&c| kinds[c as usize] == kind).collect::<Vec<u32>>();
        let strata = (1..=3).map(of_kind).filter(|s| !s.is_empty()).collect();
        Ok(Self { strata, clusters, resamples, seed })
    }

    /// How often each cluster is drawn in resample `index`.
    pub fn weights(&self, index: usize) -> Vec<u32> {
        let mut weights = vec![0; self.clusters];
        let mut stream = Stream::new("bootstrap", self.seed, &[&index.to_string()]);
        for stratum in &self.strata {
            for _ in 0..stratum.len() {
                weights[stratum[stream.below(stratum.len())] as usize] += 1;
            }
        }
        weights
    }

    /// `statistic` of each resample's weights, in order.
    pub fn map(&self, statistic: impl Fn(&[u32]) -> f64 + Sync) -> Vec<f64> {
        (0..self.resamples).into_par_iter().map(|b| statistic(&self.weights(b))).collect()
    }
}

/// AUC of each resample of `plan`.
///
/// # Errors
/// As [`Plan::new`].
pub fn auc_resamples(data: &Observations, plan: &Plan) -> Result<Vec<f64>, MetricError> {
    let mut one = auc_resamples_of(&[data.scores], data.labels, data.clusters, plan)?;
    Ok(one.pop().unwrap_or_default())
}

/// As [`auc_resamples`], for several models that scored the same samples: the weights are drawn once for all.
///
/// # Errors
/// As [`Plan::new`].
pub fn auc_resamples_of(
    models: &[&[f64]],
    labels: &[u8],
    clusters: &[u32],
    plan: &Plan,
) -> Result<Vec<Vec<f64>>, MetricError> {
    let sorted: Vec<Vec<Step>> = models
        .par_iter()
        .map(|scores| {
            check_two(scores, labels)?;
            Ok(steps(&Observations { scores, labels, clusters }))
        })
        .collect::<Result<_, MetricError>>()?;
    let mut sizes = vec![[0.0; 2]; plan.clusters]; // real, fake
    for (&cluster, &label) in clusters.iter().zip(labels) {
        sizes[cluster as usize][usize::from(label)] += 1.0;
    }
    let blocks: Vec<Vec<[f64; LANES]>> = (0..plan.resamples.div_ceil(LANES))
        .into_par_iter()
        .map(|block| {
            let wanted = (plan.resamples - block * LANES).min(LANES);
            let mut weights = vec![[0.0; LANES]; plan.clusters];
            let mut totals = [[0.0; 2]; LANES];
            for lane in 0..wanted {
                for (cluster, w) in plan.weights(block * LANES + lane).into_iter().enumerate() {
                    weights[cluster][lane] = f64::from(w);
                    totals[lane][0] += f64::from(w) * sizes[cluster][0];
                    totals[lane][1] += f64::from(w) * sizes[cluster][1];
                }
            }
            let of_model = |steps: &Vec<Step>| {
                let mut aucs = twice_wins(steps, &weights);
                (0..wanted).for_each(|i| aucs[i] /= 2.0 * totals[i][0] * totals[i][1]);
                aucs
            };
            sorted.iter().map(of_model).collect()
        })
        .collect();
    let of_model = |m: usize| {
        let all = blocks.iter().flat_map(|b| b[m]);
        all.take(plan.resamples).collect()
    };
    Ok((0..models.len()).map(of_model).collect())
}

/// The 95 % interval of the AUC: expanded BCa. `None` where a class has a single cluster.
///
/// Where every resample ranks perfectly the interval is the single point 1, which says that the test set is too
/// easy or too small to tell, not that the detector is perfect.
///
/// # Errors
/// As [`Plan::new`].
pub fn auc_interval(data: &Observations, plan: &Plan) -> Result<Option<Interval>, MetricError> {
    let Some(z) = plan.expanded_z() else { return Ok(None) };
    let resampled = auc_resamples(data, plan)?;
    let observed = auc(data.scores, data.labels)?;
    let (mut squares, mut cubes) = (0.0, 0.0);
    for e in auc_effects(data, plan.clusters, observed) {
        squares += e * e;
        cubes += e * e * e;
    }
    let acceleration = if squares > 0.0 { cubes / (6.0 * f64::powf(squares, 1.5)) } else { 0.0 };
    Ok(bca(&resampled, Some(observed), acceleration, z))
}

/// d AUC / d weight of each cluster, at weight 1.
fn auc_effects(data: &Observations, clusters: usize, auc: f64) -> Vec<f64> {
    let class = |wanted: u8| {
        let mut v: Vec<f64> =
            data.scores.iter().zip(data.labels).filter(|(_, l)| **l == wanted).map(|(s, _)| *s).collect();
        v.sort_unstable_by(f64::total_cmp);
        v
    };
    let sorted = [class(0), class(1)];
    let mut effects = vec![0.0; clusters];
    for ((&score, &label), &cluster) in data.scores.iter().zip(data.labels).zip(data.clusters) {
        let other = &sorted[usize::from(1 - label)];
        let under = other.partition_point(|&x| x < score) + other.partition_point(|&x| x <= score);
        let below = under as f64 / (2 * other.len()) as f64;
        let right = if label == 1 { below } else { 1.0 - below };
        effects[cluster as usize] += (right - auc) / sorted[usize::from(label)].len() as f64;
    }
    effects
}

/// One step of the pass over rising scores.
#[derive(Clone, Copy)]
struct Step {
    cluster: u32,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// A real: from here on, fakes win against it.
    Real,
    /// A fake: wins twice over against every real below.
    Fake,
    /// A fake that ties with reals: taken once before them and once after, each counting single.
    HalfFake,
}

fn steps(data: &Observations) -> Vec<Step> {
    let mut order: Vec<u32> = (0..data.scores.len() as u32).collect();
    order.par_sort_unstable_by(|&a, &b| {
        data.scores[a as usize].total_cmp(&data.scores[b as usize]).then(a.cmp(&b))
    });
    let mut steps = Vec::with_capacity(order.len());
    // −0 and +0 are neighbours in this order and equal here
    for ties in order.chunk_by(|&a, &b| data.scores[a as usize] == data.scores[b as usize]) {
        let is_fake = |i: &&u32| data.labels[**i as usize] == 1;
        let mixed = ties.iter().any(|i| is_fake(&i)) && !ties.iter().all(|i| is_fake(&i));
        let kind = if mixed { Kind::HalfFake } else { Kind::Fake };
        let step = |kind| move |i: &u32| Step { cluster: data.clusters[*i as usize], kind };
        steps.extend(ties.iter().filter(is_fake).map(step(kind)));
        if mixed || kind == Kind::Fake {
            steps.extend(ties.iter().filter(|i| !is_fake(i)).map(step(Kind::Real)));
        }
        if mixed {
            steps.extend(ties.iter().filter(is_fake).map(step(kind)));
        }
    }
    steps
}

/// 2·(weighted wins) + (weighted ties) of each lane.
fn twice_wins(steps: &[Step], weights: &[[f64; LANES]]) -> [f64; LANES] {
    let (mut below, mut wins) = ([0.0; LANES], [0.0; LANES]);
    for step in steps {
        let w = &weights[step.cluster as usize];
        match step.kind {
            Kind::Real => (0..LANES).for_each(|i| below[i] += w[i]),
            Kind::Fake => (0..LANES).for_each(|i| wins[i] += 2.0 * w[i] * below[i]),
            Kind::HalfFake => (0..LANES).for_each(|i| wins[i] += w[i] * below[i]),
        }
    }
    wins
}

impl Plan {
    /// What stands for 1.96: t·√(n/(n − 1)) with n − 1 degrees of freedom, n clusters in the smallest stratum.
    /// `None` where n is 1.
    fn expanded_z(&self) -> Option<f64> {
        let n = self.strata.iter().map(Vec::len).min().filter(|&n| n > 1)? as f64;
        let (z, v) = (Z95, n - 1.0);
        // Cornish-Fisher expansion of Student's t
        let t =
            z + (z.powi(3) + z) / (4.0 * v) + (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * v * v);
        Some(t * (n / (n - 1.0)).sqrt())
    }

    /// The 95 % interval of resampled `values` (any order): expanded percentiles. `None` of nothing, or where a
    /// class has a single cluster.
    pub fn interval(&self, values: &[f64]) -> Option<Interval> {
        bca(values, None, 0.0, self.expanded_z()?)
    }
}

/// Standard normal quantile of 0.975.
const Z95: f64 = 1.959_963_984_540_054;

/// Bias-corrected and accelerated interval at ±`z`; without an observed value, percentiles. `None` of nothing.
fn bca(values: &[f64], observed: Option<f64>, acceleration: f64, z: f64) -> Option<Interval> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let n = sorted.len() as f64;
    let bias = observed.map_or(0.0, |o| {
        let below = (sorted.partition_point(|&v| v < o) + sorted.partition_point(|&v| v <= o)) as f64 / 2.0;
        normal::quantile((below / n).clamp(0.5 / n, 1.0 - 0.5 / n))
    });
    let at = |z: f64| {
        let place = normal::cdf(bias + (bias + z) / (1.0 - acceleration * (bias + z))) * (n - 1.0);
        let (low, part) = (place.floor() as usize, place.fract());
        sorted[low] + part * (sorted[(low + 1).min(sorted.len() - 1)] - sorted[low])
    };
    (!sorted.is_empty()).then(|| Interval { low: at(-z), high: at(z) })
}
