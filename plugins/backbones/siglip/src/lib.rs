//! SigLIP: a visual tower trained with a sigmoid loss on image-text pairs (Zhai et al., arXiv 2303.15343).
//!
//! No cls token: a learned probe attends to all tokens under the last norm, and an MLP follows. GELU by tanh, as the original
//! code and the Hugging Face models have it (timm's base and large ones use the exact GELU: `activation: gelu`).
#![cfg_attr(test, allow(clippy::unwrap_used))]

use facebench_plugin::nn::keys::{self, layout, pairs};
use facebench_plugin::nn::tower::{self, Mlp, Tower, TowerOptions};
use facebench_plugin::nn::vit::VitDims;
use facebench_plugin::prelude::*;

choice! {
    /// Published sizes. Explicit dimensions in the settings override their parts.
    pub enum Size {
        /// ViT-B/16 at 224
        Base16 = "base-16",
        /// ViT-L/16 at 256
        Large16 = "large-16",
        /// the shape-optimised 400M model, patch 14 at 378 (files say 384)
        So400m14 = "so400m-14",
    }
}

choice! {
    /// What stands between the layers of the MLP.
    pub enum Activation {
        /// GELU, tanh approximation
        GeluTanh = "gelu-tanh",
        /// exact GELU
        Gelu = "gelu",
    }
}

vit_config! {
    /// Settings of SigLIP.
    pub struct SiglipConfig(Size = Size::Base16) {
        /// width of the MLP's hidden layer
        hidden: Option<usize> = None,
        /// activation of the MLPs
        activation: Activation = Activation::GeluTanh,
    }
}

impl SiglipConfig {
    fn dims(&self) -> Result<VitDims> {
        let (image, patch, width, depth, heads) = match self.size {
            Size::Base16 => (224, 16, 768, 12, 12),
            Size::Large16 => (256, 16, 1024, 24, 16),
            Size::So400m14 => (378, 14, 1152, 27, 16),
        };
        VitDims { image, patch, width, depth, heads }.with(self.overrides())
    }

    fn options(&self, dims: &VitDims) -> TowerOptions {
        let plain = TowerOptions::plain(dims.width);
        let published = if self.size == Size::So400m14 && self.width.is_none() { 4304 } else { plain.hidden };
        TowerOptions {
            mlp: match self.activation {
                Activation::GeluTanh => Mlp::GeluTanh,
                Activation::Gelu => Mlp::Gelu,
            },
            hidden: self.hidden.unwrap_or(published),
            tokens: &[],
            drop_path: self.drop_path,
            ..plain
        }
    }
}

/// A probe that attends to the tokens, and an MLP on what it found.
struct AttentionPool {
    latent: Tensor,      // (1, 1, D)
    in_proj: nn::Linear, // query, key and value: (3D, D)
    proj: nn::Linear,
    norm: nn::LayerNorm,
    fc1: nn::Linear,
    fc2: nn::Linear,
    mlp: Mlp,
    heads: usize,
}

impl AttentionPool {
    fn new(dims: &VitDims, options: &TowerOptions, p: &Params) -> Result<Self> {
        let (d, hidden) = (dims.width, options.hidden);
        Ok(Self {
            latent: p.get("latent", [1, 1, d], Init::trunc_normal(1.0 / (d as f64).sqrt()))?,
            in_proj: nn::Linear::new(d, 3 * d, &p.pp("in_proj"))?,
            proj: nn::Linear::new(d, d, &p.pp("proj"))?,
            norm: nn::LayerNorm::new(d, &p.pp("norm"))?,
            fc1: nn::Linear::new(d, hidden, &p.pp("mlp.fc1"))?,
            fc2: nn::Linear::new(hidden, d, &p.pp("mlp.fc2"))?,
            mlp: options.mlp,
            heads: dims.heads,
        })
    }

