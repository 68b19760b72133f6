//! What can go wrong while synthetic faces are written.

use std::path::{Path, PathBuf};

use super::partial::Failed;

/// Errors of [`generate`](super::generate).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field of the spec makes no data set.
    #[error("synthetic faces: {field} is {got}, expected {expected}")]
    Spec {
        /// Field of the spec.
        field: &'static str,
        /// Its value.
        got: String,
        /// What it may be.
        expected: &'static str,
    },
    /// The output folder holds synthetic faces made from another spec.
    #[error(
        "{out} already holds synthetic faces of another spec\n  there: {there}\n  asked: {asked}\n\
         hint: choose another folder, or remove {out} first"
    )]
    OtherSpec {
        /// The output folder.
        out: PathBuf,
        /// Spec in the folder's marker, as JSON.
        there: String,
        /// Spec asked for, as JSON.
        asked: String,
    },
    /// The output folder holds something that this generator did not write.
    #[error("{out} exists and holds no synthetic data root\nhint: name a folder that does not exist yet")]
    Foreign {
        /// The output folder.
        out: PathBuf,
    },
    /// The output folder has the right marker, but files were removed or added.
    #[error("{out} is damaged: expected {expected} files, found {found}\nhint: remove {out} and run again")]
    Damaged {
        /// The output folder.
        out: PathBuf,
        /// Files its marker counts.
        expected: usize,
        /// Files there are.
        found: usize,
    },
    /// A file or folder could not be written or read.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A picture could not be encoded.
    #[error("{path}: cannot encode picture: {reason}")]
    Encode {
        /// The file it was meant for.
        path: PathBuf,
        /// What the encoder said.
        reason: String,
    },
}

impl From<Failed> for Error {
    fn from((path, source): Failed) -> Self {
        Self::Io { path, source }
    }
}

impl Error {
    /// An I/O error with the path it happened at, as a closure for `map_err`.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_path_buf(), source }
    }
}
