//! Presentation attacks: a photograph of a print, and of a screen.
//!
//! The first picture is shown on a medium with its own gamut, blur and raster, lit by the room, and taken again by
//! the domain's camera. Prints: halftone dots on rotated screens, paper white and ink black, sheen, a bent sheet.
//! Screens: contrast and white point, raster, the moiré between raster and sensor, glare, now and then a bezel.

use std::f32::consts::{PI, TAU};

use facebench_protocols::rng::Stream;

use super::camera::Camera;
use super::casting::within;
use super::noise;
use super::plane::Plane;
use super::relief::step;

/// What the attackers of one data set used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Instruments {
    /// Halftone dots across the picture, and their contrast.
    pub(crate) dots: [f32; 2],
    pub(crate) dot_contrast: [f32; 2],
    /// Saturation of the print.
    pub(crate) ink: [f32; 2],
    /// Moiré bands across the picture, and their contrast.
    pub(crate) bands: [f32; 2],
    pub(crate) band_contrast: [f32; 2],
    /// Contrast of the screen's own lines.
    pub(crate) raster: [f32; 2],
    /// Chance of glare, of a visible edge.
    pub(crate) glare: f32,
    pub(crate) edge: f32,
    /// Blue shift of the screens.
    pub(crate) cold: [f32; 2],
}

/// sRGB-like picture back to linear light.
fn light_of(p: &Plane, k: impl Fn(f32, f32, [f32; 3]) -> [f32; 3]) -> Plane {
    let (w, h) = (p.width, p.height);
    let mut out = p.clone();
    for y in 0..h {
        for x in 0..w {
            let c = &mut out.pixels[y * w + x];
            *c = k(
                (x as f32 + 0.5) / w as f32,
                (y as f32 + 0.5) / h as f32,
                c.map(|v| v.clamp(0.0, 1.0).powf(2.2)),
            );
        }
    }
    out
}

/// A printed photograph held before the camera. Returns light, to be recorded.
pub(crate) fn print(picture: &Plane, tools: &Instruments, key: u32, rng: &mut Stream, trace: f32) -> Plane {
    let unit = picture.width as f32 / 64.0;
    let dots = within(rng, tools.dots[0], tools.dots[1]) * TAU;
    let contrast = within(rng, tools.dot_contrast[0], tools.dot_contrast[1]) * trace;
    let ink = 1.0 + trace.min(1.5) * (within(rng, tools.ink[0], tools.ink[1]) - 1.0);
    let black = within(rng, 0.015, 0.05) * trace;
    let white = 1.0 - within(rng, 0.10, 0.25) * trace.min(1.5);
    let tint = [1.0, within(rng, 0.95, 1.0), within(rng, 0.86, 0.97)];
    let turn = within(rng, 0.0, 1.57);
    let bend = [within(rng, -0.22, 0.22), within(rng, 1.5, 5.0), within(rng, 0.0, TAU), within(rng, 0.0, PI)];
    let sheen = within(rng, 0.0, 0.12) * trace;
    let border = if rng.uniform() < f64::from(tools.edge) {
        Some((rng.below(4), within(rng, 0.03, 0.10)))
    } else {
        None
    };
    let soft = picture.blurred(within(rng, 0.25, 0.55) * unit * trace.min(1.5));
    light_of(&soft, |x, y, c| {
        let grey = 0.25 * c[0] + 0.65 * c[1] + 0.10 * c[2];
        let (sb, cb) = bend[3].sin_cos();
        let wave = (bend[1] * (cb * x + sb * y) + bend[2]).sin();
        let bent = 1.0 + bend[0] * trace * wave;
        let paper = 1.0 + 0.02 * noise::fractal(x, y, 12.0, 40.0, key);
        let mut out: [f32; 3] = std::array::from_fn(|i| {
            let angle = turn + 0.26 + 0.52 * i as f32;
            let (s, co) = angle.sin_cos();
            let dot = (dots * (co * x + s * y)).cos() * (dots * (co * y - s * x)).cos();
            let v = grey + ink * (c[i] - grey);
            let v = v + contrast * dot * (0.25 + (v * (1.0 - v)).max(0.0).sqrt());
            ((black + (white - black) * v.clamp(0.0, 1.2)) * tint[i] * paper * bent)
                + sheen * wave.max(0.0).powi(3)
        });
        if let Some((side, width)) = border {
            let d = [x, 1.0 - x, y, 1.0 - y][side];
            if d < width {
                out = if d > 0.55 * width { [0.75, 0.73, 0.68] } else { [0.10, 0.10, 0.12] };
            }
        }
        out
    })
}

/// A phone, tablet or monitor held before the camera. Returns light, to be recorded.
pub(crate) fn replay(picture: &Plane, tools: &Instruments, key: u32, rng: &mut Stream, trace: f32) -> Plane {
    let bands = within(rng, tools.bands[0], tools.bands[1]) * TAU;
    let contrast = within(rng, tools.band_contrast[0], tools.band_contrast[1]) * trace;
    let raster = within(rng, tools.raster[0], tools.raster[1]) * trace;
    let cold = within(rng, tools.cold[0], tools.cold[1]) * trace;
    let gamma = 1.0 + within(rng, 0.05, 0.35) * trace;
    let veil = within(rng, 0.01, 0.04) * trace;
    let power = within(rng, 0.75, 1.15);
    let angle = within(rng, 0.0, PI);
    let (s, c) = angle.sin_cos();
    let lines = picture.width as f32 * within(rng, 0.30, 0.48) * TAU;
    let spot = (rng.uniform() < f64::from(tools.glare)).then(|| {
        [within(rng, 0.05, 0.95), within(rng, 0.05, 0.95), within(rng, 0.08, 0.22), within(rng, 0.10, 0.45)]
    });
    let bezel = (rng.uniform() < f64::from(tools.edge)).then(|| (rng.below(4), within(rng, 0.03, 0.09)));
    let phase = [0.0, within(rng, 0.3, 1.2), within(rng, 0.8, 2.2)];
    light_of(picture, |x, y, v| {
        let warp = 0.10 * noise::value(2.0 * x, 2.0 * y, key);
        let along = c * x + s * y + warp;
        let grid = 1.0 + raster * ((lines * x).cos() + 0.7 * (lines * y).cos());
        let mut out: [f32; 3] = std::array::from_fn(|i| {
            let moire = 1.0 + contrast * (bands * along + phase[i]).cos();
            let white = [1.0 - cold, 1.0, 1.0 + 1.2 * cold][i];
            power * v[i].powf(gamma) * white * moire * grid + veil
        });
        if let Some([gx, gy, r, level]) = spot {
            let d = ((x - gx) / r).powi(2) + ((y - gy) / (0.6 * r)).powi(2);
            let k = level * trace.min(2.0) * (-0.5 * d).exp();
            out = out.map(|v| v + k);
        }
        if let Some((side, width)) = bezel {
            let d = [x, 1.0 - x, y, 1.0 - y][side];
            let k = step(width + 0.01, width - 0.01, d);
            out = out.map(|v| v * (1.0 - k) + 0.012 * k);
        }
        out
    })
}

/// A second camera looks at what the first one saw.
pub(crate) fn recapture(light: &Plane, camera: &Camera, rng: &mut Stream) -> Plane {
    camera.record(light, rng)
}
