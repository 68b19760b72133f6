//! Manifests: one CSV per data set, with a line per picture or film, and the check of a data set against what is published.
//!
//! Both go through a data set one video at a time: memory grows with the number of videos (a few dozen bytes each, to
//! notice a video that comes twice) and by four bytes per picture, not with names and paths. Sizes come from the file
//! system; SHA-256 on request. Nothing here decodes a picture except [`unreadable`].

mod check;
mod index;
mod tally;
#[cfg(test)]
mod tests;

pub use check::{Compared, Report, check, unreadable};
pub use index::{COLUMNS, Indexed, index};
pub use tally::{Count, Counts};
