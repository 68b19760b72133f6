//! A folder that appears only when it is finished.
//!
//! Everything is written to `OUT.partial-<host>-<process>` beside the target, then renamed. Leftovers of processes
//! that were killed on this machine are removed by the next run. Also used for forged photographs.

use std::io;
use std::path::{Path, PathBuf};

/// A folder under construction.
pub(crate) struct Partial {
    /// Where to write.
    pub(crate) root: PathBuf,
}

/// An I/O error and the path it happened at.
pub(crate) type Failed = (PathBuf, io::Error);

impl Partial {
    /// Starts an empty folder beside `out`.
    pub(crate) fn begin(out: &Path) -> Result<Self, Failed> {
        let parent = match out.parent() {
            Some(p) if !p.as_os_str().is_empty() => p.to_path_buf(),
            _ => PathBuf::from("."),
        };
        std::fs::create_dir_all(&parent).map_err(|e| (parent.clone(), e))?;
        let name = out.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let prefix = format!("{name}.partial-{}-", host_name());
        remove_leftovers(&parent, &prefix);
        let root = parent.join(format!("{prefix}{}", std::process::id()));
        std::fs::create_dir(&root).map_err(|e| (root.clone(), e))?;
        Ok(Self { root })
    }

    /// Puts the folder in its place, which must be free or an empty folder. On failure nothing is left behind.
    pub(crate) fn publish(&self, out: &Path) -> Result<(), Failed> {
        // fails where something is in it, and then so does the rename
        let _ = std::fs::remove_dir(out);
        std::fs::rename(&self.root, out).map_err(|e| {
            self.discard();
            (out.to_path_buf(), e)
        })
    }

    /// Removes what was written so far.
    pub(crate) fn discard(&self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

/// Files below a folder, at any depth.
pub(crate) fn count_files(folder: &Path) -> Result<usize, Failed> {
    let failed = |e| (folder.to_path_buf(), e);
    let mut count = 0;
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        count += if entry.file_type().map_err(failed)?.is_dir() { count_files(&entry.path())? } else { 1 };
    }
    Ok(count)
}

/// Whether `out` is free to write to: not there, or an empty folder.
pub(crate) fn is_free(out: &Path) -> Result<bool, Failed> {
    if !out.exists() {
        return Ok(true);
    }
    Ok(out.is_dir() && std::fs::read_dir(out).map_err(|e| (out.to_path_buf(), e))?.next().is_none())
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name.trim().chars().filter(char::is_ascii_alphanumeric).take(24).collect();
    if name.is_empty() { "here".into() } else { name }
}

/// Removes folders of processes that no longer run on this machine. Failures do not matter: they only cost disk.
fn remove_leftovers(parent: &Path, prefix: &str) {
    let (true, Ok(entries)) = (Path::new("/proc/self").exists(), std::fs::read_dir(parent)) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(pid) = name.strip_prefix(prefix).and_then(|p| p.parse::<u32>().ok()) else { continue };
        if !Path::new(&format!("/proc/{pid}")).exists() {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
