//! Face swaps: another person's face under this person's hair.
//!
//! Traces: an inner face of lower resolution (an autoencoder's output scaled up), a blending boundary, missing sensor
//! noise, remaining colour mismatch, and jitter. `DeepFakes` blends softly and matches colour; `FaceSwap` pastes a
//! hard-edged polygon with the donor's own light. Later generations (Celeb-DF) are the same with weaker traces.
//! Compare Rössler et al., FaceForensics++ (ICCV 2019); Li et al., Face X-ray (CVPR 2020) on blending boundaries.

use facebench_protocols::rng::Stream;

use super::camera::Camera;
use super::casting::within;
use super::frame::FrameParams;
use super::identity::Identity;
use super::mask::{self, Region};
use super::plane::Plane;
use super::shot::{self, Shot};

/// How well a swap is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Swap {
    /// Resolution of the inner face relative to the picture.
    pub(crate) resolution: [f32; 2],
    /// Width of the blending zone.
    pub(crate) feather: [f32; 2],
    /// How much of the colour difference is removed.
    pub(crate) matched: [f32; 2],
    /// Size of the swapped area.
    pub(crate) scale: [f32; 2],
    /// Share of the sensor noise that is put back.
    pub(crate) regrain: f32,
    /// Misplacement in face units.
    pub(crate) jitter: f32,
    /// Whether the donor keeps its own light and camera.
    pub(crate) own_light: bool,
}

impl Swap {
    pub(crate) const DEEPFAKES: Self = Self {
        resolution: [0.62, 0.86],
        feather: [0.14, 0.26],
        matched: [0.75, 0.95],
        scale: [0.92, 1.06],
        regrain: 0.25,
        jitter: 0.02,
        own_light: false,
    };
    pub(crate) const FACESWAP: Self = Self {
        resolution: [0.85, 1.0],
        feather: [0.02, 0.06],
        matched: [0.55, 0.85],
        scale: [0.92, 1.06],
        regrain: 0.8,
        jitter: 0.03,
        own_light: true,
    };
    /// Celeb-DF v2: higher resolution, colour matched, wide soft blend.
    pub(crate) const BETTER: Self = Self {
        resolution: [0.84, 1.0],
        feather: [0.25, 0.42],
        matched: [0.95, 1.0],
        scale: [0.95, 1.08],
        regrain: 0.8,
        jitter: 0.012,
        own_light: false,
    };
    /// DFDC and what circulates: anything between.
    pub(crate) const MIXED: Self = Self {
        resolution: [0.66, 1.0],
        feather: [0.08, 0.35],
        matched: [0.75, 1.0],
        scale: [0.88, 1.1],
        regrain: 0.6,
        jitter: 0.025,
        own_light: true,
    };

    /// Settings of one video.
    pub(crate) fn draw(&self, rng: &mut Stream, trace: f32) -> Settled {
        let mut pick = |r: [f32; 2]| within(rng, r[0], r[1]);
        let resolution = pick(self.resolution);
        Settled {
            resolution: (1.0 - trace * (1.0 - resolution)).clamp(0.15, 1.0),
            feather: pick(self.feather),
            matched: 1.0 - trace.min(1.5) * (1.0 - pick(self.matched)),
            scale: pick(self.scale),
            regrain: self.regrain,
            jitter: self.jitter * trace,
            own_light: self.own_light,
        }
    }
}

/// One video's settings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settled {
    resolution: f32,
    feather: f32,
    matched: f32,
    scale: f32,
    regrain: f32,
    jitter: f32,
    own_light: bool,
}

/// Who gives the face, and in which light he was filmed.
pub(crate) struct Donor<'a> {
    pub(crate) id: &'a Identity,
    pub(crate) frame: &'a FrameParams,
    pub(crate) camera: &'a Camera,
}

impl Settled {
    /// Puts the donor's face into a shot of somebody else.
    pub(crate) fn apply(
        &self,
        shot: &Shot,
        f: &FrameParams,
        camera: &Camera,
        donor: &Donor,
        rng: &mut Stream,
    ) -> Plane {
        let size = shot.canvas.size;
        let mut pose = f.clone();
        if self.own_light {
            pose.light = donor.frame.light.clone();
        }
        pose.shift[0] += self.jitter * (2.0 * rng.uniform() as f32 - 1.0);
        pose.shift[1] += self.jitter * (2.0 * rng.uniform() as f32 - 1.0);
        let lens = if self.own_light { donor.camera } else { camera };
        let face = shot::clean(donor.id, &pose, lens, size).picture;
        let side = ((size as f32 * self.resolution).round() as usize).max(8);
        let mut face = if side < size { face.resized(side, side).resized(size, size) } else { face };
        let mut core = Region::inner_face(self.scale * 0.9, 0.2).mask(&shot.canvas);
        mask::keep_face(&mut core, &shot.canvas);
        face = face.matched(&core, shot.picture.moments(&core), self.matched);
        if self.regrain > 0.0 {
            let [level, chroma] = camera.noise;
            Camera { noise: [level * self.regrain, chroma], ..camera.clone() }.add_noise(&mut face, rng);
        }
        let area = Region::inner_face(self.scale, self.feather).mask(&shot.canvas);
        shot.picture.blended(&face, &area)
    }
}
