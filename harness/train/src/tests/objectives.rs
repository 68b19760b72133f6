//! The objective's switches, the policies for parsing maps, and what self-distillation does over a short run.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use facebench_data::synth::{SynthSpec, generate};
use facebench_engine::ops::losses;
use facebench_engine::{ParamStore, checkpoint};
use facebench_host::{Purpose, RunCtx};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::plugins;
use super::runs::{Place, faces, micro, pretrain_spec, run};
use crate::job::{Job, Silent};
use crate::spec::{PretrainOptim, PretrainSpec};
use crate::{MODEL, pretrain, weights};

/// `pretrain_spec` with some keys changed.
fn spec(changes: &Value) -> PretrainSpec {
    fn merge(base: &mut Value, over: &Value) {
        match (base, over) {
            (Value::Object(base), Value::Object(over)) => {
                for (key, value) in over {
                    merge(base.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
            (base, over) => *base = over.clone(),
        }
    }
    let mut value = serde_json::to_value(pretrain_spec()).unwrap();
    merge(&mut value, changes);
    serde_json::from_value(value).unwrap()
}

/// A column of `curves.csv`, epoch by epoch.
fn curve(place: &Place, column: &str) -> Vec<f64> {
    let text = std::fs::read_to_string(place.out().join("curves.csv")).unwrap();
    let at = text.lines().next().unwrap().split(',').position(|c| c == column).unwrap();
    text.lines().skip(1).map(|l| l.split(',').nth(at).unwrap().parse().unwrap()).collect()
}

#[test]
fn every_term_and_every_similarity_can_stand_alone() {
    let decoder = json!({"width": 16, "depth": 1, "heads": 2});
    let alone = json!({"reconstruction_weight": 0.0, "region_weight": 0.0});
    let loss = |name: &str| json!({"objective": {"similarity": {"loss": name}}});
    // (settings, columns that must move, columns that must stay 0)
    let cases = [
        (
            json!({"objective": {"similarity": null, "region_weight": 0.0}}),
            vec!["rec"],
            vec!["region", "similarity"],
        ),
        (json!({"objective": {"similarity": null}}), vec!["rec", "region"], vec!["similarity"]),
        (json!({"objective": alone}), vec!["similarity"], vec!["rec", "region"]),
        (
            json!({"objective": {"norm_pix": false, "decoder": decoder}}),
            vec!["rec", "region", "similarity"],
            vec![],
        ),
        (
            json!({"objective": {"similarity": {"target": "frozen", "rep_pos_embed": "sincos"}},
                "masking": {"region": "per-batch"}}),
            vec!["rec", "region", "similarity"],
            vec![],
        ),
        (loss("byol"), vec!["similarity"], vec![]),
        (loss("info-nce"), vec!["similarity"], vec![]),
        (loss("info-nce-positive"), vec!["similarity"], vec![]),
        (loss("moco-v3"), vec!["similarity"], vec![]),
        (loss("sim-clr"), vec!["similarity"], vec![]),
    ];
    for (changes, moving, still) in cases {
        let spec = spec(&changes);
        let (place, done) = run(1, &[], &|job| pretrain(&spec, job));
        assert!(done.params.trained > 0);
        for column in moving {
            let values = curve(&place, column);
            assert!(
                values.iter().all(|v| v.is_finite()) && values[0] != values[2],
                "{changes} {column} {values:?}"
            );
        }
        for column in still {
            assert!(curve(&place, column).iter().all(|v| *v == 0.0), "{changes} {column}");
        }
    }
    let nothing =
        spec(&json!({"objective": {"reconstruction_weight": 0.0, "region_weight": 0.0, "similarity": null}}));
    let place = Place::new();
    let (state, out) = (place.out().join("state"), place.out());
    let error = pretrain(&nothing, &place.job(&state, &out, 0, &Silent)).unwrap_err().to_string();
    assert!(error.contains("every term"), "{error}");
}

/// Checkpoints of every kind of run must serve downstream.
#[test]
fn what_was_pretrained_loads_into_its_backbone() {
    let mae = json!({"backbone": {"plugin": "mae"}, "masking": {"plugin": "random"}, "objective":
        {"similarity": null, "region_weight": 0.0, "decoder": {"mask_token": "after-embed"}}});
    for (changes, backbone) in [
        (json!({}), "fsvfm"),
        (json!({"objective": {"similarity": null}}), "fsvfm"),
        (json!({"objective": {"similarity": null, "decoder": {"mask_token": "after-embed"}}}), "fsvfm"),
        (mae, "mae"),
    ] {
        let spec = spec(&changes);
        let (place, _) = run(1, &[], &|job| pretrain(&spec, job));
        let path = place.out().join(MODEL);
        let info = plugins().backbone_info(backbone, &micro()).unwrap();
        let store = ParamStore::new(&Device::Cpu, DType::F32, 0);
        let layouts = plugins().layouts(backbone, &micro()).unwrap();
        let given = weights::give(&path, backbone, &info, &layouts, &store).unwrap();
        let ctx = RunCtx::new(&Device::Cpu, DType::F32, 0);
        plugins().backbone(backbone, &micro(), Purpose::Downstream, &store, "", &ctx).unwrap();
        given.check(&store, &std::collections::BTreeSet::new()).unwrap();
    }
}

/// MAE's decoder: the mask token in the decoder's width, after the embedding; names as in its published checkpoints.
#[test]
fn maes_decoder_has_maes_shapes() {
    let spec = spec(&json!({"backbone": {"plugin": "mae"}, "masking": {"plugin": "random"}, "objective":
        {"similarity": null, "region_weight": 0.0, "decoder": {"mask_token": "after-embed"}}}));
    let (place, _) = run(1, &[], &|job| pretrain(&spec, job));
    let tensors = checkpoint::read(&place.out().join(MODEL)).unwrap().tensors;
    // width 24, one block, patch 8, image 32; decoder width 16, one block
    for (name, shape) in [
        ("cls_token", vec![1, 1, 24]),
        ("pos_embed", vec![1, 17, 24]),
        ("patch_embed.proj.weight", vec![24, 3, 8, 8]),
        ("blocks.0.attn.qkv.weight", vec![72, 24]),
        ("norm.weight", vec![24]),
        ("mask_token", vec![1, 1, 16]),
        ("decoder_embed.weight", vec![16, 24]),
        ("decoder_pos_embed", vec![1, 17, 16]),
        ("decoder_blocks.0.mlp.fc1.weight", vec![64, 16]),
        ("decoder_norm.weight", vec![16]),
        ("decoder_pred.weight", vec![192, 16]),
    ] {
        assert_eq!(tensors.get(name).map(|t| t.dims().to_vec()), Some(shape), "{name}");
    }
    let other = ["rep_decoder", "projector", "predictor"];
    assert!(!tensors.keys().any(|k| other.iter().any(|o| k.starts_with(o))));
}

// ------------------------------------------------------------------------------ parsing maps

/// The tiny pre-training set with one map missing and one broken.
fn damaged() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (faces().join("pretrain/synthfaces"), dir.path().join("set"));
    for part in ["images", "parsing_maps"] {
        std::fs::create_dir_all(to.join(part)).unwrap();
        for entry in std::fs::read_dir(from.join(part)).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, to.join(part).join(path.file_name().unwrap())).unwrap();
        }
    }
    let mut maps: Vec<PathBuf> =
        std::fs::read_dir(to.join("parsing_maps")).unwrap().map(|e| e.unwrap().path()).collect();
    maps.sort();
    assert_eq!(maps.len(), 8);
    std::fs::remove_file(&maps[0]).unwrap();
    std::fs::write(&maps[1], b"no array").unwrap();
    (dir, to)
}

