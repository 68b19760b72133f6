//! Numbers of the published reference implementation (method.md 6, 10.1, 10.3 and the extracts in `tests/data`).

use facebench_engine::{
    DType, Device, Tensor, backward, ops,
    optim::{AdamConfig, AdamW, Group},
};
use facebench_host::{FeatureSpec, Purpose};
use serde_json::{Value, json};

use crate::common::{close, ctx, fill, fill_keys, images, numbers, plugins, store, values};

fn golden() -> Value {
    serde_json::from_str(include_str!("../data/downstream.json")).unwrap()
}

/// The tiny network of all vectors.
fn tiny(pooling: &str) -> Value {
    json!({"image": 224, "patch": 16, "width": 48, "depth": 2, "heads": 3, "pooling": pooling})
}

const TINY_FEATURES: FeatureSpec = FeatureSpec { width: 48, tokens: 197, classes: 2, samples: 0 };

/// Image of method.md 10.1.
fn formula_image(dtype: DType) -> Tensor {
    images(2, 224, dtype, |b, c, y, x| {
        (0.013 * x as f64 * (c as f64 + 1.0) + 0.021 * y as f64 + 0.5 * b as f64).sin()
    })
}

/// Image of the training fixtures at step `s`.
fn step_images(s: usize, dtype: DType) -> Tensor {
    images(4, 224, dtype, |b, c, y, x| {
        let (b, c, s) = (b as f64, c as f64, s as f64);
        let phase = (0.3 + 0.25 * b) * (x % 16) as f64 - 0.36 * (y % 16) as f64 + 0.8 * b * c + 0.3 * s;
        0.7 * phase.sin() + 0.3 * (0.05 * x as f64 + 0.03 * (c + 1.0) * y as f64).sin()
    })
}

fn key_order_10_1() -> Vec<(&'static str, usize)> {
    vec![("cls_token", 0), ("patch_embed.proj.weight", 5), ("patch_embed.proj.bias", 6)]
}

/// Names and shapes of the blocks of a tiny encoder, in state-dict order.
fn block_keys() -> Vec<(String, Vec<usize>)> {
    let mut keys = Vec::new();
    for i in 0..2 {
        for (part, out, input) in [
            ("norm1", 48, 0),
            ("attn.qkv", 144, 48),
            ("attn.proj", 48, 48),
            ("norm2", 48, 0),
            ("mlp.fc1", 192, 48),
            ("mlp.fc2", 48, 192),
        ] {
            let weight = if input == 0 { vec![out] } else { vec![out, input] };
            keys.push((format!("blocks.{i}.{part}.weight"), weight));
            keys.push((format!("blocks.{i}.{part}.bias"), vec![out]));
        }
    }
    keys
}

/// method.md 10.1: the encoder of the pre-training network on 49 visible patches, after the final norm.
#[test]
fn the_pretraining_encoder_meets_the_published_numbers() {
    let s = store(DType::F32, 0);
    let mut given = std::collections::BTreeMap::new();
    for (name, j) in key_order_10_1() {
        let shape = match name {
            "cls_token" => vec![1, 1, 48],
            "patch_embed.proj.weight" => vec![48, 3, 16, 16],
            _ => vec![48],
        };
        given.insert(name.to_string(), fill(name, j, &shape, DType::F32));
    }
    for (k, (name, shape)) in block_keys().into_iter().enumerate() {
        given.insert(name.clone(), fill(&name, 7 + k, &shape, DType::F32));
    }
    given.insert("norm.weight".into(), fill("norm.weight", 31, &[48], DType::F32));
    given.insert("norm.bias".into(), fill("norm.bias", 32, &[48], DType::F32));
    s.provide(given);
    let c = ctx(DType::F32);
    let model = plugins().backbone("fsvfm", &tiny("mean"), Purpose::Pretrain, &s, "", &c).unwrap();
    assert!(s.unused().is_empty());
    assert!(s.initialised().is_empty(), "only the fixed positions are not provided");

    let keep: Vec<u32> = (0..2usize)
        .flat_map(|q| (0..196).filter(move |p| (5 * p + 3 * q) % 196 < 49))
        .map(|p| p as u32)
        .collect();
    let keep = Tensor::from_vec(keep, (2, 49), &Device::Cpu).unwrap();
    let tokens = model.embed(&formula_image(DType::F32), Some(&keep), &c).unwrap();
    let out = model.norm(&model.encode(&tokens, &c).unwrap()).unwrap();
    assert_eq!(out.dims(), [2, 50, 48]);
    close("cls", &values(&out), &[-0.725_282, -1.111_860, 1.359_165, 0.939_416], 2e-5);
}

