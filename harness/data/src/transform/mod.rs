//! From a decoded image to the `(3, H, W)` array a backbone takes.
//!
//! Evaluation has the two published transforms: straight to the input size, or short side to 8/7 of it and the
//! centre cut out (256 and 224), both by Pillow's bicubic filter. Training may add what [`Augment`] lists, all drawn
//! from the stream it is given; so the stream's key (sample, epoch) decides the picture, not the order of work.
//! Normalisation comes last, but for erasing.

mod augment;
mod corrupt;
mod erase;
mod multicrop;
mod normalise;
mod ops;
mod randaug;
mod saturation;

pub use augment::{Augment, Colour, RandomCrop, blend_colour};
pub use corrupt::{Corruption, SEVERITIES};
pub use erase::Erase;
pub use multicrop::{MultiCrop, blur, solarise, turn_hue};
pub use normalise::{ChannelSums, Normalise, statistics};
pub use ops::Op;
pub use randaug::RandAugment;
pub use saturation::{Jitter, saturate, saturated};

use facebench_protocols::{Stream, TestTransform};

use crate::image::{Filter, Rgb, Window, resize, resize_window};

/// Transforms, augments and normalises: the result is `(3, size, size)`, channel by channel, row by row.
///
/// With an augmentation that crops, the crop takes the place of `mode`. Panics if `size` is zero.
#[must_use]
pub fn to_tensor(
    image: &Rgb,
    size: usize,
    mode: TestTransform,
    normalise: &Normalise,
    augment: Option<(&Augment, &mut Stream)>,
) -> Vec<f32> {
    let Some((augment, stream)) = augment else { return normalise.apply(&evaluate(image, size, mode)) };
    let square = augment.apply(image, size, normalise.fill(), stream, |image| evaluate(image, size, mode));
    let mut tensor = normalise.apply(&square);
    if let Some(erase) = augment.erase {
        erase.apply(&mut tensor, size, stream);
    }
    tensor
}

/// The picture that evaluation sees, `size` × `size`, still in bytes.
#[must_use]
pub fn to_square(image: &Rgb, size: usize, mode: TestTransform) -> Rgb {
    evaluate(image, size, mode)
}

fn evaluate(image: &Rgb, size: usize, mode: TestTransform) -> Rgb {
    match mode {
        TestTransform::Direct => resize(image, size, size, Filter::Bicubic),
        TestTransform::CenterCrop => {
            let ((width, height), window) = centre_crop(image.width, image.height, size);
            resize_window(image, width, height, Filter::Bicubic, window)
        }
    }
}

/// What [`TestTransform::CenterCrop`] does with a picture of this width and height: the width and height it is resized
/// to, so that the short side is 8/7 of `size`, and the part of that which is kept. Panics if a side is zero.
#[must_use]
pub fn centre_crop(width: usize, height: usize, size: usize) -> ((usize, usize), Window) {
    let (width, height) = short_side(width, height, size * 256 / 224);
    let (left, top) = (centre(width, size), centre(height, size));
    ((width, height), Window { left, top, width: size, height: size })
}

/// The size of the image when its short side becomes `short`: the long side is rounded down.
fn short_side(width: usize, height: usize, short: usize) -> (usize, usize) {
    if width <= height { (short, short * height / width) } else { (short * width / height, short) }
}

/// Where a centred part of length `part` begins: half of the rest, rounded half to even.
fn centre(whole: usize, part: usize) -> usize {
    let rest = whole - part;
    rest / 2 + usize::from(rest % 4 == 3)
}

#[cfg(test)]
mod tests;
