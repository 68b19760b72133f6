//! What a face-security number means: sample identity, protocols, metrics, statistics, audits and records.
//!
//! This crate is data and pure functions. It reads and writes small text files (CSV, YAML) and nothing else; it
//! knows no tensors, no plugins, no images and no rendering. Whatever prints, trains or loads depends on it.
//!
//! Polarity is fixed everywhere: label 1 = fake, spoof, attack; score = P(fake). Fractions are in [0, 1]; only
//! reports multiply by 100. A metric that is undefined (one class, NaN, nothing) is an error, never a number.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod audit;
pub mod csv;
pub mod dataset;
mod error;
pub mod evaluate;
pub mod frames;
pub mod measures;
pub mod metrics;
mod nearest;
pub mod predictions;
pub mod protocol;
pub mod record;
pub mod references;
pub mod rng;
pub mod sample;
pub mod scores;
pub mod stats;

pub use audit::{Finding, Severity};
pub use dataset::{Count, DatasetInfo, Layout, Unit, dataset, datasets};
pub use error::{Error, Result};
pub use evaluate::{evaluate, evaluate_with};
pub use measures::{Evaluation, Interval, Measures, Metric, PadAt, PadMeasures, SubjectMeasures};
pub use metrics::MetricError;
pub use nearest::nearest;
pub use predictions::{Prediction, read_predictions};
pub use protocol::{
    Aggregation, Assembled, Dev, Family, Fold, Protocol, Selection, Selector, TestSet, TestTransform,
};
pub use record::{DataStamp, Machine, Params, PluginStamp, ProtocolStamp, RunRecord, Timings};
pub use references::{Reference, all_references, references};
pub use rng::Stream;
pub use sample::{Manifest, Sample, Split};
pub use scores::{ScoreRow, VideoScores, read_scores, read_videos, score_header, write_scores};
