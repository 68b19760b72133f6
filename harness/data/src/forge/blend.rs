//! The two forgeries: self-blends and swaps, both along a soft elliptical mask.
//!
//! Self-blended images (Shiohara and Yamasaki, CVPR 2022) blend a face with a slightly processed, slightly shifted
//! copy of itself: nothing but the seam and the mismatch across it tells them from real ones. Swaps put another
//! person's inner face in, aligned by the image frame, with colours transferred. No landmarks are needed; the folder
//! holds face crops, so the face is in the middle.

use facebench_protocols::rng::Stream;

use super::look::Look;
use crate::synth::noise;
use crate::synth::plane::Plane;
use crate::synth::relief::step;

fn within(rng: &mut Stream, lo: f32, hi: f32) -> f32 {
    lo + (hi - lo) * rng.uniform() as f32
}

/// An elliptical mask, elastically deformed, with a feathered edge; row by row, 0 to 1.
pub(crate) fn mask(rng: &mut Stream, side: usize) -> Vec<f32> {
    let key = rng.next_u64() as u32;
    let centre = [0.5 + within(rng, -0.03, 0.03), 0.53 + within(rng, -0.04, 0.04)];
    let radii = [within(rng, 0.24, 0.34), within(rng, 0.28, 0.40)];
    let (wobble, wave) = (within(rng, 0.02, 0.07), within(rng, 2.0, 4.5));
    let feather = within(rng, 0.06, 0.30);
    let power = within(rng, 2.0, 3.2);
    let top = rng.uniform() < 0.4;
    let mut out = Vec::with_capacity(side * side);
    for y in 0..side {
        for x in 0..side {
            let (px, py) = ((x as f32 + 0.5) / side as f32, (y as f32 + 0.5) / side as f32);
            let dx = wobble * noise::value(px * wave, py * wave, key);
            let dy = wobble * noise::value(px * wave, py * wave, key ^ 0x5A5A);
            let u = ((px + dx - centre[0]) / radii[0]).abs();
            let v = (py + dy - centre[1]) / radii[1];
            // some forgers stop below the brows
            let v = if top && v < 0.0 { v * 1.5 } else { v }.abs();
            let r = (u.powf(power) + v.powf(power)).powf(1.0 / power);
            out.push(step(1.0 + 0.5 * feather, 1.0 - 0.5 * feather, r));
        }
    }
    out
}

/// A face blended with another version of itself.
pub(crate) fn self_blend(photo: &Plane, grey: bool, rng: &mut Stream, trace: f32) -> Plane {
    let (outer, inner) = looks(rng, grey, trace);
    let side = photo.width as f32;
    let (dx, dy) = (within(rng, -0.02, 0.02) * side * trace, within(rng, -0.015, 0.015) * side * trace);
    let (kx, ky) = (1.0 + within(rng, -0.03, 0.03) * trace, 1.0 + within(rng, -0.03, 0.03) * trace);
    let half = 0.5 * side;
    let moved = photo.warped(|x, y| [half + (x - half) * kx + dx, half + (y - half) * ky + dy]);
    let ratio = [0.5, 0.75, 1.0, 1.0][rng.below(4)];
    let area: Vec<f32> = mask(rng, photo.width).into_iter().map(|m| m * ratio).collect();
    outer.apply(photo).blended(&inner.apply(&moved), &area)
}

/// Another person's inner face in this photograph.
pub(crate) fn swap(photo: &Plane, other: &Plane, grey: bool, rng: &mut Stream, trace: f32) -> Plane {
    let (outer, inner) = looks(rng, grey, 0.7 * trace);
    let area = mask(rng, photo.width);
    let target = outer.apply(photo);
    let matched = other.matched(&area, target.moments(&area), within(rng, 0.8, 1.0));
    target.blended(&inner.apply(&matched), &area)
}

/// The look of the whole picture, and another one for the inner face that differs by `trace`.
fn looks(rng: &mut Stream, grey: bool, trace: f32) -> (Look, Look) {
    (Look::draw(rng, 1.0, grey), Look::draw(rng, 1.3 * trace, grey))
}
