//! One unit from start to published folder.
//!
//! Linear: is it there already? take the lease, look again, gather what it needs, run it in a thread pool
//! of its own, write its record, publish. Whatever goes wrong comes back as one message for the user; a
//! panic is such a thing too, and the folder of a unit that failed is removed.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use facebench_engine::Device;
use facebench_host::Plugins;
use facebench_protocols::{ProtocolStamp, RunRecord, Timings};
use facebench_train::{Done, Job, Outcome, Progress, pretrain, score, tune};
use serde_json::{Value, json};

use super::progress::Screen;
use super::schedule::{Ended, STACK_BYTES};
use super::{audit, generate};
use crate::fail;
use crate::plan::{DataPlan, Plan, Scoring, Task, Unit, VERSION};
use crate::store::{self, Store, Work};

/// What all units of one call share.
pub(crate) struct Surroundings<'a> {
    /// The units
    pub(crate) plan: &'a Plan,
    /// Where results are
    pub(crate) store: &'a Store,
    /// The loaded plugins
    pub(crate) plugins: &'a Plugins,
    /// Where tensors live
    pub(crate) device: Device,
    /// Its name, for the record
    pub(crate) device_name: String,
    /// Threads of each unit
    pub(crate) threads: usize,
    /// Raised when the program is asked to stop
    pub(crate) stop: &'a AtomicBool,
    /// Where progress is shown
    pub(crate) screen: &'a Screen,
    /// Findings that were said already
    pub(crate) said: &'a Mutex<BTreeSet<String>>,
}

