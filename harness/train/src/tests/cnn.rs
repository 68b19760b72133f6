//! A convolutional network tuned end to end: batch statistics while it trains, running ones when it scores, and both
//! through interruptions to the bit.

use facebench_engine::checkpoint;
use facebench_protocols::{Selection, read_scores};
use serde_json::{Value, json};

use super::runs::{Place, curves, done, files, protocol, run, tune_spec};
use crate::job::{Job, Outcome, Silent};
use crate::spec::{Component, ScoreSpec, TuneSpec};
use crate::{SCORES, score, tune};

/// ResNet-50 with an eighth of its width, at the smallest size; two epochs.
fn spec(train: &str) -> TuneSpec {
    let config = json!({"image": 32, "width": 8}).as_object().unwrap().clone();
    let mut spec = tune_spec("linear", &json!({"train": train}));
    spec.backbone = Component { plugin: "resnet50".into(), config };
    spec.recipe.lr = Some(2e-3);
    spec.recipe.batch = 8;
    spec
}

/// The file of the last epoch's weights.
fn last(place: &Place) -> std::collections::BTreeMap<String, Vec<f32>> {
    let text = std::fs::read_to_string(place.out().join("selection.json")).unwrap();
    let chosen: Value = serde_json::from_str(&text).unwrap();
    let file = place.out().join(chosen["last"]["file"].as_str().unwrap());
    let tensors = checkpoint::read(&file).unwrap().tensors;
    tensors.into_iter().map(|(n, t)| (n, t.flatten_all().unwrap().to_vec1().unwrap())).collect()
}

#[test]
fn full_fine_tuning_gives_the_same_bits_after_interruptions() {
    let spec = spec("all");
    let unit = |job: &Job| tune(&spec, &protocol(), job);
    let (plain, what) = run(0, &[], &unit);
    assert_eq!(what.params.total, what.params.trained, "statistics are no parameters");
    // in the middle of an epoch, and once more a step later
    let (stopped, _) = run(2, &[2, 1, 2], &unit);
    assert_eq!(files(&plain.out()), files(&stopped.out()));
    let weights = last(&plain);
    let (mean, var) = (&weights["bn1.running_mean"], &weights["layer4.2.bn3.running_var"]);
    assert!(mean.iter().all(|v| *v != 0.0) && var.iter().all(|v| *v != 1.0), "statistics are kept: {mean:?}");
    let losses = curves(&plain);
    assert!(losses.iter().flatten().all(|v| v.is_finite()), "{losses:?}");
}

/// With the batch's statistics a score would depend on its company.
#[test]
fn scores_do_not_depend_on_the_batch() {
    let spec = spec("all");
    let (tuned, _) = run(1, &[], &|job| tune(&spec, &protocol(), job));
    let scored = |batch: usize, stops: &[u64]| {
        let spec = ScoreSpec { tune: spec.clone(), selection: Selection::Last, batch };
        let unit = |job: &Job| {
            let job = Job { tuned: Some(tuned.out()), ..with(job) };
            score(&spec, &protocol(), &job)
        };
        let (place, _) = run(1, stops, &unit);
        read_scores(&place.out().join(SCORES)).unwrap()
    };
    let (single, all) = (scored(1, &[]), scored(64, &[]));
    assert_eq!(single.len(), all.len());
    for (a, b) in single.iter().zip(&all) {
        assert_eq!(a.id(), b.id());
        assert!((a.raw - b.raw).abs() < 1e-5, "{}: {} alone, {} in company", a.id(), a.raw, b.raw);
    }
    let spread = all.iter().map(|r| r.raw).fold(f64::NEG_INFINITY, f64::max)
        - all.iter().map(|r| r.raw).fold(f64::INFINITY, f64::min);
    assert!(spread > 1e-4, "the network tells pictures apart: {spread}");
    assert_eq!(scored(1, &[3, 2]), single, "and after interruptions");
}

fn with<'a>(job: &Job<'a>) -> Job<'a> {
    Job {
        dir: job.dir,
        state: job.state,
        plugins: job.plugins,
        device: job.device.clone(),
        data_root: job.data_root.clone(),
        weights: None,
        tuned: None,
        cache: None,
        workers: job.workers,
        stop: job.stop,
        progress: job.progress,
    }
}

#[test]
fn a_probe_leaves_the_statistics_alone() {
    let spec = spec("head");
    let place = Place::new();
    let (state, out) = (place.dir().join("state"), place.out());
    let outcome = tune(&spec, &protocol(), &place.job(&state, &out, 0, &Silent)).unwrap();
    assert!(matches!(outcome, Outcome::Done(_)));
    done(outcome);
    let weights = last(&place);
    assert!(weights["bn1.running_mean"].iter().all(|v| *v == 0.0));
    assert!(weights["bn1.running_var"].iter().all(|v| *v == 1.0));
}
