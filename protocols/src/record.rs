//! What a finished unit says of itself: the contents of `run.json`.
//!
//! One unit (pre-training, tuning or scoring) is one folder; this record is what reports and leaderboards read, and
//! all they read besides `scores.csv`. It holds no path of the machine it ran on. Fields are only ever added, with
//! a default, so that old records stay readable.

use serde::{Deserialize, Serialize};

use crate::evaluate::Evaluation;
use crate::protocol::Selection;

/// `run.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunRecord {
    /// Version of the program.
    pub facebench: String,
    /// Digest of the plan, which names the folder.
    pub unit: String,
    /// `pretrain`, `tune` or `score`.
    pub kind: String,
    /// Name within the experiment.
    pub name: String,
    /// The plan, with every default filled.
    pub plan: serde_json::Value,
    /// Whether any image it used, or any unit it used, was synthetic.
    pub synthetic: bool,
    /// Row label, such as `FS-VFM`.
    pub model: String,
    /// What it was pre-trained on, such as `VGGFace2`, or `none`.
    pub pretraining: String,
    /// Head plugin, such as `linear`.
    pub head: String,
    /// Seed.
    pub seed: u64,
    /// Which protocol and fold, for units that have one.
    pub protocol: Option<ProtocolStamp>,
    /// Which checkpoint rule.
    pub selection: Option<Selection>,
    /// Parameter counts.
    pub params: Params,
    /// Plugins used.
    pub plugins: Vec<PluginStamp>,
    /// Digests of the units it used.
    pub inputs: Vec<String>,
    /// Data sets used.
    pub data: Vec<DataStamp>,
    /// Commit of the program, where known.
    pub git: Option<String>,
    /// Where it ran.
    pub machine: Machine,
    /// What decoded its pictures, with versions; none where no picture was read.
    pub decoder: Option<String>,
    /// How long it took.
    pub timings: Timings,
    /// Numbers, for `score` units.
    pub evaluation: Option<Evaluation>,
    /// Remarks, such as a fall-back that was allowed.
    pub notes: Vec<String>,
}

/// The note of a record whose scores this program did not make.
pub const OUTSIDE: &str = "scores were made outside facebench";

impl RunRecord {
    /// Whether its scores were made elsewhere, so that it knows no machine, no plugin and no parameter.
    pub fn outside(&self) -> bool {
        self.notes.iter().any(|note| note == OUTSIDE)
    }
}

/// Which protocol a result follows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtocolStamp {
    /// Protocol id.
    pub id: String,
    /// Protocol version.
    pub version: u32,
    /// [`crate::Protocol::fingerprint`].
    pub fingerprint: String,
    /// Fold name.
    pub fold: String,
}

/// Parameter counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Params {
    /// All.
    pub total: u64,
    /// Those that were trained.
    pub trained: u64,
}

/// A plugin that took part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginStamp {
    /// `backbone`, `masking` or `head`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of its file, hexadecimal.
    pub sha256: String,
}

/// A data set that took part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataStamp {
    /// Data-set id, with the role or set name where a unit uses several parts of one.
    pub dataset: String,
    /// Number of samples.
    pub samples: usize,
    /// Number of videos.
    pub videos: usize,
    /// [`DataStamp::digest`] of the samples.
    pub sha256: String,
    /// Whether the images show synthetic faces.
    pub synthetic: bool,
}

/// What orders samples: data set, method, video, frame.
type Key<'a> = (&'a str, &'a str, &'a str, u32);

impl DataStamp {
    /// Stamp of `samples`, in whatever order they come.
    pub fn of<'a>(
        name: impl Into<String>,
        samples: impl IntoIterator<Item = &'a crate::Sample>,
        synthetic: bool,
    ) -> Self {
        Self::of_keys(
            name.into(),
            samples.into_iter().map(|s| (s.key(), s.id(), s.label)).collect(),
            synthetic,
        )
    }

    /// The same of scored samples: equal to [`DataStamp::of`] the samples that were scored.
    pub fn of_scores<'a>(
        name: impl Into<String>,
        rows: impl IntoIterator<Item = &'a crate::ScoreRow>,
        synthetic: bool,
    ) -> Self {
        Self::of_keys(name.into(), rows.into_iter().map(|r| (r.key(), r.id(), r.label)).collect(), synthetic)
    }

    fn of_keys(dataset: String, mut samples: Vec<(Key<'_>, String, u8)>, synthetic: bool) -> Self {
        samples.sort_by(|a, b| a.0.cmp(&b.0));
        let mut videos: Vec<_> =
            samples.iter().map(|((data, method, video, _), ..)| (data, method, video)).collect();
        videos.dedup();
        let (videos, count) = (videos.len(), samples.len());
        let sha256 = Self::digest(samples.into_iter().map(|(_, id, label)| (id, label)));
        Self { dataset, samples: count, videos, sha256, synthetic }
    }

    /// SHA-256, in hexadecimal, over lines `id label`, in the order given.
    pub fn digest(lines: impl IntoIterator<Item = (String, u8)>) -> String {
        use sha2::{Digest, Sha256};
        let mut hash = Sha256::new();
        for (id, label) in lines {
            hash.update(format!("{id} {label}\n").as_bytes());
        }
        crate::protocol::hex(&hash.finalize())
    }
}

/// Where a unit ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Operating system and architecture.
    pub os: String,
    /// Processor name.
    pub cpu: String,
    /// Logical cores.
    pub cores: usize,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// `cpu` or `cuda:0`, with the device's name.
    pub device: String,
    /// On a GPU, what computed bf16 attention on packed projections: `cudnn` with its version, or `composition`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention: Option<String>,
    /// Threads used.
    pub threads: usize,
}

/// How long a unit took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    /// Start, seconds since 1970.
    pub started_unix: u64,
    /// Wall-clock seconds, all sittings together.
    pub wall_s: f64,
    /// Images that passed through the network; features read from the cache do not count.
    pub images: u64,
    /// Images per second of wall-clock time; 0 if there were none.
    pub images_per_s: f64,
}
