//! Full fine-tuning of a small ViT with layer-wise decay and soft targets: forward passes and trajectories.

use std::collections::BTreeMap;

use facebench_engine::optim::{AdamConfig, AdamW, Group, global_norm};
use facebench_engine::{DType, Device, ParamStore, Tensor, backward, ops, schedule};
use facebench_host::{Backbone, FeatureSpec, Head, Purpose, RunCtx};
use serde_json::{Value, json};

use crate::Context;
use crate::formula::{Formula, Functions};
use crate::rules::{Fill, Images, Labels, after, between, flat, limit, list, number, object, size, text};
use crate::sheet::{Case, Limit, Must as _, Sheet};
use crate::tensors::{
    PRECISIONS, Summary, check_digest, check_parameters, digest, filled, keys, l2, mixed, scalar,
    soft_targets, tensor, tensor64, values,
};

/// A detector of two plugins on one store.
pub(crate) struct Detector {
    pub(crate) store: ParamStore,
    pub(crate) backbone: Backbone,
    pub(crate) head: Head,
    pub(crate) ctx: RunCtx,
}

/// What to build: plugins' settings and where parameters come from.
pub(crate) struct Plan<'a> {
    pub(crate) config: &'a Value,
    pub(crate) pooling: &'a str,
    pub(crate) head: &'a str,
    pub(crate) head_config: Value,
    /// Names that train; empty for all
    pub(crate) trains: Vec<String>,
}

/// Builds backbone and head on the given parameters; all must be used, and none may be missing.
pub(crate) fn detector(
    context: &Context<'_>,
    plan: &Plan<'_>,
    given: BTreeMap<String, Tensor>,
    dtype: DType,
) -> Result<Detector, String> {
    let n = |key: &str| size(plan.config, key);
    let backbone = json!({
        "width": n("D")?, "depth": n("depth")?, "heads": n("heads")?, "patch": n("P")?, "image": n("img")?,
        "pooling": plan.pooling,
    });
    let grid = n("img")? / n("P")?.max(1);
    let features =
        FeatureSpec { width: n("D")?, tokens: 1 + grid * grid, classes: n("classes")?, samples: 0 };
    let store = ParamStore::new(&Device::Cpu, dtype, 0);
    let trains = plan.trains.clone();
    store.set_frozen(move |name| !trains.is_empty() && !trains.iter().any(|t| name.starts_with(t.as_str())));
    store.provide(given);
    let ctx = RunCtx::new(&Device::Cpu, dtype, 0);
    let backbone = context
        .plugins
        .backbone("fsvfm", &backbone, Purpose::Downstream, &store, "", &ctx)
        .must("backbone")?;
    let head =
        context.plugins.head(plan.head, &plan.head_config, &features, &store, "", &ctx).must("head")?;
    if !store.unused().is_empty() || !store.initialised().is_empty() {
        return Err(format!(
            "parameters without use {:?}, not given {:?}",
            store.unused(),
            store.initialised()
        ));
    }
    Ok(Detector { store, backbone, head, ctx })
}

/// Pooled features, logits and embedding of a batch.
pub(crate) fn forward(d: &Detector, images: &Tensor) -> Result<(Tensor, Tensor, Option<Tensor>), String> {
    let tokens =
        d.backbone.embed(images, None, &d.ctx).and_then(|t| d.backbone.encode(&t, &d.ctx)).must("encoder")?;
    let pooled = d.backbone.pool(&tokens).must("pool")?;
    let (logits, embedding) = d.head.forward(&pooled, &tokens, &d.ctx).must("head")?;
    Ok((pooled, logits, embedding))
}

/// The sentences of `about` that every trajectory needs.
pub(crate) struct Inputs {
    pub(crate) fill: Fill,
    pub(crate) images: Images,
    pub(crate) labels: Labels,
    pub(crate) batch: usize,
    pub(crate) side: usize,
    pub(crate) classes: usize,
}

impl Inputs {
    pub(crate) fn read(file: &Value) -> Result<Self, String> {
        let (about, config) = (&file["about"], &file["config"]);
        Ok(Self {
            fill: Fill::read(text(about, "init")?)?,
            images: Images::read(text(about, "images")?)?,
            labels: Labels::read(text(about, "labels")?)?,
            batch: size(config, "B")?,
            side: size(config, "img")?,
            classes: size(config, "classes")?,
        })
    }

