//! f32 kernels for the CPU.
//!
//! Loops are written once, as plain Rust over slices, and compiled for each instruction set by
//! [`dispatch`]: the compiler vectorises them inside a function with the right target features.
//! Only the innermost matrix product and its transposes are intrinsics. The instruction set is
//! detected at run time, so a generic build loses nothing; `FACEBENCH_ISA=portable|avx2|avx512`
//! lowers it, for tests. Work is split into pieces whose size depends on the problem only, and no
//! sum crosses a piece except in a fixed order: results do not depend on the number of threads.
pub(crate) mod attention;
pub(crate) mod block;
pub(crate) mod epilogue;
mod few;
pub(crate) mod gemm;
pub(crate) mod kept;
pub(crate) mod math;
pub(crate) mod micro;
pub(crate) mod pack;
pub(crate) mod parallel;
pub(crate) mod pointwise;
pub(crate) mod rows;
pub(crate) mod scratch;
#[cfg(test)]
mod tests;

use std::sync::OnceLock;

/// An instruction set: its multiply-add and its innermost matrix product.
pub(crate) trait Isa: Copy + Send + Sync + 'static {
    /// Whether `a*b + c` is one instruction with one rounding.
    const FMA: bool;
    /// Rows of a tile of the matrix product.
    const MR: usize;
    /// Columns of a tile.
    const NR: usize;
    /// Depth of a block of the matrix product. Part of the result: it fixes the order of sums.
    const KC: usize;

    /// `dst (rows × NR, stride ldd) = [dst +] A·B`, `A` packed `[k][MR]`, `B` packed `[k][NR]`.
    /// Always writes whole rows of NR columns.
    ///
    /// # Safety
    /// The CPU has the instruction set; `rows` is in `1..=MR`; both panels hold `kc` packed steps;
    /// `dst` holds `rows` rows of NR columns at stride `ldd`. `ahead` may point anywhere.
    unsafe fn tile(rows: usize, kc: usize, panels: Panels, dst: *mut f32, ldd: usize, add: bool);

    /// Reads 8 rows of 8 at stride `from`, writes their transpose at stride `to`.
    ///
    /// # Safety
    /// The CPU has the instruction set and both 8 × 8 areas are valid.
    unsafe fn transpose8(src: *const f32, from: usize, dst: *mut f32, to: usize);
}

/// What a tile reads.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))] // `ahead`
#[derive(Clone, Copy)]
pub(crate) struct Panels {
    /// `[k][MR]`.
    a: *const f32,
    /// `[k][NR]`.
    b: *const f32,
    /// What is wanted soon.
    ahead: Ahead,
}

/// Memory that later tiles will read, brought to the second-level cache bit by bit; elsewhere than on x86-64 it is left to
/// the processor.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
#[derive(Clone, Copy)]
struct Ahead {
    at: *const f32,
    /// Bytes per step of depth.
    step: usize,
}

impl Ahead {
    /// Asks for what belongs to step `k`. A hint; it reads nothing, whatever the address.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn ask(self, k: usize) {
        let at = self.at.wrapping_byte_add(k * self.step);
        // SAFETY: part of SSE, which every x86-64 has; touches no memory.
        unsafe { std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(at.cast()) };
    }
}

/// A loop nest to be compiled for every instruction set. Implementations mark `run`
/// `#[inline(always)]`, so that it becomes part of the function with the target features.
pub(crate) trait Kernel {
    /// What it computes.
    type Output;
    /// The loop nest.
    ///
    /// # Safety
    /// The CPU has instruction set `I`; pointers held by `self` are valid as its constructor says.
    unsafe fn run<I: Isa>(self) -> Self::Output;
}

/// Instruction sets with code of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// No assumption beyond the compilation target (SSE2 on x86-64, NEON on aarch64).
    Portable,
    /// AVX2 with FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 F, BW, DQ and VL.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// The best instruction set of this machine, found once.
pub(crate) fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(|| {
        let best = *available().last().unwrap_or(&Level::Portable);
        let wanted = std::env::var("FACEBENCH_ISA").unwrap_or_default().to_lowercase();
        available().into_iter().find(|l| format!("{l:?}").to_lowercase() == wanted).unwrap_or(best)
    })
}

/// Every level this machine can run, lowest first.
pub(crate) fn available() -> Vec<Level> {
    #[cfg_attr(not(target_arch = "x86_64"), allow(unused_mut))]
    let mut levels = vec![Level::Portable];
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::is_x86_feature_detected as has;
        if has!("avx2") && has!("fma") {
            levels.push(Level::Avx2);
            if has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl") {
                levels.push(Level::Avx512);
            }
        }
    }
    levels
}

/// Runs `kernel` compiled for `level`.
///
/// # Safety
/// `level` comes from [`level`] or [`available`]; pointers in `kernel` are valid.
#[inline]
pub(crate) unsafe fn dispatch<K: Kernel>(level: Level, kernel: K) -> K::Output {
    // SAFETY: the caller vouches for the pointers, and `level` was detected on this machine.
    unsafe {
        match level {
            Level::Portable => kernel.run::<micro::Portable>(),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => with_avx2(kernel),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => with_avx512(kernel),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn with_avx2<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: this function requires the features; pointers are the caller's promise.
    unsafe { kernel.run::<micro::Avx2>() }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn with_avx512<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: this function requires the features; pointers are the caller's promise.
    unsafe { kernel.run::<micro::Avx512>() }
}
