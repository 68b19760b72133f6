//! Score files, read once and kept at video level.
//!
//! Hundreds of runs score the same videos. Their names and labels are kept once, each run keeps one number per video: so
//! 500 runs of half a million frames each are some ten megabytes, not gigabytes. Figures and paired tests work on
//! these; frame-level numbers come from the run record.

use crate::Error;
use crate::runs::Run;
use facebench_protocols::{Aggregation, VideoScores, read_videos};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Files read before their names are joined with those already known.
const AT_ONCE: usize = 8;

/// The videos of a set, sorted by identity.
#[derive(Debug, PartialEq)]
pub(crate) struct Videos {
    pub(crate) set: String,
    /// `dataset/method/video`.
    pub(crate) ids: Vec<String>,
    /// 1 = fake.
    pub(crate) labels: Vec<u8>,
}

/// A run's scores of a set.
pub(crate) struct SetScores {
    pub(crate) videos: Arc<Videos>,
    /// P(fake), one per video.
    pub(crate) scores: Vec<f64>,
}

/// Video-level scores of runs, by folder.
pub(crate) struct Scores {
    aggregation: Aggregation,
    known: Vec<Arc<Videos>>,
    read: BTreeMap<PathBuf, Option<Vec<SetScores>>>,
}

impl Scores {
    pub(crate) fn new(aggregation: Aggregation) -> Self {
        Scores { aggregation, known: Vec::new(), read: BTreeMap::new() }
    }

    /// Reads the score files of `runs`, several at a time.
    pub(crate) fn fetch(&mut self, runs: &[&Run]) -> Result<(), Error> {
        let mut wanted: Vec<&Run> =
            runs.iter().copied().filter(|r| !self.read.contains_key(&r.folder)).collect();
        wanted.sort_by(|a, b| a.folder.cmp(&b.folder));
        wanted.dedup_by(|a, b| a.folder == b.folder);
        let aggregation = self.aggregation;
        for runs in wanted.chunks(AT_ONCE) {
            let read: Vec<Option<Vec<VideoScores>>> =
                runs.par_iter().map(|run| videos(run, aggregation)).collect::<Result<_, Error>>()?;
            for (run, sets) in runs.iter().zip(read) {
                let sets = sets.map(|sets| sets.into_iter().map(|s| self.share(s)).collect());
                self.read.insert(run.folder.clone(), sets);
            }
        }
        Ok(())
    }

    /// All sets of `run`; `None` if it has no score file.
    pub(crate) fn of(&mut self, run: &Run) -> Result<Option<&[SetScores]>, Error> {
        self.fetch(&[run])?;
        Ok(self.read[&run.folder].as_deref())
    }

    /// All sets of `run`, as far as [`Scores::fetch`] has read it.
    pub(crate) fn sets(&self, run: &Run) -> &[SetScores] {
        self.read.get(&run.folder).and_then(Option::as_deref).unwrap_or_default()
    }

    /// One of them.
    pub(crate) fn set(&self, run: &Run, set: &str) -> Option<&SetScores> {
        self.sets(run).iter().find(|s| s.videos.set == set)
    }

    fn share(&mut self, read: VideoScores) -> SetScores {
        let videos = Videos { set: read.set, ids: read.videos, labels: read.labels };
        let known = self.known.iter().find(|k| ***k == videos).map(Arc::clone);
        let videos = known.unwrap_or_else(|| {
            self.known.push(Arc::new(videos));
            Arc::clone(self.known.last().expect("just pushed"))
        });
        SetScores { videos, scores: read.scores }
    }
}

fn videos(run: &Run, aggregation: Aggregation) -> Result<Option<Vec<VideoScores>>, Error> {
    let path = run.folder.join("scores.csv");
    if !path.is_file() {
        return Ok(None);
    }
    read_videos(&path, aggregation).map(Some).map_err(|e| Error::Scores { path, message: e.to_string() })
}
