//! The folders and file names of each data set, as the published preparation scripts leave them.
//!
//! A data set is a list of jobs; a job is one video (or a batch of stills) with everything forged from it, keyed by
//! its own random streams, so the order in which threads take jobs does not matter.

pub(crate) mod diff;
pub(crate) mod ffpp;
pub(crate) mod mcio;
pub(crate) mod pretrain;
pub(crate) mod unseen;

use facebench_protocols::rng::Stream;

use super::identity::Identity;
use super::store::Store;
use super::{Error, SynthSpec};

/// A piece of work: writes its pictures and returns how many.
pub(crate) type Job = Box<dyn Fn(&Store) -> Result<usize, Error> + Send + Sync>;

/// The random stream of one thing in one data set.
pub(crate) fn stream(spec: &SynthSpec, set: &str, what: &str, name: &str) -> Stream {
    Stream::new("synthetic-faces", spec.seed, &[set, what, name])
}

/// A person of a data set. The set is part of the key: nobody appears in two sets.
pub(crate) fn person(spec: &SynthSpec, set: &str, name: &str) -> Identity {
    Identity::draw(&mut stream(spec, set, "person", name))
}

/// `count` frame numbers spread over a video of drawn length, and their times in [0, 1].
pub(crate) fn frames(rng: &mut Stream, count: usize) -> Vec<(usize, f32)> {
    let total = 240 + rng.below(220);
    (0..count)
        .map(|k| {
            let index = if count == 1 { 0 } else { k * (total - 1) / (count - 1) };
            (index, index as f32 / total as f32)
        })
        .collect()
}
