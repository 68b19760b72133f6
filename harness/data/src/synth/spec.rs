//! What a synthetic data root contains: seed, picture size and counts.
//!
//! The whole root is a function of this value, so it is also the identity of a root on disk: an existing folder is
//! recognised by the spec in its marker. Counts are fields, the two presets only fill them.
//! `trace` scales every forgery trace at once; 1 is the calibrated strength, at which a simple detector does well
//! in-domain and clearly worse across domains.

use serde::{Deserialize, Serialize};

use super::Error;

/// Version of the generator; a root made by another version is not taken for this one.
pub const GENERATOR_VERSION: u32 = 1;

/// Everything that decides what [`generate`](super::generate) writes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SynthSpec {
    /// Seed of every random stream.
    pub seed: u64,
    /// Side of every picture, pixels.
    pub size: usize,
    /// Strength of all forgery traces; 1 is calibrated, 0.5 is harder, 0 leaves only what cannot be scaled.
    pub trace: f64,
    /// How much of everything.
    pub scale: SynthScale,
}

/// Counts of people, videos, frames and pictures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SynthScale {
    /// People in the pre-training set.
    pub pretrain_people: usize,
    /// Pictures of each of them.
    pub pretrain_per_person: usize,
    /// Real FF++-like training videos; even, since fakes come in pairs `a_b`, `b_a`.
    pub ffpp_train: usize,
    /// Real FF++-like validation videos; even.
    pub ffpp_val: usize,
    /// Real FF++-like test videos; even.
    pub ffpp_test: usize,
    /// Frames of each real FF++-like video. More than `ffpp_fake_frames`, to balance four manipulations.
    pub ffpp_real_frames: usize,
    /// Frames of each manipulated FF++-like video.
    pub ffpp_fake_frames: usize,
    /// Real videos, and as many fake ones, of each unseen test set.
    pub unseen_videos: usize,
    /// Frames of each of them.
    pub unseen_frames: usize,
    /// Real pictures, and as many fake ones, in each diffusion subset.
    pub diff_images: usize,
    /// Training people of each anti-spoofing domain, with 2 real and 4 attack videos each.
    pub mcio_train_people: usize,
    /// Test people of each anti-spoofing domain.
    pub mcio_test_people: usize,
    /// Real, and as many attack, videos in the "shot" list of each domain.
    pub mcio_shot: usize,
}

impl Default for SynthSpec {
    fn default() -> Self {
        Self::demo(0)
    }
}

impl Default for SynthScale {
    fn default() -> Self {
        Self::demo()
    }
}

impl SynthScale {
    /// The size of `facebench demo`: about 8,000 pictures.
    #[must_use]
    pub fn demo() -> Self {
        Self {
            pretrain_people: 150,
            pretrain_per_person: 10,
            ffpp_train: 60,
            ffpp_val: 12,
            ffpp_test: 28,
            ffpp_real_frames: 8,
            ffpp_fake_frames: 4,
            unseen_videos: 40,
            unseen_frames: 4,
            diff_images: 150,
            mcio_train_people: 15,
            mcio_test_people: 10,
            mcio_shot: 5,
        }
    }

    /// The size tests use: every folder and list is there, with a few pictures in it.
    #[must_use]
    pub fn tiny() -> Self {
        Self {
            pretrain_people: 4,
            pretrain_per_person: 2,
            ffpp_train: 4,
            ffpp_val: 2,
            ffpp_test: 2,
            ffpp_real_frames: 2,
            ffpp_fake_frames: 2,
            unseen_videos: 2,
            unseen_frames: 2,
            diff_images: 4,
            mcio_train_people: 2,
            mcio_test_people: 2,
            mcio_shot: 1,
        }
    }
}

impl SynthSpec {
    /// 64-pixel pictures in the amount the demo needs.
    #[must_use]
    pub fn demo(seed: u64) -> Self {
        Self { seed, size: 64, trace: 1.0, scale: SynthScale::demo() }
    }

    /// 64-pixel pictures in the amount tests need.
    #[must_use]
    pub fn tiny(seed: u64) -> Self {
        Self { seed, size: 64, trace: 1.0, scale: SynthScale::tiny() }
    }

    /// Refuses sizes and counts that make no data set.
    ///
    /// # Errors
    /// Names the field, what it is and what it may be.
    pub fn check(&self) -> Result<(), Error> {
        let bad = |field: &'static str, got: String, expected: &'static str| {
            Err(Error::Spec { field, got, expected })
        };
        if !(32..=1024).contains(&self.size) {
            return bad("size", self.size.to_string(), "32 to 1024 pixels");
        }
        if !(0.0..=4.0).contains(&self.trace) {
            return bad("trace", self.trace.to_string(), "a number from 0 to 4");
        }
        let s = &self.scale;
        let pairs = [("ffpp_train", s.ffpp_train), ("ffpp_val", s.ffpp_val), ("ffpp_test", s.ffpp_test)];
        for (field, n) in pairs {
            if n < 2 || n % 2 == 1 {
                return bad(field, n.to_string(), "an even number of videos, at least 2");
            }
        }
        if pairs.iter().map(|p| p.1).sum::<usize>() > 1000 {
            return bad("ffpp_train", s.ffpp_train.to_string(), "at most 1000 FF++-like videos together");
        }
        let positive = [
            ("pretrain_people", s.pretrain_people),
            ("pretrain_per_person", s.pretrain_per_person),
            ("ffpp_real_frames", s.ffpp_real_frames),
            ("ffpp_fake_frames", s.ffpp_fake_frames),
            ("unseen_videos", s.unseen_videos),
            ("unseen_frames", s.unseen_frames),
            ("diff_images", s.diff_images),
            ("mcio_train_people", s.mcio_train_people),
            ("mcio_test_people", s.mcio_test_people),
            ("mcio_shot", s.mcio_shot),
        ];
        for (field, n) in positive {
            if !(1..=100_000).contains(&n) {
                return bad(field, n.to_string(), "1 to 100000");
            }
        }
        if s.mcio_shot > 2 * s.mcio_train_people {
            return bad("mcio_shot", s.mcio_shot.to_string(), "at most twice mcio_train_people");
        }
        Ok(())
    }
}
