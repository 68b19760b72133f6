//! Reading protocols and data-set descriptions from YAML, with errors that name the line and the nearest key.
//!
//! The only place in this crate that knows `serde_yaml`. Files are small: more than 256 KiB is refused, because
//! YAML's anchors make cheap bombs.

use std::path::Path;

use serde::de::DeserializeOwned;

use super::Protocol;
use crate::csv;
use crate::error::{Error, Result};
use crate::nearest::nearest;

const MAX_BYTES: usize = 256 * 1024;

impl Protocol {
    /// Read and check a protocol file.
    ///
    /// # Errors
    /// The file cannot be read, is not YAML of this form (with line and nearest key), or fails
    /// [`Protocol::check`].
    pub fn load(path: &Path) -> Result<Self> {
        parse(&path.display().to_string(), &csv::read(path)?)
    }
}

/// Parse and check a protocol; `origin` names it in errors.
pub(super) fn parse(origin: &str, text: &str) -> Result<Protocol> {
    let protocol: Protocol = decode(origin, text)?;
    protocol.check_as(origin)?;
    Ok(protocol)
}

/// Decode one YAML document.
pub(crate) fn decode<T: DeserializeOwned>(origin: &str, text: &str) -> Result<T> {
    let fault = |line, message, hint| Error::Config { origin: origin.to_owned(), line, message, hint };
    if text.len() > MAX_BYTES {
        return Err(fault(None, format!("{} bytes, expected at most {MAX_BYTES}", text.len()), None));
    }
    serde_yaml::from_str(text).map_err(|e| {
        let line = e.location().map(|l| l.line());
        let full = e.to_string();
        let message = full.split(" at line ").next().unwrap_or(&full).to_owned();
        let hint = hint(&message);
        fault(line, message, hint)
    })
}

/// ``unknown field `a`, expected one of `b`, `c` `` to ``did you mean `b`?``.
fn hint(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("unknown ")?;
    let mut quoted = rest.split('`').skip(1).step_by(2);
    let typed = quoted.next()?;
    nearest(typed, quoted).map(|near| format!("did you mean `{near}`?"))
}
