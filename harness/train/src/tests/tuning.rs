//! Tuning steps against the reference implementation, through the detector and the plugins.
//!
//! `tuning_steps.json` holds losses, gradient norms, logits and parameters of tiny networks filled by a closed form.
//! There class 1 is real; here it is fake, so labels and the classifier's rows are exchanged.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use candle_core::{DType, Device, Tensor, Var};
use facebench_engine::{backward, ops::losses, schedule};
use facebench_host::{FeatureSpec, RunCtx};
use serde_json::{Value, json};

use super::plugins;
use super::runs::{Place, protocol};
use crate::detector::Detector;
use crate::job::Silent;
use crate::mix::Mix;
use crate::spec::{Optimiser, TuneSpec};
use crate::tune::descent;

fn fixture() -> &'static Value {
    static FIXTURE: OnceLock<Value> = OnceLock::new();
    FIXTURE.get_or_init(|| serde_json::from_str(include_str!("tuning_steps.json")).unwrap())
}

/// What differs between the trajectories.
struct Case<'a> {
    dtype: DType,
    head: Value,
    recipe: Value,
    order: &'a Value,
    /// Mixing of a step
    mix: &'a dyn Fn(usize) -> Mix,
    smoothing: f64,
    lr: &'a dyn Fn(usize) -> f64,
    steps: &'a Value,
    last: &'a Value,
    params: &'a Value,
    tolerance: Tolerance,
}

/// Relative for losses and gradient norms, absolute for logits and parameters.
struct Tolerance {
    loss: f64,
    norm: f64,
    logits: f64,
    params: f64,
}

const EXACT: Tolerance = Tolerance { loss: 1e-9, norm: 1e-9, logits: 1e-9, params: 1e-9 };

const B: usize = 4;
const SIDE: usize = 224;

/// Our name of a published parameter.
fn name(published: &str) -> &str {
    published.strip_prefix("backbone.vit.").unwrap_or(published)
}

/// Whether its first dimension is the classes.
fn by_class(name: &str) -> bool {
    name.starts_with("head.") || name.starts_with("classifier.")
}

fn classes_exchanged(tensor: &Tensor) -> Tensor {
    let rows = Tensor::new(&[1u32, 0], &Device::Cpu).unwrap();
    tensor.index_select(&rows, 0).unwrap()
}

