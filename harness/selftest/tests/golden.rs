//! The runners on fixtures: a set with other dimensions, the repository's copies, and spoiled copies.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use facebench_host::{PluginDir, Plugins};
use facebench_selftest::{Row, Verdict, check_folder};
use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The shipped plugins, built once in this profile.
fn plugins() -> &'static Plugins {
    static PLUGINS: OnceLock<Plugins> = OnceLock::new();
    PLUGINS.get_or_init(|| {
        // target/release/deps/<test> -> target/release
        let beside: PathBuf = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().into();
        // the command a user types, into the folder of this test: nothing is compiled in a second variant
        let mut cargo = std::process::Command::new(env!("CARGO"));
        cargo.args(["build", "--release", "--quiet"]).current_dir(root());
        cargo.env("CARGO_TARGET_DIR", beside.parent().unwrap());
        assert!(cargo.status().unwrap().success(), "the plugins must build");
        Plugins::open(&[PluginDir::automatic(beside)]).unwrap()
    })
}

fn check(path: &Path) -> Vec<Row> {
    check_folder(path, plugins(), |_| {}).unwrap()
}

fn all_pass(rows: &[Row]) {
    let wrong: Vec<String> = rows
        .iter()
        .filter(|r| r.verdict != Verdict::Pass)
        .map(|r| format!("{} {}: {}", r.file, r.case, r.reason))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Writes `file` as the only fixture of a folder and checks it.
fn rows_of(file: &Value) -> Vec<Row> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("any name.json"), file.to_string()).unwrap();
    check(folder.path())
}

fn second() -> PathBuf {
    root().join("harness/selftest/tests/second")
}

#[test]
fn a_set_of_other_dimensions_passes() {
    let rows = check(&second());
    all_pass(&rows);
    assert_eq!(rows.len(), 6 + 3, "{rows:?}");
    assert!(rows.iter().all(|r| r.compared > 4));
}

#[test]
fn the_copies_in_the_repository_pass() {
    for file in [
        "harness/train/src/tests/pretrain_steps.json",
        "harness/engine/tests/golden/finetune_steps.json",
        "harness/engine/tests/golden/contrastive_losses.json",
        "harness/engine/tests/golden/pos_embed_interp.json",
        "harness/engine/tests/golden/schedules.json",
        "protocols/tests/golden/metrics.json",
        "harness/selftest/tests/published",
    ] {
        all_pass(&check(&root().join(file)));
    }
}

/// One changed number fails exactly the cases that use it, and is named.
#[test]
fn a_changed_number_fails_and_is_named() {
    let mut file = read(&second().join("small_network.json"));
    let loss = file["f64"]["steps"][1]["loss_rec_fr"].as_f64().unwrap();
    file["f64"]["steps"][1]["loss_rec_fr"] = json!(loss * 1.0001);
    let rows = rows_of(&file);
    let failed: Vec<&Row> = rows.iter().filter(|r| r.verdict == Verdict::Fail).collect();
    assert_eq!(failed.iter().map(|r| r.case.as_str()).collect::<Vec<_>>(), ["run f64", "run f32"]);
    assert!(failed.iter().all(|r| r.reason.contains("step 1 loss_rec_fr") && r.deviation > r.tolerance));

    let mut file = read(&second().join("rates.json"));
    file["layer_decay"][0]["layer_scales_id_0_to_L_plus_1"][2] = json!(0.5);
    let rows = rows_of(&file);
    assert!(
        rows.iter().any(|r| r.verdict == Verdict::Fail && r.reason.contains("scale [2] is 0.64")),
        "{rows:?}"
    );
}

#[test]
fn the_anti_spoofing_networks_follow_their_words() {
    let original = read(&root().join("harness/selftest/tests/published/fas_nets.json"));
    for (key, from, to, network) in [
        ("optimizer", "lr 0.001", "lr 0.0012", "full"),
        ("optimizer", "wd 0.01", "wd 0.02", "adapter"),
        ("optimizer", "lambda 0.1", "lambda 0.2", "adapter"),
        ("optimizer", "T 0.07", "T 0.08", "adapter"),
        ("what", "(real 1)", "(real 0)", "adapter"),
        ("init", "bias gets +0.1", "bias gets +0.2", "full"),
    ] {
        let mut file = original.clone();
        for other in ["full", "adapter"].into_iter().filter(|n| *n != network) {
            file.as_object_mut().unwrap().remove(other);
        }
        let text = file["about"][key].as_str().unwrap();
        assert!(text.contains(from), "{text}");
        file["about"][key] = json!(text.replace(from, to));
        let rows = rows_of(&file);
        assert!(rows.len() == 2 && rows.iter().all(|r| r.verdict == Verdict::Fail), "{from}: {rows:?}");
    }
}

/// A changed rule changes the result: settings are read, not assumed.
#[test]
fn settings_come_from_the_words() {
    for (key, from, to) in [
        ("optimizer", "lr 0.002", "lr 0.003"),
        ("optimizer", "(0.8, 0.9)", "(0.8, 0.95)"),
        ("what", "m = 0.9", "m = 0.8"),
        ("what", "clip at 0.5", "clip at 1e-7"), // below this AdamW hardly sees the scale
        ("what", "0.05 * reconstruction", "0.06 * reconstruction"),
        ("images", "0.31*x", "0.32*x"),
        ("init", "0.29*i", "0.3*i"),
    ] {
        let mut file = read(&second().join("small_network.json"));
        file["variants"] = json!({});
        let text = file["about"][key].as_str().unwrap();
        assert!(text.contains(from), "{text}");
        file["about"][key] = json!(text.replace(from, to));
        assert!(rows_of(&file).iter().all(|r| r.verdict == Verdict::Fail), "{from} had no effect");
    }
}

#[test]
fn what_cannot_be_checked_is_said() {
    let unknown = rows_of(&json!({"about": {"kind": "horoscopes"}}));
    assert_eq!(unknown[0].verdict, Verdict::Unknown);
    assert!(unknown[0].reason.contains("horoscopes"));
    assert_eq!(rows_of(&json!([1, 2]))[0].verdict, Verdict::Unknown);
    let published = rows_of(&json!({"schema": "reference-rows/1", "rows": []}));
    assert_eq!(published[0].verdict, Verdict::Nothing);
    let mut file = read(&second().join("small_network.json"));
    file["about"]["optimizer"] = json!("the usual one");
    let rows = rows_of(&file);
    assert!(rows[0].verdict == Verdict::Fail && rows[0].reason.contains("`lr `"), "{rows:?}");
    let empty = tempfile::tempdir().unwrap();
    assert!(
        check_folder(empty.path(), plugins(), |_| {}).unwrap_err().to_string().contains("no fixtures found")
    );
}
