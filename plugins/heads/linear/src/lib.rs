//! One linear layer on the pooled features: the head of full fine-tuning and of linear probing (method.md 5.1).
//!
//! Weights start at N(0, (2·10⁻⁵)²), bias at 0. `train: all` is fine-tuning, `train: head` probing; a layer norm without
//! learned parameters may come first, as probes of raw features need.
#![cfg_attr(test, allow(clippy::unwrap_used))]

use facebench_plugin::prelude::*;

choice! {
    /// Which parameters train.
    pub enum Train {
        /// backbone and head
        All = "all",
        /// the head alone
        Head = "head",
    }
}

choice! {
    /// What happens to the features first.
    pub enum Norm {
        /// nothing
        None = "none",
        /// layer norm without learned parameters
        Layer = "layer",
    }
}

config! {
    /// Settings of the linear head.
    pub struct LinearConfig {
        /// which parameters train
        train: Train = Train::All,
        /// what happens to the features first
        norm: Norm = Norm::None,
        /// standard deviation of the starting weights
        std: f64 = 2e-5,
    }
}

/// The head.
pub struct Linear {
    config: LinearConfig,
    fc: nn::Linear,
    unit: Option<(Tensor, Tensor)>, // weight 1 and bias 0 of the layer norm
}

impl Component for Linear {
    const NAME: &'static str = "linear";
    const SUMMARY: &'static str = "one linear layer: full fine-tuning or linear probing";
    type Config = LinearConfig;
}

impl Head for Linear {
    fn create(config: LinearConfig, p: &Params, features: &FeatureSpec, ctx: &Ctx) -> Result<Self> {
        let width = features.width;
        let unit = match config.norm {
            Norm::None => None,
            Norm::Layer => Some((ctx.full(1.0, width)?, ctx.full(0.0, width)?)),
        };
        let fc =
            nn::Linear::with_init(width, features.classes, Init::trunc_normal(config.std), &p.pp("head"))?;
        Ok(Self { config, fc, unit })
    }

    fn scope(&self) -> Scope {
        match self.config.train {
            Train::All => Scope::All,
            Train::Head => Scope::HeadOnly,
        }
    }

    fn reads_tokens(&self) -> bool {
        false
    }

    fn forward(&self, f: &Features, _: &Ctx) -> Result<HeadOutput> {
        let logits = match &self.unit {
            Some((weight, bias)) => self.fc.forward(&f.pooled.layer_norm(weight, bias, 1e-6)?)?,
            None => self.fc.forward(&f.pooled)?,
        };
        Ok(HeadOutput::logits(logits)) // (B, C)
    }
}

export_plugin! { heads: [Linear] }

#[cfg(test)]
mod tests {
    use super::*;
    use facebench_plugin::testing;

    #[test]
    fn settings_are_consistent() {
        testing::check_head::<Linear>().unwrap();
    }

    #[test]
    fn a_typo_is_answered_with_the_word() {
        let cfg = facebench_plugin::serde_json::json!({"train": "heads"});
        let e = LinearConfig::from_value(&cfg).unwrap_err().to_string();
        assert!(e.contains("did you mean \"head\""), "{e}");
    }
}
