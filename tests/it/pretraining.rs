//! Pre-training seen from outside: DINO through `run`, memory that does not grow, what is left to look at.

use facebench_tests::Bench;
use serde_json::Value;

use crate::fixture::{one, tables};

const DINO: &str = "\
name: dino
data: {synth: {scale: tiny, size: 32}}
pretrain:
  dino:
    backbone: {plugin: dino, config: {width: 24, depth: 1, heads: 2, patch: 8, image: 32}}
    objective: {kind: dino, dino: {out: 32, hidden: 32, bottleneck: 16, local_crops: 2, local_size: 16}}
    optim: {epochs: 40, warmup_epochs: 2, batch: 8, accum: 1, blr: 0.02, weight_decay: 0.04, clip: 3.0}
models:
  DINO: {init: {pretrain: dino}}
heads:
  probe: {plugin: linear, config: {train: head, norm: layer}, recipe: {epochs: 2, warmup_epochs: 0, batch: 8}}
protocols: [diff-unseen]
";

fn record(b: &Bench) -> Value {
    let unit = one(&b.path("runs"), "pretrain-");
    serde_json::from_slice(&std::fs::read(unit.join("run.json")).expect("record")).expect("JSON")
}

#[test]
fn dino_runs_from_faces_to_a_table_in_constant_memory_and_survives_a_kill() {
    let b = Bench::new();
    b.file("dino.yaml", DINO);
    b.run(&["run", "dino.yaml", "--out", "report"]).ok();
    let notes = record(&b)["notes"].to_string();
    let memory = notes.split("memory: ").nth(1).expect("memory is noted");
    let mib: Vec<f64> = memory.split(' ').filter_map(|w| w.parse().ok()).collect();
    let [second, _, end] = mib[..] else { panic!("{memory}") }; // "X MiB after 2 epochs, Y MiB at the end"
    assert!(end <= second * 1.05 + 4.0, "memory grows: {memory}");
    let unit = one(&b.path("runs"), "pretrain-");
    assert!(
        unit.join("events.out.tfevents.facebench").exists() && unit.join("grids/epoch-0040.png").exists()
    );

    let killed = Bench::new();
    killed.file("dino.yaml", DINO);
    let mut run = killed.start(&["run", "dino.yaml"], "log");
    let log = killed.path("log");
    run.wait_until("pre-training", || {
        std::fs::read_to_string(&log).is_ok_and(|t| t.contains("pretrain dino"))
    });
    std::thread::sleep(std::time::Duration::from_millis(300));
    run.signal(libc::SIGKILL);
    drop(run.end());
    killed.run(&["run", "dino.yaml", "--out", "report"]).ok();
    assert_eq!(tables(&killed.path("report")), tables(&b.path("report")));
}

#[test]
fn masks_are_refused_with_dino_at_their_line() {
    let b = Bench::new();
    b.file("dino.yaml", DINO.replace("    optim:", "    masking: {plugin: crfr-p}\n    optim:"));
    b.run(&["plan", "dino.yaml"])
        .code(2)
        .one_message(3)
        .stderr_has("dino.yaml:")
        .stderr_has("views are crops");
}

#[test]
fn dino_presets_can_be_extended() {
    let b = Bench::new();
    let rest = "data: {synth: {scale: tiny}}\nmodels: {D: {init: {pretrain: dino-micro}}}\n\
        heads: {probe: {plugin: linear, config: {train: head}}}\nprotocols: [diff-unseen]\n";
    b.file("own.yaml", format!("extends: preset:dino-micro\n{rest}"));
    b.run(&["plan", "own.yaml", "--full"]).ok().stdout_has("local_crops");
    for preset in ["dino-vit-s", "dino-vit-b"] {
        let text = format!("extends: preset:{preset}\n{}", rest.replace("dino-micro", preset));
        b.file("large.yaml", text);
        // their faces are not among the synthetic ones, and an update takes more than a tiny set has
        b.run(&["plan", "large.yaml"]).code(2).stderr_has("makes no faces in `pretrain/vggface2`");
        let [sets, batch, update] =
            ["data.sets=[pretrain/synthfaces]", "optim.batch=8", "optim.effective_batch=8"]
                .map(|setting| format!("pretrain.{preset}.{setting}"));
        let own = ["plan", "large.yaml", "-s", &sets];
        b.run(&own).code(2).stderr_has("of one update");
        b.run(&[&own[..], &["-s", &batch, "-s", &update]].concat()).ok();
    }
}
