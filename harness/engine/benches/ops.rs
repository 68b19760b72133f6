//! Speed of the operations, each relative to a large sgemm of the `gemm` crate in the same run.
//!
//! ```text
//! cargo bench -p facebench-engine                    every operation, 5 rounds
//! cargo bench -p facebench-engine -- attention 3     those whose name contains `attention`, 3 rounds
//! ```
//! Operations take turns; a figure is the median over rounds. Matrix work is given as GFLOP per processor-second and as the
//! ratio to the yardstick of its round, everything else as ns per element. `FACEBENCH_ISA=portable|avx2` limits ours.
//! The last line compares a step with a frozen body with its forward pass: they should cost about the same.

use std::time::Instant;

use facebench_engine::nn::Block;
use facebench_engine::optim::{AdamConfig, AdamW, Group};
use facebench_engine::{DType, Device, Init, ParamStore, Result, Tensor, Var, backward, ops, runtime};

struct Work {
    name: &'static str,
    /// Floating-point operations, 0 for work that is bound by memory.
    flop: f64,
    elements: f64,
    run: Box<dyn FnMut() -> Result<()>>,
}

fn tensor(shape: &[usize]) -> Result<Tensor> {
    let n: usize = shape.iter().product();
    Ok(Tensor::from_vec(
        (0..n).map(|i| ((i % 8191) as f32 * 0.37).sin()).collect::<Vec<_>>(),
        shape,
        &Device::Cpu,
    )?)
}

fn var(shape: &[usize]) -> Result<Var> {
    Ok(Var::from_tensor(&tensor(shape)?)?)
}