/// method.md 10.3: full fine-tuning and adapter logits, z.
#[test]
fn downstream_logits_meet_the_published_numbers() {
    for (head, j_head, logits, z) in [
        ("linear", 48, [0.106_938, 0.005_082, 0.106_370, 0.005_106], None),
        (
            "fs-adapter",
            96,
            [0.106_680, -0.145_335, 0.106_113, -0.144_746],
            Some([0.111_099, -0.014_323, -0.289_942, -0.374_860]),
        ),
    ] {
        let mut keys = vec![
            json!(["cls_token", [1, 1, 48]]),
            json!(["pos_embed", [1, 197, 48]]),
            json!(["patch_embed.proj.weight", [48, 3, 16, 16]]),
            json!(["patch_embed.proj.bias", [48]]),
        ];
        keys.extend(block_keys().into_iter().map(|k| json!(k)));
        keys.push(json!(["head.weight", [2, j_head]]));
        keys.extend([
            json!(["head.bias", [2]]),
            json!(["fc_norm.weight", [48]]),
            json!(["fc_norm.bias", [48]]),
        ]);
        if head == "fs-adapter" {
            keys.extend([
                json!(["adapter.linear1.weight", [12, 48]]),
                json!(["adapter.linear2.weight", [48, 12]]),
                json!(["projector.weight", [12, 12]]),
                json!(["projector.bias", [12]]),
            ]);
        }
        let s = store(DType::F32, 0);
        s.provide(fill_keys(&json!(keys), DType::F32));
        let c = ctx(DType::F32);
        let model = plugins().backbone("fsvfm", &tiny("mean"), Purpose::Downstream, &s, "", &c).unwrap();
        let head = plugins().head(head, &json!({}), &TINY_FEATURES, &s, "", &c).unwrap();
        assert!(s.unused().is_empty() && s.initialised().is_empty());
        c.train(0);
        let tokens = model.encode(&model.embed(&formula_image(DType::F32), None, &c).unwrap(), &c).unwrap();
        let (out, embedding) = head.forward(&model.pool(&tokens).unwrap(), &tokens, &c).unwrap();
        close("logits", &values(&out), &logits, 3e-6);
        if let Some(z) = z {
            close("z", &values(&embedding.unwrap()), &z, 3e-6);
        }
    }
}

/// Features and logits under both poolings, in f64.
#[test]
fn both_poolings_meet_the_reference_in_f64() {
    let golden = golden();
    for pooling in ["mean", "cls"] {
        let want = &golden["forward"][pooling];
        let s = store(DType::F64, 0);
        s.provide(fill_keys(&want["keys"], DType::F64));
        let c = ctx(DType::F64);
        let model = plugins().backbone("fsvfm", &tiny(pooling), Purpose::Downstream, &s, "", &c).unwrap();
        let head = plugins().head("linear", &json!({}), &TINY_FEATURES, &s, "", &c).unwrap();
        assert!(s.unused().is_empty() && s.initialised().is_empty());
        let tokens = model.encode(&model.embed(&step_images(0, DType::F64), None, &c).unwrap(), &c).unwrap();
        let pooled = model.pool(&tokens).unwrap();
        let (logits, _) = head.forward(&pooled, &tokens, &c).unwrap();
        close("features", &values(&pooled), &numbers(&want["features"]), 1e-9);
        close("logits", &values(&logits), &numbers(&want["logits"]), 1e-9);
    }
}

