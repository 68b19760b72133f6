//! The published objective, optimiser and target update against the reference implementation.
//!
//! `pretrain_steps.json` holds losses and gradient norms of five steps, and the parameters after
//! them, for a tiny network filled by a closed form. The encoder comes through the plugin boundary.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use facebench_engine::optim::{ema_update, global_norm};
use facebench_engine::{ParamStore, backward, optim};
use facebench_host::{Purpose, RunCtx};
use serde_json::{Value, json};

use super::plugins;
use crate::descent::is_matrix;
use crate::spec::{
    DecoderSpec, MaskToken, ObjectiveSpec, RepPosEmbed, SimilarityLoss, SimilaritySpec, TargetUpdate,
};
use crate::threec::{MaskedBatch, Online, Target};

fn fixture() -> &'static Value {
    static FIXTURE: std::sync::OnceLock<Value> = std::sync::OnceLock::new();
    FIXTURE.get_or_init(|| serde_json::from_str(include_str!("pretrain_steps.json")).unwrap())
}

/// Settings of one trajectory.
struct Case {
    dtype: DType,
    similarity: SimilarityLoss,
    target: TargetUpdate,
    clip: Option<f64>,
    weight_decay: f64,
}

struct Network {
    store: ParamStore,
    twin: ParamStore,
    online: Online,
    target: Target,
    ctx: RunCtx,
}

fn build(case: &Case) -> Network {
    let c = &fixture()["config"];
    let n = |key: &str| usize::try_from(c[key].as_u64().unwrap()).unwrap();
    let backbone = json!({"width": n("D"), "depth": n("depth"), "heads": n("heads"), "patch": n("P"), "image": n("img")});
    let objective = ObjectiveSpec {
        decoder: DecoderSpec {
            width: n("dD"),
            depth: n("ddepth"),
            heads: n("dheads"),
            mask_token: MaskToken::BeforeEmbed,
        },
        similarity: Some(SimilaritySpec {
            loss: case.similarity,
            target: case.target,
            depth: n("rdepth"),
            heads: n("rheads"),
            rep_pos_embed: RepPosEmbed::Zero,
            hidden: n("hid"),
            out: n("out"),
            ..SimilaritySpec::default()
        }),
        ..ObjectiveSpec::default()
    };
    let ctx = RunCtx::new(&Device::Cpu, case.dtype, 0);
    let make = |store: &ParamStore| {
        plugins().backbone("fsvfm", &backbone, Purpose::Pretrain, store, "", &ctx).unwrap()
    };
    // shapes first, then the closed-form values
    let shapes = ParamStore::new(&Device::Cpu, case.dtype, 0);
    Online::new(&objective, make(&shapes), &shapes).unwrap();
    let store = ParamStore::new(&Device::Cpu, case.dtype, 0);
    store.provide(filled(&shapes.tensors()));
    let online = Online::new(&objective, make(&store), &store).unwrap();
    let twin = store.detached_copy().unwrap();
    let target = Target::new(objective.similarity.as_ref().unwrap(), make(&twin), &twin).unwrap();
    Network { store, twin, online, target, ctx }
}

