//! The small commands: masks, metrics of anybody's scores, reports, checkpoints, schemas, completions.

use facebench_tests::Bench;

use crate::fixture::{all, data_root, finished, one};

fn text(path: &std::path::Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn masks_are_exact_repeatable_and_come_in_four_forms() {
    let b = Bench::new();
    let said = b.run(&["mask", "--strategy", "random", "--grid", "14", "--seed", "3"]).ok().stdout();
    assert_eq!(said.matches('#').count(), 147, "0.75 of 196:\n{said}");
    assert_eq!(said.lines().count(), 14);
    assert_eq!(b.run(&["mask", "--strategy", "random", "--grid", "14", "--seed", "3"]).stdout(), said);
    assert_ne!(b.run(&["mask", "--strategy", "random", "--grid", "14", "--seed", "4"]).stdout(), said);
    let maps = data_root().join("pretrain/synthfaces/parsing_maps");
    let map = std::fs::read_dir(maps).expect("folder").next().expect("a map").expect("entry").path();
    let args = ["mask", "--parsing", text(&map), "--grid", "8", "--seed", "1"];
    let covered = b.run(&args).ok().stdout();
    assert!(covered.contains('R'), "{covered}");
    for file in ["m.png", "m.npy", "m.json"] {
        let all: Vec<&str> = args.iter().copied().chain(["--out", file]).collect();
        b.run(&all).ok();
        assert!(b.path(file).is_file());
    }
    let json: serde_json::Value = serde_json::from_str(&b.read("m.json")).expect("JSON");
    let ones = |key: &str| json[key].as_array().expect("a list").iter().filter(|v| **v == 1).count();
    assert_eq!(ones("hidden"), 48);
    assert_eq!(ones("region"), covered.matches('R').count());
    b.run(&["mask", "--grid", "8"]).code(2).one_message(3).stderr_has("--parsing");
    b.run(&["mask", "--strategy", "crfr"]).code(2).one_message(3).stderr_has("crfr-p");
    b.run(&["mask", "--strategy", "random", "--out", "m.bmp"]).code(2).one_message(3);
}

#[test]
fn metrics_of_scores_equal_those_of_the_run() {
    let b = Bench::new();
    for folder in all(&finished().join("runs"), "score-") {
        let record = std::fs::read_to_string(folder.join("run.json")).expect("file");
        let record: serde_json::Value = serde_json::from_str(&record).expect("JSON");
        let protocol = record["protocol"]["id"].as_str().expect("a protocol");
        let scores = folder.join("scores.csv");
        let said = b.run(&["metrics", "--protocol", protocol, "--scores", text(&scores), "--format", "json"]);
        assert_eq!(said.ok().json()["evaluation"], record["evaluation"], "{protocol}");
        b.run(&["metrics", "--protocol", protocol, "--scores", text(&scores), "--name", "Theirs"])
            .ok()
            .stdout_has("Theirs");
    }
    let folder = all(&finished().join("runs"), "score-")[0].clone();
    let rows = std::fs::read_to_string(folder.join("scores.csv")).expect("file");
    let mut lines: Vec<&str> = rows.lines().collect();
    let cells: Vec<&str> = lines[1].split(',').collect();
    let bad = [&cells[..6], &["NaN"], &cells[7..]].concat().join(",");
    lines[1] = &bad;
    b.file("nan.csv", lines.join("\n"));
    b.run(&["metrics", "--protocol", "diff-unseen", "--scores", "nan.csv"]).code(2).stderr_has("nan.csv");
    b.run(&["metrics", "--protocol", "fas-mcio", "--scores", "nan.csv"])
        .code(2)
        .one_message(3)
        .stderr_has("which fold?")
        .stderr_has("O&C&I→M");
}

/// The same scores, counted the other way round, are the same result once the file says so.
#[test]
fn scores_of_the_other_polarity_are_turned_round_once() {
    let b = Bench::new();
    let scores = all(&finished().join("runs"), "score-")[0].join("scores.csv");
    let rows = std::fs::read_to_string(&scores).expect("file");
    let turned = rows.lines().enumerate().map(|(i, line)| {
        let mut cells: Vec<String> = line.split(',').map(str::to_owned).collect();
        if i > 0 {
            cells[5] = if cells[5] == "1" { "0".into() } else { "1".into() };
            cells[6] = (1.0 - cells[6].parse::<f64>().expect("a score")).to_string();
        }
        cells.remove(7); // the logit follows from the score
        cells.join(",")
    });
    b.file("turned.csv", turned.collect::<Vec<_>>().join("\n"));
    let numbers = |file: &str, class: &str| {
        let said = b.run(&["metrics", "--scores", file, "--positive", class, "--format", "json"]).ok().json();
        let sets = said["evaluation"]["sets"].as_array().expect("sets").clone();
        let round = |v: &serde_json::Value| (v.as_f64().expect("a number") * 1e6).round();
        let of = |s: &serde_json::Value| (s["frames"].clone(), round(&s["frame_auc"]), round(&s["frame_ap"]));
        sets.iter().map(of).collect::<Vec<_>>()
    };
    let given = numbers(text(&scores), "fake");
    assert_eq!(numbers("turned.csv", "real"), given);
    assert_ne!(numbers("turned.csv", "fake"), given, "the average precision is not symmetric");
    b.run(&["metrics", "--scores", "turned.csv", "--positive", "reel"]).code(2).stderr_has("similar value");
}

/// Files of the same samples are compared; files of one name are seeds; what is kept stands beside our own runs.
#[test]
fn scores_of_several_models_are_compared_and_kept() {
    let b = Bench::new();
    let runs = finished().join("runs");
    let of = |model: &str| {
        let made = |folder: &std::path::PathBuf| {
            let record = std::fs::read_to_string(folder.join("run.json")).expect("file");
            let record: serde_json::Value = serde_json::from_str(&record).expect("JSON");
            record["model"] == model && record["protocol"]["id"] == "dfd-cross"
        };
        all(&runs, "score-").into_iter().find(made).expect("a run").join("scores.csv")
    };
    let (a, c) = (of("Random"), of("FS-VFM"));
    let two =
        ["metrics", "--protocol", "dfd-cross", "--synthetic", "--scores", text(&a), "--scores", text(&c)];
    let with = |more: &[&'static str]| {
        let args: Vec<&str> = two.iter().copied().chain(more.iter().copied()).collect();
        b.run(&args)
    };
    let json = with(&["--name", "A", "--name", "B", "--format", "json"]).ok().json();
    let auc = |file: usize, set: &str| {
        let sets = json["files"][file]["evaluation"]["sets"].as_array().expect("sets");
        let found = sets.iter().find(|s| s["set"] == set).expect("the set");
        found["video_auc"].as_f64().expect("a number")
    };
    let differences = json["differences"].as_array().expect("differences");
    assert!(differences.len() > 2, "one for each test set: {json}");
    for d in differences {
        let set = d["set"].as_str().expect("a name");
        let apart = -(auc(0, set) - auc(1, set)).abs();
        let got = d["difference"].as_f64().expect("a number");
        assert!((got - apart).abs() < 1e-12, "{set}: {got} and {apart}");
        assert!(d["interval"]["low"].as_f64() <= Some(got) && d["interval"]["high"].as_f64() >= Some(got));
        assert!((0.0..=1.0).contains(&d["p"].as_f64().expect("a number")), "{d}");
    }
    with(&["--name", "A", "--name", "B"]).ok().stdout_has("Paired differences").stdout_has("p (Holm)");
    with(&["--name", "A", "--name", "A"]).ok().stdout_has("±");

    // kept rows and our own stand in one table, and the same scores are not told apart
    with(&["--name", "Theirs", "--name", "Others", "--save", "kept"])
        .ok()
        .stderr_has("facebench report kept");
    let table = b.run(&["report", "kept", text(&runs), "--format", "json"]).ok().json();
    let tables = table.as_array().expect("tables");
    let dfd: Vec<_> = tables.iter().filter(|t| t["protocol"]["id"] == "dfd-cross").collect();
    assert_eq!(dfd.len(), 1, "the same samples are one table");
    let rows = dfd[0]["groups"].as_array().expect("groups").iter();
    assert_eq!(rows.map(|g| g["rows"].as_array().expect("rows").len()).sum::<usize>(), 4);
    with(&["--name", "Theirs", "--name", "Others", "--save", "kept"]).ok();
    assert_eq!(all(&b.path("kept"), "score-").len(), 2, "kept once");
    b.run(&["leaderboard", "pack", "kept", "--name", "theirs", "--out", "bundle"]).ok();
    b.run(&["leaderboard", "verify", "bundle"]).ok().stdout_has("0 problems");

    // slips
    with(&[]).code(2).one_message(2).stderr_has("two files are called `scores`");
    with(&["--name", "A"]).code(2).one_message(2).stderr_has("one name for each file");
    let fewer = std::fs::read_to_string(&c).expect("file");
    let lines: Vec<&str> = fewer.lines().collect();
    b.file("fewer.csv", lines[..lines.len() - 1].join("\n"));
    b.run(&["metrics", "--scores", text(&a), "--scores", "fewer.csv"])
        .ok()
        .stderr_has("`--synthetic` says it of all files");
    b.run(&["metrics", "--synthetic", "--scores", text(&a), "--scores", "fewer.csv"])
        .ok()
        .stderr_has("fewer does not hold the same samples as scores: 1 of ")
        .stderr_has(" are missing and 0 others are there")
        .stdout_has("other samples under the same data-set name");
}

/// What scores do not show is not claimed, and what lies beside them is used.
#[test]
fn scores_from_elsewhere_claim_nothing() {
    let b = Bench::new();
    let made = |folder: &std::path::PathBuf| {
        std::fs::read_to_string(folder.join("run.json")).expect("file").contains("\"id\": \"dfd-cross\"")
    };
    let run = all(&finished().join("runs"), "score-").into_iter().find(made).expect("a run");
    let rows = std::fs::read_to_string(run.join("scores.csv")).expect("file");
    b.file("mine.csv", &rows);
    let metrics =
        |more: &[&str]| b.run(&[&["metrics", "--protocol", "dfd-cross", "--scores"], more].concat());
    let plain = metrics(&["mine.csv"]).ok().stdout_has("Checkpoint rule not stated").stdout_has("mine");
    // real faces, unless somebody says otherwise, are as many as published
    plain.stderr_has("published are");
    assert!(!metrics(&["mine.csv", "--synthetic"]).ok().stderr().contains("published are"));
    let oracle = metrics(&["mine.csv", "--synthetic", "--selection", "oracle", "--save", "kept"]);
    oracle.ok().stdout_has("oracle selection").stderr_has("kept as 1 finished run:");
    metrics(&["mine.csv", "--selection", "min-val-loss"]).ok().stdout_has("lowest development loss");
    b.run(&["metrics", "--scores", "mine.csv"]).ok().stdout_has("Average");
    // the run's own record says what its scores are
    let own = metrics(&[text(&run.join("scores.csv"))]).ok().stdout_has("synthetic");
    assert!(!own.stderr().contains("published are") && !own.stdout().contains("not stated"));
    // ... unless the scores are others
    let lines: Vec<&str> = rows.lines().collect();
    b.file("cut/scores.csv", lines[..lines.len() - 1].join("\n"));
    std::fs::copy(run.join("run.json"), b.path("cut/run.json")).expect("copied");
    metrics(&["cut/scores.csv"]).ok().stderr_has("the record of other samples");
    // a bundle of unstated rules is good, and says so
    metrics(&["mine.csv", "--synthetic", "--save", "theirs"]).ok();
    b.run(&["leaderboard", "pack", "theirs", "--name", "theirs", "--out", "bundle"]).ok();
    b.run(&["leaderboard", "verify", "bundle"]).ok().stdout_has("0 problems");
    let card = b.read("bundle/README.md");
    assert!(
        card.contains("Checkpoint rule: not stated") && card.contains("Parameters trained: not recorded")
    );
    assert!(card.contains("Plugins: none") && !card.contains("min-val-loss"), "{card}");
    // another list in place of the protocol's, and labels that contradict the method
    b.file("other.csv", rows.replace(",dfdc,", ",dfdcc,"));
    metrics(&["other.csv", "--synthetic"]).ok().stderr_has("are of data set dfdcc, the protocol takes dfdc");
    let turned = "set,dataset,method,video,frame,label,score\na,o,real,r,0,0,0.1\na,o,fs,f,0,1,0.9\n";
    b.file("turned.csv", turned);
    b.run(&["metrics", "--scores", "turned.csv"]).ok();
    b.run(&["metrics", "--scores", "turned.csv", "--positive", "real"])
        .ok()
        .stderr_has("stop: a: 1 frames of method");
    // what is no text goes by way of a folder of runs
    metrics(&["mine.csv", "--format", "html"]).code(2).one_message(3).stderr_has("--save DIR");
    b.file("logits.csv", turned.replace("0.9", "4.2"));
    b.run(&["metrics", "--scores", "logits.csv"])
        .code(2)
        .stderr_has("logits.csv:3:")
        .stderr_has("put logits into the `raw` column");
}

#[test]
fn reports_come_in_every_form() {
    let b = Bench::new();
    let runs = finished().join("runs");
    for (format, needle) in [("term", "FF++"), ("md", "| "), ("csv", ","), ("tex", "\\begin{table}")] {
        b.run(&["report", text(&runs), "--format", format]).ok().stdout_has(needle);
    }
    let json = b.run(&["report", text(&runs), "--format", "json"]).ok().json();
    assert_eq!(json.as_array().expect("a list of tables").len(), 2);
    b.run(&["report", text(&runs), "--format", "svg"]).code(2).one_message(3).stderr_has("--out DIR");
    b.run(&["report", text(&runs), "--format", "mdd"]).code(2).one_message(3).stderr_has("did you mean `md`");
    b.run(&["report", text(&runs), "--format", "pdf"]).code(2).one_message(3).stderr_has("html, svg, png");
    let files = b.run(&["report", text(&runs), "--out", "r", "--format", "md,html,svg"]).ok().stdout();
    assert!(files.lines().count() > 3 && files.lines().all(|f| b.path(f).is_file()), "{files}");
    assert!(b.read("r/report.html").contains("synthetic"));
    std::fs::create_dir(b.path("none")).expect("folder");
    b.run(&["report", "none"]).code(2).one_message(3).stderr_has("no finished run");
}

#[test]
fn checkpoints_say_what_they_are_and_what_would_load() {
    let b = Bench::new();
    let file = one(&finished().join("runs"), "pretrain-").join("model.safetensors");
    let said = b.run(&["checkpoint", "show", text(&file), "--keys"]).ok();
    said.stdout_has("blocks.0.attn.qkv.weight")
        .stdout_has("--backbone fsvfm -s size=micro: loads completely");
    let args = ["checkpoint", "show", text(&file), "--backbone", "fsvfm", "-s", "size=micro", "--json"];
    let said = b.run(&args).ok().json();
    assert_eq!(said["backbones"][0]["fits"], true, "{said}");
    b.run(&["checkpoint", "show", text(&file), "--backbone", "fsvfm", "-s", "size=small"])
        .code(42)
        .stderr_has("would not load");
    // a pickle that would run code: it is data to us
    b.file("evil.pth", b"cposix\nsystem\n(S'touch pwned'\ntR.");
    b.run(&["checkpoint", "show", "evil.pth"]).code(2).stderr_has("evil.pth");
    assert!(!b.path("pwned").exists());
    b.file("text.safetensors", "hello");
    b.run(&["checkpoint", "show", "text.safetensors"]).code(2).stderr_has("text.safetensors");
}

/// Dtype, shape and bytes by name, of a `.safetensors` file.
fn tensors(file: &std::path::Path) -> std::collections::BTreeMap<String, (String, String, Vec<u8>)> {
    let bytes = std::fs::read(file).expect("file");
    let (length, rest) = bytes.split_at(8);
    let length = usize::try_from(u64::from_le_bytes(length.try_into().expect("8 bytes"))).expect("a length");
    let (header, data) = rest.split_at(length);
    let header: serde_json::Value = serde_json::from_slice(header).expect("JSON");
    let entries = header.as_object().expect("an object").iter().filter(|(name, _)| *name != "__metadata__");
    entries
        .map(|(name, v)| {
            let [from, to]: [usize; 2] = serde_json::from_value(v["data_offsets"].clone()).expect("offsets");
            (name.clone(), (v["dtype"].to_string(), v["shape"].to_string(), data[from..to].to_vec()))
        })
        .collect()
}

#[test]
fn checkpoints_are_converted_there_and_back() {
    let b = Bench::new();
    let file = one(&finished().join("runs"), "pretrain-").join("model.safetensors");
    let own = tensors(&file);
    assert!(own.len() > 20);
    for layout in ["model", "bare"] {
        let to = format!("{layout}.pth");
        let back = format!("{layout}.safetensors");
        b.run(&["checkpoint", "convert", text(&file), &to, "--layout", layout])
            .ok()
            .stderr_has(&format!("{to}: {} tensors", own.len()));
        b.run(&["checkpoint", "convert", &to, &back]).ok();
        assert!(tensors(&b.path(&back)) == own, "{layout}: other tensors came back");
        b.run(&["checkpoint", "convert", &back, "again.pth", "--layout", layout]).ok();
        let bytes = |name: &str| std::fs::read(b.path(name)).expect("file");
        assert!(bytes("again.pth") == bytes(&to), "{layout}: the same weights give another file");
        b.run(&["checkpoint", "show", &to, "--backbone", "fsvfm", "-s", "size=micro"]).ok();
    }
    let convert = |more: &[&str]| b.run(&[&["checkpoint", "convert"], more].concat()).code(2).one_message(3);
    convert(&[text(&file), "weights.bin"]).stderr_has(".pth or .safetensors");
    convert(&["nowhere.pth", "x.pth"]).stderr_has("nowhere.pth");
    convert(&["model.pth", "x.pth", "--root", "modle"]).stderr_has("the top level has the keys model");
    b.file("evil.pth", b"cposix\nsystem\n(S'touch pwned'\ntR.");
    convert(&["evil.pth", "x.pth"]).stderr_has("evil.pth");
    assert!(!b.path("pwned").exists() && !b.path("x.pth").exists());
}

#[test]
fn published_weights_can_be_the_start() {
    let b = crate::fixture::bench();
    let file = one(&finished().join("runs"), "pretrain-").join("model.safetensors");
    std::fs::copy(&file, b.path("weights.safetensors")).expect("copy");
    b.file(
        "published.yaml",
        "extends: tiny.yaml\nmodels:\n  FS-VFM: {backbone: {plugin: fsvfm, config: {size: micro}}, init: {checkpoint: weights.safetensors}}\n  Random: null\nprotocols: [diff-unseen]\n",
    );
    b.run(&["run", "published.yaml"]).ok().stdout_has("weights");
    b.run(&["plan", "published.yaml", "-s", "models.FS-VFM.init.checkpoint=nowhere"])
        .code(2)
        .stderr_has("nowhere");
}

#[test]
fn schemas_completions_and_help_are_there() {
    let b = Bench::new();
    let schema = b.run(&["schema", "experiment"]).ok().json();
    assert!(schema["properties"]["extends"].is_object() && schema["properties"]["heads"].is_object());
    assert!(b.run(&["schema", "protocol"]).ok().json()["properties"]["folds"].is_object());
    for shell in ["bash", "zsh", "fish"] {
        b.run(&["completions", shell]).ok().stdout_has("facebench");
    }
    b.run(&["--help"]).ok().stdout_has("Exit codes: 0 done");
    b.run(&["frobnicate"]).code(2).stderr_has("unrecognized subcommand");
    b.run(&["run", "preset:demo", "--device", "cuda:0"]).code(2).one_message(3).stderr_has("without CUDA");
    b.run(&["run", "preset:demo", "--device", "tpu"]).code(2).one_message(3);
}

#[test]
fn the_device_of_this_machine_computes_what_it_should() {
    let b = Bench::new();
    let said = b.run(&["selftest", "--device", "cpu", "--json"]).ok().json();
    let rows = said["rows"].as_array().expect("rows");
    let ops = ["layer_norm", "attention_qkv", "transformer_block", "adamw", "masked_mse", "dropout"];
    for op in ops {
        assert!(rows.iter().any(|row| row["operation"] == op && row["pass"] == true), "{op}");
    }
    b.run(&["selftest", "--device", "cpu"]).ok().stdout_has("tolerance").stderr_has("0 failed");
    b.run(&["selftest", "--device", "cuda:0"]).code(2).one_message(3);
    b.run(&["selftest"]).code(2).one_message(3).stderr_has("--device cpu");
}

#[test]
fn the_demo_is_an_experiment_like_any_other() {
    let b = Bench::new();
    b.run(&["plan", "preset:demo"]).ok().stdout_has("FS-VFM");
    let small = [
        "demo",
        "-s",
        "data.synth.scale=tiny",
        "-s",
        "protocols=[diff-unseen]",
        "-s",
        "pretrain.mae-micro.optim.epochs=1",
        "-s",
        "pretrain.mae-micro.optim.warmup_epochs=0",
        "-s",
        "pretrain.mae-micro.optim.batch=4",
        "-s",
        "pretrain.fsvfm-micro.optim.epochs=1",
        "-s",
        "pretrain.fsvfm-micro.optim.warmup_epochs=0",
        "-s",
        "pretrain.fsvfm-micro.optim.batch=4",
    ];
    let said = b.run(&small).ok();
    assert!(said.stdout().contains("FS-VFM") && said.stderr().contains("report.html"));
    for file in ["report.html", "tables/diff-unseen.md", "figures", "runs"] {
        assert!(b.path("facebench-demo").join(file).exists(), "{file}");
    }
}
