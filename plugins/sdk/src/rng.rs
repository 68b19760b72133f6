//! [`Rng`]: ChaCha8 keyed by the two numbers the program gives, for masks and other choices made on slices.
//!
//! Counter-based and own distributions: the same key gives the same choices on every machine, whatever the number of
//! threads and whatever a library release changes.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};

/// Second half of every key, so that a plugin's stream never equals one of the program's.
const DOMAIN: &[u8; 16] = b"facebench-plugin";

/// A stream of choices.
#[derive(Clone, Debug)]
pub struct Rng(ChaCha8Rng);

impl Rng {
    /// The stream of a key.
    pub fn new(key: [u64; 2]) -> Self {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&key[0].to_le_bytes());
        seed[8..16].copy_from_slice(&key[1].to_le_bytes());
        seed[16..].copy_from_slice(DOMAIN);
        Self(ChaCha8Rng::from_seed(seed))
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform on [0, 1), 53 bits.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform on 0..n without bias (Lemire's method).
    ///
    /// # Panics
    /// If `n` is 0: there is nothing to choose.
    pub fn below(&mut self, n: usize) -> usize {
        assert!(n > 0, "a choice among 0");
        let n = n as u64;
        let mut product = u128::from(self.next_u64()) * u128::from(n);
        if (product as u64) < n {
            let threshold = n.wrapping_neg() % n;
            while (product as u64) < threshold {
                product = u128::from(self.next_u64()) * u128::from(n);
            }
        }
        (product >> 64) as usize
    }

    /// Moves a uniform choice of `k` elements to the front, in random order (the first `k` steps of Fisher–Yates).
    pub fn choose_front<T>(&mut self, items: &mut [T], k: usize) {
        for i in 0..k.min(items.len()) {
            let j = i + self.below(items.len() - i);
            items.swap(i, j);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_stream() {
        let draw = |key| {
            let mut r = Rng::new(key);
            [r.next_u64(), r.next_u64()]
        };
        assert_eq!(draw([1, 2]), draw([1, 2]));
        assert_ne!(draw([1, 2]), draw([2, 1]));
    }

    #[test]
    fn below_is_even() {
        let mut r = Rng::new([3, 4]);
        let mut counts = [0u32; 6];
        for _ in 0..60_000 {
            counts[r.below(6)] += 1;
        }
        // 5 standard deviations of a fair die: sqrt(60000 * 1/6 * 5/6) = 91
        assert!(counts.iter().all(|c| c.abs_diff(10_000) < 456), "{counts:?}");
    }

    #[test]
    fn the_front_is_a_choice_without_replacement() {
        let mut r = Rng::new([5, 6]);
        let mut items: Vec<usize> = (0..20).collect();
        r.choose_front(&mut items, 7);
        let mut sorted = items.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..20).collect::<Vec<_>>());
        assert_ne!(items[..7], [0, 1, 2, 3, 4, 5, 6]);
    }
}
