//! How close the engine comes to the machine's large matrix product, in one run.
//!
//! Prints GFLOP/s of candle's own matrix product (`gemm` crate, 2048³) and, as ratios to it, of
//! `linear` and of transformer blocks forward, and forward plus backward plus AdamW. Rounds are
//! interleaved; figures are medians over rounds of the per-round ratio, so a drifting clock cancels.
//! Rates are per CPU second (all threads added up), so a busy machine does not distort them.
//!
//! ```text
//! cargo run --release -p facebench-engine --example gemm_ratio [ROUNDS] [THREADS] [FILTER]
//! ```
use facebench_engine::nn::Block;
use facebench_engine::ops;
use facebench_engine::optim::{AdamConfig, AdamW, Group};
use facebench_engine::{DType, Device, Init, ParamStore, Result, Tensor, backward, runtime};
use std::time::Instant;

/// A piece of work and its floating-point operations (2 per multiply-add, matrix products only).
struct Work {
    name: String,
    flop: f64,
    run: Box<dyn FnMut() -> Result<()> + Send>,
}

fn tensor(shape: &[usize], scale: f32) -> Result<Tensor> {
    let n: usize = shape.iter().product();
    let values: Vec<f32> = (0..n).map(|i| scale * ((i % 8191) as f32 * 0.37).sin()).collect();
    Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
}

/// candle's matrix product, the yardstick.
fn yardstick(n: usize, threads: usize) -> Work {
    let a: Vec<f32> = (0..n * n).map(|i| (i % 251) as f32 * 0.01).collect();
    let (b, mut c) = (a.clone(), vec![0.0f32; n * n]);
    Work {
        name: format!("yardstick: sgemm {n}^3"),
        flop: 2.0 * (n as f64).powi(3),
        run: Box::new(move || {
            let parallelism =
                if threads == 1 { gemm::Parallelism::None } else { gemm::Parallelism::Rayon(threads) };
            // SAFETY: three n x n row-major matrices; c overlaps neither a nor b.
            unsafe {
                gemm::gemm(
                    n,
                    n,
                    n,
                    c.as_mut_ptr(),
                    1,
                    n as isize,
                    false,
                    a.as_ptr(),
                    1,
                    n as isize,
                    b.as_ptr(),
                    1,
                    n as isize,
                    0.0f32,
                    1.0f32,
                    false,
                    false,
                    false,
                    parallelism,
                );
            }
            Ok(())
        }),
    }
}

fn linear(m: usize, n: usize, k: usize) -> Result<Work> {
    let (x, w, b) = (tensor(&[m, k], 1.0)?, tensor(&[n, k], 0.02)?, tensor(&[n], 0.1)?);
    Ok(Work {
        name: format!("linear {m} x {n} x {k}"),
        flop: 2.0 * (m * n * k) as f64,
        run: Box::new(move || ops::linear(&x, &w, Some(&b)).map(drop)),
    })
}

fn block_flop(batch: usize, tokens: usize, width: usize) -> f64 {
    let (b, n, d) = (batch as f64, tokens as f64, width as f64);
    2.0 * b * n * d * (12.0 * d + 2.0 * n)
}

fn blocks(store: &ParamStore, depth: usize, width: usize, heads: usize) -> Result<Vec<Block>> {
    (0..depth)
        .map(|i| {
            Block::new(store, &format!("blocks.{i}"), width, heads, 4 * width, 1e-6, &Init::XavierUniform)
        })
        .collect()
}

fn inference(batch: usize, tokens: usize, width: usize, heads: usize) -> Result<Work> {
    let store = ParamStore::new(&Device::Cpu, DType::F32, 0);
    store.set_frozen(|_| true);
    let depth = 4;
    let blocks = blocks(&store, depth, width, heads)?;
    let x = tensor(&[batch, tokens, width], 1.0)?;
    Ok(Work {
        name: format!("{depth} blocks forward, ({batch}, {tokens}, {width})"),
        flop: depth as f64 * block_flop(batch, tokens, width),
        run: Box::new(move || {
            let mut y = x.clone();
            for block in &blocks {
                y = block.forward(&y, None)?;
            }
            Ok(())
        }),
    })
}

fn training(batch: usize, tokens: usize, width: usize, heads: usize) -> Result<Work> {
    let store = ParamStore::new(&Device::Cpu, DType::F32, 0);
    let depth = 4;
    let blocks = blocks(&store, depth, width, heads)?;
    let group = Group { vars: store.trainable(), lr_scale: 1.0, weight_decay: 0.05 };
    let mut optimiser = AdamW::new(vec![group], AdamConfig::default())?;
    let x = tensor(&[batch, tokens, width], 1.0)?;
    Ok(Work {
        name: format!("{depth} blocks, step with AdamW, ({batch}, {tokens}, {width})"),
        flop: 3.0 * depth as f64 * block_flop(batch, tokens, width),
        run: Box::new(move || {
            let mut y = x.clone();
            for block in &blocks {
                y = block.forward(&y, None)?;
            }
            let loss = y.sqr()?.mean_all()?;
            let grads = backward(&loss)?;
            optimiser.step(&grads, 1e-4)
        }),
    })
}

/// CPU seconds this process has used, all threads together.
fn cpu_seconds() -> f64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes one timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut t) };
    t.tv_sec as f64 + t.tv_nsec as f64 * 1e-9
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() -> Result<()> {
    runtime::tune_malloc();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize| arguments.get(i).and_then(|a| a.parse::<usize>().ok());
    let rounds = number(0).unwrap_or(5);
    let threads = number(1).unwrap_or_else(|| std::thread::available_parallelism().map_or(1, Into::into));
    let filter = arguments.get(2).cloned().unwrap_or_default();
    runtime::set_threads(threads);
    let mut works = vec![
        yardstick(2048, threads),
        linear(2048, 2048, 2048)?,
        linear(1576, 2304, 768)?,
        linear(197, 2304, 768)?,
        linear(1576, 3072, 768)?,
        linear(1576, 768, 3072)?,
        linear(4160, 288, 96)?,
        inference(1, 197, 768, 12)?,
        inference(8, 197, 768, 12)?,
        inference(32, 197, 768, 12)?,
        inference(64, 65, 96, 3)?,
        training(8, 197, 768, 12)?,
        training(16, 50, 768, 12)?,
        training(8, 197, 384, 12)?,
        training(64, 65, 96, 3)?,
    ];
    works.retain(|w| w.name.contains("yardstick") || w.name.contains(filter.as_str()));
    let mut rates = vec![Vec::new(); works.len()];
    for round in 0..=rounds {
        for (work, rates) in works.iter_mut().zip(&mut rates) {
            let (start, cpu) = (Instant::now(), cpu_seconds());
            let mut repeats = 0;
            while repeats == 0 || start.elapsed().as_secs_f64() < 0.3 {
                (work.run)()?;
                repeats += 1;
            }
            if round > 0 {
                rates.push(f64::from(repeats) * work.flop / (cpu_seconds() - cpu) / 1e9);
            }
        }
    }
    println!("{threads} threads, {rounds} rounds");
    println!("{:<52} {:>9} {:>7}", "work", "GF/cpu-s", "ratio");
    let yard = rates[0].clone();
    for (work, rates) in works.iter().zip(&rates) {
        let mut ratios: Vec<f64> = rates.iter().zip(&yard).map(|(r, y)| r / y).collect();
        println!("{:<52} {:>9.1} {:>7.2}", work.name, median(&mut rates.clone()), median(&mut ratios));
    }
    Ok(())
}
