//! Resizing, bit for bit as Pillow 9.5 does it.
//!
//! Separable: horizontal pass, rounding to bytes, vertical pass, rounding to bytes. Weights are computed in
//! f64, normalised, and stored with 22 fractional bits, rounded half away from zero; sums are i32. When
//! shrinking, the filter's support grows by the factor (antialiasing). Newer Pillow releases run the vertical
//! pass first for some sizes and differ by up to 14 levels at hard edges; the published models saw 9.5.
//! Integer arithmetic only, so every machine gives the same bytes: with AVX2, which is used where the processor has
//! it, and without.

use super::Rgb;

/// Fractional bits of a weight: 32 minus 8 for the byte and 2 for overshoot.
const BITS: u32 = 32 - 8 - 2;

/// Resampling filters, named and defined as in Pillow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Area average, support 0.5.
    Box,
    /// Triangle, support 1.
    Bilinear,
    /// Keys' cubic with a = -0.5, support 2.
    Bicubic,
}

impl Filter {
    fn support(self) -> f64 {
        match self {
            Filter::Box => 0.5,
            Filter::Bilinear => 1.0,
            Filter::Bicubic => 2.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        const A: f64 = -0.5;
        match self {
            Filter::Box => f64::from(u8::from(x > -0.5 && x <= 0.5)),
            Filter::Bilinear => (1.0 - x.abs()).max(0.0),
            Filter::Bicubic => {
                let x = x.abs();
                if x < 1.0 {
                    ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
                } else if x < 2.0 {
                    (((x - 5.0) * x + 8.0) * x - 4.0) * A
                } else {
                    0.0
                }
            }
        }
    }
}

/// A part of an image, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// First column.
    pub left: usize,
    /// First row.
    pub top: usize,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

/// Resizes the whole image to `width` × `height`, ignoring the aspect ratio. Panics on a side of zero.
#[must_use]
pub fn resize(image: &Rgb, width: usize, height: usize, filter: Filter) -> Rgb {
    resize_window(image, width, height, filter, Window { left: 0, top: 0, width, height })
}

/// Resizes to `width` × `height` and keeps `window` only: the same bytes as resizing and cropping, without
/// the work for what is cut away. Panics on a side of zero or a window outside the resized image.
#[must_use]
pub fn resize_window(image: &Rgb, width: usize, height: usize, filter: Filter, window: Window) -> Rgb {
    assert!(image.width > 0 && image.height > 0, "the image has no pixels");
    assert!(window.width > 0 && window.height > 0, "the window has no pixels");
    assert!(
        window.left + window.width <= width && window.top + window.height <= height,
        "the window leaves the resized image"
    );
    let columns = Taps::new(image.width, width, window.left, window.width, filter);
    let rows = Taps::new(image.height, height, window.top, window.height, filter);
    let (first, last) = rows.extent();
    let narrow = if columns.is_identity(image.width) {
        image.pixels[first * image.width * 3..last * image.width * 3].to_vec()
    } else {
        horizontal(image, first, last, &columns)
    };
    let pixels = if rows.is_identity(image.height) { narrow } else { vertical(&narrow, first, &rows) };
    Rgb { width: window.width, height: window.height, pixels }
}

/// For each output position: the first input position and its weights.
struct Taps {
    /// (first input, number of inputs) per output.
    spans: Vec<(usize, usize)>,
    /// `stride` weights per output, the unused ones zero.
    weights: Vec<i32>,
    stride: usize,
    scale: f64,
}

impl Taps {
    /// Taps of the outputs `from .. from + count` when `input` positions become `output`.
    fn new(input: usize, output: usize, from: usize, count: usize, filter: Filter) -> Self {
        let scale = input as f64 / output as f64;
        let stretch = scale.max(1.0);
        let support = filter.support() * stretch;
        let stride = support.ceil() as usize * 2 + 1;
        let mut spans = Vec::with_capacity(count);
        let mut weights = vec![0; stride * count];
        let mut raw = vec![0.0; stride];
        for (slot, index) in weights.chunks_exact_mut(stride).zip(from..) {
            let centre = (index as f64 + 0.5) * scale;
            // truncation toward zero, then clamping, as the C code does
            let first = ((centre - support + 0.5) as i64).max(0) as usize;
            let last = ((centre + support + 0.5) as i64).min(input as i64) as usize;
            let taps = last - first;
            let mut sum = 0.0;
            for (i, w) in raw[..taps].iter_mut().enumerate() {
                *w = filter.weight(((i + first) as f64 - centre + 0.5) * (1.0 / stretch));
                sum += *w;
            }
            for (fixed, w) in slot.iter_mut().zip(&raw[..taps]) {
                let w = if sum == 0.0 { *w } else { *w / sum } * f64::from(1u32 << BITS);
                *fixed = (if w < 0.0 { w - 0.5 } else { w + 0.5 }) as i32;
            }
            spans.push((first, taps));
        }
        Self { spans, weights, stride, scale }
    }

