//! Making a data root: synthetic faces, or forgeries of a folder of faces.
//!
//! The generators know nothing of signals. They report after each picture, and a raised stop flag is
//! answered there by unwinding to this module: half a root is of no use, so nothing is kept of it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use facebench_data::{forge, synth};
use facebench_train::Progress;
use serde_json::{Value, json};

use crate::plan::Generate;

/// The payload of an unwinding that is no error.
struct Stopped;

/// Fills `out`. `None` if it was asked to stop.
///
/// # Errors
/// The generator's own.
pub(crate) fn run(
    how: &Generate,
    out: &Path,
    stop: &AtomicBool,
    progress: &dyn Progress,
) -> Result<Option<Value>> {
    let total = std::sync::atomic::AtomicUsize::new(0);
    let report = |done: usize, of: usize| {
        if stop.load(Ordering::Relaxed) {
            resume_unwind(Box::new(Stopped));
        }
        if total.swap(of, Ordering::Relaxed) != of {
            progress.phase("pictures", of as u64);
        }
        progress.tick(done as u64, "");
    };
    let made = catch_unwind(AssertUnwindSafe(|| match how {
        Generate::Synth(spec) => {
            let made = synth::generate(out, spec, &report)?;
            let summary = json!({"synthetic": true, "pictures": made.images, "files": made.files});
            Ok((summary, made.reused))
        }
        Generate::Forge { faces, spec } => {
            let made = forge::forge(faces, out, spec, &report)?;
            let [train, val, test] = made.people;
            for left_out in &made.unreadable {
                progress.note(&format!("left out: {left_out:?}"));
            }
            let summary = json!({
                "synthetic": false, "people": {"train": train, "val": val, "test": test}, "real": made.real,
                "fake": made.fake, "pretrain": made.pretrain, "unreadable": made.unreadable.len(),
            });
            Ok((summary, made.reused))
        }
    }));
    match made {
        Ok(Ok((summary, reused))) => {
            if reused {
                progress.note(&format!("{}: is there already, made with the same settings", out.display()));
            }
            Ok(Some(summary))
        }
        Ok(Err(e)) => Err(e),
        Err(payload) if payload.is::<Stopped>() => {
            discard(out);
            Ok(None)
        }
        Err(payload) => {
            discard(out);
            resume_unwind(payload)
        }
    }
}

/// Removes this process's half-written root, which the generators keep beside `out` until it is whole.
fn discard(out: &Path) {
    let (Some(name), Some(parent)) = (out.file_name(), out.parent()) else { return };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let prefix = format!("{}.partial-", name.to_string_lossy());
    let suffix = format!("-{}", std::process::id());
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(&prefix) && name.ends_with(&suffix) {
            // what cannot be removed only costs disk
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
