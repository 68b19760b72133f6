//! Score files, read once and kept at video level.
//!
//! A video's frames are aggregated as the protocol says, right after reading, so that a set of half a million frames
//! costs a few thousand rows. Figures and paired tests work on these; frame-level numbers come from the run record.

use crate::Error;
use crate::runs::Run;
use facebench_protocols::metrics::video;
use facebench_protocols::{Aggregation, ScoreRow};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Video-level scores of runs, by folder.
pub(crate) struct Scores {
    aggregation: Aggregation,
    read: BTreeMap<PathBuf, Option<Vec<ScoreRow>>>,
}

impl Scores {
    pub(crate) fn new(aggregation: Aggregation) -> Self {
        Scores { aggregation, read: BTreeMap::new() }
    }

    /// Video rows of all sets of `run`; `None` if it has no score file.
    pub(crate) fn of(&mut self, run: &Run) -> Result<Option<&[ScoreRow]>, Error> {
        if !self.read.contains_key(&run.folder) {
            let rows = run.scores()?;
            let bad = |message| Error::Scores { path: run.folder.join("scores.csv"), message };
            let videos = rows.map(|rows| videos(&rows, self.aggregation).map_err(bad)).transpose()?;
            self.read.insert(run.folder.clone(), videos);
        }
        Ok(self.read[&run.folder].as_deref())
    }
}

/// One row per video and set; its frame number is 0.
fn videos(rows: &[ScoreRow], aggregation: Aggregation) -> Result<Vec<ScoreRow>, String> {
    let mut sets: Vec<&str> = rows.iter().map(|r| r.set.as_str()).collect();
    sets.sort_unstable();
    sets.dedup();
    let mut out = Vec::new();
    for set in sets {
        let of_set: Vec<&ScoreRow> = rows.iter().filter(|r| r.set == set).collect();
        let videos = video::group(&of_set, aggregation).map_err(|e| e.to_string())?;
        out.extend(videos.into_iter().map(|v| ScoreRow { frame: 0, score: v.score, ..v.row.clone() }));
    }
    Ok(out)
}
