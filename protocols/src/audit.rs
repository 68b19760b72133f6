//! Findings: what looks wrong about a result, before anybody believes it.
//!
//! Each finding has a severity, a stable code (for filters and tests) and one sentence for people. Findings are
//! recorded in the result and shown in the report; they never change a number.

use serde::{Deserialize, Serialize};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The number must not be used.
    Stop,
    /// The number may mean something else than it seems.
    Warn,
    /// Worth knowing.
    Note,
}

/// Something a reader of the number should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// Stable code, such as `polarity`.
    pub code: String,
    /// One sentence.
    pub message: String,
}
