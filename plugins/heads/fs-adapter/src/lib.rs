//! FS-Adapter: a bottleneck beside the frozen features, with a real-anchored contrastive loss (arXiv 2510.10663; method.md 6).
//!
//! f ∈ ℝᴰ pooled; b = ReLU(W₁ f), W₁: D → D/4; a = ReLU(W₂ b), W₂: D/4 → D; logits = Head([f ; a]). While training also
//! z = normalise(W_p b + b_p), and the loss λ·L_rac pulls real faces together and away from all fakes. The published code has
//! real = 1; here labels are 1 = fake, so the anchor is label 0. The backbone, `fc_norm` included, stays frozen.
//! `classifier: fas-embedder` is the anti-spoofing variant (6.4): [f ; a] through the embedder, normalised over channels.
#![cfg_attr(test, allow(clippy::unwrap_used))]

use facebench_plugin::prelude::*;

mod contrast;

use contrast::Contrast;

choice! {
    /// What classifies [f ; a].
    pub enum Classifier {
        /// one linear layer
        Linear = "linear",
        /// the anti-spoofing embedder and its unit-column classifier
        Fas = "fas-embedder",
    }
}

config! {
    /// Settings of the adapter.
    pub struct AdapterConfig {
        /// D over the bottleneck's width
        reduction: usize = 4,
        /// what classifies
        classifier: Classifier = Classifier::Linear,
        /// dropout of the fas-embedder
        dropout: f64 = 0.5,
        /// the contrastive loss, or one of its ablations
        loss: Contrast = Contrast::Rac,
        /// λ, weight of the contrastive loss; 0 turns it off
        rac_weight: f64 = 0.01,
        /// T, its temperature
        rac_temperature: f64 = 0.07,
    }
}

/// Width of the anti-spoofing embedding, as published.
const EMBEDDING: usize = 512;

/// What is on top.
enum Top {
    Linear(nn::Linear), // (C, 2D)
    Fas(nn::FasEmbedder),
}

/// The head.
pub struct FsAdapter {
    config: AdapterConfig,
    linear1: nn::Linear,   // W₁ (D/4, D)
    linear2: nn::Linear,   // W₂ (D, D/4)
    projector: nn::Linear, // W_p (D/4, D/4), b_p
    top: Top,
}

impl Component for FsAdapter {
    const NAME: &'static str = "fs-adapter";
    const SUMMARY: &'static str = "bottleneck adapter on frozen features, real-anchored contrastive loss";
    type Config = AdapterConfig;
}

impl Head for FsAdapter {
    fn create(config: AdapterConfig, p: &Params, features: &FeatureSpec, _: &Ctx) -> Result<Self> {
        let d = features.width;
        if config.reduction == 0 || !d.is_multiple_of(config.reduction) {
            bail!("width {d} is not a multiple of reduction {}", config.reduction);
        }
        if config.rac_temperature <= 0.0 || config.rac_weight < 0.0 {
            bail!("rac_temperature must be positive and rac_weight not negative");
        }
        let narrow = d / config.reduction;
        let top = match config.classifier {
            Classifier::Fas => {
                Top::Fas(nn::FasEmbedder::new(2 * d, EMBEDDING, features.classes, config.dropout, p)?)
            }
            Classifier::Linear => {
                let head = p.pp("head");
                // the weight is redrawn after PyTorch's default, the bias is not (method.md 6.1)
                Top::Linear(nn::Linear {
                    weight: head.get("weight", [features.classes, 2 * d], Init::trunc_normal(2e-5))?,
                    bias: Some(head.get("bias", features.classes, Init::torch_default(2 * d))?),
                })
            }
        };
        Ok(Self {
            linear1: nn::Linear::no_bias(d, narrow, Init::torch_default(d), &p.pp("adapter.linear1"))?,
            linear2: nn::Linear::no_bias(narrow, d, Init::torch_default(narrow), &p.pp("adapter.linear2"))?,
            projector: nn::Linear::torch_default(narrow, narrow, &p.pp("projector"))?,
            top,
            config,
        })
    }

    fn scope(&self) -> Scope {
        Scope::HeadOnly
    }

    fn reads_tokens(&self) -> bool {
        false
    }

    fn unit_columns(&self) -> Vec<String> {
        match self.top {
            Top::Linear(_) => Vec::new(),
            Top::Fas(_) => vec![nn::UNIT_COLUMNS.to_owned()],
        }
    }

    fn forward(&self, f: &Features, ctx: &Ctx) -> Result<HeadOutput> {
        let b = self.linear1.forward(&f.pooled).context("adapter.linear1")?.relu()?; // (B, D/4)
        let a = self.linear2.forward(&b).context("adapter.linear2")?.relu()?; // (B, D)
        let both = Tensor::cat(&[&f.pooled, &a], 1)?; // (B, 2D)
        let logits = match &self.top {
            Top::Linear(head) => head.forward(&both).context("head")?,
            Top::Fas(net) => net.classify(&net.embed(&both, 1, ctx).context("embedder")?)?,
        }; // (B, C)
        if !ctx.train() {
            return Ok(HeadOutput::logits(logits));
        }
        let z = self.projector.forward(&b).context("projector")?.normalise(1, 1e-12)?; // (B, D/4)
        Ok(HeadOutput { logits, embedding: Some(z) })
    }

    fn loss(&self, out: &HeadOutput, labels: &Tensor, ctx: &Ctx) -> Result<Option<Tensor>> {
        match &out.embedding {
            Some(z) if self.config.rac_weight > 0.0 => {
                let loss = self.config.loss.of(z, labels, self.config.rac_temperature, ctx)?;
                loss.map(|l| l * self.config.rac_weight).transpose()
            }
            _ => Ok(None),
        }
    }
}

export_plugin! { heads: [FsAdapter] }

#[cfg(test)]
mod tests {
    use super::*;
    use facebench_plugin::testing;

    #[test]
    fn settings_are_consistent() {
        testing::check_head::<FsAdapter>().unwrap();
    }
}
