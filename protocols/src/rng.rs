//! Counter-based randomness: one ChaCha8 stream per purpose, seed and name, never a shared generator.
//!
//! A stream's key is SHA-256 over `"facebench"`, the purpose, the seed and the parts, each string with its
//! length in front so that `("ab", "c")` and `("a", "bc")` differ. Whoever draws for sample 17 therefore gets the
//! same numbers whatever the order of work and the number of threads. The distributions are our own few lines,
//! because those of `rand` may change between versions.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use sha2::{Digest, Sha256};

/// A stream of random numbers. Cloning continues both from the same place.
#[derive(Clone, Debug)]
pub struct Stream {
    inner: ChaCha8Rng,
}

impl Stream {
    /// The stream of `purpose` (what is drawn, such as `"hold-out"`), `seed`, and `parts` (for whom).
    pub fn new(purpose: &str, seed: u64, parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        let mut text = |s: &str| {
            hash.update((s.len() as u64).to_le_bytes());
            hash.update(s.as_bytes());
        };
        text("facebench");
        text(purpose);
        parts.iter().for_each(|p| text(p));
        hash.update(seed.to_le_bytes());
        Self { inner: ChaCha8Rng::from_seed(hash.finalize().into()) }
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.inner.next_u64()
    }

    /// Uniform in [0, 1), with 53 bits.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in `0..n`, without bias (Lemire's multiplication with rejection).
    ///
    /// # Panics
    /// If `n` is zero: there is nothing to choose from.
    pub fn below(&mut self, n: usize) -> usize {
        assert!(n > 0, "below(0)");
        let n = n as u64;
        let reject_under = n.wrapping_neg() % n; // 2^64 mod n
        loop {
            let wide = u128::from(self.next_u64()) * u128::from(n);
            if wide as u64 >= reject_under {
                return (wide >> 64) as usize;
            }
        }
    }

    /// Standard normal (Box-Muller, cosine branch only, so that the position alone is the state).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt(); // 1 - u is in (0, 1]
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Shuffle in place (Fisher-Yates, from the back).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }

    /// Position in the stream, in 32-bit words; [`Stream::at`] goes back to it.
    pub fn state(&self) -> u128 {
        self.inner.get_word_pos()
    }

    /// The same stream, continued from word `position`.
    #[must_use]
    pub fn at(mut self, position: u128) -> Self {
        self.inner.set_word_pos(position);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::Stream;

    #[test]
    fn parts_are_separated_and_streams_repeat() {
        let first = |parts: &[&str]| Stream::new("test", 1, parts).next_u64();
        assert_eq!(first(&["ab", "c"]), first(&["ab", "c"]));
        assert_ne!(first(&["ab", "c"]), first(&["a", "bc"]));
        assert_ne!(first(&[]), Stream::new("test", 2, &[]).next_u64());
        assert_ne!(first(&[]), Stream::new("other", 1, &[]).next_u64());
    }

    #[test]
    fn a_position_is_the_whole_state() {
        let mut a = Stream::new("test", 3, &["x"]);
        let _ = (a.normal(), a.below(7), a.uniform());
        let mut b = Stream::new("test", 3, &["x"]).at(a.state());
        assert_eq!((a.normal().to_bits(), a.next_u64()), (b.normal().to_bits(), b.next_u64()));
    }

    #[test]
    fn moments_are_right() {
        let mut s = Stream::new("moments", 0, &[]);
        let n = 200_000;
        let (mut sum, mut square, mut counts) = (0.0, 0.0, [0usize; 3]);
        for _ in 0..n {
            let x = s.normal();
            sum += x;
            square += x * x;
            counts[s.below(3)] += 1;
        }
        assert!((sum / n as f64).abs() < 0.01, "{sum}");
        assert!((square / n as f64 - 1.0).abs() < 0.02, "{square}");
        assert!(counts.iter().all(|&c| (c as f64 / n as f64 - 1.0 / 3.0).abs() < 0.005), "{counts:?}");
        let mut items: Vec<u32> = (0..50).collect();
        s.shuffle(&mut items);
        assert_ne!(items, (0..50).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }
}
