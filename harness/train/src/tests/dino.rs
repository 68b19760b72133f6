//! DINO learns on a few hundred synthetic faces: it neither gives every face the same answer nor none at all.

use facebench_data::synth::{SynthScale, SynthSpec, generate};
use serde_json::json;

use super::runs::{Place, curves, done};
use crate::job::{Job, Silent};
use crate::pretrain;
use crate::spec::PretrainSpec;

/// K, patterns of the head.
const K: usize = 64;

#[test]
fn dino_learns_without_collapse() {
    let dir = tempfile::tempdir().unwrap();
    let faces = dir.path().join("faces");
    let scale = SynthScale { pretrain_people: 64, pretrain_per_person: 4, ..SynthScale::tiny() };
    generate(&faces, &SynthSpec { size: 32, scale, ..SynthSpec::tiny(3) }, &|_, _| {}).unwrap();
    // views that share most of a face, and a teacher that is sharp and 20 updates behind: 240 updates are few
    let spec = json!({
        "backbone": {
            "plugin": "dino", "config": {"width": 32, "depth": 2, "heads": 2, "patch": 8, "image": 32}
        },
        "objective": {"kind": "dino", "dino": {
            "out": K, "hidden": 64, "bottleneck": 32, "local_crops": 2, "local_size": 16,
            "global_area": [0.7, 1.0], "local_area": [0.3, 0.7], "colour": 0.2,
            "teacher_temp": 0.04, "teacher_momentum": 0.97, "weight_decay_end": 0.1,
        }},
        "optim": {
            "epochs": 30, "warmup_epochs": 3.0, "batch": 32, "accum": 1, "blr": 0.02,
            "weight_decay": 0.04, "betas": [0.9, 0.999], "clip": 3.0,
        },
    });
    let spec: PretrainSpec = serde_json::from_value(spec).unwrap();
    let place = Place::new();
    let (state, out) = (place.dir().join("state"), place.out());
    let job = Job { data_root: faces, ..place.job(&state, &out, 1, &Silent) };
    done(pretrain(&spec, &job).unwrap());

    let rows = curves(&place);
    let [loss, marginal, row, ..] = rows.last().unwrap()[..] else { panic!("{rows:?}") };
    let flat = (K as f64).ln();
    assert!(marginal > 0.6 * flat, "one pattern for everything: {rows:?}");
    assert!(row < 0.6 * flat, "no opinion at all: {rows:?}");
    // Who does not look at the face can do no better than the teacher's mean answer, which costs its entropy.
    assert!(loss < marginal - 0.3, "the student does not know the face: {rows:?}");
    // While the teacher spreads over the patterns the loss rises; then it must fall.
    let peak = rows.iter().map(|r| r[0]).fold(f64::MIN, f64::max);
    assert!(loss < peak - 0.1, "{rows:?}");
}
