//! The inverse DCT of `jidctint.c` for eight columns at a time (AVX2), bit for bit.
//!
//! Without an assembler libjpeg-turbo's accurate integer transform runs one column after the other. Here a row of eight
//! coefficients is one register; the arithmetic is the same Loeffler-Ligtenberg-Moschytz scheme with 13-bit constants and
//! the same two roundings. It is done modulo 2³² where C has 64 bits, which changes nothing: the first pass cannot
//! leave 32 bits while |coefficient · step| < 2¹⁵ (Σ|weights| · 2¹⁵ < 2³¹), and blocks beyond that are handed back to C;
//! of the second pass only bits 18 to 27 are used. [`install`] puts it where libjpeg keeps its method, and leaves an
//! assembler's alone. Results are compared with the C code's in the tests of this folder.

use mozjpeg_sys as sys;

type Method = unsafe extern "C-unwind" fn(
    *mut sys::jpeg_decompress_struct,
    *mut sys::jpeg_component_info,
    *mut i16,
    *mut *mut u8,
    u32,
);

unsafe extern "C-unwind" {
    /// The C code: dequantises and transforms one block into eight rows.
    fn jpeg_idct_islow(
        info: *mut sys::jpeg_decompress_struct,
        part: *mut sys::jpeg_component_info,
        block: *mut i16,
        rows: *mut *mut u8,
        column: u32,
    );
}

/// `struct jpeg_inverse_dct` (`jpegint.h`).
#[repr(C)]
struct Methods {
    start_pass: *const (),
    inverse: [Option<Method>; 10], // MAX_COMPONENTS
}

/// Pointers behind `idct` at the end of `jpeg_decompress_struct`, itself included: `idct`, `upsample`, `cconvert`,
/// `cquantize`.
const FROM_END: usize = 4 * size_of::<*mut ()>();

