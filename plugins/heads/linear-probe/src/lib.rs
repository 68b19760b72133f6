//! Linear probe: one linear layer on frozen features, each standardised by the training set's mean and deviation.
//!
//! Standardising makes one learning rate fit every backbone, whatever the scale of its features (the same purpose as
//! the batch norm without learned parameters of MAE's probe, arXiv 2111.06377, appendix A.1).
#![cfg_attr(test, allow(clippy::unwrap_used))]

use facebench_plugin::prelude::*;

config! {
    /// Settings of the probe.
    pub struct ProbeConfig {
        /// standard deviation of the starting weights
        std: f64 = 0.01,
        /// standardise the features
        standardise: bool = true,
    }
}

/// The head.
pub struct Probe {
    standard: Option<(Tensor, Tensor)>, // mean (D), deviation (D)
    fc: nn::Linear,
}

impl Component for Probe {
    const NAME: &'static str = "linear-probe";
    const SUMMARY: &'static str = "one linear layer on frozen, standardised features";
    type Config = ProbeConfig;
}

impl Head for Probe {
    fn create(config: ProbeConfig, p: &Params, features: &FeatureSpec, _: &Ctx) -> Result<Self> {
        let width = features.width;
        let standard = match config.standardise {
            false => None,
            true => {
                let fit = p.pp("fit");
                let mean = fit.get_values("mean", width, &vec![0.0; width], false)?;
                Some((mean, fit.get_values("std", width, &vec![1.0; width], false)?))
            }
        };
        let init = Init::trunc_normal(config.std);
        Ok(Self { standard, fc: nn::Linear::with_init(width, features.classes, init, &p.pp("head"))? })
    }

    fn scope(&self) -> Scope {
        Scope::HeadOnly
    }

    fn reads_tokens(&self) -> bool {
        false
    }

    fn forward(&self, f: &Features, _: &Ctx) -> Result<HeadOutput> {
        let x = match &self.standard {
            None => f.pooled.clone(),
            Some((mean, std)) => ((&f.pooled - mean)? / std)?,
        };
        Ok(HeadOutput::logits(self.fc.forward(&x)?)) // (B, C)
    }
}

export_plugin! { heads: [Probe] }

#[cfg(test)]
mod tests {
    use super::*;
    use facebench_plugin::testing;

    #[test]
    fn settings_are_consistent() {
        testing::check_head::<Probe>().unwrap();
    }
}
