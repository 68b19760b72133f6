//! Colour of the skin before light: tone, blush, blotches, pores, freckles, beard, lines of age.
//!
//! The texture is a 1/f sum fixed to the face (it moves with it), cut at the picture's resolution. Forgeries disturb
//! exactly this: they smooth it, resample it or leave it behind.

use super::features::{self};
use super::frame::FrameParams;
use super::identity::{Colour, Identity};
use super::noise;
use super::relief::{bump, step};

fn sq(x: f32) -> f32 {
    x * x
}

/// Coarse and fine texture at (u, v), around zero.
pub(crate) fn grain(id: &Identity, u: f32, v: f32, limit: f32) -> [f32; 2] {
    let blotch = noise::fractal(u, v, 2.5, limit.min(12.0), id.key) * 0.055 * id.skin.blotch;
    let pores = if limit > 10.0 {
        noise::fractal(u, v, 14.0, limit, id.key ^ 0x77) * 0.075 * id.skin.pores
    } else {
        0.0
    };
    [blotch, pores]
}

/// Skin albedo at (u, v). `limit` is the highest spatial frequency the picture can hold, cycles per face unit.
pub(crate) fn albedo(id: &Identity, f: &FrameParams, u: f32, v: f32, limit: f32) -> Colour {
    let s = &id.skin;
    let a = u.abs();
    let [blotch, pores] = grain(id, u, v, limit);
    let red = s.blush
        * (0.16 * bump(sq((a - 0.43) / 0.20) + sq((v - 0.22) / 0.16))
            + 0.14 * bump(sq(u / 0.13) + sq((v - id.nose.length + 0.06) / 0.11)))
        + 0.05 * bump(sq(u / 0.18) + sq((v - id.shape.chin + 0.1) / 0.1));
    let mut shade = 1.0 + blotch + pores;
    // eye sockets, bags and the inner corners are darker
    let ey = id.eyes.height;
    shade *= 1.0 - 0.22 * bump(sq((a - id.eyes.distance) / 0.20) + sq((v - ey + 0.035) / 0.10));
    shade *= 1.0
        - 0.16 * id.eyes.bags * bump(sq((a - id.eyes.distance + 0.01) / 0.13) + sq((v - ey - 0.115) / 0.035));
    shade *= 1.0 - 0.16 * bump(sq((a - 0.15) / 0.06) + sq((v - ey) / 0.10));
    shade *= fold(id, f, a, v);
    let mut c = [
        s.colour[0] * shade * (1.0 + 0.2 * red),
        s.colour[1] * shade * (1.0 - 1.25 * red + 0.3 * blotch),
        s.colour[2] * shade * (1.0 - 0.95 * red),
    ];
    if s.freckles > 0.02 {
        let n = noise::value(u * 19.0, v * 19.0, id.key ^ 0xF1) * 0.6
            + noise::value(u * 31.0, v * 31.0, id.key ^ 0xF2) * 0.6;
        let where_ = bump(sq(a / 0.45) + sq((v - 0.12) / 0.22)) * 0.8 + 0.1;
        let k = 0.45 * s.freckles * where_ * step(0.42, 0.8, n);
        c = [c[0] * (1.0 - 0.5 * k), c[1] * (1.0 - 0.8 * k), c[2] * (1.0 - k)];
    }
    if s.beard > 0.02 {
        c = beard(id, f, u, v, limit, c);
    }
    c
}

/// Lines of age and expression, a factor at or below one.
fn fold(id: &Identity, f: &FrameParams, a: f32, v: f32) -> f32 {
    let age = id.skin.age;
    let mut k = 1.0;
    let t = (v - id.nose.length + 0.04) / 0.26;
    if (0.0..1.0).contains(&t) {
        let line = id.nose.width + 0.02 + 0.16 * t + 0.05 * f.smile * t;
        k -= (0.06 + 0.14 * age + 0.14 * f.smile.max(0.0))
            * bump(sq((a - line) / 0.022))
            * (4.0 * t * (1.0 - t)).min(1.0);
    }
    if v < -0.40 && v > -0.72 {
        let wave = (v * 58.0 + 0.7 * (a * 5.0).cos()).sin();
        k -= 0.07 * (age + 0.6 * f.brow_raise.max(0.0)) * step(0.3, 1.0, wave) * step(0.5, 0.2, a);
    }
    let groove =
        bump(sq(a / 0.028) + sq((v - 0.5 * (id.mouth.height - id.mouth.upper + id.nose.length)) / 0.05));
    k - 0.05 * groove
}

fn beard(id: &Identity, f: &FrameParams, u: f32, v: f32, limit: f32, c: Colour) -> Colour {
    let a = u.abs();
    let m = id.mouth.height;
    let jaw = step(0.42, 0.72, v + 0.30 * a * a) * step(0.16, 0.30, a + (v - m + 0.05).max(0.0));
    let lip =
        step(0.31, 0.2, a) * step(id.nose.length + 0.03, id.nose.length + 0.08, v) * step(m + 0.06, m, v);
    let side = step(0.50, 0.62, a) * step(0.05, 0.3, v);
    let where_ = jaw.max(lip).max(side);
    if where_ <= 0.0 {
        return c;
    }
    let n = noise::fractal(u, v * 0.6, 26.0, limit.max(14.0), id.key ^ 0xBE);
    let soft = if let Some(l) = features::mouth(id, f, 0.16 * f.mouth_open, u, v) {
        step(-0.01, 0.02, l.upper.min(l.lower))
    } else {
        1.0
    };
    let k = (where_ * soft * (0.45 + 0.5 * id.skin.beard) * (0.85 + 0.4 * n)).clamp(0.0, 0.92)
        * id.skin.beard.sqrt();
    let hair = id.brows.colour;
    std::array::from_fn(|i| c[i] * (1.0 - k) + (hair[i] * 0.8 + 0.006) * k)
}