/// Replaces libjpeg's C method for every component, if this processor can do better.
///
/// # Safety
/// `info` has started decompression.
pub(super) unsafe fn install(info: &mut sys::jpeg_decompress_struct) {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        let count = (info.num_components as usize).min(10);
        let base = &raw mut *info;
        // SAFETY: the binding is `repr(C)`, its version is pinned in Cargo.toml, and `idct` is the fourth pointer from
        // its end; libjpeg has set it before decompression starts. `comp_info` has `num_components` entries.
        unsafe {
            let at = base.cast::<u8>().add(size_of::<sys::jpeg_decompress_struct>() - FROM_END);
            let methods = *at.cast::<*mut Methods>();
            for i in 0..count {
                let table = (*(*base).comp_info.add(i)).quant_table;
                // steps of 16 bits and more have another width in C, depending on how it was built
                if table.is_null() || (*table).quantval.iter().any(|&q| q > 255) {
                    continue;
                }
                let method = &mut (*methods).inverse[i];
                if method.is_some_and(|m| std::ptr::fn_addr_eq(m, jpeg_idct_islow as Method)) {
                    *method = Some(vector::inverse);
                    #[cfg(test)]
                    tests::REPLACED.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = info;
}

#[cfg(target_arch = "x86_64")]
mod vector {
    use super::{jpeg_idct_islow, sys};
    use std::arch::x86_64::*;

    /// One block: coefficients of `part` into eight rows of eight bytes, from `column` on.
    ///
    /// # Safety
    /// As libjpeg calls it: 64 coefficients, 8 rows with 8 bytes from `column` on; on a processor with AVX2.
    pub(super) unsafe extern "C-unwind" fn inverse(
        info: *mut sys::jpeg_decompress_struct,
        part: *mut sys::jpeg_component_info,
        block: *mut i16,
        rows: *mut *mut u8,
        column: u32,
    ) {
        // SAFETY: the caller's promise; `install` has checked the table and the processor.
        unsafe {
            let rows = std::slice::from_raw_parts(rows, 8);
            let table = &(*(*part).quant_table).quantval;
            if !transform(&*block.cast::<[i16; 64]>(), table, rows, column as usize) {
                jpeg_idct_islow(info, part, block, rows.as_ptr().cast_mut(), column);
            }
        }
    }

    /// Whether the block was within the bounds of 32-bit arithmetic; if not, nothing was written.
    #[target_feature(enable = "avx2")]
    unsafe fn transform(block: &[i16; 64], table: &[u16; 64], rows: &[*mut u8], column: usize) -> bool {
        // SAFETY: both tables have 64 entries of two bytes, of which 8 are read from multiples of 8.
        let coefficients: [__m128i; 8] =
            std::array::from_fn(|k| unsafe { _mm_loadu_si128(block.as_ptr().add(8 * k).cast()) });
        let below = coefficients[1..].iter().fold(_mm_setzero_si128(), |all, row| _mm_or_si128(all, *row));
        let ac = _mm_or_si128(below, _mm_srli_si128::<2>(coefficients[0]));
        if _mm_testz_si128(ac, ac) == 1 {
            // both passes of a constant block: a shift each
            let flat = i32::from(block[0]) * i32::from(table[0]) * 4;
            let value = (((flat + 16) << 17) >> 22) + 128;
            let value = value.clamp(0, 255) as u8;
            for row in rows {
                // SAFETY: the caller's rows have 8 bytes there.
                unsafe { row.add(column).cast::<[u8; 8]>().write_unaligned([value; 8]) };
            }
            return true;
        }
        let dequantised: [__m256i; 8] = std::array::from_fn(|k| {
            // SAFETY: as above.
            let steps = unsafe { _mm_loadu_si128(table.as_ptr().add(8 * k).cast()) };
            _mm256_mullo_epi32(_mm256_cvtepi16_epi32(coefficients[k]), _mm256_cvtepu16_epi32(steps))
        });
        let size = dequantised
            .iter()
            .fold(_mm256_setzero_si256(), |all, row| _mm256_or_si256(all, _mm256_abs_epi32(*row)));
        if _mm256_testz_si256(size, _mm256_set1_epi32(!0x7fff)) == 0 {
            return false;
        }
        let half = _mm256_set1_epi32(1 << 10);
        let first = pass(dequantised, half).map(|v| _mm256_srai_epi32::<11>(v));
        let half = _mm256_set1_epi32(1 << 17);
        // the C code's table is indexed with ten bits, which wrap
        let out = pass(transposed(first), half).map(|v| _mm256_srai_epi32::<22>(_mm256_slli_epi32::<4>(v)));

        let centre = _mm256_set1_epi16(128);
        let pairs: [__m256i; 4] =
            std::array::from_fn(|k| _mm256_add_epi16(_mm256_packs_epi32(out[2 * k], out[2 * k + 1]), centre));
        // in each half: four bytes of column 0, of column 1, … ; to rows of four bytes
        let turn =
            _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
        let left = _mm256_shuffle_epi8(_mm256_packus_epi16(pairs[0], pairs[1]), turn);
        let right = _mm256_shuffle_epi8(_mm256_packus_epi16(pairs[2], pairs[3]), turn);
        let (even, odd) = (_mm256_unpacklo_epi32(left, right), _mm256_unpackhi_epi32(left, right));
        let parts = [
            (_mm256_castsi256_si128(even), 0),
            (_mm256_castsi256_si128(odd), 2),
            (_mm256_extracti128_si256::<1>(even), 4),
            (_mm256_extracti128_si256::<1>(odd), 6),
        ];
        for (two, row) in parts {
            // SAFETY: the caller's rows have 8 bytes there.
            unsafe {
                _mm_storel_epi64(rows[row].add(column).cast(), two);
                _mm_storel_epi64(rows[row + 1].add(column).cast(), _mm_srli_si128::<8>(two));
            }
        }
        true
    }

    /// One dimension, for eight lanes at once: the statements of `jpeg_idct_islow`, with `half` for the rounding added.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn pass(v: [__m256i; 8], half: __m256i) -> [__m256i; 8] {
        let add = |a, b| _mm256_add_epi32(a, b);
        let sub = |a, b| _mm256_sub_epi32(a, b);
        let mul = |a, c: i32| _mm256_mullo_epi32(a, _mm256_set1_epi32(c));
        let even = mul(add(v[2], v[6]), 4433); // 0.541196100
        let tmp2 = add(even, mul(v[6], -15137)); // 1.847759065
        let tmp3 = add(even, mul(v[2], 6270)); // 0.765366865
        let tmp0 = add(_mm256_slli_epi32::<13>(add(v[0], v[4])), half);
        let tmp1 = add(_mm256_slli_epi32::<13>(sub(v[0], v[4])), half);
        let (tmp10, tmp13) = (add(tmp0, tmp3), sub(tmp0, tmp3));
        let (tmp11, tmp12) = (add(tmp1, tmp2), sub(tmp1, tmp2));

        let z3 = add(v[7], v[3]);
        let z4 = add(v[5], v[1]);
        let z5 = mul(add(z3, z4), 9633); // 1.175875602
        let z1 = mul(add(v[7], v[1]), -7373); // 0.899976223
        let z2 = mul(add(v[5], v[3]), -20995); // 2.562915447
        let z3 = add(mul(z3, -16069), z5); // 1.961570560
        let z4 = add(mul(z4, -3196), z5); // 0.390180644
        let tmp0 = add(mul(v[7], 2446), add(z1, z3)); // 0.298631336
        let tmp1 = add(mul(v[5], 16819), add(z2, z4)); // 2.053119869
        let tmp2 = add(mul(v[3], 25172), add(z2, z3)); // 3.072711026
        let tmp3 = add(mul(v[1], 12299), add(z1, z4)); // 1.501321110
        [
            add(tmp10, tmp3),
            add(tmp11, tmp2),
            add(tmp12, tmp1),
            add(tmp13, tmp0),
            sub(tmp13, tmp0),
            sub(tmp12, tmp1),
            sub(tmp11, tmp2),
            sub(tmp10, tmp3),
        ]
    }

    /// Rows become columns.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn transposed(r: [__m256i; 8]) -> [__m256i; 8] {
        let (a0, a1) = (_mm256_unpacklo_epi32(r[0], r[1]), _mm256_unpackhi_epi32(r[0], r[1]));
        let (a2, a3) = (_mm256_unpacklo_epi32(r[2], r[3]), _mm256_unpackhi_epi32(r[2], r[3]));
        let (a4, a5) = (_mm256_unpacklo_epi32(r[4], r[5]), _mm256_unpackhi_epi32(r[4], r[5]));
        let (a6, a7) = (_mm256_unpacklo_epi32(r[6], r[7]), _mm256_unpackhi_epi32(r[6], r[7]));
        let (b0, b1) = (_mm256_unpacklo_epi64(a0, a2), _mm256_unpackhi_epi64(a0, a2));
        let (b2, b3) = (_mm256_unpacklo_epi64(a1, a3), _mm256_unpackhi_epi64(a1, a3));
        let (b4, b5) = (_mm256_unpacklo_epi64(a4, a6), _mm256_unpackhi_epi64(a4, a6));
        let (b6, b7) = (_mm256_unpacklo_epi64(a5, a7), _mm256_unpackhi_epi64(a5, a7));
        let low = |a, b| _mm256_permute2x128_si256::<0x20>(a, b);
        let high = |a, b| _mm256_permute2x128_si256::<0x31>(a, b);
        [
            low(b0, b4),
            low(b1, b5),
            low(b2, b6),
            low(b3, b7),
            high(b0, b4),
            high(b1, b5),
            high(b2, b6),
            high(b3, b7),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::jpeg::decode_with;
    use facebench_protocols::Stream;
    use image::codecs::jpeg::JpegEncoder;
    use image::{ExtendedColorType, ImageEncoder as _};

    /// How often a method was replaced.
    pub(super) static REPLACED: AtomicUsize = AtomicUsize::new(0);

    unsafe extern "C" {
        /// Whether libjpeg was built with an assembler.
        fn jsimd_can_idct_islow() -> libc::c_int;
    }

    /// Quantisation tables of a file, to be overwritten: the decoder then sees coefficients no encoder would write.
    fn tables(file: &mut [u8]) -> Vec<&mut [u8]> {
        let mut out = Vec::new();
        let mut rest = file;
        while let Some(at) = rest.windows(4).position(|w| w == [0xff, 0xdb, 0, 67]) {
            let (table, after) = rest.split_at_mut(at + 69);
            out.push(&mut table[at + 5..]);
            rest = after;
        }
        out
    }

    #[test]
    fn blocks_equal_those_of_the_c_code() {
        if cfg!(target_arch = "x86_64") && !std::is_x86_feature_detected!("avx2") {
            return;
        }
        let (mut files, mut clipped) = (0, 0usize);
        for (i, quality) in [1, 8, 30, 55, 75, 90, 96, 100].into_iter().enumerate() {
            for steps in [0, 1, 2, 9, 60, 255] {
                for channels in [1, 3] {
                    let mut stream =
                        Stream::new("idct", i as u64, &[&steps.to_string(), &channels.to_string()]);
                    let (width, height) = (40 + stream.below(60), 40 + stream.below(60));
                    let smooth = stream.below(2) == 0;
                    let pixels: Vec<u8> = (0..width * height * channels)
                        .map(|p| if smooth { (p / 7 % 256) as u8 } else { stream.below(256) as u8 })
                        .collect();
                    let kind = if channels == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
                    let mut file = Vec::new();
                    JpegEncoder::new_with_quality(&mut file, quality)
                        .write_image(&pixels, width as u32, height as u32, kind)
                        .unwrap();
                    let mut tables = tables(&mut file);
                    assert!(!tables.is_empty());
                    if steps > 0 {
                        for step in tables.iter_mut().flat_map(|t| t.iter_mut()) {
                            *step = 1 + stream.below(steps) as u8;
                        }
                    }
                    let (ours, theirs) =
                        (decode_with(&file, true).unwrap(), decode_with(&file, false).unwrap());
                    assert!(ours == theirs, "quality {quality}, steps up to {steps}, {channels} channels");
                    clipped += ours.2.iter().filter(|v| [0, 255].contains(*v)).count();
                    files += 1;
                }
            }
        }
        assert_eq!(files, 96);
        // SAFETY: a question without arguments.
        let assembler = unsafe { jsimd_can_idct_islow() } != 0;
        assert_eq!(REPLACED.load(Ordering::Relaxed) > 0, !assembler, "the code compared with C did not run");
        assert!(clipped > 10_000, "{clipped} values at the ends of the range");
    }
}
