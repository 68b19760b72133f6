//! Decode, resize to 224 × 224 (bicubic), normalise: our side of `run.py`.
//!
//! `vs_pillow FOLDER THREADS PIXELS` reads the JPEGs of a folder into memory and writes the resized bytes of all to the
//! file PIXELS; then each line on stdin is answered by the seconds one pass over all pictures takes, by the clock and of
//! processor time.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use facebench_data::image::{Filter, decode_bytes, resize};
use facebench_data::transform::Normalise;
use rayon::prelude::*;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, folder, threads, pixels] = &args[..] else { panic!("usage: vs_pillow FOLDER THREADS PIXELS") };
    let mut names: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    names.retain(|n| n.extension().is_some_and(|e| e == "jpg"));
    names.sort();
    let files: Vec<Vec<u8>> = names.iter().map(|n| std::fs::read(n).unwrap()).collect();
    let small = |bytes: &Vec<u8>| {
        resize(&decode_bytes(bytes, Path::new("memory")).unwrap(), 224, 224, Filter::Bicubic)
    };
    std::fs::write(pixels, files.iter().flat_map(|f| small(f).pixels).collect::<Vec<u8>>()).unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.parse().unwrap()).build().unwrap();
    let normalise = Normalise::IMAGENET;
    for _ in std::io::stdin().lock().lines() {
        let (start, processor) = (Instant::now(), processor_time());
        let sum: f32 =
            pool.install(|| files.par_iter().with_max_len(1).map(|f| normalise.apply(&small(f))[7]).sum());
        println!("{} {} {sum}", start.elapsed().as_secs_f64(), processor_time() - processor);
        std::io::stdout().flush().unwrap();
    }
}

/// Seconds of processor time this process has used, all threads together.
fn processor_time() -> f64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes one `timespec`.
    let said = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut now) };
    assert_eq!(said, 0, "the clock of this process");
    now.tv_sec as f64 + 1e-9 * now.tv_nsec as f64
}
