//! Where a forgery is: soft masks over the picture, drawn in face coordinates so that they follow the pose.

use super::relief::step;
use super::render::Canvas;

/// An ellipse in face coordinates with a feathered edge.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Region {
    /// Centre (u, v).
    pub(crate) centre: [f32; 2],
    /// Half axes.
    pub(crate) radii: [f32; 2],
    /// 2 is an ellipse, larger is boxier.
    pub(crate) power: f32,
    /// Width of the soft edge, relative to the radii.
    pub(crate) feather: f32,
}

impl Region {
    /// Brows to chin.
    pub(crate) fn inner_face(scale: f32, feather: f32) -> Self {
        Self { centre: [0.0, 0.22], radii: [0.60 * scale, 0.70 * scale], power: 2.6, feather }
    }

    /// Mouth and what moves with it.
    pub(crate) fn mouth(scale: f32, feather: f32) -> Self {
        Self { centre: [0.0, 0.60], radii: [0.42 * scale, 0.30 * scale], power: 2.4, feather }
    }

    /// Both eyes with their brows.
    pub(crate) fn eyes(scale: f32, feather: f32) -> Self {
        Self { centre: [0.0, -0.16], radii: [0.58 * scale, 0.26 * scale], power: 2.8, feather }
    }

    /// The whole head.
    pub(crate) fn head(feather: f32) -> Self {
        Self { centre: [0.0, 0.0], radii: [0.95, 1.15], power: 2.2, feather }
    }

    /// The mask over a picture, 0 to 1.
    pub(crate) fn mask(&self, canvas: &Canvas) -> Vec<f32> {
        canvas.uv.iter().map(|uv| self.at(*uv)).collect()
    }

    fn at(&self, [u, v]: [f32; 2]) -> f32 {
        let x = ((u - self.centre[0]) / self.radii[0]).abs();
        let y = ((v - self.centre[1]) / self.radii[1]).abs();
        let r = (x.powf(self.power) + y.powf(self.power)).powf(1.0 / self.power);
        step(1.0 + 0.5 * self.feather, 1.0 - 0.5 * self.feather, r)
    }
}

/// Takes what is hair, or outside the face, out of a mask: a good segmentation does that, a bad one does not.
pub(crate) fn keep_face(mask: &mut [f32], canvas: &Canvas) {
    for (m, label) in mask.iter_mut().zip(&canvas.labels) {
        if !(1..=9).contains(label) {
            *m = 0.0;
        }
    }
}
