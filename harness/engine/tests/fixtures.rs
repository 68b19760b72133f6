//! The engine against numbers of the reference implementation.
//!
//! Configuration, rules and tolerances come from the files, see `tests/golden/README.md`; another
//! folder of the same shape is checked with `FACEBENCH_GOLDEN=DIR`.
#![allow(clippy::unwrap_used)]
use facebench_engine::nn::{Pool, Vit, VitConfig, interpolate_pos_embed, sincos_pos_embed};
use facebench_engine::ops::{self, losses};
use facebench_engine::optim::{AdamConfig, AdamW, Group, global_norm};
use facebench_engine::{DType, Device, ParamStore, Tensor, Var, backward, checkpoint, schedule};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

fn folder() -> PathBuf {
    std::env::var_os("FACEBENCH_GOLDEN")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden"), PathBuf::from)
}

fn load(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(folder().join(name)).unwrap()).unwrap()
}

fn list(v: &Value) -> &Vec<Value> {
    v.as_array().unwrap()
}

fn number(v: &Value) -> f64 {
    v.as_f64().unwrap()
}

fn size(v: &Value) -> usize {
    usize::try_from(v.as_u64().unwrap()).unwrap()
}

/// All numbers of a nested list, row-major.
fn flat(v: &Value) -> Vec<f64> {
    match v {
        Value::Array(items) => items.iter().flat_map(flat).collect(),
        other => vec![number(other)],
    }
}

fn values(t: &Tensor) -> Vec<f64> {
    t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn near(what: &str, got: &[f64], want: &[f64], relative: f64, absolute: f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= relative * w.abs() + absolute, "{what}, element {i}: {g}, not {w}");
    }
}

/// Fill rule of the fixtures: element i of tensor j.
fn fill(count: usize, j: f64, norm_weight: bool) -> Vec<f32> {
    (0..count)
        .map(|i| {
            let v = 0.05 * (0.37 * i as f64 + 1.7 * j).sin();
            (if norm_weight { v + 1.0 } else { v }) as f32
        })
        .collect()
}

