//! Interruptions, threads and company change no number.

use std::time::Duration;

use facebench_tests::Bench;

use crate::fixture::{TINY, UNITS, all, bench, contents, finished, tables};

/// `tiny.yaml` with a pre-training that takes long enough to be interrupted in the middle.
fn long() -> Bench {
    let b = Bench::new();
    b.file(
        "long.yaml",
        TINY.replace("epochs: 2, warmup_epochs: 0, batch: 4", "epochs: 150, warmup_epochs: 0, batch: 4"),
    );
    b
}

/// The report of `long.yaml` made in one go.
fn straight() -> &'static [(String, Vec<u8>)] {
    static TABLES: std::sync::OnceLock<Vec<(String, Vec<u8>)>> = std::sync::OnceLock::new();
    TABLES.get_or_init(|| {
        let b = long();
        b.run(&["run", "long.yaml", "--out", "report"]).ok();
        tables(&b.path("report"))
    })
}

/// Time stamps of all finished units.
/// Kept beside the units, and shared by them: features of frozen backbones, fingerprints of pictures.
const CACHES: [&str; 2] = [".features", ".prints"];

fn stamps(b: &Bench) -> Vec<(std::path::PathBuf, std::time::SystemTime)> {
    let time = |p: &std::path::Path| std::fs::metadata(p).expect("file").modified().expect("time");
    let units = ["data-", "pretrain-", "tune-", "score-"].iter().flat_map(|k| all(&b.path("runs"), k));
    units.map(|p| (p.clone(), time(&p))).collect()
}

#[test]
fn killed_in_the_middle_it_goes_on_without_redoing_finished_units() {
    let b = long();
    let mut run = b.start(&["run", "long.yaml"], "log");
    run.wait_until("the first tuning", || !all_or_none(&b, "tune-").is_empty());
    run.signal(libc::SIGKILL);
    let (code, _) = run.end();
    assert_eq!(code, None, "killed");
    let before = stamps(&b);
    assert!(!before.is_empty() && before.len() < UNITS);
    let again = b.run(&["run", "long.yaml", "--out", "report"]).ok();
    let told = again.stderr();
    assert!(told.contains(&format!("{} of {UNITS} units are finished", before.len())), "{told}");
    let after = stamps(&b);
    assert!(before.iter().all(|unit| after.contains(unit)), "finished units are untouched");
    assert_eq!(tables(&b.path("report")), straight());
    let left = b.names("runs");
    assert!(
        left.iter().all(|n| !n.starts_with('.') || CACHES.contains(&n.as_str())),
        "nothing is left over: {left:?}"
    );
}

fn all_or_none(b: &Bench, prefix: &str) -> Vec<std::path::PathBuf> {
    if b.path("runs").exists() { all(&b.path("runs"), prefix) } else { Vec::new() }
}

#[test]
fn each_signal_checkpoints_and_the_same_command_goes_on() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGUSR1] {
        let b = long();
        let mut run = b.start(&["run", "long.yaml"], "log");
        run.wait_until("pre-training", || b.read("log").contains("pretrain fs"));
        std::thread::sleep(Duration::from_millis(200));
        run.signal(signal);
        let (code, log) = run.end();
        assert_eq!(code, Some(75), "{log}");
        assert!(log.contains("the same command goes on from here"), "{log}");
        assert_eq!(all(&b.path("runs"), ".state-").len(), 1, "{log}");
        assert!(all(&b.path("runs"), "pretrain-").is_empty() && all(&b.path("runs"), ".tmp-").is_empty());
        b.run(&["plan", "long.yaml"]).ok().stdout_has("  interrupted\n");
        b.run(&["run", "long.yaml", "--out", "report"]).ok();
        assert_eq!(tables(&b.path("report")), straight(), "as if nothing had happened");
        assert!(all(&b.path("runs"), ".state-").is_empty());
    }
}

#[test]
fn a_second_interrupt_quits_at_once() {
    let b = long();
    let mut run = b.start(&["run", "long.yaml", "-s", "data.synth.scale=demo"], "log");
    run.wait_until("the faces", || b.read("log").contains("synthetic faces"));
    run.signal(libc::SIGINT);
    run.signal(libc::SIGINT);
    let (code, log) = run.end();
    // the first may have been enough if it was answered between the two
    assert!(matches!(code, Some(130 | 75)), "{code:?}: {log}");
    assert!(all(&b.path("runs"), "data-").is_empty());
}

#[test]
fn threads_jobs_and_company_change_no_byte() {
    let reference = tables(&finished().join("report"));
    let scores = |runs: &std::path::Path| -> Vec<(String, Vec<u8>)> {
        contents(runs).into_iter().filter(|(n, _)| n.ends_with("scores.csv")).collect()
    };
    let expected = scores(&finished().join("runs"));
    assert_eq!(expected.len(), 4);
    for more in [["--threads", "2", "--jobs", "1"], ["--threads", "1", "--jobs", "3"]] {
        let b = bench();
        let args: Vec<&str> = ["run", "tiny.yaml", "--out", "report"].iter().chain(&more).copied().collect();
        b.run(&args).ok();
        assert_eq!(tables(&b.path("report")), reference, "{more:?}");
        assert_eq!(scores(&b.path("runs")), expected, "{more:?}");
    }
    // two processes at once on one folder
    let b = bench();
    let first = b.start(&["run", "tiny.yaml"], "first");
    let second = b.start(&["run", "tiny.yaml"], "second");
    let (one, other) = (first.end(), second.end());
    assert_eq!((one.0, other.0), (Some(0), Some(0)), "{}\n{}", one.1, other.1);
    assert_eq!(scores(&b.path("runs")), expected);
    let left: Vec<String> = b.names("runs").into_iter().filter(|n| !CACHES.contains(&n.as_str())).collect();
    assert_eq!(left.len(), UNITS, "nothing is left over: {left:?}");
}
