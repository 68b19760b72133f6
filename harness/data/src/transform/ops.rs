//! The fifteen operations of RandAugment on byte images, bit for bit as Pillow 9.5 does them.
//!
//! Look-up tables (AutoContrast, Equalize, Invert, Posterize, Solarize, SolarizeAdd), blends towards a degenerate
//! picture (Color, Contrast, Brightness, Sharpness) and bilinear sampling along an affine map (Rotate, ShearX,
//! ShearY, TranslateX, TranslateY). Each takes its resolved argument; which one is drawn, and how strong, is
//! [`RandAugment`](super::RandAugment)'s business (RandAugment: arXiv 1909.13719).

use crate::image::Rgb;

use super::augment::{Colour, blend_colour};

/// An operation with its argument.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Op {
    /// Stretches each channel to 0..255.
    AutoContrast,
    /// Flattens each channel's histogram.
    Equalize,
    /// 255 − v.
    Invert,
    /// Counter-clockwise about the centre, in degrees.
    Rotate(f64),
    /// Keeps so many high bits (0..=8).
    Posterize(u32),
    /// Inverts values from this one up.
    Solarize(u32),
    /// Adds to values below 128.
    SolarizeAdd(u32),
    /// Saturation factor; 1 changes nothing.
    Color(f64),
    /// Contrast factor.
    Contrast(f64),
    /// Brightness factor.
    Brightness(f64),
    /// Sharpness factor.
    Sharpness(f64),
    /// x + factor · y.
    ShearX(f64),
    /// y + factor · x.
    ShearY(f64),
    /// Shift by this share of the width.
    TranslateX(f64),
    /// Shift by this share of the height.
    TranslateY(f64),
}

impl Op {
    /// The operation of this name in timm, with its resolved argument (of those that take one).
    #[must_use]
    pub fn named(name: &str, arg: f64) -> Option<Self> {
        Some(match name {
            "AutoContrast" => Self::AutoContrast,
            "Equalize" => Self::Equalize,
            "Invert" => Self::Invert,
            "Rotate" => Self::Rotate(arg),
            "PosterizeIncreasing" => Self::Posterize(arg as u32),
            "SolarizeIncreasing" => Self::Solarize(arg as u32),
            "SolarizeAdd" => Self::SolarizeAdd(arg as u32),
            "ColorIncreasing" => Self::Color(arg),
            "ContrastIncreasing" => Self::Contrast(arg),
            "BrightnessIncreasing" => Self::Brightness(arg),
            "SharpnessIncreasing" => Self::Sharpness(arg),
            "ShearX" => Self::ShearX(arg),
            "ShearY" => Self::ShearY(arg),
            "TranslateXRel" => Self::TranslateX(arg),
            "TranslateYRel" => Self::TranslateY(arg),
            _ => return None,
        })
    }

    /// Its argument: degrees, bits, threshold, addend, factor, shear factor or share of the side.
    #[must_use]
    pub fn argument(self) -> Option<f64> {
        match self {
            Self::AutoContrast | Self::Equalize | Self::Invert => None,
            Self::Posterize(v) | Self::Solarize(v) | Self::SolarizeAdd(v) => Some(f64::from(v)),
            Self::Rotate(v)
            | Self::Color(v)
            | Self::Contrast(v)
            | Self::Brightness(v)
            | Self::Sharpness(v)
            | Self::ShearX(v)
            | Self::ShearY(v)
            | Self::TranslateX(v)
            | Self::TranslateY(v) => Some(v),
        }
    }