    /// (B, N, D) → (B, D).
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (b, n, d) = x.dims3()?;
        let (heads, each) = (self.heads, d / self.heads);
        let part = |i: usize, x: &Tensor| {
            let weight = self.in_proj.weight.narrow(0, i * d, d)?.contiguous()?;
            let bias = self.in_proj.bias.as_ref().map(|b| b.narrow(0, i * d, d)?.contiguous()).transpose()?;
            let (t, y) = (x.dim(1)?, x.linear(&weight, bias.as_ref())?);
            y.reshape((b, t, heads, each))?.permute([0, 2, 1, 3])?.contiguous() // (B, H, t, d)
        };
        let probe = self.latent.broadcast([b, 1, d])?.contiguous()?;
        let (q, k, v) = (part(0, &probe)?, part(1, x)?, part(2, x)?);
        debug_assert_eq!(k.dim(2).ok(), Some(n));
        let y = q.attention(&k, &v, 1.0 / (each as f64).sqrt())?; // (B, H, 1, d)
        let y = self.proj.forward(&y.permute([0, 2, 1, 3])?.contiguous()?.reshape((b, d))?)?;
        let hidden = self.mlp.hidden(&self.fc1, &self.norm.forward(&y)?)?;
        y + self.fc2.forward(&hidden)
    }
}

/// The encoder with its last norm and its pooling.
pub struct Siglip {
    tower: Tower,
    norm: nn::LayerNorm,
    pool: Option<AttentionPool>, // none while pre-training
}

impl Component for Siglip {
    const NAME: &'static str = "siglip";
    const SUMMARY: &'static str = "SigLIP visual tower: no cls token, attention pooling";
    type Config = SiglipConfig;
}

impl Backbone for Siglip {
    fn info(cfg: &SiglipConfig) -> Result<BackboneInfo> {
        let dims = cfg.dims()?;
        Ok(tower::info(&dims, &cfg.options(&dims), tower::HALF, "attention"))
    }

    fn create(cfg: SiglipConfig, p: &Params, ctx: &Ctx) -> Result<Self> {
        let dims = cfg.dims()?;
        let options = cfg.options(&dims);
        let norm = nn::LayerNorm::new(dims.width, &p.pp("norm"))?;
        let pool = (ctx.purpose() != Purpose::PRETRAIN)
            .then(|| AttentionPool::new(&dims, &options, &p.pp("attn_pool")))
            .transpose()?;
        Ok(Self { tower: Tower::new(dims, options, p)?, norm, pool })
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
        let Some(pool) = &self.pool else { bail!("made for pre-training: there is no pooling") };
        pool.forward(&self.norm.forward(tokens)?)
    }

    fn layouts(_: &SiglipConfig) -> Result<Vec<KeyMap>> {
        let mut hf = layout(
            "siglip-hf",
            &["*head.probe", "*encoder.layers.0.self_attn.q_proj.weight"],
            &["module.", "model.", "vision_model."],
            &["text_model.*", "logit_scale", "logit_bias", "*position_ids"],
        );
        let tower = keys::hugging_face_tower();
        (hf.rewrite, hf.join, hf.lead) = (tower.rewrite, tower.join, tower.lead);
        hf.rewrite.extend(pairs(&[
            ("head.probe", "attn_pool.latent"),
            ("head.attention.in_proj_*", "attn_pool.in_proj.*"),
            ("head.attention.out_proj.*", "attn_pool.proj.*"),
            ("head.layernorm.*", "attn_pool.norm.*"),
            ("head.mlp.*", "attn_pool.mlp.*"),
        ]));
        let marks = ["*attn_pool.latent", "*blocks.0.attn.qkv.weight"];
        let mut timm =
            layout("siglip-timm", &marks, &["module.", "visual.trunk."], &["head.*", "text.*", "logit_*"]);
        timm.join = ["weight", "bias"]
            .map(|kind| Join {
                parts: vec![format!("attn_pool.q.{kind}"), format!("attn_pool.kv.{kind}")],
                to: format!("attn_pool.in_proj.{kind}"),
            })
            .to_vec();
        Ok(vec![hf, timm])
    }
}

export_plugin! { backbones: [Siglip] }

#[cfg(test)]
mod tests {
    use super::*;
    use facebench_plugin::testing;

    #[test]
    fn the_description_is_consistent() {
        testing::check_backbone::<Siglip>("").unwrap();
        for size in Size::ALL {
            testing::check_backbone::<Siglip>(&format!(r#"{{"size": "{size}"}}"#)).unwrap();
        }
    }
}
