//! What training varies in one image, in order: saturation, crop, mirror, RandAugment, colour jitter, erasing.
//!
//! Crop and mirror have the geometry of torchvision's `RandomResizedCrop` (crop first, then Pillow's bilinear
//! filter); brightness, contrast and saturation use Pillow's blending, by factors uniform in 1 ± strength. What is
//! switched off draws nothing. Mixing of samples belongs to the batch, not here.

use facebench_protocols::Stream;
use serde::{Deserialize, Serialize};

use super::{Erase, Jitter, RandAugment};
use crate::image::{Filter, Rgb, Window, resize};

/// What is varied during training. The default varies nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augment {
    /// A random part of the image instead of the evaluation transform.
    pub crop: Option<RandomCrop>,
    /// Mirror every second image (drawn, p = 0.5).
    pub flip: bool,
    /// Strength of the colour jitter in `[0, 1]`; 0 leaves colours alone and draws nothing.
    pub jitter: f64,
    /// Saturation of the anti-spoofing recipes, before everything else.
    pub saturation: Option<Jitter>,
    /// RandAugment, after the mirror.
    pub rand_augment: Option<RandAugment>,
    /// Random erasing, after normalisation.
    pub erase: Option<Erase>,
}

/// Which parts of an image a random crop may take.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RandomCrop {
    /// Smallest and largest share of the image's area.
    pub area: [f64; 2],
    /// Smallest and largest width by height; drawn uniformly in the logarithm.
    pub aspect: [f64; 2],
}

impl Default for RandomCrop {
    /// The published fine-tuning crop: area 0.08 to 1, aspect 3/4 to 4/3.
    fn default() -> Self {
        Self { area: [0.08, 1.0], aspect: [3.0 / 4.0, 4.0 / 3.0] }
    }
}

impl Augment {
    /// Everything but erasing; draws and applies in the order of the module's first line. `fill` is what comes in
    /// from outside a turned or shifted picture.
    pub(super) fn apply(
        &self,
        image: &Rgb,
        size: usize,
        fill: [u8; 3],
        stream: &mut Stream,
        evaluate: impl FnOnce(&Rgb) -> Rgb,
    ) -> Rgb {
        let jittered = self.saturation.map(|jitter| jitter.apply(image, stream));
        let image = jittered.as_ref().unwrap_or(image);
        let mut square = match self.crop {
            Some(crop) => {
                let part = crop.draw(image.width, image.height, stream);
                let part = image.crop(part.left, part.top, part.width, part.height);
                resize(&part, size, size, Filter::Bilinear)
            }
            None => evaluate(image),
        };
        if self.flip && stream.uniform() < 0.5 {
            square = square.flipped();
        }
        if let Some(policy) = self.rand_augment {
            square = policy.apply(square, fill, stream);
        }
        if self.jitter > 0.0 {
            for kind in [Colour::Brightness, Colour::Contrast, Colour::Saturation] {
                let factor = 1.0 + self.jitter * (2.0 * stream.uniform() - 1.0);
                blend_colour(&mut square, kind, factor as f32);
            }
        }
        square
    }
}

impl RandomCrop {
    /// Ten draws of (area, aspect), the first that fits wins and is placed uniformly; else the largest centred
    /// part whose aspect is allowed.
    pub fn draw(&self, width: usize, height: usize, stream: &mut Stream) -> Window {
        let log = self.aspect.map(f64::ln);
        for _ in 0..10 {
            let between = |range: [f64; 2], u: f64| range[0] + (range[1] - range[0]) * u;
            let share = between(self.area, stream.uniform());
            let log_aspect = between(log, stream.uniform());
            if let Some((w, h)) = Self::fitting(width, height, share, log_aspect) {
                let top = stream.below(height - h + 1);
                let left = stream.below(width - w + 1);
                return Window { left, top, width: w, height: h };
            }
        }
        self.fallback(width, height)
    }

    /// The centred part taken when no draw fits.
    #[must_use]
    pub fn fallback(&self, width: usize, height: usize) -> Window {
        let (w, h) = (width as f64, height as f64);
        let [low, high] = self.aspect;
        let (w, h) = if w / h < low {
            (width, rounded(w / low).clamp(1, height))
        } else if w / h > high {
            (rounded(h * high).clamp(1, width), height)
        } else {
            (width, height)
        };
        Window { left: (width - w) / 2, top: (height - h) / 2, width: w, height: h }
    }

    /// Columns and rows of a part with this share of the area and this aspect, if it fits.
    #[must_use]
    pub fn fitting(width: usize, height: usize, share: f64, log_aspect: f64) -> Option<(usize, usize)> {
        let area = share * (width * height) as f64;
        let aspect = log_aspect.exp();
        let (w, h) = (rounded((area * aspect).sqrt()), rounded((area / aspect).sqrt()));
        ((1..=width).contains(&w) && (1..=height).contains(&h)).then_some((w, h))
    }
}

/// Rounds half to even, as Python's `round`.
fn rounded(x: f64) -> usize {
    x.round_ties_even() as usize
}

/// What [`blend_colour`] moves the image towards or away from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Black.
    Brightness,
    /// The mean grey of the image.
    Contrast,
    /// The image without colour.
    Saturation,
}

/// Pillow's `ImageEnhance`: `degenerate + factor * (image - degenerate)` in f32, clamped and truncated.
/// Factor 1 changes nothing, 0 gives the degenerate image, above 1 exaggerates.
pub fn blend_colour(image: &mut Rgb, kind: Colour, factor: f32) {
    let constant = match kind {
        Colour::Brightness => 0,
        Colour::Contrast => {
            let sum: u64 = image.pixels.chunks_exact(3).map(|p| u64::from(grey(p))).sum();
            let count = (image.pixels.len() / 3).max(1);
            (sum as f64 / count as f64 + 0.5) as u8
        }
        Colour::Saturation => 0, // replaced by each pixel's own grey below
    };
    for pixel in image.pixels.chunks_exact_mut(3) {
        let base = if kind == Colour::Saturation { grey(pixel) } else { constant };
        for v in pixel {
            let from = f32::from(base);
            *v = (from + factor * (f32::from(*v) - from)).clamp(0.0, 255.0) as u8;
        }
    }
}

/// Luma with Pillow's 16-bit weights.
fn grey(pixel: &[u8]) -> u8 {
    let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(u32::from);
    ((19_595 * r + 38_470 * g + 7_471 * b + 32_768) >> 16) as u8
}

#[cfg(test)]
mod tests;
