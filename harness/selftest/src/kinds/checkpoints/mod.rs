//! Checkpoint files: every layout loads and gives the expected features, malformed ones are refused with the reason.
//!
//! Features are those of the encoder on one image, before and after the last norm. A resume step loads networks and
//! optimiser state and takes one step of pre-training. Nothing in a file is executed: a pickle that asks for a call is
//! refused by the reader.

use std::collections::BTreeMap;

use facebench_engine::nn::{Pool, Vit, VitConfig};
use facebench_engine::{DType, Device, ParamStore, Tensor, checkpoint, ops};
use serde_json::Value;

use crate::Context;
use crate::rules::{Images, flat, limit, list, number, object, sha256, size, sizes, text};
use crate::sheet::{Case, Limit, Must as _, Sheet};
use crate::tensors::{tensor, values};

mod resume;

/// Checks `valid` and `malformed`.
pub(crate) fn run(file: &Value, context: &Context<'_>, sheet: &mut Sheet) -> Result<(), String> {
    let about = &file["about"];
    let images = Images::read(text(about, "image_rule")?)?;
    let sentence = text(about, "tolerance")?;
    let sums = limit(sentence, "tensor sums")?.relative;
    let precise =
        [(DType::F64, "f64", limit(sentence, "f64 ")?), (DType::F32, "f32", limit(sentence, "f32 ")?)];
    for at in list(file, "valid")? {
        sheet.case(at["file"].as_str().unwrap_or("?"), |case| {
            let path = context.folder.join(text(at, "file")?);
            case.same(
                "bytes of the file",
                sha256(&std::fs::read(&path).must("reading")?).as_str(),
                text(at, "sha256")?,
            );
            let found = read(&path, text(at, "tensor_dict_at")?)?;
            contents(case, at, &found, sums)?;
            for (dtype, key, limit) in precise {
                features(case, at, &found, &images, dtype, &at["features"][key], limit)?;
            }
            Ok(())
        });
        if at["resume_step"].is_object() {
            resume::run(file, at, context, &images, sheet);
        }
    }
    for at in list(file, "malformed")? {
        sheet.case(at["file"].as_str().unwrap_or("?"), |case| malformed(case, file, at, context));
    }
    Ok(())
}

/// Reads a checkpoint whose tensors lie at `at` (`(root)`, or a key).
fn read(path: &std::path::Path, at: &str) -> Result<checkpoint::Checkpoint, String> {
    let root = if at == "(root)" { "" } else { at };
    let found = checkpoint::read(path).must("reading")?;
    if found.root == root || root.is_empty() {
        return Ok(found);
    }
    checkpoint::read_at(path, Some(root)).must("reading")
}

/// Keys, shapes, sums, and what else the file says.
fn contents(case: &mut Case, at: &Value, found: &checkpoint::Checkpoint, sums: f64) -> Result<(), String> {
    let root = text(at, "tensor_dict_at")?;
    case.same("place of the model", found.root.as_str(), if root == "(root)" { "" } else { root });
    let expected = object(at, "tensors")?;
    let known: Vec<&String> = found.tensors.keys().collect();
    let mut wanted: Vec<&String> = expected.keys().collect();
    wanted.sort();
    case.same("keys", &known, &wanted);
    for (key, want) in expected {
        let got = found.tensors.get(key).must(&format!("tensor {key}"))?;
        case.same(&format!("shape of {key}"), got.dims(), &sizes(&want["shape"])?);
        let v = values(got)?;
        let magnitude: f64 = v.iter().map(|x| x.abs()).sum();
        case.number(
            &format!("sum of {key}"),
            v.iter().sum(),
            number(want, "sum")?,
            Limit::absolute(sums * magnitude),
        );
    }
    let metadata = |case: &mut Case, key: &str, want: &Value| match want {
        Value::Array(items) => items.iter().enumerate().for_each(|(i, want)| {
            case.same(&format!("{key}.{i}"), &shown(found.metadata.get(&format!("{key}.{i}"))), &said(want));
        }),
        want => case.same(key, &shown(found.metadata.get(key)), &said(want)),
    };
    if !at["epoch"].is_null() {
        metadata(case, "epoch", &at["epoch"]);
    }
    for (place, prefix) in [("scaler", "scaler."), ("args_some_values", "args."), ("fas_scalars", "")] {
        for (key, want) in at[place].as_object().into_iter().flatten() {
            metadata(case, &format!("{prefix}{key}"), want);
        }
    }
    Ok(())
}

/// A value of the file in the form the reader keeps: numbers by value, texts as they are.
fn said(v: &Value) -> String {
    match v {
        Value::Null => "none".into(),
        Value::String(s) => s.clone(),
        Value::Number(n) => n.as_f64().map_or_else(String::new, |n| n.to_string()),
        other => other.to_string(),
    }
}

