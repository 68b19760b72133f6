//! The pre-training objective: reconstruction, covered region, similarity to a target network; clipping, AdamW, moving average.

use std::collections::BTreeMap;

use facebench_engine::optim::{AdamConfig, AdamW, Group, clip_global_norm, ema_update, global_norm};
use facebench_engine::{DType, Device, GradStore, ParamStore, Tensor, backward};
use facebench_host::{Purpose, RunCtx};
use facebench_train::spec::{
    DecoderSpec, MaskToken, ObjectiveSpec, RepPosEmbed, SimilarityLoss, SimilaritySpec,
};
use facebench_train::threec::{MaskedBatch, Online, Target};
use serde_json::{Value, json};

use super::finetune_steps::adam_config;
use crate::Context;
use crate::formula::leading_number;
use crate::rules::{Fill, Images, after, before, between, bits, flat, limit, list, number, size, text};
use crate::sheet::{Case, Limit, Must as _, Sheet};
use crate::tensors::{Summary, check_digest, check_parameters, digest, keys, l2, scalar, tensor, values};

/// Everything about a run that `about` says in words.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) loss: SimilarityLoss,
    pub(crate) temperature: Option<f64>,
    pub(crate) similarity_weight: f64,
    pub(crate) region_weight: f64,
    pub(crate) norm_pix: bool,
    pub(crate) clip: Option<f64>,
    pub(crate) momentum: Option<f64>,
    pub(crate) lr: f64,
    pub(crate) weight_decay: f64,
    pub(crate) adam: AdamConfig,
}

/// Names of similarity losses in fixtures.
const LOSSES: [(&str, SimilarityLoss); 5] = [
    ("simsiam", SimilarityLoss::Simsiam),
    ("byol", SimilarityLoss::Byol),
    ("infonce_positive", SimilarityLoss::InfoNcePositive),
    ("infonce", SimilarityLoss::InfoNce),
    ("mocov3", SimilarityLoss::MocoV3),
];

impl Settings {
    fn read(about: &Value) -> Result<Self, String> {
        let (what, optimizer) = (text(about, "what")?, text(about, "optimizer")?);
        let lower = what.to_lowercase();
        let (name, loss) =
            *LOSSES.iter().find(|(n, _)| lower.contains(&format!(" * {n}"))).must("similarity loss")?;
        Ok(Self {
            loss,
            temperature: after::<1>(what, "temperature ").ok().map(|t| t[0]),
            similarity_weight: before(&lower, &format!(" * {name}"))?,
            region_weight: before(what, " * reconstruction on the region")?,
            norm_pix: what.contains("norm_pix"),
            clip: if what.contains("clip") { Some(after::<1>(what, "clip at ")?[0]) } else { None },
            momentum: if what.contains("EMA") { Some(after::<1>(what, "m = ")?[0]) } else { None },
            lr: after::<1>(optimizer, "lr ")?[0],
            weight_decay: after::<1>(optimizer, "weight decay ")?[0],
            adam: adam_config(optimizer)?,
        })
    }

