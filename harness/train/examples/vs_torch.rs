//! Our contestant in `harness/engine/benches/vs_torch`: the program's own networks, losses and optimiser, told over stdin
//! what to run. Start the comparison with `run.py` there; this process alone says nothing about PyTorch.
//!
//! ```text
//! vs_torch KIND SIZE FOLDER THREADS      KIND: infer, tune, frozen, adapter, mae, 3c
//! ```
//! FOLDER holds `weights.safetensors` and `inputs.safetensors` as `torch_side.py export` writes them. Each input line is a
//! number of runs and is answered by one line of JSON; 0 asks for the peak memory and ends the process. The encoder comes
//! through the plugin boundary, as everywhere in the program.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

use facebench_engine::huge_pages::HugePages;
use facebench_engine::optim::{AdamConfig, AdamW, Group, clip_global_norm, ema_update};
use facebench_engine::{DType, Device, ParamStore, Tensor, Var, backward, checkpoint, ops::losses, runtime};
use facebench_host::{Backbone, FeatureSpec, Head, Plugins, Purpose, RunCtx, default_dirs};
use facebench_train::spec::{DecoderSpec, MaskToken, ObjectiveSpec, SimilaritySpec};
use facebench_train::threec::{MaskedBatch, Online, Target};
use serde_json::json;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[global_allocator]
static ALLOCATOR: HugePages = HugePages; // as in the program

const LR: f64 = 1e-4;
const CLIP: f64 = 1.0;
const WEIGHT_DECAY: f64 = 0.05;
const MOMENTUM: f64 = 0.996;
const KEPT: usize = 49;
const REGION: usize = 24;

/// A network that classifies images.
struct Detector {
    backbone: Backbone,
    head: Head,
    ctx: RunCtx,
}

impl Detector {
    /// Logits, and what the head's own loss works on.
    fn outputs(&self, images: &Tensor) -> Outcome<(Tensor, Option<Tensor>)> {
        let tokens = self.backbone.encode(&self.backbone.embed(images, None, &self.ctx)?, &self.ctx)?;
        Ok(self.head.forward(&self.backbone.pool(&tokens)?, &tokens, &self.ctx)?)
    }
}

/// Parameters and how they move.
struct Training {
    params: Vec<(String, Var)>,
    optim: AdamW,
}

impl Training {
    fn new(store: &ParamStore, beta2: f64) -> Outcome<Self> {
        let params = store.trainable();
        let group = |matrices: bool| Group {
            vars: params.iter().filter(|(_, v)| (v.rank() > 1) == matrices).cloned().collect(),
            lr_scale: 1.0,
            weight_decay: if matrices { WEIGHT_DECAY } else { 0.0 },
        };
        let config = AdamConfig { beta1: 0.9, beta2, eps: 1e-8 };
        Ok(Self { optim: AdamW::new(vec![group(true), group(false)], config)?, params })
    }

    fn step(&mut self, loss: &Tensor, clip: Option<f64>) -> Outcome<()> {
        let mut grads = backward(loss)?;
        if let Some(max) = clip {
            clip_global_norm(&mut grads, &self.params, max)?;
        }
        Ok(self.optim.step(&grads, LR)?)
    }
}

/// Something that can be run over and over; gives the numbers to compare.
type Work = Box<dyn FnMut() -> Outcome<Vec<f64>> + Send>;

fn scalar(x: &Tensor) -> Outcome<f64> {
    Ok(x.to_dtype(DType::F64)?.to_scalar::<f64>()?)
}

fn detector(kind: &str, size: &str, weights: BTreeMap<String, Tensor>) -> Outcome<(Detector, ParamStore)> {
    let plugins = Plugins::open(&default_dirs(&[]))?;
    let store = ParamStore::new(&Device::Cpu, DType::F32, 0);
    let (all, none, adapter) = (kind == "infer", kind == "tune", kind == "adapter");
    store.set_frozen(move |name| all || !(none || of_head(name)));
    store.provide(weights.into_iter().filter(|(name, _)| !(adapter && of_head(name))).collect());
    let ctx = RunCtx::new(&Device::Cpu, DType::F32, 0);
    let backbone =
        plugins.backbone("fsvfm", &json!({"size": size}), Purpose::Downstream, &store, "", &ctx)?;
    let features = FeatureSpec {
        width: backbone.info.width,
        tokens: 1 + backbone.info.patches(),
        classes: 2,
        samples: 0,
    };
    let head = plugins.head(
        if adapter { "fs-adapter" } else { "linear" },
        &json!({}),
        &features,
        &store,
        "",
        &ctx,
    )?;
    whole(&store, |name| !(adapter && of_head(name)))?;
    Ok((Detector { backbone, head, ctx }, store))
}

