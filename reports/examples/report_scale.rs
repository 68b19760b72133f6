//! How long a report over many large runs takes, and how much memory: makes the runs, reports, deletes them.
//!
//! ```sh
//! cargo run --release -p facebench-reports --example report_scale             # 20 runs of 500,000 scores
//! cargo run --release -p facebench-reports --example report_scale -- 500      # 8 GB in the temporary folder
//! cargo run --release -p facebench-reports --example report_scale -- 100 full # all columns, 17 digits, as runs write
//! ```
//!
//! Each run scores the five test sets of `dfd-cross`: 3,125 videos of 32 frames each, 500,000 rows. The short form has
//! the columns a score file must have. The report is made with everything in it by a process of its own, whose
//! peak of memory is what the system says.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

use facebench_protocols::{
    DataStamp, Evaluation, Measures, Params, Protocol, ProtocolStamp, RunRecord, Selection, Stream, Timings,
    metrics,
};
use facebench_reports::{Output, report};
use rayon::prelude::*;

const VIDEOS: usize = 3125;
const FRAMES: usize = 32;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["--report", runs, out] => measured(Path::new(runs), Path::new(out)),
        [] => bench(20, false),
        [runs] => runs.parse().map_err(Failure::from).and_then(|n| bench(n, false)),
        [runs, "full"] => runs.parse().map_err(Failure::from).and_then(|n| bench(n, true)),
        _ => Err("expected: [RUNS [full]]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::from(2)
        }
    }
}

/// Makes the runs and has the report made.
fn bench(count: usize, full: bool) -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let runs = dir.path().join("runs");
    let protocol = Protocol::builtin("dfd-cross").ok_or("dfd-cross ships")??;
    let began = Instant::now();
    let sizes: Vec<u64> = (0..count)
        .into_par_iter()
        .map(|i| write_run(&runs, &protocol, i, full))
        .collect::<Result<_, Failure>>()?;
    eprintln!(
        "made {count} runs, {} MB, in {:.0} s",
        sizes.iter().sum::<u64>() >> 20,
        began.elapsed().as_secs_f64()
    );
    let status = Command::new(std::env::current_exe()?)
        .args(["--report".as_ref(), runs.as_os_str(), dir.path().join("out").as_os_str()])
        .status()?;
    if status.success() { Ok(()) } else { Err("the report failed".into()) }
}

/// Makes the report and prints what it took.
fn measured(runs: &Path, out: &Path) -> Result<(), Failure> {
    let began = Instant::now();
    let files = report(runs, out, &Output::all())?;
    let seconds = began.elapsed().as_secs_f64();
    let page = std::fs::metadata(out.join("report.html"))?.len();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).map_or("unknown", str::trim);
    println!(
        "{seconds:.1} s, processor {:.1} s, peak {peak}, {} files, page {:.1} MB",
        processor_time(),
        files.len(),
        page as f64 / 1e6
    );
    Ok(())
}

/// Seconds of processor time so far, all threads, at the 100 ticks a second that Linux counts in.
fn processor_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    fields.iter().skip(11).take(2).filter_map(|t| t.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn write_run(root: &Path, protocol: &Protocol, number: usize, full: bool) -> Result<u64, Failure> {
    let fold = &protocol.folds[0];
    let unit = format!("{number:064x}");
    let mut text = String::from("set,dataset,method,video,frame,label,score");
    text.push_str(if full { ",raw,subjects\n" } else { "\n" });
    let mut sets = Vec::new();
    for test in &fold.tests {
        let mut own = Stream::new("scale-own", number as u64, &[&test.name]);
        let mut common = Stream::new("scale-videos", 0, &[&test.name]);
        let (mut frames, mut videos, mut labels) = (Vec::new(), Vec::new(), Vec::new());
        for video in 0..VIDEOS {
            let label = (video % 2) as u8;
            let shift = (0.5 + number as f64 / 2000.0) * if label == 1 { 1.0 } else { -1.0 };
            let base = shift + common.normal() + 0.3 * own.normal();
            let mut sum = 0.0;
            for frame in 0..FRAMES {
                let raw = base + 0.4 * (own.uniform() - 0.5);
                let score = 1.0 / (1.0 + (-raw).exp());
                let score = if full { score } else { (score * 1e6).round() / 1e6 };
                let method = if label == 1 { "fake" } else { "real" };
                write!(text, "{0},{0},{method},v{video:04},{frame},{label},{score}", test.name)?;
                text.push_str(&if full { format!(",{raw},s{video:04}\n") } else { "\n".to_owned() });
                frames.push(score);
                labels.push(label);
                sum += score;
            }
            videos.push(sum / FRAMES as f64);
        }
        let video_labels: Vec<u8> = (0..VIDEOS).map(|v| (v % 2) as u8).collect();
        let count = |labels: &[u8], wanted: u8| labels.iter().filter(|l| **l == wanted).count();
        sets.push(Measures {
            set: test.name.clone(),
            in_domain: test.in_domain,
            frames: [count(&labels, 0), count(&labels, 1)],
            videos: [count(&video_labels, 0), count(&video_labels, 1)],
            frame_auc: metrics::auc(&frames, &labels)?,
            video_auc: metrics::auc(&videos, &video_labels)?,
            ..Measures::default()
        });
    }
    let data = |name: &String| DataStamp {
        dataset: name.clone(),
        samples: VIDEOS * FRAMES,
        videos: VIDEOS,
        sha256: name.clone(),
        synthetic: true,
    };
    let record = RunRecord {
        facebench: env!("CARGO_PKG_VERSION").into(),
        kind: "score".into(),
        name: format!("model {number}"),
        plan: serde_json::json!({"spec": {"recipe": {"epochs": 4}}}),
        synthetic: true,
        model: format!("model {number}"),
        pretraining: "none".into(),
        head: "linear".into(),
        protocol: Some(ProtocolStamp {
            id: protocol.id.clone(),
            version: protocol.version,
            fingerprint: protocol.fingerprint(),
            fold: fold.name.clone(),
        }),
        selection: Some(Selection::MinValLoss),
        params: Params { total: 1_000_000 + number as u64, trained: 386 },
        data: fold.tests.iter().map(|t| data(&t.name)).collect(),
        timings: Timings { wall_s: 12.5, images: 500_000, images_per_s: 40_000.0, ..Timings::default() },
        evaluation: Some(Evaluation { sets, ..Evaluation::default() }),
        unit,
        ..RunRecord::default()
    };
    let folder = root.join(format!("score-{number:04}"));
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("scores.csv"), &text)?;
    std::fs::write(folder.join("run.json"), serde_json::to_string(&record)?)?;
    Ok(text.len() as u64)
}
