//! Every trainable parameter of every backbone and head that was built receives a gradient, every frozen one none.
//!
//! Some of the tensor library's own operations (fused layer norm, softmax over the last dimension) drop gradients without
//! a word; a plugin that reached one would train in part only. The loops go over what the plugin folder holds, so new
//! plugins are covered on arrival. Known to be zero for a reason, and checked as such: the key part of a `qkv` bias, which
//! shifts all scores of a query alike and so cancels in the softmax.

use std::collections::BTreeSet;

use candle_core::{DType, Device, Tensor};
use facebench_engine::{GradStore, ParamStore, backward};
use facebench_host::{Backbone, Kind, PluginInfo, Purpose, RunCtx};
use serde_json::{Value, json};

use super::plugins;
use super::runs::{Place, tune_spec};
use crate::detector::Detector;
use crate::job::Silent;
use crate::spec::{DecoderSpec, MaskToken, ObjectiveSpec, SimilaritySpec};
use crate::threec::{MaskedBatch, Online, Target};

fn noise(shape: &[usize], seed: f64) -> Tensor {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|i| (12.9898 * i as f64 + seed).sin() as f32).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// A scalar that depends on every element of `x` with its own weight.
fn mixed(x: &Tensor) -> Tensor {
    (x * noise(x.dims(), 0.5)).unwrap().sum_all().unwrap()
}

/// A tiny transformer where the backbone lets its dimensions be set; a small image for convolutional networks.
fn config(name: &str) -> Value {
    let tiny = json!({"width": 24, "depth": 2, "heads": 2, "patch": 8, "image": 32});
    if plugins().backbone_info(name, &tiny).is_ok() { tiny } else { json!({"image": 72}) }
}

/// What is shipped; the host's own test plugins lie in the same folder.
fn names(kind: Kind) -> Vec<String> {
    let shipped = |p: &PluginInfo| p.kind == kind && !p.path.to_string_lossy().contains("fixture");
    plugins().list().into_iter().filter(shipped).map(|p| p.name).collect()
}

fn largest(x: &Tensor) -> f64 {
    let values: Vec<f32> = x.flatten_all().unwrap().to_vec1().unwrap();
    assert!(values.iter().all(|v| v.is_finite()));
    values.iter().fold(0.0, |m, v| f64::from(v.abs()).max(m))
}

/// Checks all parameters of a store; `what` says whose.
fn check(what: &str, store: &ParamStore, grads: &GradStore) {
    let trains: BTreeSet<String> = store.trainable().into_iter().map(|(n, _)| n).collect();
    assert!(!trains.is_empty(), "{what}: nothing trains");
    for (name, var) in store.variables() {
        match grads.get(&var) {
            Some(grad) if trains.contains(&name) => {
                assert!(largest(grad) > 0.0, "{what}: the gradient of {name} is zero");
                if name.ends_with("attn.qkv.bias") {
                    let third = grad.dim(0).unwrap() / 3;
                    let part = |i: usize| largest(&grad.narrow(0, i * third, third).unwrap());
                    let (q, k, v) = (part(0), part(1), part(2));
                    assert!(q > 0.0 && v > 0.0, "{what}: {name} has zero query or value part");
                    assert!(k < 1e-3 * v, "{what}: {name}: key part {k}, value part {v}");
                }
            }
            Some(_) => panic!("{what}: {name} is frozen and has a gradient"),
            None => assert!(!trains.contains(&name), "{what}: {name} trains and has no gradient"),
        }
    }
}

/// Networks without tokens, which are never pre-trained by masking.
const CNNS: [&str; 3] = ["efficientnet-b4", "resnet50", "xception"];

fn build(name: &str, purpose: Purpose, store: &ParamStore, ctx: &RunCtx) -> Backbone {
    plugins().backbone(name, &config(name), purpose, store, "", ctx).unwrap()
}

#[test]
fn every_backbone_parameter_gets_a_gradient_or_is_frozen() {
    let backbones = names(Kind::Backbone);
    assert!(backbones.len() >= 3, "{backbones:?}");
    for name in &backbones {
        for purpose in [Purpose::Pretrain, Purpose::Downstream] {
            if purpose == Purpose::Pretrain && CNNS.contains(&name.as_str()) {
                continue; // refuses masking by design, with an error of its own
            }
            // all of it, then with about half of the parameters frozen, here and there
            for some in [false, true] {
                let store = ParamStore::new(&Device::Cpu, DType::F32, 3);
                store.set_frozen(move |n| some && n.bytes().map(u32::from).sum::<u32>().is_multiple_of(2));
                let ctx = RunCtx::new(&Device::Cpu, DType::F32, 3);
                ctx.train(0);
                let backbone = build(name, purpose, &store, &ctx);
                let side = backbone.info.image;
                let images = noise(&[2, 3, side, side], 0.0);
                let tokens = backbone.encode(&backbone.embed(&images, None, &ctx).unwrap(), &ctx).unwrap();
                let out = match purpose {
                    Purpose::Pretrain => backbone.norm(&tokens),
                    Purpose::Downstream => backbone.pool(&tokens),
                };
                let grads = backward(&mixed(&out.unwrap())).unwrap();
                check(&format!("{name} ({purpose:?}, some frozen: {some})"), &store, &grads);
            }
        }
    }
}

