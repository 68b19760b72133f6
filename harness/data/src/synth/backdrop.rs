//! What is behind the head: a wall with a gradient, out-of-focus shapes, and 1/f grain.

use super::frame::Scene;
use super::identity::Colour;
use super::noise;
use super::relief::step;

/// Background at a screen point (face units), and its exposure to the room's light.
pub(crate) fn colour(scene: &Scene, x: f32, y: f32, limit: f32) -> Colour {
    let (s, c) = scene.tilt.sin_cos();
    let mut t = step(-1.4, 1.4, c * x + s * y);
    let k = scene.key;
    if scene.clutter > 0.0 {
        // a few large soft shapes: shelves, windows, leaves
        let warp = 0.5 * noise::value(x * 0.9, y * 0.9, k);
        let bars = noise::value((c * x + s * y) * 1.7 + warp, (c * y - s * x) * 0.35, k ^ 1);
        let blobs = noise::value(x * 1.9, y * 1.9, k ^ 2) + 0.5 * noise::value(x * 4.1, y * 4.1, k ^ 3);
        let edge = if k & 4 == 0 { bars } else { blobs };
        t = (t + scene.clutter * 0.9 * step(-0.3, 0.3, edge) - 0.35 * scene.clutter).clamp(0.0, 1.0);
    }
    let grain = 1.0 + 0.05 * noise::fractal(x, y, 1.5, limit * 0.7, k ^ 5);
    std::array::from_fn(|i| (scene.wall[0][i] * (1.0 - t) + scene.wall[1][i] * t) * grain)
}

/// Clothes at a screen point.
pub(crate) fn cloth(scene: &Scene, x: f32, y: f32, limit: f32) -> Colour {
    let k = scene.key ^ 0x33;
    let weave = match k >> 5 & 3 {
        0 => 0.25 * step(-0.1, 0.1, (x * 17.0).sin()),
        1 => 0.10 * (y * 25.0).sin(),
        _ => 0.0,
    };
    let fold = 0.28 * noise::value(x * 3.0 + y, y * 2.0, k);
    let grain = 0.06 * noise::fractal(x, y, 9.0, limit, k ^ 9);
    scene.cloth.map(|c| c * (1.0 + fold + grain + weave))
}
