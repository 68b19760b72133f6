//! `facebench robustness` over the finished experiment: results are kept, repeated bit for bit, and named.

use facebench_tests::Bench;

use crate::fixture::{contents, copy, finished};

#[test]
fn damages_are_scored_once_and_a_deleted_one_comes_back_the_same() {
    let b = Bench::new();
    copy(&finished().join("runs"), &b.path("runs"));
    let args = [
        "robustness",
        "runs",
        "--protocol",
        "diff-unseen",
        "--model",
        "Random",
        "--corruptions",
        "jpeg,noise",
    ];
    let first = b.run(&args).ok();
    let shown = first.stdout();
    for word in ["video AUC", "damaged", "jpeg", "noise", "synthetic", "Random"] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    assert!(!first.stderr().contains("margins computed now differ"), "{}", first.stderr());
    let kept = b.names("runs/robustness");
    let units: Vec<&String> = kept.iter().filter(|n| !n.starts_with('.')).collect();
    assert_eq!(units.len(), 1 + 2 * 5, "{kept:?}");
    let (scores, report) =
        (contents(&b.path("runs/robustness")), contents(&b.path("runs/reports/robustness")));
    assert!(
        report.iter().any(|(n, _)| n == "robustness-diff-unseen.tex"),
        "{:?}",
        report.iter().map(|f| &f.0)
    );
    assert!(
        report.iter().any(|(n, _)| n.ends_with(".svg")) && report.iter().any(|(n, _)| n == "robustness.csv")
    );

    // finished ones are not scored again, and a missing one is made to the same bits
    let gone = units.iter().find(|n| n.starts_with("noise-3-")).expect("noise at severity 3");
    let before = b.read(&format!("runs/robustness/{gone}/scores.csv"));
    std::fs::remove_dir_all(b.path("runs/robustness").join(gone)).expect("removed");
    let again = b.run(&[&args[..], &["--threads", "1"]].concat()).ok();
    assert_eq!(again.stdout(), shown);
    let done = again.stderr().lines().filter(|l| l.contains(" done in ")).count();
    assert_eq!(done, 1, "one was missing:\n{}", again.stderr());
    assert_eq!(b.read(&format!("runs/robustness/{gone}/scores.csv")), before);
    let same = |old: &[(String, Vec<u8>)], new: &[(String, Vec<u8>)]| {
        old.iter().zip(new).filter(|(a, b)| a != b).map(|(a, _)| a.0.clone()).collect::<Vec<_>>()
    };
    assert_eq!(same(&report, &contents(&b.path("runs/reports/robustness"))), Vec::<String>::new());
    let changed = same(&scores, &contents(&b.path("runs/robustness")));
    assert!(changed.iter().all(|n| n.ends_with("robustness.json")), "only the time it took: {changed:?}");

    // clean scores are the recorded ones, and reports know nothing of all this
    let clean = units.iter().find(|n| n.starts_with("clean-0-")).expect("the clean one");
    let clean = b.read(&format!("runs/robustness/{clean}/scores.csv"));
    let recorded = crate::fixture::all(&b.path("runs"), "score-").into_iter().any(|folder| {
        let text = std::fs::read_to_string(folder.join("scores.csv")).expect("file");
        let tests: Vec<&str> = text.lines().filter(|l| !l.starts_with("dev,")).collect();
        tests == clean.lines().collect::<Vec<_>>()
    });
    assert!(recorded, "severity 0 is the recorded score, bit for bit");
    let report = b.run(&["report", "runs", "--format", "csv"]).ok().stdout();
    assert_eq!(
        report,
        b.run(&["report", &finished().join("runs").display().to_string(), "--format", "csv"]).stdout()
    );
}

#[test]
fn killed_and_started_again_it_keeps_what_is_scored() {
    let args =
        ["robustness", "runs", "--protocol", "dfd-cross", "--model", "Random", "--corruptions", "jpeg,blur"];
    let tables = |b: &Bench| {
        let kept = contents(&b.path("runs/reports/robustness"));
        assert!(!kept.is_empty());
        kept
    };
    let once = Bench::new();
    copy(&finished().join("runs"), &once.path("runs"));
    let shown = once.run(&args).ok().stdout();

    let b = Bench::new();
    copy(&finished().join("runs"), &b.path("runs"));
    let done = |log: &str| log.lines().filter(|l| l.contains(" done in ")).count();
    let mut run = b.start(&args, "log");
    let log = b.path("log");
    let said = move || std::fs::read_to_string(&log).unwrap_or_default();
    run.wait_until("a result", || done(&said()) >= 1);
    run.signal(libc::SIGKILL);
    assert_eq!(run.end().0, None, "killed");
    let before = done(&b.read("log"));
    assert!(before < 11, "killed too late to show anything");
    assert!(!b.path("runs/reports/robustness").exists(), "no table of half the results");
    let again = b.run(&args).ok();
    assert_eq!(again.stdout(), shown);
    let rest = done(&again.stderr());
    assert!((11 - before - 1..=11 - before).contains(&rest), "{before} and then {rest} of 11");
    assert_eq!(tables(&b), tables(&once));
    let left = b.names("runs/robustness").into_iter().filter(|n| n.starts_with(".tmp")).count();
    assert_eq!(left, 0, "nothing is left over");
}

#[test]
fn an_unknown_damage_is_answered_with_the_nearest() {
    let b = Bench::new();
    let runs = finished().join("runs").display().to_string();
    let wrong = |list: &str, needle: &str| {
        b.run(&["robustness", &runs, "--corruptions", list]).code(2).one_message(3).stderr_has(needle);
    };
    wrong("jpg", "did you mean `jpeg`?");
    wrong("blur,nois", "did you mean `noise`?");
    wrong("fog", "some of jpeg, blur, noise, resize, gamma, or `all`");
    assert!(!finished().join("runs/robustness").exists(), "nothing was made");
}
