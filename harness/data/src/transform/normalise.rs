//! Per-channel mean and standard deviation: constants, measuring, applying.
//!
//! The published models carry the statistics of their own pre-training set; measuring follows the same rule, mean
//! and root of the mean square minus the squared mean over all pixels. (The reference drops the last incomplete
//! batch; here every image counts.) Sums are integers, so the result does not depend on the order or the number of
//! threads.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::image::{Filter, Rgb, decode, resize};

/// Mean and standard deviation of red, green and blue, for values in `[0, 1]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalise {
    /// Means.
    pub mean: [f32; 3],
    /// Standard deviations, above zero.
    pub std: [f32; 3],
}

impl Normalise {
    /// ImageNet's, the usual ones of supervised, MAE and DINO checkpoints.
    pub const IMAGENET: Self = Self { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };

    /// VGGFace2's, of the FSFM and FS-VFM checkpoints.
    pub const VGGFACE2: Self = Self {
        mean: [0.548_220_75, 0.423_405_35, 0.365_465_16],
        std: [0.278_917_6, 0.243_854_08, 0.234_938_93],
    };

    /// FF++ originals' (c23), of the FSFM checkpoints pre-trained on them.
    pub const FFPP_ORIGINALS: Self =
        Self { mean: [0.532_625_14, 0.404_845, 0.370_874_73], std: [0.258_507_97, 0.210_545, 0.207_852_94] };

    /// The mean colour in bytes: what RandAugment fills with.
    #[must_use]
    pub fn fill(&self) -> [u8; 3] {
        self.mean.map(|m| (255.0 * f64::from(m)).round_ties_even().clamp(0.0, 255.0) as u8)
    }

    /// `(3, height, width)`: `(v / 255 - mean) / std`, in f32.
    #[must_use]
    pub fn apply(&self, image: &Rgb) -> Vec<f32> {
        let mut out = Vec::with_capacity(image.pixels.len());
        for channel in 0..3 {
            let (mean, std) = (self.mean[channel], self.std[channel]);
            // 256 possible values: a table instead of a division per pixel, with the same result
            let table: [f32; 256] = std::array::from_fn(|v| (v as f32 / 255.0 - mean) / std);
            out.extend(image.pixels.chunks_exact(3).map(|p| table[usize::from(p[channel])]));
        }
        out
    }

    /// Back from `(3, height, width)` to bytes, rounded and clamped: for pictures of what a model saw or rebuilt.
    /// Panics where the length does not match.
    #[must_use]
    pub fn undo(&self, tensor: &[f32], width: usize, height: usize) -> Rgb {
        let plane = width * height;
        assert_eq!(tensor.len(), 3 * plane, "a tensor of 3 x {height} x {width}");
        Rgb::from_fn(width, height, |x, y| {
            std::array::from_fn(|c| {
                let v = tensor[c * plane + y * width + x] * self.std[c] + self.mean[c];
                (v * 255.0).round().clamp(0.0, 255.0) as u8
            })
        })
    }

    /// Reads `{"mean": [r, g, b], "std": [r, g, b]}` from the first line of a file, as the published checkpoints
    /// carry it in `pretrain_ds_mean_std.txt`.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read, [`Error::Layout`] where it is something else or a deviation is not
    /// above zero.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        let line = text.lines().next().unwrap_or_default();
        let hint = "the file holds one line such as {\"mean\": [0.5, 0.4, 0.4], \"std\": [0.3, 0.2, 0.2]}";
        let read: Self = serde_json::from_str(line)
            .map_err(|e| Error::layout(path, format!("not normalisation statistics ({e})"), hint))?;
        if read.std.iter().all(|s| *s > 0.0) && read.mean.iter().all(|m| m.is_finite()) {
            Ok(read)
        } else {
            Err(Error::layout(
                path,
                format!("a standard deviation of {:?} is not above zero", read.std),
                hint,
            ))
        }
    }
}

/// Images decoded between two looks at errors; bounds memory on sets of millions.
const CHUNK: usize = 1024;

/// Measures the statistics of a list of images, each resized to `size` × `size` first (bicubic; nothing happens to
/// images that have this size).
///
/// # Errors
/// [`Error::Request`] for an empty list, a size of zero, or images that are all one flat colour; the first
/// image's error in list order where some cannot be decoded.
pub fn statistics(paths: &[PathBuf], size: usize) -> Result<Normalise, Error> {
    if paths.is_empty() || size == 0 {
        let what = format!("cannot measure {} images at size {size}", paths.len());
        return Err(Error::Request { what, hint: "name a folder with images and a size above zero" });
    }
    let mut total = ChannelSums::default();
    for chunk in paths.chunks(CHUNK) {
        let measure = |path: &PathBuf| decode(path).map(|image| ChannelSums::of(&image, size));
        for sums in chunk.par_iter().map(measure).collect::<Vec<_>>() {
            total.add(&sums?);
        }
    }
    total.normalise()
}

/// Sums over the bytes of images, which add up exactly in any order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelSums {
    /// Pixels summed
    pub pixels: u64,
    /// Sum and sum of squares of red, green and blue bytes
    pub sums: [[u64; 2]; 3],
}

impl ChannelSums {
    /// The sums of one image, resized to `size` × `size` first (bicubic).
    #[must_use]
    pub fn of(image: &Rgb, size: usize) -> Self {
        let image = resize(image, size, size, Filter::Bicubic);
        let mut out = Self { pixels: (size * size) as u64, ..Self::default() };
        for pixel in image.pixels.chunks_exact(3) {
            for (o, v) in out.sums.iter_mut().zip(pixel) {
                let v = u64::from(*v);
                o[0] += v;
                o[1] += v * v;
            }
        }
        out
    }

    /// Adds those of other images.
    pub fn add(&mut self, other: &Self) {
        self.pixels += other.pixels;
        for (t, s) in self.sums.iter_mut().flatten().zip(other.sums.iter().flatten()) {
            *t += s;
        }
    }

    /// Means and standard deviations for values in `[0, 1]`.
    ///
    /// # Errors
    /// [`Error::Request`] where the images are one flat colour, or none.
    pub fn normalise(&self) -> Result<Normalise, Error> {
        let count = self.pixels as f64;
        let mean = self.sums.map(|[sum, _]| sum as f64 / count / 255.0);
        let std: [f64; 3] = std::array::from_fn(|c| {
            let square = self.sums[c][1] as f64 / count / (255.0 * 255.0);
            (square - mean[c] * mean[c]).max(0.0).sqrt()
        });
        if !std.iter().all(|s| *s > 0.0) {
            let what = format!("the images are one flat colour (standard deviation {std:?})");
            return Err(Error::Request { what, hint: "give the normalisation by hand, or use photographs" });
        }
        Ok(Normalise { mean: mean.map(|m| m as f32), std: std.map(|s| s as f32) })
    }
}

#[cfg(test)]
mod tests;