fn shown(v: Option<&String>) -> String {
    match v {
        Some(v) => v.parse::<f64>().map_or_else(|_| v.clone(), |n| n.to_string()),
        None => "(absent)".into(),
    }
}

fn vit_config(config: &Value) -> Result<VitConfig, String> {
    Ok(VitConfig {
        image: size(config, "img")?,
        patch: size(config, "P")?,
        width: size(config, "D")?,
        depth: size(config, "depth")?,
        heads: size(config, "heads")?,
        classes: 2,
        pool: Pool::Cls,
    })
}

/// The encoder's tensors below `prefix`.
fn encoder(tensors: &BTreeMap<String, Tensor>, prefix: &str) -> Result<BTreeMap<String, Tensor>, String> {
    const PARTS: [&str; 5] = ["cls_token", "pos_embed", "patch_embed.", "blocks.", "norm."];
    let mut out = BTreeMap::new();
    for (name, t) in tensors {
        let Some(name) = name.strip_prefix(prefix) else { continue };
        if PARTS.iter().any(|p| name.starts_with(p)) {
            out.insert(name.to_owned(), t.to_dtype(DType::F32).must("tensor")?);
        }
    }
    Ok(out)
}

fn features(
    case: &mut Case,
    at: &Value,
    found: &checkpoint::Checkpoint,
    images: &Images,
    dtype: DType,
    want: &Value,
    limit: Limit,
) -> Result<(), String> {
    let config = vit_config(&at["config"])?;
    let store = ParamStore::new(&Device::Cpu, dtype, 0);
    store.set_frozen(|_| true);
    store.provide(encoder(&found.tensors, text(at, "encoder_key_prefix_to_strip")?)?);
    let model = Vit::new(&store, "", &config).must("model")?;
    if !store.unused().is_empty() {
        return Err(format!("tensors without use: {:?}", store.unused()));
    }
    let side = config.image;
    let image = tensor(images.values(1, side, 0.0), &[1, 3, side, side], dtype)?;
    let tokens = model.embed(&image, None).and_then(|t| model.encode(&t)).must("encoder")?;
    let patches = tokens.dim(1).must("tokens")? - 1;
    let mean = tokens.narrow(1, 1, patches).and_then(|t| t.mean(1)).must("mean")?;
    case.near("patch mean", &values(&mean)?, &flat(&want["patch_mean_before_norm"]), limit);
    let d = config.width;
    let (one, zero) = (tensor(vec![1.0; d], &[d], dtype)?, tensor(vec![0.0; d], &[d], dtype)?);
    let unit = ops::layer_norm(&mean, &one, &zero, 1e-6).must("norm")?;
    case.near("normalised patch mean", &values(&unit)?, &flat(&want["patch_mean_unit_layernorm"]), limit);
    if !want["cls_after_final_norm"].is_null() {
        let cls = model.pool(&tokens).must("norm")?;
        case.near("cls token", &values(&cls)?, &flat(&want["cls_after_final_norm"]), limit);
    }
    Ok(())
}

/// Reading, or else building the model on it strictly, must fail and name the culprit.
fn malformed(case: &mut Case, file: &Value, at: &Value, context: &Context<'_>) -> Result<(), String> {
    let path = context.folder.join(text(at, "file")?);
    case.same(
        "bytes of the file",
        sha256(&std::fs::read(&path).must("reading")?).as_str(),
        text(at, "sha256")?,
    );
    let message = match checkpoint::read(&path) {
        Err(error) => error.to_string(),
        Ok(found) => {
            // the valid file it was made from says the configuration
            let base = list(file, "valid")?
                .iter()
                .find(|c| c["layout"].as_str().is_some_and(|l| l.contains("malformed")));
            let base = base.must("valid base of the malformed files")?;
            let config = vit_config(&base["config"])?;
            let prefix = text(base, "encoder_key_prefix_to_strip")?;
            let store = ParamStore::new(&Device::Cpu, DType::F32, 0);
            store.provide(found.tensors);
            match Vit::new(&store, prefix, &config) {
                Err(error) => error.to_string(),
                Ok(_) => {
                    let missing: Vec<String> = store
                        .initialised()
                        .into_iter()
                        .filter(|n| !n.starts_with(&format!("{prefix}head.")))
                        .collect();
                    if store.unused().is_empty() && missing.is_empty() {
                        return Err(format!("it was accepted: {}", at["fault"]));
                    }
                    format!("without use {:?}, missing {missing:?}", store.unused())
                }
            }
        }
    };
    let named = list(at, "acceptable")?.iter().any(|a| a.as_str().is_some_and(|a| a.contains("naming")));
    match at["where"].as_str() {
        Some(culprit) if named => {
            case.holds(message.contains(culprit), || format!("the error does not name {culprit}: {message}"));
        }
        _ => case.holds(!message.is_empty(), || "the error says nothing".into()),
    }
    Ok(())
}
