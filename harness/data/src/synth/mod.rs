//! Synthetic faces: a data root of people who do not exist, with forgeries that leave physical traces.
//!
//! So that the whole program can be tried, tested and timed without any data set: [`generate`] writes the layouts of
//! the prepared public sets (pre-training pictures with parsing maps, FF++ and four unseen deepfake sets, DiFF, MCIO),
//! and the same readers read both. In-domain detection is easy and cross-domain harder, as in the field, because sets
//! differ in cameras, people and forgers. It is a stage set, not a benchmark: every folder and every picture says
//! "synthetic", and no number from it means anything about real forgeries.
//!
//! Deterministic: every video has its own random streams, keyed by (seed, set, name), whatever the number of threads.

mod attack;
mod backdrop;
mod camera;
mod casting;
mod diffusion;
mod error;
mod features;
mod frame;
mod gallery;
mod identity;
mod layout;
mod mask;
pub(crate) mod noise;
mod outline;
pub(crate) mod partial;
pub(crate) mod plane;
mod reenact;
pub(crate) mod relief;
mod render;
mod shade;
pub(crate) mod shot;
mod skin;
mod spec;
mod store;
mod swap;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use facebench_protocols::rng::Stream;
use rayon::prelude::*;

use crate::image::Rgb;
use crate::parsing::ParsingMap;

pub use camera::Camera;
pub use error::Error;
pub use frame::{FrameParams, Light, Motion, Range, Scene};
pub use gallery::gallery;
pub use identity::{Brows, Colour, Eyes, Hair, HairStyle, Identity, Mouth, Nose, Shape, Skin};
pub use spec::{GENERATOR_VERSION, SynthScale, SynthSpec};
pub use store::{MARKER, Marker};

/// What [`generate`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SynthSummary {
    /// Pictures written by this call; 0 when the root was already there.
    pub images: usize,
    /// Files of the root.
    pub files: usize,
    /// Whether a complete root of the same spec was found and left alone.
    pub reused: bool,
}

/// Writes a synthetic data root to `out`, in parallel on the current rayon pool.
///
/// `progress(done, total)` is called after each piece of work (a video, a few pictures), from any thread.
/// `out` appears only when everything in it is written. If it is already there with the same spec, nothing is done.
///
/// # Errors
/// A spec that makes no data set, a folder with other contents, or a file that cannot be written.
pub fn generate(
    out: &Path,
    spec: &SynthSpec,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<SynthSummary, Error> {
    spec.check()?;
    if let store::Existing::Same(files) = store::Store::existing(out, spec)? {
        return Ok(SynthSummary { images: 0, files, reused: true });
    }
    let store = store::Store::begin(out, spec)?;
    let written = write_all(&store, spec, progress).inspect_err(|_| store.discard())?;
    let files = store.publish(out, spec)?;
    Ok(SynthSummary { images: written, files, reused: false })
}

fn write_all(
    store: &store::Store,
    spec: &SynthSpec,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<usize, Error> {
    let mut jobs = layout::pretrain::jobs(spec, store)?;
    jobs.extend(layout::ffpp::jobs(spec, store)?);
    jobs.extend(layout::unseen::jobs(spec, store)?);
    jobs.extend(layout::diff::jobs(spec, store)?);
    jobs.extend(layout::mcio::jobs(spec, store)?);
    let (total, done) = (jobs.len(), AtomicUsize::new(0));
    jobs.par_iter()
        .map(|job| {
            let written = job(store)?;
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
            Ok(written)
        })
        .sum()
}

/// Renders one frame as a good camera sees it, with its parsing map; `size` pixels square.
///
/// The same arguments give the same bytes.
#[must_use]
pub fn render_frame(id: &Identity, frame: &FrameParams, size: usize) -> (Rgb, ParsingMap) {
    let canvas = render::draw(id, frame, size);
    let mut rng = Stream::new("synthetic-faces", u64::from(id.key), &["render_frame"]);
    let picture = Camera::clean().shoot(&canvas, &mut rng).to_rgb();
    (picture, ParsingMap { width: size, height: size, labels: canvas.labels })
}
