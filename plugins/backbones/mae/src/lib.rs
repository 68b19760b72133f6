//! MAE: the encoder of masked autoencoders (He et al., arXiv 2111.06377), the baseline of face pre-training.
//!
//! The same vision transformer as FS-VFM with 6 heads at ViT-S. Pre-training has fixed sine–cosine positions and the final
//! `norm`; fine-tuning pools the mean of the patch tokens under `fc_norm` as the published recipe, linear probing the cls
//! token under `norm`. ImageNet normalisation.
#![cfg_attr(test, allow(clippy::unwrap_used))]

use facebench_plugin::{nn::vit, prelude::*};

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
    /// Settings of MAE.
    pub struct MaeConfig(vit::Size = vit::Size::Base) {
        /// how tokens become one vector
        pooling: Pooling = Pooling::Mean,
    }
}

impl MaeConfig {
    fn dims(&self) -> Result<vit::VitDims> {
        vit::VitDims::resolve(self.size, 6, self.overrides())
    }
}

/// The encoder with the norm its purpose needs.
pub struct Mae {
    vit: vit::Vit,
    norm: nn::LayerNorm, // `norm` while pre-training or with cls pooling, else `fc_norm`
    pooling: Pooling,
}

impl Component for Mae {
    const NAME: &'static str = "mae";
    const SUMMARY: &'static str = "masked-autoencoder vision transformer";
    type Config = MaeConfig;
}

impl Backbone for Mae {
    fn info(cfg: &MaeConfig) -> Result<BackboneInfo> {
        let dims = cfg.dims()?;
        Ok(BackboneInfo {
            image: dims.image,
            patch: dims.patch,
            grid: dims.grid(),
            width: dims.width,
            depth: dims.depth,
            heads: dims.heads,
            prefix_tokens: 1,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
            pooling: cfg.pooling.word().into(),
            pooled: None,
        })
    }

    fn create(cfg: MaeConfig, p: &Params, ctx: &Ctx) -> Result<Self> {
        let dims = cfg.dims()?;
        let width = dims.width;
        let pretrain = ctx.purpose() == Purpose::PRETRAIN;
        let options = if pretrain {
            vit::VitOptions {
                positions: vit::Positions::Fixed,
                linear: Init::XAVIER,
                cls: Init::normal(0.02),
                drop_path: 0.0,
            }
        } else {
            vit::VitOptions {
                positions: vit::Positions::FromSincos,
                linear: Init::trunc_normal(0.02),
                cls: Init::trunc_normal(0.02),
                drop_path: cfg.drop_path,
            }
        };
        let norm = if pretrain || cfg.pooling == Pooling::Cls { "norm" } else { "fc_norm" };
        Ok(Self {
            vit: vit::Vit::new(dims, options, p)?,
            norm: nn::LayerNorm::new(width, &p.pp(norm))?,
            pooling: cfg.pooling,
        })
    }

    fn embed(&self, images: &Tensor, keep: Option<&Tensor>, _: &Ctx) -> Result<Tensor> {
        self.vit.embed(images, keep)
    }

    fn encode(&self, tokens: &Tensor, ctx: &Ctx) -> Result<Tensor> {
        self.vit.encode(tokens, ctx)
    }

    fn norm(&self, tokens: &Tensor) -> Result<Tensor> {
        self.norm.forward(tokens)
    }

    fn pool(&self, tokens: &Tensor) -> Result<Tensor> {
        match self.pooling {
            Pooling::Mean => self.norm.forward(&vit::mean_of_patches(tokens)?),
            Pooling::Cls => self.norm.forward(&tokens.select(1, 0)?),
        }
    }

    fn layouts(cfg: &MaeConfig) -> Result<Vec<KeyMap>> {
        let strings = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        // mean pooling has a fresh fc_norm instead of the encoder's norm, cls pooling the other way round
        let (other_norm, fresh) = match cfg.pooling {
            Pooling::Mean => ("norm.*", strings(&["fc_norm.*"])),
            Pooling::Cls => ("fc_norm.*", vec![]),
        };
        let layout = |name: &str, marks: &[&str], unused: &[&str]| KeyMap {
            name: name.into(),
            marks: strings(marks),
            strip: strings(&["module."]),
            missing: fresh.clone(),
            unused: strings(&[&[other_norm], unused].concat()),
            positions: Some("pos_embed".into()),
            ..KeyMap::default()
        };
        Ok(vec![
            layout("mae-pretrain", &["*cls_token", "*decoder_embed.weight"], &["mask_token", "decoder_*"]),
            KeyMap {
                missing: vec![],
                ..layout("mae-finetuned", &["*cls_token", "*fc_norm.weight"], &["head.*"])
            },
            // published encoders and supervised timm weights
            layout("vit", &["*cls_token", "*blocks.0.attn.qkv.weight"], &["head.*", "mask_token"]),
        ])
    }
}

export_plugin! { backbones: [Mae] }

#[cfg(test)]
mod tests {
    use super::*;
    use facebench_plugin::testing;

    #[test]
    fn the_description_is_consistent() {
        testing::check_backbone::<Mae>("").unwrap();
        for size in vit::Size::ALL {
            testing::check_backbone::<Mae>(&format!(r#"{{"size": "{size}"}}"#)).unwrap();
        }
    }

    #[test]
    fn layouts_are_told_apart() {
        let layouts = Mae::layouts(&MaeConfig::default()).unwrap();
        let first = |keys: &[&str]| {
            layouts.iter().find(|l| l.recognises(keys.iter().copied())).map(|l| l.name.clone()).unwrap()
        };
        assert_eq!(first(&["cls_token", "decoder_embed.weight"]), "mae-pretrain");
        assert_eq!(first(&["cls_token", "fc_norm.weight", "blocks.0.attn.qkv.weight"]), "mae-finetuned");
        assert_eq!(first(&["module.cls_token", "module.blocks.0.attn.qkv.weight"]), "vit");
    }
}
