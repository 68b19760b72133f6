//! What the plugin boundary costs: the same vision transformer through the `fsvfm` plugin and written on the engine, on
//! the same parameters, in alternating runs.
//!
//! ```text
//! cargo build --release && cargo run --release -p facebench-host --example overhead -- small 2 11
//! ```
//! Arguments: size (micro, small, base), batch, number of pairs. Prints medians and the medians of the pairwise ratios, of
//! wall and of processor time, for evaluation and for training (forward and backward). Alternating runs see the same load,
//! so ratios are steadier than times.

use std::time::Instant;

use facebench_engine::{
    DType, Device, ParamStore, Tensor, backward,
    nn::{Pool, Vit, VitConfig},
    runtime,
};
use facebench_host::{Backbone, FeatureSpec, Head, Plugins, Purpose, RunCtx, default_dirs};
use serde_json::json;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

struct Pair {
    backbone: Backbone,
    head: Head,
    direct: Vit,
    ctx: RunCtx,
    images: Tensor,
}

impl Pair {
    fn through_plugin(&self) -> Outcome<Tensor> {
        let tokens = self.backbone.encode(&self.backbone.embed(&self.images, None, &self.ctx)?, &self.ctx)?;
        Ok(self.head.forward(&self.backbone.pool(&tokens)?, &tokens, &self.ctx)?.0)
    }

    fn directly(&self) -> Outcome<Tensor> {
        Ok(self.direct.forward(&self.images)?)
    }
}

fn pair(size: &str, batch: usize, frozen: bool) -> Outcome<Pair> {
    let plugins = Plugins::open(&default_dirs(&[]))?;
    let store = ParamStore::new(&Device::Cpu, DType::F32, 1);
    store.set_frozen(move |_| frozen);
    let ctx = RunCtx::new(&Device::Cpu, DType::F32, 1);
    let backbone =
        plugins.backbone("fsvfm", &json!({"size": size}), Purpose::Downstream, &store, "", &ctx)?;
    let info = &backbone.info;
    let features = FeatureSpec { width: info.width, tokens: 1 + info.patches(), classes: 2, samples: 0 };
    let head = plugins.head("linear", &json!({}), &features, &store, "", &ctx)?;
    let config = VitConfig {
        image: info.image,
        patch: info.patch,
        width: info.width,
        depth: info.depth,
        heads: info.heads,
        classes: 2,
        pool: Pool::Mean,
    };
    let direct = Vit::new(&store, "", &config)?;
    let side = info.image;
    let pixels: Vec<f32> = (0..batch * 3 * side * side).map(|i| (12.9898 * i as f64).sin() as f32).collect();
    let images = Tensor::from_vec(pixels, (batch, 3, side, side), &Device::Cpu)?;
    Ok(Pair { backbone, head, direct, ctx, images })
}

/// Wall and processor seconds of one run.
fn time(train: bool, run: impl Fn() -> Outcome<Tensor>) -> Outcome<[f64; 2]> {
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let out = run()?;
    if train {
        backward(&out.sqr()?.sum_all()?)?;
    }
    Ok([start.elapsed().as_secs_f64(), cpu_seconds() - cpu])
}

/// Processor time of all threads of this process, from the scheduler's statistics; 0 where there are none.
fn cpu_seconds() -> f64 {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return 0.0 };
    let nanoseconds = |task: std::fs::DirEntry| -> Option<f64> {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse().ok()
    };
    tasks.flatten().filter_map(nanoseconds).sum::<f64>() * 1e-9
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() -> Outcome<()> {
    runtime::tune_malloc();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let size = args.first().map_or("small", String::as_str);
    let number = |i: usize, default: usize| args.get(i).map_or(Ok(default), |a| a.parse());
    let (batch, runs) = (number(1, 2)?, number(2, 11)?.max(1));
    for train in [false, true] {
        let pair = pair(size, batch, !train)?;
        let (plugin, direct) = (|| pair.through_plugin(), || pair.directly());
        time(train, plugin)?;
        time(train, direct)?;
        let (mut a, mut b, mut ratios, mut cpu_ratios) = (vec![], vec![], vec![], vec![]);
        for i in 0..runs {
            // who goes first alternates too
            let (p, d) = if i % 2 == 0 {
                let p = time(train, plugin)?;
                (p, time(train, direct)?)
            } else {
                let d = time(train, direct)?;
                (time(train, plugin)?, d)
            };
            a.push(p[0]);
            b.push(d[0]);
            ratios.push(p[0] / d[0]);
            cpu_ratios.push(p[1] / d[1]);
        }
        println!(
            "{size} batch {batch} {}: plugin {:.1} ms, direct {:.1} ms, ratio {:.4}, of processor time {:.4} ({runs} pairs)",
            if train { "forward and backward" } else { "forward" },
            1e3 * median(&mut a),
            1e3 * median(&mut b),
            median(&mut ratios),
            median(&mut cpu_ratios),
        );
    }
    Ok(())
}
