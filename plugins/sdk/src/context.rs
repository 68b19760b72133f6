//! Errors of plugin code: one type, context by `.context("...")`, early return by [`bail!`](crate::bail).

/// What went wrong, with the places it went through.
pub use facebench_abi::PluginError as Error;

/// Result of plugin code.
pub type Result<T> = std::result::Result<T, Error>;

/// Adds the place to an error.
pub trait Context<T> {
    /// `linear(...).context("head")` reads `head: linear(...): shapes differ`.
    fn context(self, place: impl std::fmt::Display) -> Result<T>;
}

impl<T> Context<T> for Result<T> {
    fn context(self, place: impl std::fmt::Display) -> Result<T> {
        self.map_err(|e| e.within(place))
    }
}

/// Returns an error: `bail!("width {d} is not a multiple of {heads} heads")`.
#[macro_export]
macro_rules! bail {
    ($($arg:tt)*) => {
        return ::std::result::Result::Err($crate::Error::new($crate::abi::ErrKind::OTHER, format!($($arg)*)))
    };
}
