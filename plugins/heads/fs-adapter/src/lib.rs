//! FS-Adapter: a bottleneck beside the frozen features, with a real-anchored contrastive loss (arXiv 2510.10663; method.md 6).
//!
//! f ∈ ℝᴰ pooled; b = ReLU(W₁ f), W₁: D → D/4; a = ReLU(W₂ b), W₂: D/4 → D; logits = Head([f ; a]). While training also
//! z = normalise(W_p b + b_p), and the loss λ·L_rac pulls real faces together and away from all fakes. The published code has
//! real = 1; here labels are 1 = fake, so the anchor is label 0. The backbone, `fc_norm` included, stays frozen.
#![cfg_attr(test, allow(clippy::unwrap_used))]

use facebench_plugin::prelude::*;

config! {
    /// Settings of the adapter.
    pub struct AdapterConfig {
        /// D over the bottleneck's width
        reduction: usize = 4,
        /// λ, weight of the contrastive loss; 0 turns it off
        rac_weight: f64 = 0.01,
        /// T, its temperature
        rac_temperature: f64 = 0.07,
    }
}

/// Temperature the published loss is scaled to.
const BASE_TEMPERATURE: f64 = 0.07;
/// Added inside the logarithm, as published.
const LOG_EPS: f64 = 1e-6;

/// The head.
pub struct FsAdapter {
    config: AdapterConfig,
    linear1: nn::Linear,   // W₁ (D/4, D)
    linear2: nn::Linear,   // W₂ (D, D/4)
    projector: nn::Linear, // W_p (D/4, D/4), b_p
    head: nn::Linear,      // (C, 2D)
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
        let head = p.pp("head");
        Ok(Self {
            linear1: nn::Linear::no_bias(d, narrow, Init::torch_default(d), &p.pp("adapter.linear1"))?,
            linear2: nn::Linear::no_bias(narrow, d, Init::torch_default(narrow), &p.pp("adapter.linear2"))?,
            projector: nn::Linear::torch_default(narrow, narrow, &p.pp("projector"))?,
            // the weight is redrawn after PyTorch's default, the bias is not (method.md 6.1)
            head: nn::Linear {
                weight: head.get("weight", [features.classes, 2 * d], Init::trunc_normal(2e-5))?,
                bias: Some(head.get("bias", features.classes, Init::torch_default(2 * d))?),
            },
            config,
        })
    }

    fn scope(&self) -> Scope {
        Scope::HeadOnly
    }

    fn forward(&self, f: &Features, ctx: &Ctx) -> Result<HeadOutput> {
        let b = self.linear1.forward(&f.pooled).context("adapter.linear1")?.relu()?; // (B, D/4)
        let a = self.linear2.forward(&b).context("adapter.linear2")?.relu()?; // (B, D)
        let logits = self.head.forward(&Tensor::cat(&[&f.pooled, &a], 1)?).context("head")?; // (B, C)
        if !ctx.train() {
            return Ok(HeadOutput::logits(logits));
        }
        let z = self.projector.forward(&b).context("projector")?.normalise(1, 1e-12)?; // (B, D/4)
        Ok(HeadOutput { logits, embedding: Some(z) })
    }

    fn loss(&self, out: &HeadOutput, labels: &Tensor, ctx: &Ctx) -> Result<Option<Tensor>> {
        match &out.embedding {
            Some(z) if self.config.rac_weight > 0.0 => {
                let loss = real_anchored(z, labels, self.config.rac_temperature, ctx)?;
                Ok(Some((loss * self.config.rac_weight)?))
            }
            _ => Ok(None),
        }
    }
}

/// L_rac of unit vectors `z` (B, d) with `labels` (B,) 0 = real (method.md 6.2), a scalar.
///
/// Mean over *all* samples, fakes counting 0, so its size grows with the share of reals. Without a real: the constant 1e-6.
fn real_anchored(z: &Tensor, labels: &Tensor, temperature: f64, ctx: &Ctx) -> Result<Tensor> {
    let b = z.dim(0)?;
    let real: Vec<f32> = labels.to_vec_i64()?.iter().map(|y| f32::from(u8::from(*y == 0))).collect();
    let reals = real.iter().sum::<f32>();
    if reals == 0.0 {
        return ctx.full(1e-6, ())?.cast_like(z);
    }
    let partners = f64::from(reals - 1.0).max(1.0); // |P(i)|, the same for every real
    let (mut pairs, mut others) = (vec![0f32; b * b], vec![1f32; b * b]);
    for i in 0..b {
        others[i * b + i] = 0.0;
        for j in (0..b).filter(|j| *j != i) {
            pairs[i * b + j] = real[i] * real[j]; // 1 for two different reals
        }
    }
    let pairs = ctx.from_f32(&pairs, [b, b])?.cast_like(z)?;
    let others = ctx.from_f32(&others, [b, b])?.cast_like(z)?;
    let s = (z.matmul(&z.t()?)? / temperature)?; // (B, B)
    let s = (&s - s.max_keep(1)?.detach())?;
    let total = ((s.exp()? * &others)?.sum_keep(1)? + LOG_EPS)?; // (B, 1)
    let log_p = (&s - total.log()?)?; // (B, B)
    let sum = (log_p * &pairs)?.sum_all()?;
    sum * (-temperature / BASE_TEMPERATURE / partners / b as f64)
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
