//! Drawing people: how proportions, colours and styles are distributed.
//!
//! Independent draws around anthropometric means, except that skin, hair and eyes go together loosely and beards and
//! long hair are not equally common with every face.

use facebench_protocols::rng::Stream;

use super::identity::{Brows, Colour, Eyes, Hair, HairStyle, Identity, Mouth, Nose, Shape, Skin};

/// Swatches from light to dark, sRGB bytes.
const SKIN: [[f32; 3]; 7] = [
    [250.0, 222.0, 205.0],
    [240.0, 200.0, 174.0],
    [226.0, 180.0, 146.0],
    [205.0, 152.0, 112.0],
    [168.0, 115.0, 78.0],
    [124.0, 80.0, 54.0],
    [84.0, 54.0, 40.0],
];
const HAIR: [[f32; 3]; 8] = [
    [24.0, 20.0, 20.0],
    [40.0, 30.0, 26.0],
    [66.0, 46.0, 34.0],
    [98.0, 68.0, 46.0],
    [146.0, 108.0, 66.0],
    [196.0, 160.0, 108.0],
    [140.0, 70.0, 38.0],
    [158.0, 154.0, 150.0],
];
const IRIS: [[f32; 3]; 5] = [
    [62.0, 38.0, 22.0],
    [96.0, 64.0, 34.0],
    [104.0, 104.0, 58.0],
    [82.0, 118.0, 146.0],
    [112.0, 124.0, 128.0],
];

/// A byte of sRGB as linear light.
pub(crate) fn linear(byte: f32) -> f32 {
    (byte / 255.0).powf(2.2)
}

fn swatch(table: &[[f32; 3]], at: f32) -> Colour {
    let i = (at.max(0.0) as usize).min(table.len() - 2);
    let t = (at - i as f32).clamp(0.0, 1.0);
    std::array::from_fn(|c| linear(table[i][c] * (1.0 - t) + table[i + 1][c] * t))
}

/// Uniform in `[lo, hi)`.
pub(crate) fn within(rng: &mut Stream, lo: f32, hi: f32) -> f32 {
    lo + (hi - lo) * rng.uniform() as f32
}

/// Normal with this mean and spread, cut at two and a half spreads.
pub(crate) fn around(rng: &mut Stream, mean: f32, spread: f32) -> f32 {
    mean + spread * (rng.normal() as f32).clamp(-2.5, 2.5)
}

