//! The error that crosses the boundary: a kind, one message, and the places it went through.

use abi_stable::{
    StableAbi,
    std_types::{RString, RVec},
};

use crate::ErrKind;

/// What went wrong on the other side. Displayed as `outermost: ...: innermost: message`.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct PluginError {
    /// What sort of failure this is; decides the hint the host adds.
    pub kind: ErrKind,
    /// The fact itself, lower case, no full stop; may end with a `\nhint: ...` line.
    pub message: RString,
    /// Where it happened, innermost first.
    pub context: RVec<RString>,
}

impl PluginError {
    /// An error without context.
    pub fn new(kind: ErrKind, message: impl Into<String>) -> Self {
        Self { kind, message: RString::from(message.into()), context: RVec::new() }
    }

    /// The same error, seen from one level further out.
    #[must_use]
    pub fn within(mut self, place: impl std::fmt::Display) -> Self {
        self.context.push(RString::from(place.to_string()));
        self
    }
}

impl std::fmt::Display for PluginError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for place in self.context.iter().rev() {
            write!(f, "{place}: ")?;
        }
        f.write_str(self.message.as_str())
    }
}

impl std::error::Error for PluginError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_reads_from_the_outside_in() {
        let e = PluginError::new(ErrKind::OTHER, "shapes differ").within("block 3").within("fsvfm::encode");
        assert_eq!(e.to_string(), "fsvfm::encode: block 3: shapes differ");
    }
}
