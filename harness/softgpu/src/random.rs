//! cuRAND: a generator for candle's device, whose numbers are not cuRAND's.
//!
//! Nothing that must be reproducible draws from it: our random numbers come from streams of their own.
use std::ffi::{c_int, c_void};

const OK: c_int = 0;

/// Weyl sequence with the finaliser of SplitMix64.
#[derive(Debug)]
struct Generator(u64);

impl Generator {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In (0, 1], as cuRAND draws.
    fn uniform(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    /// By Box and Muller.
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

#[expect(clippy::undocumented_unsafe_blocks, reason = "each is promised by the entry point's contract")]
mod entries {
    use super::*;

    /// Fills `count` numbers from `to` on.
    unsafe fn fill<T>(
        generator: *mut c_void,
        to: *mut T,
        count: usize,
        draw: impl Fn(&mut Generator) -> T,
    ) -> c_int {
        let generator = unsafe { &mut *generator.cast::<Generator>() };
        for i in 0..count {
            unsafe { to.add(i).write(draw(generator)) };
        }
        OK
    }

    crate::entry! {
        fn curandCreateGenerator(generator: *mut *mut c_void, _kind: c_int) {
            unsafe { generator.write(Box::into_raw(Box::new(Generator(0))).cast()) };
            OK
        }
        fn curandDestroyGenerator(generator: *mut c_void) {
            drop(unsafe { Box::from_raw(generator.cast::<Generator>()) });
            OK
        }
        fn curandSetStream(_generator: *mut c_void, _stream: *mut c_void) { OK }
        fn curandSetPseudoRandomGeneratorSeed(generator: *mut c_void, seed: u64) {
            unsafe { (*generator.cast::<Generator>()).0 = seed };
            OK
        }
        fn curandGenerateUniform(generator: *mut c_void, to: *mut f32, count: usize) {
            unsafe { fill(generator, to, count, |g| g.uniform() as f32) }
        }
        fn curandGenerateUniformDouble(generator: *mut c_void, to: *mut f64, count: usize) {
            unsafe { fill(generator, to, count, Generator::uniform) }
        }
        fn curandGenerateNormal(generator: *mut c_void, to: *mut f32, count: usize, mean: f32, deviation: f32) {
            unsafe { fill(generator, to, count, |g| mean + deviation * g.normal() as f32) }
        }
        fn curandGenerateNormalDouble(generator: *mut c_void, to: *mut f64, count: usize, mean: f64, deviation: f64) {
            unsafe { fill(generator, to, count, |g| mean + deviation * g.normal()) }
        }
    }
}
