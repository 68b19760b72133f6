//! What a scored fold leaked: files, copies, look-alikes and people on both sides of a wall.
//!
//! Run after every scoring unit, from the pictures themselves, with prints kept in the folder of results: each picture
//! is read once, whatever the number of models. Findings join those of the evaluation.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use facebench_data::audit::{leakage, parts};
use facebench_data::readers::pretrain_folders;
use facebench_data::shard::is_shard;
use facebench_protocols::{Finding, Protocol};
use facebench_train::Progress;
use facebench_train::frames::FoldData;

/// Folder of the prints, in the folder of results.
pub(crate) const PRINTS: &str = ".prints";

/// Findings, and a sentence that says what was compared; `None` if the program was asked to stop. `pretrained` are
/// folders under the data root.
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
    let mut seen = Vec::new();
    for set in pretrained.iter().filter(|set| !is_shard(Path::new(set))) {
        seen.push((set.clone(), pretrain_folders(&[root.join(set)])?.items));
    }
    let parts = parts(&data.assembled, &seen);
    let total: usize = parts.iter().map(|p| p.items.len()).sum();
    progress.phase("leakage audit", total as u64);
    let found = leakage(&parts, cache, stop, &|n| progress.tick(n, "reading pictures"))?;
    Ok(found.map(|(findings, mut said)| {
        if pretrained.iter().any(|set| is_shard(Path::new(set))) {
            said.push_str("; packed pre-training shards were not looked into");
        }
        (findings, said)
    }))
}
