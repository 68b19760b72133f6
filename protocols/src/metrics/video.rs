//! From frames to videos: one score per `dataset/method/video`.
//!
//! The key is the whole identity. Grouping by folder name alone merged four FF++ fakes into one "video" and printed
//! AUC 1.000 where 0.834 was right; with this type of key that cannot be written.

use crate::error::{Error, Result};
use crate::protocol::Aggregation;
use crate::scores::ScoreRow;

/// One video of a set.
#[derive(Clone, Debug, PartialEq)]
pub struct Video<'a> {
    /// Its first frame's row, for names, label and subjects.
    pub row: &'a ScoreRow,
    /// Number of frames.
    pub frames: usize,
    /// Aggregated P(fake).
    pub score: f64,
}

/// Group rows into videos, sorted by identity; the order of rows does not matter.
///
/// # Errors
/// A video whose frames carry both labels.
pub fn group<'a>(rows: &[&'a ScoreRow], aggregation: Aggregation) -> Result<Vec<Video<'a>>> {
    let mut sorted = rows.to_vec();
    sorted.sort_by(|a, b| a.key().cmp(&b.key()));
    sorted
        .chunk_by(|a, b| (&a.dataset, &a.method, &a.video) == (&b.dataset, &b.method, &b.video))
        .map(|frames| {
            let row = frames[0];
            if frames.iter().any(|f| f.label != row.label) {
                return Err(Error::MixedVideo { video: row.video_id() });
            }
            let scores: Vec<f64> = frames.iter().map(|f| f.score).collect();
            Ok(Video { row, frames: frames.len(), score: aggregate(&scores, aggregation) })
        })
        .collect()
}

/// One score for the frames of a video; they are summed in the order given.
///
/// # Panics
/// If there is no frame: a video has at least one.
pub fn aggregate(frames: &[f64], aggregation: Aggregation) -> f64 {
    assert!(!frames.is_empty(), "a video has at least one frame");
    let mean = |scores: &[f64]| scores.iter().sum::<f64>() / scores.len() as f64;
    match aggregation {
        Aggregation::Mean => mean(frames),
        Aggregation::Max => frames.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        Aggregation::TopK(k) => {
            let mut sorted = frames.to_vec();
            sorted.sort_unstable_by(|a, b| b.total_cmp(a));
            mean(&sorted[..k.clamp(1, sorted.len())])
        }
    }
}