/// `0.05 sin(0.37 i + 1.7 j)`, +1 for the weights of layer norms; position tables keep their values.
fn filled(like: &BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor> {
    let order = fixture()["online_key_order"].as_array().unwrap();
    assert_eq!(order.len(), like.len(), "{:?}", like.keys());
    let mut out = BTreeMap::new();
    for (j, key) in order.iter().enumerate() {
        let name = key[0].as_str().unwrap();
        let tensor = like.get(name).unwrap_or_else(|| panic!("no parameter {name}"));
        if name.ends_with("pos_embed") {
            continue;
        }
        let norm =
            name.ends_with("weight") && (name.contains("norm") || name.contains(".projection_head.1."));
        let values: Vec<f32> = (0..tensor.elem_count())
            .map(|i| (0.05 * (0.37 * i as f64 + 1.7 * j as f64).sin() + f64::from(u8::from(norm))) as f32)
            .collect();
        out.insert(name.to_owned(), Tensor::from_vec(values, tensor.shape(), &Device::Cpu).unwrap());
    }
    out
}

fn batch(step: usize, dtype: DType) -> MaskedBatch {
    let (b, side, n) = (2usize, 224usize, 196usize);
    let mut pixels = Vec::new();
    for q in 0..b {
        for c in 0..3 {
            for y in 0..side {
                for x in 0..side {
                    let angle = 0.013 * x as f64 * (c as f64 + 1.0)
                        + 0.021 * y as f64
                        + 0.5 * q as f64
                        + 0.3 * step as f64;
                    pixels.push(angle.sin() as f32);
                }
            }
        }
    }
    let hidden = |q: usize, p: usize| (5 * p + 3 * q + 7 * step) % 196 >= 49;
    let region = |q: usize, p: usize| hidden(q, p) && [(5 + step) % 14, (6 + step) % 14].contains(&(p / 14));
    let grid: Vec<(usize, usize)> = (0..b).flat_map(|q| (0..n).map(move |p| (q, p))).collect();
    let bits = |f: &dyn Fn(usize, usize) -> bool| -> Tensor {
        let values: Vec<f32> = grid.iter().map(|&(q, p)| f32::from(u8::from(f(q, p)))).collect();
        Tensor::from_vec(values, (b, n), &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
    };
    let keep: Vec<u32> = grid.iter().filter(|&&(q, p)| !hidden(q, p)).map(|&(_, p)| p as u32).collect();
    MaskedBatch {
        images: Tensor::from_vec(pixels, (b, 3, side, side), &Device::Cpu).unwrap().to_dtype(dtype).unwrap(),
        keep: Tensor::from_vec(keep, (b, 49), &Device::Cpu).unwrap(),
        mask: bits(&hidden),
        region: bits(&region),
        covered: 36,
    }
}

fn close(what: &str, got: f64, want: f64, relative: f64, absolute: f64) {
    assert!((got - want).abs() <= relative * want.abs() + absolute, "{what}: got {got}, expected {want}");
}

/// Runs the steps of a trajectory and compares every recorded value.
fn follow(case: &Case, steps: &Value) -> Network {
    let net = build(case);
    let exact = case.dtype == DType::F64;
    let params = net.store.trainable();
    let group = |decays: bool| optim::Group {
        vars: params.iter().filter(|(n, v)| is_matrix(n, v.rank()) == decays).cloned().collect(),
        lr_scale: 1.0,
        weight_decay: if decays { case.weight_decay } else { 0.0 },
    };
    let config = optim::AdamConfig { beta1: 0.9, beta2: 0.95, eps: 1e-8 };
    let mut adamw = optim::AdamW::new(vec![group(false), group(true)], config).unwrap();
    for (s, want) in steps.as_array().unwrap().iter().enumerate() {
        net.ctx.train(s as u64);
        let terms = net.online.loss(&batch(s, case.dtype), Some(&net.target), &net.ctx).unwrap();
        let total = terms.total.to_dtype(DType::F64).unwrap().to_scalar::<f64>().unwrap();
        let mut grads = backward(&terms.total).unwrap();
        let norm = global_norm(&grads, &params).unwrap();
        let (rel, abs) = if exact { (1e-10, 0.0) } else { (2e-6, 1e-6) };
        for (key, got) in [
            ("loss_rec_all", terms.rec),
            ("loss_rec_fr", terms.region),
            ("loss_sim", terms.similarity),
            ("total", total),
        ] {
            close(&format!("step {s} {key}"), got, want[key].as_f64().unwrap(), rel, abs);
        }
        let rel = if exact {
            1e-10
        } else if s == 0 {
            5e-6
        } else {
            2e-5
        };
        close(&format!("step {s} grad_norm"), norm, want["grad_norm"].as_f64().unwrap(), rel, 0.0);
        if let Some(max) = case.clip {
            optim::clip_global_norm(&mut grads, &params, max).unwrap();
        }
        adamw.step(&grads, 1e-3).unwrap();
        if case.target == TargetUpdate::Ema {
            ema_update(&net.twin, &net.store, 0.99).unwrap();
        }
    }
    net
}

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn compare_parameters(got: &BTreeMap<String, Tensor>, want: &Value, exact: bool) {
    for (name, summary) in want.as_object().unwrap() {
        let tensor = got.get(name).unwrap_or_else(|| panic!("no parameter {name}"));
        let v = values(tensor);
        // the gradient of a key bias is zero in exact arithmetic, so AdamW turns rounding into steps
        if name.ends_with("attn.qkv.bias") && !exact {
            continue;
        }
        let n = v.len();
        let l2 = v.iter().map(|x| x * x).sum::<f64>().sqrt();
        close(
            &format!("{name} l2"),
            l2,
            summary["l2"].as_f64().unwrap(),
            if exact { 1e-9 } else { 1e-5 },
            1e-12,
        );
        for (i, want) in [0, n / 3, 2 * n / 3, n - 1].into_iter().zip(summary["samples"].as_array().unwrap())
        {
            close(
                &format!("{name}[{i}]"),
                v[i],
                want.as_f64().unwrap(),
                0.0,
                if exact { 1e-9 } else { 2e-5 },
            );
        }
    }
}

fn base(dtype: DType) -> Case {
    Case {
        dtype,
        similarity: SimilarityLoss::Simsiam,
        target: TargetUpdate::Ema,
        clip: Some(1.0),
        weight_decay: 0.05,
    }
}

#[test]
fn five_steps_in_f32() {
    let net = follow(&base(DType::F32), &fixture()["f64"]["steps"]);
    compare_parameters(&net.store.tensors(), &fixture()["f64"]["online_after_5"], false);
    compare_parameters(&net.twin.tensors(), &fixture()["f64"]["target_after_5"], false);
}

#[test]
fn five_steps_in_f64() {
    let net = follow(&base(DType::F64), &fixture()["f64"]["steps"]);
    compare_parameters(&net.store.tensors(), &fixture()["f64"]["online_after_5"], true);
    compare_parameters(&net.twin.tensors(), &fixture()["f64"]["target_after_5"], true);
}

#[test]
fn other_targets_losses_and_clipping() {
    let variants = &fixture()["variants"];
    let f32 = DType::F32;
    for (name, case) in [
        ("target_frozen", Case { target: TargetUpdate::Frozen, ..base(f32) }),
        ("byol", Case { similarity: SimilarityLoss::Byol, ..base(f32) }),
        ("infonce_all_T0.1", Case { similarity: SimilarityLoss::InfoNce, ..base(f32) }),
        ("no_clip", Case { clip: None, ..base(f32) }),
        ("clip_0.1_wd_0.3", Case { clip: Some(0.1), weight_decay: 0.3, ..base(f32) }),
    ] {
        let net = follow(&case, &variants[name]["f64"]["steps"]);
        let l2 = |tensors: BTreeMap<String, Tensor>| -> f64 {
            tensors.values().map(|t| values(t).iter().map(|x| x * x).sum::<f64>().sqrt()).sum()
        };
        let want = |key: &str| variants[name]["f64"][key].as_f64().unwrap();
        close(
            &format!("{name} online"),
            l2(net.store.tensors()),
            want("online_l2_sum_over_tensors"),
            1e-5,
            0.0,
        );
        close(
            &format!("{name} target"),
            l2(net.twin.tensors()),
            want("target_l2_sum_over_tensors"),
            1e-5,
            0.0,
        );
    }
}

/// method.md §10.1: the same network on the first step, as printed there.
#[test]
fn published_forward_values() {
    let net = build(&base(DType::F32));
    let first = batch(0, DType::F32);
    let encoded = net.online.encode(&first, &net.ctx).unwrap();
    let cls = values(&encoded.narrow(0, 0, 1).unwrap().narrow(1, 0, 1).unwrap());
    for (got, want) in cls.iter().zip([-0.725282, -1.111860, 1.359165, 0.939416]) {
        close("cls", *got, want, 0.0, 2e-5);
    }
    let pixels = values(&net.online.decode(&encoded, &first.keep).unwrap());
    for (got, want) in pixels.iter().zip([-0.229258, 0.539458, 1.053321, 1.053906]) {
        close("pred", *got, want, 0.0, 2e-5);
    }
    let z = values(&net.online.predict(&encoded, &first.keep).unwrap().unwrap());
    for (got, want) in z.iter().zip([0.232508, -0.227100, -0.292005, 0.162063]) {
        close("z_o", *got, want, 0.0, 2e-5);
    }
    let z = values(&net.target.project(&first.images, &net.ctx).unwrap());
    for (got, want) in z.iter().zip([0.183561, -0.281444, -0.210434, 0.259545]) {
        close("z_t", *got, want, 0.0, 2e-5);
    }
}

/// The region term is left out, not 0/0, when no image of the batch shows the region.
#[test]
fn an_absent_region_leaves_the_loss_finite() {
    let net = build(&base(DType::F32));
    let mut first = batch(0, DType::F32);
    first.region = first.region.zeros_like().unwrap();
    first.covered = 0;
    let terms = net.online.loss(&first, Some(&net.target), &net.ctx).unwrap();
    assert_eq!(terms.region, 0.0);
    assert!(terms.total.to_scalar::<f32>().unwrap().is_finite());
}

/// Everything that should learn does, and nothing else: candle drops gradients silently.
#[test]
fn every_trainable_parameter_gets_a_gradient() {
    let net = build(&base(DType::F32));
    let terms = net.online.loss(&batch(0, DType::F32), Some(&net.target), &net.ctx).unwrap();
    let grads = backward(&terms.total).unwrap();
    for (name, var) in net.store.trainable() {
        let grad = grads.get(&var).unwrap_or_else(|| panic!("{name} gets no gradient"));
        let square = values(grad).iter().map(|g| g * g).sum::<f64>();
        assert!(square > 0.0 && square.is_finite(), "{name}: squared norm of the gradient is {square}");
    }
    let fixed = ["pos_embed", "decoder_pos_embed", "rep_decoder_pos_embed"];
    let trained: Vec<String> = net.store.trainable().into_iter().map(|(n, _)| n).collect();
    assert!(fixed.iter().all(|f| !trained.contains(&(*f).to_owned())));
}
