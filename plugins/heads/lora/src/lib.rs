//! LoRA: a low-rank update of the attention weights and a linear layer on the pooled features (arXiv 2106.09685).
//!
//! W + (alpha / rank) · B A, by default on query and value as in the paper. The program keeps A and B, hands the
//! backbone the updated weights and merges them for scoring, so every vision transformer plugin works as it is.
#![cfg_attr(test, allow(clippy::unwrap_used))]

use facebench_plugin::prelude::*;

config! {
    /// Settings of the update.
    pub struct LoraConfig {
        /// rows of A
        rank: usize = 8,
        /// numerator of the update's scale
        alpha: f64 = 16.0,
        /// weights that are updated: q, k, v, proj, fc1, fc2
        targets: Vec<String> = vec!["q".to_owned(), "v".to_owned()],
        /// standard deviation of the linear layer's starting weights
        std: f64 = 2e-5,
    }
}

/// The words of `targets`.
const TARGETS: [&str; 6] = ["q", "k", "v", "proj", "fc1", "fc2"];

/// The head.
pub struct Lora {
    config: LoraConfig,
    fc: nn::Linear,
}

impl Component for Lora {
    const NAME: &'static str = "lora";
    const SUMMARY: &'static str = "low-rank update of a frozen transformer, linear layer on top";
    type Config = LoraConfig;
}

impl Head for Lora {
    fn create(config: LoraConfig, p: &Params, features: &FeatureSpec, _: &Ctx) -> Result<Self> {
        if config.rank == 0 || config.targets.is_empty() {
            bail!("rank must be at least 1, and at least one target is needed");
        }
        if let Some(odd) = config.targets.iter().find(|t| !TARGETS.contains(&t.as_str())) {
            bail!("unknown target {odd:?}\nhint: known: {}", TARGETS.join(", "));
        }
        let init = Init::trunc_normal(config.std);
        Ok(Self { fc: nn::Linear::with_init(features.width, features.classes, init, &p.pp("head"))?, config })
    }

    fn scope(&self) -> Scope {
        let LoraConfig { rank, alpha, targets, .. } = self.config.clone();
        Scope::LowRank(LowRank { rank, alpha, targets })
    }

    fn reads_tokens(&self) -> bool {
        false
    }

    fn forward(&self, f: &Features, _: &Ctx) -> Result<HeadOutput> {
        Ok(HeadOutput::logits(self.fc.forward(&f.pooled)?)) // (B, C)
    }
}

export_plugin! { heads: [Lora] }

#[cfg(test)]
mod tests {
    use super::*;
    use facebench_plugin::testing;

    #[test]
    fn settings_are_consistent() {
        testing::check_head::<Lora>().unwrap();
    }
}