impl Identity {
    /// Draws a person. The stream decides everything, so a stream keyed by a name is that person.
    #[must_use]
    pub fn draw(rng: &mut Stream) -> Self {
        let tone = (rng.uniform() as f32).powf(1.25) * 6.0;
        let mut skin_colour = swatch(&SKIN, tone);
        let warmth = around(rng, 0.0, 0.03);
        skin_colour =
            [skin_colour[0] * (1.0 + warmth), skin_colour[1], skin_colour[2] * (1.0 - 1.5 * warmth)];
        let dark = tone > 3.6;
        let hair_at = if dark || rng.uniform() < 0.4 { within(rng, 0.0, 1.4) } else { within(rng, 0.6, 5.0) };
        let mut hair_colour = match rng.below(12) {
            0 if !dark => swatch(&HAIR, 6.0),
            1 => swatch(&HAIR, 7.0),
            _ => swatch(&HAIR, hair_at),
        };
        let brow_mix = within(rng, 0.5, 0.9);
        let brow_colour = std::array::from_fn(|c| hair_colour[c] * brow_mix * 0.8 + 0.01);
        if rng.uniform() < 0.04 {
            hair_colour =
                [rng.uniform() as f32 * 0.3, rng.uniform() as f32 * 0.2, rng.uniform() as f32 * 0.3];
        }
        let iris =
            if dark { swatch(&IRIS, within(rng, 0.0, 0.8)) } else { swatch(&IRIS, within(rng, 0.0, 3.99)) };
        let masculine = rng.uniform() < 0.5;
        let style = draw_style(rng, masculine);
        let beard = if masculine && rng.uniform() < 0.55 { (rng.uniform() as f32).powi(2) } else { 0.0 };
        let flush = within(rng, 0.0, 1.0);
        let lip_red = if masculine { within(rng, 0.1, 0.5) } else { within(rng, 0.3, 1.0) };
        let lip_colour = [
            skin_colour[0] * (0.86 - 0.08 * lip_red),
            skin_colour[1] * (0.62 - 0.28 * lip_red),
            skin_colour[2] * (0.66 - 0.24 * lip_red),
        ];
        let width = around(rng, if masculine { 0.735 } else { 0.705 }, 0.03);
        Self {
            shape: Shape {
                width,
                jaw: around(rng, if masculine { 0.88 } else { 0.82 }, 0.045),
                chin_width: around(rng, if masculine { 0.47 } else { 0.40 }, 0.05),
                chin: around(rng, 1.0, 0.045),
                temple: around(rng, 0.93, 0.03),
                skew: around(rng, 0.0, 0.012),
                ears: within(rng, 0.85, 1.2),
            },
            eyes: Eyes {
                distance: around(rng, 0.325, 0.016),
                height: around(rng, -0.10, 0.018),
                width: around(rng, 0.150, 0.011),
                opening: around(rng, 0.062, 0.012).max(0.035),
                slant: around(rng, 0.05, 0.06),
                iris,
                iris_radius: around(rng, 0.074, 0.004),
                crease: within(rng, 0.1, 1.0),
                bags: within(rng, 0.0, 1.0),
            },
            brows: Brows {
                height: around(rng, -0.315, 0.025),
                arch: around(rng, 0.045, 0.02),
                slope: around(rng, 0.004, 0.014),
                thickness: around(rng, if masculine { 0.044 } else { 0.032 }, 0.008).max(0.016),
                length: around(rng, 0.20, 0.015),
                density: within(rng, 0.45, 0.95),
                colour: brow_colour,
            },
            nose: Nose {
                length: around(rng, 0.32, 0.028),
                width: around(rng, 0.155 + 0.006 * tone, 0.016),
                bridge: around(rng, 0.062, 0.009),
                relief: around(rng, 1.0, 0.16),
                tip: around(rng, 0.085, 0.012),
            },
            mouth: Mouth {
                height: around(rng, 0.56, 0.022),
                width: around(rng, 0.255, 0.024),
                upper: around(rng, 0.052 + 0.003 * tone, 0.011).max(0.022),
                lower: around(rng, 0.075 + 0.003 * tone, 0.013).max(0.035),
                bow: within(rng, 0.1, 0.5),
                colour: lip_colour,
                gloss: if masculine { within(rng, 0.0, 0.25) } else { within(rng, 0.05, 0.7) },
            },
            hair: Hair {
                style,
                colour: hair_colour,
                line: around(rng, -0.74, 0.05),
                volume: within(rng, 0.0, 0.14),
                parting: within(rng, -0.35, 0.35),
                rough: within(rng, 0.3, 1.0),
            },
            skin: Skin {
                colour: skin_colour,
                blush: flush,
                blotch: within(rng, 0.3, 1.0),
                pores: within(rng, 0.5, 1.0),
                freckles: if rng.uniform() < 0.25 { within(rng, 0.2, 1.0) } else { within(rng, 0.0, 0.1) },
                beard,
                age: (rng.uniform() as f32).powi(2),
                shine: within(rng, 0.3, 1.0),
            },
            key: rng.next_u64() as u32,
        }
    }
}

fn draw_style(rng: &mut Stream, masculine: bool) -> HairStyle {
    use HairStyle::{Bald, Curly, Fringe, Long, LongFringe, Parted, Short};
    let menu: &[HairStyle] = if masculine {
        &[Bald, Short, Short, Short, Parted, Parted, Fringe, Curly]
    } else {
        &[Short, Parted, Fringe, Long, Long, Long, LongFringe, LongFringe, Curly]
    };
    menu[rng.below(menu.len())]
}
