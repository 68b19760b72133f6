//! Damage that pictures meet outside a laboratory, at five severities: JPEG, blur, noise, loss of resolution, gamma.
//!
//! The families of Hendrycks and Dietterich (arXiv 1903.12261) that a face picture meets on its way through cameras and
//! social networks, as deepfake benchmarks test them (Jiang et al., arXiv 2001.03024). Everything works on the decoded
//! bytes before they are resized to the network's input. Lengths (blur) are in 1/224 of the picture's shorter side, so
//! that they mean the same for pictures of every size; JPEG blocks and noise are those of the stored pixels. What is
//! random (noise, the direction of gamma) belongs to the picture's identity and is the same at every severity.

use std::fmt;

use facebench_protocols::Stream;
use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;

use super::blur;
use crate::Error;
use crate::image::{Filter, Rgb, decode_bytes, resize};

/// Severities of every corruption, from 1; 0 leaves the picture alone.
pub const SEVERITIES: usize = 5;

/// Side that lengths are meant for.
const SIDE: f64 = 224.0;

/// A family of damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Corruption {
    /// Baseline JPEG without chroma subsampling, and decoding
    Jpeg,
    /// Gaussian blur
    Blur,
    /// Gaussian noise, independent per pixel and channel
    Noise,
    /// Smaller (area average) and back (bicubic)
    Resize,
    /// v → v^γ or v^(1/γ), one half of the pictures each
    Gamma,
}

impl Corruption {
    /// All of them with the words users type.
    pub const ALL: [(&'static str, Corruption); 5] = [
        ("jpeg", Corruption::Jpeg),
        ("blur", Corruption::Blur),
        ("noise", Corruption::Noise),
        ("resize", Corruption::Resize),
        ("gamma", Corruption::Gamma),
    ];

    /// The corruption of that name.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(w, _)| *w == word).map(|(_, c)| *c)
    }

    /// What the five numbers of [`Corruption::levels`] are.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Corruption::Jpeg => "quality",
            Corruption::Blur => "σ in 1/224 of the shorter side",
            Corruption::Noise => "σ of values in [0, 1]",
            Corruption::Resize => "factor",
            Corruption::Gamma => "exponent",
        }
    }

    /// The parameter at severities 1 to 5.
    #[must_use]
    pub fn levels(self) -> [f64; SEVERITIES] {
        match self {
            Corruption::Jpeg => [90.0, 70.0, 50.0, 30.0, 15.0],
            Corruption::Blur => [1.0, 2.0, 3.0, 4.5, 6.0],
            Corruption::Noise => [0.02, 0.04, 0.08, 0.12, 0.18],
            Corruption::Resize => [0.75, 0.5, 0.35, 0.25, 0.15],
            Corruption::Gamma => [1.2, 1.4, 1.7, 2.1, 2.6],
        }
    }

    /// The damaged picture; `id` is the sample's identity, severity 0 changes nothing.
    ///
    /// # Errors
    /// A severity above 5, or a picture that JPEG cannot hold.
    pub fn apply(self, image: &Rgb, severity: usize, id: &str) -> Result<Rgb, Error> {
        if severity == 0 {
            return Ok(image.clone());
        }
        let levels = self.levels();
        let Some(&level) = levels.get(severity - 1) else {
            let what = format!("{self} at severity {severity}: there are {SEVERITIES}");
            return Err(Error::Request { what, hint: "" });
        };
        let mut stream = Stream::new("corrupt", 0, &[&self.to_string(), id]);
        Ok(match self {
            Corruption::Jpeg => jpeg(image, level as u8)?,
            Corruption::Blur => blur(image, level * image.width.min(image.height) as f64 / SIDE),
            Corruption::Noise => noise(image, level, &mut stream),
            Corruption::Resize => {
                let small = |side: usize| ((side as f64 * level).round() as usize).max(1);
                let down = resize(image, small(image.width), small(image.height), Filter::Box);
                resize(&down, image.width, image.height, Filter::Bicubic)
            }
            Corruption::Gamma => {
                let exponent = if stream.uniform() < 0.5 { level } else { 1.0 / level };
                let table: Vec<u8> = (0..=255u8)
                    .map(|v| ((f64::from(v) / 255.0).powf(exponent) * 255.0).round() as u8)
                    .collect();
                let pixels = image.pixels.iter().map(|v| table[usize::from(*v)]).collect();
                Rgb { width: image.width, height: image.height, pixels }
            }
        })
    }
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.iter().find(|(_, c)| c == self).map_or("", |(word, _)| word))
    }
}

