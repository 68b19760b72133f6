//! Every shipped head on tiny synthetic faces: same bits after a stop, what it trains, what it shares, what it refuses.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use facebench_engine::checkpoint;
use facebench_protocols::{Selection, write_scores};
use serde_json::{Value, json};

use super::runs::{Place, done, files, pretrain_spec, protocol, run, tune_spec};
use crate::job::{Job, Silent};
use crate::select::{Chosens, SELECTION};
use crate::spec::{Mixing, RandAugment, Sampling, Saturation, ScoreSpec, TuneSpec, WeightsFrom};
use crate::{MODEL, SCORES, pretrain, score, tune};

fn selection(dir: &Path) -> Chosens {
    serde_json::from_str(&std::fs::read_to_string(dir.join(SELECTION)).unwrap()).unwrap()
}

/// D = 24, one block of 4 D hidden: what each head trains.
fn heads() -> Vec<(&'static str, Value, u64)> {
    let qkv_biases = 72 + 24 + 96 + 24; // qkv, proj, fc1, fc2
    vec![
        ("linear-probe", json!({}), 50),
        ("knn", json!({"k": 5}), 0),
        ("mlp", json!({"hidden": [16], "dropout": 0.2}), 24 * 16 + 16 + 16 * 2 + 2),
        ("fas-embedder", json!({"axis": "channels", "width": 32, "train": "head"}), 24 * 32 + 32 + 64 + 2),
        ("fs-adapter", json!({"loss": "pos-only"}), 2 * 24 * 6 + 6 * 6 + 6 + 48 * 2 + 2),
        // A (4, 24) and B (24, 4) for query and value
        ("lora", json!({"rank": 4}), 2 * (4 * 24 + 24 * 4) + 50),
        // patch embedding, two norms, the four linear layers, fc_norm
        ("bitfit", json!({}), 24 + 2 * 24 + qkv_biases + 24 + 50),
    ]
}

#[test]
fn every_head_resumes_with_the_same_bits_and_trains_what_it_says() {
    for (head, config, trained) in heads() {
        let (spec, protocol) = (tune_spec(head, &config), protocol());
        let unit = |job: &Job| tune(&spec, &protocol, job);
        let (plain, what) = run(0, &[], &unit);
        assert_eq!(what.params.trained, trained, "{head}");
        assert!(what.notes[0].starts_with(&format!("{trained} of ")), "{:?}", what.notes);
        // nothing trains under k-NN, so it can only be stopped while features are computed
        let (stopped, _) = run(2, &[if trained == 0 { 1 } else { 4 }], &unit);
        assert_eq!(files(&plain.out()), files(&stopped.out()), "{head}");
    }
}

#[test]
fn augmented_mixed_training_resumes_with_the_same_bits() {
    for head in ["linear", "fas-embedder"] {
        let (mut spec, protocol) = (tune_spec(head, &json!({"train": "all"})), protocol());
        spec.recipe.mixing = Some(Mixing::default());
        let augment = &mut spec.recipe.augment;
        (augment.crop, augment.erase, augment.rand_augment) = (0.08, 0.25, Some(RandAugment::default()));
        if head == "fas-embedder" {
            augment.saturation = Some(Saturation::Released);
            (spec.recipe.mixing, spec.recipe.batch) = (None, 4);
            (spec.recipe.sampling, spec.recipe.epoch_batches) = (Sampling::PerSource, Some(3));
        }
        let unit = |job: &Job| tune(&spec, &protocol, job);
        let (plain, _) = run(3, &[], &unit);
        let (stopped, _) = run(1, &[2, 2], &unit);
        assert_eq!(files(&plain.out()), files(&stopped.out()), "{head}");
    }
}

