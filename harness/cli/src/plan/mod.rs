//! From what a user wrote to what will run: units, each named by the digest of what it will do.
//!
//! A unit is one folder of results: a generated data root, a pre-training, a tuning or a scoring run. Its
//! identity holds every setting with all defaults filled, the digests of the plugins' files, of the units
//! it builds on and of the data it reads, the protocol's fingerprint and the version of this program.
//! SHA-256 over its canonical JSON is its name. Nothing that may not change a number is in it: no path, no
//! device, no thread count, no label. So one unit serves every row and every experiment that needs it.

mod build;
mod data;
mod estimate;
mod names;
mod print;
mod resolve;
mod sound;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use facebench_protocols::{PluginStamp, Protocol};
use facebench_train::spec::{PretrainSpec, ScoreSpec, TuneSpec};
use serde_json::Value;

pub(crate) use build::{VERSION, build};
pub(crate) use data::{DataPlan, Generate};
pub(crate) use estimate::Estimate;
pub(crate) use print::{commands, json, term};
pub(crate) use resolve::{protocol, stamp};

use crate::config::Experiment;
use crate::store::{self, Marker, Store, StoreError};

/// A resolved experiment.
pub(crate) struct Plan {
    /// What was written, with every default
    pub(crate) experiment: Experiment,
    /// Units in an order in which they can run
    pub(crate) units: Vec<Unit>,
    /// Table rows and cells: one for each model × head × protocol × fold × seed
    pub(crate) cells: Vec<Cell>,
    /// The protocols, in order
    pub(crate) protocols: Vec<Protocol>,
    /// Where the faces come from
    pub(crate) data: DataPlan,
    /// What pre-training units cost, by their index
    pub(crate) costs: BTreeMap<usize, Estimate>,
    /// Checkpoints that are not there yet; units that start from them have no digest of their own
    pub(crate) absent: BTreeSet<PathBuf>,
    /// What must be put right before anything of this runs
    pub(crate) unready: Vec<String>,
}

/// One combination of the matrix and the unit that scores it.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    /// What the tables call it
    pub(crate) labels: Labels,
    /// Index of its scoring unit
    pub(crate) unit: usize,
}

/// Names for people; they are not part of any digest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Labels {
    /// Name of the model
    pub(crate) model: String,
    /// What its weights come from
    pub(crate) pretraining: String,
    /// Name of the head
    pub(crate) head: String,
    /// Seed of tuning
    pub(crate) seed: u64,
}

/// One folder of results.
pub(crate) struct Unit {
    /// What it is called in messages
    pub(crate) name: String,
    /// SHA-256 of `identity`
    pub(crate) digest: String,
    /// Everything that can change its numbers
    pub(crate) identity: Value,
    /// What to do
    pub(crate) task: Task,
    /// Units that must be finished before
    pub(crate) needs: Vec<usize>,
    /// Names for the record
    pub(crate) labels: Labels,
    /// Plugins it uses
    pub(crate) plugins: Vec<PluginStamp>,
}

/// What a unit does.
#[derive(Clone, Debug)]
pub(crate) enum Task {
    /// Makes the data root
    Data(Generate),
    /// Pre-trains a backbone
    Pretrain(Box<PretrainSpec>),
    /// Tunes a model and a head
    Tune(Box<Tuning>),
    /// Scores the tests of a fold
    Score(Box<Scoring>),
}

/// A tuning run and what it refers to.
#[derive(Clone, Debug)]
pub(crate) struct Tuning {
    /// The settings
    pub(crate) spec: TuneSpec,
    /// The protocol
    pub(crate) protocol: Protocol,
    /// Unit that pre-trained the backbone
    pub(crate) pretrain: Option<usize>,
    /// File with published weights
    pub(crate) checkpoint: Option<PathBuf>,
}

/// A scoring run and what it refers to.
#[derive(Clone, Debug)]
pub(crate) struct Scoring {
    /// The settings
    pub(crate) spec: ScoreSpec,
    /// The protocol
    pub(crate) protocol: Protocol,
    /// Unit that tuned the model
    pub(crate) tune: usize,
}

impl Task {
    /// The first part of the folder's name.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Data(_) => "data",
            Self::Pretrain(_) => "pretrain",
            Self::Tune(_) => "tune",
            Self::Score(_) => "score",
        }
    }

    /// The file that makes its folder a result.
    pub(crate) fn marker(&self) -> Marker {
        match self {
            Self::Data(_) => Marker::Data,
            _ => Marker::Run,
        }
    }
}

impl Unit {
    /// The digest's first characters.
    pub(crate) fn short(&self) -> &str {
        store::short(&self.digest)
    }

    /// The folder of its result, if it is finished.
    ///
    /// # Errors
    /// The folder exists and is no result.
    pub(crate) fn finished(&self, store: &Store) -> Result<Option<PathBuf>, StoreError> {
        store.finished(self.task.kind(), &self.digest, self.task.marker())
    }
}

impl Plan {
    /// Refuses a plan that can be looked at, but not run.
    ///
    /// # Errors
    /// Something that it needs is not there.
    pub(crate) fn ready(&self) -> anyhow::Result<()> {
        if self.unready.is_empty() { Ok(()) } else { anyhow::bail!(self.unready.join("\n")) }
    }

    /// The checkpoint that a unit waits for.
    pub(crate) fn waits_for<'p>(&'p self, unit: &'p Unit) -> Option<&'p Path> {
        let tuning = match &unit.task {
            Task::Tune(tuning) => tuning,
            Task::Score(scoring) => match &self.units[scoring.tune].task {
                Task::Tune(tuning) => tuning,
                _ => return None,
            },
            Task::Data(_) | Task::Pretrain(_) => return None,
        };
        tuning.checkpoint.as_deref().filter(|path| self.absent.contains(*path))
    }

    /// The unit that a user means by a digest or its beginning.
    ///
    /// # Errors
    /// None or several begin so.
    pub(crate) fn unit(&self, digest: &str) -> anyhow::Result<usize> {
        // folder names are accepted too: `tune-0123…`
        let wanted = digest.rsplit_once('-').map_or(digest, |(_, d)| d);
        let hits: Vec<usize> = (0..self.units.len())
            .filter(|i| wanted.len() >= 4 && self.units[*i].digest.starts_with(wanted))
            .collect();
        match hits.as_slice() {
            [one] => Ok(*one),
            [] => anyhow::bail!(
                "no unit of this experiment has a digest that begins with `{digest}`\nhint: `facebench plan` with the same arguments lists the units"
            ),
            many => anyhow::bail!("{} units begin with `{digest}`: give more of its digits", many.len()),
        }
    }

    /// The units that `wanted` needs, directly or through others, and itself; in running order.
    pub(crate) fn closure(&self, wanted: &[usize]) -> Vec<usize> {
        let mut keep = vec![false; self.units.len()];
        let mut open = wanted.to_vec();
        while let Some(i) = open.pop() {
            if !std::mem::replace(&mut keep[i], true) {
                open.extend(&self.units[i].needs);
            }
        }
        (0..self.units.len()).filter(|i| keep[*i]).collect()
    }
}
