//! Experiments that could only fail, or end in numbers that mean nothing, are refused by `plan`, before anything runs.

use facebench_tests::Bench;

use crate::fixture::{bench, copy, data_root};

/// `tiny.yaml` with more heads.
fn heads() -> Bench {
    let b = bench();
    b.file(
        "heads.yaml",
        "extends: tiny.yaml\n\
         heads:\n  \
           knn: {plugin: knn}\n  \
           lora: {plugin: lora, recipe: {warmup_epochs: 1}}\n  \
           adapter: {plugin: fs-adapter, recipe: {warmup_epochs: 1}}\n",
    );
    b.run(&["plan", "heads.yaml"]).ok();
    b
}

#[test]
fn numbers_that_mean_nothing_are_refused() {
    let b = bench();
    let (run, recipe) = ("pretrain.fs.", "heads.probe.recipe.");
    for (part, setting, expected) in [
        (run, "optim.blr=-1", "a number above 0, got the number -1"),
        (run, "optim.blr=0", "a number above 0"),
        (run, "optim.min_lr=-1", "a number of at least 0"),
        (run, "optim.min_lr=5", "at most the peak rate"),
        (run, "optim.clip=-1", "a number above 0 or `null`"),
        (run, "optim.clip=0", "a number above 0 or `null`"),
        (run, "optim.weight_decay=-1", "a number of at least 0"),
        (run, "optim.warmup_epochs=-1", "a number of at least 0"),
        (run, "optim.warmup_epochs=100", "less than the 2 epochs of the run, got 100"),
        (run, "optim.epochs=0", "a whole number of at least 1"),
        (run, "optim.batch=0", "a whole number of at least 1"),
        (run, "optim.betas=[1.5,0.9]", "at least 0 and below 1"),
        (run, "masking.ratio=0", "above 0 and below 1"),
        (run, "masking.ratio=1.5", "above 0 and below 1"),
        (run, "objective.region_weight=-1", "a number of at least 0"),
        (run, "objective.similarity.momentum=2", "of at most 1"),
        (run, "objective.similarity.temperature=0", "a number above 0"),
        (run, "data.sets=[]", "a list of at least 1"),
        (recipe, "blr=-1", "a number above 0"),
        (recipe, "lr=-1", "a number above 0 or `null`"),
        (recipe, "layer_decay=-1", "above 0 and of at most 1"),
        (recipe, "layer_decay=0", "above 0 and of at most 1"),
        (recipe, "layer_decay=3", "above 0 and of at most 1"),
        (recipe, "clip=0", "a number above 0 or `null`"),
        (recipe, "weight_decay=-1", "a number of at least 0"),
        (recipe, "min_lr=-1", "a number of at least 0"),
        (recipe, "min_lr=1", "at most the peak rate"),
        (recipe, "warmup_epochs=100", "less than the 2 epochs of the run"),
        (recipe, "batch=0", "a whole number of at least 1"),
        (recipe, "smoothing=1.5", "at least 0 and below 1"),
        (recipe, "augment.crop=2", "above 0 and of at most 1"),
        ("", "seeds=[0,0]", "the number 0 is there twice"),
    ] {
        let set = format!("{part}{setting}");
        let said = b.run(&["plan", "tiny.yaml", "-s", &set]).code(2);
        let key = set.split('=').next().expect("a key");
        assert!(said.stderr().starts_with(&format!("error: -s {set}: `{key}")), "{}", said.stderr());
        said.stderr_has(expected);
    }
    for set in [
        "pretrain.fs.objective.region_weight=0",
        "pretrain.fs.optim.weight_decay=0",
        "heads.probe.recipe.layer_decay=1.0",
        "heads.probe.recipe.min_lr=0",
        "heads.probe.recipe.clip=null",
    ] {
        b.run(&["plan", "tiny.yaml", "-s", set]).ok();
    }
    // of two settings that clash, the one on the command line is named
    b.run(&["plan", "tiny.yaml", "-s", "recipes.dfd-cross.warmup_epochs=9"])
        .code(2)
        .stderr_has("-s recipes.dfd-cross.warmup_epochs=9: `recipes.dfd-cross.warmup_epochs`: expected less");
    b.file("long.yaml", "extends: tiny.yaml\nheads:\n  probe:\n    recipe: {warmup_epochs: 1}\n");
    b.run(&["plan", "long.yaml", "-s", "heads.probe.recipe.epochs=1"])
        .code(2)
        .stderr_has("-s heads.probe.recipe.epochs=1: `heads.probe.recipe.warmup_epochs`");
    assert!(!b.path("runs").exists(), "nothing ran");
}

#[test]
fn what_no_network_can_be_made_of_is_refused() {
    let b = heads();
    b.file("text.pth", "not a checkpoint");
    for (set, needle) in [
        ("heads.knn.config.k=0", "k must be at least 1"),
        ("heads.lora.config.rank=0", "rank must be at least 1"),
        ("heads.lora.config.targets=[zz]", "unknown target \"zz\""),
        ("heads.adapter.config.reduction=1000", "not a multiple of reduction 1000"),
        ("models.Random.backbone.config.image=30", "not a multiple of patch"),
        ("models.Random.backbone.config.drop_path=2", "drop_path 2"),
        ("models.Random.init.checkpoint=text.pth", "text.pth: not a checkpoint of a known kind"),
        ("pretrain.fs.backbone.config.image=30", "not a multiple of patch"),
        ("pretrain.fs.masking.ratio=0.001", "hides 0 of 64 patches"),
        ("pretrain.fs.objective.decoder.width=30", "a width divisible by 4"),
        ("pretrain.fs.objective.decoder.heads=5", "no multiple of its 5 attention heads"),
        ("pretrain.fs.optim.accum=500", "fewer than the 500 of one update"),
        ("pretrain.fs.data.sets=[nope]", "makes no faces in `nope`"),
    ] {
        b.run(&["plan", "heads.yaml", "-s", set])
            .code(2)
            .stderr_has(&format!("error: -s {set}: "))
            .stderr_has(needle);
        b.run(&["run", "heads.yaml", "-s", set]).code(2);
    }
    assert!(!b.path("runs").exists(), "nothing ran");
}

