//! The pieces of a mask-and-reconstruction picture, as plain PNG files.
//!
//! For each example: the image, the image with hidden patches greyed out, the reconstruction (hidden
//! patches predicted, visible ones kept) and the covered region tinted. Laying them out with captions
//! is the report's business.

use std::path::Path;

use candle_core::Tensor;
use facebench_data::image::{Rgb, encode_png_with_text};
use facebench_data::transform::Normalise;
use facebench_host::BackboneInfo;

use crate::error::{Result, at};
use crate::faces::RawBatch;

/// Number of examples.
pub const EXAMPLES: usize = 6;

/// What the pictures of an example show.
pub const PANELS: [&str; 4] = ["image", "masked", "reconstruction", "region"];

/// Grey of hidden patches.
const HIDDEN: [u8; 3] = [128, 128, 128];
/// Tint of hidden patches of the covered region (vermilion of the Okabe-Ito palette).
const COVERED: [u8; 3] = [213, 94, 0];

/// Writes `{i}-image.png`, `{i}-masked.png`, `{i}-reconstruction.png`, `{i}-region.png` into `dir`.
///
/// `rebuilt` (B, 3, H, W) is in normalised pixels.
pub fn write(
    dir: &Path,
    raw: &RawBatch,
    rebuilt: &Tensor,
    info: &BackboneInfo,
    normalise: &Normalise,
    synthetic: bool,
) -> Result<()> {
    std::fs::create_dir_all(dir).map_err(at(dir))?;
    let text: &[(&str, &str)] = if synthetic { &[("synthetic", "facebench synthetic faces")] } else { &[] };
    for (row, panels) in panels(raw, rebuilt, info, normalise)?.iter().enumerate() {
        for (name, picture) in PANELS.iter().zip(panels) {
            encode_png_with_text(&dir.join(format!("{row}-{name}.png")), picture, text)?;
        }
    }
    Ok(())
}

/// The four pictures of each example, in the order of [`PANELS`].
///
/// `rebuilt` (B, 3, H, W) is in normalised pixels.
pub(crate) fn panels(
    raw: &RawBatch,
    rebuilt: &Tensor,
    info: &BackboneInfo,
    normalise: &Normalise,
) -> Result<Vec<[Rgb; 4]>> {
    let (side, patches) = (info.image, info.grid.0 * info.grid.1);
    let rebuilt: Vec<f32> = rebuilt.flatten_all()?.to_vec1()?;
    let mut out = Vec::with_capacity(raw.size);
    for row in 0..raw.size {
        let span = row * 3 * side * side..(row + 1) * 3 * side * side;
        let (image, guess) = (&raw.pixels[span.clone()], &rebuilt[span]);
        let pixel = |chw: &[f32], x: usize, y: usize| {
            std::array::from_fn(|c| {
                let v = chw[(c * side + y) * side + x] * normalise.std[c] + normalise.mean[c];
                (v * 255.0).round().clamp(0.0, 255.0) as u8
            })
        };
        let bit = |bits: &[u8], x: usize, y: usize| {
            bits[row * patches + (y / info.patch) * info.grid.1 + x / info.patch] == 1
        };
        let draw = |colour: &dyn Fn(usize, usize) -> [u8; 3]| Rgb::from_fn(side, side, colour);
        out.push([
            draw(&|x, y| pixel(image, x, y)),
            draw(&|x, y| if bit(&raw.mask, x, y) { HIDDEN } else { pixel(image, x, y) }),
            draw(&|x, y| pixel(if bit(&raw.mask, x, y) { guess } else { image }, x, y)),
            draw(&|x, y| {
                let own: [u8; 3] = pixel(image, x, y);
                if bit(&raw.region, x, y) {
                    std::array::from_fn(|c| ((u16::from(own[c]) + u16::from(COVERED[c])) / 2) as u8)
                } else if bit(&raw.mask, x, y) {
                    HIDDEN
                } else {
                    own
                }
            }),
        ]);
    }
    Ok(out)
}