/// Parameters of `linear` and `fs-adapter`.
fn of_head(name: &str) -> bool {
    ["head.", "adapter.", "projector."].iter().any(|prefix| name.starts_with(prefix))
}

/// Every `wanted` parameter came from the file, and nothing of the file is left.
fn whole(store: &ParamStore, wanted: impl Fn(&str) -> bool) -> Outcome<()> {
    let (left, mut made) = (store.unused(), store.initialised());
    made.retain(|name| wanted(name));
    if left.is_empty() && made.is_empty() {
        return Ok(());
    }
    Err(format!("weights that do not fit: unused {left:?}, missing {made:?}").into())
}

fn inference(
    size: &str,
    weights: BTreeMap<String, Tensor>,
    inputs: &BTreeMap<String, Tensor>,
) -> Outcome<Work> {
    let (net, store) = detector("infer", size, weights)?;
    let images = inputs["images"].clone();
    net.ctx.eval();
    Ok(Box::new(move || {
        let _weights = &store; // as in the program: packed weights are kept as long as the store that owns them lives
        Ok(net.outputs(&images)?.0.flatten_all()?.to_dtype(DType::F64)?.to_vec1()?)
    }))
}

fn tuning(
    kind: &str,
    size: &str,
    weights: BTreeMap<String, Tensor>,
    inputs: &BTreeMap<String, Tensor>,
) -> Outcome<Work> {
    let (net, store) = detector(kind, size, weights)?;
    let mut training = Training::new(&store, 0.999)?;
    let images = inputs["images"].clone();
    let labels: Vec<u32> = (0..images.dim(0)?).map(|i| (i % 2) as u32).collect();
    let mut step = 0;
    Ok(Box::new(move || {
        net.ctx.train(step);
        step += 1;
        let (logits, embedding) = net.outputs(&images)?;
        let mut loss = losses::cross_entropy(&logits, &losses::one_hot(&labels, 2, 0.0, &logits)?)?;
        let classes = Tensor::new(labels.as_slice(), &Device::Cpu)?;
        if let Some(extra) = net.head.loss(&logits, embedding.as_ref(), &classes, &net.ctx)? {
            loss = (loss + extra)?;
        }
        training.step(&loss, None)?;
        Ok(vec![scalar(&loss)?])
    }))
}

/// The masks of one step from uniform noise, as MAE draws them: the patches of least noise stay visible.
fn masks(images: &Tensor, noise: &[Vec<f32>]) -> Outcome<MaskedBatch> {
    let (batch, patches) = (noise.len(), noise.first().map_or(0, Vec::len));
    let (mut keep, mut mask, mut region) =
        (Vec::new(), vec![0.0f32; batch * patches], vec![0.0f32; batch * patches]);
    for (image, noise) in noise.iter().enumerate() {
        let mut order: Vec<u32> = (0..patches as u32).collect();
        order.sort_by(|&a, &b| noise[a as usize].total_cmp(&noise[b as usize]));
        for (rank, &patch) in order.iter().enumerate() {
            let at = image * patches + patch as usize;
            mask[at] = f32::from(u8::from(rank >= KEPT));
            region[at] = f32::from(u8::from((KEPT..KEPT + REGION).contains(&rank)));
        }
        keep.extend_from_slice(&order[..KEPT]);
    }
    Ok(MaskedBatch {
        images: images.clone(),
        keep: Tensor::from_vec(keep, (batch, KEPT), &Device::Cpu)?,
        mask: Tensor::from_vec(mask, (batch, patches), &Device::Cpu)?,
        region: Tensor::from_vec(region, (batch, patches), &Device::Cpu)?,
        covered: batch * REGION,
    })
}

