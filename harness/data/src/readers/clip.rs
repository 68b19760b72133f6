//! What a reader finds: one video (or still) at a time, so that no reader holds a data set in memory.
//!
//! A [`Clip`] is a video with its frames' files, or the film itself where no frames were extracted. Readers hand
//! clips to a sink; [`super::load`] makes a manifest of them, `crate::manifest` writes or checks them. What is wrong
//! with a single file goes through [`Place::fault`], which stops a run and lets `facebench data check` list it.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use facebench_protocols::{DatasetInfo, Sample, Split};

use super::{names, walk};
use crate::Error;

/// Where a data set lies and what it is.
pub(crate) struct Place<'a> {
    /// Id, the first part of every sample's identity.
    pub dataset: &'a str,
    /// What is known about it; nothing about a folder of the user's own.
    pub info: Option<&'static DatasetInfo>,
    /// The data root: markers are looked for up to here.
    pub root: &'a Path,
    /// The data set's own folder (or the file that describes it).
    pub folder: PathBuf,
    /// Which list, part or file of the layout is meant, where it has several.
    pub list: Option<&'a str>,
    /// Splits to read; empty reads all.
    pub only: &'a [Split],
    /// Where the pictures are, if not beside the list.
    pub pictures: Option<&'a Path>,
    /// Collects what is wrong with single files instead of stopping.
    pub faults: Option<&'a RefCell<Vec<Error>>>,
}

impl Place<'_> {
    /// Something is wrong with one file or line: stop, or note it and go on without the sample.
    pub(crate) fn fault(&self, error: Error) -> Result<(), Error> {
        match self.faults {
            Some(list) => {
                list.borrow_mut().push(error);
                Ok(())
            }
            None => Err(error),
        }
    }

    /// Whether the pictures are stills: each its own video.
    pub(crate) fn stills(&self) -> bool {
        self.info.is_some_and(|i| i.family == facebench_protocols::Family::DiffusionForgery)
    }

    /// Whether a split is asked for.
    pub(crate) fn wants(&self, split: Split) -> bool {
        self.only.is_empty() || self.only.contains(&split)
    }

    /// The compression the description asks for.
    pub(crate) fn compression(&self) -> &'static str {
        self.info.and_then(|i| i.compression.as_deref()).unwrap_or("c23")
    }
}

/// A video, or a still.
pub(crate) struct Clip {
    /// How it was made, or where a real one comes from.
    pub method: String,
    /// Its name within the method.
    pub video: String,
    /// 1 = fake, spoof.
    pub label: u8,
    /// Official split.
    pub split: Split,
    /// People, where known.
    pub subjects: Vec<String>,
    /// Its files.
    pub media: Media,
}

/// The files of a clip.
pub(crate) enum Media {
    /// Pictures with their frame numbers, sorted.
    Frames(Vec<(u32, PathBuf)>),
    /// A film of which no frames were extracted.
    Film(PathBuf),
}

impl Clip {
    /// The samples of the clip; a film is one sample, frame 0, whose path is the film.
    pub(crate) fn samples(self, dataset: &str) -> impl Iterator<Item = Sample> {
        let Self { method, video, label, split, subjects, media } = self;
        let files = match media {
            Media::Frames(files) => files,
            Media::Film(file) => vec![(0, file)],
        };
        let dataset = dataset.to_owned();
        files.into_iter().map(move |(frame, path)| Sample {
            dataset: dataset.clone(),
            method: method.clone(),
            video: video.clone(),
            frame,
            label,
            split,
            subjects: subjects.clone(),
            path,
        })
    }
}

/// Receives clips.
pub(crate) type Sink<'a> = dyn FnMut(Clip) -> Result<(), Error> + 'a;

/// What the name of a video says.
pub(super) struct Who {
    pub method: String,
    pub video: String,
    pub subjects: Vec<String>,
}

/// Tells who is in a video: folders below, flattened name, one of its files.
pub(super) type Ask<'a> = dyn FnMut(&[String], &str, &Path) -> Result<Who, Error> + 'a;

/// How files are named.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    /// `<video>_frame_<n>`, nothing else.
    Frames,
    /// `<video>_frame_<n>`; any other name is a still.
    FramesOrStills,
    /// Every picture is a still.
    Stills,
}

/// What is common to the pictures below a folder.
#[derive(Clone, Copy)]
pub(super) struct Kind<'a> {
    pub folder: &'a Path,
    pub label: u8,
    pub split: Split,
    pub naming: Naming,
}

/// Hands on the clips of a folder whose pictures are named by their video. Folders below are part of the name, joined
/// by `_`. `who` is asked once per video: folders below, flattened name, and one of its files.
pub(super) fn flat(kind: Kind<'_>, who: &mut Ask<'_>, sink: &mut Sink<'_>) -> Result<(), Error> {
    walk::each_folder(kind.folder, &mut |parents, path, names| {
        let mut prefix = parents.join("_");
        if !prefix.is_empty() {
            prefix.push('_');
        }
        // (bytes of the stem that belong to the video's name, whole name if it is a still; frame; file)
        let mut files: Vec<(usize, u32, String)> = Vec::with_capacity(names.len());
        for name in names {
            let flat = format!("{prefix}{}", walk::stem(&name));
            let found = if kind.naming == Naming::Stills { None } else { names::split_frame(&flat) };
            let (length, frame) = match found {
                Some((video, frame)) => (video.len().saturating_sub(prefix.len()), frame),
                None if kind.naming != Naming::Frames => (walk::stem(&name).len(), 0),
                None => {
                    let what = "the name does not read <video>_frame_<n>";
                    let hint = "frames are named by their video, such as id0_0001_frame_12.png";
                    return Err(Error::layout(&path.join(&name), what, hint));
                }
            };
            files.push((length, frame, name));
        }
        files.sort_unstable_by(|(m, f, a), (n, g, b)| {
            (&a[..*m], f, a.as_str()).cmp(&(&b[..*n], g, b.as_str()))
        });
        for group in files.chunk_by(|(m, _, a), (n, _, b)| a[..*m] == b[..*n]) {
            let (length, _, first) = &group[0];
            let name = match *length {
                0 => prefix.trim_end_matches('_').to_owned(),
                n => format!("{prefix}{}", &first[..n]),
            };
            let Who { method, video, subjects } = who(parents, &name, &path.join(first))?;
            let frames = group.iter().map(|(_, frame, file)| (*frame, path.join(file))).collect();
            let (label, split, media) = (kind.label, kind.split, Media::Frames(frames));
            sink(Clip { method, video, label, split, subjects, media })?;
        }
        Ok(())
    })
}
