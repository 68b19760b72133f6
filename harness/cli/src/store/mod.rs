//! The run store: one folder per finished unit, named by the digest of what it did.
//!
//! A unit is worked on in `.tmp-<digest>-<pid>-<host>` and becomes a result by one `rename`, after its
//! files are on disk. So a result is either whole or absent, a second process that did the same work
//! changes nothing, and a shared folder is all that several machines need. `.state-<digest>` keeps what
//! an interrupted unit needs to go on; `.lock-<digest>` is a lease that avoids double work on one machine
//! and guards nothing. The marker (`run.json`) names the full digest, is written last, and is checked
//! before a folder is believed.

mod sys;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

pub(crate) use sys::{git_commit, machine, unix_now};

/// Characters of a digest that name folders and appear in messages.
pub(crate) const SHORT: usize = 16;

/// SHA-256 of a value's canonical JSON (keys sorted, no spaces, shortest floats), in hex.
pub(crate) fn digest(value: &Value) -> String {
    hex(&Sha256::digest(value.to_string()))
}

/// SHA-256 of a file, in hex.
pub(crate) fn file_digest(path: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    io::copy(&mut File::open(path)?, &mut HashWriter(&mut hash))?;
    Ok(hex(&hash.finalize()))
}

struct HashWriter<'h>(&'h mut Sha256);

impl Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The first [`SHORT`] characters of a digest.
pub(crate) fn short(digest: &str) -> &str {
    &digest[..digest.len().min(SHORT)]
}

/// What can be wrong with a store or a folder in it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The folder of results cannot be made or written
    #[error(
        "{path}: results cannot be written here: {source}\nhint: choose another folder with `--runs DIR`"
    )]
    NotWritable {
        /// The folder
        path: PathBuf,
        /// What the system said
        source: io::Error,
    },
    /// A file operation failed
    #[error("{path}: {source}{}", disk_hint(.source))]
    Io {
        /// The file
        path: PathBuf,
        /// What the system said
        source: io::Error,
    },
    /// A folder has a result's name but is not one
    #[error(
        "{folder}: not a finished result: {what}\nhint: it was not written by a finished unit; remove the folder and run again"
    )]
    NotAResult {
        /// The folder
        folder: PathBuf,
        /// What is missing or wrong
        what: String,
    },
}

fn disk_hint(e: &io::Error) -> &'static str {
    if is_disk_full(e) { "\nhint: free some space and run again; finished units are kept" } else { "" }
}

/// Whether a write failed for want of space.
pub(crate) fn is_disk_full(e: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(e.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> StoreError + '_ {
    move |source| StoreError::Io { path: path.to_owned(), source }
}

/// A folder of results.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    root: PathBuf,
}

/// What a folder holds, and so which file in it is written last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marker {
    /// A unit's run record, `run.json`
    Run,
    /// A generated data root, `data.json`
    Data,
    /// Scores of damaged pictures, `robustness.json`: no row of any other table
    Robustness,
}

impl Marker {
    /// The marker's file name.
    pub(crate) fn file(self) -> &'static str {
        match self {
            Self::Run => "run.json",
            Self::Data => "data.json",
            Self::Robustness => "robustness.json",
        }
    }
}

impl Store {
    /// A store to look into. Nothing is created; the folder need not exist.
    pub(crate) fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Where units share features of backbones that do not train; may be deleted at any time.
    pub(crate) fn features(&self) -> PathBuf {
        self.root.join(".features")
    }

    /// A store to write to: makes the folder, proves that it can be written, and sweeps away the working
    /// folders of processes of this machine that are no more.
    ///
    /// # Errors
    /// The folder cannot be made or written.
    pub(crate) fn open(root: &Path) -> Result<Self, StoreError> {
        let refuse = |source| StoreError::NotWritable { path: root.to_owned(), source };
        fs::create_dir_all(root).map_err(refuse)?;
        let probe = root.join(format!(".probe-{}", std::process::id()));
        File::create(&probe).and_then(|_| fs::remove_file(&probe)).map_err(refuse)?;
        let store = Self { root: root.to_owned() };
        store.sweep().map_err(at(root))?;
        Ok(store)
    }

