//! Layers by example: files on a disk, overrides, and what is said of mistakes.

use super::*;
use serde_json::json;

fn files(list: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in list {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

fn load_in(dir: &tempfile::TempDir, name: &str, over: &[&str]) -> Result<Layers, LayerError> {
    let over: Vec<String> = over.iter().map(|s| (*s).to_owned()).collect();
    load(dir.path().join(name).to_str().unwrap(), &over)
}

#[test]
fn files_compose_and_every_key_knows_its_origin() {
    let dir = files(&[
        ("a.yaml", "name: a\nopt:\n  x: 1\n  y: [1, 2]\n"),
        ("sub/b.yaml", "extends: ../a.yaml\nopt: {y: [3]}\ndata: d\n"),
        ("c.yaml", "extends: [sub/b.yaml]\nopt:\n  z: null\n"),
    ]);
    let l = load_in(&dir, "c.yaml", &["opt.x=5", "new.deep=[a, b]", "opt.y.0=9"]).unwrap();
    assert_eq!(
        l.merged,
        json!({"name": "a", "opt": {"x": 5, "y": [9], "z": null}, "data": "d", "new": {"deep": ["a", "b"]}})
    );
    let at = |p: &[&str]| l.whereis(&p.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
    assert!(at(&["name"]).ends_with("a.yaml:1"));
    assert!(at(&["opt", "z"]).ends_with("c.yaml:3"));
    assert!(at(&["opt", "y"]).ends_with("sub/b.yaml:2"));
    assert_eq!(at(&["opt", "x"]), "-s opt.x=5");
    assert!(l.folder(&["data"]).ends_with("sub"));
    assert_eq!(l.key_order(&["opt"]), ["x", "y", "z"]);
}

#[test]
fn another_alternative_replaces_the_first() {
    let dir = files(&[
        ("a.yaml", "data: {synth: {seed: 3}}\nmodels: {x: {init: random}}\n"),
        ("b.yaml", "extends: a.yaml\ndata: {root: here}\nmodels: {x: {init: {pretrain: p}}}\n"),
    ]);
    let l = load_in(&dir, "b.yaml", &[]).unwrap();
    assert_eq!(l.merged["data"], json!({"root": "here"}));
    assert_eq!(l.merged["models"]["x"]["init"], json!({"pretrain": "p"}));
    let l = load_in(&dir, "a.yaml", &["data.root=there", "models.x.init.checkpoint=f"]).unwrap();
    assert_eq!(l.merged["data"], json!({"root": "there"}));
    assert_eq!(l.merged["models"]["x"]["init"], json!({"checkpoint": "f"}));
    let l = load_in(&dir, "a.yaml", &["data.synth.size=32"]).unwrap();
    assert_eq!(l.merged["data"], json!({"synth": {"seed": 3, "size": 32}}));
}

#[test]
fn a_star_speaks_of_every_run() {
    let dir = files(&[
        ("a.yaml", "pretrain:\n  x: {sim: {target: ema}, n: 1}\n  off: {sim: null}\n"),
        ("star.yaml", "pretrain:\n  '*': {sim: {target: frozen}, region: batch}\n"),
        (
            "c.yaml",
            "extends: [a.yaml, star.yaml]\npretrain:\n  late: {region: image}\n  x: {sim: {rep: 2}}\n",
        ),
    ]);
    let l = load_in(&dir, "c.yaml", &["pretrain.*.n=7", "pretrain.x.n=8"]).unwrap();
    assert_eq!(
        l.merged["pretrain"],
        json!({
            "x": {"sim": {"target": "frozen", "rep": 2}, "n": 8, "region": "batch"},
            "off": {"sim": null, "n": 7, "region": "batch"},
            "late": {"sim": {"target": "frozen"}, "n": 7, "region": "image"},
        })
    );
    let at = |p: &[&str]| l.whereis(&p.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
    assert!(at(&["pretrain", "x", "sim", "target"]).contains(".yaml"));
    assert!(at(&["pretrain", "x", "region"]).ends_with("star.yaml:2"));
    assert_eq!(at(&["pretrain", "off", "n"]), "-s pretrain.*.n=7");
    let message = load_in(&dir, "star.yaml", &["pretrain.*.n=7"]).unwrap_err().to_string();
    assert!(message.contains("no pre-training run"), "{message}");
}

#[test]
fn circles_missing_files_and_bad_overrides_are_errors() {
    let dir = files(&[
        ("a.yaml", "extends: b.yaml\n"),
        ("b.yaml", "x: 1\nextends: ./a.yaml\n"),
        ("c.yaml", "extends: 3\n"),
        ("d.yaml", "extends: nowhere.yaml\n"),
        ("e.yaml", "- 1\n"),
        ("f.yaml", "a: 1\nl: [1]\n"),
        ("g.yaml", "pretrain: {'*': {n: 1}, frp: {n: 1}}\nheads: {linear probe: {n: 1}}\n"),
    ]);
    for (name, over, needle) in [
        ("a.yaml", "x=1", "in a circle"),
        ("c.yaml", "x=1", "c.yaml:1: `extends` is neither"),
        ("d.yaml", "x=1", "nowhere.yaml"),
        ("e.yaml", "x=1", "expected a mapping"),
        ("f.yaml", "x", "there is no `=`"),
        ("f.yaml", "a.b=1", "`a` is a single value"),
        ("f.yaml", "l.1=1", "`l` is a list of 1"),
        ("f.yaml", "l..=1", "empty part"),
        ("g.yaml", "pretrain.frpp.n=3", "no pre-training run is called `frpp`\nhint: did you mean `frp`?"),
        (
            "g.yaml",
            "heads.linear prob.recipe.n=3",
            "no head is called `linear prob`\nhint: did you mean `linear probe`?",
        ),
        (
            "g.yaml",
            "models.x.init=random",
            "no model is called `x`\nhint: there is none; `-s models.x={…}` adds one",
        ),
    ] {
        let message = load_in(&dir, name, &[over]).unwrap_err().to_string();
        assert!(message.contains(needle), "{name}: {message}");
    }
    // a whole one may be new, and a part of it may follow
    let l = load_in(&dir, "g.yaml", &["heads.mine={plugin: x}", "heads.mine.n=2"]).unwrap();
    assert_eq!(l.merged["heads"]["mine"], json!({"plugin": "x", "n": 2}));
    let message = load("preset:dem", &[]).unwrap_err().to_string();
    assert!(message.contains("did you mean `demo`"), "{message}");
}

#[test]
fn an_override_that_should_be_text_becomes_text() {
    let dir = files(&[("a.yaml", "name: x\n")]);
    let schema =
        json!({"type": "object", "properties": {"name": {"type": "string"}, "n": {"type": "integer"}}});
    let mut l = load_in(&dir, "a.yaml", &["name=7"]).unwrap();
    assert_eq!(l.check(&schema), []);
    assert_eq!(l.merged["name"], "7");
    let mut l = load_in(&dir, "a.yaml", &["n=x"]).unwrap();
    assert_eq!(l.check(&schema).len(), 1);
}
