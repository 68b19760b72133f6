//! `facebench data pack` and the check of a packed shard.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use facebench_data::shard;
use facebench_train::Progress as _;

use crate::fail::{Permanent, Status};
use crate::out;
use crate::run::{self, Screen};

/// At most this many broken records are listed.
const SHOWN: usize = 20;

/// Packs all but the last path into the last.
pub(crate) fn pack(paths: &[PathBuf], threads: Option<u16>) -> Result<Status> {
    let Some((out_file, roots)) = paths.split_last() else { return Err(anyhow!("nothing to pack")) };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = threads.map_or(cores, usize::from);
    let stop = run::hear_signals()?;
    let screen = Screen::new();
    let progress = screen.unit(&out_file.display().to_string());
    let first = std::cell::Cell::new(true);
    let tell = |done: u64, total: u64| {
        if first.take() {
            progress.phase("faces", total);
        }
        progress.tick(done, "");
    };
    let packed = shard::pack(roots, out_file, threads, &stop, &tell)?;
    drop(progress);
    match packed {
        Some(summary) => {
            out::json(&serde_json::to_value(summary)?)?;
            Ok(Status::Done)
        }
        None => {
            screen.line("interrupted: the same command goes on from here");
            Ok(Status::Interrupted)
        }
    }
}

/// Reads every record of a shard.
pub(crate) fn check(file: &Path) -> Result<Status> {
    let screen = Screen::new();
    let progress = screen.unit(&file.display().to_string());
    progress.phase("records", 0);
    let checked =
        shard::check(file, &|done, _| progress.tick(done, "")).context(Permanent("the shard is broken"))?;
    drop(progress);
    let mut text =
        format!("{} faces, {} with a parsing map\ndigest {}", checked.faces, checked.maps, checked.digest);
    if checked.synthetic {
        text += "\nsynthetic faces: not a published data set";
    }
    if checked.faults.is_empty() {
        out::text(&format!("{text}\nevery record is whole"))?;
        return Ok(Status::Done);
    }
    let mut lines: Vec<String> = checked.faults.iter().take(SHOWN).cloned().collect();
    if checked.faults.len() > SHOWN {
        lines.push(format!("and {} more", checked.faults.len() - SHOWN));
    }
    Err(anyhow!(lines.join("\n")).context(Permanent("some records are broken")))
}
