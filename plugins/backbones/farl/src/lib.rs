//! FaRL: a CLIP tower trained on faces and their captions (Zheng et al., arXiv 2112.03109).
//!
//! ViT-B/16 in CLIP's layout, inside `state_dict` with the text tower beside it. Downstream users take the cls token under
//! the last norm (`pooling: cls`, the default); `projected` is the feature of the contrastive loss.
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
    pub struct FarlConfig(Size = Size::Base16) {
        /// width of the projected feature
        projection: Option<usize> = None,
        /// how tokens become one vector
        pooling: Pooling = Pooling::Cls,
        /// activation of the MLP
        activation: Activation = Activation::QuickGelu,
    }
}

impl FarlConfig {
    fn dims(&self) -> Result<VitDims> {
        let (image, patch, width, depth, heads) = match self.size {
            Size::Base16 => (224, 16, 768, 12, 12),
        };
        VitDims { image, patch, width, depth, heads }.with(self.overrides())
    }

    fn projection(&self) -> Option<usize> {
        let published = 512;
        (self.pooling == Pooling::Projected).then(|| self.projection.unwrap_or(published))
    }
}

/// The tower.
pub struct Farl(clip::Clip);

impl Component for Farl {
    const NAME: &'static str = "farl";
    const SUMMARY: &'static str = "FaRL face tower in CLIP's layout";
    type Config = FarlConfig;
}

impl Backbone for Farl {
    fn info(cfg: &FarlConfig) -> Result<BackboneInfo> {
        let dims = cfg.dims()?;
        let statistics = (clip::MEAN, clip::STD);
        let info = tower::info(&dims, &TowerOptions::plain(dims.width), statistics, cfg.pooling.word());
        Ok(BackboneInfo { pooled: cfg.projection(), ..info })
    }

    fn create(cfg: FarlConfig, p: &Params, ctx: &Ctx) -> Result<Self> {
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

    fn layouts(cfg: &FarlConfig) -> Result<Vec<KeyMap>> {
        let projects = cfg.pooling == Pooling::Projected;
        // what masked image modelling added beside CLIP's tensors
        let extra = ["mim*", "visual.mim*", "visual.mask*", "mask*", "lm_transformer.*"];
        Ok(vec![
            clip::openai("farl", "visual.", projects, &extra),
            clip::openai("farl-visual", "", projects, &["mask*"]),
        ])
    }
}

export_plugin! { backbones: [Farl] }

#[cfg(test)]
mod tests {
    use super::*;
    use facebench_plugin::testing;

    #[test]
    fn the_description_is_consistent() {
        testing::check_backbone::<Farl>("").unwrap();
        for size in Size::ALL {
            testing::check_backbone::<Farl>(&format!(r#"{{"size": "{size}"}}"#)).unwrap();
        }
    }
}