    pub(crate) fn pixels(&self, step: usize) -> Vec<f32> {
        self.images.values(self.batch, self.side, step as f64)
    }

    pub(crate) fn image_tensor(&self, step: usize, dtype: DType) -> Result<Tensor, String> {
        tensor(self.pixels(step), &[self.batch, 3, self.side, self.side], dtype)
    }

    /// Images mixed with the reversed batch, in f64 before the rounding to the run's precision.
    pub(crate) fn mixed_images(&self, step: usize, lam: f64, dtype: DType) -> Result<Tensor, String> {
        let pixels: Vec<f64> = self.pixels(step).into_iter().map(f64::from).collect();
        tensor64(mixed(&pixels, self.batch, lam), &[self.batch, 3, self.side, self.side], dtype)
    }

    /// Smoothed targets mixed with those of the reversed batch.
    pub(crate) fn targets(&self, step: usize, smoothing: f64, lam: f64) -> Vec<f64> {
        let own = soft_targets(&self.labels.values(self.batch, step), self.classes, smoothing);
        mixed(&own, self.batch, lam)
    }
}

/// Limits of a trajectory in one precision, under whichever name the file gives the quantity.
pub(crate) fn any_limit(sentence: &str, names: &[&str]) -> Result<Limit, String> {
    names.iter().find_map(|n| limit(sentence, n).ok()).must(&format!("tolerance for {}", names[0]))
}

/// Checks forward passes and runs.
pub(crate) fn run(file: &Value, context: &Context<'_>, sheet: &mut Sheet) -> Result<(), String> {
    let inputs = Inputs::read(file)?;
    for (key, _) in file.as_object().must("object")?.iter().filter(|(k, _)| k.starts_with("forward_")) {
        let part = &key["forward_".len()..];
        sheet.case(key, |case| forward_case(file, context, &inputs, part, case));
    }
    for name in object(file, "runs")?.keys() {
        for (dtype, key, tolerance) in PRECISIONS {
            sheet.case(format!("{name} {key}"), |case| {
                trajectory(file, context, &inputs, name, (dtype, tolerance), case)
            });
        }
    }
    Ok(())
}

fn pooling(part: &str) -> &'static str {
    if part.contains("cls") { "cls" } else { "mean" }
}

fn forward_case(
    file: &Value,
    context: &Context<'_>,
    inputs: &Inputs,
    part: &str,
    case: &mut Case,
) -> Result<(), String> {
    let order = keys(&file[format!("key_order_{part}")])?;
    let plan = Plan {
        config: &file["config"],
        pooling: pooling(part),
        head: "linear",
        head_config: json!({}),
        trains: vec![],
    };
    for (dtype, key, tolerance) in PRECISIONS {
        let sentence = text(&file["about"]["tolerance"], tolerance)?;
        let limit = limit(sentence, "logits")?;
        let given = filled(&inputs.fill, &order)?;
        if dtype == DType::F64 {
            let got = digest(order.iter().map(|(n, _)| &given[n]))?;
            check_digest(case, file, part, &got)?;
            let image = inputs.image_tensor(0, DType::F32)?;
            check_digest(case, file, "image", &digest(std::iter::once(&image))?)?;
        }
        let d = detector(context, &plan, given, dtype)?;
        let (features, logits, _) = forward(&d, &inputs.image_tensor(0, dtype)?)?;
        let want = &file[format!("forward_{part}")][key];
        case.near(&format!("features {key}"), &values(&features)?, &flat(&want["features"]), limit);
        case.near(&format!("logits {key}"), &values(&logits)?, &flat(&want["logits"]), limit);
    }
    Ok(())
}

/// Mixed images and targets of one step, and the learning rate.
struct Step {
    images: Tensor,
    targets: Vec<f64>,
    lr: f64,
}

