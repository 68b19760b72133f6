//! Counter-based random streams: ChaCha8 keyed by (purpose, seed, name).
//!
//! A stream's key is SHA-256("facebench" ‖ purpose ‖ seed as u64 little endian ‖ parts…), the rule
//! shared by the whole harness, so what is drawn for one name does not depend on what was drawn
//! for another, on the order of work or on threads. Distributions are our own: those of other
//! crates may change between versions.
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use sha2::{Digest, Sha256};

/// A random stream. Clone it to draw the same numbers twice.
#[derive(Clone, Debug)]
pub struct Rng {
    chacha: ChaCha8Rng,
}

impl Rng {
    /// Stream for one purpose, seed and list of parts (for example the name of a parameter).
    pub fn new(purpose: &str, seed: u64, parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"facebench");
        hash.update(purpose.as_bytes());
        hash.update(seed.to_le_bytes());
        for part in parts {
            hash.update(part.as_bytes());
        }
        Self { chacha: ChaCha8Rng::from_seed(hash.finalize().into()) }
    }

    /// The same stream, set to a position counted in 32-bit words (see [`Rng::position`]).
    pub fn at(mut self, position: u128) -> Self {
        self.chacha.set_word_pos(position);
        self
    }

    /// Number of 32-bit words drawn so far; store it to resume with [`Rng::at`].
    pub fn position(&self) -> u128 {
        self.chacha.get_word_pos()
    }

    /// The key of the stream, as four little-endian words: what a device needs to draw the same numbers.
    pub(crate) fn key(&self) -> [u64; 4] {
        let seed = self.chacha.get_seed();
        std::array::from_fn(|i| {
            let mut word = [0; 8];
            word.copy_from_slice(&seed[8 * i..8 * (i + 1)]);
            u64::from_le_bytes(word)
        })
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.chacha.next_u64()
    }

    /// Uniform in [0, 1) with 53 random bits.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform integer in `0..n`, unbiased by rejection. `n` must not be 0.
    pub fn below(&mut self, n: usize) -> usize {
        let n = n as u64;
        let threshold = n.wrapping_neg() % n;
        loop {
            let wide = u128::from(self.next_u64()) * u128::from(n);
            if wide as u64 >= threshold {
                return (wide >> 64) as usize;
            }
        }
    }

    /// Standard normal by Box–Muller (the cosine half; the sine half is discarded so that each
    /// number costs exactly two uniforms).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (2.0 * std::f64::consts::PI * self.uniform()).cos()
    }

    /// Fisher–Yates shuffle in place.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = self.below(i + 1);
            items.swap(i, j);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_depend_on_purpose_seed_and_parts_only() {
        let draw = |purpose, seed, parts: &[&str]| Rng::new(purpose, seed, parts).next_u64();
        let base = draw("init", 1, &["a"]);
        assert_eq!(base, draw("init", 1, &["a"]));
        assert_ne!(base, draw("init", 2, &["a"]));
        assert_ne!(base, draw("drop", 1, &["a"]));
        assert_ne!(base, draw("init", 1, &["b"]));
    }

    #[test]
    fn a_stored_position_resumes_the_stream() {
        let mut whole = Rng::new("x", 0, &[]);
        for _ in 0..7 {
            whole.normal();
        }
        let mut resumed = Rng::new("x", 0, &[]).at(whole.position());
        assert_eq!(whole.next_u64(), resumed.next_u64());
    }

    #[test]
    fn moments_are_those_of_the_distribution() {
        let mut rng = Rng::new("x", 3, &[]);
        let n = 20_000;
        let (mut uniform, mut normal, mut square) = (0.0, 0.0, 0.0);
        let mut counts = [0usize; 3];
        for _ in 0..n {
            uniform += rng.uniform();
            let z = rng.normal();
            normal += z;
            square += z * z;
            counts[rng.below(3)] += 1;
        }
        let n = n as f64;
        assert!((uniform / n - 0.5).abs() < 0.01);
        assert!((normal / n).abs() < 0.03);
        assert!((square / n - 1.0).abs() < 0.04);
        assert!(counts.iter().all(|&c| (c as f64 / n - 1.0 / 3.0).abs() < 0.02));
    }

    #[test]
    fn shuffle_is_a_permutation() {
        let mut items: Vec<usize> = (0..100).collect();
        Rng::new("x", 0, &[]).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
