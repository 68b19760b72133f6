//! Leaderboards without a server: a folder that proves its own numbers.
//!
//! [`pack()`] turns finished runs into a bundle, [`verify()`] recomputes every number of a bundle from its scores, and
//! [`site()`] makes one static page from a folder of bundles, with the same tables and statistics as a report.
//! [`export`] writes what the field's own boards ask for. A bundle is plain files, so that it can be reviewed in a pull
//! request:
//!
//! ```text
//! submission.json        who, what, under which licence; every result with protocol, digests of weights and plugins
//! runs/UNIT/run.json     the record, as the run wrote it
//! runs/UNIT/scores.csv   one line per frame: the numbers' only source
//! protocols/*.json       protocols that do not ship with the program
//! README.md              the model card
//! SHA256SUMS             checked by `sha256sum -c`
//! SHA256SUMS.sig         an SSH signature, if the authors signed
//! ```

mod bundle;
mod card;
mod error;
pub mod export;
mod older;
mod pack;
mod sign;
mod site;
mod sums;
#[cfg(test)]
mod tests;
mod verify;

pub use bundle::{Entry, Submission, Weights};
pub use error::Error;
pub use pack::{PackOptions, Packed, pack};
pub use sign::{Signature, Signers};
pub use site::{Listed, site};
pub use verify::{Problem, Verdict, verify};

/// Result of this module's functions.
pub type Result<T> = std::result::Result<T, Error>;
