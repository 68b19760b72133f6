//! What keeps a bundle, a page or an export from being made. Faults *in* a bundle are not errors: they are what
//! [`verify`](super::verify()) reports.

use std::path::PathBuf;

/// Errors of packing, signing, listing and exporting.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Runs or tables.
    #[error(transparent)]
    Report(#[from] crate::Error),
    /// A file or folder could not be read or written.
    #[error("cannot access {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is no folder of that name.
    #[error("{}: no bundle: {source}\nhint: a bundle is a folder with a submission.json, made by `facebench leaderboard pack`", path.display())]
    NoBundle {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The folder to write is not empty.
    #[error("{} exists already\nhint: choose another folder, or delete this one", path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// Nothing that could be submitted.
    #[error(
        "none of the runs has scores and an evaluation\nhint: give the folder of `facebench run`'s results; scored units start with `score-`"
    )]
    NothingScored,
    /// A run that cannot be submitted.
    #[error("run {run}: {why}{}", hint.as_ref().map(|h| format!("\nhint: {h}")).unwrap_or_default())]
    Unfit {
        /// Name and short digest.
        run: String,
        /// Why.
        why: String,
        /// What to do.
        hint: Option<String>,
    },
    /// `submission.json` or another part is not what it should be.
    #[error("{}: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What was wrong.
        message: String,
    },
    /// `ssh-keygen` could not be started or refused.
    #[error("ssh-keygen: {message}\nhint: {hint}")]
    Ssh {
        /// What it said.
        message: String,
        /// What to do.
        hint: &'static str,
    },
    /// A board's rule that the predictions break.
    #[error("{board}: {rule}{}", hint.as_ref().map(|h| format!("\nhint: {h}")).unwrap_or_default())]
    Rule {
        /// The board.
        board: String,
        /// The rule and what breaks it.
        rule: String,
        /// What to do.
        hint: Option<String>,
    },
}

impl Error {
    pub(super) fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }
}
