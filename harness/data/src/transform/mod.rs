//! From a decoded image to the `(3, H, W)` array a backbone takes.
//!
//! Evaluation has the two published transforms: straight to the input size, or short side to 8/7 of it and the
//! centre cut out (256 and 224), both by Pillow's bicubic filter. Training may add a random crop, a mirror and
//! colour jitter, all drawn from the stream it is given, in that order; so the stream's key (sample, epoch)
//! decides the picture, not the order of work. Normalisation comes last.

mod augment;
mod multicrop;
mod normalise;

pub use augment::{Augment, Colour, RandomCrop, blend_colour};
pub use multicrop::{MultiCrop, blur, solarise, turn_hue};
pub use normalise::{ChannelSums, Normalise, statistics};

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
    normalise.apply(&to_square(image, size, mode, augment))
}

/// The first half of [`to_tensor`]: the transformed picture, `size` × `size`, still in bytes.
#[must_use]
pub fn to_square(
    image: &Rgb,
    size: usize,
    mode: TestTransform,
    augment: Option<(&Augment, &mut Stream)>,
) -> Rgb {
    match augment {
        None => evaluate(image, size, mode),
        Some((augment, stream)) => augment.apply(image, size, stream, |image| evaluate(image, size, mode)),
    }
}

fn evaluate(image: &Rgb, size: usize, mode: TestTransform) -> Rgb {
    match mode {
        TestTransform::Direct => resize(image, size, size, Filter::Bicubic),
        TestTransform::CenterCrop => {
            let (width, height) = short_side(image.width, image.height, size * 256 / 224);
            let (left, top) = (centre(width, size), centre(height, size));
            let window = Window { left, top, width: size, height: size };
            resize_window(image, width, height, Filter::Bicubic, window)
        }
    }
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