#[test]
fn a_setting_of_something_that_is_not_there_is_a_slip() {
    let b = heads();
    for (set, message, hint) in [
        ("pretrain.fss.optim.epochs=3", "no pre-training run is called `fss`", "did you mean `fs`?"),
        ("heads.prob.recipe.epochs=3", "no head is called `prob`", "did you mean `probe`?"),
        ("models.Randm.init=random", "no model is called `Randm`", "did you mean `Random`?"),
        ("data.rot=x", "unknown key `rot` in `data`, did you mean `root`?", "are root, synth, forge"),
        ("pretrain.fs.optim.blr=.nan", "the number .nan\n", "write a finite number"),
    ] {
        let said = b.run(&["plan", "heads.yaml", "-s", set]).code(2).one_message(2);
        said.stderr_has(&format!("-s {set}: {message}")).stderr_has(hint);
    }
    // a whole one may be new
    b.run(&["plan", "heads.yaml", "-s", "heads.mine={plugin: linear}"]).ok().stdout_has("Random · mine");
}

#[test]
fn keys_that_digests_leave_out_are_known_and_shown() {
    let b = bench();
    let set =
        ["plan", "tiny.yaml", "-s", "recipes.dfd-cross={precision: bf16, activation_checkpointing: true}"];
    b.run(&[&set[..], &["--full"]].concat()).ok().stdout_has("precision: bf16");
    let full = b.run(&["plan", "tiny.yaml", "--full"]).ok().stdout();
    for key in
        ["precision: f32", "activation_checkpointing: false", "optimiser: adam-w", "retries: 1", "kind: 3c"]
    {
        assert!(full.contains(key), "{key}: {full}");
    }
}

#[test]
fn a_recipe_can_be_looked_at_before_its_weights_are_there() {
    let b = Bench::new();
    b.run(&["plan", "preset:dfd-finetune-b", "--full"])
        .ok()
        .stdout_has("layer_decay: 0.6")
        .stdout_has("tune-????????????????  checkpoint not there yet")
        .stdout_has("fsvfm-vit-b.pth: no such checkpoint");
    let hint = "hint: `-s 'models.FS-VFM ViT-B.init.checkpoint=FILE'` says where it is";
    // a program gets true digests or none
    for args in [&["run"][..], &["plan", "--format", "json"], &["plan", "--format", "sh"]] {
        b.run(&[args, &["preset:dfd-finetune-b"]].concat()).code(2).one_message(2).stderr_has(hint);
    }
    b.run(&["plan", "preset:fs-vfm-b"]).ok().stdout_has("makes no faces in `pretrain/vggface2`");
    b.run(&["run", "preset:fs-vfm-b"]).code(2).one_message(3).stderr_has("-s data.root=DIR");
    assert!(!b.path("runs").exists(), "nothing ran");
}

#[test]
fn all_sets_that_are_missing_are_named_at_once() {
    let b = bench();
    copy(&data_root(), &b.path("faces"));
    for set in ["DFDC", "Celeb-DF-v2"] {
        std::fs::remove_dir_all(b.path("faces/deepfakes_detection").join(set)).expect("removed");
    }
    std::fs::remove_dir_all(b.path("faces/pretrain")).expect("removed");
    let said = b.run(&["plan", "tiny.yaml", "-s", "data.root=faces"]).code(2).one_message(6);
    said.stderr_has("Celeb-DF-v2").stderr_has("DFDC").stderr_has("pretrain/synthfaces");
}

#[test]
fn a_report_that_cannot_be_written_is_told_before_the_first_unit() {
    let b = bench();
    b.file("taken", "");
    for out in ["taken", "taken/report"] {
        b.run(&["run", "tiny.yaml", "--out", out]).code(2).one_message(2).stderr_has("--out taken");
    }
    assert!(!b.path("runs").exists(), "nothing ran");
}

#[test]
fn a_protocol_of_ones_own_is_told_what_is_allowed() {
    let b = bench();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocols/protocols");
    let text = std::fs::read_to_string(folder.join("diff-unseen.yaml")).expect("a protocol");
    let mine = text.replacen("id: diff-unseen", "id: mine", 1);
    b.file("mine.yaml", &mine);
    b.run(&["plan", "tiny.yaml", "-s", "protocols=[mine.yaml]"]).ok();
    let without: Vec<&str> = mine.lines().filter(|l| !l.starts_with("test_transform")).collect();
    b.file("mine.yaml", without.join("\n"));
    b.run(&["plan", "tiny.yaml", "-s", "protocols=[mine.yaml]"])
        .code(2)
        .stderr_has("mine.yaml: key `test_transform` is missing, expected `direct` or `center-crop`");
}