    /// Removes what killed processes left: their working folders, leases that nobody holds, and the resume state of
    /// units that are finished. Failures only cost disk: another process may be sweeping too.
    fn sweep(&self) -> io::Result<()> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        let finished = |id: &str| names.iter().any(|n| !n.starts_with('.') && n.ends_with(&format!("-{id}")));
        let mut worked_on = Vec::new();
        for name in &names {
            let Some((pid, host)) = tmp_owner(name) else { continue };
            if host == sys::hostname() && (pid == std::process::id() || !sys::alive(pid)) {
                let _ = fs::remove_dir_all(self.root.join(name));
            } else {
                worked_on.push(name.as_str());
            }
        }
        for name in names.iter().filter(|n| tmp_owner(n).is_none()) {
            let id = name.strip_prefix(".state-").or(name.strip_prefix(".lock-"));
            if let Some(id) = id.filter(|id| finished(id) && !self.is_leased(id)) {
                let _ = fs::remove_dir_all(self.root.join(format!(".state-{id}")));
            }
            let Some(id) = name.strip_prefix(".lock-") else { continue };
            // a lease that another machine holds may not be seen from here, its working folder is
            if !worked_on.iter().any(|tmp| tmp.starts_with(&format!(".tmp-{id}-"))) {
                remove_unheld(&self.root.join(name));
            }
        }
        Ok(())
    }

    /// Whether a unit was begun and saved itself, by the short form of its digest.
    pub(crate) fn is_interrupted(&self, id: &str) -> bool {
        self.root.join(format!(".state-{id}")).is_dir()
    }

    /// Whether a process of this machine is working on a unit.
    pub(crate) fn is_leased(&self, id: &str) -> bool {
        let lease = File::open(self.root.join(format!(".lock-{id}")));
        lease.is_ok_and(|l| matches!(l.try_lock(), Err(fs::TryLockError::WouldBlock)))
    }

    /// The folder of results.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where the result of a unit is, or will be: `<kind>-<digest16>`.
    pub(crate) fn folder(&self, kind: &str, digest: &str) -> PathBuf {
        self.root.join(format!("{kind}-{}", short(digest)))
    }

    /// The folder of a finished unit, or `None` if there is none.
    ///
    /// # Errors
    /// A folder of that name exists and is not a finished result of this digest.
    pub(crate) fn finished(
        &self,
        kind: &str,
        digest: &str,
        marker: Marker,
    ) -> Result<Option<PathBuf>, StoreError> {
        let folder = self.folder(kind, digest);
        match fs::symlink_metadata(&folder) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) if e.kind() == io::ErrorKind::NotADirectory => return Ok(None),
            Err(e) => return Err(at(&folder)(e)),
            Ok(_) => {}
        }
        let bad = |what: String| StoreError::NotAResult { folder: folder.clone(), what };
        let file = folder.join(marker.file());
        let text = fs::read_to_string(&file).map_err(|e| bad(format!("{}: {e}", marker.file())))?;
        let value: Value = serde_json::from_str(&text).map_err(|e| bad(format!("{}: {e}", marker.file())))?;
        match value.get("unit").and_then(Value::as_str) {
            Some(unit) if unit == digest => Ok(Some(folder)),
            Some(unit) => {
                Err(bad(format!("{} is of unit {}, not {}", marker.file(), short(unit), short(digest))))
            }
            None => Err(bad(format!("{} names no unit", marker.file()))),
        }
    }

    /// Starts work on a unit, unless another process on this store is at it (`None`).
    ///
    /// # Errors
    /// The working folder cannot be made.
    pub(crate) fn begin(&self, kind: &str, digest: &str) -> Result<Option<Work>, StoreError> {
        let id = short(digest);
        let lock_path = self.root.join(format!(".lock-{id}"));
        let lock = loop {
            let lock = File::create(&lock_path).map_err(at(&lock_path))?;
            if let Err(fs::TryLockError::WouldBlock) = lock.try_lock() {
                return Ok(None);
            }
            // its holder may have removed the file between our two steps
            if is_file_at(&lock, &lock_path) {
                break lock;
            }
        };
        let tmp = self.root.join(format!(".tmp-{id}-{}-{}", std::process::id(), sys::hostname()));
        if tmp.exists() {
            fs::remove_dir_all(&tmp).map_err(at(&tmp))?;
        }
        fs::create_dir(&tmp).map_err(at(&tmp))?;
        let state = self.root.join(format!(".state-{id}"));
        let folder = self.folder(kind, digest);
        Ok(Some(Work {
            tmp,
            state,
            folder,
            digest: digest.to_owned(),
            kind: kind.to_owned(),
            lock_path,
            lock,
        }))
    }
}