fn on_damaged(set: &Path, policy: &str, plugin: &str) -> PretrainSpec {
    spec(&json!({
        "masking": {"on_missing": policy, "plugin": plugin},
        "optim": {"batch": 4},
        "data": {"sets": [set.to_str().unwrap()]},
    }))
}

#[test]
fn images_without_a_usable_map_follow_the_named_policy_and_are_counted() {
    let (_dir, set) = damaged();
    for (policy, seen, said) in [
        // 8 images, 3 epochs, batches of 4: one is missing its map, one has a broken one
        ("random", 24, "6 of 24 image passes had no usable parsing map and were masked at random"),
        // 7 images are left, of which one batch of 4 fits into an epoch
        ("skip", 12, "had no usable parsing map and were left out"),
    ] {
        let spec = on_damaged(&set, policy, "crfr-p");
        let (one, done) = run(0, &[], &|job: &Job| pretrain(&spec, job));
        assert!(done.notes.iter().any(|n| n.contains(said)), "{policy}: {:?}", done.notes);
        assert!(
            done.images <= seen && (policy == "skip" || done.images == seen),
            "{policy}: {}",
            done.images
        );
        assert!(done.notes.iter().any(|n| n.starts_with("1 images without parsing map")), "{:?}", done.notes);
        // threads and interruptions change nothing here either
        let (other, again) = run(2, &[2], &|job| pretrain(&spec, job));
        assert_eq!(curve(&one, "loss"), curve(&other, "loss"), "{policy}");
        let counts = |notes: &[String]| {
            notes.iter().filter(|n| n.contains("parsing map")).cloned().collect::<Vec<_>>()
        };
        assert_eq!(counts(&done.notes), counts(&again.notes));
    }
    let place = Place::new();
    let (state, out) = (place.out().join("state"), place.out());
    let job = place.job(&state, &out, 0, &Silent);
    let error = pretrain(&on_damaged(&set, "fail", "crfr-p"), &job).unwrap_err().to_string();
    assert!(error.contains("needs a parsing map, and 1 of 8 images have none"), "{error}");
    // random masking asks for no map
    assert!(pretrain(&on_damaged(&set, "fail", "random"), &job).is_ok());
}

