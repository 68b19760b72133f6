//! The program as a user runs it: one binary, one module per promise.
//!
//! Everything runs on tiny synthetic faces, offline. A finished experiment is made once and shared by the
//! tests that only read it (`fixture`).

mod backbones;
mod browser;
mod config;
mod costs;
mod data;
mod datasets;
mod explain;
mod features;
mod fixture;
mod leaderboard;
mod masks;
mod plugins;
mod pretraining;
mod resume;
mod robustness;
mod rules;
mod score;
mod sound;
mod store;
mod tools;
