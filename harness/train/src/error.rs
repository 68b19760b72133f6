//! What can go wrong in a unit, as facts: what was expected, what was found, which file.

use std::path::PathBuf;

/// An error of pre-training, tuning or scoring.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The tensor library refused an operation
    #[error("{}", facebench_engine::plain(.0))]
    Tensor(#[from] candle_core::Error),
    /// The engine refused an operation or a file
    #[error("{0}")]
    Engine(#[from] facebench_engine::Error),
    /// A plugin could not be made or failed
    #[error("{0}")]
    Host(#[from] facebench_host::HostError),
    /// A data set could not be read
    #[error("{0}")]
    Data(#[from] facebench_data::Error),
    /// A protocol, a metric or a manifest is wrong
    #[error("{0}")]
    Protocol(#[from] facebench_protocols::Error),
    /// A metric is undefined on the development set
    #[error("development set: {0}")]
    Metric(#[from] facebench_protocols::MetricError),
    /// A file of the unit could not be written or read
    #[error("{path}: {source}")]
    Io {
        /// The file
        path: PathBuf,
        /// What the system said
        source: std::io::Error,
    },
    /// A loss or a score stopped being a number
    #[error(
        "{what} is {value} at {at}\nhint: lower `blr`, set `clip`, or look at the images of this step: {inputs}"
    )]
    NotFinite {
        /// Which quantity
        what: String,
        /// Its value
        value: f64,
        /// Epoch and step
        at: String,
        /// The images of the step
        inputs: String,
    },
    /// The specification cannot be carried out
    #[error("{0}")]
    Spec(String),
    /// A checkpoint does not fit the backbone
    #[error("{path}: does not fit backbone `{backbone}`: {what}")]
    Checkpoint {
        /// The checkpoint
        path: PathBuf,
        /// The backbone
        backbone: String,
        /// Missing, unused or misshapen tensors
        what: String,
    },
    /// Resume state that does not belong to this unit
    #[error("{path}: {what}\nhint: remove the folder to start this unit afresh")]
    State {
        /// The state file
        path: PathBuf,
        /// What is wrong with it
        what: String,
    },
}

/// `Result` of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Adds the file's name to an input or output error.
pub(crate) fn at(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Error + '_ {
    move |source| Error::Io { path: path.to_owned(), source }
}

/// `Err(Error::Spec(...))` from a format string.
macro_rules! bad_spec {
    ($($t:tt)*) => { Err($crate::error::Error::Spec(format!($($t)*))) };
}
pub(crate) use bad_spec;
