//! Mistakes in what was asked for: one message, with the place and a way out, exit code 2, nothing run.

use facebench_tests::Bench;

use crate::fixture::{TINY, bench};

#[test]
fn a_typo_names_line_and_nearest_key() {
    let b = bench();
    b.file("typo.yaml", "extends: tiny.yaml\npretrain:\n  fs:\n    optim:\n      epoch: 3\n");
    b.run(&["plan", "typo.yaml"])
        .code(2)
        .one_message(3)
        .stderr_has("typo.yaml:5: unknown key `epoch` in `pretrain.fs.optim`, did you mean `epochs`?")
        .stderr_has("hint: the keys of `pretrain.fs.optim` are accum, activation_checkpointing, batch,");
    b.run(&["plan", "tiny.yaml", "-s", "pretrain.fs.optim.epoch=3"])
        .code(2)
        .one_message(3)
        .stderr_has("-s pretrain.fs.optim.epoch=3: unknown key `epoch`");
}

#[test]
fn a_wrong_type_says_expected_and_got() {
    let b = bench();
    b.file("wrong.yaml", "extends: tiny.yaml\nheads:\n  probe:\n    recipe: {epochs: many}\nseeds: 3\n");
    b.run(&["plan", "wrong.yaml"])
        .code(2)
        .stderr_has(
            "wrong.yaml:4: `heads.probe.recipe.epochs`: expected a whole number of at least 1, got the text \"many\"",
        )
        .stderr_has("wrong.yaml:5: `seeds`: expected a list of at least 1, got the number 3");
}

#[test]
fn settings_of_plugins_are_checked_like_our_own() {
    let b = bench();
    b.run(&["plan", "tiny.yaml", "-s", "heads.probe.config.trian=head"])
        .code(2)
        .one_message(3)
        .stderr_has("unknown key `trian` in `heads.probe.config`, did you mean `train`?");
    b.run(&["plan", "tiny.yaml", "-s", "pretrain.fs.backbone.config.size=giant"])
        .code(2)
        .stderr_has("`pretrain.fs.backbone.config.size`: expected `micro`");
}

#[test]
fn unknown_names_are_answered_with_the_nearest() {
    let b = bench();
    for (setting, needles) in [
        ("pretrain.fs.backbone.plugin=fsfvm", ["no backbone is called", "did you mean \"fsvfm\""]),
        ("protocols=[dfd-cros]", ["no protocol is called `dfd-cros`", "did you mean `dfd-cross`"]),
        ("models.FS-VFM.init.pretrain=sf", ["no pre-training run is called `sf`", "did you mean `fs`"]),
        ("skip=[{model: Randm}]", ["no model is called `Randm`", "did you mean `Random`"]),
        ("recipes={fas-mico: {epochs: 1}}", ["no protocol is called `fas-mico`", "did you mean `fas-mcio`"]),
        ("data.synth.counts={ffpp_trian: 4}", ["unknown key `ffpp_trian`", "did you mean `ffpp_train`"]),
    ] {
        b.run(&["plan", "tiny.yaml", "-s", setting])
            .code(2)
            .one_message(4)
            .stderr_has(needles[0])
            .stderr_has(needles[1]);
    }
    b.run(&["plan", "tiny.yaml", "-s", "models.Random.backbone.plugin=my-vit"])
        .code(2)
        .stderr_has("no backbone is called \"my-vit\"")
        .stderr_has("plugins of your own are found with --plugins DIR or FACEBENCH_PLUGINS");
    b.run(&["plan", "preset:dem"]).code(2).one_message(3).stderr_has("did you mean `demo`");
    b.run(&["plan", "nowhere.yaml"]).code(2).one_message(3).stderr_has("nowhere.yaml");
}

#[test]
fn files_that_are_no_experiment_are_refused() {
    let b = Bench::new();
    b.file("broken.yaml", "name: [\n");
    b.file("two.yaml", "name: a\n---\nname: b\n");
    b.file("twice.yaml", "name: a\nname: b\n");
    b.file("list.yaml", "- 1\n");
    b.file("circle.yaml", "extends: circle.yaml\n");
    b.file("big.yaml", format!("name: {}\n", "x".repeat(300_000)));
    b.file("empty.yaml", "");
    b.file("nothing.yaml", "name: x\n");
    for (file, needle) in [
        ("broken.yaml", "broken.yaml: "),
        ("two.yaml", "more than one document"),
        ("twice.yaml", "duplicate"),
        ("list.yaml", "expected a mapping"),
        ("circle.yaml", "in a circle"),
        ("big.yaml", "at most 262144 expected"),
        ("empty.yaml", "expected a mapping"),
        ("nothing.yaml", "nothing to run"),
    ] {
        b.run(&["plan", file]).code(2).stderr_has(needle);
    }
}

#[test]
fn a_plan_is_complete_and_says_the_same_when_read_back() {
    let b = bench();
    let plan = b.run(&["plan", "tiny.yaml", "--format", "json"]).ok().json();
    let again = serde_json::to_string(&plan["experiment"]).expect("JSON is YAML");
    b.file("resolved.yaml", again);
    let resolved = b.run(&["plan", "resolved.yaml", "--format", "json"]).ok().json();
    let digests = |plan: &serde_json::Value| {
        let units = plan["units"].as_array().expect("units");
        let mut all: Vec<String> = units.iter().map(|u| u["digest"].to_string()).collect();
        all.sort();
        all
    };
    assert_eq!(digests(&plan), digests(&resolved));
    // every default is there, plugins' own ones too
    let tune =
        plan["units"].as_array().expect("units").iter().find(|u| u["kind"] == "tune").expect("a tuning");
    let spec = &tune["identity"]["spec"];
    assert_eq!(spec["backbone"]["config"]["pooling"], "mean");
    assert_eq!(spec["recipe"]["weight_decay"], 0.03);
    assert_eq!(tune["identity"]["plugins"][0]["sha256"].as_str().expect("a digest").len(), 64);
    b.run(&["plan", "tiny.yaml", "--full"]).ok().stdout_has("weight_decay: 0.03").stdout_has("to do");
}

#[test]
fn digests_follow_what_changes_numbers_and_nothing_else() {
    let b = bench();
    let digest = |args: &[&str]| {
        let all: Vec<&str> = ["plan", "tiny.yaml", "--format", "json"].iter().chain(args).copied().collect();
        let plan = b.run(&all).ok().json();
        let units = plan["units"].as_array().expect("units").clone();
        units.last().expect("a unit")["digest"].to_string()
    };
    let base = digest(&[]);
    // names for people
    let renamed = TINY.replace("FS-VFM:", "Ours:").replace("probe:", "linear:").replace("fs:", "my-run:");
    b.file("renamed.yaml", renamed.replace("pretrain: fs}", "pretrain: my-run}"));
    let plan = b.run(&["plan", "renamed.yaml", "--format", "json"]).ok().json();
    let units = plan["units"].as_array().expect("units");
    assert_eq!(units.last().expect("a unit")["digest"].to_string(), base);
    // everything else
    for setting in
        ["seeds=[1]", "pretrain.fs.optim.blr=0.1", "data.synth.seed=1", "heads.probe.recipe.batch=4"]
    {
        assert_ne!(digest(&["-s", setting]), base, "{setting}");
    }
}
