//! Stdout: data only, and an error where `println!` would panic.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use serde::Serialize;

/// Writes a text to stdout, with a newline at its end.
///
/// # Errors
/// Stdout cannot be written (a full disk, a closed pipe).
pub(crate) fn text(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).context("writing to stdout")?;
    if !text.ends_with('\n') {
        out.write_all(b"\n").context("writing to stdout")?;
    }
    out.flush().context("writing to stdout")
}

/// Writes a value to stdout as indented JSON.
///
/// # Errors
/// As [`text`].
pub(crate) fn json(value: &impl Serialize) -> Result<()> {
    text(&serde_json::to_string_pretty(value).context("writing JSON")?)
}
