//! What settings may not say together: a warm-up longer than the run, an end of the schedule above its peak.
//!
//! Such a run would train to its end and leave numbers that mean nothing, so a plan asks here before anything runs, and
//! training asks again. What a single value may be is in the schemas of the types (`schemars(range(…))`), which the
//! command line and editors read. What needs the network is `dry`'s business.

use facebench_engine::schedule::scaled_lr;

use super::{LrSchedule, ObjectiveKind, PretrainSpec, Sampling, TuneRecipe};
use crate::error::{Result, bad_spec};

/// A setting that cannot be meant as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its keys from the top of the specification, joined by dots
    pub key: &'static str,
    /// The setting that speaks against it
    pub with: &'static str,
    /// What would fit, in words
    pub expected: String,
    /// What is there, in words
    pub got: String,
}

/// Refuses the first of `faults`; `section` is what the settings are called in messages.
pub(crate) fn refuse(section: &str, faults: &[Fault]) -> Result<()> {
    match faults.first() {
        None => Ok(()),
        Some(f) => bad_spec!("`{section}{}`: expected {}, got {}", f.key, f.expected, f.got),
    }
}

impl PretrainSpec {
    /// Every setting that another one makes meaningless.
    pub fn validate(&self) -> Vec<Fault> {
        let o = &self.optim;
        let images = o.effective_batch.unwrap_or(o.batch * o.accum);
        let keys = ["optim.warmup_epochs", "optim.epochs", "optim.min_lr", "optim.blr"];
        let mut faults = Vec::new();
        faults.extend(warmup(keys[0], keys[1], o.warmup_epochs, o.epochs));
        faults.extend(end(keys[2], keys[3], o.min_lr, scaled_lr(o.blr, images)));
        let (objective, similarity) = (&self.objective, self.objective.similarity.as_ref());
        let weights = objective.reconstruction_weight + objective.region_weight;
        if objective.kind == ObjectiveKind::ThreeC && weights + similarity.map_or(0.0, |s| s.weight) == 0.0 {
            faults.push(Fault {
                key: "objective",
                with: "objective.reconstruction_weight",
                expected: "a term with a weight above 0".into(),
                got: "every term switched off".into(),
            });
        }
        faults
    }
}

impl TuneRecipe {
    /// Every setting that another one makes meaningless; the schedule counts only if something `trains`.
    pub fn validate(&self, trains: bool) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.epoch_batches.is_some() && self.sampling != Sampling::PerSource {
            faults.push(Fault {
                key: "epoch_batches",
                with: "sampling",
                expected: "`null`, or `sampling: per-source` with it".into(),
                got: "another sampling".into(),
            });
        }
        // per source, a batch has an even number of frames whatever `batch` is: as many reals as fakes
        if self.mixing.is_some() && self.sampling != Sampling::PerSource && self.batch % 2 == 1 {
            faults.push(Fault {
                key: "batch",
                with: "mixing",
                expected: "an even number, because `mixing` pairs the frames of a batch".into(),
                got: self.batch.to_string(),
            });
        }
        if trains && self.schedule == LrSchedule::Cosine {
            faults.extend(warmup("warmup_epochs", "epochs", self.warmup_epochs, self.epochs));
            let peak = match (self.lr, self.sampling) {
                (Some(lr), _) => Some(lr),
                // how many frames a batch has depends on the data
                (None, Sampling::PerSource) => None,
                (None, _) => Some(scaled_lr(self.blr, self.batch)),
            };
            let with = if self.lr.is_some() { "lr" } else { "blr" };
            faults.extend(peak.and_then(|peak| end("min_lr", with, self.min_lr, peak)));
        }
        faults
    }
}

/// A peak that the schedule never reaches.
fn warmup(key: &'static str, with: &'static str, warmup: f64, epochs: usize) -> Option<Fault> {
    (warmup > 0.0 && warmup >= epochs as f64).then(|| Fault {
        key,
        with,
        expected: match epochs {
            1 => "less than the one epoch of the run".into(),
            _ => format!("less than the {epochs} epochs of the run"),
        },
        got: warmup.to_string(),
    })
}

/// A cosine that goes up.
fn end(key: &'static str, with: &'static str, min_lr: f64, peak: f64) -> Option<Fault> {
    (min_lr > peak).then(|| Fault {
        key,
        with,
        expected: format!("at most the peak rate, {peak:.3e}"),
        got: format!("{min_lr}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn keys(faults: &[Fault]) -> Vec<&'static str> {
        faults.iter().map(|f| f.key).collect()
    }

    #[test]
    fn settings_of_pretraining_that_clash_are_found() {
        for (settings, expected) in [
            (json!({}), vec![]),
            (json!({"optim": {"warmup_epochs": 0, "epochs": 1}}), vec![]),
            (json!({"optim": {"warmup_epochs": 100, "epochs": 2}}), vec!["optim.warmup_epochs"]),
            (json!({"optim": {"warmup_epochs": 2, "epochs": 2}}), vec!["optim.warmup_epochs"]),
            (json!({"optim": {"min_lr": 5}}), vec!["optim.min_lr"]),
            (json!({"objective": {"region_weight": 0, "similarity": null}}), vec![]),
            (
                json!({"objective": {"region_weight": 0, "reconstruction_weight": 0, "similarity": null}}),
                vec!["objective"],
            ),
        ] {
            let spec: PretrainSpec = serde_json::from_value(settings.clone()).unwrap();
            assert_eq!(keys(&spec.validate()), expected, "{settings}");
        }
    }

    #[test]
    fn settings_of_a_recipe_that_clash_are_found() {
        let recipe = |settings: &Value| -> TuneRecipe { serde_json::from_value(settings.clone()).unwrap() };
        for (settings, expected) in [
            (json!({}), vec![]),
            (json!({"warmup_epochs": 100}), vec!["warmup_epochs"]),
            (json!({"warmup_epochs": 100, "schedule": "constant"}), vec![]),
            (json!({"min_lr": 5}), vec!["min_lr"]),
            (json!({"min_lr": 5, "lr": 6}), vec![]),
            (json!({"epoch_batches": 3}), vec!["epoch_batches"]),
            (json!({"epoch_batches": 3, "sampling": "per-source"}), vec![]),
            (json!({"batch": 63, "mixing": {}}), vec!["batch"]),
        ] {
            assert_eq!(keys(&recipe(&settings).validate(true)), expected, "{settings}");
        }
        // a head that is measured has no schedule
        assert_eq!(recipe(&json!({"epochs": 1})).validate(false), []);
    }
}
