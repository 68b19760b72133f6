//! What was seen of a data set so far: counts, and enough of every video to notice it twice, in two splits, or with two
//! labels.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use facebench_protocols::{Split, sample};
use serde::Serialize;

use crate::Error;
use crate::readers::{Clip, Media};

/// Pictures and videos of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Videos; stills count as their own.
    pub videos: usize,
    /// Pictures.
    pub frames: usize,
    /// Videos of which only the film is there.
    pub films: usize,
}

/// Counts by split, label (1 = fake) and method.
pub type Counts = BTreeMap<(Split, u8, String), Count>;

/// Everything seen.
#[derive(Default)]
pub(super) struct Tally {
    pub counts: Counts,
    videos: HashMap<u128, Seen>,
    folders: Vec<PathBuf>,
}

struct Seen {
    split: Split,
    label: u8,
    /// Index of the folder of its first file.
    folder: u32,
    frames: Box<[u32]>,
}

impl Tally {
    /// Notes a clip; says what does not fit to what was seen before.
    pub(super) fn add(&mut self, dataset: &str, clip: &Clip) -> Result<(), Error> {
        let video = format!("{dataset}/{}/{}", clip.method, clip.video);
        sample::check_identity(&video, dataset, &clip.method, &clip.video, &clip.subjects)?;
        let (mut frames, film): (Vec<(u32, &Path)>, _) = match &clip.media {
            Media::Frames(files) => (files.iter().map(|(n, path)| (*n, path.as_path())).collect(), None),
            Media::Film(file) => (vec![(0, file)], Some(file)),
        };
        frames.sort();
        if let Some(pair) = frames.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            let (id, [first, second]) = (format!("{video}/{}", pair[0].0), [pair[0].1, pair[1].1]);
            return Err(Error::Duplicate { id, first: first.into(), second: second.into() });
        }
        let Some((_, first)) = frames.first() else { return Ok(()) };
        let folder = first.parent().unwrap_or(first);
        let key = key(&video);
        let count = self.counts.entry((clip.split, clip.label, clip.method.clone())).or_default();
        if let Some(seen) = self.videos.get_mut(&key) {
            if seen.split != clip.split {
                let (first, second) = (seen.split.to_string(), clip.split.to_string());
                return Err(facebench_protocols::Error::VideoInTwoSplits { video, first, second }.into());
            }
            if seen.label != clip.label {
                return Err(facebench_protocols::Error::MixedVideo { video }.into());
            }
            if let Some((n, path)) = frames.iter().find(|(n, _)| seen.frames.binary_search(n).is_ok()) {
                let first = self.folders[seen.folder as usize].clone();
                return Err(Error::Duplicate {
                    id: format!("{video}/{n}"),
                    first,
                    second: path.to_path_buf(),
                });
            }
            let mut all: Vec<u32> = seen.frames.iter().copied().chain(frames.iter().map(|f| f.0)).collect();
            all.sort_unstable();
            seen.frames = all.into();
        } else {
            if self.folders.last().is_none_or(|last| last != folder) {
                self.folders.push(folder.to_path_buf());
            }
            let seen = Seen {
                split: clip.split,
                label: clip.label,
                folder: (self.folders.len() - 1) as u32,
                frames: frames.iter().map(|f| f.0).collect(),
            };
            self.videos.insert(key, seen);
            count.videos += 1;
        }
        match film {
            Some(_) => count.films += 1,
            None => count.frames += frames.len(),
        }
        Ok(())
    }

    /// Videos, pictures and films in all.
    pub(super) fn total(&self) -> Count {
        self.counts.values().fold(Count::default(), |a, b| Count {
            videos: a.videos + b.videos,
            frames: a.frames + b.frames,
            films: a.films + b.films,
        })
    }
}

/// 128 bits of a name: collisions are out of reach for any data set.
fn key(video: &str) -> u128 {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, video).hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(0) << 64 | half(1)
}
