//! Resume state: everything a training loop needs to go on with the same bits.
//!
//! One file, written beside and renamed, so that a kill at any moment leaves the last good one.
//! Tensors carry a prefix for what they are (`online.`, `target.`, `optim.`); the rest (epoch, step,
//! curves) is JSON in the file's metadata, guarded by the digest of the specification.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use candle_core::Tensor;
use facebench_engine::checkpoint;
use serde::{Serialize, de::DeserializeOwned};

use crate::error::{Error, Result, at};

/// Seconds between two saves of a running loop. A kill loses at most this much work.
pub(crate) const EVERY: Duration = Duration::from_secs(30);

/// Where a loop keeps its resume state, and when it last did.
pub(crate) struct Keeper {
    file: PathBuf,
    key: String,
    last: Instant,
}

impl Keeper {
    /// State in `dir` for the unit whose specification is `spec`.
    pub(crate) fn new(dir: &Path, spec: &impl Serialize) -> Self {
        let key = serde_json::to_string(spec).expect("a specification is plain data");
        Self { file: dir.join("state.safetensors"), key, last: Instant::now() }
    }

    /// Whether it is time to save again.
    pub(crate) fn due(&self) -> bool {
        self.last.elapsed() >= EVERY
    }

    /// Saves tensors (with their prefixed names) and `position`.
    pub(crate) fn save(
        &mut self,
        tensors: &BTreeMap<String, Tensor>,
        position: &impl Serialize,
    ) -> Result<()> {
        let dir = self.file.parent().expect("the state file has a folder");
        std::fs::create_dir_all(dir).map_err(at(dir))?;
        let position = serde_json::to_string(position).expect("a position is plain data");
        let metadata =
            BTreeMap::from([("spec".to_owned(), self.key.clone()), ("position".to_owned(), position)]);
        checkpoint::write_safetensors(&self.file, tensors, &metadata)?;
        self.last = Instant::now();
        Ok(())
    }

    /// The saved tensors and position, if there are any.
    pub(crate) fn load<P: DeserializeOwned>(&self) -> Result<Option<(BTreeMap<String, Tensor>, P)>> {
        if !self.file.exists() {
            return Ok(None);
        }
        let wrong = |what: String| Error::State { path: self.file.clone(), what };
        let saved = checkpoint::read(&self.file)?;
        if saved.metadata.get("spec") != Some(&self.key) {
            return Err(wrong("belongs to another specification".into()));
        }
        let position = saved.metadata.get("position").ok_or_else(|| wrong("has no position".into()))?;
        let position = serde_json::from_str(position).map_err(|e| wrong(format!("position: {e}")))?;
        Ok(Some((saved.tensors, position)))
    }
}

/// Adds `tensors` to `all` under `prefix.`.
pub(crate) fn put(all: &mut BTreeMap<String, Tensor>, prefix: &str, tensors: BTreeMap<String, Tensor>) {
    all.extend(tensors.into_iter().map(|(name, t)| (format!("{prefix}.{name}"), t)));
}

/// The tensors of `all` under `prefix.`, without it.
pub(crate) fn take(all: &BTreeMap<String, Tensor>, prefix: &str) -> BTreeMap<String, Tensor> {
    let dotted = format!("{prefix}.");
    all.iter().filter_map(|(n, t)| Some((n.strip_prefix(&dotted)?.to_owned(), t.clone()))).collect()
}