    /// The settings of a variant, whose name says what is different: `target_frozen`, `byol`, `infonce_all_T0.1`,
    /// `no_clip`, `clip_0.1_wd_0.3`, …
    fn variant(&self, name: &str) -> Result<Self, String> {
        let mut out = self.clone();
        let words: Vec<&str> = name.split('_').collect();
        let value = |i: usize| -> Result<f64, String> {
            let word = words.get(i).must(&format!("number in variant `{name}`"))?;
            match leading_number(word) {
                (v, len) if len > 0 && len == word.len() => Ok(v),
                _ => Err(format!("variant `{name}`: `{word}` is no number")),
            }
        };
        let mut i = 0;
        while i < words.len() {
            let word = words[i].to_lowercase();
            let number = word.strip_prefix('t').map(leading_number).filter(|n| n.1 > 0);
            match (word.as_str(), words.get(i + 1).copied()) {
                ("target", Some("frozen")) => (out.momentum, i) = (None, i + 1),
                ("no", Some("clip")) => (out.clip, i) = (None, i + 1),
                ("no", Some("ema")) => (out.momentum, i) = (None, i + 1),
                ("clip", _) => (out.clip, i) = (Some(value(i + 1)?), i + 1),
                ("wd", _) => (out.weight_decay, i) = (value(i + 1)?, i + 1),
                ("lr", _) => (out.lr, i) = (value(i + 1)?, i + 1),
                ("m" | "ema", _) => (out.momentum, i) = (Some(value(i + 1)?), i + 1),
                ("infonce", Some("positive")) => (out.loss, i) = (SimilarityLoss::InfoNcePositive, i + 1),
                ("infonce", Some("all")) => (out.loss, i) = (SimilarityLoss::InfoNce, i + 1),
                (loss, _) if LOSSES.iter().any(|(n, _)| *n == loss) => {
                    out.loss = LOSSES.iter().find(|(n, _)| *n == loss).must("loss")?.1;
                }
                _ if number.is_some() => out.temperature = number.map(|n| n.0),
                _ => return Err(format!("variant `{name}`: `{}` is not understood", words[i])),
            }
            i += 1;
        }
        Ok(out)
    }
}

/// The networks of a run.
pub(crate) struct Network {
    pub(crate) store: ParamStore,
    pub(crate) twin: ParamStore,
    pub(crate) online: Online,
    pub(crate) target: Target,
    pub(crate) ctx: RunCtx,
}

/// Parameters to start from, by name.
pub(crate) type Given = BTreeMap<String, Tensor>;

/// Builds online and target network; the target starts as a copy unless it is given. `given` gets the names and
/// fixed tables of the network.
pub(crate) fn build(
    config: &Value,
    settings: &Settings,
    context: &Context<'_>,
    dtype: DType,
    given: impl FnOnce(&Given) -> Result<(Given, Option<Given>), String>,
) -> Result<Network, String> {
    let n = |key: &str| size(config, key);
    let backbone = json!({"width": n("D")?, "depth": n("depth")?, "heads": n("heads")?, "patch": n("P")?, "image": n("img")?});
    let defaults = SimilaritySpec::default();
    let objective = ObjectiveSpec {
        region_weight: settings.region_weight,
        norm_pix: settings.norm_pix,
        decoder: DecoderSpec {
            width: n("dD")?,
            depth: n("ddepth")?,
            heads: n("dheads")?,
            mask_token: MaskToken::BeforeEmbed,
        },
        similarity: Some(SimilaritySpec {
            loss: settings.loss,
            weight: settings.similarity_weight,
            temperature: settings.temperature.unwrap_or(defaults.temperature),
            depth: n("rdepth")?,
            heads: n("rheads")?,
            rep_pos_embed: RepPosEmbed::Zero,
            hidden: n("hid")?,
            out: n("out")?,
            ..defaults
        }),
        ..ObjectiveSpec::default()
    };
    let ctx = RunCtx::new(&Device::Cpu, dtype, 0);
    let make = |store: &ParamStore| {
        context.plugins.backbone("fsvfm", &backbone, Purpose::Pretrain, store, "", &ctx).must("backbone")
    };
    let shapes = ParamStore::new(&Device::Cpu, DType::F32, 0);
    Online::new(&objective, make(&shapes)?, &shapes).must("network")?;
    let (online, target) = given(&shapes.tensors())?;
    let store = ParamStore::new(&Device::Cpu, dtype, 0);
    store.provide(online);
    let online = Online::new(&objective, make(&store)?, &store).must("network")?;
    if !store.unused().is_empty() || !store.initialised().is_empty() {
        return Err(format!(
            "parameters without use {:?}, not given {:?}",
            store.unused(),
            store.initialised()
        ));
    }
    let twin = store.detached_copy().must("copy")?;
    let similarity = objective.similarity.as_ref().must("similarity")?;
    let target_net = Target::new(similarity, make(&twin)?, &twin).must("target network")?;
    if let Some(given) = target {
        let mut all = twin.tensors();
        for (name, value) in given {
            all.insert(name, value.to_dtype(dtype).must("target")?);
        }
        twin.set_all(&all).must("target")?;
    }
    Ok(Network { store, twin, online, target: target_net, ctx })
}

