//! What a scored fold leaked: files, copies, look-alikes and people on both sides of a wall.
//!
//! Run after every scoring unit, from the pictures themselves, with prints kept in the folder of results: each picture
//! is read once, whatever the number of models. Findings join those of the evaluation.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use facebench_data::audit::{Seen, leakage, parts};
use facebench_protocols::{Finding, Protocol};
use facebench_train::Progress;
use facebench_train::frames::FoldData;

/// Folder of the prints, in the folder of results.
pub(crate) const PRINTS: &str = ".prints";

/// Findings, and a sentence that says what was compared; `None` if the program was asked to stop. `pretrained` are
/// folders and shards under the data root.
///
/// # Errors
/// The data cannot be read, or the cache not written.
pub(crate) fn audit(
    protocol: &Protocol,
    fold: &str,
    root: &Path,
    pretrained: &[String],
    cache: Option<&Path>,
    stop: &AtomicBool,
    progress: &dyn Progress,
) -> Result<Option<(Vec<Finding>, String)>> {
    let data = FoldData::open(protocol, fold, root)?;
    let open = |set: &String| Seen::open(set, &root.join(set));
    let seen = pretrained.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let parts = parts(&data.assembled, &seen);
    let total: usize = parts.iter().map(|p| p.items.len()).sum();
    progress.phase("leakage audit", total as u64);
    Ok(leakage(&parts, cache, stop, &|n| progress.tick(n, "reading pictures"))?)
}
