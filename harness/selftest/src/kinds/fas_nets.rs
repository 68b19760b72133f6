//! The anti-spoofing networks: embedder with a soft norm, unit-column classifier, Adam with coupled decay.
//!
//! `full` trains everything and takes the embedder's norm along the tokens; `adapter` trains a bottleneck beside a frozen
//! backbone, takes it along the channels and adds the real-anchored loss. The embedding itself stays inside the
//! plugin; it shows in the logits, and for `full` also in those of token 1: the norm does not change when two tokens
//! change places. Label numbers are the file's, and so are the logits' columns.

use std::collections::{BTreeMap, BTreeSet};

use facebench_engine::optim::{Adam, Group, global_norm};
use facebench_engine::{DType, Device, GradStore, ParamStore, Tensor, Var, backward, ops};
use serde_json::{Value, json};

use super::finetune_steps::{Detector, Inputs, Plan, adam_config, any_limit, detector, forward};
use crate::Context;
use crate::rules::{after, flat, limit, list, number, section, size, text};
use crate::sheet::{Case, Limit, Must as _, Sheet};
use crate::tensors::{PRECISIONS, Summary, check_parameters, keys, l2, scalar, tensor, tensor64, values};

/// What the file's names have in front of the backbone's and the adapter's.
const PREFIX: &str = "backbone.vit.";

/// The two networks, under the names of their blocks.
const NETWORKS: [&str; 2] = ["full", "adapter"];

/// Checks every network in the file in both precisions.
pub(crate) fn run(file: &Value, context: &Context<'_>, sheet: &mut Sheet) -> Result<(), String> {
    let inputs = Inputs::read(file)?;
    for (name, _) in file.as_object().must("object")?.iter().filter(|(_, v)| v.get("param_order").is_some()) {
        for (dtype, key, tolerance) in PRECISIONS {
            sheet.case(format!("{name} {key}"), |case| {
                trajectory(file, context, &inputs, name, (dtype, tolerance), case)
            });
        }
    }
    Ok(())
}

/// The part of a sentence that is about one network.
fn part<'a>(sentence: &'a str, network: &str) -> &'a str {
    section(sentence, &format!("{network}: "), &["full: ", "adapter: ", "trainable: "])
}

/// Parameters by the file's names; a tensor that the sentence names gets what it says on top.
fn filled(
    inputs: &Inputs,
    init: &str,
    order: &[(String, Vec<usize>)],
) -> Result<BTreeMap<String, Tensor>, String> {
    let mut out = BTreeMap::new();
    for (j, (name, dims)) in order.iter().enumerate() {
        let (count, j) = (dims.iter().product(), j as f64);
        let own = after::<1>(init, &format!("{name} gets +"));
        let v = match own {
            Ok([added]) => inputs.fill.values(count, j, added),
            Err(_) => inputs.fill.named(name, count, j),
        };
        out.insert(name.clone(), tensor(v, dims, DType::F32)?);
    }
    Ok(out)
}

/// The columns the head wants at unit length, scaled in place, outside any gradient.
fn rescale(d: &Detector) -> Result<(), String> {
    let tensors = d.store.tensors();
    let mut scaled = BTreeMap::new();
    for name in &d.head.traits().unit_columns {
        let weight = tensors.get(name).must(name)?;
        let norm = weight.sqr().and_then(|w| w.sum_keepdim(0)?.sqrt()).must("norm")?;
        scaled.insert(name.clone(), weight.broadcast_div(&norm).must("scaled columns")?);
    }
    d.store.set_all(&scaled).must("scaled columns")
}