/// Whether `path` still names the file that is open; where the system cannot tell, it does.
fn is_file_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        (_, Err(e)) => e.kind() != io::ErrorKind::NotFound,
        _ => true,
    }
}

/// Removes a lease that no process holds. Whoever opened it before, and locks it after, sees that it is gone.
fn remove_unheld(path: &Path) {
    let Ok(lease) = File::open(path) else { return };
    if lease.try_lock().is_ok() && is_file_at(&lease, path) {
        let _ = fs::remove_file(path); // what cannot be removed only costs a name
    }
}

/// Process and machine in the name of a working folder.
fn tmp_owner(name: &str) -> Option<(u32, &str)> {
    let (_, owner) = name.strip_prefix(".tmp-")?.split_once('-')?;
    let (pid, host) = owner.split_once('-')?;
    // a generator writes to `<folder>.partial-…` beside its folder
    let host = host.split_once('.').map_or(host, |(host, _)| host);
    Some((pid.parse().ok()?, host))
}

/// A unit being worked on. Dropped without [`Work::publish`], it removes its working folder and keeps the
/// resume state.
pub(crate) struct Work {
    tmp: PathBuf,
    state: PathBuf,
    folder: PathBuf,
    digest: String,
    kind: String,
    lock_path: PathBuf,
    lock: File,
}

impl Work {
    /// The folder to fill.
    pub(crate) fn dir(&self) -> &Path {
        &self.tmp
    }

    /// The folder that survives an interruption; not created yet.
    pub(crate) fn state(&self) -> &Path {
        &self.state
    }

    /// Writes the marker, forces the files to disk and renames the folder to its final name. If another
    /// process has published the same unit meanwhile, its result stands.
    ///
    /// # Errors
    /// A write fails (then nothing is published), or the name is taken by something else.
    pub(crate) fn publish(self, marker: Marker, content: &Value) -> Result<PathBuf, StoreError> {
        let file = self.tmp.join(marker.file());
        let mut text = serde_json::to_string_pretty(content).map_err(|e| at(&file)(e.into()))?;
        text.push('\n');
        write_synced(&file, text.as_bytes()).map_err(at(&file))?;
        sync_tree(&self.tmp, 0).map_err(at(&self.tmp))?;
        match fs::rename(&self.tmp, &self.folder) {
            Ok(()) => {}
            Err(e) => {
                let store = Store::at(self.folder.parent().unwrap_or(Path::new(".")));
                match store.finished(&self.kind, &self.digest, marker)? {
                    Some(_) => {} // the other's result is the same
                    None => return Err(at(&self.folder)(e)),
                }
            }
        }
        if let Some(parent) = self.folder.parent() {
            // the rename itself; not every file system can sync a folder
            let _ = File::open(parent).and_then(|f| f.sync_all());
        }
        match fs::remove_dir_all(&self.state) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(at(&self.state)(e)),
            _ => {}
        }
        Ok(self.folder.clone())
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if self.tmp.exists() {
            let _ = fs::remove_dir_all(&self.tmp);
        }
        // the lease ends here; another process's file of that name stays
        if is_file_at(&self.lock, &self.lock_path) {
            let _ = fs::remove_file(&self.lock_path);
        }
        let _ = self.lock.unlock();
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Files of a unit are few (no pictures); a data root has thousands, and can be made again.
const SYNC_AT_MOST: usize = 200;

fn sync_tree(folder: &Path, depth: usize) -> io::Result<()> {
    for (n, entry) in fs::read_dir(folder)?.enumerate() {
        let entry = entry?;
        if n >= SYNC_AT_MOST || depth > 4 {
            break;
        }
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path(), depth + 1)?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    let _ = File::open(folder).and_then(|f| f.sync_all());
    Ok(())
}