fn pretraining(
    kind: &str,
    size: &str,
    weights: BTreeMap<String, Tensor>,
    inputs: &BTreeMap<String, Tensor>,
) -> Outcome<Work> {
    let plugins = Plugins::open(&default_dirs(&[]))?;
    let spec = if kind == "3c" {
        ObjectiveSpec::default()
    } else {
        let decoder = DecoderSpec { mask_token: MaskToken::AfterEmbed, ..DecoderSpec::default() };
        ObjectiveSpec { decoder, similarity: None, region_weight: 0.0, ..ObjectiveSpec::default() }
    };
    let store = ParamStore::new(&Device::Cpu, DType::F32, 0);
    store.provide(weights);
    let ctx = RunCtx::new(&Device::Cpu, DType::F32, 0);
    let config = json!({"size": size});
    let encoder = |store: &ParamStore| plugins.backbone("fsvfm", &config, Purpose::Pretrain, store, "", &ctx);
    let online = Online::new(&spec, encoder(&store)?, &store)?;
    whole(&store, |_| true)?;
    let twin = match spec.similarity.clone() {
        Some(s) => {
            let twin = store.detached_copy()?;
            Some((Target::new(&s as &SimilaritySpec, encoder(&twin)?, &twin)?, twin))
        }
        None => None,
    };
    let mut training = Training::new(&store, 0.95)?;
    let images = inputs["images"].clone();
    let noise: Vec<Vec<Vec<f32>>> = inputs["noise"].to_vec3()?; // steps, images, patches
    let mut step = 0;
    Ok(Box::new(move || {
        let batch = masks(&images, &noise[step % noise.len()])?;
        ctx.train(step as u64);
        step += 1;
        let terms = online.loss(&batch, twin.as_ref().map(|(target, _)| target), &ctx)?;
        let value = scalar(&terms.total)?;
        training.step(&terms.total, Some(CLIP))?;
        drop(terms);
        if let Some((_, twin)) = &twin {
            ema_update(twin, &store, MOMENTUM)?;
        }
        Ok(vec![value])
    }))
}

/// Processor seconds this process has used, all threads together.
fn cpu_seconds() -> f64 {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return 0.0 };
    let nanoseconds = |task: std::fs::DirEntry| -> Option<f64> {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse().ok()
    };
    tasks.flatten().filter_map(nanoseconds).sum::<f64>() * 1e-9
}

/// Largest resident memory so far, MiB.
fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

fn main() -> Outcome<()> {
    // as the program's own main does
    // SAFETY: no other thread exists yet.
    unsafe { runtime::single_tensor_thread() };
    runtime::tune_malloc();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [kind, size, folder, threads] = args.as_slice() else {
        return Err("usage: vs_torch KIND SIZE FOLDER THREADS\nhint: start it with harness/engine/benches/vs_torch/run.py".into());
    };
    let start = peak_mib();
    let pool = runtime::thread_pool(threads.parse()?)?;
    pool.install(|| {
        let read = |name: &str| checkpoint::read(&Path::new(folder).join(name)).map(|c| c.tensors);
        let (weights, inputs) = (read("weights.safetensors")?, read("inputs.safetensors")?);
        let mut work = match kind.as_str() {
            "infer" => inference(size, weights, &inputs)?,
            "tune" | "frozen" | "adapter" => tuning(kind, size, weights, &inputs)?,
            "mae" | "3c" => pretraining(kind, size, weights, &inputs)?,
            other => return Err(format!("unknown kind {other}").into()),
        };
        drop(inputs);
        println!("ready");
        for line in std::io::stdin().lock().lines() {
            let repeats: u32 = line?.trim().parse()?;
            let answer = if repeats == 0 {
                json!({"peak_mb": peak_mib(), "start_mb": start})
            } else {
                let (wall, cpu, mut values) = (Instant::now(), cpu_seconds(), Vec::new());
                for _ in 0..repeats {
                    values = work()?;
                }
                let seconds = (wall.elapsed().as_secs_f64(), cpu_seconds() - cpu);
                json!({"wall": seconds.0, "cpu": seconds.1, "values": values})
            };
            println!("{answer}");
            std::io::stdout().flush()?;
            if repeats == 0 {
                break;
            }
        }
        Ok(())
    })
}
