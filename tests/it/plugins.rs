//! Plugins: a new one builds, passes its own test and runs; broken ones are named and never crash us.

use std::path::PathBuf;

use facebench_tests::{Bench, built, cargo, said};

use crate::fixture::{TINY, copy, data_root};

/// A shared library of ours.
fn library(name: &str) -> PathBuf {
    built().join(format!("libfacebench_{name}.so"))
}

#[test]
fn all_shipped_plugins_are_found_beside_the_program() {
    let b = Bench::new();
    let list = b.run(&["plugin", "list", "--json"]).ok().json();
    let names: Vec<&str> =
        list.as_array().expect("a list").iter().filter_map(|p| p["name"].as_str()).collect();
    for name in
        ["fsvfm", "mae", "dino", "random", "fasking-i", "frp", "crfr-r", "crfr-p", "linear", "fs-adapter"]
    {
        assert!(names.contains(&name), "{name} is not in {names:?}");
        b.run(&["plugin", "show", name]).ok().stdout_has("sha256 ");
    }
    b.run(&["plugin", "check", library("head_linear").to_str().expect("UTF-8")]).ok().stdout_has("linear");
}

#[test]
fn what_is_no_plugin_is_refused_in_one_message() {
    let b = Bench::new();
    let real = std::fs::read(library("head_linear")).expect("file");
    b.file("text/libtext.so", "I am a text file.\n");
    b.file("empty/libempty.so", "");
    b.file("cut/libcut.so", &real[..real.len() / 2]);
    let candidates = [
        "/lib/x86_64-linux-gnu/libm.so.6",
        "/lib64/libm.so.6",
        "/usr/lib/libm.so.6",
        "/lib/aarch64-linux-gnu/libm.so.6",
    ];
    let foreign = candidates.iter().find(|p| std::path::Path::new(p).exists()).expect("every Linux has libm");
    b.file("foreign/libforeign.so", std::fs::read(foreign).expect("file"));
    for (folder, file) in
        [("text", "libtext.so"), ("empty", "libempty.so"), ("cut", "libcut.so"), ("foreign", "libforeign.so")]
    {
        b.run(&["plugin", "check", &format!("{folder}/{file}")]).code(42).one_message(4).stderr_has(file);
        // a folder that the user names must hold plugins only
        b.run(&["plugin", "list", "--plugins", folder]).code(2).one_message(4).stderr_has(file);
    }
    b.run(&["plugin", "check", "nowhere.so"]).code(2).one_message(2).stderr_has("nowhere.so");
    b.run(&["plugin", "list", "--plugins", "nowhere"]).code(2).one_message(3).stderr_has("nowhere");
    b.run(&["plugin", "show", "fsvf"]).code(2).one_message(3).stderr_has("did you mean `fsvfm`");
}

#[test]
fn plugins_of_another_boundary_are_refused_and_panicking_ones_come_home() {
    let b = Bench::new();
    for (file, needle) in [("other_layout", "layout"), ("needs_feature", "feature")] {
        let path = built().join(format!("libfixture_{file}.so"));
        b.run(&["plugin", "check", path.to_str().expect("UTF-8")]).code(42).one_message(5).stderr_has(needle);
    }
    // the faulty plugin loads, and panics when used
    std::fs::create_dir(b.path("p")).expect("folder");
    std::fs::copy(built().join("libfixture_faulty.so"), b.path("p/libfixture_faulty.so")).expect("copy");
    let list = b.run(&["plugin", "list", "--plugins", "p", "--json"]).ok().json();
    let faulty: Vec<String> = list
        .as_array()
        .expect("a list")
        .iter()
        .filter(|p| p["path"].as_str().is_some_and(|p| p.contains("faulty")) && p["kind"] == "masking")
        .filter_map(|p| p["name"].as_str().map(str::to_owned))
        .collect();
    assert!(!faulty.is_empty(), "{list}");
    for name in faulty {
        let said = b.run(&["mask", "--plugins", "p", "--strategy", &name, "--grid", "8"]);
        let told = said.stderr();
        assert!(told.contains(&name) && told.starts_with("error: ") && told.lines().count() <= 4, "{told}");
        said.code(2);
    }
}

#[test]
fn a_new_plugin_builds_passes_its_own_test_and_runs() {
    let b = Bench::new();
    let target = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("new-plugins");
    for kind in ["backbone", "masking", "head"] {
        let name = format!("my-{kind}");
        b.run(&["plugin", "new", &name, "--kind", kind]).ok();
        b.run(&["plugin", "new", &name, "--kind", kind]).code(2).one_message(3).stderr_has("is not empty");
        for task in ["test", "build"] {
            let args = [task, "--release", "--offline"];
            let mut call = cargo();
            call.args(args).current_dir(b.path(&name)).env("CARGO_TARGET_DIR", &target);
            said(&mut call, &args).ok();
        }
        let file = target.join("release").join(format!("libfacebench_{kind}_my_{kind}.so"));
        b.run(&["plugin", "check", file.to_str().expect("UTF-8")]).ok().stdout_has(&name);
        std::fs::create_dir_all(b.path("p")).expect("folder");
        std::fs::copy(&file, b.path("p").join(file.file_name().expect("a name"))).expect("copy");
    }
    b.run(&["plugin", "new", "No Name", "--kind", "head"]).code(2).one_message(3);
    // all three at work
    copy(&data_root(), &b.path("faces"));
    let own = TINY
        .replace("{synth: {scale: tiny}}", "{root: faces}")
        .replace("{plugin: fsvfm, config: {size: micro}}", "{plugin: my-backbone}")
        .replace("objective:", "masking: {plugin: my-masking}\n    objective:")
        .replace("{plugin: linear, config: {train: head, norm: layer}", "{plugin: my-head")
        .replace("[diff-unseen, dfd-cross]", "[diff-unseen]");
    b.file("own.yaml", own);
    b.run(&["run", "own.yaml", "--plugins", "p"]).ok().stdout_has("FS-VFM");
    let record = std::fs::read_to_string(crate::fixture::one(&b.path("runs"), "pretrain-").join("run.json"));
    assert!(record.expect("file").contains("my-masking"));
}

#[test]
fn two_plugins_of_one_name_are_refused() {
    let b = Bench::new();
    let target = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("new-plugins");
    b.run(&["plugin", "new", "linear", "--kind", "head"]).ok().stderr_has("a head `linear` already");
    let args = ["build", "--release", "--offline"];
    said(cargo().args(args).current_dir(b.path("linear")).env("CARGO_TARGET_DIR", &target), &args).ok();
    let twin = target.join("release/libfacebench_head_linear.so");
    std::fs::create_dir(b.path("p")).expect("folder");
    std::fs::copy(&twin, b.path("p/libtwin.so")).expect("copy");
    b.run(&["plugin", "list", "--plugins", "p"])
        .code(2)
        .one_message(4)
        .stderr_has("linear")
        .stderr_has("libtwin.so")
        .stderr_has("libfacebench_head_linear.so");
}
