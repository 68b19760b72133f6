//! `submission.json`: what a bundle says it is.
//!
//! Everything here can be checked against the other files of the bundle, except the texts for people and the digests of
//! weights, which name files that are too large to submit.

use super::{Error, Result};
use crate::runs::Run;
use facebench_protocols::{Params, PluginStamp, ProtocolStamp, Selection};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Version of the form.
pub(super) const FORMAT: u32 = 1;
/// The file.
pub(super) const FILE: &str = "submission.json";

/// `submission.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// Version of this form: 1.
    pub format: u32,
    /// Name on the leaderboard.
    pub name: String,
    /// Who submits.
    pub authors: String,
    /// Paper or code.
    pub url: String,
    /// Licence of the weights.
    pub license: String,
    /// One paragraph.
    pub description: String,
    /// Version of the program that packed it.
    pub facebench: String,
    /// Whether any result was made with synthetic faces.
    pub synthetic: bool,
    /// The results, in the order of their units.
    pub results: Vec<Entry>,
}

/// One scored run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Digest of the plan, which names the folder below `runs/`.
    pub unit: String,
    /// Row label: backbone.
    pub model: String,
    /// Row label: pre-training.
    pub pretraining: String,
    /// Row label: head.
    pub head: String,
    /// Seed.
    pub seed: u64,
    /// Protocol, fold and fingerprint.
    pub protocol: ProtocolStamp,
    /// Checkpoint rule.
    pub selection: Option<Selection>,
    /// Parameter counts.
    pub params: Params,
    /// Plugins with their digests.
    pub plugins: Vec<PluginStamp>,
    /// Weights the scores were made with.
    pub weights: Vec<Weights>,
}

/// Digest of a file of weights.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// Digest of the unit that made it.
    pub unit: String,
    /// File name.
    pub file: String,
    /// SHA-256 of the file.
    pub sha256: String,
}

impl Entry {
    /// What a run says of itself, with the digests of its weights.
    pub(super) fn of(run: &Run, weights: Vec<Weights>) -> Self {
        let r = &run.record;
        Self {
            unit: r.unit.clone(),
            model: r.model.clone(),
            pretraining: r.pretraining.clone(),
            head: r.head.clone(),
            seed: r.seed,
            protocol: r.protocol.clone().unwrap_or_default(),
            selection: r.selection,
            params: r.params,
            plugins: r.plugins.clone(),
            weights,
        }
    }
}

impl Submission {
    /// Reads `submission.json` of a bundle.
    ///
    /// # Errors
    /// The file is missing or not of this form.
    pub fn load(bundle: &Path) -> Result<Self> {
        let path = bundle.join(FILE);
        let text = std::fs::read_to_string(&path).map_err(|e| Error::io(&path, e))?;
        let submission: Self = serde_json::from_str(&text)
            .map_err(|e| Error::Malformed { path: path.clone(), message: e.to_string() })?;
        if submission.format != FORMAT {
            let message = format!("format {}, this program reads format {FORMAT}", submission.format);
            return Err(Error::Malformed { path, message });
        }
        Ok(submission)
    }
}

/// Folder of a unit within a bundle.
pub(super) fn folder_of(unit: &str) -> String {
    format!("runs/{}", unit.chars().take(16).collect::<String>())
}
