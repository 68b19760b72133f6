//! The visual tower of CLIP (Radford et al., arXiv 2103.00020) and its published layouts.
//!
//! A norm before the blocks, QuickGELU, a patch embedding without bias, eps 1e-5; the image's feature is the cls token
//! under the last norm, multiplied by a projection. FaRL has the same tower.

use super::keys::{self, layout, pairs};
use super::tower::{Mlp, Tower, TowerOptions};
use super::vit::VitDims;
use super::{LayerNorm, Linear};
use crate::{Ctx, Init, KeyMap, Params, Result, Tensor};

/// Channel means of the pictures CLIP was trained on.
pub const MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
/// Channel standard deviations of the pictures CLIP was trained on.
pub const STD: [f32; 3] = [0.268_629_55, 0.261_302_6, 0.275_777_1];

/// The visual tower with its last norm and, where it is used, its projection.
pub struct Clip {
    /// The encoder.
    pub tower: Tower,
    norm: LayerNorm,
    projection: Option<Linear>,
}

impl Clip {
    /// `projection` is the width of the projected feature, if pooling projects.
    pub fn new(
        dims: VitDims,
        mlp: Mlp,
        drop_path: f64,
        projection: Option<usize>,
        p: &Params,
    ) -> Result<Self> {
        let width = dims.width;
        let options = TowerOptions {
            mlp,
            eps: 1e-5,
            patch_bias: false,
            pre_norm: true,
            drop_path,
            ..TowerOptions::plain(width)
        };
        let start = Init::normal(1.0 / (width as f64).sqrt());
        Ok(Self {
            tower: Tower::new(dims, options, p)?,
            norm: LayerNorm::with_eps(width, 1e-5, &p.pp("norm"))?,
            projection: projection
                .map(|out| Linear::no_bias(width, out, start, &p.pp("projection")))
                .transpose()?,
        })
    }

    /// Patch tokens → all tokens.
    pub fn encode(&self, tokens: &Tensor, ctx: &Ctx) -> Result<Tensor> {
        self.tower.encode(tokens, ctx)
    }

    /// The last norm.
    pub fn norm(&self, tokens: &Tensor) -> Result<Tensor> {
        self.norm.forward(tokens)
    }

    /// The cls token under the last norm, projected if there is a projection.
    pub fn pool(&self, tokens: &Tensor) -> Result<Tensor> {
        let cls = self.norm.forward(&tokens.select(1, 0)?)?;
        match &self.projection {
            Some(projection) => projection.forward(&cls),
            None => Ok(cls),
        }
    }
}

/// OpenAI's keys, which open_clip kept; `stem` is `visual.`, or nothing for the tower alone. `extra` may be left over.
pub fn openai(name: &str, stem: &str, projects: bool, extra: &[&str]) -> KeyMap {
    let text = [
        "transformer.*",
        "token_embedding.*",
        "positional_embedding",
        "ln_final.*",
        "text_projection*",
        "text.*",
        "logit_scale",
        "logit_bias",
        "input_resolution",
        "context_length",
        "vocab_size",
    ];
    let mut unused: Vec<&str> = extra.to_vec();
    if !stem.is_empty() {
        unused.extend(text);
    }
    if !projects {
        unused.push("projection.weight");
    }
    let s = |rest: &str| format!("{stem}{rest}");
    let mark = |rest: &str| format!("*{stem}{rest}");
    let rewrite = [
        ("transformer.resblocks.*.ln_1.*", "blocks.*.norm1.*"),
        ("transformer.resblocks.*.ln_2.*", "blocks.*.norm2.*"),
        ("transformer.resblocks.*.attn.in_proj_*", "blocks.*.attn.qkv.*"),
        ("transformer.resblocks.*.attn.out_proj.*", "blocks.*.attn.proj.*"),
        ("transformer.resblocks.*.mlp.c_fc.*", "blocks.*.mlp.fc1.*"),
        ("transformer.resblocks.*.mlp.c_proj.*", "blocks.*.mlp.fc2.*"),
        ("class_embedding", "cls_token"),
        ("positional_embedding", "pos_embed"),
        ("conv1.*", "patch_embed.proj.*"),
        ("ln_pre.*", "norm_pre.*"),
        ("ln_post.*", "norm.*"),
        ("proj", "projection.weight"),
    ];
    let mut map = layout(name, &[], &["module.", "model.", "clip."], &unused);
    map.marks = vec![mark("class_embedding"), mark("transformer.resblocks.0.attn.in_proj_weight")];
    map.rewrite = rewrite.iter().map(|(from, to)| (s(from), (*to).to_string())).collect();
    map.transpose = vec!["projection.weight".into()];
    map.lead = vec![("cls_token".into(), 2), ("pos_embed".into(), 1)];
    map.reasons.splice(0..0, reasons());
    map
}

fn reasons() -> Vec<(String, String)> {
    pairs(&[
        ("projection.weight", "the projection of another way of pooling"),
        ("positional_embedding", "the text tower"),
        ("input_resolution", "a constant"),
        ("context_length", "a constant"),
        ("vocab_size", "a constant"),
        ("head.bias", "zeros in the published files"),
    ])
}

/// Every published layout of the visual tower.
pub fn layouts(projects: bool) -> Vec<KeyMap> {
    let mut hf = layout(
        "clip-hf",
        &["*embeddings.class_embedding", "*encoder.layers.0.self_attn.q_proj.weight"],
        &["module.", "model.", "vision_model."],
        &["text_model.*", "text_projection.*", "logit_scale", "*position_ids"],
    );
    let tower = keys::hugging_face_tower();
    (hf.rewrite, hf.join, hf.lead) = (tower.rewrite, tower.join, tower.lead);
    hf.rename = pairs(&[("visual_projection.", "projection.")]);
    let mut timm =
        layout("clip-timm", &["*norm_pre.weight", "*blocks.0.attn.qkv.weight"], &["module."], &["head.bias"]);
    timm.rename = pairs(&[("head.weight", "projection.weight")]);
    for map in [&mut hf, &mut timm] {
        map.reasons.splice(0..0, reasons());
        if !projects {
            map.unused.push("projection.weight".into());
        }
    }
    vec![openai("clip", "visual.", projects, &[]), openai("clip-visual", "", projects, &[]), hf, timm]
}
