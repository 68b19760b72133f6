//! How fast a data set is indexed: makes 200,000 files in a temporary folder, indexes them twice, prints files per second
//! and the memory that came on top.
//!
//! `cargo run --release -p facebench-data --example index_speed [FILES]`. Files are 64 bytes; names are those of FF++, 32
//! frames a video, once as folders of frames (official layout) and once flat (prepared by FSFM). The first pass warms
//! the cache of the file system, the second counts. Nothing is hashed. Memory is VmHWM of /proc, so Linux only.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::time::Instant;

use facebench_data::manifest::index;
use facebench_data::readers::Source;

fn main() {
    let files: usize = std::env::args().nth(1).map_or(200_000, |n| n.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    for (name, make) in [("folders of frames", folders as fn(&Path, usize)), ("flat", flat)] {
        let root = folder.path().join(name);
        make(&root, files);
        let source = Source::find(&root, "ffpp-c23", None, None).unwrap();
        let first = Instant::now();
        index(&source, &mut std::io::sink(), None, false).unwrap();
        let first = first.elapsed().as_secs_f64();
        let before = peak_kb();
        let start = Instant::now();
        let indexed = index(&source, &mut std::io::sink(), None, false).unwrap();
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "{name}: {} files of {} videos, {:.0} files/s ({seconds:.2} s; first pass {first:.2} s); \
             peak memory {:.1} MB, of which second pass {:.1} MB",
            indexed.samples,
            indexed.videos,
            indexed.samples as f64 / seconds,
            peak_kb() / 1e3,
            (peak_kb() - before) / 1e3,
        );
    }
}

/// Videos of 32 frames: one real for four fakes, names and split files as FF++ has them.
fn each(files: usize, mut see: impl FnMut(&str, &str, usize)) {
    for i in 0..files.div_ceil(32 * 5) {
        let (a, b) = (format!("{:04}", 2 * i), format!("{:04}", 2 * i + 1));
        see("youtube", &a, i);
        for method in ["Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures"] {
            see(method, &format!("{a}_{b}"), i);
        }
    }
}

fn folders(root: &Path, files: usize) {
    let mut pairs = Vec::new();
    each(files, |method, video, i| {
        let part = match method {
            "youtube" => "original_sequences/youtube".to_owned(),
            other => format!("manipulated_sequences/{other}"),
        };
        let folder: PathBuf = root.join(part).join("c23/frames").join(video);
        std::fs::create_dir_all(&folder).unwrap();
        (0..32).for_each(|n| write(&folder.join(format!("{:03}.png", n * 9))));
        if method == "youtube" {
            pairs.push(format!("[\"{:04}\", \"{:04}\"]", 2 * i, 2 * i + 1));
        }
    });
    let splits = root.join("splits");
    std::fs::create_dir_all(&splits).unwrap();
    std::fs::write(splits.join("train.json"), format!("[{}]", pairs.join(", "))).unwrap();
    std::fs::write(splits.join("val.json"), "[]").unwrap();
    std::fs::write(splits.join("test.json"), "[]").unwrap();
}

fn flat(root: &Path, files: usize) {
    for class in ["real_youtube", "fake_four"] {
        std::fs::create_dir_all(root.join("train").join(class)).unwrap();
    }
    each(files, |method, video, _| {
        let class = if method == "youtube" { "real_youtube" } else { "fake_four" };
        let folder = root.join("train").join(class);
        (0..32).for_each(|n| write(&folder.join(format!("{method}_{video}_frame_{}.png", n * 9))));
    });
}

fn write(path: &Path) {
    std::fs::write(path, [0u8; 64]).unwrap();
}

/// Largest resident memory so far.
fn peak_kb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(f64::NAN)
}
