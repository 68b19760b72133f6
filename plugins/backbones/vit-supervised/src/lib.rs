//! Vision transformers trained with labels: ViT (Dosovitskiy et al., arXiv 2010.11929; Steiner et al., arXiv 2106.10270),
//! DeiT (Touvron et al., arXiv 2012.12877) and DeiT III (arXiv 2204.07118), on ImageNet-1k or -21k.
//!
//! The feature is the cls token under the final norm; a distilled DeiT averages it with its distillation token. ViT's
//! published weights want pixels in [−1, 1], DeiT's ImageNet statistics: `statistics` says which, the variant by default.
#![cfg_attr(test, allow(clippy::unwrap_used))]

use facebench_plugin::nn::keys::{self, layout, pairs};
use facebench_plugin::nn::tower::{self, Cover, Tower, TowerOptions};
use facebench_plugin::nn::vit::VitDims;
use facebench_plugin::prelude::*;

choice! {
    /// Published sizes. Explicit dimensions in the settings override their parts.
    pub enum Size {
        /// ViT-Ti/16
        Tiny = "tiny",
        /// ViT-S/16
        Small = "small",
        /// ViT-B/16
        Base = "base",
        /// ViT-B/32
        Base32 = "base-32",
        /// ViT-L/16
        Large = "large",
        /// ViT-H/14
        Huge = "huge",
    }
}

choice! {
    /// Which of the published kinds.
    pub enum Variant {
        /// ViT, and DeiT without distillation
        Vit = "vit",
        /// DeiT with a distillation token
        Distilled = "distilled",
        /// DeiT III: LayerScale, no position for the cls token
        Deit3 = "deit3",
    }
}

choice! {
    /// Normalisation of the pictures.
    pub enum Statistics {
        /// to [−1, 1]
        Half = "half",
        /// of ImageNet
        ImageNet = "imagenet",
    }
}

vit_config! {
    /// Settings of supervised vision transformers.
    pub struct SupervisedConfig(Size = Size::Base) {
        /// which of the published kinds
        variant: Variant = Variant::Vit,
        /// normalisation; `half` for `vit`, `imagenet` for the others if absent. DeiT without distillation needs `imagenet`
        statistics: Option<Statistics> = None,
    }
}

impl SupervisedConfig {
    fn dims(&self) -> Result<VitDims> {
        let (image, patch, width, depth, heads) = match self.size {
            Size::Tiny => (224, 16, 192, 12, 3),
            Size::Small => (224, 16, 384, 12, 6),
            Size::Base => (224, 16, 768, 12, 12),
            Size::Base32 => (224, 32, 768, 12, 12),
            Size::Large => (224, 16, 1024, 24, 16),
            Size::Huge => (224, 14, 1280, 32, 16),
        };
        VitDims { image, patch, width, depth, heads }.with(self.overrides())
    }

    fn options(&self, dims: &VitDims) -> TowerOptions {
        let plain = TowerOptions { drop_path: self.drop_path, ..TowerOptions::plain(dims.width) };
        match self.variant {
            Variant::Vit => plain,
            Variant::Distilled => TowerOptions { tokens: &["cls_token", "dist_token"], ..plain },
            Variant::Deit3 => TowerOptions { layer_scale: Some(1e-6), cover: Cover::Patches, ..plain },
        }
    }
}

/// The encoder with its final norm.
pub struct Supervised {
    tower: Tower,
    norm: nn::LayerNorm,
    distilled: bool,
}

impl Component for Supervised {
    const NAME: &'static str = "vit-supervised";
    const SUMMARY: &'static str = "ViT, DeiT and DeiT III trained on ImageNet with labels";
    type Config = SupervisedConfig;
}

impl Backbone for Supervised {
    fn info(cfg: &SupervisedConfig) -> Result<BackboneInfo> {
        let dims = cfg.dims()?;
        let statistics = match (cfg.statistics, cfg.variant) {
            (Some(Statistics::Half), _) | (None, Variant::Vit) => tower::HALF,
            _ => tower::IMAGENET,
        };
        let pooling = if cfg.variant == Variant::Distilled { "mean of cls and distillation" } else { "cls" };
        Ok(tower::info(&dims, &cfg.options(&dims), statistics, pooling))
    }

