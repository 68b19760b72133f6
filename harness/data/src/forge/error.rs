//! What can go wrong while photographs are forged.

use std::path::{Path, PathBuf};

use crate::synth::partial::Failed;

/// Errors of [`forge`](super::forge).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field of the spec makes no data set.
    #[error("forge: {field} is {got}, expected {expected}")]
    Spec {
        /// Field of the spec.
        field: &'static str,
        /// Its value.
        got: String,
        /// What it may be.
        expected: &'static str,
    },
    /// The folder of photographs is not there.
    #[error("no folder {faces}\nhint: name a folder with one folder of photographs per person")]
    NoFolder {
        /// The folder asked for.
        faces: PathBuf,
    },
    /// Photographs lie directly in the folder, and nobody said whom they show.
    #[error(
        "{faces} holds {images} photographs directly, not one folder per person\n\
         hint: put each person's photographs in a folder of their own, or set `flat` if each photograph shows somebody else"
    )]
    Flat {
        /// The folder.
        faces: PathBuf,
        /// Photographs directly in it.
        images: usize,
    },
    /// Photographs and folders side by side.
    #[error(
        "{faces} holds {images} photographs beside {folders} folders, so it is unclear whom they show\n\
         hint: move the loose photographs into a folder per person"
    )]
    Mixed {
        /// The folder.
        faces: PathBuf,
        /// Photographs directly in it.
        images: usize,
        /// Folders in it.
        folders: usize,
    },
    /// A folder without photographs.
    #[error("no photographs in {folder}\nhint: PNG, JPEG, PGM, PPM and WebP are read; remove empty folders")]
    Empty {
        /// The folder.
        folder: PathBuf,
    },
    /// Not enough people to keep them apart.
    #[error(
        "{faces} shows {people} people, but {needed} are needed to keep train, val and test apart\nhint: {hint}"
    )]
    FewPeople {
        /// The folder of photographs.
        faces: PathBuf,
        /// People found.
        people: usize,
        /// People needed.
        needed: usize,
        /// What would help.
        hint: &'static str,
    },
    /// A photograph cannot be read.
    #[error("{0}\nhint: replace or remove the file, or set `skip_unreadable` to leave such files out")]
    Unreadable(Box<crate::Error>),
    /// The output folder holds something else.
    #[error(
        "{out} exists and is not what this would write: {what}\nhint: choose another folder, or remove {out} first"
    )]
    Other {
        /// The output folder.
        out: PathBuf,
        /// How it differs.
        what: String,
    },
    /// The output folder lies inside the folder of photographs, or the other way round.
    #[error("{out} and {faces} contain one another\nhint: write the data set somewhere else")]
    Nested {
        /// The output folder.
        out: PathBuf,
        /// The folder of photographs.
        faces: PathBuf,
    },
    /// A file or folder could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The list of samples could not be made or written.
    #[error("{path}: {reason}")]
    List {
        /// The list.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl From<Failed> for Error {
    fn from((path, source): Failed) -> Self {
        Self::Io { path, source }
    }
}

impl Error {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_path_buf(), source }
    }
}
