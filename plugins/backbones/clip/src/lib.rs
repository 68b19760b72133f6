//! CLIP: the visual tower of contrastive language-image pre-training (Radford et al., arXiv 2103.00020).
//!
//! The feature is the projected cls token; `pooling: cls` leaves the projection out, which is what a head on tokens and
//! most fine-tuning wants. OpenAI's models use QuickGELU, most of open_clip's the exact GELU: `activation` says which.
#![cfg_attr(test, allow(clippy::unwrap_used))]

use facebench_plugin::nn::clip;
use facebench_plugin::nn::tower::{self, Mlp, TowerOptions};
use facebench_plugin::nn::vit::VitDims;
use facebench_plugin::prelude::*;

choice! {
    /// Published sizes. Explicit dimensions in the settings override their parts.
    pub enum Size {
        /// ViT-B/16, projected to 512
        Base16 = "base-16",
        /// ViT-B/32, projected to 512
        Base32 = "base-32",
        /// ViT-L/14, projected to 768
        Large14 = "large-14",
    }
}

choice! {
    /// What stands between the layers of the MLP.
    pub enum Activation {
        /// x · sigmoid(1.702 x)
        QuickGelu = "quick-gelu",
        /// exact GELU
        Gelu = "gelu",
    }
}

choice! {
    /// How tokens become one vector.
    pub enum Pooling {
        /// the cls token under the last norm, projected
        Projected = "projected",
        /// the cls token under the last norm
        Cls = "cls",
    }
}

vit_config! {
    /// Settings.
    pub struct ClipConfig(Size = Size::Base16) {
        /// width of the projected feature
        projection: Option<usize> = None,
        /// how tokens become one vector
        pooling: Pooling = Pooling::Projected,
        /// activation of the MLP
        activation: Activation = Activation::QuickGelu,
    }
}

impl ClipConfig {
    fn dims(&self) -> Result<VitDims> {
        let (image, patch, width, depth, heads) = match self.size {
            Size::Base16 => (224, 16, 768, 12, 12),
            Size::Base32 => (224, 32, 768, 12, 12),
            Size::Large14 => (224, 14, 1024, 24, 16),
        };
        VitDims { image, patch, width, depth, heads }.with(self.overrides())
    }

    fn projection(&self) -> Option<usize> {
        let published = match self.size {
            Size::Large14 => 768,
            Size::Base16 | Size::Base32 => 512,
        };
        (self.pooling == Pooling::Projected).then(|| self.projection.unwrap_or(published))
    }
}

/// The tower.
pub struct Clip(clip::Clip);

impl Component for Clip {
    const NAME: &'static str = "clip";
    const SUMMARY: &'static str = "CLIP visual tower: norm before the blocks, QuickGELU, projected cls token";
    type Config = ClipConfig;
}

impl Backbone for Clip {
    fn info(cfg: &ClipConfig) -> Result<BackboneInfo> {
        let dims = cfg.dims()?;
        let statistics = (clip::MEAN, clip::STD);
        let info = tower::info(&dims, &TowerOptions::plain(dims.width), statistics, cfg.pooling.word());
        Ok(BackboneInfo { pooled: cfg.projection(), ..info })
    }

    fn create(cfg: ClipConfig, p: &Params, ctx: &Ctx) -> Result<Self> {
        let mlp = match cfg.activation {
            Activation::QuickGelu => Mlp::QuickGelu,
            Activation::Gelu => Mlp::Gelu,
        };
        let pretrain = ctx.purpose() == Purpose::PRETRAIN;
        let drop_path = if pretrain { 0.0 } else { cfg.drop_path };
        let projection = if pretrain { None } else { cfg.projection() };
        Ok(Self(clip::Clip::new(cfg.dims()?, mlp, drop_path, projection, p)?))
    }

    fn embed(&self, images: &Tensor, keep: Option<&Tensor>, _: &Ctx) -> Result<Tensor> {
        self.0.tower.embed(images, keep)
    }

    fn encode(&self, tokens: &Tensor, ctx: &Ctx) -> Result<Tensor> {
        self.0.encode(tokens, ctx)
    }

    fn norm(&self, tokens: &Tensor) -> Result<Tensor> {
        self.0.norm(tokens)
    }

    fn pool(&self, tokens: &Tensor) -> Result<Tensor> {
        self.0.pool(tokens)
    }

    fn layouts(cfg: &ClipConfig) -> Result<Vec<KeyMap>> {
        Ok(clip::layouts(cfg.pooling == Pooling::Projected))
    }
}

export_plugin! { backbones: [Clip] }

#[cfg(test)]
mod tests {
    use super::*;
    use facebench_plugin::testing;

    #[test]
    fn the_description_is_consistent() {
        testing::check_backbone::<Clip>("").unwrap();
        for size in Size::ALL {
            testing::check_backbone::<Clip>(&format!(r#"{{"size": "{size}"}}"#)).unwrap();
        }
    }
}
