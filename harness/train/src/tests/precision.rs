//! bf16 activations: every kind of run trains with them, close to f32, and what is stored is f32.

use std::path::Path;

use candle_core::DType;
use facebench_engine::checkpoint;
use serde_json::{Value, json};

use super::runs::{files, pretrain_spec, protocol, run, tune_spec};
use crate::job::Job;
use crate::spec::{Component, Precision, PretrainSpec};
use crate::{pretrain, tune};

/// The values of a column of `curves.csv`.
fn column(out: &Path, name: &str) -> Vec<f64> {
    let text = std::fs::read_to_string(out.join("curves.csv")).unwrap();
    let mut lines = text.lines().map(|l| l.split(',').collect::<Vec<_>>());
    let at = lines.next().unwrap().iter().position(|n| *n == name).unwrap();
    lines.map(|l| l[at].parse().unwrap()).collect()
}

/// The two runs tell apart what they should: close losses that are not equal, weights in f32.
fn compare(full: &Path, half: &Path, loss: &str, what: &str) {
    let (a, b) = (column(full, loss), column(half, loss));
    assert_ne!(a, b, "{what}: bf16 must leave a trace");
    for (a, b) in a.iter().zip(&b) {
        assert!((a - b).abs() < 0.03 * a.abs().max(0.3), "{what}: {a} in f32, {b} in bf16");
    }
    let read = |out: &Path| {
        let names = files(out).into_keys().filter(|n| n.ends_with(".safetensors"));
        let tensors = names.flat_map(|n| checkpoint::read(&out.join(n)).unwrap().tensors);
        tensors.collect::<std::collections::BTreeMap<_, _>>()
    };
    let (full, half) = (read(full), read(half));
    assert!(!full.is_empty(), "{what}");
    assert!(full.keys().eq(half.keys()), "{what}");
    assert!(half.values().all(|t| t.dtype() == DType::F32), "{what}: the master copy is f32");
}

fn micro(more: &Value) -> Value {
    let mut config = json!({"width": 24, "depth": 2, "heads": 2, "patch": 8, "image": 32});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    config
}

#[test]
fn every_backbone_tunes_in_bf16() {
    let protocol = protocol();
    let vit = micro(&json!({}));
    let cases = [
        ("fsvfm", vit.clone()),
        ("dino", vit.clone()),
        ("dinov2", vit.clone()),
        ("vit-supervised", vit.clone()),
        ("beit-v2", vit.clone()),
        ("siglip", vit),
        ("clip", micro(&json!({"projection": 16}))),
        ("resnet50", json!({"width": 4, "image": 32})),
    ];
    for (plugin, config) in cases {
        let mut spec = tune_spec("linear", &json!({}));
        spec.backbone = Component { plugin: plugin.into(), config: config.as_object().unwrap().clone() };
        spec.recipe.blr = 1e-3;
        let before = serde_json::to_string(&spec).unwrap();
        assert!(!before.contains("precision"), "the default must not change digests");
        let (full, _) = run(0, &[], &|job: &Job| tune(&spec, &protocol, job));
        spec.recipe.precision = Precision::Bf16;
        let (half, _) = run(0, &[], &|job: &Job| tune(&spec, &protocol, job));
        compare(&full.out(), &half.out(), "train_loss", plugin);
        if plugin == "fsvfm" {
            let (stopped, _) = run(2, &[2], &|job: &Job| tune(&spec, &protocol, job));
            assert_eq!(files(&half.out()), files(&stopped.out()), "resumed");
        }
    }
}

#[test]
fn every_objective_pretrains_in_bf16() {
    let dino: PretrainSpec = serde_json::from_value(json!({
        "backbone": {"plugin": "dino", "config": micro(&json!({}))},
        "objective": {"kind": "dino", "dino": {"out": 32, "hidden": 16, "bottleneck": 8, "local_crops": 2, "local_size": 16}},
        "optim": {"epochs": 2, "warmup_epochs": 1.0, "batch": 8, "accum": 1, "blr": 0.01},
    }))
    .unwrap();
    for (mut spec, what) in [(pretrain_spec(), "3C"), (dino, "DINO")] {
        spec.optim.blr = 1e-3;
        let (full, _) = run(0, &[], &|job: &Job| pretrain(&spec, job));
        spec.optim.precision = Precision::Bf16;
        let (half, _) = run(0, &[], &|job: &Job| pretrain(&spec, job));
        compare(&full.out(), &half.out(), "loss", what);
        let (stopped, _) = run(2, &[2], &|job: &Job| pretrain(&spec, job));
        assert_eq!(files(&half.out()), files(&stopped.out()), "{what}: resumed");
    }
}