/// Parameters of the fixture: the fill rule, position tables as the network has them.
fn fixture_parameters(file: &Value, fill: &Fill, network: &Given) -> Result<Given, String> {
    let order = keys(&file["online_key_order"])?;
    let mut out = Given::new();
    for (j, (name, dims)) in order.iter().enumerate() {
        let own = network.get(name).must(&format!("parameter {name} in our network"))?;
        if own.dims() != dims {
            return Err(format!("{name} is {:?}, the file says {dims:?}", own.dims()));
        }
        let fixed = name.ends_with("pos_embed");
        let value = if fixed {
            own.clone()
        } else {
            tensor(fill.named(name, own.elem_count(), j as f64), dims, DType::F32)?
        };
        out.insert(name.clone(), value);
    }
    Ok(out)
}

/// The batch of a step: images by the rule, masks as the file lists them.
fn batch(file: &Value, images: &Images, step: usize, dtype: DType) -> Result<MaskedBatch, String> {
    let config = &file["config"];
    let (b, side, patch) = (size(config, "B")?, size(config, "img")?, size(config, "P")?);
    let n = (side / patch.max(1)).pow(2);
    let masks = list(file, "masks")?;
    let at = masks
        .iter()
        .find(|m| m["step"].as_u64() == Some(step as u64))
        .must(&format!("mask of step {step}"))?;
    let read = |key: &str| -> Result<Vec<Vec<u8>>, String> {
        list(at, key)?.iter().map(|h| bits(h.as_str().must("hexadecimal mask")?, n)).collect()
    };
    masked_batch(images.values(b, side, step as f64), side, &read("mask_hex")?, &read("region_hex")?, dtype)
}

/// Puts images and masks (one row of 0 and 1 per sample) together.
pub(crate) fn masked_batch(
    pixels: Vec<f32>,
    side: usize,
    mask: &[Vec<u8>],
    region: &[Vec<u8>],
    dtype: DType,
) -> Result<MaskedBatch, String> {
    let (b, n) = (mask.len(), mask.first().map_or(0, Vec::len));
    let rows =
        |rows: &[Vec<u8>]| tensor(rows.iter().flatten().map(|&v| f32::from(v)).collect(), &[b, n], dtype);
    let keep: Vec<Vec<u32>> =
        mask.iter().map(|row| (0..n as u32).filter(|&p| row[p as usize] == 0).collect()).collect();
    let visible = keep.first().map_or(0, Vec::len);
    if keep.iter().any(|k| k.len() != visible) || region.len() != b {
        return Err("the samples of a batch must hide the same number of patches".into());
    }
    Ok(MaskedBatch {
        images: tensor(pixels, &[b, 3, side, side], dtype)?,
        keep: Tensor::from_vec(keep.concat(), (b, visible), &Device::Cpu).must("kept patches")?,
        mask: rows(mask)?,
        region: rows(region)?,
        covered: region.iter().flatten().map(|&v| usize::from(v)).sum(),
    })
}

/// Limits of a trajectory.
pub(crate) struct Limits {
    pub(crate) losses: Limit,
    /// At step 0 and later
    pub(crate) norm: [Limit; 2],
}

