//! From finished runs to what people look at: tables in six formats, figures, one HTML page.
//!
//! Reads run records and score files only; it knows no tensors, no plugins and no training. [`report()`] does all of
//! it; [`runs::load`], [`tables::for_protocol`], [`write::write`] and [`plot::render`] are its steps. The same runs
//! give the same bytes: no clock, no locale, no system fonts, no hash order.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod error;
pub mod explain;
mod figures;
pub mod grid;
pub mod leaderboard;
pub mod overlay;
mod page;
pub mod plot;
mod report;
pub mod robustness;
pub mod runs;
mod scaling;
pub mod table;
pub mod tables;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod tsne;
pub mod worst;
pub mod write;

pub use error::Error;
pub use report::{Options, Output, report, report_of};
pub use runs::Run;
pub use write::{Format, Style};
