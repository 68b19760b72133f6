//! The surroundings of a unit: where it may write, what it may use, how it is told to stop.
//!
//! A unit fills `dir`; the caller publishes that folder by renaming it. `state` survives an
//! interruption: a training loop saves itself there every half minute and when `stop` is raised, and
//! goes on from there when it is called again with the same specification. Nothing in a `Job` may
//! change a number in the result.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::Device;
use facebench_host::Plugins;
use facebench_protocols::{DataStamp, Params};

/// What a unit gets from its surroundings.
pub struct Job<'a> {
    /// Folder to fill; exists and is empty
    pub dir: &'a Path,
    /// Folder for resume state; created when needed, removed by the caller after publication
    pub state: &'a Path,
    /// The loaded plugins
    pub plugins: &'a Plugins,
    /// Where tensors live
    pub device: Device,
    /// Data root: the folder that holds the data sets in their published layouts
    pub data_root: PathBuf,
    /// Checkpoint that a specification's `init` refers to
    pub weights: Option<PathBuf>,
    /// Published folder of the tuning unit, for scoring
    pub tuned: Option<PathBuf>,
    /// Folder of features that units share; none = every unit computes its own
    pub cache: Option<PathBuf>,
    /// Threads that read and decode images
    pub workers: usize,
    /// Raised when the program is asked to stop
    pub stop: &'a AtomicBool,
    /// Who is told how far it is
    pub progress: &'a dyn Progress,
}

impl Job<'_> {
    /// Whether the program was asked to stop.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Receives progress; implementations draw bars, print lines or do nothing.
pub trait Progress: Send + Sync {
    /// A phase of `total` steps begins.
    fn phase(&self, what: &str, total: u64);
    /// `done` steps of the phase are finished; `message` is short and for people.
    fn tick(&self, done: u64, message: &str);
    /// Something the user should know.
    fn note(&self, message: &str);
}

/// Nobody listens.
pub struct Silent;

impl Progress for Silent {
    fn phase(&self, _: &str, _: u64) {}
    fn tick(&self, _: u64, _: &str) {}
    fn note(&self, _: &str) {}
}

/// How a unit ended.
#[derive(Debug)]
pub enum Outcome {
    /// Everything is in `Job::dir`
    Done(Box<Done>),
    /// Stopped on request; `Job::state` holds what is needed to go on
    Interrupted,
}

/// What a finished unit says of itself, for its run record.
#[derive(Debug, Default)]
pub struct Done {
    /// Parameters of the network
    pub params: Params,
    /// What was read
    pub data: Vec<DataStamp>,
    /// Whether any input was made by the generator of synthetic faces
    pub synthetic: bool,
    /// Images that passed through the network
    pub images: u64,
    /// Seconds spent in the loop
    pub loop_s: f64,
    /// Share of them spent waiting for data
    pub data_wait: f64,
    /// Remarks for the record: counts of policies applied, final losses
    pub notes: Vec<String>,
    /// Metrics, when the unit scored something
    pub evaluation: Option<facebench_protocols::Evaluation>,
}
