//! Bundles from a finished run: packed, checked, broken, listed, exported.

use facebench_tests::Bench;

use crate::fixture::{all, finished};

#[test]
fn a_bundle_of_a_finished_run_proves_its_numbers_and_notices_changes() {
    let b = Bench::new();
    let runs = finished().join("runs");
    let runs = runs.to_str().expect("utf-8");
    let pack = |out: &str, only: &str| {
        b.run(&["leaderboard", "pack", runs, "--name", "my model", "--only", only, "--out", out])
    };
    pack("board/mine", "model=FS-VFM").ok().stderr_has("2 results in board/mine");
    pack("board/mine", "model=FS-VFM").code(2).one_message(2).stderr_has("exists already");
    pack("x", "model=FSVFM").code(2).one_message(2).stderr_has("there is Random, FS-VFM");
    b.run(&["leaderboard", "verify", "board/mine"]).ok().stdout_has("good: 2 results agree");
    pack("board/other", "model=Random").ok();
    let scores = all(&b.path("board/other/runs"), "")[0].join("scores.csv");
    let text = std::fs::read_to_string(&scores).expect("scores");
    std::fs::write(&scores, text.lines().take(9).map(|l| format!("{l}\n")).collect::<String>())
        .expect("file");
    let said = b.run(&["leaderboard", "verify", "board/mine", "board/other"]).code(42);
    said.stdout_has("lines are missing in scores.csv").stdout_has("REFUSED");
    b.run(&["leaderboard", "site", "board", "--out", "site"]).ok().stderr_has("other is not ranked");
    assert!(b.read("site/index.html").contains("refused"));
    b.run(&["leaderboard", "verify", "nowhere"]).code(2).one_message(2).stderr_has("nowhere");
}

#[test]
fn boards_get_checked_files() {
    let b = Bench::new();
    b.run(&["leaderboard", "boards"]).ok().stdout_has("faceforensics").stdout_has("eval-results");
    b.file("scores.csv", "name,score\na.png,0.25\nb.png,0.75\n");
    b.file("list.txt", "b.png\na.png\n");
    let export = |board: &str, out: &str| {
        b.run(&[
            "leaderboard",
            "export",
            "--board",
            board,
            "--scores",
            "scores.csv",
            "--list",
            "list.txt",
            "--out",
            out,
        ])
    };
    let said = export("lines-live", "s.txt").ok().stderr();
    assert!(said.contains("2 lines") && !said.contains("lines; \n"), "{said}");
    assert_eq!(b.read("s.txt"), "b.png 0.250000\na.png 0.750000\n");
    export("cefa-2020", "c.txt").code(2).one_message(3).stderr_has("2 lines, the board expects 600 or 7200");
    export("lines-life", "s.txt").code(2).one_message(3).stderr_has("did you mean `lines-live`");
    let runs = finished().join("runs");
    let runs = runs.to_str().expect("utf-8");
    let args = [
        "leaderboard",
        "export",
        "--board",
        "eval-results",
        "--runs",
        runs,
        "--dataset",
        "lab/bench",
        "--out",
        "repo",
    ];
    b.run(&args).ok().stdout_has("repo/.eval_results/");
}
