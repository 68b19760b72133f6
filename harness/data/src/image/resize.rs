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

/// The same sums in vectors: four rows at a time, two taps in one multiply-add.
///
/// `pmaddwd` multiplies 16-bit numbers, so each weight is split as `4096·high + low` and the two sums are joined at the end:
/// integers modulo 2³², so the result is the portable one bit for bit.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn horizontal_avx2(image: &Rgb, first: usize, last: usize, columns: &Taps) -> Vec<u8> {
    use std::arch::x86_64::{
        __m128i, __m256i, _mm_loadu_si128, _mm_unpackhi_epi8, _mm_unpacklo_epi8, _mm256_add_epi32,
        _mm256_cvtepu8_epi16, _mm256_madd_epi16, _mm256_packs_epi32, _mm256_packus_epi16, _mm256_set1_epi32,
        _mm256_setzero_si256, _mm256_slli_epi32, _mm256_srai_epi32, _mm256_storeu_si256,
    };
    let pairs = columns.stride.div_ceil(2);
    let join = |a: i32, b: i32| (a & 0xFFFF) | (b << 16);
    let (mut low, mut high) = (Vec::new(), Vec::new());
    for weights in columns.weights.chunks_exact(columns.stride) {
        for pair in weights.chunks(2) {
            let (a, b) = (pair[0], pair.get(1).copied().unwrap_or(0));
            low.push(join(a & 4095, b & 4095));
            high.push(join(a >> 12, b >> 12));
        }
    }
    let (width, line) = (columns.spans.len(), image.width * 3);
    let mut out = vec![0; (last - first) * width * 3];
    // per input column 4 rows of (red, green, blue, 0); one column more, since taps are taken in pairs
    let mut block = vec![[[0u8; 4]; 4]; image.width + 1];
    for top in (first..last).step_by(4) {
        let rows = (last - top).min(4);
        for r in 0..rows {
            let row = &image.pixels[(top + r) * line..(top + r + 1) * line];
            for (cell, p) in block.iter_mut().zip(row.chunks_exact(3)) {
                cell[r] = [p[0], p[1], p[2], 0];
            }
        }
        for (x, (start, taps)) in columns.spans.iter().enumerate() {
            let zero = _mm256_setzero_si256();
            let (mut a_low, mut a_high, mut b_low, mut b_high) = (zero, zero, zero, zero);
            for k in 0..taps.div_ceil(2) {
                let cells = &block[start + 2 * k..start + 2 * k + 2];
                // SAFETY: two whole cells of 16 bytes each; unaligned loads.
                let (p, q) = unsafe {
                    let at = cells.as_ptr().cast::<__m128i>();
                    (_mm_loadu_si128(at), _mm_loadu_si128(at.add(1)))
                };
                // rows 0 and 1, then 2 and 3: (tap k, tap k + 1) beside each other
                let a = _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(p, q));
                let b = _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(p, q));
                let (l, h) = (_mm256_set1_epi32(low[x * pairs + k]), _mm256_set1_epi32(high[x * pairs + k]));
                a_low = _mm256_add_epi32(a_low, _mm256_madd_epi16(a, l));
                b_low = _mm256_add_epi32(b_low, _mm256_madd_epi16(b, l));
                a_high = _mm256_add_epi32(a_high, _mm256_madd_epi16(a, h));
                b_high = _mm256_add_epi32(b_high, _mm256_madd_epi16(b, h));
            }
            let half = _mm256_set1_epi32(1 << (BITS - 1));
            let done = |low: __m256i, high: __m256i| {
                let sum = _mm256_add_epi32(_mm256_add_epi32(_mm256_slli_epi32::<12>(high), low), half);
                _mm256_srai_epi32::<{ BITS as i32 }>(sum)
            };
            // saturating packs clamp to bytes: lane 0 holds rows 0 and 2, lane 1 rows 1 and 3
            let words = _mm256_packs_epi32(done(a_low, a_high), done(b_low, b_high));
            let mut bytes = [0u8; 32];
            // SAFETY: 32 bytes.
            unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), _mm256_packus_epi16(words, words)) };
            for (r, at) in [0, 16, 4, 20].into_iter().enumerate().take(rows) {
                let o = ((top - first + r) * width + x) * 3;
                out[o..o + 3].copy_from_slice(&bytes[at..at + 3]);
            }
        }
    }
    out
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