/// Norms of the gradient: all of it, and by where it belongs.
fn norms(store: &ParamStore, grads: &GradStore) -> Result<[(&'static str, f64); 4], String> {
    let place = |name: &str| match name.split('.').next() {
        Some("embedder") => "grad_norm_embedder",
        Some("classifier") => "grad_norm_classifier",
        _ => "grad_norm_backbone",
    };
    let mut out = [
        ("grad_norm", 0.0),
        ("grad_norm_backbone", 0.0),
        ("grad_norm_embedder", 0.0),
        ("grad_norm_classifier", 0.0),
    ];
    for (key, norm) in &mut out {
        let vars: Vec<(String, Var)> =
            store.trainable().into_iter().filter(|(n, _)| *key == "grad_norm" || place(n) == *key).collect();
        *norm = global_norm(grads, &vars).must("norm")?;
    }
    Ok(out)
}

#[expect(clippy::too_many_lines, reason = "one story: build, three steps, what is left")]
fn trajectory(
    file: &Value,
    context: &Context<'_>,
    inputs: &Inputs,
    network: &str,
    (dtype, tolerance): (DType, &str),
    case: &mut Case,
) -> Result<(), String> {
    if !NETWORKS.contains(&network) {
        return Err(format!("network `{network}` is not known"));
    }
    let full = network == "full";
    let exact = dtype == DType::F64;
    let (about, block) = (&file["about"], &file[network]);
    let sentence = part(text(&about["tolerance"], tolerance)?, network);
    let losses = limit(sentence, "losses")?;
    let norm_limit = any_limit(sentence, &["gradient norms", "grad norms"])?;
    let first = any_limit(sentence, &["step-0 logits", "logits"])?;
    let later = any_limit(sentence, &["final logits", "logits"])?;
    let samples = limit(sentence, "parameter samples")?;
    let optimizer = text(about, "optimizer")?;
    let own = part(optimizer, network);
    let ([lr], [weight_decay]) = (after(own, "lr ")?, after(own, "wd ")?);

    let frozen: BTreeSet<&str> = list(block, "frozen")?.iter().filter_map(Value::as_str).collect();
    let short = |name: &str| name.strip_prefix(PREFIX).unwrap_or(name).to_owned();
    let order = keys(&block["param_order"])?;
    // the ViT's own head is in the order and the checkpoint, but no part of the network
    let unused = |name: &str| short(name).starts_with("head.");
    let given: BTreeMap<String, Tensor> = filled(inputs, text(about, "init")?, &order)?
        .into_iter()
        .filter(|(n, _)| !unused(n))
        .map(|(n, t)| (short(&n), t))
        .collect();
    let (weight, head, head_config) = if full {
        let width = size(&file["config"], "embedder_width")?;
        (0.0, "fas-embedder", json!({"axis": "tokens", "width": width, "dropout": 0.0}))
    } else {
        let ([weight], [t]) = (after(own, "lambda ")?, after(own, "T ")?);
        let reduction = size(&file["config"], "reduction")?;
        let config = json!({"reduction": reduction, "classifier": "fas-embedder", "dropout": 0.0, "rac_weight": weight, "rac_temperature": t});
        (weight, "fs-adapter", config)
    };
    let trains = match frozen.is_empty() {
        true => vec![],
        false => order.iter().filter(|(n, _)| !frozen.contains(n.as_str())).map(|(n, _)| short(n)).collect(),
    };
    let plan = Plan { config: &file["config"], pooling: "mean", head, head_config, trains };
    let d = detector(context, &plan, given, dtype)?;
    let untrained = d.store.tensors();
    let groups: Vec<Group> = d
        .store
        .trainable()
        .into_iter()
        .map(|var| Group { vars: vec![var], lr_scale: 1.0, weight_decay })
        .collect();
    let mut adam = Adam::new(groups, adam_config(optimizer)?).must("optimiser")?;
    let [real] = after(text(about, "what")?, "(real ")?;

    let expected = &block["f64"];
    let step0 = &expected["step0"];
    for (s, want) in list(expected, "steps")?.iter().enumerate() {
        rescale(&d)?;
        d.ctx.train(s as u64);
        let images = inputs.image_tensor(s, dtype)?;
        let (_, logits, z) = forward(&d, &images)?;
        let logit_limit = if s == 0 { first } else { later };
        case.near(&format!("step {s} logits"), &values(&logits)?, &flat(&want["logits"]), logit_limit);
        if s == 0 {
            let classifier = d.store.tensors();
            let classifier = classifier.get("classifier.classifier_layer.weight").must("classifier")?;
            let columns = &step0["classifier_weight_after_normalisation_first_columns"];
            let count = list(step0, "classifier_weight_after_normalisation_first_columns")?
                .first()
                .and_then(Value::as_array)
                .map_or(0, Vec::len);
            let got = classifier.narrow(1, 0, count).must("columns")?;
            case.near("unit columns", &values(&got)?, &flat(columns), first);
            if full {
                tokens(&d, &images, step0, first, case)?;
            } else {
                let z = z.as_ref().must("embedding")?;
                case.near("step 0 z", &values(z)?, &flat(&step0["z"]), first);
            }
        }
        let labels = inputs.labels.values(inputs.batch, s);
        let as_numbers: Vec<f64> = labels.iter().map(|&y| f64::from(y)).collect();
        case.near(&format!("step {s} labels"), &as_numbers, &flat(&want["labels"]), Limit::EXACT);
        let targets = tensor64(inputs.targets(s, 0.0, 1.0), &[inputs.batch, inputs.classes], dtype)?;
        let ce = ops::cross_entropy(&logits, &targets).must("loss")?;
        case.number(&format!("step {s} ce"), scalar(&ce)?, number(want, "ce")?, losses);
        let total = if full {
            ce
        } else {
            // the plugin's label 0 is real; the file says which label is real there
            let fake: Vec<i64> = as_numbers.iter().map(|&y| i64::from(y != real)).collect();
            let fake = Tensor::from_vec(fake, inputs.batch, &Device::Cpu).must("labels")?;
            let rac =
                d.head.loss(&logits, z.as_ref(), &fake, &d.ctx).must("loss")?.must("contrastive term")?;
            case.number(&format!("step {s} rac"), scalar(&rac)? / weight, number(want, "rac")?, losses);
            (&ce + &rac).must("loss")?
        };
        case.number(&format!("step {s} total"), scalar(&total)?, number(want, "total")?, losses);
        let grads = backward(&total).must("gradient")?;
        let (mut got, mut parts) = (Vec::new(), Vec::new());
        for (key, norm) in norms(&d.store, &grads)? {
            got.push(norm);
            parts.push(number(want, key)?);
        }
        // a list: what rounds off one part of the gradient is the size of the whole
        case.near(&format!("step {s} gradient norms"), &got, &parts, norm_limit);
        if s == 0 && exact {
            gradients(&d, &grads, step0, norm_limit, case)?;
        }
        adam.step(&grads, lr).must("update")?;
    }
    rescale(&d)?;
    d.ctx.eval();
    let (_, logits, _) = forward(&d, &inputs.image_tensor(0, dtype)?)?;
    case.near("final logits", &values(&logits)?, &flat(&expected["final_logits_on_step0_images"]), later);

    let trained = d.store.tensors();
    for name in frozen.iter().filter(|n| !unused(n)) {
        let (a, b) = (untrained.get(&short(name)).must(name)?, trained.get(&short(name)).must(name)?);
        case.holds(values(a)? == values(b)?, || format!("frozen parameter {name} has moved"));
    }
    let by_name: BTreeMap<String, Tensor> =
        order.iter().filter_map(|(n, _)| Some((n.clone(), trained.get(&short(n))?.clone()))).collect();
    let (_, wanted) = expected
        .as_object()
        .must("run")?
        .iter()
        .find(|(k, _)| k.starts_with("trainable_params_after"))
        .must("`trainable_params_after_…`")?;
    check_parameters(case, "final", &by_name, wanted, &Summary { samples, l2: None, without_keys: !exact }, 0)
}

/// What the backbone hands over, and the logits of token 1.
fn tokens(d: &Detector, images: &Tensor, step0: &Value, limit: Limit, case: &mut Case) -> Result<(), String> {
    let raw =
        d.backbone.embed(images, None, &d.ctx).and_then(|t| d.backbone.encode(&t, &d.ctx)).must("encoder")?;
    let pooled = d.backbone.pool(&raw).must("pool")?;
    let (_, n, _) = raw.dims3().must("tokens")?;
    let want = &step0["backbone_tokens"];
    let joined =
        pooled.unsqueeze(1).and_then(|p| Tensor::cat(&[&p, &raw.narrow(1, 1, n - 1)?], 1)).must("tokens")?;
    case.same("shape of the tokens", joined.dims(), &crate::rules::sizes(&want["shape"])?);
    let all = values(&joined)?;
    let width = pooled.dims()[1];
    for token in [0, 1] {
        let first = flat(&want[format!("token{token}_sample0_first8")]);
        let from = all.get(token * width..token * width + first.len()).must("channels")?;
        case.near(&format!("token {token} of sample 0"), from, &first, limit);
    }
    case.number("norm of the tokens", l2(&all), number(want, "l2")?, limit);
    // token 1 and the pooled vector change places: token 0 of that is token 1 of this
    let swapped = raw
        .narrow(1, 1, 1)
        .and_then(|one| {
            let rest = raw.narrow(1, 2, n - 2)?;
            Ok((one.squeeze(1)?, Tensor::cat(&[&one, &pooled.unsqueeze(1)?, &rest], 1)?))
        })
        .must("tokens")?;
    let (logits, _) = d.head.forward(&swapped.0, &swapped.1, &d.ctx).must("head")?;
    case.near("logits of token 1", &values(&logits)?, &flat(&step0["logits_token_1"]), limit);
    Ok(())
}

/// Norm of each gradient of the first step, and that none is missing but those the file says.
fn gradients(
    d: &Detector,
    grads: &GradStore,
    step0: &Value,
    norms: Limit,
    case: &mut Case,
) -> Result<(), String> {
    let vars: BTreeMap<String, Var> = d.store.trainable().into_iter().collect();
    for (name, want) in step0["grad_l2"].as_object().must("object `grad_l2`")? {
        let var =
            vars.get(name.strip_prefix(PREFIX).unwrap_or(name)).must(&format!("trained parameter {name}"))?;
        let grad = grads.get(var).must(&format!("gradient of {name}"))?;
        let limit = Limit { relative: 10.0 * norms.relative, absolute: 1e-12 };
        case.number(
            &format!("step 0 gradient of {name}"),
            l2(&values(grad)?),
            want.as_f64().must("number")?,
            limit,
        );
    }
    let without: Vec<&String> = vars.iter().filter(|(_, v)| grads.get(v).is_none()).map(|(n, _)| n).collect();
    let want = list(step0, "trainable_without_gradient")?.len();
    case.holds(without.len() == want, || format!("{without:?} have no gradient, expected {want} of them"));
    Ok(())
}
