//! Statistics over scores: intervals, tests between two models, corrections, what a test list can resolve.
//!
//! The unit of resampling is the video (or the person), never the frame: 32 frames of one clip are one observation.
//! Everything is deterministic, and parallel over fixed blocks so that the number of threads changes nothing.

pub mod summary;