/// Encoded and decoded by this program's own decoder.
fn jpeg(image: &Rgb, quality: u8) -> Result<Rgb, Error> {
    let refuse = |what: String| Error::Request { what: format!("JPEG round trip: {what}"), hint: "" };
    let side = |n: usize| u32::try_from(n).map_err(|_| refuse(format!("side {n}")));
    let mut bytes = Vec::with_capacity(image.pixels.len() / 4);
    JpegEncoder::new_with_quality(&mut bytes, quality)
        .encode(&image.pixels, side(image.width)?, side(image.height)?, ExtendedColorType::Rgb8)
        .map_err(|e| refuse(e.to_string()))?;
    decode_bytes(&bytes, std::path::Path::new("the JPEG round trip"))
}

fn noise(image: &Rgb, sigma: f64, stream: &mut Stream) -> Rgb {
    let scale = sigma * 255.0;
    let add = |v: &u8| (f64::from(*v) + scale * stream.normal()).round().clamp(0.0, 255.0) as u8;
    let pixels = image.pixels.iter().map(add).collect();
    Rgb { width: image.width, height: image.height, pixels }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture with edges, ramps and colour.
    fn picture(side: usize) -> Rgb {
        Rgb::from_fn(side, side, |x, y| {
            let edge = if (x / 7 + y / 9) % 2 == 0 { 60 } else { 180 };
            [edge, ((x * 255) / side) as u8, ((y * 200) / side) as u8]
        })
    }

    /// Mean absolute difference per value.
    fn far(a: &Rgb, b: &Rgb) -> f64 {
        let sum: f64 =
            a.pixels.iter().zip(&b.pixels).map(|(x, y)| (f64::from(*x) - f64::from(*y)).abs()).sum();
        sum / a.pixels.len() as f64
    }

    #[test]
    fn severity_zero_is_the_picture_and_each_further_one_hurts_more() {
        let clean = picture(96);
        for (word, c) in Corruption::ALL {
            assert_eq!(Corruption::named(word), Some(c));
            assert_eq!(c.apply(&clean, 0, "a").unwrap(), clean);
            let damage: Vec<f64> =
                (1..=SEVERITIES).map(|s| far(&clean, &c.apply(&clean, s, "a").unwrap())).collect();
            assert!(damage[0] > 0.0 && damage.windows(2).all(|w| w[1] > w[0]), "{word}: {damage:?}");
            assert!(c.apply(&clean, 6, "a").is_err());
        }
    }

    #[test]
    fn damage_belongs_to_the_identity() {
        let clean = picture(48);
        let of = |c: Corruption, id: &str| c.apply(&clean, 3, id).unwrap();
        for (_, c) in Corruption::ALL {
            assert_eq!(of(c, "d/m/v/0"), of(c, "d/m/v/0"));
        }
        assert_ne!(of(Corruption::Noise, "d/m/v/0"), of(Corruption::Noise, "d/m/v/1"));
        // both directions occur, and no others
        let both: Vec<Rgb> = (0..16).map(|i| of(Corruption::Gamma, &i.to_string())).collect();
        assert!(
            both.iter().all(|p| p == &both[0] || far(p, &both[0]) > 1.0)
                && both.iter().any(|p| p != &both[0])
        );
    }

    #[test]
    fn noise_has_the_deviation_it_says() {
        let grey = Rgb { width: 128, height: 128, pixels: vec![128; 128 * 128 * 3] };
        let noisy = Corruption::Noise.apply(&grey, 3, "x").unwrap();
        let n = noisy.pixels.len() as f64;
        let mean: f64 = noisy.pixels.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
        let var: f64 = noisy.pixels.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / n;
        assert!((mean - 128.0).abs() < 0.4 && (var.sqrt() / 255.0 - 0.08).abs() < 0.001, "{mean} {var}");
    }

    #[test]
    fn blur_means_the_same_for_every_size() {
        // an edge a quarter of the way in, at two sizes: as wide, in shares of the side
        let width = |side: usize| {
            let edge = Rgb::from_fn(side, side, |x, _| [if x < side / 2 { 0 } else { 250 }; 3]);
            let soft = Corruption::Blur.apply(&edge, 4, "x").unwrap();
            let between = (0..side).filter(|x| (25..225).contains(&soft.get(*x, side / 2)[0])).count();
            between as f64 / side as f64
        };
        assert!((width(112) - width(448)).abs() < 0.02, "{} {}", width(112), width(448));
    }
}
