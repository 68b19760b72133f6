//! Words of key maps: lists as owned strings, and the pieces that published layouts share.

use crate::{Join, KeyMap};

/// Owned strings.
pub fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

/// Owned pairs.
pub fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(a, b)| ((*a).to_string(), (*b).to_string())).collect()
}

/// Query, key and value of every block, kept apart in the file, as one `blocks.*.attn.qkv`. `names` are what stands
/// between `stem` (with a star for the block) and `.weight`; `biases` is false where not all three have one.
pub fn qkv(stem: &str, names: [&str; 3], biases: bool) -> Vec<Join> {
    let kinds: &[&str] = if biases { &["weight", "bias"] } else { &["weight"] };
    let join = |kind: &&str| Join {
        parts: names.map(|n| format!("{stem}{n}.{kind}")).to_vec(),
        to: format!("blocks.*.attn.qkv.{kind}"),
    };
    kinds.iter().map(join).collect()
}

/// A layout with a name, marks and left-overs; the rest is empty.
pub fn layout(name: &str, marks: &[&str], strip: &[&str], unused: &[&str]) -> KeyMap {
    KeyMap {
        name: name.into(),
        marks: strings(marks),
        strip: strings(strip),
        unused: strings(unused),
        positions: Some("pos_embed".into()),
        reasons: pairs(&[
            ("head*", "a head of another task"),
            ("fc.*", "a head of another task"),
            ("fc_norm.*", "the norm of another way of pooling"),
            ("*classifier.*", "a head of another task"),
            ("pre_logits.*", "a head of another task"),
            ("decoder_*", "the decoder of pre-training"),
            ("*mask_token", "a token of pre-training"),
            ("norm.*", "the norm of another way of pooling"),
            ("*position_ids", "a constant"),
            ("*relative_position_index", "a constant"),
            ("*num_batches_tracked", "a counter"),
            ("text*", "the text tower"),
            ("transformer.*", "the text tower"),
            ("token_embedding.*", "the text tower"),
            ("ln_final.*", "the text tower"),
            ("logit_*", "the scale of the contrastive loss"),
        ]),
        ..KeyMap::default()
    }
}

/// Blocks of the Hugging Face vision transformers (ViT, DeiT, BEiT, DINOv2), whose stems differ in little.
pub fn hugging_face_blocks() -> Vec<(String, String)> {
    pairs(&[
        ("encoder.layer.*.layernorm_before.*", "blocks.*.norm1.*"),
        ("encoder.layer.*.layernorm_after.*", "blocks.*.norm2.*"),
        ("encoder.layer.*.norm1.*", "blocks.*.norm1.*"),
        ("encoder.layer.*.norm2.*", "blocks.*.norm2.*"),
        ("encoder.layer.*.attention.output.dense.*", "blocks.*.attn.proj.*"),
        ("encoder.layer.*.intermediate.dense.*", "blocks.*.mlp.fc1.*"),
        ("encoder.layer.*.output.dense.*", "blocks.*.mlp.fc2.*"),
        ("encoder.layer.*.mlp.weights_in.*", "blocks.*.mlp.fc1.*"),
        ("encoder.layer.*.mlp.weights_out.*", "blocks.*.mlp.fc2.*"),
        ("encoder.layer.*.mlp.*", "blocks.*.mlp.*"),
        ("encoder.layer.*.layer_scale1.lambda1", "blocks.*.ls1.gamma"),
        ("encoder.layer.*.layer_scale2.lambda1", "blocks.*.ls2.gamma"),
        ("encoder.layer.*.lambda_1", "blocks.*.ls1.gamma"),
        ("encoder.layer.*.lambda_2", "blocks.*.ls2.gamma"),
        ("embeddings.cls_token", "cls_token"),
        ("embeddings.distillation_token", "dist_token"),
        ("embeddings.register_tokens", "reg_token"),
        ("embeddings.position_embeddings", "pos_embed"),
        ("embeddings.patch_embeddings.projection.*", "patch_embed.proj.*"),
        ("layernorm.*", "norm.*"),
    ])
}

/// Blocks of the Hugging Face CLIP and SigLIP towers, and their embeddings.
pub fn hugging_face_tower() -> KeyMap {
    let mut map = KeyMap {
        rewrite: pairs(&[
            ("encoder.layers.*.layer_norm1.*", "blocks.*.norm1.*"),
            ("encoder.layers.*.layer_norm2.*", "blocks.*.norm2.*"),
            ("encoder.layers.*.self_attn.out_proj.*", "blocks.*.attn.proj.*"),
            ("encoder.layers.*.mlp.*", "blocks.*.mlp.*"),
            ("embeddings.class_embedding", "cls_token"),
            ("embeddings.patch_embedding.*", "patch_embed.proj.*"),
            ("embeddings.position_embedding.weight", "pos_embed"),
            ("pre_layrnorm.*", "norm_pre.*"),
            ("post_layernorm.*", "norm.*"),
        ]),
        join: qkv("encoder.layers.*.self_attn.", ["q_proj", "k_proj", "v_proj"], true),
        ..KeyMap::default()
    };
    map.lead = vec![("cls_token".into(), 2), ("pos_embed".into(), 1)];
    map
}
