//! What is kept of a picture: a digest of its bytes, and two 64-bit hashes of how it looks.
//!
//! The difference hash says for 8 × 8 places of the picture (9 × 8 grey values) whether it gets darker to the right; the DCT
//! hash whether each of the 64 lowest frequencies of 32 × 32 grey values is above their median (Zauner 2010). Saving a
//! picture again, in another size or format, moves a few bits; another face moves many. A picture is taken for a copy
//! only if both agree ([`Print::alike`]). A blank picture looks like every other blank one and is left out.

use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::image::{Filter, Rgb, decode_bytes, resize};
use crate::{Error, readers};

/// Most bits in which the difference hashes of two copies differ.
pub(super) const NEAR_D: u32 = 4;
/// Most bits in which the DCT hashes of two copies differ.
const NEAR_P: u32 = 6;
/// A range of grey values below this is a blank picture.
const BLANK: u8 = 12;
/// Side of the small picture, and lowest frequencies kept in each direction.
const SIDE: usize = 32;
const KEPT: usize = 8;

/// A picture's print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Print {
    /// First half of the SHA-256 of the file.
    pub bytes: [u8; 16],
    /// Difference hash.
    pub difference: u64,
    /// DCT hash.
    pub frequency: u64,
    /// Whether the picture is blank, so that its hashes mean nothing.
    pub blank: bool,
}

impl Print {
    /// Reads and hashes a picture.
    ///
    /// # Errors
    /// The file cannot be read or decoded.
    pub fn of(path: &Path) -> Result<Self, Error> {
        let bytes = match readers::lmdb::read(path)? {
            Some(bytes) => bytes,
            None => std::fs::read(path).map_err(Error::io("read", path))?,
        };
        Self::of_bytes(&bytes, path)
    }

    /// Hashes a picture that was read; `path` is for messages.
    ///
    /// # Errors
    /// It cannot be decoded.
    pub fn of_bytes(bytes: &[u8], path: &Path) -> Result<Self, Error> {
        let picture = decode_bytes(bytes, path)?;
        let mut half = [0; 16];
        half.copy_from_slice(&Sha256::digest(bytes)[..16]);
        Ok(Self { bytes: half, ..Self::of_picture(&picture) })
    }

    /// Hashes how a picture looks; `bytes` is zero.
    #[must_use]
    pub fn of_picture(picture: &Rgb) -> Self {
        let small = resize(picture, SIDE, SIDE, Filter::Bilinear);
        let grey = grey(&small);
        let (low, high) = grey.iter().fold((u8::MAX, 0), |(l, h), &g| (l.min(g), h.max(g)));
        let rows = self::grey(&resize(&small, 9, 8, Filter::Bilinear));
        let darker = rows.chunks_exact(9).flat_map(|row| row.windows(2).map(|p| p[0] > p[1]));
        let difference = darker.enumerate().fold(0, |hash, (i, bit)| hash | u64::from(bit) << i);
        Self { bytes: [0; 16], difference, frequency: frequency(&grey), blank: high - low < BLANK }
    }

    /// Whether two pictures are copies by their looks.
    #[must_use]
    pub fn alike(&self, other: &Self) -> bool {
        !self.blank
            && !other.blank
            && (self.difference ^ other.difference).count_ones() <= NEAR_D
            && (self.frequency ^ other.frequency).count_ones() <= NEAR_P
    }
}

/// ITU-R 601 luma, rounded.
fn grey(picture: &Rgb) -> Vec<u8> {
    let luma =
        |p: &[u8]| (299 * u32::from(p[0]) + 587 * u32::from(p[1]) + 114 * u32::from(p[2]) + 500) / 1000;
    picture.pixels.chunks_exact(3).map(|p| luma(p).min(255) as u8).collect()
}

/// The 8 × 8 lowest frequencies of a DCT-II against their median, the mean left out of it.
fn frequency(grey: &[u8]) -> u64 {
    let cos = |k: usize, n: usize| (std::f64::consts::PI / SIDE as f64 * (n as f64 + 0.5) * k as f64).cos();
    let table: Vec<f64> = (0..KEPT * SIDE).map(|i| cos(i / SIDE, i % SIDE)).collect();
    let mut rows = [0.0; KEPT * SIDE]; // (KEPT, SIDE): transformed along x
    for y in 0..SIDE {
        for k in 0..KEPT {
            let line = grey[y * SIDE..(y + 1) * SIDE].iter().zip(&table[k * SIDE..]);
            rows[k * SIDE + y] = line.map(|(g, c)| f64::from(*g) * c).sum();
        }
    }
    let mut out = [0.0; KEPT * KEPT];
    for (i, slot) in out.iter_mut().enumerate() {
        let (k, j) = (i % KEPT, i / KEPT);
        *slot = rows[k * SIDE..(k + 1) * SIDE].iter().zip(&table[j * SIDE..]).map(|(v, c)| v * c).sum();
    }
    let mut sorted = out[1..].to_vec();
    sorted.sort_by(f64::total_cmp);
    let median = sorted[sorted.len() / 2];
    out.iter().enumerate().fold(0, |hash, (i, v)| hash | u64::from(*v > median) << i)
}
