//! Reenactment: the same person, another expression.
//!
//! `Face2Face` warps mouth and eyes by local resampling and re-renders the inner face at a little less resolution;
//! `NeuralTextures` draws the mouth region afresh with a network, smoother than skin and with the faint checkerboard
//! of transposed convolutions (Odena et al., 2016). Both keep the person's colours; what they lose is noise and
//! fine grain inside their area.

use facebench_protocols::rng::Stream;

use super::camera::Camera;
use super::casting::within;
use super::frame::FrameParams;
use super::identity::Identity;
use super::mask::Region;
use super::plane::Plane;
use super::relief::bump;
use super::shot::{self, Shot};

/// One Face2Face video.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Face2Face {
    resolution: f32,
    shading: f32,
    open: f32,
    widen: f32,
    trace: f32,
}

impl Face2Face {
    pub(crate) fn draw(rng: &mut Stream, trace: f32) -> Self {
        let mut sign = || if rng.uniform() < 0.5 { -1.0f32 } else { 1.0 };
        let (a, b, c) = (sign(), sign(), sign());
        Self {
            resolution: 1.0 - trace * (1.0 - within(rng, 0.70, 0.92)),
            shading: a * within(rng, 0.02, 0.06) * trace,
            open: b * within(rng, 0.03, 0.07),
            widen: c * within(rng, 0.05, 0.14),
            trace,
        }
    }

    pub(crate) fn apply(&self, shot: &Shot, f: &FrameParams, rng: &mut Stream) -> Plane {
        let canvas = &shot.canvas;
        let size = canvas.size as f32;
        let unit = size / (2.0 * f.span);
        let [mx, my] = canvas.mouth;
        let (rx, ry) = (0.40 * unit, 0.30 * unit);
        let open = self.open * unit * (0.6 + 0.8 * rng.uniform() as f32);
        let eyes = canvas.eyes;
        let lift = 0.02 * unit * (rng.uniform() as f32 - 0.5) * 2.0;
        // first resampling: the mesh moves lips and lids
        let moved = shot.picture.warped(|x, y| {
            let k = bump(((x - mx) / rx).powi(2) + ((y - my) / ry).powi(2));
            let mut at = [x - k * self.widen * (x - mx), y - k * open * ((y - my) / ry).clamp(-1.0, 1.0)];
            for [ex, ey] in eyes {
                at[1] -= lift * bump(((x - ex) / (0.18 * unit)).powi(2) + ((y - ey) / (0.14 * unit)).powi(2));
            }
            [at[0] + 0.35 * self.trace, at[1] + 0.35 * self.trace]
        });
        // second: the face texture, rendered back
        let side = ((size * self.resolution).round() as usize).max(8);
        let mut face = if side < canvas.size {
            moved.resized(side, side).resized(canvas.size, canvas.size)
        } else {
            moved
        };
        for (p, uv) in face.pixels.iter_mut().zip(&canvas.uv) {
            let k = 1.0 + self.shading * (uv[0] * 1.3).clamp(-1.0, 1.0) + 0.3 * self.shading;
            *p = p.map(|v| v * k);
        }
        shot.picture.blended(&face, &Region::inner_face(1.0, 0.16).mask(canvas))
    }
}

/// One NeuralTextures video.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NeuralTextures {
    smooth: f32,
    checker: f32,
    open: f32,
    smile: f32,
    scale: f32,
}

impl NeuralTextures {
    pub(crate) fn draw(rng: &mut Stream, trace: f32) -> Self {
        Self {
            smooth: within(rng, 0.35, 0.75) * trace,
            checker: within(rng, 0.006, 0.013) * trace,
            open: within(rng, -0.4, 0.5),
            smile: within(rng, -0.5, 0.5),
            scale: within(rng, 1.0, 1.25),
        }
    }

    pub(crate) fn apply(
        &self,
        shot: &Shot,
        id: &Identity,
        f: &FrameParams,
        camera: &Camera,
        rng: &mut Stream,
    ) -> Plane {
        let size = shot.canvas.size;
        let mut other = f.clone();
        other.mouth_open = (f.mouth_open + self.open + 0.2 * (rng.uniform() as f32 - 0.5)).clamp(0.0, 0.9);
        other.smile = (f.smile + self.smile).clamp(-0.5, 1.0);
        let unit = size as f32 / 64.0;
        let mut face = shot::clean(id, &other, camera, size).picture.blurred(self.smooth * unit);
        checkerboard(&mut face, (2.0 * unit).round().max(2.0) as usize, self.checker);
        shot.picture.blended(&face, &Region::mouth(self.scale, 0.22).mask(&shot.canvas))
    }
}

/// Adds the grid that transposed convolutions leave: alternate cells of side `period / 2` are lighter and darker.
pub(crate) fn checkerboard(p: &mut Plane, period: usize, amplitude: f32) {
    let half = (period / 2).max(1);
    for y in 0..p.height {
        for x in 0..p.width {
            let s = if (x / half + y / half).is_multiple_of(2) { amplitude } else { -amplitude };
            let c = &mut p.pixels[y * p.width + x];
            *c = [c[0] + s, c[1] + s, c[2] - 0.6 * s];
        }
    }
}
