//! The innermost matrix product and an 8 × 8 transpose for each instruction set.
//!
//! A tile keeps its sums in registers: 14 × 32 with AVX-512 (28 of 32 registers), 6 × 16 with AVX2
//! (12 of 16), 4 × 8 where the compiler chooses the instructions (SSE2, NEON). Tiles with fewer
//! rows have their own code, so the last rows of a matrix cost what they are worth.
use super::{Isa, Panels};
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// Plain Rust, vectorised by the compiler as well as the target allows.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Isa for Portable {
    const FMA: bool = cfg!(target_arch = "aarch64");
    const MR: usize = 4;
    const NR: usize = 8;
    const KC: usize = 256;

    #[inline(always)]
    unsafe fn tile(rows: usize, kc: usize, panels: Panels, dst: *mut f32, ldd: usize, add: bool) {
        let Panels { a, b, ahead: _ } = panels;
        let mut acc = [[0.0f32; 8]; 4];
        for k in 0..kc {
            // SAFETY: step k of the packed operands, see `Isa::tile`.
            let (a, b) = unsafe { (&*a.add(k * 4).cast::<[f32; 4]>(), &*b.add(k * 8).cast::<[f32; 8]>()) };
            for (row, &a) in acc.iter_mut().zip(a) {
                for (c, &b) in row.iter_mut().zip(b) {
                    *c = if Self::FMA { a.mul_add(b, *c) } else { a * b + *c };
                }
            }
        }
        for (r, row) in acc.iter().enumerate().take(rows) {
            // SAFETY: row r of dst, see `Isa::tile`.
            let out = unsafe { &mut *dst.add(r * ldd).cast::<[f32; 8]>() };
            for (o, &v) in out.iter_mut().zip(row) {
                *o = if add { *o + v } else { v };
            }
        }
    }

    #[inline(always)]
    unsafe fn transpose8(src: *const f32, from: usize, dst: *mut f32, to: usize) {
        for i in 0..8 {
            for j in 0..8 {
                // SAFETY: both areas are 8 x 8, see `Isa::transpose8`.
                unsafe { *dst.add(j * to + i) = *src.add(i * from + j) };
            }
        }
    }
}

/// AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) struct Avx2;

#[cfg(target_arch = "x86_64")]
impl Isa for Avx2 {
    const FMA: bool = true;
    const MR: usize = 6;
    const NR: usize = 16;
    const KC: usize = 384;

    #[inline(always)]
    unsafe fn tile(rows: usize, kc: usize, panels: Panels, dst: *mut f32, ldd: usize, add: bool) {
        // SAFETY: forwarded unchanged.
        unsafe {
            match rows {
                6 => tile_avx2::<6>(kc, panels, dst, ldd, add),
                5 => tile_avx2::<5>(kc, panels, dst, ldd, add),
                4 => tile_avx2::<4>(kc, panels, dst, ldd, add),
                3 => tile_avx2::<3>(kc, panels, dst, ldd, add),
                2 => tile_avx2::<2>(kc, panels, dst, ldd, add),
                _ => tile_avx2::<1>(kc, panels, dst, ldd, add),
            }
        }
    }

    #[inline(always)]
    unsafe fn transpose8(src: *const f32, from: usize, dst: *mut f32, to: usize) {
        // SAFETY: AVX is part of AVX2; areas as in `Isa::transpose8`.
        unsafe { transpose8_avx(src, from, dst, to) }
    }
}

/// AVX-512 F, BW, DQ, VL.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) struct Avx512;

#[cfg(target_arch = "x86_64")]
impl Isa for Avx512 {
    const FMA: bool = true;
    const MR: usize = 14;
    const NR: usize = 32;
    const KC: usize = 200;

    #[inline(always)]
    unsafe fn tile(rows: usize, kc: usize, panels: Panels, dst: *mut f32, ldd: usize, add: bool) {
        macro_rules! by_rows {
            ($($r:literal)*) => {
                match rows {
                    // SAFETY: forwarded unchanged.
                    $($r => unsafe { tile_avx512::<$r>(kc, panels, dst, ldd, add) },)*
                    // SAFETY: forwarded unchanged.
                    _ => unsafe { tile_avx512::<14>(kc, panels, dst, ldd, add) },
                }
            };
        }
        by_rows!(1 2 3 4 5 6 7 8 9 10 11 12 13);
    }

    #[inline(always)]
    unsafe fn transpose8(src: *const f32, from: usize, dst: *mut f32, to: usize) {
        // SAFETY: AVX is part of AVX-512; areas as in `Isa::transpose8`.
        unsafe { transpose8_avx(src, from, dst, to) }
    }
}

/// Steps before the end of a tile at which the rows of C are asked for, one row per step. All at once at the beginning, they
/// would stop the loads of the product (9 % slower), and be gone again at the end.
#[cfg(target_arch = "x86_64")]
const LATE: usize = 80;

/// The steps of a tile with R rows: `$step` for every `$k`, and `$touch` for every `$row`, one row per step, late enough to
/// be of use. A macro, because sums captured by a closure would leave their registers.
#[cfg(target_arch = "x86_64")]
macro_rules! steps {
    ($rows:expr, $kc:expr, |$row:ident| $touch:expr, |$k:ident| $step:expr) => {
        let late = $kc.saturating_sub(LATE);
        let rest = $kc.min(late + $rows);
        for $k in 0..late {
            $step
        }
        for $k in late..rest {
            let $row = $k - late;
            $touch;
            $step
        }
        for $k in rest..$kc {
            $step
        }
    };
}

