//! BEiT v2: masked image modelling with a semantic tokeniser (Peng et al., arXiv 2208.06366), on BEiT's transformer (Bao et
//! al., arXiv 2106.08254).
//!
//! Tables of relative positions in every block instead of absolute ones, LayerScale, biases for query and value only. The
//! fine-tuned models pool the mean of the patches under `fc_norm`; the pre-trained ones have a `norm` and share one table
//! among the blocks. Tables of another grid are resized bicubically (timm's simple rule; the authors' own rule fits a
//! spline on a geometric scale and differs a little).
#![cfg_attr(test, allow(clippy::unwrap_used))]

use facebench_plugin::nn::keys::{self, layout, pairs, strings};
use facebench_plugin::nn::tower::{self, Cover, QkvBias, Tower, TowerOptions};
use facebench_plugin::nn::vit::VitDims;
use facebench_plugin::prelude::*;

choice! {
    /// Published sizes. Explicit dimensions in the settings override their parts.
    pub enum Size {
        /// ViT-B/16
        Base = "base",
        /// ViT-L/16
        Large = "large",
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
    /// Settings of BEiT v2.
    pub struct BeitConfig(Size = Size::Base) {
        /// how tokens become one vector
        pooling: Pooling = Pooling::Mean,
    }
}

impl BeitConfig {
    fn dims(&self) -> Result<VitDims> {
        let (image, patch, width, depth, heads) = match self.size {
            Size::Base => (224, 16, 768, 12, 12),
            Size::Large => (224, 16, 1024, 24, 16),
        };
        VitDims { image, patch, width, depth, heads }.with(self.overrides())
    }

    fn options(&self, dims: &VitDims) -> TowerOptions {
        TowerOptions {
            qkv_bias: QkvBias::QueryValue,
            layer_scale: Some(if self.size == Size::Large { 1e-5 } else { 0.1 }),
            cover: Cover::Nothing,
            relative: true,
            drop_path: self.drop_path,
            ..TowerOptions::plain(dims.width)
        }
    }
}

/// The encoder with the norm its purpose needs.
pub struct Beit {
    tower: Tower,
    norm: nn::LayerNorm, // `norm` while pre-training or with cls pooling, else `fc_norm`
    pooling: Pooling,
}

impl Component for Beit {
    const NAME: &'static str = "beit-v2";
    const SUMMARY: &'static str = "BEiT v2 vision transformer: relative positions, LayerScale";
    type Config = BeitConfig;
}

impl Backbone for Beit {
    fn info(cfg: &BeitConfig) -> Result<BackboneInfo> {
        let dims = cfg.dims()?;
        Ok(tower::info(&dims, &cfg.options(&dims), tower::IMAGENET, cfg.pooling.word()))
    }

    fn create(cfg: BeitConfig, p: &Params, ctx: &Ctx) -> Result<Self> {
        let dims = cfg.dims()?;
        let options = cfg.options(&dims);
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

    fn layouts(cfg: &BeitConfig) -> Result<Vec<KeyMap>> {
        let depth = cfg.dims()?.depth;
        let mean = cfg.pooling == Pooling::Mean;
        let other = if mean { "norm.*" } else { "fc_norm.*" };
        let table = "attn.relative_position_bias_table";
        let with =
            |map: KeyMap| KeyMap { positions: None, relative: Some(format!("blocks.*.{table}")), ..map };
        let scales =
            pairs(&[("blocks.*.gamma_1", "blocks.*.ls1.gamma"), ("blocks.*.gamma_2", "blocks.*.ls2.gamma")]);
        let index = "*relative_position_index";
        let beside = ["mask_token", "lm_head.*", "cls_pt_layers.*", "head.*", index, other];
        let pretrain = KeyMap {
            rewrite: scales.clone(),
            spread: vec![(
                "rel_pos_bias.relative_position_bias_table".into(),
                (0..depth).map(|i| format!("blocks.{i}.{table}")).collect(),
            )],
            // a fresh norm for pooling the mean
            missing: if mean { strings(&["fc_norm.*"]) } else { vec![] },
            ..with(layout(
                "beit-pretrain",
                &["*rel_pos_bias.relative_position_bias_table", "*blocks.0.gamma_1"],
                &["module."],
                &beside,
            ))
        };
        let marks = ["*blocks.0.gamma_1", "*blocks.0.attn.relative_position_bias_table"];
        let tuned = KeyMap {
            rewrite: scales,
            ..with(layout("beit", &marks, &["module."], &["head.*", index, other]))
        };
        let stem = "encoder.layer.*.attention.attention.";
        let mut rewrite = keys::hugging_face_blocks();
        for (from, to) in [
            ("query.bias", "q_bias"),
            ("value.bias", "v_bias"),
            ("relative_position_bias.relative_position_bias_table", "relative_position_bias_table"),
        ] {
            rewrite.push((format!("{stem}{from}"), format!("blocks.*.attn.{to}")));
        }
        rewrite.extend(pairs(&[("pooler.layernorm.*", "fc_norm.*")]));
        let marks = ["*encoder.layer.0.lambda_1", "*encoder.layer.0.attention.attention.query.bias"];
        let left = ["classifier.*", "lm_head.*", "layernorm.*", "embeddings.mask_token", index, other];
        let hf = KeyMap {
            rewrite,
            join: keys::qkv(stem, ["query", "key", "value"], false),
            ..with(layout("beit-hf", &marks, &["module.", "beit."], &left))
        };
        Ok(vec![pretrain, tuned, hf])
    }
}

export_plugin! { backbones: [Beit] }

#[cfg(test)]
mod tests {
    use super::*;
    use facebench_plugin::testing;

    #[test]
    fn the_description_is_consistent() {
        testing::check_backbone::<Beit>("").unwrap();
        for size in Size::ALL {
            testing::check_backbone::<Beit>(&format!(r#"{{"size": "{size}"}}"#)).unwrap();
        }
    }
}
