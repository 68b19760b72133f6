//! k nearest neighbours among the training features, nothing trained: the weighted vote of DINO (arXiv 2104.14294, 4.1).
//!
//! Cosine similarity to every training frame; the k most similar vote for their class with weight exp(s / T), T = 0.07.
//! Logits are logarithms of the classes' shares, floored so that a unanimous vote stays finite.
#![cfg_attr(test, allow(clippy::unwrap_used))]

use facebench_plugin::prelude::*;

config! {
    /// Settings of the vote.
    pub struct KnnConfig {
        /// neighbours that vote
        k: usize = 20,
        /// T, temperature of their weights
        temperature: f64 = 0.07,
    }
}

/// Smallest share of a class: e⁻²⁰ or so, far beyond what a vote can resolve.
const FLOOR: f64 = 1e-9;

/// The head.
pub struct Knn {
    config: KnnConfig,
    features: Tensor, // (N, D)
    labels: Tensor,   // (N)
}

impl Component for Knn {
    const NAME: &'static str = "knn";
    const SUMMARY: &'static str = "k nearest neighbours among the training features, no training";
    type Config = KnnConfig;
}

impl Head for Knn {
    fn create(config: KnnConfig, p: &Params, spec: &FeatureSpec, _: &Ctx) -> Result<Self> {
        if config.k == 0 || config.temperature <= 0.0 {
            bail!("k must be at least 1 and the temperature positive");
        }
        if config.k > spec.samples && spec.samples > 0 {
            bail!("k is {}, and there are {} training frames", config.k, spec.samples);
        }
        let (n, d) = (spec.samples, spec.width);
        let fit = p.pp("fit");
        Ok(Self {
            features: fit.get_values("features", [n, d], &vec![0.0; n * d], false)?,
            labels: fit.get_values("labels", n, &vec![0.0; n], false)?,
            config,
        })
    }

    fn scope(&self) -> Scope {
        Scope::HeadOnly
    }

    fn reads_tokens(&self) -> bool {
        false
    }

    fn forward(&self, f: &Features, ctx: &Ctx) -> Result<HeadOutput> {
        let labels = self.labels.to_vec_f32()?;
        let bank = self.features.normalise(1, 1e-12)?;
        let similar = f.pooled.normalise(1, 1e-12)?.matmul(&bank.t()?.contiguous()?)?; // (B, N)
        let (b, n) = similar.dims2()?;
        if n == 0 {
            bail!("no training features to compare with");
        }
        let mut logits = Vec::with_capacity(2 * b);
        for row in similar.to_vec_f32()?.chunks_exact(n) {
            logits.extend(vote(row, &labels, self.config.k, self.config.temperature).map(|v| v as f32));
        }
        Ok(HeadOutput::logits(ctx.from_f32(&logits, [b, 2])?)) // (B, 2)
    }
}

/// Logarithms of the shares of [real, fake] among the k most similar; equal similarities in order of the samples.
fn vote(similar: &[f32], labels: &[f32], k: usize, temperature: f64) -> [f64; 2] {
    let mut order: Vec<usize> = (0..similar.len()).collect();
    let nearer = |a: &usize, b: &usize| similar[*b].total_cmp(&similar[*a]).then(a.cmp(b));
    if k < order.len() {
        order.select_nth_unstable_by(k - 1, nearer);
        order.truncate(k);
    }
    order.sort_unstable_by(nearer);
    let top = f64::from(similar[order[0]]);
    let mut votes = [0.0; 2];
    for i in order {
        // relative to the nearest, so that no temperature overflows
        votes[usize::from(labels[i] > 0.5)] += ((f64::from(similar[i]) - top) / temperature).exp();
    }
    let all = votes[0] + votes[1];
    votes.map(|v| (v / all).max(FLOOR).ln())
}

export_plugin! { heads: [Knn] }

#[cfg(test)]
mod tests {
    use super::*;
    use facebench_plugin::testing;

    #[test]
    fn settings_are_consistent() {
        testing::check_head::<Knn>().unwrap();
    }

    #[test]
    fn the_nearest_vote_by_similarity() {
        let (similar, labels) = ([0.9, 0.1, 0.8, 0.85, -1.0], [1.0, 0.0, 0.0, 1.0, 0.0]);
        let weight = |s: f32| (f64::from(s) / 0.07).exp();
        let [real, fake] = vote(&similar, &labels, 3, 0.07);
        let (r, f) = (weight(0.8), weight(0.9) + weight(0.85));
        assert!((real - (r / (r + f)).ln()).abs() < 1e-9 && (fake - (f / (r + f)).ln()).abs() < 1e-9);
        let [real, fake] = vote(&similar, &labels, 1, 0.07);
        assert!((real - FLOOR.ln()).abs() < 1e-12 && fake == 0.0);
        // all vote when k is the whole set
        assert!(vote(&similar, &labels, 5, 1e3)[0] > vote(&similar, &labels, 5, 1e3)[1]);
    }
}
