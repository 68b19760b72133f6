//! Pre-training, tuning and scoring: three linear loops over plugins, data and protocols.
//!
//! A *specification* ([`spec`]) says what to do and holds every number that matters; a [`Job`] says
//! where, with which plugins, and how to stop. The same specification gives the same bits on the same
//! kind of machine, whatever the number of threads, and after any interruption. Rendering, the
//! command line and the place of results are other crates' business.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod arrays;
pub mod batches;
mod cache;
pub mod curves;
mod descent;
pub mod detector;
pub mod dino;
pub mod dry;
pub mod encoder;
mod error;
pub mod explain;
pub mod faces;
mod fit;
pub mod frames;
mod job;
mod lowrank;
pub mod mix;
pub mod pictures;
mod pretrain;
mod rows;
mod score;
mod scorer;
mod select;
pub mod spec;
mod state;
#[cfg(test)]
mod tests;
pub mod threec;
mod tune;
mod watch;
pub mod weights;

pub use error::{Error, Result};
pub use job::{Done, Job, Outcome, Progress, Silent};
pub use pretrain::{MODEL, pretrain};
pub use rows::{NamedSet, RowLog};
pub use score::{Finished, SCORES, score};
pub use scorer::{Classes, Scorer, Tuned};
pub use select::{Chosen, Chosens, SELECTION, TestValue, chosen_tensors};
pub use tune::tune;