fn filled(order: &Value, like: &BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor> {
    let mut out = BTreeMap::new();
    for (j, key) in order.as_array().unwrap().iter().enumerate() {
        let name = name(key.as_str().unwrap());
        let Some(tensor) = like.get(name) else {
            assert!(name.starts_with("head.") || name.starts_with("projector."), "no parameter {name}");
            continue;
        };
        let plus = match name {
            "embedder.bottleneck_layer_fc.bias" => 0.1,
            n if n.contains("norm") && n.ends_with("weight") => 1.0,
            _ => 0.0,
        };
        let values: Vec<f32> = (0..tensor.elem_count())
            .map(|i| (0.05 * (0.37 * i as f64 + 1.7 * j as f64).sin() + plus) as f32)
            .collect();
        let mut value = Tensor::from_vec(values, tensor.shape(), &Device::Cpu).unwrap();
        if by_class(name) {
            value = classes_exchanged(&value);
        }
        out.insert(name.to_owned(), value);
    }
    assert_eq!(out.len(), like.len());
    out
}

fn pixels(step: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(B * 3 * SIDE * SIDE);
    for b in 0..B {
        for c in 0..3 {
            for y in 0..SIDE {
                for x in 0..SIDE {
                    let (xm, ym) = ((x % 16) as f64, (y % 16) as f64);
                    let wave =
                        (0.3 + 0.25 * b as f64) * xm - 0.36 * ym + 0.8 * (b * c) as f64 + 0.3 * step as f64;
                    let slow = 0.05 * x as f64 + 0.03 * (c as f64 + 1.0) * y as f64;
                    out.push((0.7 * wave.sin() + 0.3 * slow.sin()) as f32);
                }
            }
        }
    }
    out
}

/// The images of a step, mixed; in f64 Mixup is computed in f64.
fn images(step: usize, mix: Mix, dtype: DType) -> Tensor {
    let mut values = pixels(step);
    let tensor = |values: Vec<f32>| {
        Tensor::from_vec(values, (B, 3, SIDE, SIDE), &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
    };
    if dtype == DType::F64 && mix.window.is_none() {
        let own = tensor(values);
        let reverse = own.index_select(&Tensor::new(&[3u32, 2, 1, 0], &Device::Cpu).unwrap(), 0).unwrap();
        return ((own * mix.lambda).unwrap() + (reverse * (1.0 - mix.lambda)).unwrap()).unwrap();
    }
    mix.apply(&mut values, SIDE);
    tensor(values)
}

fn close(what: &str, got: f64, want: f64, relative: f64, absolute: f64) {
    assert!((got - want).abs() <= relative * want.abs() + absolute, "{what}: got {got}, expected {want}");
}

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn follow(case: &Case) {
    let mut spec: TuneSpec = serde_json::from_value(json!({
        "backbone": {"plugin": "fsvfm", "config": {"width": 48, "depth": 2, "heads": 3, "patch": 16, "image": SIDE}},
        "init": "random", "head": case.head, "recipe": case.recipe,
        "protocol": protocol().id, "fold": protocol().folds[0].name,
    }))
    .unwrap();
    spec.recipe.clip = Some(1e30); // reports the norm
    let place = Place::new();
    let (state, out) = (place.out(), place.out());
    let job = place.job(&state, &out, 0, &Silent);
    let detector = Detector::with_dtype(&spec, &job, 0, case.dtype).unwrap();
    detector.store.set_all(&filled(case.order, &detector.store.tensors())).unwrap();
    detector.constrain().unwrap();
    let before = detector.store.tensors();
    let before: BTreeMap<String, Vec<f64>> = before.iter().map(|(n, t)| (n.clone(), values(t))).collect();
    let mut optimiser = descent(&detector, &spec.recipe).unwrap();
    let t = &case.tolerance;
    let floor = if case.dtype == DType::F64 { 0.0 } else { 1e-6 };
    for (s, want) in case.steps.as_array().unwrap().iter().enumerate() {
        detector.train(s as u64).unwrap();
        let mix = (case.mix)(s);
        let labels: Vec<u32> = (0..B).map(|b| u32::from((b + s) % 3 == 0)).collect();
        let features = detector.features(&images(s, mix, case.dtype)).unwrap();
        let (logits, extra) = detector.head(&features, &labels).unwrap();
        let targets = mix.targets(&labels, 2, case.smoothing, &logits).unwrap();
        let ce = losses::cross_entropy(&logits, &targets).unwrap();
        let scalar = |t: &Tensor| t.to_dtype(DType::F64).unwrap().to_scalar::<f64>().unwrap();
        let total = match &extra {
            Some(extra) => (&ce + extra).unwrap(),
            None => ce.clone(),
        };
        let expected = want.get("total").or(want.get("loss")).unwrap().as_f64().unwrap();
        close(&format!("step {s} loss"), scalar(&total), expected, t.loss, floor);
        optimiser.gather(&total, 1).unwrap();
        let norm = optimiser.step((case.lr)(s)).unwrap().unwrap();
        close(&format!("step {s} gradient norm"), norm, want["grad_norm"].as_f64().unwrap(), t.norm, 0.0);
        detector.constrain().unwrap();
    }
    detector.eval().unwrap();
    let features = detector.features(&images(0, Mix::NONE, case.dtype)).unwrap();
    let logits = values(&detector.logits(&features).unwrap());
    let want: Vec<[f64; 2]> = serde_json::from_value(case.last.clone()).unwrap();
    for (got, want) in logits.chunks_exact(2).zip(&want) {
        close("final logit, real", got[0], want[1], t.logits, t.logits);
        close("final logit, fake", got[1], want[0], t.logits, t.logits);
    }
    let (after, wanted) = (detector.store.tensors(), case.params.as_object().unwrap());
    let mut compared = 0;
    for (published, summary) in wanted {
        let name = name(published);
        let mut tensor = after.get(name).unwrap_or_else(|| panic!("no parameter {name}")).clone();
        // the gradient of a key bias is zero in exact arithmetic, so the optimiser turns rounding into steps
        if name.ends_with("attn.qkv.bias") && case.dtype != DType::F64 {
            continue;
        }
        if by_class(name) {
            tensor = classes_exchanged(&tensor);
        }
        let v = values(&tensor);
        let n = v.len();
        for (i, want) in [0, n / 3, 2 * n / 3, n - 1].into_iter().zip(summary["samples"].as_array().unwrap())
        {
            close(&format!("{name}[{i}]"), v[i], want.as_f64().unwrap(), 0.0, t.params);
        }
        compared += 1;
    }
    assert!(compared >= 6);
    let trained: Vec<String> = detector.store.trainable().into_iter().map(|(n, _)| n).collect();
    for (name, old) in before.iter().filter(|(n, _)| !trained.contains(n)) {
        assert_eq!(*old, values(&after[name]), "{name} is frozen");
    }
    assert_eq!(trained.len(), wanted.len(), "{trained:?}");
}

const MIXUP: Mix = Mix { lambda: 0.7, window: None };

fn finetune(run: &str, dtype: DType, tolerance: Tolerance) {
    let f = &fixture()["finetune"];
    let boxes = f["cutmix_boxes"].as_array().unwrap();
    let cut = |s: usize| {
        let n = |key: &str| usize::try_from(boxes[s][key].as_u64().unwrap()).unwrap();
        let mix = Mix::cut(SIDE, SIDE, 0.6, n("cy"), n("cx"));
        assert!((mix.lambda - boxes[s]["lam"].as_f64().unwrap()).abs() < 1e-12);
        mix
    };
    let (mixup, cosine) =
        (|_: usize| MIXUP, |s: usize| schedule::warmup_cosine(s as f64 / 2.0, 3.0, 1.0, 1e-3, 1e-6));
    let constant = |_: usize| 1e-3;
    let is_mixup = run == "mixup";
    let mix: &dyn Fn(usize) -> Mix = if is_mixup { &mixup } else { &cut };
    let lr: &dyn Fn(usize) -> f64 = if is_mixup { &constant } else { &cosine };
    follow(&Case {
        dtype,
        head: json!({"plugin": "linear"}),
        recipe: json!({"layer_decay": 0.65, "weight_decay": 0.05}),
        order: &f["order"],
        mix,
        smoothing: 0.1,
        lr,
        steps: &f["runs"][run]["steps"],
        last: &f["runs"][run]["final_logits_on_step0_images_unmixed"],
        params: &f["runs"][run]["params_after_5"],
        tolerance,
    });
}

#[test]
fn full_fine_tuning_in_f64() {
    finetune("mixup", DType::F64, EXACT);
    finetune("cutmix", DType::F64, EXACT);
}

#[test]
fn full_fine_tuning_in_f32() {
    for run in ["mixup", "cutmix"] {
        finetune(run, DType::F32, Tolerance { loss: 3e-6, norm: 1e-4, logits: 2e-4, params: 5e-5 });
    }
}

fn adapter(run: &str, dtype: DType, tolerance: Tolerance) {
    let a = &fixture()["adapter"];
    let mixed = run == "mixup";
    follow(&Case {
        dtype,
        head: json!({"plugin": "fs-adapter", "config": {"rac_weight": 0.1}}),
        recipe: json!({"layer_decay": 1.0, "weight_decay": 0.0}),
        order: &a["order"],
        mix: &|_| if mixed { MIXUP } else { Mix::NONE },
        smoothing: if mixed { 0.1 } else { 0.0 },
        lr: &|_| 0.005,
        steps: &a["runs"][run]["steps"],
        last: &a["runs"][run]["final_logits_on_step0_images_unmixed"],
        params: &a["runs"][run]["trainable_params_after_5"],
        tolerance,
    });
}

#[test]
fn the_adapter_plain_and_mixed() {
    for run in ["hard", "mixup"] {
        adapter(run, DType::F64, EXACT);
        adapter(run, DType::F32, Tolerance { loss: 2e-5, norm: 1e-4, logits: 2e-5, params: 2e-5 });
    }
}

fn fas(which: &str, dtype: DType, tolerance: Tolerance) {
    let f = &fixture()["fas"][which];
    let full = which == "full";
    let head = match full {
        true => json!({"plugin": "fas-embedder", "config": {"axis": "tokens", "dropout": 0.0}}),
        false => {
            json!({"plugin": "fs-adapter", "config": {"classifier": "fas-embedder", "dropout": 0.0, "rac_weight": 0.1}})
        }
    };
    follow(&Case {
        dtype,
        head,
        recipe: json!({"optimiser": Optimiser::Adam, "layer_decay": 1.0, "weight_decay": if full { 0.001 } else { 0.01 }}),
        order: &f["order"],
        mix: &|_| Mix::NONE,
        smoothing: 0.0,
        lr: &|_| if full { 0.001 } else { 0.002 },
        steps: &f["steps"],
        last: &f["final_logits_on_step0_images"],
        params: &f["trainable_params_after_3"],
        tolerance,
    });
}

#[test]
fn both_anti_spoofing_networks() {
    for which in ["full", "adapter"] {
        fas(which, DType::F64, EXACT);
    }
    fas("full", DType::F32, Tolerance { loss: 1e-4, norm: 1e-3, logits: 3e-3, params: 5e-4 });
    fas("adapter", DType::F32, Tolerance { loss: 5e-6, norm: 1e-5, logits: 2e-4, params: 1e-4 });
}

/// method.md 6.1, 6.4: what trains with the adapters, by width of the backbone.
#[test]
fn trained_parameters_are_as_many_as_published() {
    let dfd = json!({});
    let fas = json!({"classifier": "fas-embedder"});
    for (width, config, expected) in [
        (384, &dfd, 84_578),
        (768, &dfd, 335_042),
        (1024, &dfd, 594_178),
        (384, &fas, 477_794),
        (768, &fas, 1_119_938),
        (1024, &fas, 1_640_194),
    ] {
        let store = facebench_engine::ParamStore::new(&Device::Cpu, DType::F32, 0);
        let ctx = RunCtx::new(&Device::Cpu, DType::F32, 0);
        let features = FeatureSpec { width, tokens: 197, classes: 2, samples: 0 };
        plugins().head("fs-adapter", config, &features, &store, "", &ctx).unwrap();
        assert_eq!(store.count().trainable, expected, "width {width} {config}");
    }
}

#[test]
fn the_ablations_of_the_contrastive_loss() {
    let cases = fixture()["ablations"].as_array().unwrap();
    assert_eq!(cases.len(), 16);
    for case in cases {
        let n = |key: &str| usize::try_from(case[key].as_u64().unwrap()).unwrap();
        let (b, d) = (n("B"), n("D"));
        let mut rows = Vec::new();
        for i in 0..b {
            let u: Vec<f64> = (0..d)
                .map(|d| f64::from((1.3 * i as f64 + 0.9 * (d * d) as f64 + 0.4).sin() as f32))
                .collect();
            let norm = u.iter().map(|v| v * v).sum::<f64>().sqrt().max(1e-12);
            rows.extend(u.into_iter().map(|v| v / norm));
        }
        let z = Var::from_tensor(&Tensor::from_vec(rows, (b, d), &Device::Cpu).unwrap()).unwrap();
        let real = case["real"].as_i64();
        let labels: Vec<i64> =
            case["labels"].as_array().unwrap().iter().map(|y| i64::from(y.as_i64() != real)).collect();
        let labels = Tensor::from_vec(labels, b, &Device::Cpu).unwrap();
        let word = if case["loss"] == "PosOnly" { "pos-only" } else { "pos-neg-only" };
        let config = json!({"rac_weight": 1.0, "rac_temperature": case["T"], "loss": word});
        let store = facebench_engine::ParamStore::new(&Device::Cpu, DType::F64, 0);
        let ctx = RunCtx::new(&Device::Cpu, DType::F64, 0);
        let spec = FeatureSpec { width: 4, tokens: 2, classes: 2, samples: 0 };
        let head = plugins().head("fs-adapter", &config, &spec, &store, "", &ctx).unwrap();
        let logits = Tensor::zeros((b, 2), DType::F64, &Device::Cpu).unwrap();
        let loss = head.loss(&logits, Some(z.as_tensor()), &labels, &ctx).unwrap().unwrap();
        let want = case["f64"].as_f64().unwrap();
        close(&format!("{case}"), loss.to_scalar::<f64>().unwrap(), want, 1e-10, 1e-11);
        let grads = backward(&loss).unwrap();
        let grad = grads.get(z.as_tensor()).map_or_else(|| vec![0.0; b * d], values);
        let want: Vec<Vec<Vec<f64>>> = serde_json::from_value(case["grad_f64"].clone()).unwrap();
        for (got, want) in grad.iter().zip(want.concat().concat()) {
            close(&format!("gradient of {case}"), *got, want, 1e-9, 1e-9);
        }
    }
}
