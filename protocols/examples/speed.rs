//! How long the two heavy computations take: AUC of 10 million scores, and an interval of 500,000 frames.
//!
//! `cargo run --release -p facebench-protocols --example speed`

use std::time::Instant;

use facebench_protocols::metrics::{Roc, auc};
use facebench_protocols::rng::Stream;
use facebench_protocols::stats::{Observations, Plan, auc_interval};

fn scores(n: usize, per_video: usize) -> (Vec<f64>, Vec<u8>, Vec<u32>) {
    let mut stream = Stream::new("speed", 0, &[]);
    let labels: Vec<u8> = (0..n).map(|i| u8::from(i / per_video % 2 == 1)).collect();
    let scores = labels.iter().map(|&l| stream.uniform() * 0.8 + 0.2 * f64::from(l)).collect();
    (scores, labels, (0..n).map(|i| (i / per_video) as u32).collect())
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let out = work();
    println!("{what}: {:.2} s", start.elapsed().as_secs_f64());
    out
}

fn main() -> Result<(), facebench_protocols::MetricError> {
    println!("{} threads", rayon::current_num_threads());
    let (s, l, _) = scores(10_000_000, 1);
    let value = timed("AUC, 10,000,000 scores", || auc(&s, &l))?;
    let roc = timed("full ROC, 10,000,000 scores", || Roc::new(&s, &l))?;
    assert_eq!(value, roc.auc(), "two ways to one number");
    let single: Vec<f64> = s.iter().map(|&x| f64::from(x as f32)).collect();
    timed("AUC, 10,000,000 single-precision scores", || auc(&single, &l))?;
    let (s, l, clusters) = scores(500_000, 32);
    let data = Observations { scores: &s, labels: &l, clusters: &clusters };
    let plan = Plan::new(&data, 2000, 0)?;
    let ci = timed("95 % interval, 500,000 frames of 15,625 videos, 2,000 resamples", || {
        auc_interval(&data, &plan)
    })?;
    println!("frame AUC {:.4}, interval {ci:?}", auc(&s, &l)?);
    Ok(())
}
