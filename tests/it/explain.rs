//! `facebench explain` over the finished experiment: lists, files, choices, and what it refuses.

use facebench_tests::Bench;

use crate::fixture::{all, contents, copy, finished};

fn runs() -> String {
    finished().join("runs").display().to_string()
}

#[test]
fn mistakes_are_listed_and_drawn_the_same_every_time() {
    let b = Bench::new();
    let runs = runs();
    let args = ["explain", &runs, "--protocol", "diff-unseen", "--model", "FS-VFM", "--top", "2", "--out"];
    let with = |out| [&args[..], &[out]].concat();
    let said = b.run(&with("a")).ok();
    let shown = said.stdout();
    assert!(shown.contains("false accepts: fakes called real") && shown.contains("synthetic"), "{shown}");
    assert!(shown.contains("as the report's HTER") || shown.contains("no development scores"), "{shown}");
    assert!(said.stderr().contains("the pictures show faces of the test sets"), "{}", said.stderr());
    b.run(&[&with("b")[..], &["--threads", "1"]].concat()).ok();
    let (a, again) = (contents(&b.path("a")), contents(&b.path("b")));
    assert!(a == again, "another call, other bytes");
    let named = |end: &str| a.iter().filter(|(n, _)| n.ends_with(end)).collect::<Vec<_>>();
    assert!(!named(".png").is_empty() && named("worst.csv").len() == 1, "{:?}", a.iter().map(|f| &f.0));
    // every line's file exists, and its score is on the wrong side of its threshold
    let list = String::from_utf8_lossy(&named("worst.csv")[0].1).into_owned();
    assert!(list.starts_with("path,label,score,rank,kind,"), "{list}");
    for line in list.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        assert!(std::path::Path::new(cells[0]).is_file(), "{line}");
        let (score, threshold): (f64, f64) =
            (cells[2].parse().expect("f64"), cells[12].parse().expect("f64"));
        assert_eq!(score > threshold, cells[4] == "false-reject", "{line}");
        assert_eq!(cells[1] == "1", cells[4] == "false-accept", "{line}");
    }
    // both methods, a line per cell of an 8 × 8 grid
    let maps = a.iter().find(|(n, _)| n.ends_with("false-accept.csv") || n.ends_with("false-reject.csv"));
    let maps = String::from_utf8_lossy(&maps.expect("maps").1).into_owned();
    let of = |method: &str| maps.lines().filter(|l| l.contains(&format!(",{method},"))).count();
    assert!(of("rollout") % 64 == 0 && of("rollout") > 0 && of("gradient") == of("rollout"), "{maps}");
}

#[test]
fn the_default_place_is_beside_the_runs_and_a_unit_folder_is_enough() {
    let b = Bench::new();
    copy(&finished().join("runs"), &b.path("runs"));
    let unit = all(&b.path("runs"), "score-")[0].clone();
    let name = unit.file_name().expect("a name").to_string_lossy().into_owned();
    b.run(&["explain", &unit.display().to_string(), "--no-pictures", "--top", "1", "--threshold", "0.5"])
        .ok()
        .stdout_has("given with --threshold");
    let files = b.names(&format!("runs/reports/explain/{name}"));
    assert_eq!(files, ["worst.csv"]);
    // a report of the same folder does not mind
    b.run(&["report", "runs", "--format", "md"]).ok();
    // what the run was scored with is gone
    for tuned in all(&b.path("runs"), "tune-") {
        std::fs::remove_dir_all(tuned).expect("removed");
    }
    b.run(&["explain", "runs", "--unit", &name]).code(2).one_message(3).stderr_has("keep the units of a run");
}

#[test]
fn wrong_choices_are_answered_with_the_right_ones() {
    let b = Bench::new();
    let runs = runs();
    let wrong = |more: &[&str], needle: &str| {
        b.run(&[&["explain", &runs, "--out", "x"], more].concat()).code(2).one_message(4).stderr_has(needle);
    };
    wrong(&["--model", "FSVFM"], "did you mean `FS-VFM`?");
    wrong(&["--head", "prob"], "did you mean `probe`?");
    wrong(&["--protocol", "dfd-cros"], "did you mean `dfd-cross`?");
    wrong(&["--method", "roll-out"], "did you mean `rollout`?");
    wrong(&["--protocol", "dfd-cross", "--set", "FF+"], "did you mean `FF++`?");
    wrong(&["--format", "mdd"], "did you mean `md`?");
    b.run(&["explain", &runs, "--threshold", "2"]).code(2).stderr_has("a score between 0 and 1");
    b.run(&["explain", "nowhere"]).code(2).stderr_has("nowhere");
    let said = b.run(&["explain", &runs, "--model", "Random", "--data", ".", "--out", "x"]).code(2);
    assert!(said.stderr().contains("error: ") && !b.path("x").join("y").exists(), "{}", said.stderr());
}