/// Loss and gradient of one step, compared with the expected values. Returns gradients before clipping.
pub(crate) fn compare_step(
    case: &mut Case,
    net: &Network,
    batch: &MaskedBatch,
    s: usize,
    want: &Value,
    limits: &Limits,
) -> Result<GradStore, String> {
    net.ctx.train(s as u64);
    let terms = net.online.loss(batch, Some(&net.target), &net.ctx).must("loss")?;
    let total = scalar(&terms.total)?;
    let grads = backward(&terms.total).must("gradient")?;
    let norm = global_norm(&grads, &net.store.trainable()).must("norm")?;
    for (key, got) in [
        ("loss_rec_all", terms.rec),
        ("loss_rec_fr", terms.region),
        ("loss_sim", terms.similarity),
        ("total", total),
    ] {
        case.number(&format!("step {s} {key}"), got, number(want, key)?, limits.losses);
    }
    case.number(&format!("step {s} grad_norm"), norm, number(want, "grad_norm")?, limits.norm[s.min(1)]);
    Ok(grads)
}

/// Clips, updates, and moves the target.
pub(crate) fn update(
    net: &Network,
    adamw: &mut AdamW,
    mut grads: GradStore,
    settings: &Settings,
) -> Result<(), String> {
    if let Some(max) = settings.clip {
        clip_global_norm(&mut grads, &net.store.trainable(), max).must("clip")?;
    }
    adamw.step(&grads, settings.lr).must("update")?;
    if let Some(m) = settings.momentum {
        ema_update(&net.twin, &net.store, m).must("moving average")?;
    }
    Ok(())
}

/// Checks the main run in both precisions, and every variant.
pub(crate) fn run(file: &Value, context: &Context<'_>, sheet: &mut Sheet) -> Result<(), String> {
    let about = &file["about"];
    let base = Settings::read(about)?;
    let fill = Fill::read(text(about, "init")?)?;
    let images = Images::read(text(about, "images")?)?;
    for (dtype, key) in [(DType::F64, "f64"), (DType::F32, "f32")] {
        sheet.case(format!("run {key}"), |case| {
            follow(file, context, (&fill, &images), &base, &file["f64"], dtype, case)
        });
    }
    for (name, variant) in file["variants"].as_object().into_iter().flatten() {
        for (dtype, key) in [(DType::F64, "f64"), (DType::F32, "f32")] {
            sheet.case(format!("{name} {key}"), |case| {
                follow(file, context, (&fill, &images), &base.variant(name)?, &variant["f64"], dtype, case)
            });
        }
    }
    Ok(())
}

