//! DINOv2: self-supervised vision transformers (Oquab et al., arXiv 2304.07193), also with registers (Darcet et al., arXiv
//! 2309.16588).
//!
//! Patch 14, LayerScale, SwiGLU at size giant; the feature is the cls token under the final norm. The published tables of
//! positions are for 518 pixels and are resized for every other size: with the scale (new + 0.1) / old without registers,
//! antialiased with them, as the released models do it.
#![cfg_attr(test, allow(clippy::unwrap_used))]

use facebench_plugin::nn::keys::{self, layout, pairs};
use facebench_plugin::nn::tower::{self, Mlp, Tower, TowerOptions};
use facebench_plugin::nn::vit::VitDims;
use facebench_plugin::prelude::*;

choice! {
    /// Published sizes. Explicit dimensions in the settings override their parts.
    pub enum Size {
        /// ViT-S/14
        Small = "small",
        /// ViT-B/14
        Base = "base",
        /// ViT-L/14
        Large = "large",
        /// ViT-g/14 with SwiGLU
        Giant = "giant",
    }
}

choice! {
    /// Which of the two releases.
    pub enum Variant {
        /// without registers
        Plain = "plain",
        /// with four registers
        Registers = "registers",
    }
}

vit_config! {
    /// Settings of DINOv2.
    pub struct DinoV2Config(Size = Size::Base) {
        /// with or without registers
        variant: Variant = Variant::Plain,
        /// width of the MLP's hidden layer
        hidden: Option<usize> = None,
    }
}

impl DinoV2Config {
    fn dims(&self) -> Result<VitDims> {
        let (image, patch, width, depth, heads) = match self.size {
            Size::Small => (224, 14, 384, 12, 6),
            Size::Base => (224, 14, 768, 12, 12),
            Size::Large => (224, 14, 1024, 24, 16),
            Size::Giant => (224, 14, 1536, 40, 24),
        };
        VitDims { image, patch, width, depth, heads }.with(self.overrides())
    }

    fn options(&self, dims: &VitDims) -> TowerOptions {
        let plain = TowerOptions::plain(dims.width);
        let giant = self.size == Size::Giant;
        // two thirds of the plain width, to the next multiple of 8
        let published = if giant { (plain.hidden * 2 / 3).next_multiple_of(8) } else { plain.hidden };
        TowerOptions {
            mlp: if giant { Mlp::SwiGlu } else { Mlp::Gelu },
            hidden: self.hidden.unwrap_or(published),
            layer_scale: Some(1e-5),
            registers: if self.variant == Variant::Registers { 4 } else { 0 },
            drop_path: self.drop_path,
            ..plain
        }
    }
}

/// The encoder with its final norm.
pub struct DinoV2 {
    tower: Tower,
    norm: nn::LayerNorm,
}

impl Component for DinoV2 {
    const NAME: &'static str = "dinov2";
    const SUMMARY: &'static str =
        "DINOv2 vision transformer: patch 14, LayerScale, registers, SwiGLU at giant";
    type Config = DinoV2Config;
}

impl Backbone for DinoV2 {
    fn info(cfg: &DinoV2Config) -> Result<BackboneInfo> {
        let dims = cfg.dims()?;
        Ok(tower::info(&dims, &cfg.options(&dims), tower::IMAGENET, "cls"))
    }

    fn create(cfg: DinoV2Config, p: &Params, _: &Ctx) -> Result<Self> {
        let dims = cfg.dims()?;
        let (options, norm) = (cfg.options(&dims), nn::LayerNorm::new(dims.width, &p.pp("norm"))?);
        Ok(Self { tower: Tower::new(dims, options, p)?, norm })
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
        self.norm.forward(&tokens.select(1, 0)?)
    }

    fn layouts(cfg: &DinoV2Config) -> Result<Vec<KeyMap>> {
        let resize = match cfg.variant {
            Variant::Plain => Resize::BicubicOffset,
            Variant::Registers => Resize::BicubicAntialias,
        };
        let with = |map: KeyMap| KeyMap { position_rows: Some(1), resize, ..map };
        let strip = ["module.", "teacher.", "backbone."];
        // timm added the position of the cls token to the token
        let timm = KeyMap {
            position_rows: Some(0),
            pad_positions: 1,
            ..with(layout(
                "dinov2-timm-registers",
                &["*reg_token", "*blocks.0.ls1.gamma"],
                &strip,
                &["head.*"],
            ))
        };
        let marks = ["*cls_token", "*blocks.0.ls1.gamma"];
        let meta = KeyMap {
            rewrite: pairs(&[
                ("blocks.*.mlp.w12.*", "blocks.*.mlp.fc1.*"),
                ("blocks.*.mlp.w3.*", "blocks.*.mlp.fc2.*"),
                ("register_tokens", "reg_token"),
            ]),
            ..with(layout("dinov2", &marks, &strip, &["mask_token", "head.*"]))
        };
        let marks = ["*embeddings.cls_token", "*encoder.layer.0.layer_scale1.lambda1"];
        let strip = ["module.", "dinov2_with_registers.", "dinov2.", "backbone."];
        let hf = KeyMap {
            rewrite: keys::hugging_face_blocks(),
            join: keys::qkv("encoder.layer.*.attention.attention.", ["query", "key", "value"], true),
            ..with(layout("dinov2-hf", &marks, &strip, &["embeddings.mask_token", "classifier.*"]))
        };
        Ok(vec![timm, meta, hf])
    }
}

export_plugin! { backbones: [DinoV2] }

#[cfg(test)]
mod tests {
    use super::*;
    use facebench_plugin::testing;

    #[test]
    fn the_description_is_consistent() {
        testing::check_backbone::<DinoV2>("").unwrap();
        for size in Size::ALL {
            testing::check_backbone::<DinoV2>(&format!(r#"{{"size": "{size}"}}"#)).unwrap();
        }
    }

    #[test]
    fn the_giant_has_the_published_hidden_width() {
        let cfg = DinoV2Config { size: Size::Giant, ..DinoV2Config::default() };
        assert_eq!(cfg.options(&cfg.dims().unwrap()).hidden, 4096);
    }
}