// ------------------------------------------------------------------------------ the target network

/// With a moving average as its target the online network passes below where a frozen random target holds it: the
/// published logs of the released code stay on such a plateau from the second epoch on.
#[test]
fn similarity_with_a_moving_target_passes_below_the_frozen_plateau() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("faces");
    let mut of = SynthSpec::tiny(1);
    (of.size, of.scale.pretrain_people, of.scale.pretrain_per_person) = (32, 24, 4);
    generate(&root, &of, &|_, _| {}).unwrap();
    let set = root.join("pretrain/synthfaces");
    let last = |target: &str, seed: u64| {
        let spec = spec(&json!({
            "objective": {"similarity": {"target": target, "out": 16}},
            "optim": {"epochs": 150, "warmup_epochs": 2.0, "batch": 16, "blr": 0.02},
            "data": {"sets": [set.to_str().unwrap()]},
            "seed": seed,
        }));
        let (place, _) = run(1, &[], &|job| pretrain(&spec, job));
        let (total, similarity) = (curve(&place, "loss"), curve(&place, "similarity"));
        assert!(total[149] < 0.8 * total[0], "the loss falls: {} to {}", total[0], total[149]);
        similarity[130..].iter().sum::<f64>() / 20.0
    };
    for seed in [0, 1] {
        let (ema, frozen) = (last("ema", seed), last("frozen", seed));
        assert!(ema < frozen - 0.004, "seed {seed}: {ema} with a moving target, {frozen} with a frozen one");
    }
}

#[test]
fn the_effective_batch_is_kept() {
    let optim = |batch, accum, effective_batch| PretrainOptim {
        batch,
        accum,
        effective_batch,
        ..PretrainOptim::default()
    };
    for (batch, accum) in [(4096, 1), (256, 16), (1, 4096)] {
        let got = optim(batch, 3, Some(4096)).resolved().unwrap();
        assert_eq!((got.batch, got.accum, got.effective_batch), (batch, accum, Some(4096)));
    }
    assert_eq!(optim(32, 2, None).resolved().unwrap().effective_batch, Some(64));
    let error = optim(300, 1, Some(4096)).resolved().unwrap_err().to_string();
    assert!(error.contains("no multiple") && error.contains("256"), "{error}");
}

/// NT-Xent written out in loops.
#[test]
fn sim_clr_is_the_published_formula() {
    let (b, d, t) = (3usize, 4usize, 0.1);
    let unit = |phase: f64| -> Vec<Vec<f64>> {
        (0..b)
            .map(|i| {
                let row: Vec<f64> =
                    (0..d).map(|k| (1.3 * i as f64 + 0.9 * (k * k) as f64 + phase).sin()).collect();
                let norm = row.iter().map(|x| x * x).sum::<f64>().sqrt();
                row.into_iter().map(|x| x / norm).collect()
            })
            .collect()
    };
    let (online, target) = (unit(0.4), unit(0.7));
    let all: Vec<&Vec<f64>> = online.iter().chain(&target).collect();
    let s = |i: usize, j: usize| (all[i].iter().zip(all[j]).map(|(x, y)| x * y).sum::<f64>() / t).exp();
    let of = |i: usize| {
        let others: f64 = (0..2 * b).filter(|j| *j != i).map(|j| s(i, j)).sum();
        -(s(i, (i + b) % (2 * b)) / others).ln()
    };
    let want = (0..2 * b).map(of).sum::<f64>() / (2 * b) as f64;
    let tensor =
        |rows: &[Vec<f64>]| Tensor::new(rows.concat(), &Device::Cpu).unwrap().reshape((b, d)).unwrap();
    let got = losses::sim_clr(&tensor(&online), &tensor(&target), t).unwrap().to_scalar::<f64>().unwrap();
    assert!((got - want).abs() < 1e-12, "{got} is not {want}");
}
