//! What `plan` says a pre-training run costs, against what it costs, and the recipes that come inside the program.

use std::process::Stdio;

use facebench_tests::Bench;

/// Peak resident memory of the program, bytes; Linux only.
fn peak(b: &Bench, args: &[&str]) -> f64 {
    let mut child = b.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let mut most = 0.0_f64;
    loop {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
        let kib = line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<f64>().ok());
        most = most.max(kib.unwrap_or(0.0) * 1024.0);
        if let Some(status) = child.try_wait().expect("it can be waited for") {
            assert!(status.success());
            return most;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// Memory counted from shapes is within a factor of 1.5 of what the process really takes, small batch or large.
#[test]
#[cfg(target_os = "linux")]
fn memory_is_within_a_factor_of_what_it_takes() {
    let b = Bench::new();
    b.file(
        "m.yaml",
        "extends: preset:micro\n\
         data: {synth: {seed: 1, scale: tiny, counts: {pretrain_people: 64, pretrain_per_person: 4}}}\n\
         pretrain: {micro: {optim: {epochs: 2, warmup_epochs: 1, accum: 1}}}\n",
    );
    for batch in ["64", "256"] {
        let set = format!("pretrain.micro.optim.batch={batch}");
        let plan = b.run(&["plan", "m.yaml", "-s", &set, "--format", "json"]).ok().json();
        let unit = plan["units"].as_array().expect("units").iter().find(|u| u["kind"] == "pretrain");
        let said = unit.expect("a run")["cost"]["memory"].as_f64().expect("bytes");
        let took = peak(&b, &["run", "m.yaml", "-s", &set]);
        assert!((said / took).max(took / said) < 1.5, "batch {batch}: said {said:.0} bytes, took {took:.0}");
    }
}

#[test]
fn every_recipe_can_be_planned_and_keeps_its_effective_batch() {
    let b = Bench::new();
    for (preset, parameters) in [
        ("fs-vfm-s", 56_242_816_u64),
        ("fs-vfm-b", 133_734_400),
        ("fs-vfm-l", 364_402_944),
        ("fsfm-b", 133_734_400),
    ] {
        let name = format!("preset:{preset}");
        for batch in ["32", "64"] {
            let set = format!("pretrain.*.optim.batch={batch}");
            let plan = b.run(&["plan", &name, "-s", &set, "--format", "json"]).ok().json();
            let unit =
                plan["units"].as_array().expect("units").iter().find(|u| u["kind"] == "pretrain").cloned();
            let cost = unit.expect("a run")["cost"].clone();
            assert_eq!(
                (cost["online"].as_u64(), cost["effective_batch"].as_u64()),
                (Some(parameters), Some(4096))
            );
        }
        b.run(&["plan", &name]).ok().stdout_has("4096 images per update").stdout_has("FLOP/s, measured");
    }
    b.file("x.yaml", "extends: [preset:fs-vfm-b, preset:mae-b, preset:released]\n");
    let plan = b.run(&["plan", "x.yaml", "--format", "json"]).ok().json();
    let spec = |name: &str| plan["experiment"]["pretrain"][name].clone();
    let (vfm, mae) = (spec("fs-vfm-b"), spec("mae-b"));
    assert_eq!(vfm["objective"]["similarity"]["target"], "frozen");
    assert_eq!(
        (&vfm["masking"]["region"], &mae["masking"]["region"]),
        (&"per-batch".into(), &"per-batch".into())
    );
    assert!(mae["objective"]["similarity"].is_null(), "MAE stays MAE");
    b.run(&["plan", "preset:fs-vfm-b", "-s", "pretrain.*.optim.batch=300"])
        .code(2)
        .one_message(3)
        .stderr_has("no multiple");
}

/// The two experiments on pre-training plan to what their names say; running them takes minutes.
#[test]
fn the_experiments_repeat_pretraining_for_each_seed() {
    let b = Bench::new();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../experiments");
    for (file, runs) in [("ablation-masking.yaml", 5 * 3), ("ranking.yaml", 2 * 3)] {
        let path = folder.join(file).canonicalize().expect("it is there");
        let plan = b.run(&["plan", path.to_str().expect("UTF-8"), "--format", "json"]).ok().json();
        let units = plan["units"].as_array().expect("units");
        let pretrain: Vec<_> = units.iter().filter(|u| u["kind"] == "pretrain").collect();
        assert_eq!(pretrain.len(), runs, "{file}");
        assert!(pretrain.iter().all(|u| u["cost"]["updates"].as_u64() > Some(400)), "{file}");
    }
}
