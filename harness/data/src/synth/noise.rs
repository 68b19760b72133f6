//! Value noise on an integer lattice, and its 1/f sum: the texture of skin, hair, cloth and walls.
//!
//! Natural pictures have power spectra near 1/f²; a sum of octaves with amplitude 1/f has that slope, which matters
//! because several forgeries betray themselves by a spectrum that is too smooth or too regular.
//! Pure functions of (coordinates, key): no state, no order, hence the same on any number of threads.

/// A well-mixed hash of a lattice point.
fn hash(x: i32, y: i32, key: u32) -> f32 {
    let mut h = (x as u32).wrapping_mul(0x9E37_79B1)
        ^ (y as u32).wrapping_mul(0x85EB_CA77)
        ^ key.wrapping_mul(0xC2B2_AE3D);
    h = (h ^ (h >> 15)).wrapping_mul(0x2C1B_3C6D);
    h = (h ^ (h >> 12)).wrapping_mul(0x297A_2D39);
    h ^= h >> 15;
    (h >> 8) as f32 * (2.0 / 16_777_216.0) - 1.0
}

/// `x.floor()` as an integer, without the library call that old targets need for it.
fn floor(x: f32) -> i32 {
    let i = x as i32;
    if i as f32 > x { i - 1 } else { i }
}

/// Smooth noise in [-1, 1] with features of size one.
pub(crate) fn value(x: f32, y: f32, key: u32) -> f32 {
    let (ix, iy) = (floor(x), floor(y));
    let (tx, ty) = (x - ix as f32, y - iy as f32);
    let (sx, sy) = (tx * tx * (3.0 - 2.0 * tx), ty * ty * (3.0 - 2.0 * ty));
    let top = hash(ix, iy, key) * (1.0 - sx) + hash(ix + 1, iy, key) * sx;
    let bottom = hash(ix, iy + 1, key) * (1.0 - sx) + hash(ix + 1, iy + 1, key) * sx;
    top * (1.0 - sy) + bottom * sy
}

/// Sum of octaves `1, 2, 4 …` with amplitude 1/f, from frequency `base` up to `limit` (cycles per unit).
/// The octave beyond `limit` fades in, so that the sum changes smoothly with resolution.
pub(crate) fn fractal(x: f32, y: f32, base: f32, limit: f32, key: u32) -> f32 {
    let (mut f, mut a, mut sum, mut k) = (base, 1.0, 0.0, key);
    while f <= limit * 2.0 {
        let fade = if f <= limit { 1.0 } else { 2.0 - f / limit };
        if fade <= 0.0 {
            break;
        }
        sum += a * fade * value(x * f, y * f, k);
        f *= 2.0;
        a *= 0.5;
        k = k.wrapping_add(0x51ED);
    }
    sum
}