    fn create(cfg: SupervisedConfig, p: &Params, _: &Ctx) -> Result<Self> {
        let dims = cfg.dims()?;
        let (options, norm) = (cfg.options(&dims), nn::LayerNorm::new(dims.width, &p.pp("norm"))?);
        let distilled = cfg.variant == Variant::Distilled;
        Ok(Self { tower: Tower::new(dims, options, p)?, norm, distilled })
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
        let cls = self.norm.forward(&tokens.select(1, 0)?)?;
        if self.distilled {
            return (cls + self.norm.forward(&tokens.select(1, 1)?)?)? * 0.5;
        }
        Ok(cls)
    }

    fn layouts(cfg: &SupervisedConfig) -> Result<Vec<KeyMap>> {
        let rows = match cfg.variant {
            Variant::Vit => 1,
            Variant::Distilled => 2,
            Variant::Deit3 => 0,
        };
        let with = |map: KeyMap| KeyMap { position_rows: Some(rows), ..map };
        let heads = ["head.*", "head_dist.*", "pre_logits.*", "fc_norm.*"];
        let timm = KeyMap {
            rewrite: pairs(&[
                ("blocks.*.gamma_1", "blocks.*.ls1.gamma"),
                ("blocks.*.gamma_2", "blocks.*.ls2.gamma"),
            ]),
            ..with(layout(
                "vit",
                &["*cls_token", "*blocks.0.attn.qkv.weight"],
                &["module.", "model."],
                &heads,
            ))
        };
        let marks = ["*class_token", "*encoder.layers.encoder_layer_0.ln_1.weight"];
        let torchvision = KeyMap {
            rewrite: pairs(&[
                ("encoder.layers.encoder_layer_*.ln_1.*", "blocks.*.norm1.*"),
                ("encoder.layers.encoder_layer_*.ln_2.*", "blocks.*.norm2.*"),
                ("encoder.layers.encoder_layer_*.self_attention.in_proj_*", "blocks.*.attn.qkv.*"),
                ("encoder.layers.encoder_layer_*.self_attention.out_proj.*", "blocks.*.attn.proj.*"),
                ("encoder.layers.encoder_layer_*.mlp.linear_1.*", "blocks.*.mlp.fc1.*"),
                ("encoder.layers.encoder_layer_*.mlp.linear_2.*", "blocks.*.mlp.fc2.*"),
                ("encoder.layers.encoder_layer_*.mlp.0.*", "blocks.*.mlp.fc1.*"),
                ("encoder.layers.encoder_layer_*.mlp.3.*", "blocks.*.mlp.fc2.*"),
                ("class_token", "cls_token"),
                ("conv_proj.*", "patch_embed.proj.*"),
                ("encoder.pos_embedding", "pos_embed"),
                ("encoder.ln.*", "norm.*"),
            ]),
            ..with(layout("vit-torchvision", &marks, &["module."], &["heads.*"]))
        };
        let marks = ["*embeddings.cls_token", "*encoder.layer.0.layernorm_before.weight"];
        let strip = ["module.", "vit.", "deit."];
        let left = [
            "classifier.*",
            "cls_classifier.*",
            "distillation_classifier.*",
            "pooler.*",
            "embeddings.mask_token",
        ];
        let hf = KeyMap {
            rewrite: keys::hugging_face_blocks(),
            join: keys::qkv("encoder.layer.*.attention.attention.", ["query", "key", "value"], true),
            ..with(layout("vit-hf", &marks, &strip, &left))
        };
        Ok(vec![timm, torchvision, hf])
    }
}

export_plugin! { backbones: [Supervised] }

#[cfg(test)]
mod tests {
    use super::*;
    use facebench_plugin::testing;

    #[test]
    fn the_description_is_consistent() {
        testing::check_backbone::<Supervised>("").unwrap();
        for size in Size::ALL {
            testing::check_backbone::<Supervised>(&format!(r#"{{"size": "{size}"}}"#)).unwrap();
        }
    }
}
