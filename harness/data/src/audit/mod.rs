//! Leakage: what training has seen must not be what is tested.
//!
//! Compared are pre-training roots, training, development and test parts: by path, by bytes (SHA-256), by likeness
//! (two perceptual hashes, [`print`]) and by the people of FaceForensics++ that a name gives away. The walls that need no
//! pictures (same sample, video or person) are `facebench_protocols`' and stop a run before it starts; here is what only
//! files tell. Prints are kept in a cache, so that every picture is read once and not once per run.

mod cache;
mod leakage;
mod near;
mod print;
#[cfg(test)]
mod tests;

pub use cache::{prints, shard_prints};
pub use leakage::{Item, Part, Seen, Side, leakage, parts};
pub use near::Near;
pub use print::Print;
