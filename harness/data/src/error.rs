//! What can go wrong between a folder and a tensor.
//!
//! Facts only: the file, what was found, what was expected. Where a fix is known the message ends with a
//! `hint:` line, so that the binary can print an error as it is. The crate never skips, repairs or replaces
//! a sample: an unreadable file is an error of the run, since a silently changed test set changes the result.

use std::path::{Path, PathBuf};

/// An error of this crate; the text names the file and, where a fix is known, ends with `\nhint: ...`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused to read or write a file.
    #[error("cannot {action} {}: {source}{}", path.display(), hint_line(io_hint(source)))]
    Io {
        /// The verb: `read`, `write`, `list`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file that should be an image is not a whole, supported one.
    #[error("cannot decode image {}: {what}{}", path.display(), hint_line(hint))]
    Image {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
        /// How to repair it; empty where no fix is known.
        hint: &'static str,
    },
    /// A `.npy` file that is not an int8 parsing map in C order.
    #[error("cannot read parsing map {}: {what}{}", path.display(), hint_line(hint))]
    Parsing {
        /// The file.
        path: PathBuf,
        /// Expected and got.
        what: String,
        /// How to repair it; empty where no fix is known.
        hint: &'static str,
    },
    /// A shard that is not whole, or a record of it that is not.
    #[error("{}{}: {what}{}", path.display(), record_name(record.as_ref()), hint_line(hint))]
    Shard {
        /// The shard.
        path: PathBuf,
        /// Number and id of the record, where one is meant.
        record: Option<(usize, String)>,
        /// Expected and got.
        what: String,
        /// How to repair it.
        hint: &'static str,
    },
    /// A folder or file that the layout of a data set asks for is not there.
    #[error("{what} not found: expected {}\nhint: {near}", path.display())]
    Missing {
        /// What was looked for, in words.
        what: String,
        /// Where it was expected.
        path: PathBuf,
        /// What is there instead.
        near: String,
    },
    /// A folder that must hold images holds none.
    #[error("no images in {}\nhint: {}", path.display(), IMAGE_HINT)]
    Empty {
        /// The folder.
        path: PathBuf,
    },
    /// A file, folder or line that does not follow the layout.
    #[error("{}: {what}{}", path.display(), hint_line(hint))]
    Layout {
        /// The file or folder (list files: with the line number in `what`).
        path: PathBuf,
        /// Expected and got.
        what: String,
        /// How to repair it; empty where no fix is known.
        hint: String,
    },
    /// Two files claim one sample identity.
    #[error(
        "two files for sample {id}: {} and {}\nhint: remove one of them, or rename it if it is another frame",
        first.display(), second.display()
    )]
    Duplicate {
        /// `dataset/method/video/frame`.
        id: String,
        /// The first file.
        first: PathBuf,
        /// The second file.
        second: PathBuf,
    },
    /// A data set id nobody described.
    #[error("unknown data set `{id}`\nhint: {known}")]
    UnknownDataset {
        /// The id asked for.
        id: String,
        /// The nearest id, if one is near, and the ids there are, comma separated.
        known: String,
    },
    /// A worker thread panicked; the message is the panic's.
    #[error("a loader worker panicked: {message}")]
    Panic {
        /// The panic message.
        message: String,
    },
    /// A request that cannot be served as stated (sizes of zero, an empty list).
    #[error("{what}{}", hint_line(hint))]
    Request {
        /// What is wrong with it.
        what: String,
        /// How to repair it; empty where no fix is known.
        hint: &'static str,
    },
    /// The samples do not form a manifest (a video in two splits, a name that cannot be an id ...).
    #[error(transparent)]
    Protocols(Box<facebench_protocols::Error>),
}

impl From<facebench_protocols::Error> for Error {
    fn from(error: facebench_protocols::Error) -> Self {
        Self::Protocols(Box::new(error))
    }
}

/// Which files count as images, as a `hint:` sentence.
pub(crate) const IMAGE_HINT: &str = "images are .png, .jpg, .jpeg, .webp, .pgm and .ppm files";

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.to_path_buf();
        move |source| Error::Io { action, path, source }
    }

    pub(crate) fn layout(path: &Path, what: impl Into<String>, hint: impl Into<String>) -> Error {
        Error::Layout { path: path.to_path_buf(), what: what.into(), hint: hint.into() }
    }
}

fn record_name(record: Option<&(usize, String)>) -> String {
    record.map_or_else(String::new, |(i, id)| format!(", record {i} ({id})"))
}

fn hint_line(hint: &str) -> String {
    if hint.is_empty() { String::new() } else { format!("\nhint: {hint}") }
}

fn io_hint(source: &std::io::Error) -> &'static str {
    match source.kind() {
        std::io::ErrorKind::PermissionDenied => "check the permissions of the folder",
        std::io::ErrorKind::StorageFull => "the disk is full; free some space and run again",
        std::io::ErrorKind::ReadOnlyFilesystem => "the file system is read-only; choose another folder",
        _ => "",
    }
}
