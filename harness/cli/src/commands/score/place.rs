//! Where a score file grows, and how it gets its name.
//!
//! `OUT.partial/` holds `key.json` (what is scored with what), `rows.csv` and a lock against a second process. The
//! record beside OUT is renamed into place first, then the rows: a score file never stands without its record.

use std::fs::{self, File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::store;

/// A score file in the making.
pub(super) struct Place {
    out: PathBuf,
    folder: PathBuf,
    /// Held until the end
    _lock: File,
}

impl Place {
    /// Begins or goes on; `None` if the file is there and was made by the same model in the same way.
    ///
    /// # Errors
    /// Another file of that name; another process at work; work of another model that was left over.
    pub(super) fn open(out: &Path, key: &Value) -> Result<Option<Self>> {
        let digest = store::digest(key);
        if out.extension().is_none_or(|e| !e.eq_ignore_ascii_case("csv")) {
            bail!("--out {}: the name must end in .csv", out.display());
        }
        if out.exists() {
            let record = fs::read_to_string(record_of(out)).unwrap_or_default();
            let record: Value = serde_json::from_str(&record).unwrap_or_default();
            if record["key"] == digest.as_str() {
                return Ok(None);
            }
            bail!(
                "{}: there already, and not these scores\nhint: remove it, or choose another name with `--out`",
                out.display()
            );
        }
        let mut folder = out.as_os_str().to_owned();
        folder.push(".partial");
        let folder = PathBuf::from(folder);
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let lock = folder.join("lock");
        let lock = File::create(&lock).with_context(|| lock.display().to_string())?;
        if matches!(lock.try_lock(), Err(TryLockError::WouldBlock)) {
            bail!(
                "{}: another process is writing this file\nhint: wait for it, or choose another name with `--out`",
                out.display()
            );
        }
        let file = folder.join("key.json");
        let text = format!("{digest}\n{key:#}\n");
        match fs::read_to_string(&file) {
            Ok(old) if old.lines().next() == Some(digest.as_str()) => {}
            Ok(_) if folder.join("rows.csv").exists() => bail!(
                "{}: unfinished scores of another model, list, transform or build\n\
                 hint: remove the folder to begin afresh, or choose another name with `--out`",
                folder.display()
            ),
            _ => replace(&file, &text)?,
        }
        Ok(Some(Self { out: out.to_owned(), folder, _lock: lock }))
    }

    /// The rows so far.
    pub(super) fn rows(&self) -> PathBuf {
        self.folder.join("rows.csv")
    }

    /// Gives finished rows and their record their names.
    ///
    /// # Errors
    /// What the system refuses.
    pub(super) fn publish(self, rows: &Path, record: &Value) -> Result<()> {
        replace(&record_of(&self.out), &format!("{record:#}\n"))?;
        fs::rename(rows, &self.out).with_context(|| self.out.display().to_string())?;
        if let Some(parent) = self.out.parent() {
            // the rename itself; not every file system can sync a folder
            let _ = File::open(parent).and_then(|f| f.sync_all());
        }
        fs::remove_dir_all(&self.folder).with_context(|| self.folder.display().to_string())
    }
}

/// The record beside a score file: the same name with `.json`.
pub(super) fn record_of(out: &Path) -> PathBuf {
    out.with_extension("json")
}

/// Writes a file beside its place, forces it to disk and renames it.
///
/// # Errors
/// What the system refuses.
pub(super) fn replace(path: &Path, text: &str) -> Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.tmp", std::process::id()));
    let beside = PathBuf::from(beside);
    let written =
        File::create(&beside).and_then(|mut f| f.write_all(text.as_bytes()).and_then(|()| f.sync_all()));
    let written = written.and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside); // half a file helps nobody; the first error is the one to tell
    }
    written.with_context(|| path.display().to_string())
}
