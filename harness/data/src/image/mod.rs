//! Images as plain bytes: decode, encode, resize.
//!
//! [`Rgb`] is height × width × 3 bytes and nothing else; everything above works on it. Decoding is strict:
//! a truncated file is an error, never a half-grey picture, since one wrong frame moves a video's score.
//! Resizing reproduces Pillow 9.5 bit for bit, because the published checkpoints were trained and tested
//! through it. Not done here: EXIF rotation and colour profiles (Pillow's `convert("RGB")` ignores both).

mod colour;
pub(crate) mod decode;
pub(crate) mod encode;
mod idct;
mod jpeg;
mod resize;

pub use decode::{DECODER, MAX_PIXELS, MAX_SIDE, decode, decode_bytes, is_image_name};
pub use encode::{encode_png, encode_png_bytes, encode_png_with_text, png_text};
pub use resize::{Filter, Window, resize, resize_window};

/// An 8-bit colour image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rgb {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Row-major bytes, `(height, width, 3)`, channels red, green, blue.
    pub pixels: Vec<u8>,
}

impl Rgb {
    /// A black image of the given size.
    #[must_use]
    pub fn new(width: usize, height: usize) -> Self {
        Self { width, height, pixels: vec![0; width * height * 3] }
    }

    /// Builds an image from a function of column and row.
    #[must_use]
    pub fn from_fn(width: usize, height: usize, mut f: impl FnMut(usize, usize) -> [u8; 3]) -> Self {
        let mut pixels = Vec::with_capacity(width * height * 3);
        for y in 0..height {
            for x in 0..width {
                pixels.extend_from_slice(&f(x, y));
            }
        }
        Self { width, height, pixels }
    }

    /// The three bytes at column `x`, row `y`. Panics outside the image.
    #[must_use]
    pub fn get(&self, x: usize, y: usize) -> [u8; 3] {
        let i = (y * self.width + x) * 3;
        [self.pixels[i], self.pixels[i + 1], self.pixels[i + 2]]
    }

    /// Sets the three bytes at column `x`, row `y`. Panics outside the image.
    pub fn set(&mut self, x: usize, y: usize, rgb: [u8; 3]) {
        let i = (y * self.width + x) * 3;
        self.pixels[i..i + 3].copy_from_slice(&rgb);
    }

    /// The part `[left, left + width) × [top, top + height)`. Panics where it leaves the image.
    #[must_use]
    pub fn crop(&self, left: usize, top: usize, width: usize, height: usize) -> Self {
        assert!(left + width <= self.width && top + height <= self.height, "crop leaves the image");
        let mut pixels = Vec::with_capacity(width * height * 3);
        for y in top..top + height {
            let start = (y * self.width + left) * 3;
            pixels.extend_from_slice(&self.pixels[start..start + width * 3]);
        }
        Self { width, height, pixels }
    }

    /// The mirror image (left and right exchanged).
    #[must_use]
    pub fn flipped(&self) -> Self {
        let mut pixels = Vec::with_capacity(self.pixels.len());
        for row in self.pixels.chunks_exact((self.width * 3).max(1)) {
            for pixel in row.chunks_exact(3).rev() {
                pixels.extend_from_slice(pixel);
            }
        }
        Self { width: self.width, height: self.height, pixels }
    }
}

#[cfg(test)]
mod tests;
