//! Scoring with a tuned detector.

use facebench_protocols::Selection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::TuneSpec;

/// Scoring every frame of a fold's development and test sets with a tuned detector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScoreSpec {
    /// The unit whose weights are used: its specification rebuilds the model
    pub tune: TuneSpec,
    /// Which of its checkpoints
    pub selection: Selection,
    /// Frames in a batch; does not change any number
    #[serde(default = "score_batch")]
    pub batch: usize,
}

fn score_batch() -> usize {
    64
}
