//! A perceptron with hidden layers on the pooled features: what a probe gains from being non-linear.
//!
//! Linear → GELU → dropout for each hidden layer, then a linear layer; weights Xavier-uniform, biases 0.
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

config! {
    /// Settings of the perceptron.
    pub struct MlpConfig {
        /// widths of the hidden layers
        hidden: Vec<usize> = vec![512],
        /// share of hidden values dropped while training
        dropout: f64 = 0.1,
        /// which parameters train
        train: Train = Train::Head,
    }
}

/// The head.
pub struct Mlp {
    config: MlpConfig,
    hidden: Vec<nn::Linear>,
    out: nn::Linear,
}

impl Component for Mlp {
    const NAME: &'static str = "mlp";
    const SUMMARY: &'static str = "perceptron with hidden layers on the pooled features";
    type Config = MlpConfig;
}

impl Head for Mlp {
    fn create(config: MlpConfig, p: &Params, features: &FeatureSpec, _: &Ctx) -> Result<Self> {
        if config.hidden.contains(&0) || !(0.0..1.0).contains(&config.dropout) {
            bail!("hidden layers need a width of at least 1, and dropout is in [0, 1)");
        }
        let p = p.pp("head");
        let mut width = features.width;
        let mut hidden = Vec::new();
        for (i, next) in config.hidden.iter().enumerate() {
            hidden.push(nn::Linear::new(width, *next, &p.pp(format!("fc{}", i + 1)))?);
            width = *next;
        }
        let out = nn::Linear::new(width, features.classes, &p.pp("out"))?;
        Ok(Self { config, hidden, out })
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

    fn forward(&self, f: &Features, ctx: &Ctx) -> Result<HeadOutput> {
        let mut x = f.pooled.clone();
        for layer in &self.hidden {
            x = layer.forward_gelu(&x)?.dropout(self.config.dropout, ctx)?; // (B, hidden)
        }
        Ok(HeadOutput::logits(self.out.forward(&x)?)) // (B, C)
    }
}

export_plugin! { heads: [Mlp] }

#[cfg(test)]
mod tests {
    use super::*;
    use facebench_plugin::testing;

    #[test]
    fn settings_are_consistent() {
        testing::check_head::<Mlp>().unwrap();
    }
}