/// Five steps of FS-Adapter training in f64: losses, gradient norms, final logits, final parameters. The reference has
/// real = 1, the plugin real = 0: its labels are flipped for the contrastive loss, not for the cross-entropy.
#[test]
fn adapter_training_follows_the_reference() {
    let golden = &golden()["adapter"];
    let s = store(DType::F64, 0);
    s.provide(fill_keys(&golden["keys"], DType::F64));
    s.set_frozen(|name| !["adapter.", "projector.", "head."].iter().any(|p| name.starts_with(p)));
    let c = ctx(DType::F64);
    let model = plugins().backbone("fsvfm", &tiny("mean"), Purpose::Downstream, &s, "", &c).unwrap();
    let head = plugins().head("fs-adapter", &json!({"rac_weight": 0.1}), &TINY_FEATURES, &s, "", &c).unwrap();
    let features = |step: usize| {
        let tokens =
            model.encode(&model.embed(&step_images(step, DType::F64), None, &c).unwrap(), &c).unwrap();
        (model.pool(&tokens).unwrap(), tokens)
    };
    let group = Group { vars: s.trainable(), lr_scale: 1.0, weight_decay: 0.0 };
    let config = AdamConfig { beta1: 0.9, beta2: 0.999, eps: 1e-8 };
    let mut adam = AdamW::new(vec![group], config).unwrap();
    let scalar = |t: &Tensor| t.to_dtype(DType::F64).unwrap().to_scalar::<f64>().unwrap();
    for (step, want) in golden["steps"].as_array().unwrap().iter().enumerate() {
        c.train(step as u64);
        let (pooled, tokens) = features(step);
        let (logits, z) = head.forward(&pooled, &tokens, &c).unwrap();
        if step == 0 {
            close("logits", &values(&logits), &numbers(&golden["step0"]["logits"]), 1e-9);
            close("z", &values(z.as_ref().unwrap()), &numbers(&golden["step0"]["z"]), 1e-9);
        }
        let y: Vec<i64> = want["labels"].as_array().unwrap().iter().map(|l| l.as_i64().unwrap()).collect();
        let one_hot: Vec<f64> = y.iter().flat_map(|y| [1.0 - *y as f64, *y as f64]).collect();
        let ce =
            ops::cross_entropy(&logits, &Tensor::from_vec(one_hot, (4, 2), &Device::Cpu).unwrap()).unwrap();
        let fake: Vec<i64> = y.iter().map(|y| 1 - y).collect();
        let fake = Tensor::from_vec(fake, 4, &Device::Cpu).unwrap();
        let rac = head.loss(&logits, z.as_ref(), &fake, &c).unwrap().unwrap();
        let relative = |what: &str, got: f64| {
            let want = want[what].as_f64().unwrap();
            assert!((got / want - 1.0).abs() < 1e-8, "step {step} {what}: {got} is not {want}");
        };
        relative("ce", scalar(&ce));
        relative("rac", scalar(&rac) / 0.1);
        let total = (ce + rac).unwrap();
        relative("total", scalar(&total));
        let grads = backward(&total).unwrap();
        let norm: f64 =
            s.trainable().iter().flat_map(|(_, v)| values(grads.get(v).unwrap())).map(|g| g * g).sum();
        relative("grad_norm", norm.sqrt());
        adam.step(&grads, 0.005).unwrap();
    }
    c.eval();
    let (pooled, tokens) = features(0);
    let (logits, z) = head.forward(&pooled, &tokens, &c).unwrap();
    assert!(z.is_none(), "inference has logits only");
    close("final logits", &values(&logits), &numbers(&golden["final_logits_on_step0_images_unmixed"]), 1e-8);
    let tensors = s.tensors();
    for (name, want) in golden["trainable_params_after_5"].as_object().unwrap() {
        let v = values(&tensors[name]);
        let n = v.len();
        close(name, &[v[0], v[n / 3], v[2 * n / 3], v[n - 1]], &numbers(&want["samples"]), 1e-8);
    }
}