impl Surroundings<'_> {
    /// Works on a unit; `place` is its number among those to do, for people.
    pub(crate) fn work(&self, index: usize, place: (usize, usize)) -> Ended {
        let unit = &self.plan.units[index];
        let place = format!("[{}/{}]", place.0, place.1);
        match catch_unwind(AssertUnwindSafe(|| self.try_work(unit, &place))) {
            Ok(Ok(ended)) => ended,
            Ok(Err(e)) => Ended::Failed(fail::message(&e)),
            Err(panic) => Ended::Failed(panic_message(panic.as_ref())),
        }
    }

    fn try_work(&self, unit: &Unit, place: &str) -> Result<Ended> {
        let kind = unit.task.kind();
        if unit.finished(self.store)?.is_some() {
            return Ok(Ended::Done);
        }
        let Some(work) = self.store.begin(kind, &unit.digest)? else { return Ok(Ended::Busy) };
        // the other process may have finished between our look and our lease
        if unit.finished(self.store)?.is_some() {
            return Ok(Ended::Done);
        }
        let title = format!("{place} {kind} {}", unit.name);
        self.screen.line(&title);
        let began = Instant::now();
        let started_unix = store::unix_now();
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(self.threads)
            .stack_size(STACK_BYTES)
            .build()
            .context("starting threads")?;
        let Some(done) = pool.install(|| self.perform(unit, &work, &title))? else {
            self.screen.line(&format!("{place} interrupted, can go on"));
            return Ok(Ended::Interrupted);
        };
        let wall_s = began.elapsed().as_secs_f64();
        let content = match done {
            Product::Data(summary) => {
                json!({"unit": unit.digest, "plan": unit.identity, "summary": summary, "facebench": VERSION})
            }
            Product::Result(done) => {
                serde_json::to_value(self.record(unit, *done, started_unix, wall_s)?).context("run record")?
            }
        };
        work.publish(unit.task.marker(), &content)?;
        self.screen.line(&format!("{place} done in {}", seconds(wall_s)));
        Ok(Ended::Done)
    }

    /// Runs the unit's task in its working folder; `None` if it was interrupted.
    fn perform(&self, unit: &Unit, work: &Work, title: &str) -> Result<Option<Product>> {
        let progress = self.screen.unit(title);
        let mut job = Job {
            dir: work.dir(),
            state: work.state(),
            plugins: self.plugins,
            device: self.device.clone(),
            data_root: self.data_root(),
            weights: None,
            tuned: None,
            cache: Some(self.store.features()),
            workers: self.threads,
            stop: self.stop,
            progress: &progress,
        };
        let outcome = match &unit.task {
            Task::Data(how) => {
                let made = generate::run(how, work.dir(), self.stop, &progress)?;
                return Ok(made.map(Product::Data));
            }
            Task::Pretrain(spec) => pretrain(spec, &job)?,
            Task::Tune(t) => {
                job.weights = match t.pretrain {
                    Some(i) => Some(self.folder_of(i)?.join(facebench_train::MODEL)),
                    None => t.checkpoint.clone(),
                };
                tune(&t.spec, &t.protocol, &job)?
            }
            Task::Score(s) => {
                job.tuned = Some(self.folder_of(s.tune)?);
                if let Task::Tune(t) = &self.plan.units[s.tune].task {
                    job.weights = match t.pretrain {
                        Some(i) => Some(self.folder_of(i)?.join(facebench_train::MODEL)),
                        None => t.checkpoint.clone(),
                    };
                }
                match score(&s.spec, &s.protocol, &job)? {
                    Outcome::Done(done) => match self.audited(unit, s, done, &progress)? {
                        Some(done) => Outcome::Done(done),
                        None => return Ok(None), // the scores are in the resume state
                    },
                    other => other,
                }
            }
        };
        Ok(match outcome {
            Outcome::Done(done) => Some(Product::Result(done)),
            Outcome::Interrupted => None,
        })
    }

    fn data_root(&self) -> PathBuf {
        data_root(self.plan, self.store)
    }

    /// Adds what the parts of the fold and of the pre-training have in common; `None` if asked to stop.
    fn audited(
        &self,
        unit: &Unit,
        scoring: &Scoring,
        mut done: Box<Done>,
        progress: &dyn Progress,
    ) -> Result<Option<Box<Done>>> {
        let pretrain = match &self.plan.units[scoring.tune].task {
            Task::Tune(t) => t.pretrain.map(|i| &self.plan.units[i].task),
            _ => None,
        };
        let pretrained = match pretrain {
            Some(Task::Pretrain(spec)) => spec.data.sets.as_slice(),
            _ => &[],
        };
        let (protocol, fold) = (&scoring.protocol, &scoring.spec.tune.fold);
        let cache = self.store.root().join(audit::PRINTS);
        let root = self.data_root();
        let found = audit::audit(protocol, fold, &root, pretrained, Some(&cache), self.stop, progress)?;
        let Some((findings, said)) = found else { return Ok(None) };
        if let Some(evaluation) = &mut done.evaluation {
            evaluation.findings.extend(findings);
            evaluation.findings.sort_by_key(|f| f.severity);
            audit::tell(&unit.name, &evaluation.findings, self.said, self.screen);
        }
        done.notes.push(said);
        Ok(Some(done))
    }

    fn folder_of(&self, index: usize) -> Result<PathBuf> {
        let unit = &self.plan.units[index];
        unit.finished(self.store)?
            .ok_or_else(|| anyhow!("unit {} ({}) is not finished", unit.short(), unit.name))
    }

    /// What the unit says of itself.
    fn record(&self, unit: &Unit, done: Done, started_unix: u64, wall_s: f64) -> Result<RunRecord> {
        let (protocol, selection) = match &unit.task {
            Task::Tune(t) => (Some((&t.protocol, &t.spec.fold)), None),
            Task::Score(s) => (Some((&s.protocol, &s.spec.tune.fold)), Some(s.spec.selection)),
            Task::Data(_) | Task::Pretrain(_) => (None, None),
        };
        let inputs = unit.needs.iter().map(|i| self.plan.units[*i].digest.clone()).collect();
        let mut synthetic = done.synthetic;
        for i in &unit.needs {
            synthetic |= self.is_synthetic(*i)?;
        }
        let images_per_s = if done.loop_s > 0.0 { done.images as f64 / done.loop_s } else { 0.0 };
        let attention = (!self.device.is_cpu()).then(|| facebench_engine::cuda::attention_kind(&self.device));
        Ok(RunRecord {
            facebench: VERSION.to_owned(),
            unit: unit.digest.clone(),
            kind: unit.task.kind().to_owned(),
            name: unit.name.clone(),
            plan: unit.identity.clone(),
            synthetic,
            model: unit.labels.model.clone(),
            pretraining: unit.labels.pretraining.clone(),
            head: unit.labels.head.clone(),
            seed: unit.labels.seed,
            protocol: protocol.map(|(p, fold)| ProtocolStamp {
                id: p.id.clone(),
                version: p.version,
                fingerprint: p.fingerprint(),
                fold: fold.clone(),
            }),
            selection,
            params: done.params,
            plugins: unit.plugins.clone(),
            inputs,
            data: done.data,
            git: std::env::current_exe().ok().and_then(|exe| store::git_commit(&exe)),
            machine: store::machine(&self.device_name, attention, self.threads),
            decoder: (done.images > 0 || done.evaluation.is_some())
                .then(|| facebench_data::image::DECODER.to_owned()),
            timings: Timings { started_unix, wall_s, images: done.images, images_per_s },
            evaluation: done.evaluation,
            notes: done.notes,
        })
    }

    /// Whether a finished unit says that its faces are synthetic.
    fn is_synthetic(&self, index: usize) -> Result<bool> {
        let unit = &self.plan.units[index];
        let file = self.folder_of(index)?.join(unit.task.marker().file());
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let value: Value = serde_json::from_str(&text).with_context(|| file.display().to_string())?;
        let own = value.get("synthetic").and_then(Value::as_bool);
        let made = value.pointer("/summary/synthetic").and_then(Value::as_bool);
        Ok(own.or(made).unwrap_or(false))
    }
}

/// The folder that holds the data sets of a plan.
pub(crate) fn data_root(plan: &Plan, store: &Store) -> PathBuf {
    match &plan.data {
        DataPlan::Root(path) => path.clone(),
        DataPlan::Made(i) => store.folder("data", &plan.units[*i].digest),
    }
}

/// What a unit made.
enum Product {
    /// A data root and what is in it
    Data(Value),
    /// Weights, scores, curves
    Result(Box<Done>),
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    format!(
        "the program panicked: {}\nhint: this is a fault in facebench; please report it",
        text.unwrap_or("no message")
    )
}

/// A duration for people.
pub(crate) fn seconds(s: f64) -> String {
    match s {
        s if s < 60.0 => format!("{s:.1} s"),
        s if s < 3600.0 => format!("{} min {:.0} s", (s / 60.0).floor(), s % 60.0),
        s => format!("{} h {:.0} min", (s / 3600.0).floor(), (s % 3600.0) / 60.0),
    }
}
