//! One optimiser step after loading networks and optimiser state.
//!
//! The conditions are a sentence of the case: which checkpoint is the target, masks as a formula of patch and sample,
//! rows of the region, weights, clipping, learning rate, momentum. State k of the optimiser belongs to the k-th
//! parameter over the groups in order.

use std::collections::BTreeMap;

use facebench_engine::optim::{AdamConfig, AdamW, Group};
use facebench_engine::{DType, Device, Tensor, checkpoint};
use facebench_train::spec::SimilarityLoss;
use serde_json::Value;

use crate::Context;
use crate::formula::{Formula, Functions};
use crate::kinds::pretrain_steps::{Limits, Settings, build, compare_step, masked_batch, update};
use crate::rules::{Images, after, before, between, flat, limit, list, numbers_in, section, size, text};
use crate::sheet::{Case, Limit, Must as _, Sheet};
use crate::tensors::{Summary, check_parameters, l2, values};

pub(super) fn run(file: &Value, at: &Value, context: &Context<'_>, images: &Images, sheet: &mut Sheet) {
    for (dtype, key) in [(DType::F64, "f64"), (DType::F32, "f32")] {
        let name = format!("{}, resumed {key}", at["file"].as_str().unwrap_or("?"));
        sheet.case(name, |case| step(case, file, at, context, images, dtype, key));
    }
}

fn step(
    case: &mut Case,
    file: &Value,
    at: &Value,
    context: &Context<'_>,
    images: &Images,
    dtype: DType,
    key: &str,
) -> Result<(), String> {
    let about = text(&at["resume_step"], "about")?;
    let want = &at["resume_step"]["f64"];
    let first_group = list(&at["optimizer"], "groups")?.first().must("optimiser group")?;
    let betas = flat(&first_group["betas"]);
    let settings = Settings {
        loss: if about.contains("SimSiam") {
            SimilarityLoss::Simsiam
        } else {
            return Err("similarity loss is not named".into());
        },
        temperature: None,
        similarity_weight: before(about, " (SimSiam)")?,
        region_weight: after::<1>(about, "weights ")?[0],
        norm_pix: about.contains("norm_pix"),
        clip: Some(after::<1>(about, "clip ")?[0]),
        momentum: Some(after::<1>(about, "m=")?[0]),
        lr: after::<1>(about, "lr ")?[0],
        weight_decay: 0.0, // groups carry their own
        adam: AdamConfig {
            beta1: *betas.first().must("beta")?,
            beta2: *betas.get(1).must("beta")?,
            eps: first_group["eps"].as_f64().must("eps")?,
        },
    };
    let tolerance = between(about, "Tolerance:", "excluded")?;
    let part = section(tolerance, &format!("{key} "), &["f64 ", "f32 "]);
    let losses = limit(part, "losses")?;
    let losses = Limit { relative: losses.relative.max(losses.absolute), absolute: 0.0 };
    let limits = Limits { losses, norm: [Limit { relative: 10.0 * losses.relative, absolute: 0.0 }; 2] };
    let samples = limit(part, "parameters")?;

    // "after loading A (online, optimizer) and B (target)"
    let found = checkpoint::read(&context.folder.join(text(at, "file")?)).must("reading")?;
    let other = between(about, " and ", " (target)")?;
    let other = list(file, "valid")?
        .iter()
        .find(|c| c["file"].as_str().is_some_and(|f| f.ends_with(&format!("/{other}"))))
        .must(&format!("checkpoint {other}"))?;
    let target = checkpoint::read(&context.folder.join(text(other, "file")?)).must("reading")?;
    let online = found.tensors.clone();
    let net = build(&at["config"], &settings, context, dtype, |_| Ok((online, Some(target.tensors))))?;

    let mut order: Vec<String> = Vec::new();
    let mut groups = Vec::new();
    let trainable: BTreeMap<_, _> = net.store.trainable().into_iter().collect();
    for group in list(&at["optimizer"], "groups")? {
        let mut vars = Vec::new();
        for name in list(group, "params_in_order")? {
            let name = name.as_str().must("parameter name")?;
            vars.push((
                name.to_owned(),
                trainable.get(name).must(&format!("trained parameter {name}"))?.clone(),
            ));
            order.push(name.to_owned());
        }
        groups.push(Group {
            vars,
            lr_scale: 1.0,
            weight_decay: group["weight_decay"].as_f64().must("weight decay")?,
        });
    }
    let mut state = BTreeMap::new();
    let mut sums = [0.0f64; 2];
    for (k, name) in order.iter().enumerate() {
        for (i, moment) in ["exp_avg", "exp_avg_sq"].into_iter().enumerate() {
            let t = found
                .extra
                .get(&format!("optimizer.state.{k}.{moment}"))
                .must(&format!("optimiser state {k}"))?;
            sums[i] += values(t)?.iter().sum::<f64>();
            state.insert(format!("{name}.{moment}"), t.to_dtype(dtype).must("state")?);
        }
        let steps = match found.extra.get(&format!("optimizer.state.{k}.step")) {
            Some(t) => values(t)?.first().copied(),
            None => found.metadata.get(&format!("optimizer.state.{k}.step")).and_then(|s| s.parse().ok()),
        };
        let steps = steps.must(&format!("step of optimiser state {k}"))?;
        state.insert(format!("{name}.step"), Tensor::new(&[steps], &Device::Cpu).must("state")?);
    }
    for (i, part) in ["exp_avg_sum_all", "exp_avg_sq_sum_all"].into_iter().enumerate() {
        if let Some(want) = at["optimizer"][part].as_f64() {
            case.number(part, sums[i], want, Limit { relative: 1e-9, absolute: 1e-9 });
        }
    }
    let mut adamw = AdamW::new(groups, settings.adam).must("optimiser")?;
    adamw.load_state(&state).must("optimiser state")?;

    // "patch p of sample q removed iff FORMULA; region = removed and row in {2,3}"
    let (side, patch) = (size(&at["config"], "img")?, size(&at["config"], "P")?);
    let grid = side / patch.max(1);
    let removed = Formula::parse(between(about, "removed iff ", ";")?, &["p", "q"], &Functions::new())?;
    let rows: Vec<usize> =
        numbers_in(between(about, "row in {", "}")?).iter().map(|n| n.0 as usize).collect();
    let batch = numbers_in(between(about, "batch b=", " of")?).len();
    let mask: Vec<Vec<u8>> = (0..batch)
        .map(|q| (0..grid * grid).map(|p| u8::from(removed.at(&[p as f64, q as f64]) != 0.0)).collect())
        .collect();
    let region: Vec<Vec<u8>> = mask
        .iter()
        .map(|row| {
            row.iter().enumerate().map(|(p, &m)| if rows.contains(&(p / grid)) { m } else { 0 }).collect()
        })
        .collect();
    let data = masked_batch(images.values(batch, side, 0.0), side, &mask, &region, dtype)?;
    let grads = compare_step(case, &net, &data, 0, want, &limits)?;
    update(&net, &mut adamw, grads, &settings)?;
    let summary = Summary { samples, l2: None, without_keys: true };
    check_parameters(case, "online", &net.store.tensors(), &want["online_after"], &summary, 0)?;
    let twin = net.twin.tensors();
    for (name, want) in want["target_after_l2"].as_object().into_iter().flatten() {
        let got = l2(&values(twin.get(name).must(&format!("target parameter {name}"))?)?);
        case.number(
            &format!("target {name} l2"),
            got,
            want.as_f64().must("number")?,
            Limit { relative: samples.absolute, absolute: samples.absolute },
        );
    }
    Ok(())
}
