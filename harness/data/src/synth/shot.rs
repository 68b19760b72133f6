//! A frame as it leaves a camera, and what happens to every picture afterwards: compression.
//!
//! Real and forged pictures go through the same chain (camera, first compression, [forgery], second compression), so
//! nothing but the forgery tells them apart.

use facebench_protocols::rng::Stream;
use image::codecs::jpeg::{JpegDecoder, JpegEncoder};
use image::{ExtendedColorType, ImageDecoder};

use super::camera::Camera;
use super::frame::FrameParams;
use super::identity::Identity;
use super::plane::Plane;
use super::render::{self, Canvas};
use crate::image::Rgb;

/// A rendered frame and the picture a camera took of it, after the first compression.
pub(crate) struct Shot {
    pub(crate) canvas: Canvas,
    pub(crate) picture: Plane,
}

/// Quality of the first compression, that of the source video.
const FIRST: u8 = 92;

/// Renders a frame and takes its picture.
pub(crate) fn take(id: &Identity, f: &FrameParams, camera: &Camera, size: usize, rng: &mut Stream) -> Shot {
    let canvas = render::draw(id, f, size);
    let picture = compressed(&camera.shoot(&canvas, rng), FIRST);
    Shot { canvas, picture }
}

/// Takes a picture as a face generator would: the same lens and colours, no sensor noise.
pub(crate) fn clean(id: &Identity, f: &FrameParams, camera: &Camera, size: usize) -> Shot {
    let quiet = Camera { noise: [0.0, 0.0], ..camera.clone() };
    let canvas = render::draw(id, f, size);
    let picture = quiet.shoot(&canvas, &mut Stream::new("no noise", 0, &[]));
    Shot { canvas, picture }
}

/// A JPEG round trip.
pub(crate) fn compressed(p: &Plane, quality: u8) -> Plane {
    Plane::from_rgb(&jpeg(&p.to_rgb(), quality))
}

/// A JPEG round trip on bytes: a real encoder and a real decoder, so that the artefacts are real.
pub(crate) fn jpeg(rgb: &Rgb, quality: u8) -> Rgb {
    let mut bytes = Vec::with_capacity(rgb.pixels.len() / 4);
    let (w, h) = (rgb.width as u32, rgb.height as u32);
    JpegEncoder::new_with_quality(&mut bytes, quality.clamp(1, 100))
        .encode(&rgb.pixels, w, h, ExtendedColorType::Rgb8)
        .expect("an 8-bit picture of positive size below 65536 encodes into memory");
    let mut pixels = vec![0; rgb.pixels.len()];
    JpegDecoder::new(std::io::Cursor::new(&bytes))
        .and_then(|d| d.read_image(&mut pixels))
        .expect("what the encoder wrote decodes to the same size");
    Rgb { width: rgb.width, height: rgb.height, pixels }
}