fn tensor(values: Vec<f32>, dims: &[usize], dtype: DType) -> Tensor {
    Tensor::from_vec(values, dims, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

#[test]
fn schedules() {
    let file = load("schedules.json");
    for case in list(&file["lr"]) {
        let of = |key: &str| number(&case[key]);
        for (e, want) in flat(&case["epoch"]).into_iter().zip(flat(&case["lr"])) {
            let got =
                schedule::warmup_cosine(e, of("epochs"), of("warmup_epochs"), of("peak_lr"), of("min_lr"));
            near(&format!("{} at epoch {e}", case["name"]), &[got], &[want], 1e-12, 0.0);
        }
    }
    for case in list(&file["lr_scaling"]) {
        let batch = size(&case["per_gpu"]) * size(&case["accum"]) * size(&case["ranks"]);
        near(
            "scaled lr",
            &[schedule::scaled_lr(number(&case["blr"]), batch)],
            &[number(&case["lr"])],
            1e-12,
            0.0,
        );
    }
    for (group, sampled) in [("ema_full", false), ("ema_samples", true)] {
        for case in list(&file[group]) {
            assert_eq!(number(&case["final"]), 1.0);
            let total = case["epochs"].as_u64().unwrap() * case["iters_per_epoch"].as_u64().unwrap();
            for (at, want) in flat(&case["m"]).into_iter().enumerate() {
                let i = if sampled { case["index"][at].as_u64().unwrap() } else { at as u64 };
                near(
                    "momentum",
                    &[schedule::ema_momentum(i, total, number(&case["base"]))],
                    &[want],
                    0.0,
                    1e-14,
                );
            }
        }
    }
    for case in list(&file["layer_decay"]) {
        let (depth, decay) = (size(&case["depth"]), number(&case["layer_decay"]));
        for (id, want) in flat(&case["layer_scales_id_0_to_L_plus_1"]).into_iter().enumerate() {
            near("layer scale", &[schedule::layer_scale(id, depth, decay)], &[want], 1e-12, 0.0);
        }
    }
}

#[test]
fn position_tables() {
    let file = load("pos_embed_interp.json");
    for case in list(&file["interpolation"]) {
        let dims: Vec<usize> = list(&case["input_shape"]).iter().map(size).collect();
        let table = fill(dims.iter().product(), 0.0, false);
        for (key, dtype, tolerance) in [("f64", DType::F64, 1e-12), ("f32", DType::F32, 2e-7)] {
            let got =
                interpolate_pos_embed(&tensor(table.clone(), &dims, dtype), size(&case["to_grid"])).unwrap();
            near("interpolated table", &values(&got), &flat(&case[key]), 0.0, tolerance);
        }
    }
    for case in list(&file["sincos"]) {
        let got = sincos_pos_embed(size(&case["D"]), size(&case["grid"])).unwrap();
        let got: Vec<f64> = got.into_iter().map(f64::from).collect();
        near("sine-cosine table", &got, &flat(&case["f64"]), 0.0, 6e-8); // stored in f32
    }
}

#[test]
fn contrastive_losses() {
    let file = load("contrastive_losses.json");
    let cases: Vec<&Value> = list(&file["pairwise"]).iter().chain(list(&file["real_anchor"])).collect();
    for case in cases {
        let (b, d) = (size(&case["B"]), size(&case["D"]));
        let side = |f: fn(f64, f64) -> f64| -> Vec<f32> {
            (0..b * d).map(|at| f((at / d) as f64, (at % d) as f64) as f32).collect()
        };
        let online = side(|i, d| (1.3 * i + 0.9 * d * d + 0.4).sin());
        let target = side(|i, d| (0.7 * i + 1.1 * d + 0.2).cos());
        for (key, dtype) in [("f64", DType::F64), ("f32", DType::F32)] {
            let unit = |v: &Vec<f32>| {
                let u = tensor(v.clone(), &[b, d], dtype);
                Var::from_tensor(&ops::normalise(&u, 1, 1e-12).unwrap()).unwrap()
            };
            let (o, t) = (unit(&online), unit(&target));
            let temperature = || number(&case["T"]);
            let labels: Vec<u32> = case["labels"].as_array().map_or_else(Vec::new, |l| {
                flat(&Value::Array(l.clone())).into_iter().map(|v| v as u32).collect()
            });
            let real = case["real"].as_u64().unwrap_or(0) as u32;
            let loss = match case["loss"].as_str().unwrap() {
                "SimSiam" => losses::simsiam(&o, &t),
                "BYOL" => losses::byol(&o, &t),
                "InfoNCE" => losses::info_nce(&o, &t, temperature(), case["sample"] == "positive"),
                "MOCOv3" => losses::moco_v3(&o, &t, temperature()),
                "RealAnchor" => losses::real_anchored(&o, &labels, real, temperature()),
                "PosOnly" => losses::real_pairs_only(&o, &labels, real, temperature()),
                "PosNegOnly" => losses::real_fake_pairs_only(&o, &labels, real, temperature()),
                other => panic!("unknown loss {other}"),
            }
            .unwrap();
            let (relative, absolute) = if dtype == DType::F64 { (1e-11, 1e-12) } else { (3e-6, 1e-6) };
            let name = format!("{} {key} {labels:?} real {real}", case["loss"]);
            near(&name, &values(&loss), &[number(&case[key])], relative, absolute);
            if dtype == DType::F64 {
                let grads = backward(&loss).unwrap();
                for (var, want) in [&o, &t].into_iter().zip(list(&case["grad_f64"])) {
                    let got = grads.get(var).map_or_else(|| vec![0.0; b * d], values);
                    near(&format!("gradient of {name}"), &got, &flat(want), 0.0, 1e-9);
                }
            }
        }
    }
}

/// A store holding the filled parameters of the fine-tuning fixture.
fn filled_store(keys: &Value, dtype: DType) -> ParamStore {
    let store = ParamStore::new(&Device::Cpu, dtype, 0);
    let mut tensors = BTreeMap::new();
    for (j, entry) in list(keys).iter().enumerate() {
        let name = entry[0].as_str().unwrap();
        let dims: Vec<usize> = list(&entry[1]).iter().map(size).collect();
        let norm_weight = name.contains("norm") && name.ends_with("weight");
        tensors.insert(
            name.to_owned(),
            tensor(fill(dims.iter().product(), j as f64, norm_weight), &dims, dtype),
        );
    }
    store.provide(tensors);
    store
}

fn vit(store: &ParamStore, config: &Value, pool: Pool) -> Vit {
    let config = VitConfig {
        image: size(&config["img"]),
        patch: size(&config["P"]),
        width: size(&config["D"]),
        depth: size(&config["depth"]),
        heads: size(&config["heads"]),
        classes: config["classes"].as_u64().unwrap_or(2) as usize,
        pool,
    };
    Vit::new(store, "", &config).unwrap()
}

/// Images of the fine-tuning fixture at step `s`.
fn images(batch: usize, side: usize, s: f64) -> Vec<f32> {
    let mut out = Vec::with_capacity(batch * 3 * side * side);
    for b in 0..batch {
        for c in 0..3 {
            for y in 0..side {
                for x in 0..side {
                    let (b, c, xf, yf) = (b as f64, c as f64, x as f64, y as f64);
                    let wave =
                        (0.3 + 0.25 * b) * (x % 16) as f64 - 0.36 * (y % 16) as f64 + 0.8 * b * c + 0.3 * s;
                    out.push((0.7 * wave.sin() + 0.3 * (0.05 * xf + 0.03 * (c + 1.0) * yf).sin()) as f32);
                }
            }
        }
    }
    out
}

#[test]
fn fine_tuning_forward() {
    let file = load("finetune_steps.json");
    let config = &file["config"];
    let (batch, side) = (size(&config["B"]), size(&config["img"]));
    let cases = [
        ("forward_global_pool", "key_order_global_pool", Pool::Mean),
        ("forward_cls_token", "key_order_cls_token", Pool::Cls),
    ];
    for (name, keys, pool) in cases {
        for (key, dtype, tolerance) in [("f64", DType::F64, 1e-9), ("f32", DType::F32, 2e-5)] {
            let store = filled_store(&file[keys], dtype);
            let model = vit(&store, config, pool);
            assert!(store.unused().is_empty() && store.initialised().is_empty());
            let x = tensor(images(batch, side, 0.0), &[batch, 3, side, side], dtype);
            let features = model.pool(&model.encode(&model.embed(&x, None).unwrap()).unwrap()).unwrap();
            near(name, &values(&features), &flat(&file[name][key]["features"]), 0.0, tolerance);
            near(
                name,
                &values(&model.forward(&x).unwrap()),
                &flat(&file[name][key]["logits"]),
                0.0,
                tolerance,
            );
        }
    }
}

/// Mixed images and soft targets of one step.
fn batch_of(file: &Value, run: &str, step: usize, dtype: DType) -> (Tensor, Tensor) {
    let config = &file["config"];
    let (n, side) = (size(&config["B"]), size(&config["img"]));
    let pixels = images(n, side, step as f64);
    let per = 3 * side * side;
    let mut mixed: Vec<f64> = pixels.iter().map(|&v| f64::from(v)).collect();
    let source = mixed.clone();
    let mut lam = 0.7;
    if run == "cutmix" {
        let cut = &file["cutmix_boxes"][step];
        lam = number(&cut["lam"]);
        let (y0, y1, x0, x1) = (size(&cut["y0"]), size(&cut["y1"]), size(&cut["x0"]), size(&cut["x1"]));
        for b in 0..n {
            for c in 0..3 {
                for y in y0..y1 {
                    let row = (c * side + y) * side;
                    let from = &source[(n - 1 - b) * per..];
                    mixed[b * per + row + x0..b * per + row + x1].copy_from_slice(&from[row + x0..row + x1]);
                }
            }
        }
    } else {
        for b in 0..n {
            for i in 0..per {
                mixed[b * per + i] = lam * source[b * per + i] + (1.0 - lam) * source[(n - 1 - b) * per + i];
            }
        }
    }
    let label = |b: usize| usize::from(!(b + step).is_multiple_of(3));
    let mut targets = Vec::new();
    for b in 0..n {
        for class in 0..2 {
            let on = |y: usize| if y == class { 0.95 } else { 0.05 };
            targets.push(lam * on(label(b)) + (1.0 - lam) * on(label(n - 1 - b)));
        }
    }
    let make = |v: Vec<f64>, dims: &[usize]| {
        Tensor::from_vec(v, dims, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
    };
    (make(mixed, &[n, 3, side, side]), make(targets, &[n, 2]))
}

fn groups(store: &ParamStore, depth: usize, decay: f64) -> Vec<Group> {
    store
        .trainable()
        .into_iter()
        .map(|(name, var)| {
            let block = name
                .strip_prefix("blocks.")
                .and_then(|rest| rest.split('.').next())
                .map(|i| i.parse::<usize>().unwrap());
            let embedding = name == "cls_token" || name == "pos_embed" || name.starts_with("patch_embed.");
            let id = if embedding { 0 } else { block.map_or(depth + 1, |i| i + 1) };
            let free = var.rank() == 1 || name == "cls_token" || name == "pos_embed";
            let weight_decay = if free { 0.0 } else { 0.05 };
            Group { vars: vec![(name, var)], lr_scale: schedule::layer_scale(id, depth, decay), weight_decay }
        })
        .collect()
}

#[test]
fn fine_tuning_trajectories() {
    let file = load("finetune_steps.json");
    let config = &file["config"];
    let depth = size(&config["depth"]);
    for run in ["mixup", "cutmix"] {
        for (dtype, loss_tolerance, norm_tolerance) in
            [(DType::F64, (1e-9, 0.0), 1e-9), (DType::F32, (3e-6, 1e-6), 1e-4)]
        {
            let expected = &file["runs"][run]["f64"];
            let store = filled_store(&file["key_order_global_pool"], dtype);
            let model = vit(&store, config, Pool::Mean);
            let mut optimiser = AdamW::new(groups(&store, depth, 0.65), AdamConfig::default()).unwrap();
            for (step, want) in list(&expected["steps"]).iter().enumerate() {
                let (x, targets) = batch_of(&file, run, step, dtype);
                let logits = model.forward(&x).unwrap();
                let loss = ops::cross_entropy(&logits, &targets).unwrap();
                let grads = backward(&loss).unwrap();
                let name = format!("{run} {dtype:?} step {step}");
                near(
                    &format!("{name} loss"),
                    &values(&loss),
                    &[number(&want["loss"])],
                    loss_tolerance.0,
                    loss_tolerance.1,
                );
                let norm = global_norm(&grads, &store.trainable()).unwrap();
                near(&format!("{name} norm"), &[norm], &[number(&want["grad_norm"])], norm_tolerance, 0.0);
                if step == 0 && dtype == DType::F64 {
                    for (key, want) in expected["step0"]["grad_l2"].as_object().unwrap() {
                        let (_, var) = store.trainable().into_iter().find(|(n, _)| n == key).unwrap();
                        let l2 = values(grads.get(&var).unwrap()).iter().map(|g| g * g).sum::<f64>().sqrt();
                        near(key, &[l2], &[number(want)], 1e-8, 1e-12);
                    }
                }
                let lr = if run == "mixup" {
                    1e-3
                } else {
                    schedule::warmup_cosine(step as f64 / 2.0, 3.0, 1.0, 1e-3, 1e-6)
                };
                optimiser.step(&grads, lr).unwrap();
            }
            let x = tensor(
                images(size(&config["B"]), size(&config["img"]), 0.0),
                &[size(&config["B"]), 3, size(&config["img"]), size(&config["img"])],
                dtype,
            );
            let logits = values(&model.forward(&x).unwrap());
            let tolerance = if dtype == DType::F64 { 1e-9 } else { 2e-4 };
            near(
                &format!("{run} final logits"),
                &logits,
                &flat(&expected["final_logits_on_step0_images_unmixed"]),
                0.0,
                tolerance,
            );
            let mut misses = 0;
            for (key, want) in expected["params_after_5"].as_object().unwrap() {
                let got = values(&store.tensors()[key]);
                let n = got.len();
                let tolerance = if dtype == DType::F64 { 1e-9 } else { 5e-5 };
                for (at, want) in [0, n / 3, 2 * n / 3, n - 1].into_iter().zip(flat(&want["samples"])) {
                    let key_third = key.ends_with("attn.qkv.bias") && (n / 3..2 * n / 3).contains(&at);
                    if !key_third && (got[at] - want).abs() > tolerance {
                        misses += 1;
                        assert!(dtype == DType::F32, "{run} {key} element {at}: {}, not {want}", got[at]);
                    }
                }
            }
            assert!(misses <= 4, "{run}: {misses} samples differ");
        }
    }
}

/// Tensors of a checkpoint's encoder below `prefix`, the model's other parts left out.
fn encoder(tensors: &BTreeMap<String, Tensor>, prefix: &str, dtype: DType) -> BTreeMap<String, Tensor> {
    let parts = ["cls_token", "pos_embed", "patch_embed.", "blocks.", "norm."];
    tensors
        .iter()
        .filter_map(|(name, t)| Some((name.strip_prefix(prefix)?, t)))
        .filter(|(name, _)| parts.iter().any(|p| name.starts_with(p)))
        .map(|(name, t)| (name.to_owned(), t.to_dtype(DType::F32).unwrap().to_dtype(dtype).unwrap()))
        .collect()
}

fn check_features(name: &str, case: &Value, found: &checkpoint::Checkpoint) {
    let config = &case["config"];
    let (side, patch) = (size(&config["img"]), size(&config["P"]));
    let prefix = case["encoder_key_prefix_to_strip"].as_str().unwrap();
    let image: Vec<f32> = (0..3 * side * side)
        .map(|at| {
            let (c, y, x) = (at / (side * side), at / side % side, at % side);
            let wave = 0.3 * (x % 8) as f64 - 0.36 * (y % 8) as f64 + 0.8 * c as f64;
            (0.7 * wave.sin() + 0.3 * (0.05 * x as f64 + 0.03 * (c + 1) as f64 * y as f64).sin()) as f32
        })
        .collect();
    assert_eq!(patch, 8, "the image rule is written for patches of 8");
    for (key, dtype, tolerance) in [("f64", DType::F64, 1e-10), ("f32", DType::F32, 2e-5)] {
        let store = ParamStore::new(&Device::Cpu, dtype, 0);
        store.set_frozen(|_| true);
        store.provide(encoder(&found.tensors, prefix, dtype));
        let model = vit(&store, config, Pool::Cls);
        assert!(store.unused().is_empty(), "{name}: unused {:?}", store.unused());
        let tokens = model
            .encode(&model.embed(&tensor(image.clone(), &[1, 3, side, side], dtype), None).unwrap())
            .unwrap();
        let mean = tokens.narrow(1, 1, tokens.dim(1).unwrap() - 1).unwrap().mean(1).unwrap();
        let want = &case["features"][key];
        near(name, &values(&mean), &flat(&want["patch_mean_before_norm"]), 0.0, tolerance);
        let d = size(&config["D"]);
        let (one, zero) = (tensor(vec![1.0; d], &[d], dtype), tensor(vec![0.0; d], &[d], dtype));
        let unit = ops::layer_norm(&mean, &one, &zero, 1e-6).unwrap();
        near(name, &values(&unit), &flat(&want["patch_mean_unit_layernorm"]), 0.0, tolerance);
        if !want["cls_after_final_norm"].is_null() {
            near(
                name,
                &values(&model.pool(&tokens).unwrap()),
                &flat(&want["cls_after_final_norm"]),
                0.0,
                tolerance,
            );
        }
    }
}

#[test]
fn checkpoints_of_every_layout_load() {
    let mut found_files = 0;
    for case in list(&load("checkpoints.json")["valid"]) {
        let name = case["file"].as_str().unwrap();
        let path = folder().join(name);
        if !path.exists() {
            continue; // the repository keeps a subset
        }
        found_files += 1;
        let found = checkpoint::read(&path).unwrap();
        let at = case["tensor_dict_at"].as_str().unwrap();
        assert_eq!(found.root, if at == "(root)" { "" } else { at }, "{name}");
        let expected = case["tensors"].as_object().unwrap();
        assert_eq!(found.tensors.keys().collect::<Vec<_>>().len(), expected.len(), "{name}");
        assert_eq!(found.order.len(), expected.len(), "{name}");
        for (key, want) in expected {
            let got = found.tensors.get(key).unwrap_or_else(|| panic!("{name}: {key} is missing"));
            let dims: Vec<usize> = list(&want["shape"]).iter().map(size).collect();
            assert_eq!(got.dims(), dims, "{name}: {key}");
            let v = values(got);
            let magnitude: f64 = v.iter().map(|x| x.abs()).sum();
            near(
                &format!("{name}: {key}"),
                &[v.iter().sum()],
                &[number(&want["sum"])],
                0.0,
                1e-12 * magnitude,
            );
        }
        if let Some(epoch) = case["epoch"].as_u64() {
            assert_eq!(found.metadata["epoch"], epoch.to_string(), "{name}");
        }
        if let Some(some) = case["args_some_values"].as_object() {
            assert_eq!(found.metadata["args.epochs"], some["epochs"].to_string());
            assert_eq!(found.metadata["args.cl_loss"], some["cl_loss"].as_str().unwrap());
            assert_eq!(found.metadata["args.lr"], "none");
            assert_eq!(found.metadata["args.data_path.1"], some["data_path"][1].as_str().unwrap());
            assert!(
                found.extra.keys().any(|k| k.starts_with("optimizer.state.0.")),
                "optimiser state is kept"
            );
        }
        if let Some(scalars) = case["fas_scalars"].as_object() {
            let got: f64 = found.metadata["best_model_EER"].parse().unwrap();
            assert_eq!(got, number(&scalars["best_model_EER"]), "a pickled NumPy scalar");
        }
        check_features(name, case, &found);
    }
    assert!(found_files >= 4, "only {found_files} checkpoints in {}", folder().display());
}

#[test]
fn malformed_checkpoints_are_refused_with_the_reason() {
    let mut refused = 0;
    let file = load("checkpoints.json");
    let base = list(&file["valid"]).iter().find(|c| c["file"] == "checkpoints/encoder_only.pth").unwrap();
    for case in list(&file["malformed"]) {
        let path = folder().join(case["file"].as_str().unwrap());
        if !path.exists() {
            continue;
        }
        // reading, or else building the model on it strictly, must name the culprit
        let message = match checkpoint::read(&path) {
            Err(error) => error.to_string(),
            Ok(found) => {
                let store = ParamStore::new(&Device::Cpu, DType::F32, 0);
                store.provide(found.tensors);
                let config = &base["config"];
                let config = VitConfig {
                    image: size(&config["img"]),
                    patch: size(&config["P"]),
                    width: size(&config["D"]),
                    depth: size(&config["depth"]),
                    heads: size(&config["heads"]),
                    classes: 2,
                    pool: Pool::Cls,
                };
                match Vit::new(&store, "", &config) {
                    Err(error) => error.to_string(),
                    Ok(_) => format!("unused {:?}, initialised {:?}", store.unused(), store.initialised()),
                }
            }
        };
        refused += 1;
        let culprit = match case["where"].as_str() {
            Some("args") => "posix.system",
            Some(key) => key,
            None => "cut off",
        };
        assert!(message.contains(culprit), "{}: {message}", path.display());
    }
    assert!(refused >= 6, "only {refused} malformed files");
}

/// Published test vector: tiny downstream ViT on `sin(0.013 x (c+1) + 0.021 y + 0.5 b)`.
#[test]
fn published_downstream_logits() {
    let file = load("finetune_steps.json");
    let store = filled_store(&file["key_order_global_pool"], DType::F32);
    let model = vit(&store, &file["config"], Pool::Mean);
    let side = 224;
    let image: Vec<f32> = (0..2 * 3 * side * side)
        .map(|at| {
            let (b, c) = (at / (3 * side * side), at / (side * side) % 3);
            let (y, x) = (at / side % side, at % side);
            (0.013 * x as f64 * (c + 1) as f64 + 0.021 * y as f64 + 0.5 * b as f64).sin() as f32
        })
        .collect();
    let logits = values(&model.forward(&tensor(image, &[2, 3, side, side], DType::F32)).unwrap());
    near("logits", &logits, &[0.106938, 0.005082, 0.106370, 0.005106], 1e-5, 2e-6);
}