fn follow(
    file: &Value,
    context: &Context<'_>,
    (fill, images): (&Fill, &Images),
    settings: &Settings,
    expected: &Value,
    dtype: DType,
    case: &mut Case,
) -> Result<(), String> {
    let exact = dtype == DType::F64;
    let key = if exact { "f64" } else { "f32_against_f64_values" };
    let sentence = text(&file["about"]["tolerance"], key)?;
    let norm = limit(sentence, "grad_norm")?;
    let later = between(sentence, "(step 0), ", " (later)").ok().and_then(|t| t.parse().ok());
    let limits = Limits {
        losses: limit(sentence, "losses")?,
        norm: [norm, later.map_or(norm, |relative| Limit { relative, ..norm })],
    };
    let summary = Summary {
        samples: limit(sentence, "samples")?,
        l2: Some(limit(sentence, "l2")?),
        without_keys: !exact,
    };
    let net = build(&file["config"], settings, context, dtype, |network| {
        Ok((fixture_parameters(file, fill, network)?, None))
    })?;
    if !exact {
        let tensors = net.store.tensors();
        let order = keys(&file["online_key_order"])?;
        check_digest(case, file, "online", &digest(order.iter().map(|(n, _)| &tensors[n]))?)?;
        let twin = net.twin.tensors();
        let names: Vec<&str> = list(file, "target_keys")?.iter().filter_map(Value::as_str).collect();
        check_digest(case, file, "target", &digest(names.iter().filter_map(|n| twin.get(*n)))?)?;
    }
    let params = net.store.trainable();
    let group = |decays: bool| Group {
        vars: params.iter().filter(|(_, v)| (v.rank() > 1) == decays).cloned().collect(),
        lr_scale: 1.0,
        weight_decay: if decays { settings.weight_decay } else { 0.0 },
    };
    let mut adamw = AdamW::new(vec![group(false), group(true)], settings.adam).must("optimiser")?;
    for (s, want) in list(expected, "steps")?.iter().enumerate() {
        let batch = batch(file, images, s, dtype)?;
        if s == 0 && !exact {
            check_digest(case, file, "image", &digest(std::iter::once(&batch.images))?)?;
        }
        if s == 0 && expected["step0_forward"].is_object() {
            first_forward(case, &net, &batch, &expected["step0_forward"], summary.samples)?;
        }
        let grads = compare_step(case, &net, &batch, s, want, &limits)?;
        if let (0, true, Some(norms)) = (s, exact, expected["step0_grad_l2_before_clip"].as_object()) {
            for (name, want) in norms {
                let var =
                    params.iter().find(|(n, _)| n == name).must(&format!("trained parameter {name}"))?;
                let grad = grads.get(&var.1).must(&format!("gradient of {name}"))?;
                let want = want.as_f64().must("number")?;
                case.number(
                    &format!("step 0 gradient of {name}"),
                    l2(&values(grad)?),
                    want,
                    Limit { relative: 1e-8, absolute: 1e-12 },
                );
            }
        }
        update(&net, &mut adamw, grads, settings)?;
    }
    let object = expected.as_object().must("object")?;
    for (part, store) in [("online", &net.store), ("target", &net.twin)] {
        if let Some((_, want)) = object.iter().find(|(k, _)| k.starts_with(&format!("{part}_after"))) {
            check_parameters(case, part, &store.tensors(), want, &summary, 0)?;
        }
        if let Some(want) = expected[format!("{part}_l2_sum_over_tensors")].as_f64() {
            let names: Vec<String> = match part {
                "online" => store.names(),
                _ => list(file, "target_keys")?
                    .iter()
                    .filter_map(|n| n.as_str().map(ToOwned::to_owned))
                    .collect(),
            };
            let tensors = store.tensors();
            let mut sum = 0.0;
            for name in names {
                sum += l2(&values(tensors.get(&name).must(&name)?)?);
            }
            case.number(&format!("{part} l2 sum"), sum, want, limit(sentence, "l2")?);
        }
    }
    Ok(())
}

/// The first forward pass, part by part.
fn first_forward(
    case: &mut Case,
    net: &Network,
    batch: &MaskedBatch,
    want: &Value,
    limit: Limit,
) -> Result<(), String> {
    let encoded = net.online.encode(batch, &net.ctx).must("encoder")?;
    let rows = |t: &Tensor| -> Result<(Vec<f64>, usize), String> {
        Ok((values(t)?, t.dims().last().copied().unwrap_or(1)))
    };
    let (tokens, width) = rows(&encoded)?;
    if !want["encoder_cls_sample0"].is_null() {
        case.near("encoder cls", &tokens[..width], &flat(&want["encoder_cls_sample0"]), limit);
    }
    let z = net.online.predict(&encoded, &batch.keep).must("prediction")?.must("prediction")?;
    case.near("z online", &values(&z)?, &flat(&want["z_online"]), limit);
    let z = net.target.project(&batch.images, &net.ctx).must("projection")?;
    case.near("z target", &values(&z)?, &flat(&want["z_target"]), limit);
    let pixels = values(&net.online.decode(&encoded, &batch.keep).must("decoder")?)?;
    for (key, value) in want.as_object().must("first forward pass")? {
        let many = value.as_array().map_or(0, Vec::len);
        if key.starts_with("pred_sample0_patch0_first") {
            case.near(key, pixels.get(..many).must("pixels")?, &flat(value), limit);
        } else if key.starts_with("pred_last_sample_last_patch_last") {
            case.near(key, pixels.get(pixels.len() - many..).must("pixels")?, &flat(value), limit);
        } else if key == "pred_l2" {
            case.number(
                key,
                l2(&pixels),
                value.as_f64().must(key)?,
                Limit { relative: limit.absolute, absolute: 0.0 },
            );
        }
    }
    Ok(())
}
