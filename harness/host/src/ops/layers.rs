//! Layers, tokens, losses and regularisers: thin calls of the engine.

use facebench_abi::{OpResult, RawBlock, RawCtx, RawTensor, abi_stable::std_types::ROption};
use facebench_engine::{
    Rng,
    ops::{self, BlockWeights, BranchScales},
};

use super::{
    axis, fail,
    handles::{ctx, t},
    meet, op,
};
use crate::watch;

pub(super) extern "C" fn linear(x: &RawTensor, w: &RawTensor, b: ROption<&RawTensor>) -> OpResult {
    op("linear", &[x, w], || ops::linear(t(x), t(w), b.into_option().map(t)))
}

pub(super) extern "C" fn linear_gelu(x: &RawTensor, w: &RawTensor, b: ROption<&RawTensor>) -> OpResult {
    op("linear_gelu", &[x, w], || ops::linear_gelu(t(x), t(w), b.into_option().map(t)))
}

pub(super) extern "C" fn layer_norm(x: &RawTensor, w: &RawTensor, b: &RawTensor, eps: f64) -> OpResult {
    op("layer_norm", &[x, w, b], || ops::layer_norm(t(x), t(w), t(b), eps))
}

pub(super) extern "C" fn attention(q: &RawTensor, k: &RawTensor, v: &RawTensor, scale: f64) -> OpResult {
    op("attention", &[q, k, v], || {
        let (q, k) = meet(t(q), t(k))?; // a learned query meets tokens
        watch::attention(|| ops::attention_weights(&q, &k, scale))?;
        ops::attention(&q, &k, &meet(t(v), &k)?.0, scale)
    })
}

pub(super) extern "C" fn attention_qkv(qkv: &RawTensor, heads: usize) -> OpResult {
    op(format_args!("attention_qkv[{heads} heads]"), &[qkv], || {
        watch::attention(|| ops::attention_weights_qkv(t(qkv), heads))?;
        ops::attention_qkv(t(qkv), heads)
    })
}

pub(super) extern "C" fn transformer_block(
    x: &RawTensor,
    w: &RawBlock<'_>,
    heads: usize,
    eps: f64,
    drop_path: f64,
    c: &RawCtx,
) -> OpResult {
    op(format_args!("transformer_block[{heads} heads]"), &[x], || {
        let own = |raw: &RawTensor| t(raw).clone();
        let weights = BlockWeights {
            norm1_weight: own(w.norm1_weight),
            norm1_bias: own(w.norm1_bias),
            qkv_weight: own(w.qkv_weight),
            qkv_bias: own(w.qkv_bias),
            proj_weight: own(w.proj_weight),
            proj_bias: own(w.proj_bias),
            norm2_weight: own(w.norm2_weight),
            norm2_bias: own(w.norm2_bias),
            fc1_weight: own(w.fc1_weight),
            fc1_bias: own(w.fc1_bias),
            fc2_weight: own(w.fc2_weight),
            fc2_bias: own(w.fc2_bias),
        };
        let x = &watch::block_input(t(x))?;
        watch::attention(|| ops::block_attention_weights(x, &weights, heads, eps))?;
        if !c.train || drop_path == 0.0 {
            return ops::transformer_block(x, &weights, heads, eps);
        }
        if !(0.0..1.0).contains(&drop_path) {
            return fail(format!("drop-path probability {drop_path} is not in [0, 1)"));
        }
        let batch = x.dim(0)?;
        let mut rng = ctx(c).stream();
        let scales = BranchScales {
            attention: branch(&mut rng, batch, drop_path),
            mlp: branch(&mut rng, batch, drop_path),
        };
        ops::transformer_block_with(x, &weights, heads, eps, Some(&scales))
    })
}

/// Per-sample factors of a residual branch: 0 with probability `p`, else 1/(1−p).
fn branch(rng: &mut Rng, batch: usize, p: f64) -> Vec<f32> {
    let keep = (1.0 / (1.0 - p)) as f32;
    (0..batch).map(|_| if rng.uniform() < p { 0.0 } else { keep }).collect()
}

pub(super) extern "C" fn conv2d(
    x: &RawTensor,
    kernel: &RawTensor,
    bias: ROption<&RawTensor>,
    stride: usize,
    pad: usize,
) -> OpResult {
    op(format_args!("conv2d[stride {stride}, padding {pad}]"), &[x, kernel], || {
        if stride == 0 {
            return fail("stride 0");
        }
        let even = ops::Conv2d { stride, dilation: 1, groups: 1, pad: [pad; 4] };
        ops::conv2d(t(x), t(kernel), bias.into_option().map(t), even)
    })
}

pub(super) extern "C" fn patchify(images: &RawTensor, patch: usize) -> OpResult {
    op(format_args!("patchify[{patch}]"), &[images], || ops::patchify(t(images), patch))
}

pub(super) extern "C" fn patch_targets(images: &RawTensor, patch: usize) -> OpResult {
    op(format_args!("patch_targets[{patch}]"), &[images], || ops::patch_targets(t(images), patch))
}

pub(super) extern "C" fn gather_tokens(x: &RawTensor, keep: &RawTensor) -> OpResult {
    op("gather_tokens", &[x, keep], || ops::gather_tokens(t(x), t(keep)))
}

pub(super) extern "C" fn scatter_tokens(
    x: &RawTensor,
    keep: &RawTensor,
    fill: &RawTensor,
    total: usize,
) -> OpResult {
    op("scatter_tokens", &[x, keep, fill], || ops::scatter_tokens(t(x), t(keep), t(fill), total))
}

pub(super) extern "C" fn cross_entropy(logits: &RawTensor, targets: &RawTensor) -> OpResult {
    op("cross_entropy", &[logits, targets], || ops::cross_entropy(t(logits), t(targets)))
}

pub(super) extern "C" fn masked_mse(pred: &RawTensor, target: &RawTensor, mask: &RawTensor) -> OpResult {
    op("masked_mse", &[pred, target, mask], || ops::masked_mse(t(pred), t(target), t(mask)))
}

pub(super) extern "C" fn normalise(x: &RawTensor, dim: i32, eps: f64) -> OpResult {
    op("normalise", &[x], || ops::normalise(t(x), axis(t(x), dim)?, eps))
}

pub(super) extern "C" fn dropout(x: &RawTensor, p: f64, c: &RawCtx) -> OpResult {
    op("dropout", &[x], || ops::dropout(t(x), p, &mut ctx(c).stream()))
}

pub(super) extern "C" fn drop_path(x: &RawTensor, p: f64, c: &RawCtx) -> OpResult {
    op("drop_path", &[x], || ops::drop_path(t(x), p, &mut ctx(c).stream()))
}