    /// Input positions used by any output: `[first, last)`.
    fn extent(&self) -> (usize, usize) {
        let last = self.spans.iter().map(|(first, taps)| first + taps).max().unwrap_or(0);
        (self.spans.first().map_or(0, |s| s.0), last)
    }

    /// Whether every output is its own input: weights are then exactly one and the pass can be left out.
    fn is_identity(&self, input: usize) -> bool {
        self.scale == 1.0 && self.spans.len() == input
    }

    fn iter(&self) -> impl Iterator<Item = (usize, &[i32])> {
        let weights = self.weights.chunks_exact(self.stride);
        self.spans.iter().zip(weights).map(|((first, taps), w)| (*first, &w[..*taps]))
    }
}

/// Rows `first .. last` of the image, narrowed (or widened) to the columns' taps.
fn horizontal(image: &Rgb, first: usize, last: usize, columns: &Taps) -> Vec<u8> {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { horizontal_avx2(image, first, last, columns) };
    }
    horizontal_body(image, first, last, columns)
}

/// The same code, compiled for AVX2 (32-bit products in one instruction).
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn horizontal_avx2(image: &Rgb, first: usize, last: usize, columns: &Taps) -> Vec<u8> {
    horizontal_body(image, first, last, columns)
}

#[inline(always)]
fn horizontal_body(image: &Rgb, first: usize, last: usize, columns: &Taps) -> Vec<u8> {
    let width = columns.spans.len();
    let mut out = vec![0; (last - first) * width * 3];
    let rows = image.pixels.chunks_exact(image.width * 3).skip(first);
    // Four lanes instead of three: one vector register per pixel.
    let mut padded = vec![[0i32; 4]; image.width];
    for (row, out) in rows.zip(out.chunks_exact_mut(width * 3)) {
        for (wide, pixel) in padded.iter_mut().zip(row.chunks_exact(3)) {
            *wide = [pixel[0].into(), pixel[1].into(), pixel[2].into(), 0];
        }
        for ((start, weights), out) in columns.iter().zip(out.chunks_exact_mut(3)) {
            let mut sum = [1i32 << (BITS - 1); 4];
            for (w, pixel) in weights.iter().zip(&padded[start..]) {
                for (s, v) in sum.iter_mut().zip(pixel) {
                    *s = s.wrapping_add(w.wrapping_mul(*v));
                }
            }
            for (o, s) in out.iter_mut().zip(sum) {
                *o = to_byte(s);
            }
        }
    }
    out
}

/// The columns of `narrow` (whose first row is input row `first`), shortened to the rows' taps.
fn vertical(narrow: &[u8], first: usize, rows: &Taps) -> Vec<u8> {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { vertical_avx2(narrow, first, rows) };
    }
    vertical_body(narrow, first, rows)
}

/// The same code, compiled for AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn vertical_avx2(narrow: &[u8], first: usize, rows: &Taps) -> Vec<u8> {
    vertical_body(narrow, first, rows)
}

#[inline(always)]
fn vertical_body(narrow: &[u8], first: usize, rows: &Taps) -> Vec<u8> {
    let height = rows.spans.len();
    let Some(line) = narrow.len().checked_div(rows.extent().1 - first) else { return Vec::new() };
    let mut out = vec![0; line * height];
    let mut sum = vec![0i32; line];
    for ((start, weights), out) in rows.iter().zip(out.chunks_exact_mut(line)) {
        sum.fill(1 << (BITS - 1));
        for (w, row) in weights.iter().zip(narrow[(start - first) * line..].chunks_exact(line)) {
            for (s, v) in sum.iter_mut().zip(row) {
                *s = s.wrapping_add(w.wrapping_mul(i32::from(*v)));
            }
        }
        for (o, s) in out.iter_mut().zip(&sum) {
            *o = to_byte(*s);
        }
    }
    out
}

/// Drops the fraction (the half was added before) and clamps.
#[inline(always)]
fn to_byte(sum: i32) -> u8 {
    (sum >> BITS).clamp(0, 255) as u8
}

/// [`resize`] without any vector extension, for tests to compare with.
#[cfg(test)]
pub(super) fn resize_portable(image: &Rgb, width: usize, height: usize, filter: Filter) -> Rgb {
    let columns = Taps::new(image.width, width, 0, width, filter);
    let rows = Taps::new(image.height, height, 0, height, filter);
    let narrow = horizontal_body(image, 0, image.height, &columns);
    let (first, last) = rows.extent();
    let narrow = &narrow[first * width * 3..last * width * 3];
    Rgb { width, height, pixels: vertical_body(narrow, first, &rows) }
}