#[test]
fn rules_stand_side_by_side_and_the_oracle_changes_nothing_else() {
    let (mut spec, protocol) = (tune_spec("linear-probe", &json!({})), protocol());
    spec.recipe.epochs = 4;
    let (plain, _) = run(1, &[], &|job| tune(&spec, &protocol, job));
    spec.oracle = true;
    let (with, what) = run(1, &[], &|job| tune(&spec, &protocol, job));
    let (a, b) = (selection(&plain.out()), selection(&with.out()));
    assert_eq!(a.keys().collect::<Vec<_>>(), ["last", "max-val-auc", "min-val-loss"]);
    assert_eq!(b.keys().collect::<Vec<_>>(), ["last", "max-val-auc", "min-val-loss", "oracle"]);
    for (rule, chosen) in &a {
        assert_eq!(chosen, &b[rule]);
    }
    assert!(what.notes.iter().any(|n| n.starts_with("oracle") && n.contains("chosen on the test sets")));

    let score_by = |tuned: &Place, selection: Selection, spec: &TuneSpec| {
        let scoring = ScoreSpec { tune: spec.clone(), selection, batch: 16 };
        let place = Place::new();
        let (state, out) = (place.dir().join("state"), place.out());
        let job = Job { tuned: Some(tuned.out()), ..place.job(&state, &out, 0, &Silent) };
        score(&scoring, &protocol, &job).map(done)
    };
    let bound = score_by(&with, Selection::Oracle, &spec).unwrap();
    assert!(bound.notes[0].ends_with("chosen by oracle (on the test sets: a bound, not a result)"));
    // what the rule saw while tuning is what scoring gives
    let test = b["oracle"].test.unwrap();
    let sets = &bound.evaluation.as_ref().unwrap().sets;
    let mean = sets.iter().filter_map(|m| test.metric.of(m)).sum::<f64>() / sets.len() as f64;
    assert!((mean - test.value).abs() < 1e-12, "{mean} {}", test.value);
    let refused = score_by(&plain, Selection::Oracle, &spec).unwrap_err().to_string();
    assert!(
        refused.contains("no checkpoint was chosen by `oracle`; there are: last, max-val-auc"),
        "{refused}"
    );
}

#[test]
fn heads_share_features_and_get_the_same_bits_without() {
    let protocol = protocol();
    let cache = tempfile::tempdir().unwrap();
    let still = |head: &str| {
        let mut spec = tune_spec(head, &json!({}));
        spec.recipe.augment.flip = false;
        spec
    };
    let tuned = |spec: &TuneSpec, cache: Option<&Path>| {
        let place = Place::new();
        let (state, out) = (place.dir().join("state"), place.out());
        let job = match cache {
            Some(cache) => place.sharing(&state, &out, cache),
            None => place.job(&state, &out, 0, &Silent),
        };
        done(tune(spec, &protocol, &job).unwrap());
        files(&out)
    };
    let count = || std::fs::read_dir(cache.path()).unwrap().count();
    let alone = tuned(&still("linear-probe"), None);
    assert_eq!(tuned(&still("linear-probe"), Some(cache.path())), alone);
    assert_eq!(count(), 2, "training and development set");
    assert_eq!(tuned(&still("linear-probe"), Some(cache.path())), alone, "from the cache");
    tuned(&still("mlp"), Some(cache.path()));
    tuned(&still("knn"), Some(cache.path()));
    assert_eq!(count(), 2, "other heads read the same files");
    let mut other = still("linear-probe");
    other.seed = 9; // other random weights of the backbone
    tuned(&other, Some(cache.path()));
    assert_eq!(count(), 4, "other weights, other features");
    for file in std::fs::read_dir(cache.path()).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    }
    assert_eq!(tuned(&still("linear-probe"), Some(cache.path())), alone, "half a file is not believed");
}

/// The low-rank update starts at nothing, and scoring with merged weights equals training's own forward pass.
#[test]
fn a_low_rank_update_moves_the_frozen_backbone() {
    let (spec, protocol) = (
        tune_spec("lora", &json!({"rank": 2, "targets": ["q", "k", "v", "proj", "fc1", "fc2"]})),
        protocol(),
    );
    let (place, what) = run(0, &[], &|job| tune(&spec, &protocol, job));
    let chosen = &selection(&place.out())["last"];
    let tensors = checkpoint::read(&place.out().join(&chosen.file)).unwrap().tensors;
    let lora: Vec<&String> = tensors.keys().filter(|n| n.starts_with("lora.")).collect();
    assert_eq!(lora.len(), 12, "{lora:?}");
    let b =
        tensors["lora.blocks.0.attn.qkv.v.b"].abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
    assert!(b > 0.0, "B stayed at zero");
    let per = |out: usize, input: usize| 2 * (out + input);
    let expected = 4 * per(24, 24) + per(96, 24) + per(24, 96) + 50;
    assert_eq!(what.params.trained, expected as u64);
    let odd = tune_spec("lora", &json!({"targets": ["value"]}));
    let place = Place::new();
    let (state, out) = (place.dir().join("state"), place.out());
    let error = tune(&odd, &protocol, &place.job(&state, &out, 0, &Silent)).unwrap_err().to_string();
    assert!(error.contains("unknown target \"value\""), "{error}");
}

