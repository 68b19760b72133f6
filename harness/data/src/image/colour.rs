//! Chroma upsampling and YCbCr → RGB with libjpeg-turbo's arithmetic, written so that the compiler vectorises it.
//!
//! Upsampling by 2 along a row: even columns `(3·own + left + 1) >> 2`, odd ones `(3·own + right + 2) >> 2`, the first and
//! last column are their own. By 2 in both directions the rows are mixed first (`3·near + far`, kept in 16 bits), then columns
//! with `+ 8` and `+ 7`, `>> 4`. Rows beyond the top and bottom repeat the edge (`jdsample.c`, `jdmainct.c`).
//! R = Y + 1.402 (Cr-128), G = Y - 0.344136 (Cb-128) - 0.714136 (Cr-128), B = Y + 1.772 (Cb-128), constants with 16 fractional
//! bits, halves added as `jdcolor.c` does, clamped. Integers only: every machine gives the same bytes, with AVX2 or without.

use super::jpeg::Plane;

/// Fills `out` (height × width × 3) from the planes; chroma is subsampled by `h` and `v` (1 or 2; v = 2 only with h = 2).
pub(super) fn to_rgb(planes: &[Plane; 3], width: usize, height: usize, h: usize, v: usize, out: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { to_rgb_avx2(planes, width, height, h, v, out) };
    }
    body(planes, width, height, h, v, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn to_rgb_avx2(planes: &[Plane; 3], width: usize, height: usize, h: usize, v: usize, out: &mut [u8]) {
    body(planes, width, height, h, v, out);
}

/// The portable form, for tests to compare with.
#[cfg(test)]
pub(super) fn to_rgb_portable(
    planes: &[Plane; 3],
    width: usize,
    height: usize,
    h: usize,
    v: usize,
    out: &mut [u8],
) {
    body(planes, width, height, h, v, out);
}

#[inline(always)]
fn body(planes: &[Plane; 3], width: usize, height: usize, h: usize, v: usize, out: &mut [u8]) {
    let (cw, ch) = (width.div_ceil(h), height.div_ceil(v));
    let mut wide = [vec![0u8; cw * h], vec![0u8; cw * h]];
    let mut mix = vec![0u16; cw];
    let mut rgb = [vec![0u8; width], vec![0u8; width], vec![0u8; width]];
    for (y, out) in out.chunks_exact_mut(width * 3).enumerate() {
        let luma = &planes[0].data[y * planes[0].stride..][..width];
        for (plane, wide) in planes[1..].iter().zip(&mut wide) {
            let row = |r: usize| &plane.data[r * plane.stride..][..cw];
            match (h, v) {
                (1, _) => wide.copy_from_slice(row(y)),
                (_, 1) => across(row(y), wide),
                _ => {
                    let near = y / 2;
                    let far = if y % 2 == 0 { near.saturating_sub(1) } else { (near + 1).min(ch - 1) };
                    for ((m, n), f) in mix.iter_mut().zip(row(near)).zip(row(far)) {
                        *m = u16::from(*n) * 3 + u16::from(*f);
                    }
                    across_mixed(&mix, wide);
                }
            }
        }
        convert(luma, &wide[0][..width], &wide[1][..width], &mut rgb);
        for (((p, r), g), b) in out.chunks_exact_mut(3).zip(&rgb[0]).zip(&rgb[1]).zip(&rgb[2]) {
            (p[0], p[1], p[2]) = (*r, *g, *b);
        }
    }
}

/// Doubles a row.
#[inline(always)]
fn across(row: &[u8], wide: &mut [u8]) {
    let n = row.len();
    wide[0] = row[0];
    wide[2 * n - 1] = row[n - 1];
    // columns 1 .. 2n-1 in pairs: right half of a sample, left half of the next
    for (pair, own) in wide[1..2 * n - 1].chunks_exact_mut(2).zip(row.windows(2)) {
        let (a, b) = (u16::from(own[0]), u16::from(own[1]));
        pair[0] = ((a * 3 + b + 2) >> 2) as u8;
        pair[1] = ((b * 3 + a + 1) >> 2) as u8;
    }
}

/// Doubles a row whose values are already mixed from two rows (sum of weights 4).
#[inline(always)]
fn across_mixed(row: &[u16], wide: &mut [u8]) {
    let n = row.len();
    wide[0] = ((row[0] * 4 + 8) >> 4) as u8;
    wide[2 * n - 1] = ((row[n - 1] * 4 + 7) >> 4) as u8;
    for (pair, own) in wide[1..2 * n - 1].chunks_exact_mut(2).zip(row.windows(2)) {
        let (a, b) = (own[0], own[1]);
        pair[0] = ((a * 3 + b + 7) >> 4) as u8;
        pair[1] = ((b * 3 + a + 8) >> 4) as u8;
    }
}

/// A constant with 16 fractional bits.
const fn fix(x: f64) -> i32 {
    (x * 65536.0 + 0.5) as i32
}

const HALF: i32 = 1 << 15;

#[inline(always)]
fn convert(luma: &[u8], blue: &[u8], red: &[u8], rgb: &mut [Vec<u8>; 3]) {
    let [r, g, b] = rgb;
    let n = luma.len().min(blue.len()).min(red.len()).min(r.len()).min(g.len()).min(b.len());
    let (luma, blue, red) = (&luma[..n], &blue[..n], &red[..n]);
    let (r, g, b) = (&mut r[..n], &mut g[..n], &mut b[..n]);
    for i in 0..n {
        let y = i32::from(luma[i]);
        let (cb, cr) = (i32::from(blue[i]) - 128, i32::from(red[i]) - 128);
        r[i] = (y + ((fix(1.40200) * cr + HALF) >> 16)).clamp(0, 255) as u8;
        g[i] = (y + ((-fix(0.34414) * cb - fix(0.71414) * cr + HALF) >> 16)).clamp(0, 255) as u8;
        b[i] = (y + ((fix(1.77200) * cb + HALF) >> 16)).clamp(0, 255) as u8;
    }
}