    /// Applies it. `fill` is what comes in from outside the picture.
    #[must_use]
    pub fn apply(self, image: &Rgb, fill: [u8; 3]) -> Rgb {
        let (w, h) = (image.width as f64, image.height as f64);
        match self {
            Self::AutoContrast => per_channel(image, auto_contrast),
            Self::Equalize => per_channel(image, equalize),
            Self::Invert => table(image, |v| 255 - v),
            Self::Posterize(bits) if bits >= 8 => image.clone(),
            Self::Posterize(bits) => table(image, |v| v & !(u8::MAX >> bits)),
            Self::Solarize(from) => table(image, |v| if u32::from(v) < from { v } else { 255 - v }),
            Self::SolarizeAdd(add) => {
                table(image, |v| if v < 128 { (u32::from(v) + add).min(255) as u8 } else { v })
            }
            Self::Color(f) => blended(image, Colour::Saturation, f),
            Self::Contrast(f) => blended(image, Colour::Contrast, f),
            Self::Brightness(f) => blended(image, Colour::Brightness, f),
            Self::Sharpness(f) => sharpened(image, f as f32),
            Self::ShearX(f) => affine(image, [1.0, f, 0.0, 0.0, 1.0, 0.0], fill),
            Self::ShearY(f) => affine(image, [1.0, 0.0, 0.0, f, 1.0, 0.0], fill),
            Self::TranslateX(f) => affine(image, [1.0, 0.0, f * w, 0.0, 1.0, 0.0], fill),
            Self::TranslateY(f) => affine(image, [1.0, 0.0, 0.0, 0.0, 1.0, f * h], fill),
            Self::Rotate(degrees) => affine(image, rotation(degrees, w / 2.0, h / 2.0), fill),
        }
    }
}

fn table(image: &Rgb, f: impl Fn(u8) -> u8) -> Rgb {
    let lut: [u8; 256] = std::array::from_fn(|v| f(v as u8));
    let mut out = image.clone();
    for v in &mut out.pixels {
        *v = lut[usize::from(*v)];
    }
    out
}

fn per_channel(image: &Rgb, lut: impl Fn(&[usize; 256]) -> [u8; 256]) -> Rgb {
    let mut histogram = [[0usize; 256]; 3];
    for pixel in image.pixels.chunks_exact(3) {
        for (h, v) in histogram.iter_mut().zip(pixel) {
            h[usize::from(*v)] += 1;
        }
    }
    let luts = histogram.map(|h| lut(&h));
    let mut out = image.clone();
    for pixel in out.pixels.chunks_exact_mut(3) {
        for (lut, v) in luts.iter().zip(pixel) {
            *v = lut[usize::from(*v)];
        }
    }
    out
}

const IDENTITY: fn(usize) -> u8 = |v| v as u8;

fn auto_contrast(histogram: &[usize; 256]) -> [u8; 256] {
    let low = histogram.iter().position(|n| *n > 0).unwrap_or(0);
    let high = histogram.iter().rposition(|n| *n > 0).unwrap_or(0);
    if high <= low {
        return std::array::from_fn(IDENTITY);
    }
    let scale = 255.0 / (high - low) as f64;
    let offset = -(low as f64) * scale;
    std::array::from_fn(|v| (v as f64 * scale + offset).trunc().clamp(0.0, 255.0) as u8)
}

fn equalize(histogram: &[usize; 256]) -> [u8; 256] {
    let used: Vec<usize> = histogram.iter().copied().filter(|n| *n > 0).collect();
    let step = used.iter().rev().skip(1).sum::<usize>() / 255;
    if used.len() <= 1 || step == 0 {
        return std::array::from_fn(IDENTITY);
    }
    let mut n = step / 2;
    std::array::from_fn(|v| {
        let out = n / step;
        n += histogram[v];
        out.min(255) as u8
    })
}

fn blended(image: &Rgb, kind: Colour, factor: f64) -> Rgb {
    let mut out = image.clone();
    blend_colour(&mut out, kind, factor as f32);
    out
}

/// Away from the picture smoothed by (1 1 1; 1 5 1; 1 1 1) / 13, whose one-pixel border is copied.
fn sharpened(image: &Rgb, factor: f32) -> Rgb {
    let (width, height) = (image.width, image.height);
    let row = width * 3;
    let mut out = image.clone();
    for y in 0..height {
        for i in 0..row {
            let at = y * row + i;
            let v = image.pixels[at];
            let inner = y > 0 && y + 1 < height && i >= 3 && i + 3 < row;
            let smooth = if inner {
                let around: u32 = [at - row, at, at + row]
                    .into_iter()
                    .flat_map(|r| [r - 3, r, r + 3])
                    .map(|p| u32::from(image.pixels[p]))
                    .sum::<u32>()
                    + 4 * u32::from(v);
                ((2 * around + 13) / 26) as u8 // around / 13, rounded half up
            } else {
                v
            };
            let from = f32::from(smooth);
            out.pixels[at] = (from + factor * (f32::from(v) - from)).clamp(0.0, 255.0) as u8;
        }
    }
    out
}

