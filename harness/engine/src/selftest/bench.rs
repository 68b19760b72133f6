//! Step times of a ViT-B-sized stack of blocks: the first figures to take on a new device.
use crate::error::Result;
use crate::nn::Block;
use crate::optim::{AdamConfig, AdamW, Group};
use crate::params::{Init, ParamStore};
use crate::{cuda, rng::Rng};
use candle_core::{DType, Device, Tensor};
use std::time::Instant;

/// One measured step.
#[derive(Clone, Debug)]
pub struct Timing {
    /// What was run, with its precision.
    pub name: &'static str,
    /// Images per step.
    pub batch: usize,
    /// Median time of a step, milliseconds.
    pub milliseconds: f64,
    /// Floating-point operations of the matrix products per second, in units of 10¹².
    pub teraflops: f64,
}

/// Sizes of the stack: ViT-B/16 on 224 pixels.
const DEPTH: usize = 12;
const WIDTH: usize = 768;
const HEADS: usize = 12;
const TOKENS: usize = 197;

/// Matrix-product operations of one forward pass per image: projections 24·N·D², attention 4·N²·D, per block.
const FLOPS: f64 = (DEPTH * (24 * TOKENS * WIDTH * WIDTH + 4 * TOKENS * TOKENS * WIDTH)) as f64;

/// Inference and training steps (forward, backward, AdamW) of 12 blocks. On the CPU in f32 with few images; on a GPU
/// also with TF32 products and with bf16 activations over f32 parameters. `report` is called after each measurement.
pub fn bench(device: &Device, mut report: impl FnMut(&Timing)) -> Result<Vec<Timing>> {
    let gpu = device.is_cuda();
    let (batch, rounds) = if gpu { (64, 20) } else { (4, 3) };
    let mut all = Vec::new();
    let mut measure = |name, train: bool, dtype| -> Result<()> {
        let milliseconds = time(device, dtype, batch, rounds, train)?;
        let flops = FLOPS * batch as f64 * if train { 3.0 } else { 1.0 };
        let timing = Timing { name, batch, milliseconds, teraflops: flops / milliseconds / 1e9 };
        report(&timing);
        all.push(timing);
        Ok(())
    };
    measure("inference, f32", false, DType::F32)?;
    measure("training step, f32", true, DType::F32)?;
    if gpu {
        cuda::set_tf32(true)?;
        measure("inference, f32 with TF32 products", false, DType::F32)?;
        measure("training step, f32 with TF32 products", true, DType::F32)?;
        cuda::set_tf32(false)?;
        measure("inference, bf16 over f32 parameters", false, DType::BF16)?;
        measure("training step, bf16 over f32 parameters", true, DType::BF16)?;
    }
    Ok(all)
}

/// Median of `rounds` steps after two that do not count.
fn time(device: &Device, dtype: DType, batch: usize, rounds: usize, train: bool) -> Result<f64> {
    let store = ParamStore::new(device, DType::F32, 0);
    if !train {
        store.set_frozen(|_| true);
    }
    let init = Init::TruncNormal { std: 0.02 };
    let blocks: Vec<Block> = (0..DEPTH)
        .map(|i| Block::new(&store, &format!("blocks.{i}"), WIDTH, HEADS, 4 * WIDTH, 1e-6, &init))
        .collect::<Result<_>>()?;
    let mut rng = Rng::new("selftest-bench", 0, &[]);
    let values: Vec<f32> = (0..batch * TOKENS * WIDTH).map(|_| rng.normal() as f32).collect();
    let x = Tensor::from_vec(values, (batch, TOKENS, WIDTH), device)?.to_dtype(dtype)?;
    let group = Group { vars: store.trainable(), lr_scale: 1.0, weight_decay: 0.05 };
    let mut optimiser = AdamW::new(vec![group], AdamConfig::default())?;
    let mut times = Vec::new();
    for round in 0..rounds + 2 {
        let start = Instant::now();
        let mut y = x.clone();
        for block in &blocks {
            y = block.forward(&y, None)?;
        }
        let loss = y.to_dtype(DType::F32)?.sqr()?.mean_all()?;
        if train {
            let grads = crate::backward(&loss)?;
            optimiser.step(&grads, 1e-4)?;
        }
        device.synchronize()?;
        if round >= 2 {
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
