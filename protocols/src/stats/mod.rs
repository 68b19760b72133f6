//! Statistics over scores: intervals, tests between two models, corrections, what a test list can resolve.
//!
//! The unit of resampling is the video (or the person), never the frame: 32 frames of one clip are one observation.
//! Everything is deterministic, and parallel over fixed blocks so that the number of threads changes nothing.
//! What these intervals do not cover is the choice of data sets and of training runs; for the latter see
//! [`seeds`].

pub mod bootstrap;
pub mod compare;
pub mod delong;
pub mod holm;
pub mod normal;
pub mod power;
pub mod rates;
pub mod seeds;
pub mod summary;
#[cfg(test)]
mod tests;

pub use bootstrap::{Observations, Plan, auc_interval, auc_resamples};
pub use compare::{Comparison, compare};
pub use delong::{DeLong, delong, delong_paired};
pub use holm::holm;
pub use power::{auc_standard_error, minimum_detectable_difference};
pub use rates::{eer_resamples, hter_resamples};
pub use seeds::{SeedSummary, two_level};