/// The contrastive loss alone, with gradients: method.md 10.3 (RAC) and the edge cases of the extracts.
#[test]
fn the_real_anchored_loss_meets_the_reference() {
    let golden = golden();
    let cases = golden["real_anchor"].as_array().unwrap();
    assert!(cases.len() > 20);
    for case in cases {
        let (b, d) = (case["B"].as_u64().unwrap() as usize, case["D"].as_u64().unwrap() as usize);
        let rows: Vec<f64> = (0..b)
            .flat_map(|i| {
                let u: Vec<f64> = (0..d)
                    .map(|d| f64::from((1.3 * i as f64 + 0.9 * (d * d) as f64 + 0.4).sin() as f32))
                    .collect();
                let norm = u.iter().map(|v| v * v).sum::<f64>().sqrt().max(1e-12);
                u.into_iter().map(move |v| v / norm).collect::<Vec<_>>()
            })
            .collect();
        let z = facebench_engine::Var::from_tensor(&Tensor::from_vec(rows, (b, d), &Device::Cpu).unwrap())
            .unwrap();
        // the plugin's real label is 0
        let real = case["real"].as_i64().unwrap();
        let labels: Vec<i64> =
            case["labels"].as_array().unwrap().iter().map(|y| i64::from(y.as_i64() != Some(real))).collect();
        let labels = Tensor::from_vec(labels, b, &Device::Cpu).unwrap();
        let config = json!({"rac_weight": 1.0, "rac_temperature": case["T"]});
        let c = ctx(DType::F64);
        let spec = FeatureSpec { width: 4, tokens: 2, classes: 2, samples: 0 };
        let head = plugins().head("fs-adapter", &config, &spec, &store(DType::F64, 0), "", &c).unwrap();
        let logits = Tensor::zeros((b, 2), DType::F64, &Device::Cpu).unwrap();
        let loss = head.loss(&logits, Some(z.as_tensor()), &labels, &c).unwrap().unwrap();
        let want = case["f64"].as_f64().unwrap();
        let got = loss.to_scalar::<f64>().unwrap();
        // the reference's constant for "no real" is 1e-6 in f32
        assert!((got - want).abs() <= 1e-10 + 1e-10 * want.abs(), "{case}: {got}");
        let grads = backward(&loss).unwrap();
        let grad = grads.get(z.as_tensor()).map_or_else(|| vec![0.0; b * d], values);
        close("gradient", &grad, &numbers(&case["grad_f64"]), 1e-9);
    }
}

/// method.md 6.1: trainable parameters of the adapter, and 5.1, 6.1: totals at ViT-S.
#[test]
fn parameter_counts_are_the_published_ones() {
    let c = ctx(DType::F32);
    for (width, expected) in [(384, 84_578), (768, 335_042), (1024, 594_178)] {
        let s = store(DType::F32, 0);
        let features = FeatureSpec { width, tokens: 197, classes: 2, samples: 0 };
        plugins().head("fs-adapter", &json!({}), &features, &s, "", &c).unwrap();
        assert_eq!(s.count().total, expected, "width {width}");
    }
    let features = FeatureSpec { width: 384, tokens: 197, classes: 2, samples: 0 };
    for (head, expected) in [("linear", 21_666_434), ("fs-adapter", 21_750_242)] {
        let s = store(DType::F32, 0);
        plugins().backbone("fsvfm", &json!({"size": "small"}), Purpose::Downstream, &s, "", &c).unwrap();
        plugins().head(head, &json!({}), &features, &s, "", &c).unwrap();
        assert_eq!(s.count().total, expected, "ViT-S with {head}");
    }
}
