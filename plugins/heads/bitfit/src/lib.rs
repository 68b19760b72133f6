//! BitFit: only the biases of the backbone train, and a linear layer on top (arXiv 2106.10199).
#![cfg_attr(test, allow(clippy::unwrap_used))]

use facebench_plugin::prelude::*;

config! {
    /// Settings.
    pub struct BitfitConfig {
        /// standard deviation of the linear layer's starting weights
        std: f64 = 2e-5,
    }
}

/// The head.
pub struct Bitfit {
    fc: nn::Linear,
}

impl Component for Bitfit {
    const NAME: &'static str = "bitfit";
    const SUMMARY: &'static str = "the backbone's biases and a linear layer";
    type Config = BitfitConfig;
}

impl Head for Bitfit {
    fn create(config: BitfitConfig, p: &Params, features: &FeatureSpec, _: &Ctx) -> Result<Self> {
        let init = Init::trunc_normal(config.std);
        Ok(Self { fc: nn::Linear::with_init(features.width, features.classes, init, &p.pp("head"))? })
    }

    fn scope(&self) -> Scope {
        Scope::Named(vec!["*.bias".to_owned()])
    }

    fn reads_tokens(&self) -> bool {
        false
    }

    fn forward(&self, f: &Features, _: &Ctx) -> Result<HeadOutput> {
        Ok(HeadOutput::logits(self.fc.forward(&f.pooled)?)) // (B, C)
    }
}

export_plugin! { heads: [Bitfit] }

#[cfg(test)]
mod tests {
    use super::*;
    use facebench_plugin::testing;

    #[test]
    fn settings_are_consistent() {
        testing::check_head::<Bitfit>().unwrap();
    }
}
