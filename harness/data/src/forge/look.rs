//! What happens to pictures between camera and data set: exposure, tone, blur, sharpening, scaling, compression.
//!
//! Every picture, real or fake, gets one [`Look`] as a whole. In a fake, the inner face has another one: the
//! difference across the seam is the trace, not the look itself. Grey photographs stay grey.

use facebench_protocols::rng::Stream;

use crate::synth::plane::Plane;
use crate::synth::shot;

/// One way of processing a picture. Lengths are in 1/64 of the side.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    gain: [f32; 3],
    gamma: f32,
    blur: f32,
    sharpen: f32,
    scale: f32,
    quality: Option<u8>,
}

fn within(rng: &mut Stream, lo: f32, hi: f32) -> f32 {
    lo + (hi - lo) * rng.uniform() as f32
}

impl Look {
    /// Draws a look; `strength` 1 is what reals get, larger differs more. `grey` keeps the channels equal.
    pub(crate) fn draw(rng: &mut Stream, strength: f32, grey: bool) -> Self {
        let spread = 0.07 * strength;
        let light = 1.0 + within(rng, -spread, spread);
        let mut tint = [0.0; 3].map(|_: f32| within(rng, -0.6 * spread, 0.6 * spread));
        if grey {
            tint = [0.0; 3];
        }
        let mut chance = |p: f64| rng.uniform() < p;
        let (soft, crisp, scaled, squeezed) = (chance(0.35), chance(0.3), chance(0.35), chance(0.5));
        Self {
            gain: tint.map(|t| light * (1.0 + t)),
            gamma: 1.0 + within(rng, -0.12, 0.12) * strength,
            blur: if soft { within(rng, 0.1, 0.55) * strength } else { 0.0 },
            sharpen: if crisp && !soft { within(rng, 0.2, 0.7) * strength } else { 0.0 },
            scale: if scaled { 1.0 - within(rng, 0.1, 0.4) * strength.min(1.5) } else { 1.0 },
            quality: squeezed.then(|| within(rng, 60.0, 96.0) as u8),
        }
    }

    /// Processes a picture.
    pub(crate) fn apply(&self, p: &Plane) -> Plane {
        let unit = p.width as f32 / 64.0;
        let mut out = p.clone();
        for c in &mut out.pixels {
            *c = std::array::from_fn(|i| (c[i].max(0.0).powf(self.gamma) * self.gain[i]).clamp(0.0, 1.0));
        }
        if self.scale < 1.0 {
            let (w, h) = ((p.width as f32 * self.scale) as usize, (p.height as f32 * self.scale) as usize);
            out = out.resized(w.max(8), h.max(8)).resized(p.width, p.height);
        }
        if self.blur > 0.0 {
            out = out.blurred(self.blur * unit);
        }
        if self.sharpen > 0.0 {
            out = out.sharpened(0.7 * unit, self.sharpen);
        }
        match self.quality {
            Some(quality) => shot::compressed(&out, quality),
            None => out,
        }
    }
}
