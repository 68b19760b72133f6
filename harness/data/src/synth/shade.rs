//! Light on skin, hair and everything else.
//!
//! A key light with wrapped diffuse (redder wrap on skin, as light that travelled through it), hemispheric ambient
//! and a Blinn highlight. No cast shadows; the renderer paints the few that matter.

use super::frame::Light;
use super::identity::Colour;

/// A light with what can be computed once per frame.
pub(crate) struct Lamp {
    to: [f32; 3],
    half: [f32; 3],
    key: Colour,
    ambient: Colour,
}

fn dot(a: [f32; 3], b: [f32; 3]) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn unit(a: [f32; 3]) -> [f32; 3] {
    let k = 1.0 / dot(a, a).sqrt().max(1e-6);
    a.map(|c| c * k)
}

impl Lamp {
    pub(crate) fn new(light: &Light) -> Self {
        let to = unit(light.direction);
        Self { to, half: unit([to[0], to[1], to[2] + 1.0]), key: light.key, ambient: light.ambient }
    }

    fn wrapped(&self, n: [f32; 3], wrap: f32) -> f32 {
        ((dot(n, self.to) + wrap) / (1.0 + wrap)).max(0.0)
    }

    fn sky(n: [f32; 3]) -> f32 {
        0.78 - 0.22 * n[1]
    }

    /// Light on skin: albedo, normal, gloss.
    pub(crate) fn skin(&self, albedo: Colour, n: [f32; 3], gloss: f32) -> Colour {
        let sky = Self::sky(n) * (0.72 + 0.28 * n[2].max(0.0));
        let spec = dot(n, self.half).max(0.0).powi(18) * 0.11 * gloss;
        const WRAP: [f32; 3] = [0.42, 0.28, 0.22];
        std::array::from_fn(|c| {
            albedo[c] * (self.key[c] * self.wrapped(n, WRAP[c]) + self.ambient[c] * sky) + spec * self.key[c]
        })
    }

    /// Light on a matt surface; the normal need not be unit.
    pub(crate) fn flat(&self, albedo: Colour, n: [f32; 3]) -> Colour {
        let n = unit(n);
        let d = self.wrapped(n, 0.25);
        std::array::from_fn(|c| albedo[c] * (self.key[c] * d + self.ambient[c] * Self::sky(n)))
    }

    /// Sheen of hair.
    pub(crate) fn hair(&self, n: [f32; 3]) -> f32 {
        self.key[1] * dot(n, self.half).max(0.0).powi(6) * 0.5
    }

    /// Light of the room on the background.
    pub(crate) fn room(&self) -> Colour {
        std::array::from_fn(|c| 0.55 * self.key[c] + 0.75 * self.ambient[c])
    }

    /// Where shadows fall: sideways -1 to 1, and downward strength 0 to 1.
    pub(crate) fn cast(&self) -> [f32; 2] {
        [(self.to[0] / self.to[2].max(0.2)).clamp(-1.2, 1.2), (-self.to[1] * 1.8).clamp(0.0, 1.0)]
    }

    /// Colour of a reflection in the eye.
    pub(crate) fn glint(&self) -> Colour {
        self.key.map(|c| (1.1 * c).min(1.2))
    }
}