fn step_of(file: &Value, inputs: &Inputs, run: &str, step: usize, dtype: DType) -> Result<Step, String> {
    let about = &file["about"];
    let sentence = text(about, &format!("{run}_run"))?;
    // said once, for the run that introduces the targets ("same targets" in the other)
    let runs = about.as_object().must("object `about`")?.values().filter_map(Value::as_str);
    let said = runs.into_iter().find(|t| t.contains("off-value ")).must("phrase `off-value `")?;
    let value = |from: &str, to: &str| -> Result<f64, String> {
        Ok(Formula::parse(between(said, from, to)?, &[], &Functions::new())?.at(&[]))
    };
    let (on, off) = (value("on-value ", " and ")?, value("off-value ", ";")?);
    let smoothing = off * inputs.classes as f64;
    if (1.0 - smoothing + off - on).abs() > 1e-12 {
        return Err(format!(
            "on-value {on} and off-value {off} are no smoothing over {} classes",
            inputs.classes
        ));
    }
    if sentence.contains("box") {
        let cut = list(file, "cutmix_boxes")?.get(step).must(&format!("box of step {step}"))?;
        let pixels: Vec<f64> = inputs.pixels(step).into_iter().map(f64::from).collect();
        let (n, side) = (inputs.batch, inputs.side);
        let (y0, y1, x0, x1) = (size(cut, "y0")?, size(cut, "y1")?, size(cut, "x0")?, size(cut, "x1")?);
        if y0 > y1 || x0 > x1 || y1 > side || x1 > side {
            return Err(format!("box {cut} leaves the image of side {side}"));
        }
        let mut out = pixels.clone();
        for (b, c) in (0..n).flat_map(|b| (0..3).map(move |c| (b, c))) {
            for y in y0..y1 {
                let (to, from) = (((b * 3 + c) * side + y) * side, (((n - 1 - b) * 3 + c) * side + y) * side);
                out[to + x0..to + x1].copy_from_slice(&pixels[from + x0..from + x1]);
            }
        }
        let epoch =
            Formula::parse(between(sentence, "fractional epoch ", " with")?, &["s"], &Functions::new())?;
        let [epochs] = after(sentence, "epochs ")?;
        let ([warmup], [peak], [min]) =
            (after(sentence, "warmup ")?, after(sentence, "peak ")?, after(sentence, "min_lr ")?);
        Ok(Step {
            images: tensor64(out, &[n, 3, side, side], dtype)?,
            targets: inputs.targets(step, smoothing, number(cut, "lam")?),
            lr: schedule::warmup_cosine(epoch.at(&[step as f64]), epochs, warmup, peak, min),
        })
    } else {
        let ([lam], [lr]) = (after(sentence, "lam = ")?, after(sentence, "lr constant ")?);
        Ok(Step {
            images: inputs.mixed_images(step, lam, dtype)?,
            targets: inputs.targets(step, smoothing, lam),
            lr,
        })
    }
}

/// Layer-wise groups by the rule of the method: embeddings 0, blocks 1 …, the rest depth + 1; no decay for vectors,
/// position table and cls token.
fn groups(store: &ParamStore, depth: usize, decay: f64, weight_decay: f64) -> Result<Vec<Group>, String> {
    let mut out = Vec::new();
    for (name, var) in store.trainable() {
        let block = name.strip_prefix("blocks.").and_then(|rest| rest.split('.').next());
        let embedding = name == "cls_token" || name == "pos_embed" || name.starts_with("patch_embed.");
        let id = match block {
            _ if embedding => 0,
            Some(i) => 1 + i.parse::<usize>().must("block")?,
            None => depth + 1,
        };
        let free = var.rank() == 1 || name == "cls_token" || name == "pos_embed";
        let weight_decay = if free { 0.0 } else { weight_decay };
        out.push(Group {
            vars: vec![(name, var)],
            lr_scale: schedule::layer_scale(id, depth, decay),
            weight_decay,
        });
    }
    Ok(out)
}

