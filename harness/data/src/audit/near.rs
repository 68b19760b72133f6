//! All hashes within a few bits of another, without comparing each with each.
//!
//! Multi-index hashing (Norouzi et al. 2012): cut 64 bits into four bands of 16. Two hashes that differ in at most 7 bits
//! differ in at most one bit in some band, so looking up 4 × 17 band values finds every such pair. With n hashes a look-up
//! costs about 68 · n / 65,536 comparisons, against n.

const BANDS: u32 = 4;
const VALUES: usize = 1 << 16;

/// Hashes by the value of each band.
pub struct Near {
    hashes: Vec<u64>,
    /// For each band: where each value begins in `members`.
    starts: Vec<Vec<u32>>,
    members: Vec<Vec<u32>>,
}

impl Near {
    /// Largest distance that can be asked for.
    pub const MAX: u32 = 7;

    /// Sorts the hashes into bands.
    #[must_use]
    pub fn new(hashes: Vec<u64>) -> Self {
        let (mut starts, mut members) = (Vec::new(), Vec::new());
        for band in 0..BANDS {
            let mut start = vec![0u32; VALUES + 1];
            hashes.iter().for_each(|h| start[value(*h, band) + 1] += 1);
            (0..VALUES).for_each(|v| start[v + 1] += start[v]);
            let mut next = start.clone();
            let mut member = vec![0u32; hashes.len()];
            for (i, hash) in hashes.iter().enumerate() {
                let slot = &mut next[value(*hash, band)];
                member[*slot as usize] = i as u32;
                *slot += 1;
            }
            starts.push(start);
            members.push(member);
        }
        Self { hashes, starts, members }
    }

    /// Calls `found` with the index of every hash within `distance` (at most [`Near::MAX`]) until it says stop; an index
    /// may come more than once.
    pub fn within(&self, hash: u64, distance: u32, mut found: impl FnMut(usize) -> bool) {
        assert!(distance <= Self::MAX, "bands find up to {} bits", Self::MAX);
        let flips = if distance < BANDS { 0 } else { 16 };
        for band in 0..BANDS {
            let own = value(hash, band);
            for flip in 0..=flips {
                let wanted = if flip == 0 { own } else { own ^ (1 << (flip - 1)) };
                let of = &self.starts[band as usize];
                let range = of[wanted] as usize..of[wanted + 1] as usize;
                for &i in &self.members[band as usize][range] {
                    let near = (self.hashes[i as usize] ^ hash).count_ones() <= distance;
                    if near && found(i as usize) {
                        return;
                    }
                }
            }
        }
    }
}

fn value(hash: u64, band: u32) -> usize {
    (hash >> (16 * band)) as usize & (VALUES - 1)
}
