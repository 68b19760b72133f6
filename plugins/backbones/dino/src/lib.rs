//! DINO: the vision transformer of self-distillation without labels (Caron et al., arXiv 2104.14294).
//!
//! Learned positions, the cls token under the final `norm` as feature, ImageNet normalisation. Published files hold a
//! student and a teacher; the teacher is the model.
#![cfg_attr(test, allow(clippy::unwrap_used))]

use facebench_plugin::{nn::vit, prelude::*};

vit_config! {
    /// Settings of DINO.
    pub struct DinoConfig(vit::Size = vit::Size::Base) {}
}

impl DinoConfig {
    fn dims(&self) -> Result<vit::VitDims> {
        vit::VitDims::resolve(self.size, 6, self.overrides())
    }
}

/// The encoder with its final norm.
pub struct Dino {
    vit: vit::Vit,
    norm: nn::LayerNorm,
}

impl Component for Dino {
    const NAME: &'static str = "dino";
    const SUMMARY: &'static str = "DINO vision transformer: learned positions, cls token";
    type Config = DinoConfig;
}

impl Backbone for Dino {
    fn info(cfg: &DinoConfig) -> Result<BackboneInfo> {
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
            pooling: "cls".into(),
            pooled: None,
        })
    }

    fn create(cfg: DinoConfig, p: &Params, ctx: &Ctx) -> Result<Self> {
        let dims = cfg.dims()?;
        let width = dims.width;
        let options = vit::VitOptions {
            positions: vit::Positions::Learned,
            linear: Init::trunc_normal(0.02),
            cls: Init::trunc_normal(0.02),
            drop_path: if ctx.purpose() == Purpose::PRETRAIN { 0.0 } else { cfg.drop_path },
        };
        Ok(Self { vit: vit::Vit::new(dims, options, p)?, norm: nn::LayerNorm::new(width, &p.pp("norm"))? })
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
        self.norm.forward(&tokens.select(1, 0)?)
    }

    fn layouts(_: &DinoConfig) -> Result<Vec<KeyMap>> {
        let strings = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        Ok(vec![
            KeyMap {
                name: "dino-full".into(),
                dictionary: Some("teacher".into()),
                marks: strings(&["*backbone.cls_token"]),
                strip: strings(&["module.", "backbone."]),
                unused: strings(&["head.*"]),
                positions: Some("pos_embed".into()),
                // "a small number to avoid floating point error": part of the released model
                resize: Resize::BicubicOffset,
                ..KeyMap::default()
            },
            KeyMap {
                name: "vit".into(),
                marks: strings(&["*cls_token", "*blocks.0.attn.qkv.weight"]),
                strip: strings(&["module."]),
                unused: strings(&["head.*"]),
                positions: Some("pos_embed".into()),
                // "a small number to avoid floating point error": part of the released model
                resize: Resize::BicubicOffset,
                ..KeyMap::default()
            },
        ])
    }
}

export_plugin! { backbones: [Dino] }

#[cfg(test)]
mod tests {
    use super::*;
    use facebench_plugin::testing;

    #[test]
    fn the_description_is_consistent() {
        testing::check_backbone::<Dino>("").unwrap();
        for size in vit::Size::ALL {
            testing::check_backbone::<Dino>(&format!(r#"{{"size": "{size}"}}"#)).unwrap();
        }
    }

    #[test]
    fn the_teacher_is_stripped_to_timm_names() {
        let layouts = Dino::layouts(&DinoConfig::default()).unwrap();
        assert!(layouts[0].recognises(["module.backbone.cls_token"].into_iter()));
        assert_eq!(layouts[0].target("module.backbone.blocks.0.norm1.bias"), "blocks.0.norm1.bias");
        assert!(layouts[0].may_leave(&layouts[0].target("module.head.mlp.0.weight")));
    }
}
