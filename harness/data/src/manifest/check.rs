//! Comparing a data set with what is published about it, and looking for files that are no samples.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use facebench_protocols::{Split, Unit};
use rayon::prelude::*;
use serde::Serialize;

use super::index::empty;
use super::tally::{Count, Counts, Tally};
use crate::readers::{Marks, Media, Source, lmdb};
use crate::{Error, image};

/// Pictures decoded at a time.
const BATCH: usize = 4096;

/// What a check found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Data set.
    pub dataset: String,
    /// Layout that was found.
    pub layout: String,
    /// Folder or file that was read.
    pub place: PathBuf,
    /// Counts by split, label and method.
    #[serde(serialize_with = "rows")]
    pub counts: Counts,
    /// Published sizes against these.
    pub published: Vec<Compared>,
    /// Files and lines that are no samples, each with what to do about it.
    pub problems: Vec<String>,
    /// Whether the pictures are synthetic.
    pub synthetic: bool,
}

/// One published size.
#[derive(Clone, Debug, Serialize)]
pub struct Compared {
    /// Split; absent = all together.
    pub split: Option<Split>,
    /// What is counted.
    pub unit: Unit,
    /// Real ones: here, published.
    pub real: (usize, Option<usize>),
    /// Fake ones: here, published.
    pub fake: (usize, Option<usize>),
    /// All: here, published where only the sum is.
    pub total: (usize, Option<usize>),
    /// Where the published figure comes from.
    pub source: String,
}

impl Compared {
    /// Whether every published figure is the one found.
    #[must_use]
    pub fn agrees(&self) -> bool {
        [self.real, self.fake, self.total]
            .iter()
            .all(|(here, published)| published.is_none_or(|p| p == *here))
    }
}

impl Report {
    /// Videos, pictures and films of a split (of all where absent) and label.
    #[must_use]
    pub fn count(&self, split: Option<Split>, label: u8) -> Count {
        let picked =
            self.counts.iter().filter(|((s, l, _), _)| split.is_none_or(|split| *s == split) && *l == label);
        picked.fold(Count::default(), |a, (_, b)| Count {
            videos: a.videos + b.videos,
            frames: a.frames + b.frames,
            films: a.films + b.films,
        })
    }

    /// Counts by method of one split and label.
    #[must_use]
    pub fn methods(&self, split: Split, label: u8) -> BTreeMap<&str, Count> {
        let picked = self.counts.iter().filter(|((s, l, _), _)| (*s, *l) == (split, label));
        picked.map(|((_, _, method), count)| (method.as_str(), *count)).collect()
    }

    /// Whether the data set is what it should be: no problem, and as many videos as published (synthetic faces stand
    /// for no published set; pictures depend on the face detector).
    #[must_use]
    pub fn is_good(&self) -> bool {
        let videos = |c: &&Compared| c.unit == Unit::Videos || self.count(None, 0).frames == 0;
        self.problems.is_empty()
            && (self.synthetic || self.published.iter().filter(videos).all(Compared::agrees))
    }
}

/// Reads names, lists and sizes; decodes nothing (see [`unreadable`]).
///
/// # Errors
/// What stops the reader altogether: a missing list, a folder that is not of the layout.
pub fn check(source: &Source) -> Result<Report, Error> {
    let faults = RefCell::new(Vec::new());
    let (mut tally, mut marks, mut synthetic) = (Tally::default(), Marks::new(source.root()), false);
    source.each(Some(&faults), &mut |clip| {
        if let Err(error) = tally.add(&source.dataset, &clip) {
            faults.borrow_mut().push(error);
        }
        let files = match clip.media {
            Media::Frames(files) => files,
            Media::Film(file) => vec![(0, file)],
        };
        for (_, path) in files {
            synthetic |= marks.see(&path);
            match std::fs::metadata(&path) {
                Ok(meta) if meta.len() == 0 => faults.borrow_mut().push(empty(&path)),
                Ok(_) => {}
                Err(_) if lmdb::split(&path).is_some() => {}
                Err(e) => faults.borrow_mut().push(Error::io("read", &path)(e)),
            }
        }
        Ok(())
    })?;
    let problems = faults.into_inner().iter().map(ToString::to_string).collect();
    let mut report = Report {
        dataset: source.dataset.clone(),
        layout: source.layout.clone(),
        place: source.place.clone(),
        counts: tally.counts,
        published: Vec::new(),
        problems,
        synthetic,
    };
    for count in source.info().map(|i| i.counts.as_slice()).unwrap_or_default() {
        let [real, fake] = [0, 1].map(|label| {
            let found = report.count(count.split, label);
            if count.unit == Unit::Videos { found.videos } else { found.frames }
        });
        report.published.push(Compared {
            split: count.split,
            unit: count.unit,
            real: (real, count.real),
            fake: (fake, count.fake),
            total: (real + fake, count.total),
            source: count.source.clone(),
        });
    }
    Ok(report)
}

/// Decodes every picture, a few thousand at a time, in parallel; returns what cannot be read. `seen` is told how many are
/// done.
///
/// # Errors
/// As [`check`].
pub fn unreadable(source: &Source, seen: &(dyn Fn(usize) + Sync)) -> Result<Vec<String>, Error> {
    let (mut broken, mut waiting, mut done) = (Vec::new(), Vec::new(), 0);
    let mut flush = |waiting: &mut Vec<PathBuf>| {
        let errors: Vec<String> =
            waiting.par_iter().filter_map(|path| image::decode(path).err().map(|e| e.to_string())).collect();
        done += waiting.len();
        seen(done);
        waiting.clear();
        broken.extend(errors);
    };
    source.each(Some(&RefCell::new(Vec::new())), &mut |clip| {
        if let Media::Frames(files) = clip.media {
            waiting.extend(files.into_iter().map(|(_, path)| path));
        }
        if waiting.len() >= BATCH {
            flush(&mut waiting);
        }
        Ok(())
    })?;
    flush(&mut waiting);
    Ok(broken)
}

fn rows<S: serde::Serializer>(counts: &Counts, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Row<'a> {
        split: Split,
        label: u8,
        method: &'a str,
        #[serde(flatten)]
        count: Count,
    }
    let rows = counts.iter().map(|((split, label, method), count)| Row {
        split: *split,
        label: *label,
        method,
        count: *count,
    });
    serializer.collect_seq(rows)
}
