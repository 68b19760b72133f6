//! `facebench score`: the numbers of a run from its weights, over any set, whatever interrupts it.

use std::path::{Path, PathBuf};

use facebench_tests::Bench;
use serde_json::Value;

use crate::fixture::{all, data_root, finished};

/// The units of a kind in the finished run, with their records.
fn units(kind: &str) -> Vec<(PathBuf, Value)> {
    let record = |folder: &PathBuf| {
        let text = std::fs::read_to_string(folder.join("run.json")).expect("record");
        serde_json::from_str(&text).expect("JSON")
    };
    all(&finished().join("runs"), &format!("{kind}-")).iter().map(|f| (f.clone(), record(f))).collect()
}

/// The unit of a model in a protocol.
fn unit(kind: &str, model: &str, protocol: &str) -> PathBuf {
    let wanted = |r: &Value| r["model"] == model && r["protocol"]["id"] == protocol;
    units(kind).into_iter().find(|(_, r)| wanted(r)).expect("a unit").0
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn every_unit_scores_its_protocol_as_its_run_did() {
    let b = Bench::new();
    let root = data_root();
    for (i, (folder, record)) in units("score").iter().enumerate() {
        let out = format!("s{i}.csv");
        let protocol = record["protocol"]["id"].as_str().expect("an id");
        // by digest or by folder; one picture or many at a time
        let digest = &record["unit"].as_str().expect("a digest")[..8];
        let runs = finished().join("runs");
        let name = if i % 2 == 0 { text(folder) } else { digest };
        let args = ["score", name, "--runs", text(&runs), "--protocol", protocol, "--root", text(&root)];
        let said = b.run(&[&args[..], &["--out", &out, "--batch", ["1", "7"][i % 2]]].concat()).ok();
        let next = said.json()["next"].as_str().expect("a command").to_owned();
        let said = said.stderr_has(&format!("next: {next}"));
        assert!(next.ends_with(" --synthetic"), "{next}");
        assert_eq!(b.read(&out), std::fs::read_to_string(folder.join("scores.csv")).expect("file"));
        let record_of = b.read(&format!("s{i}.json"));
        assert!(record_of.contains("score = P(fake)") && record_of.contains("\"synthetic\": true"));
        assert!(!record_of.contains(text(&root)), "a record holds no path");
        // the command that it names gives the numbers that it says, and those of the run
        let words: Vec<&str> = next.split(' ').skip(1).collect();
        let measured = b.run(&[&words[..], &["--format", "json"]].concat()).ok().json();
        for (n, set) in measured["evaluation"]["sets"].as_array().expect("sets").iter().enumerate() {
            assert_eq!(set["video_auc"], said.json()["sets"][n + 1]["video_auc"]);
            assert_eq!(set["video_auc"], record["evaluation"]["sets"][n]["video_auc"]);
        }
        b.run(&[&args[..], &["--out", &out]].concat()).ok().stderr_has("scored already");
        b.run(&[&args[..], &["--out", &out, "--transform", "center-crop"]].concat())
            .code(2)
            .stderr_has("not these scores")
            .one_message(2);
    }
}

/// Scores by identity.
fn by_id(file: &str) -> std::collections::BTreeMap<String, String> {
    let cells = |l: &str| l.split(',').map(str::to_owned).collect::<Vec<_>>();
    file.lines().skip(1).map(cells).map(|c| (c[1..5].join("/"), c[5..8].join(" "))).collect()
}

#[test]
fn manifest_folder_and_data_root_give_one_picture_one_score() {
    let b = Bench::new();
    let root = data_root();
    let tune = unit("tune", "FS-VFM", "diff-unseen");
    b.run(&["data", "index", "ffpp-c23", text(&root), "--out", "lists/ffpp.csv"]).ok();
    let score = |more: &[&str]| b.run(&[&["score", text(&tune)], more].concat());
    score(&["--manifest", "lists/ffpp.csv", "--split", "test", "--split", "val", "--out", "a.csv"]).ok();
    score(&["--data", "ffpp-c23", "--root", text(&root), "--name", "FF", "--out", "b.csv"]).ok();
    let (some, every) = (by_id(&b.read("a.csv")), by_id(&b.read("b.csv")));
    assert!(some.len() > 8 && every.len() > some.len() && some.iter().all(|(k, v)| every[k] == *v));
    assert!(b.read("b.csv").lines().skip(1).all(|l| l.starts_with("FF,ffpp-c23,")));
    // without a protocol the file can still be measured
    b.run(&["metrics", "--scores", "b.csv"]).ok().stdout_has("no protocol").stdout_has("FF:");
    // the same weights as files: the backbone's and what tuning left
    let chosen: Value =
        serde_json::from_str(&std::fs::read_to_string(tune.join("selection.json")).expect("file"))
            .expect("JSON");
    let weights = tune.join(chosen["last"]["file"].as_str().expect("a name"));
    let pretrained = all(&finished().join("runs"), "pretrain-")[0].join("model.safetensors");
    let files = |more: &[&str]| {
        let args = ["score", "--backbone", "fsvfm", "-s", "size=micro", "--head", "linear", "--weights"];
        let head = ["--head-set", "train=head", "--head-set", "norm=layer", "--manifest", "lists/ffpp.csv"];
        b.run(&[&args[..], &[text(&weights)], &head, more].concat())
    };
    files(&["--checkpoint", text(&pretrained), "--out", "c.csv"]).ok();
    score(&["--manifest", "lists/ffpp.csv", "--selection", "last", "--out", "d.csv"]).ok();
    assert_eq!(b.read("c.csv"), b.read("d.csv"));
    // the other order of classes mirrors every score
    files(&["--checkpoint", text(&pretrained), "--classes", "fake-real", "--out", "e.csv"]).ok();
    let raw = |line: &str| line.split(',').nth(7).expect("raw").parse::<f64>().expect("a number");
    for (one, other) in b.read("c.csv").lines().zip(b.read("e.csv").lines()).skip(1) {
        assert_eq!(raw(one), -raw(other));
    }
    // a head alone is no detector
    files(&["--out", "f.csv"]).code(2).stderr_has("--checkpoint FILE").one_message(3);
    // pictures without labels
    let faces = root.join("pretrain/synthfaces/images");
    score(&["--folder", text(&faces), "--out", "pictures.csv"]).ok();
    let pictures = b.read("pictures.csv");
    assert!(pictures.starts_with("picture,score,raw\n") && pictures.lines().count() > 4);
}

#[test]
fn killed_and_started_again_it_writes_the_same_bytes() {
    let b = Bench::new();
    let some = all(&data_root().join("pretrain/synthfaces/images"), "")[0].clone();
    for (i, class) in (0..600).map(|i| (i, ["real", "fake"][i % 2])) {
        let to = b.path(&format!("mine/{class}/v{}_frame_{i}.png", i % 60));
        std::fs::create_dir_all(to.parent().expect("a folder")).expect("folder");
        std::fs::hard_link(&some, &to).or_else(|_| std::fs::copy(&some, &to).map(|_| ())).expect("a picture");
    }
    let tune = unit("tune", "Random", "dfd-cross");
    let args = |out: &'static str| {
        vec!["score", text(&tune), "--data", "folder:mine", "--root", ".", "--batch", "1", "--out", out]
    };
    b.run(&args("once.csv")).ok();
    let mut killed = 0;
    loop {
        let run = b.start(&args("again.csv"), "log");
        let rows = b.path("again.csv.partial/rows.csv");
        let before = std::fs::metadata(&rows).map_or(0, |m| m.len());
        while !b.path("again.csv").exists()
            && std::fs::metadata(&rows).map_or(0, |m| m.len()) < before.max(60) + 12_000
        {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        if b.path("again.csv").exists() {
            assert_eq!(run.end().0, Some(0));
            break;
        }
        run.signal(libc::SIGKILL);
        assert_eq!(run.end().0, None, "killed");
        killed += 1;
    }
    assert!(killed >= 2, "killed {killed} times");
    assert!(b.read("log").contains("goes on after"), "{}", b.read("log"));
    assert_eq!(b.read("again.csv"), b.read("once.csv"));
    assert_eq!(b.read("again.json"), b.read("once.json"));
    assert!(!b.path("again.csv.partial").exists(), "nothing is left over");
    // every picture is the same one: the audit says what that means
    b.run(&args("once.csv")).ok().stderr_has("stop: folder:mine: every score is");
    // what is left of one model is not taken over by another
    std::fs::create_dir_all(b.path("half.csv.partial")).expect("folder");
    b.file("half.csv.partial/key.json", "0123\n{}\n");
    b.file("half.csv.partial/rows.csv", "set\n");
    b.run(&args("half.csv")).code(2).stderr_has("unfinished scores of another model").one_message(2);
}

#[test]
fn what_does_not_fit_is_named() {
    let b = Bench::new();
    let root = data_root();
    let tune = unit("tune", "Random", "dfd-cross");
    b.run(&["data", "index", "ffpp-c23", text(&root), "--out", "ffpp.csv"]).ok();
    let list = b.read("ffpp.csv");
    let score = |more: &[&str]| b.run(&[&["score", text(&tune), "--out", "s.csv"], more].concat());
    // a column, a picture, a picture that is none
    b.file("column.csv", list.replacen("label", "labels", 1));
    score(&["--manifest", "column.csv"]).code(2).stderr_has("column \"label\" is missing").one_message(2);
    b.file("gone.csv", list.replacen(".png", ".gone.png", 1));
    score(&["--manifest", "gone.csv"]).code(2).stderr_has("which is not there").one_message(2);
    let head = list.lines().next().expect("columns");
    b.file("text.png", "no picture");
    b.file("text.csv", format!("{head}\nd,real,v,0,0,test,,text.png,0,,image,10,\n"));
    score(&["--manifest", "text.csv"]).code(42).stderr_has("text.png").one_message(3);
    // what was scored stays, so that the list can be mended: here nothing
    assert!(!b.path("s.csv").exists() && b.path("s.csv.partial").exists());
    std::fs::remove_dir_all(b.path("s.csv.partial")).expect("removed");
    // one class is scored, and said to be no test
    let reals: Vec<&str> = list.lines().filter(|l| *l == head || l.contains(",youtube,")).collect();
    b.file("reals.csv", reals.join("\n"));
    score(&["--manifest", "reals.csv"]).ok().stderr_has("every sample is real");
    // rules, units, data
    let error = |args: &[&str], what: &str| {
        let args = [&["score"], args, &["--manifest", "ffpp.csv", "--out", "x.csv"]].concat();
        b.run(&args).code(2).stderr_has(what).stderr_has("hint:");
        assert!(!b.path("x.csv").exists());
    };
    error(&[text(&tune), "--selection", "oracle"], "no checkpoint was chosen by `oracle`; there are: last");
    error(
        &[text(&tune), "--selection", "oracle"],
        "`selection: [..., oracle]` in the experiment, see docs/recipes.md",
    );
    let own = ["--path-column", "file", "--label-column", "label"];
    error(&[&[text(&tune)], &own[..]].concat(), "--data folder:NAME --root TABLE.csv");
    error(&["nothing-here"], "runs: no folder of results");
    let pretrained = all(&finished().join("runs"), "pretrain-")[0].clone();
    error(&[text(&pretrained)], "a pretrain unit has no head");
    error(&[text(&tune), "--checkpoint", "ffpp.csv"], "started from random weights");
    let files = ["--backbone", "fsvfm", "-s", "size=micro", "--head", "mlp", "--weights"];
    let weights = pretrained.join("model.safetensors");
    error(&[&files[..], &[text(&weights)]].concat(), "the tuned weights lack");
    b.run(&["score", text(&tune), "--manifest", "ffpp.csv", "--selection", "best", "--out", "x.csv"])
        .code(2)
        .stderr_has("min-val-loss");
    b.run(&["score", text(&tune), "--out", "x.csv"]).code(2).stderr_has("--manifest");
    score(&["--manifest", "ffpp.csv", "--split", "test"]).code(2).stderr_has("not these scores");
}