/// Optimiser constants of a sentence: betas and eps.
pub(crate) fn adam_config(sentence: &str) -> Result<AdamConfig, String> {
    let [beta1, beta2] = after(sentence, "betas")?;
    let [eps] = after(sentence, "eps ")?;
    Ok(AdamConfig { beta1, beta2, eps })
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
    let sentence = text(&file["about"]["tolerance"], tolerance)?;
    let losses = limit(sentence, "losses")?;
    let norms = any_limit(sentence, &["grad_norm", "gradient norms", "grad norms"])?;
    let (logit_limit, samples) = (limit(sentence, "logits")?, limit(sentence, "parameter samples")?);
    let expected = &file["runs"][run]["f64"];
    let order = keys(&file["key_order_global_pool"])?;
    let plan = Plan {
        config: &file["config"],
        pooling: "mean",
        head: "linear",
        head_config: json!({}),
        trains: vec![],
    };
    let d = detector(context, &plan, filled(&inputs.fill, &order)?, dtype)?;
    let optimizer = text(&file["about"], "optimizer")?;
    let [decay] = after(optimizer, "layer decay ")?;
    let [weight_decay] = after(optimizer, "weight decay ")?;
    let made = groups(&d.store, size(&file["config"], "depth")?, decay, weight_decay)?;
    for group in file["runs"][run]["groups"].as_array().into_iter().flatten() {
        for name in list(group, "params")? {
            let own = made.iter().find(|g| g.vars[0].0 == *name).must(&format!("parameter {name}"))?;
            case.number(
                &format!("lr scale of {name}"),
                own.lr_scale,
                number(group, "lr_scale")?,
                Limit { relative: 1e-12, absolute: 0.0 },
            );
            case.number(
                &format!("weight decay of {name}"),
                own.weight_decay,
                number(group, "weight_decay")?,
                Limit::EXACT,
            );
        }
    }
    let mut adamw = AdamW::new(made, adam_config(optimizer)?).must("optimiser")?;
    for (s, want) in list(expected, "steps")?.iter().enumerate() {
        d.ctx.train(s as u64);
        let step = step_of(file, inputs, run, s, dtype)?;
        if !want["soft_targets"].is_null() {
            case.near(
                &format!("step {s} targets"),
                &step.targets,
                &flat(&want["soft_targets"]),
                Limit::absolute(1e-12),
            );
        }
        let (_, logits, _) = forward(&d, &step.images)?;
        let targets = tensor64(step.targets, &[inputs.batch, inputs.classes], dtype)?;
        let loss = ops::cross_entropy(&logits, &targets).must("loss")?;
        let grads = backward(&loss).must("gradient")?;
        case.number(&format!("step {s} loss"), scalar(&loss)?, number(want, "loss")?, losses);
        let norm = global_norm(&grads, &d.store.trainable()).must("norm")?;
        case.number(&format!("step {s} grad_norm"), norm, number(want, "grad_norm")?, norms);
        if s == 0 && exact {
            case.near("step 0 logits", &values(&logits)?, &flat(&expected["step0"]["logits"]), logit_limit);
            for (name, want) in object(&expected["step0"], "grad_l2")? {
                let var = d
                    .store
                    .trainable()
                    .into_iter()
                    .find(|(n, _)| n == name)
                    .must(&format!("parameter {name}"))?
                    .1;
                let grad = grads.get(&var).must(&format!("gradient of {name}"))?;
                let want = want.as_f64().must("number")?;
                case.number(
                    &format!("step 0 gradient of {name}"),
                    l2(&values(grad)?),
                    want,
                    Limit { absolute: 1e-12, relative: 10.0 * norms.relative },
                );
            }
        }
        adamw.step(&grads, step.lr).must("update")?;
    }
    d.ctx.eval();
    let (_, logits, _) = forward(&d, &inputs.image_tensor(0, dtype)?)?;
    case.near(
        "final logits",
        &values(&logits)?,
        &flat(&expected["final_logits_on_step0_images_unmixed"]),
        logit_limit,
    );
    let (_, wanted) = expected
        .as_object()
        .must("run")?
        .iter()
        .find(|(k, _)| k.starts_with("params_after"))
        .must("`params_after_…`")?;
    // "for all but a few elements whose gradient is of rounding size": one sample in 32
    let few = if sentence.contains("all but a few") {
        wanted.as_object().map_or(0, |w| w.len() * 4 / 32)
    } else {
        0
    };
    check_parameters(
        case,
        "final",
        &d.store.tensors(),
        wanted,
        &Summary { samples, l2: None, without_keys: !exact },
        few,
    )
}