#[test]
fn what_cannot_work_is_refused_before_training() {
    let protocol = protocol();
    let refused = |spec: &TuneSpec, weights: Option<&Path>| {
        let place = Place::new();
        let (state, out) = (place.dir().join("state"), place.out());
        let job = Job { weights: weights.map(Path::to_owned), ..place.job(&state, &out, 0, &Silent) };
        tune(spec, &protocol, &job).map(|_| ()).unwrap_err().to_string()
    };
    let mut odd = tune_spec("linear", &json!({}));
    (odd.recipe.mixing, odd.recipe.batch) = (Some(Mixing::default()), 15);
    assert!(refused(&odd, None).contains("a batch has 15, an odd number"));
    let mut single = tune_spec("linear", &json!({}));
    (single.recipe.validation, single.recipe.batch) = (crate::spec::Validation::Batches, 1);
    assert!(refused(&single, None).contains("a validation batch of 1 frames"));
    let mut many = tune_spec("knn", &json!({"k": 100_000}));
    assert!(refused(&many, None).contains("k is 100000, and there are"));
    many.recipe.epoch_batches = Some(3);
    assert!(
        refused(&many, None).contains("`recipe.epoch_batches`: expected `null`, or `sampling: per-source`")
    );

    // ---- files
    let (pre, _) = run(0, &[], &|job| pretrain(&pretrain_spec(), job));
    let tensors = checkpoint::read(&pre.out().join(MODEL)).unwrap().tensors;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("weights.safetensors");
    let mut spec = tune_spec("linear", &json!({}));
    spec.init = WeightsFrom::Checkpoint { sha256: String::new() };
    let write = |name: &str, tensor: Tensor| {
        let mut changed = tensors.clone();
        changed.insert(name.into(), tensor);
        checkpoint::write_safetensors(&file, &changed, &BTreeMap::new()).unwrap();
    };
    write("blocks.0.norm1.bias", Tensor::full(f32::NAN, 24, &Device::Cpu).unwrap());
    let message = refused(&spec, Some(&file));
    assert!(message.contains("blocks.0.norm1.bias is not finite at element 0"), "{message}");
    write("cls_token", Tensor::zeros((1, 1, 32), DType::F32, &Device::Cpu).unwrap());
    let message = refused(&spec, Some(&file));
    assert!(message.contains("cls_token") && message.contains("[1, 1, 24]"), "{message}");
    let bytes = std::fs::read(&file).unwrap();
    for part in [&bytes[..bytes.len() - 100], &bytes[..5], &[]] {
        std::fs::write(&file, part).unwrap();
        let message = refused(&spec, Some(&file));
        assert!(message.contains("weights.safetensors"), "{message}");
    }
}

/// Scores whose whole interval is under one half are called what they probably are.
#[test]
fn swapped_polarity_is_found() {
    let (mut spec, protocol) = (tune_spec("linear-probe", &json!({})), protocol());
    (spec.recipe.epochs, spec.recipe.blr) = (30, 0.5);
    let (tuned, _) = run(1, &[], &|job| tune(&spec, &protocol, job));
    let scoring = ScoreSpec { tune: spec, selection: Selection::Last, batch: 16 };
    let place = Place::new();
    let (state, out) = (place.dir().join("state"), place.out());
    let job = Job { tuned: Some(tuned.out()), ..place.job(&state, &out, 0, &Silent) };
    done(score(&scoring, &protocol, &job).unwrap());
    let mut rows = facebench_protocols::read_scores(&out.join(SCORES)).unwrap();
    for row in &mut rows {
        // a model that has learnt, with its classes exchanged
        let noise = f64::from(row.frame % 7) * 0.01;
        row.score = if row.label == 1 { 0.1 + noise } else { 0.9 - noise };
        row.raw = (row.score / (1.0 - row.score)).ln();
    }
    write_scores(&out.join(SCORES), &rows).unwrap();
    let evaluation = facebench_protocols::evaluate::evaluate(&protocol, &protocol.folds[0], &rows).unwrap();
    assert!(evaluation.stopped());
    let finding = evaluation.findings.iter().find(|f| f.code == "polarity").unwrap();
    assert!(finding.message.contains("are labels or scores swapped?"), "{}", finding.message);
}
