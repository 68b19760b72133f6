//! FS-VFM: the vision transformer of the face-security foundation models (arXiv 2412.12032, 2510.10663; method.md 3, 5.1).
//!
//! Pre-training keeps the sine–cosine positions fixed and has the final `norm`. Downstream the positions train, the final
//! norm is dropped, and features are the mean of the patch tokens under a fresh `fc_norm` (or the cls token under `norm`).
//! ViT-S deliberately has 12 heads.
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
    /// Settings of FS-VFM.
    pub struct FsVfmConfig(vit::Size = vit::Size::Base) {
        /// how tokens become one vector
        pooling: Pooling = Pooling::Mean,
    }
}

impl FsVfmConfig {
    fn dims(&self) -> Result<vit::VitDims> {
        vit::VitDims::resolve(self.size, 12, self.overrides())
    }
}

/// The encoder with the norm its purpose needs.
pub struct FsVfm {
    vit: vit::Vit,
    norm: nn::LayerNorm, // `norm` while pre-training or with cls pooling, else `fc_norm`
    pooling: Pooling,
}

impl Component for FsVfm {
    const NAME: &'static str = "fsvfm";
    const SUMMARY: &'static str = "FS-VFM vision transformer: fixed positions, mean pooling under fc_norm";
    type Config = FsVfmConfig;
}

impl Backbone for FsVfm {
    fn info(cfg: &FsVfmConfig) -> Result<BackboneInfo> {
        let dims = cfg.dims()?;
        Ok(BackboneInfo {
            image: dims.image,
            patch: dims.patch,
            grid: dims.grid(),
            width: dims.width,
            depth: dims.depth,
            heads: dims.heads,
            prefix_tokens: 1,
            // of VGGFace2, the pre-training set (method.md 4)
            mean: [0.548_220_75, 0.423_405_35, 0.365_465_16],
            std: [0.278_917_6, 0.243_854_08, 0.234_938_93],
            pooling: cfg.pooling.word().into(),
            pooled: None,
        })
    }

    fn create(cfg: FsVfmConfig, p: &Params, ctx: &Ctx) -> Result<Self> {
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

    fn layouts(cfg: &FsVfmConfig) -> Result<Vec<KeyMap>> {
        let strings = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        // mean pooling has a fresh fc_norm instead of the encoder's norm, cls pooling the other way round
        let (other_norm, fresh) = match cfg.pooling {
            Pooling::Mean => ("norm.*", strings(&["fc_norm.*"])),
            Pooling::Cls => ("fc_norm.*", vec![]),
        };
        let layout = |name: &str, marks: &[&str], strip: &[&str], unused: &[&str]| KeyMap {
            name: name.into(),
            marks: strings(marks),
            strip: strings(strip),
            missing: fresh.clone(),
            unused: strings(&[&[other_norm], unused].concat()),
            positions: Some("pos_embed".into()),
            ..KeyMap::default()
        };
        let decoders = ["mask_token", "rep_decoder_*", "decoder_*", "projector.*", "predictor.*"];
        let embed = "*rep_decoder_embed.weight";
        Ok(vec![
            layout(
                "fsvfm-pretrain",
                &[embed, "*predictor.projection_head.0.weight"],
                &["module."],
                &decoders,
            ),
            layout("fsvfm-target", &[embed, "*projector.projection_head.0.weight"], &["module."], &decoders),
            // pre-trained without the similarity branch: encoder and pixel decoder only
            layout("fsvfm-pixels", &["*mask_token", "*decoder_pred.weight"], &["module."], &decoders),
            // the target network inside a larger dictionary
            layout(
                "fsvfm-target-encoder",
                &["*target_encoder.cls_token"],
                &["module.", "target_encoder."],
                &decoders,
            ),
            KeyMap {
                dictionary: Some("state_dict".into()),
                ..layout(
                    "fsvfm-fas",
                    &["*backbone.vit.cls_token"],
                    &["module.", "backbone.vit."],
                    &["head.*", "embedder.*", "classifier.*", "adapter.*", "projector.*"],
                )
            },
            layout("vit", &["*cls_token", "*blocks.0.attn.qkv.weight"], &["module."], &["head.*"]),
        ])
    }
}

export_plugin! { backbones: [FsVfm] }

#[cfg(test)]
mod tests {
    use super::*;
    use facebench_plugin::testing;

    #[test]
    fn the_description_is_consistent() {
        testing::check_backbone::<FsVfm>("").unwrap();
        for size in vit::Size::ALL {
            testing::check_backbone::<FsVfm>(&format!(r#"{{"size": "{size}"}}"#)).unwrap();
        }
    }

    #[test]
    fn vit_s_has_twelve_heads() {
        let cfg = FsVfmConfig { size: vit::Size::Small, ..FsVfmConfig::default() };
        assert_eq!(FsVfm::info(&cfg).unwrap().heads, 12);
    }

    #[test]
    fn a_pretraining_checkpoint_is_recognised_before_a_plain_one() {
        let layouts = FsVfm::layouts(&FsVfmConfig::default()).unwrap();
        let first = |keys: &[&str]| {
            layouts.iter().find(|l| l.recognises(keys.iter().copied())).map(|l| l.name.clone()).unwrap()
        };
        let encoder = ["cls_token", "blocks.0.attn.qkv.weight"];
        assert_eq!(first(&encoder), "vit");
        let mut target = encoder.to_vec();
        target.extend(["rep_decoder_embed.weight", "projector.projection_head.0.weight"]);
        assert_eq!(first(&target), "fsvfm-target");
        target.push("predictor.projection_head.0.weight");
        assert_eq!(first(&target), "fsvfm-pretrain");
        assert_eq!(first(&["backbone.vit.cls_token"]), "fsvfm-fas");
    }
}
