//! The colour jitter of the published anti-spoofing recipes: saturation times U(0.8, 1.2), for every second image.
//!
//! The released code goes to HSV in floats (OpenCV's convention for values 0..255: S in [0, 1], V in 0..255) and
//! back, and then casts to bytes by wrap-around: where S exceeds 1 a channel becomes negative, and −24 turns into
//! 232, a bright speck. [`Jitter::Released`] does that, and truncates images that are not jittered too;
//! [`Jitter::Fixed`] limits S to 1, rounds, and leaves other images alone.

use facebench_protocols::Stream;
use serde::{Deserialize, Serialize};

use crate::image::Rgb;

/// Which arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Jitter {
    /// Negative values wrap around, as in the released code.
    Released,
    /// Saturation stops at 1.
    Fixed,
}

/// Smallest and largest factor.
const FACTOR: [f64; 2] = [0.8, 1.2];

impl Jitter {
    /// Draws (whether, factor) and applies.
    pub(super) fn apply(self, image: &Rgb, stream: &mut Stream) -> Rgb {
        let (jitters, u) = (stream.uniform() < 0.5, stream.uniform());
        let factor = if jitters { FACTOR[0] + (FACTOR[1] - FACTOR[0]) * u } else { 1.0 };
        match self {
            Self::Fixed if !jitters => image.clone(),
            _ => saturate(image, factor as f32, self),
        }
    }
}

/// Multiplies the saturation of every pixel.
#[must_use]
pub fn saturate(image: &Rgb, factor: f32, jitter: Jitter) -> Rgb {
    let mut out = image.clone();
    for pixel in out.pixels.chunks_exact_mut(3) {
        let values = saturated([pixel[0], pixel[1], pixel[2]], factor, jitter);
        for (byte, value) in pixel.iter_mut().zip(values) {
            *byte = match jitter {
                Jitter::Released => value.trunc() as i32 as u8, // keeps the low eight bits
                Jitter::Fixed => value.round().clamp(0.0, 255.0) as u8,
            };
        }
    }
    out
}

/// One pixel before it is cast to bytes.
#[must_use]
pub fn saturated(pixel: [u8; 3], factor: f32, jitter: Jitter) -> [f32; 3] {
    let [h, s, v] = to_hsv(pixel.map(f32::from));
    let s = s * factor;
    to_rgb([h, if jitter == Jitter::Fixed { s.min(1.0) } else { s }, v])
}

/// OpenCV's `RGB2HSV` for floats: hue in degrees, saturation (max − min) / max, value max.
fn to_hsv([r, g, b]: [f32; 3]) -> [f32; 3] {
    let v = r.max(g).max(b);
    let range = v - r.min(g).min(b);
    let s = range / (v.abs() + f32::EPSILON);
    let unit = 60.0 / (range + f32::EPSILON);
    let h = if v == r {
        (g - b) * unit
    } else if v == g {
        (b - r) * unit + 120.0
    } else {
        (r - g) * unit + 240.0
    };
    [if h < 0.0 { h + 360.0 } else { h }, s, v]
}

/// OpenCV's `HSV2RGB` for floats.
fn to_rgb([h, s, v]: [f32; 3]) -> [f32; 3] {
    if s == 0.0 {
        return [v; 3];
    }
    let h = h * (6.0 / 360.0);
    let sector = h.floor();
    let f = h - sector;
    let [p, q, t] = [v * (1.0 - s), v * (1.0 - s * f), v * (1.0 - s * (1.0 - f))];
    match sector as i32 {
        0 => [v, t, p],
        1 => [q, v, p],
        2 => [p, v, t],
        3 => [p, q, v],
        4 => [t, p, v],
        5 => [v, p, q],
        _ => [v, t, p], // a hue of 360 is one of 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{fixture, number, picture};

    /// Where the float result is within 1e-3 of a whole number, truncation may differ by one.
    #[test]
    fn released_equals_opencv_with_numpy_s_cast() {
        let cases = fixture("transforms.json");
        let mut off = 0;
        for case in cases["saturation_jitter"].as_array().unwrap() {
            let image = picture(case["rule"].as_str().unwrap(), number(case, "w"), number(case, "h"));
            let factor = case["factor"].as_f64().unwrap() as f32;
            let out = saturate(&image, factor, Jitter::Released);
            let hex = case["hex"].as_str().unwrap();
            let want: Vec<u8> =
                (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect();
            assert_eq!(want.len(), out.pixels.len());
            for (pixel, (got, want)) in out.pixels.chunks_exact(3).zip(want.chunks_exact(3)).enumerate() {
                let from = &image.pixels[3 * pixel..3 * pixel + 3];
                let values = saturated([from[0], from[1], from[2]], factor, Jitter::Released);
                for (c, value) in values.into_iter().enumerate() {
                    let edge = (value - value.round()).abs() < 1e-3;
                    let difference = got[c].wrapping_sub(want[c]);
                    assert!(
                        difference == 0 || (edge && [1, 255].contains(&difference)),
                        "{factor}: pixel {pixel} channel {c}: {} instead of {} ({value})",
                        got[c],
                        want[c]
                    );
                    off += usize::from(difference != 0);
                }
            }
        }
        assert!(off < 60, "{off} values differ by one at whole numbers");
    }

    #[test]
    fn released_wraps_and_fixed_does_not() {
        let vivid = Rgb::from_fn(1, 1, |_, _| [200, 20, 0]);
        let wrapped = saturate(&vivid, 1.2, Jitter::Released);
        let fixed = saturate(&vivid, 1.2, Jitter::Fixed);
        assert!(wrapped.pixels[2] > 200, "{wrapped:?}: −40 becomes 216");
        assert_eq!((fixed.pixels[0], fixed.pixels[2]), (200, 0), "{fixed:?}");
        let grey = Rgb::from_fn(2, 2, |_, _| [90, 90, 90]);
        assert_eq!(saturate(&grey, 1.2, Jitter::Released), grey);
    }
}
