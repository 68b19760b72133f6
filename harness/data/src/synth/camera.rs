//! From light to picture: lens, sensor, colour processing and JPEG.
//!
//! A [`Camera`] is drawn per video; two data sets differ mostly in how theirs are drawn. Lengths (blur, chroma shift)
//! are in 1/64 of the picture's side, so a camera looks alike at every size. The result is display-referred sRGB in
//! [0, 1] as `f32`: forgers work on that, then [`compress`] makes bytes of it by a real JPEG round trip.

use facebench_protocols::rng::Stream;

use super::casting::within;
use super::plane::Plane;
use super::render::Canvas;

/// A camera and what its firmware does.
#[derive(Clone, Debug)]
pub struct Camera {
    /// Exposure factor.
    pub gain: f32,
    /// Exponent of the tone curve; 1/2.2 is plain.
    pub gamma: f32,
    /// White balance error, factors for red and blue.
    pub balance: [f32; 2],
    /// Saturation, 1 plain.
    pub saturation: f32,
    /// Blur, standard deviation in 1/64 of the side.
    pub blur: f32,
    /// Sharpening after the blur.
    pub sharpen: f32,
    /// Noise of a mid-grey pixel, in sRGB units, and the share of it that is coloured.
    pub noise: [f32; 2],
    /// Darkening of the corners.
    pub vignette: f32,
    /// JPEG quality, 1 to 100.
    pub quality: u8,
}

/// How a data set's cameras are drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CameraRange {
    pub(crate) gain: [f32; 2],
    pub(crate) gamma: [f32; 2],
    pub(crate) warm: [f32; 2],
    pub(crate) saturation: [f32; 2],
    pub(crate) blur: [f32; 2],
    pub(crate) sharpen: [f32; 2],
    pub(crate) noise: [f32; 2],
    pub(crate) vignette: f32,
    pub(crate) quality: [f32; 2],
}

impl CameraRange {
    pub(crate) fn draw(&self, rng: &mut Stream) -> Camera {
        let warm = within(rng, self.warm[0], self.warm[1]);
        Camera {
            gain: within(rng, self.gain[0], self.gain[1]),
            gamma: within(rng, self.gamma[0], self.gamma[1]),
            balance: [1.0 + warm + within(rng, -0.03, 0.03), 1.0 - warm + within(rng, -0.03, 0.03)],
            saturation: within(rng, self.saturation[0], self.saturation[1]),
            blur: within(rng, self.blur[0], self.blur[1]),
            sharpen: within(rng, self.sharpen[0], self.sharpen[1]),
            noise: [within(rng, self.noise[0], self.noise[1]), within(rng, 0.2, 0.6)],
            vignette: self.vignette * rng.uniform() as f32,
            quality: within(rng, self.quality[0], self.quality[1]) as u8,
        }
    }
}

impl Camera {
    /// A good camera in good light, for documentation pictures.
    #[must_use]
    pub fn clean() -> Self {
        Self {
            gain: 1.0,
            gamma: 1.0 / 2.2,
            balance: [1.0; 2],
            saturation: 1.0,
            blur: 0.25,
            sharpen: 0.0,
            noise: [0.006, 0.3],
            vignette: 0.0,
            quality: 95,
        }
    }

    /// Takes a picture of rendered light.
    pub(crate) fn shoot(&self, canvas: &Canvas, rng: &mut Stream) -> Plane {
        self.record(&Plane { width: canvas.size, height: canvas.size, pixels: canvas.light.clone() }, rng)
    }

    /// Takes a picture of any linear light: used for faces, prints and screens alike.
    pub(crate) fn record(&self, light: &Plane, rng: &mut Stream) -> Plane {
        let unit = light.width as f32 / 64.0;
        let mut p = light.blurred(self.blur * unit);
        let (w, h) = (p.width, p.height);
        for y in 0..h {
            let fy = 2.0 * (y as f32 + 0.5) / h as f32 - 1.0;
            for x in 0..w {
                let fx = 2.0 * (x as f32 + 0.5) / w as f32 - 1.0;
                let fall = self.gain * (1.0 - 0.5 * self.vignette * (fx * fx + fy * fy));
                let c = &mut p.pixels[y * w + x];
                let lit = [c[0] * fall * self.balance[0], c[1] * fall, c[2] * fall * self.balance[1]];
                *c = lit.map(|v| tone(v).powf(self.gamma));
                let grey = 0.30 * c[0] + 0.59 * c[1] + 0.11 * c[2];
                *c = c.map(|v| grey + self.saturation * (v - grey));
            }
        }
        if self.sharpen > 0.0 {
            p = p.sharpened(0.6 * unit, self.sharpen);
        }
        self.add_noise(&mut p, rng);
        p
    }

    /// Sensor noise: stronger in mid tones after the tone curve, partly coloured, white over pixels.
    pub(crate) fn add_noise(&self, p: &mut Plane, rng: &mut Stream) {
        let [level, chroma] = self.noise;
        for c in &mut p.pixels {
            let [a, b, d, e] = rough_normals(rng);
            let grey = 0.30 * c[0] + 0.59 * c[1] + 0.11 * c[2];
            let s = level * (0.55 + 1.2 * (grey * (1.0 - grey)).max(0.0) * 1.5);
            let k = (1.0 - chroma * chroma).max(0.0).sqrt();
            for (v, n) in c.iter_mut().zip([b, d, e]) {
                *v = (*v + s * (k * a + chroma * n)).clamp(0.0, 1.0);
            }
        }
    }
}

/// Soft shoulder: plain up to 0.7, then approaching one.
fn tone(v: f32) -> f32 {
    let v = v.max(0.0);
    if v < 0.7 { v } else { 1.0 - 0.3 * (-(v - 0.7) / 0.3).exp() }
}

/// Four nearly normal numbers of unit variance from one draw: each the sum of two uniform 8-bit numbers, scaled.
fn rough_normals(rng: &mut Stream) -> [f32; 4] {
    let bits = rng.next_u64().to_le_bytes();
    std::array::from_fn(|i| {
        let sum = f32::from(bits[2 * i]) + f32::from(bits[2 * i + 1]);
        (sum - 255.0) * (1.0 / 104.5)
    })
}
