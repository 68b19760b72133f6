//! MCF: mask contrastive face pre-training (Wang et al., arXiv 2309.03575), a ViT-B/16 with the encoder of MAE.
//!
//! The names are those of the authors' pre-training model: `online_encoder` and `target_encoder` in MAE's layout, each with a
//! projector `fc`, beside MAE's decoder, a predictor and the network of the perceptual loss; or one encoder alone. What
//! pre-training added may be left over; the encoder itself is strict. Fine-tuning pools the mean of the patches under a fresh
//! `fc_norm`, or the cls token.
#![cfg_attr(test, allow(clippy::unwrap_used))]

use facebench_plugin::nn::keys::{layout, strings};
use facebench_plugin::nn::tower::{self, Tower, TowerOptions};
use facebench_plugin::nn::vit::VitDims;
use facebench_plugin::prelude::*;

choice! {
    /// Published sizes. Explicit dimensions in the settings override their parts.
    pub enum Size {
        /// ViT-B/16
        Base = "base",
    }
}

choice! {
    /// How tokens become one vector.
    pub enum Pooling {
        /// mean of the patch tokens, then fc_norm
        Mean = "mean",
        /// final norm, then the cls token
        Cls = "cls",
    }
}

vit_config! {
    /// Settings of MCF.
    pub struct McfConfig(Size = Size::Base) {
        /// how tokens become one vector
        pooling: Pooling = Pooling::Cls,
    }
}

impl McfConfig {
    fn dims(&self) -> Result<VitDims> {
        let (image, patch, width, depth, heads) = match self.size {
            Size::Base => (224, 16, 768, 12, 12),
        };
        VitDims { image, patch, width, depth, heads }.with(self.overrides())
    }
}

/// The encoder with the norm its purpose needs.
pub struct Mcf {
    tower: Tower,
    norm: nn::LayerNorm, // `norm` while pre-training or with cls pooling, else `fc_norm`
    pooling: Pooling,
}

impl Component for Mcf {
    const NAME: &'static str = "mcf";
    const SUMMARY: &'static str = "MCF face transformer in MAE's layout";
    type Config = McfConfig;
}

impl Backbone for Mcf {
    fn info(cfg: &McfConfig) -> Result<BackboneInfo> {
        let dims = cfg.dims()?;
        Ok(tower::info(&dims, &TowerOptions::plain(dims.width), tower::IMAGENET, cfg.pooling.word()))
    }

    fn create(cfg: McfConfig, p: &Params, ctx: &Ctx) -> Result<Self> {
        let dims = cfg.dims()?;
        let options = TowerOptions { drop_path: cfg.drop_path, ..TowerOptions::plain(dims.width) };
        let cls = ctx.purpose() == Purpose::PRETRAIN || cfg.pooling == Pooling::Cls;
        let norm = nn::LayerNorm::new(dims.width, &p.pp(if cls { "norm" } else { "fc_norm" }))?;
        Ok(Self { tower: Tower::new(dims, options, p)?, norm, pooling: cfg.pooling })
    }

    fn embed(&self, images: &Tensor, keep: Option<&Tensor>, _: &Ctx) -> Result<Tensor> {
        self.tower.embed(images, keep)
    }

    fn encode(&self, tokens: &Tensor, ctx: &Ctx) -> Result<Tensor> {
        self.tower.encode(tokens, ctx)
    }

    fn norm(&self, tokens: &Tensor) -> Result<Tensor> {
        self.norm.forward(tokens)
    }

    fn pool(&self, tokens: &Tensor) -> Result<Tensor> {
        match self.pooling {
            Pooling::Mean => self.norm.forward(&self.tower.mean_of_patches(tokens)?),
            Pooling::Cls => self.norm.forward(&tokens.select(1, 0)?),
        }
    }

    fn layouts(cfg: &McfConfig) -> Result<Vec<KeyMap>> {
        let (other_norm, fresh) = match cfg.pooling {
            Pooling::Mean => ("norm.*", vec!["fc_norm.*"]),
            Pooling::Cls => ("fc_norm.*", vec![]),
        };
        let beside =
            ["mask_token", "decoder_*", "decoder.*", "projector.*", "predictor.*", "*_head.*", "head.*"];
        let unused = [&beside[..], &[other_norm, "momentum_*", "teacher.*", "target_*"]].concat();
        let marks = ["*cls_token", "*blocks.0.attn.qkv.weight"];
        let strip = ["module.", "model.", "base_encoder.", "encoder."];
        let both = [&unused[..], &["fc.*", "perceptual_loss.*"]].concat();
        let pretrain = ["*online_encoder.cls_token", "*target_encoder.cls_token"];
        Ok(vec![
            KeyMap {
                missing: strings(&fresh),
                ..layout("mcf-pretrain", &pretrain, &["module.", "online_encoder."], &both)
            },
            KeyMap { missing: strings(&fresh), ..layout("mcf", &marks, &strip, &unused) },
        ])
    }
}

export_plugin! { backbones: [Mcf] }

#[cfg(test)]
mod tests {
    use super::*;
    use facebench_plugin::testing;

    #[test]
    fn the_description_is_consistent() {
        testing::check_backbone::<Mcf>("").unwrap();
        for size in Size::ALL {
            testing::check_backbone::<Mcf>(&format!(r#"{{"size": "{size}"}}"#)).unwrap();
        }
    }
}