/// The map of a rotation about (cx, cy), with Pillow's rounding to 15 decimals.
fn rotation(degrees: f64, cx: f64, cy: f64) -> [f64; 6] {
    let angle = -degrees.rem_euclid(360.0).to_radians();
    let rounded = |v: f64| format!("{v:.15}").parse::<f64>().expect("a formatted number");
    let (cos, sin) = (rounded(angle.cos()), rounded(angle.sin()));
    let minus_sin = rounded(-angle.sin());
    [cos, sin, cos * -cx + sin * -cy + cx, minus_sin, cos, minus_sin * -cx + cos * -cy + cy]
}

/// Output pixel (x, y) is the source at M (x + ½, y + ½), bilinear, edges clamped, truncated; `fill` outside.
fn affine(image: &Rgb, m: [f64; 6], fill: [u8; 3]) -> Rgb {
    let (width, height) = (image.width, image.height);
    let (last_x, last_y) = (width as i64 - 1, height as i64 - 1);
    Rgb::from_fn(width, height, |x, y| {
        let (xc, yc) = (x as f64 + 0.5, y as f64 + 0.5);
        let (sx, sy) = (m[0] * xc + m[1] * yc + m[2], m[3] * xc + m[4] * yc + m[5]);
        if sx < 0.0 || sy < 0.0 || sx >= width as f64 || sy >= height as f64 {
            return fill;
        }
        let (sx, sy) = (sx - 0.5, sy - 0.5);
        let (x0, y0) = (sx.floor(), sy.floor());
        let (dx, dy) = (sx - x0, sy - y0);
        let (x0, y0) = (x0 as i64, y0 as i64);
        let column = |x: i64| x.clamp(0, last_x) as usize;
        let row = |y: i64| y.clamp(0, last_y) as usize;
        let at = |x: i64, y: i64| image.get(column(x), row(y)).map(f64::from);
        let [a, b, c, d] = [at(x0, y0), at(x0 + 1, y0), at(x0, y0 + 1), at(x0 + 1, y0 + 1)];
        std::array::from_fn(|i| {
            let top = a[i] + (b[i] - a[i]) * dx;
            let bottom = c[i] + (d[i] - c[i]) * dx;
            (top + (bottom - top) * dy) as u8
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{fixture, picture, sha256};

    #[test]
    fn all_fifteen_equal_pillow_byte_for_byte() {
        let image = picture("T3", 64, 64);
        let fixture = fixture("transforms.json");
        let mut checked = 0;
        for entry in fixture["randaug"].as_array().unwrap() {
            let name = entry["op"].as_str().unwrap();
            for case in entry["cases"].as_array().unwrap() {
                let arg = case["arg"].get(0).and_then(serde_json::Value::as_f64).unwrap_or(0.0);
                let out = Op::named(name, arg).unwrap().apply(&image, [140, 108, 93]);
                assert_eq!(sha256(&out.pixels), case["sha256_of_slice"], "{name} {arg}");
                checked += 1;
            }
        }
        assert_eq!((fixture["randaug"].as_array().unwrap().len(), checked), (15, 48));
    }

    #[test]
    fn degenerate_pictures_stay_as_they_are() {
        let flat = Rgb::from_fn(5, 3, |_, _| [7, 200, 0]);
        for op in [Op::AutoContrast, Op::Equalize, Op::Posterize(8), Op::Solarize(256), Op::Rotate(0.0)] {
            assert_eq!(op.apply(&flat, [1, 2, 3]), flat, "{op:?}");
        }
        let dot = Rgb::new(1, 1);
        assert_eq!(Op::Sharpness(1.9).apply(&dot, [0; 3]), dot);
    }
}