/// The whole detector as it is tuned: the head, and of the backbone what the head lets train.
#[test]
fn every_head_trains_what_it_says_with_gradients() {
    let heads = names(Kind::Head);
    assert!(heads.len() >= 2, "{heads:?}");
    for name in &heads {
        let config = if name == "knn" { json!({"k": 3}) } else { json!({}) };
        let spec = tune_spec(name, &config);
        let place = Place::new();
        let (state, out) = (place.out(), place.out());
        let detector = Detector::build(&spec, &place.job(&state, &out, 0, &Silent), 6).unwrap();
        if name == "knn" {
            assert!(detector.store.trainable().is_empty(), "a vote has nothing to train");
            continue;
        }
        // some weights start at zero (B of a low-rank update, ends of an adapter) and would hide others
        let moved = detector.store.trainable().into_iter().map(|(name, var)| {
            let shift = (noise(var.dims(), 0.3) * 0.05).unwrap();
            (name, (var.as_detached_tensor() + shift).unwrap())
        });
        detector.store.set_all(&moved.collect()).unwrap();
        detector.constrain().unwrap();
        detector.train(0).unwrap();
        let labels = [0, 1, 0, 1, 1, 0];
        let features = detector.features(&noise(&[6, 3, 32, 32], 0.1)).unwrap();
        let (logits, extra) = detector.head(&features, &labels).unwrap();
        let mut loss = mixed(&logits);
        if let Some(extra) = extra {
            loss = (loss + extra).unwrap();
        }
        check(name, &detector.store, &backward(&loss).unwrap());
    }
}

/// What stands around an encoder in pre-training: decoders, tokens, projector, predictor; and nothing reaches the target.
#[test]
fn every_pretraining_parameter_gets_a_gradient_and_the_target_none() {
    for similarity in
        [None, Some(SimilaritySpec { depth: 1, heads: 2, hidden: 32, out: 8, ..Default::default() })]
    {
        let mask_token = if similarity.is_some() { MaskToken::BeforeEmbed } else { MaskToken::AfterEmbed };
        let decoder = DecoderSpec { width: 16, depth: 1, heads: 2, mask_token };
        let spec = ObjectiveSpec { decoder, similarity: similarity.clone(), ..ObjectiveSpec::default() };
        let store = ParamStore::new(&Device::Cpu, DType::F32, 3);
        let ctx = RunCtx::new(&Device::Cpu, DType::F32, 3);
        ctx.train(0);
        let online = Online::new(&spec, build("fsvfm", Purpose::Pretrain, &store, &ctx), &store).unwrap();
        let twin = store.detached_copy().unwrap();
        let target = similarity
            .map(|s| Target::new(&s, build("fsvfm", Purpose::Pretrain, &twin, &ctx), &twin).unwrap());
        let (patches, side) = (online.info().grid.0 * online.info().grid.1, online.info().image);
        let kept = patches / 4;
        let keep: Vec<u32> = (0..2).flat_map(|b| (0..kept).map(move |i| (4 * i + b) as u32)).collect();
        let hidden: Vec<f32> =
            (0..2 * patches).map(|i| f32::from(u8::from(i % patches % 4 != i / patches))).collect();
        let batch = MaskedBatch {
            images: noise(&[2, 3, side, side], 0.0),
            keep: Tensor::from_vec(keep, (2, kept), &Device::Cpu).unwrap(),
            mask: Tensor::from_vec(hidden.clone(), (2, patches), &Device::Cpu).unwrap(),
            region: Tensor::from_vec(hidden, (2, patches), &Device::Cpu).unwrap(),
            covered: 1,
        };
        let loss = online.loss(&batch, target.as_ref(), &ctx).unwrap().total;
        let grads = backward(&loss).unwrap();
        check(&format!("pre-training, similarity {}", target.is_some()), &store, &grads);
        assert!(twin.variables().iter().all(|(_, var)| grads.get(var).is_none()), "the target has gradients");
    }
}
