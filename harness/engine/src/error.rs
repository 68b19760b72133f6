//! What can go wrong in the engine, as facts: which operation, what was expected, what came.
//!
//! Tensor errors of candle pass through; their message leaves out the stack that candle appends when `RUST_BACKTRACE`
//! is set, as it is on many clusters. The reverse conversion exists because custom
//! operations and `candle_core::Result` closures need it. Messages are lower case without a full
//! stop; a `hint:` line follows where a fix is known.
use std::path::PathBuf;

/// Result of the engine.
pub type Result<T> = std::result::Result<T, Error>;

/// Every error of the engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An error of the tensor library.
    #[error("{}", plain(.0))]
    Tensor(#[from] candle_core::Error),
    /// An operation was given arguments that do not fit together.
    #[error("{op}: expected {expected}, got {got}")]
    Argument {
        /// Name of the operation.
        op: &'static str,
        /// What the operation accepts.
        expected: String,
        /// What it was given.
        got: String,
    },
    /// A parameter has another shape than the model asks for.
    #[error("parameter {name}: expected shape {expected:?}, got {got:?}")]
    ParameterShape {
        /// Name of the parameter.
        name: String,
        /// Shape the model asks for.
        expected: Vec<usize>,
        /// Shape found.
        got: Vec<usize>,
    },
    /// A value offered for a parameter is not of floating point.
    #[error("parameter {name}: expected floating-point values, got {got:?}")]
    ParameterDtype {
        /// Name of the parameter.
        name: String,
        /// Dtype found.
        got: candle_core::DType,
    },
    /// Saved optimiser state does not fit the parameters.
    #[error(
        "optimiser state: expected {expected}, got {got}\nhint: the state must come from the same model and the same choice of trained parameters"
    )]
    OptimiserState {
        /// What the optimiser needs.
        expected: String,
        /// What was offered.
        got: String,
    },
    /// A device cannot be used.
    #[error("{device}: {reason}")]
    Device {
        /// The device asked for.
        device: String,
        /// What is missing, with a hint line where one is known.
        reason: String,
    },
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A checkpoint is damaged or holds something that is not accepted.
    #[error("checkpoint {path}: {reason}")]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, with a hint line where one is known.
        reason: String,
    },
}

/// What candle says of an error, without its stack.
#[must_use]
pub fn plain(error: &candle_core::Error) -> String {
    use candle_core::Error::{Context, WithBacktrace};
    match error {
        WithBacktrace { inner, .. } => plain(inner),
        Context { inner, context } => format!("{context}: {}", plain(inner)),
        other => other.to_string(),
    }
}

impl Error {
    pub(crate) fn argument(op: &'static str, expected: impl Into<String>, got: impl Into<String>) -> Self {
        Self::Argument { op, expected: expected.into(), got: got.into() }
    }

    pub(crate) fn io(path: &std::path::Path, source: std::io::Error) -> Self {
        Self::Io { path: path.to_path_buf(), source }
    }

    pub(crate) fn checkpoint(path: &std::path::Path, reason: impl Into<String>) -> Self {
        Self::Checkpoint { path: path.to_path_buf(), reason: reason.into() }
    }
}

impl From<Error> for candle_core::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Tensor(inner) => inner,
            other => Self::Msg(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Error;

    #[test]
    fn the_message_has_no_stack() {
        let backtrace = Box::new(std::backtrace::Backtrace::force_capture());
        let inner = Box::new(candle_core::Error::Msg("no such dimension".into()));
        let error = candle_core::Error::WithBacktrace { inner, backtrace };
        assert!(error.to_string().lines().count() > 5);
        assert_eq!(Error::from(error.context("in attention")).to_string(), "in attention: no such dimension");
    }
}
