//! FS-Adapter training: frozen backbone, cross-entropy plus the real-anchored contrastive loss.

use facebench_engine::optim::{AdamW, Group, global_norm};
use facebench_engine::{DType, Device, Tensor, backward, ops};
use serde_json::{Value, json};

use super::finetune_steps::{Inputs, Plan, adam_config, any_limit, detector, forward};
use crate::Context;
use crate::rules::{after, before, flat, limit, list, number, object, size, text};
use crate::sheet::{Case, Limit, Must as _, Sheet};
use crate::tensors::{
    PRECISIONS, Summary, check_digest, check_parameters, digest, filled, keys, l2, scalar, tensor64, values,
};

/// Checks every run in both precisions.
pub(crate) fn run(file: &Value, context: &Context<'_>, sheet: &mut Sheet) -> Result<(), String> {
    let inputs = Inputs::read(file)?;
    for name in object(file, "runs")?.keys() {
        for (dtype, key, tolerance) in PRECISIONS {
            sheet.case(format!("{name} {key}"), |case| {
                trajectory(file, context, &inputs, name, (dtype, tolerance), case)
            });
        }
    }
    Ok(())
}

fn trajectory(
    file: &Value,
    context: &Context<'_>,
    inputs: &Inputs,
    run: &str,
    (dtype, tolerance): (DType, &str),
    case: &mut Case,
) -> Result<(), String> {
    let exact = dtype == DType::F64;
    let about = &file["about"];
    let sentence = text(&about["tolerance"], tolerance)?;
    let losses = limit(sentence, "losses")?;
    let norms = any_limit(sentence, &["grad_norm", "gradient norms", "grad norms"])?;
    let (logit_limit, samples) = (limit(sentence, "logits")?, limit(sentence, "parameter samples")?);
    let what = text(about, "what")?;
    let weight = before(what, " * real-anchored")?;
    let [temperature] = after(what, "temperature ")?;
    let [real] = after(what, "real label ")?;
    let mixing = text(about, &format!("{run}_run"))?;
    let (lam, smoothing) = if mixing.contains("no mixing") {
        (1.0, 0.0)
    } else {
        (after::<1>(mixing, "lam = ")?[0], after::<1>(mixing, "smoothing ")?[0])
    };

    let frozen = object(file, "frozen_params")?;
    let order = keys(&file["key_order"])?;
    let plan = Plan {
        config: &file["config"],
        pooling: "mean",
        head: "fs-adapter",
        head_config: json!({"reduction": size(&file["config"], "reduction")?, "rac_weight": weight, "rac_temperature": temperature}),
        trains: order.iter().map(|(n, _)| n.clone()).filter(|n| !frozen.contains_key(n)).collect(),
    };
    let given = filled(&inputs.fill, &order)?;
    check_digest(case, file, "concatenated", &digest(order.iter().map(|(n, _)| &given[n]))?)?;
    let d = detector(context, &plan, given, dtype)?;
    let before_training = d.store.tensors();

    let optimizer = text(about, "optimizer")?;
    let [lr] = after(optimizer, "lr ")?;
    let [weight_decay] = after(optimizer, "weight decay ")?;
    let decays = |rank: usize| if rank > 1 { weight_decay } else { 0.0 };
    let groups = d.store.trainable().into_iter().map(|(name, var)| {
        let weight_decay = decays(var.rank());
        Group { vars: vec![(name, var)], lr_scale: 1.0, weight_decay }
    });
    let mut adamw = AdamW::new(groups.collect(), adam_config(optimizer)?).must("optimiser")?;
    let expected = &file["runs"][run]["f64"];
    for (s, want) in list(expected, "steps")?.iter().enumerate() {
        d.ctx.train(s as u64);
        let (_, logits, z) = forward(&d, &inputs.mixed_images(s, lam, dtype)?)?;
        if s == 0 {
            case.near("step 0 logits", &values(&logits)?, &flat(&expected["step0"]["logits"]), logit_limit);
            let z = z.as_ref().must("embedding")?;
            case.near("step 0 z", &values(z)?, &flat(&expected["step0"]["z"]), logit_limit);
        }
        let labels = inputs.labels.values(inputs.batch, s);
        if !want["labels"].is_null() {
            case.near(
                &format!("step {s} labels"),
                &labels.iter().map(|&y| f64::from(y)).collect::<Vec<_>>(),
                &flat(&want["labels"]),
                Limit::EXACT,
            );
        }
        let targets = tensor64(inputs.targets(s, smoothing, lam), &[inputs.batch, inputs.classes], dtype)?;
        let ce = ops::cross_entropy(&logits, &targets).must("loss")?;
        // the plugin's label 0 is real; the file says which label is real there
        let fake: Vec<i64> = labels.iter().map(|&y| i64::from(f64::from(y) != real)).collect();
        let fake = Tensor::from_vec(fake, inputs.batch, &Device::Cpu).must("labels")?;
        let rac = d.head.loss(&logits, z.as_ref(), &fake, &d.ctx).must("loss")?.must("contrastive term")?;
        let total = (&ce + &rac).must("loss")?;
        case.number(&format!("step {s} ce"), scalar(&ce)?, number(want, "ce")?, losses);
        case.number(&format!("step {s} rac"), scalar(&rac)? / weight, number(want, "rac")?, losses);
        case.number(&format!("step {s} total"), scalar(&total)?, number(want, "total")?, losses);
        let grads = backward(&total).must("gradient")?;
        let norm = global_norm(&grads, &d.store.trainable()).must("norm")?;
        case.number(&format!("step {s} grad_norm"), norm, number(want, "grad_norm")?, norms);
        if s == 0 && exact {
            for (name, want) in object(&expected["step0"], "grad_l2")? {
                let var = d
                    .store
                    .trainable()
                    .into_iter()
                    .find(|(n, _)| n == name)
                    .must(&format!("trained parameter {name}"))?
                    .1;
                let grad = grads.get(&var).must(&format!("gradient of {name}"))?;
                let want = want.as_f64().must("number")?;
                case.number(
                    &format!("step 0 gradient of {name}"),
                    l2(&values(grad)?),
                    want,
                    Limit { relative: 10.0 * norms.relative, absolute: 1e-12 },
                );
            }
        }
        adamw.step(&grads, lr).must("update")?;
    }
    d.ctx.eval();
    let (_, logits, _) = forward(&d, &inputs.image_tensor(0, dtype)?)?;
    case.near(
        "final logits",
        &values(&logits)?,
        &flat(&expected["final_logits_on_step0_images_unmixed"]),
        logit_limit,
    );
    let after_training = d.store.tensors();
    for name in frozen.keys() {
        let (a, b) = (before_training.get(name).must(name)?, after_training.get(name).must(name)?);
        case.holds(values(a)? == values(b)?, || format!("frozen parameter {name} has moved"));
    }
    let (_, wanted) = expected
        .as_object()
        .must("run")?
        .iter()
        .find(|(k, _)| k.starts_with("trainable_params_after"))
        .must("`trainable_params_after_…`")?;
    check_parameters(
        case,
        "final",
        &after_training,
        wanted,
        &Summary { samples, l2: None, without_keys: !exact },
        0,
    )
}