/// Asks for a cache line that will be written.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn ask_to_write(at: *const f32) {
    // SAFETY: a hint; it reads and writes nothing, whatever the address. Processors without it do nothing.
    unsafe { std::arch::asm!("prefetchw byte ptr [{}]", in(reg) at, options(nostack, preserves_flags)) };
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn tile_avx2<const R: usize>(kc: usize, panels: Panels, dst: *mut f32, ldd: usize, add: bool) {
    let Panels { a, b, ahead } = panels;
    // SAFETY: `kc` packed steps of 6 and 16 values, and R rows of 16 in dst, see `Isa::tile`.
    // Prefetches past the end touch nothing.
    unsafe {
        let mut acc = [[_mm256_setzero_ps(); 2]; R];
        steps!(R, kc, |row| ask_to_write(dst.add(row * ldd)), |k| {
            ahead.ask(k);
            let (a, b) = (a.add(k * 6), b.add(k * 16));
            _mm_prefetch::<_MM_HINT_T0>(b.wrapping_add(16 * 16).cast());
            let (b0, b1) = (_mm256_loadu_ps(b), _mm256_loadu_ps(b.add(8)));
            for (r, acc) in acc.iter_mut().enumerate() {
                let a = _mm256_broadcast_ss(&*a.add(r));
                acc[0] = _mm256_fmadd_ps(a, b0, acc[0]);
                acc[1] = _mm256_fmadd_ps(a, b1, acc[1]);
            }
        });
        for (r, acc) in acc.iter().enumerate() {
            for (half, &v) in acc.iter().enumerate() {
                let out = dst.add(r * ldd + 8 * half);
                _mm256_storeu_ps(out, if add { _mm256_add_ps(v, _mm256_loadu_ps(out)) } else { v });
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn tile_avx512<const R: usize>(kc: usize, panels: Panels, dst: *mut f32, ldd: usize, add: bool) {
    let Panels { a, b, ahead } = panels;
    // SAFETY: `kc` packed steps of 14 and 32 values, and R rows of 32 in dst, see `Isa::tile`.
    // Prefetches past the end touch nothing.
    unsafe {
        let mut acc = [[_mm512_setzero_ps(); 2]; R];
        let touch = |row: usize| {
            ask_to_write(dst.add(row * ldd));
            ask_to_write(dst.add(row * ldd + 16));
        };
        steps!(R, kc, |row| touch(row), |k| {
            ahead.ask(k);
            let (a, b) = (a.add(k * 14), b.add(k * 32));
            // both panels come from the second-level cache: together with C they are too large for the first
            _mm_prefetch::<_MM_HINT_T0>(b.wrapping_add(32 * 16).cast());
            _mm_prefetch::<_MM_HINT_T0>(b.wrapping_add(32 * 16 + 16).cast());
            _mm_prefetch::<_MM_HINT_T0>(a.wrapping_add(14 * 32).cast());
            let (b0, b1) = (_mm512_loadu_ps(b), _mm512_loadu_ps(b.add(16)));
            for (r, acc) in acc.iter_mut().enumerate() {
                let a = _mm512_set1_ps(*a.add(r));
                acc[0] = _mm512_fmadd_ps(a, b0, acc[0]);
                acc[1] = _mm512_fmadd_ps(a, b1, acc[1]);
            }
        });
        for (r, acc) in acc.iter().enumerate() {
            for (half, &v) in acc.iter().enumerate() {
                let out = dst.add(r * ldd + 16 * half);
                _mm512_storeu_ps(out, if add { _mm512_add_ps(v, _mm512_loadu_ps(out)) } else { v });
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx")]
unsafe fn transpose8_avx(src: *const f32, from: usize, dst: *mut f32, to: usize) {
    // SAFETY: both areas are 8 x 8 at their strides, see `Isa::transpose8`.
    unsafe {
        let r: [__m256; 8] = std::array::from_fn(|i| _mm256_loadu_ps(src.add(i * from)));
        let mut t = r;
        for i in 0..4 {
            t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
            t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
        }
        let mut s = t;
        for i in 0..2 {
            s[4 * i] = _mm256_shuffle_ps::<0x44>(t[4 * i], t[4 * i + 2]);
            s[4 * i + 1] = _mm256_shuffle_ps::<0xEE>(t[4 * i], t[4 * i + 2]);
            s[4 * i + 2] = _mm256_shuffle_ps::<0x44>(t[4 * i + 1], t[4 * i + 3]);
            s[4 * i + 3] = _mm256_shuffle_ps::<0xEE>(t[4 * i + 1], t[4 * i + 3]);
        }
        for i in 0..4 {
            _mm256_storeu_ps(dst.add(i * to), _mm256_permute2f128_ps::<0x20>(s[i], s[i + 4]));
            _mm256_storeu_ps(dst.add((i + 4) * to), _mm256_permute2f128_ps::<0x31>(s[i], s[i + 4]));
        }
    }
}
