//! One command, one file: from what was typed to what is needed, done and printed.

pub(crate) mod checkpoint;
pub(crate) mod completions;
mod convert;
pub(crate) mod data;
mod data_audit;
mod data_pack;
mod data_sets;
pub(crate) mod demo;
pub(crate) mod explain;
pub(crate) mod features;
mod features_plot;
mod finished;
pub(crate) mod leaderboard;
pub(crate) mod mask;
pub(crate) mod metrics;
mod metrics_beside;
pub(crate) mod plan;
pub(crate) mod plugin;
pub(crate) mod plugin_new;
pub(crate) mod report;
pub(crate) mod robustness;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod score;
pub(crate) mod selftest;
mod selftest_device;
mod shared;