/// Forward on constants and forward with backward on variables.
fn pair(
    names: [&'static str; 2],
    flop: f64,
    inputs: Vec<Tensor>,
    op: impl Fn(&[Tensor]) -> Result<Tensor> + Clone + 'static,
) -> Result<[Work; 2]> {
    let elements = inputs[0].elem_count() as f64;
    let vars: Vec<Tensor> =
        inputs.iter().map(|t| Ok(Var::from_tensor(t)?.into_inner())).collect::<Result<_>>()?;
    let forward = op.clone();
    Ok([
        Work { name: names[0], flop, elements, run: Box::new(move || forward(&inputs).map(drop)) },
        Work {
            name: names[1],
            flop: 3.0 * flop,
            elements,
            run: Box::new(move || backward(&op(&vars)?.sum_all()?).map(drop)),
        },
    ])
}

/// candle's matrix product, the yardstick.
fn yardstick(n: usize) -> Work {
    let a: Vec<f32> = (0..n * n).map(|i| (i % 251) as f32 * 0.01).collect();
    let (b, mut c) = (a.clone(), vec![0.0f32; n * n]);
    let step = n as isize;
    let run = move || {
        let threads = gemm::Parallelism::Rayon(rayon_threads());
        // SAFETY: three n x n row-major matrices; c overlaps neither a nor b.
        unsafe {
            gemm::gemm(
                n,
                n,
                n,
                c.as_mut_ptr(),
                1,
                step,
                false,
                a.as_ptr(),
                1,
                step,
                b.as_ptr(),
                1,
                step,
                0.0f32,
                1.0f32,
                false,
                false,
                false,
                threads,
            );
        }
        Ok(())
    };
    let flop = 2.0 * (n as f64).powi(3);
    Work { name: "yardstick: sgemm 2048", flop, elements: 0.0, run: Box::new(run) }
}

fn rayon_threads() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

fn body(store: &ParamStore, depth: usize) -> Result<Vec<Block>> {
    let block = |i| Block::new(store, &format!("blocks.{i}"), 768, 12, 3072, 1e-6, &Init::XavierUniform);
    (0..depth).map(block).collect()
}

fn through(blocks: &[Block], x: &Tensor) -> Result<Tensor> {
    blocks.iter().try_fold(x.clone(), |x, block| block.forward(&x, None))
}

const DEPTH: usize = 2;

/// A frozen body with a trained linear map on top: the step and its forward pass alone.
fn frozen() -> Result<[Work; 2]> {
    let store = ParamStore::new(&Device::Cpu, DType::F32, 0);
    store.set_frozen(|name| name.starts_with("blocks."));
    let blocks = body(&store, DEPTH)?;
    let head = store.get("head.weight", (2, 768), &Init::FanIn)?;
    let group = Group { vars: store.trainable(), lr_scale: 1.0, weight_decay: 0.05 };
    let mut optimiser = AdamW::new(vec![group], AdamConfig::default())?;
    let x = tensor(&[8, 197, 768])?;
    let flop = DEPTH as f64 * 2.0 * (8 * 197 * 768) as f64 * (12 * 768 + 2 * 197) as f64;
    let (same, input) = (blocks.clone(), x.clone());
    Ok([
        Work {
            name: "frozen body: forward",
            flop,
            elements: 0.0,
            run: Box::new(move || through(&same, &input).map(drop)),
        },
        Work {
            name: "frozen body: step of the head",
            flop,
            elements: 0.0,
            run: Box::new(move || {
                let y = ops::linear(&through(&blocks, &x)?.mean(1)?, &head, None)?;
                optimiser.step(&backward(&y.sqr()?.mean_all()?)?, 1e-4)
            }),
        },
    ])
}

fn works() -> Result<Vec<Work>> {
    let (rows, d, m) = (1576, 768, 3072);
    let mut all = vec![yardstick(2048)];
    let linear = |x: &[Tensor]| ops::linear(&x[0], &x[1], Some(&x[2]));
    let gelu = |x: &[Tensor]| ops::linear_gelu(&x[0], &x[1], Some(&x[2]));
    let flop = 2.0 * (rows * d * m) as f64;
    let operands =
        || Ok::<_, facebench_engine::Error>(vec![tensor(&[rows, d])?, tensor(&[m, d])?, tensor(&[m])?]);
    all.extend(pair(["linear", "linear, with backward"], flop, operands()?, linear)?);
    all.extend(pair(["linear + gelu", "linear + gelu, with backward"], flop, operands()?, gelu)?);
    let flop = 4.0 * (8 * 197 * 197 * d) as f64;
    all.extend(pair(
        ["attention", "attention, with backward"],
        flop,
        vec![tensor(&[8, 197, 3 * d])?],
        |x| ops::attention_qkv(&x[0], 12),
    )?);
    let norm = |x: &[Tensor]| ops::layer_norm(&x[0], &x[1], &x[2], 1e-6);
    let operands = vec![tensor(&[rows, d])?, tensor(&[d])?, tensor(&[d])?];
    all.extend(pair(["layer norm", "layer norm, with backward"], 0.0, operands, norm)?);
    let rows_of = |n| tensor(&[n, 197]);
    all.extend(pair(["softmax", "softmax, with backward"], 0.0, vec![rows_of(8 * 12 * 197)?], |x| {
        ops::softmax(&x[0], 1)
    })?);
    all.extend(pair(["gelu", "gelu, with backward"], 0.0, vec![tensor(&[rows, m])?], |x| ops::gelu(&x[0]))?);
    let adam = var(&[m, 4 * d])?;
    let grads = backward(&adam.sum_all()?)?;
    let group = Group { vars: vec![("w".into(), adam.clone())], lr_scale: 1.0, weight_decay: 0.05 };
    let mut optimiser = AdamW::new(vec![group], AdamConfig::default())?;
    all.push(Work {
        name: "AdamW",
        flop: 0.0,
        elements: adam.elem_count() as f64,
        run: Box::new(move || optimiser.step(&grads, 1e-4)),
    });
    let images = tensor(&[8, 3, 224, 224])?;
    all.push(Work {
        name: "patchify",
        flop: 0.0,
        elements: images.elem_count() as f64,
        run: Box::new(move || ops::patchify(&images, 16).map(drop)),
    });
    all.extend(frozen()?);
    Ok(all)
}

/// Processor seconds this process has used, all threads together.
fn cpu_seconds() -> f64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes one timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut t) };
    t.tv_sec as f64 + t.tv_nsec as f64 * 1e-9
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() -> Result<()> {
    // SAFETY: no other thread exists yet.
    unsafe { runtime::single_tensor_thread() };
    runtime::tune_malloc();
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let rounds = args.iter().find_map(|a| a.parse::<usize>().ok()).unwrap_or(5).max(1);
    let filter = args.iter().find(|a| a.parse::<usize>().is_err()).cloned().unwrap_or_default();
    let mut works = works()?;
    works.retain(|w| w.name.starts_with("yardstick") || w.name.contains(&filter));
    let mut seconds = vec![Vec::new(); works.len()];
    for round in 0..=rounds {
        for (work, seconds) in works.iter_mut().zip(&mut seconds) {
            let (start, cpu, mut repeats) = (Instant::now(), cpu_seconds(), 0);
            while repeats == 0 || start.elapsed().as_secs_f64() < 0.1 {
                (work.run)()?;
                repeats += 1;
            }
            if round > 0 {
                seconds.push((cpu_seconds() - cpu) / f64::from(repeats));
            }
        }
    }
    let rate = |i: usize, round: usize| works[i].flop / seconds[i][round] / 1e9;
    println!("{:<34} {:>10} {:>7} {:>9}", "operation", "GF/cpu-s", "ratio", "ns/elem");
    for (i, work) in works.iter().enumerate() {
        let of = |f: &dyn Fn(usize) -> f64| median((0..rounds).map(f).collect());
        if work.flop > 0.0 {
            let (speed, ratio) = (of(&|r| rate(i, r)), of(&|r| rate(i, r) / rate(0, r)));
            println!("{:<34} {speed:>10.1} {ratio:>7.2} {:>9}", work.name, "");
        } else {
            let ns = of(&|r| seconds[i][r] / work.elements * 1e9);
            println!("{:<34} {:>10} {:>7} {ns:>9.3}", work.name, "", "");
        }
    }
    let at = |name: &str| works.iter().position(|w| w.name == name);
    if let (Some(forward), Some(step)) = (at("frozen body: forward"), at("frozen body: step of the head")) {
        let ratio = median((0..rounds).map(|r| seconds[step][r] / seconds[forward][r]).collect());
        println!("\na step with a frozen body costs {ratio:.2} x its forward pass");
    }
    Ok(())
}
