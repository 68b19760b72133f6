//! Packed shards: a whole pre-training set in one file.
//!
//! A folder of three million faces is six million files; copying, listing and opening them costs more than
//! reading them. A shard holds the same bytes (image files as they are, parsing maps as lossless runs) one record
//! after the other, an index, and a checksum of everything, so it can be copied with one command and read with
//! one `pread` a face. Sample ids are the folder's, so training gives the same bits from either.
//!
//! ```text
//! header   64 bytes   "FBSHARD1", version, flags (1 = synthetic), CRC
//! record   32 bytes   tag, lengths of id, image and map, map size, CRC of the payload, CRC of these bytes
//!          payload    id, image file, map as runs            ... repeated
//! index    32 bytes   offset, end of the id, lengths, map size, CRC of the payload    ... one per record
//!          ids        one after the other
//! trailer  72 bytes   where the index is, counts, its CRC, SHA-256 of (ids, CRCs), CRC, "FBSHARDE"
//! ```
//!
//! Numbers are little endian, checksums CRC-32C. Packing writes `OUT.part`, which holds whole records in order
//! and can be continued after an interruption, and renames it when the trailer is on the disk.

mod crc;
mod pack;
mod read;
mod runs;
mod source;
#[cfg(test)]
mod tests;

pub use crc::{crc32c, crc32c_more};
pub use pack::{Packed, pack};
pub use read::{Checked, Record, Shard, check, is_shard};
pub use source::FaceSource;

/// Ending of a shard's name.
pub const ENDING: &str = "fbshard";

const MAGIC: &[u8; 8] = b"FBSHARD1";
const END: &[u8; 8] = b"FBSHARDE";
const VERSION: u32 = 1;
const HEADER: usize = 64;
const HEAD: usize = 32;
const TAG: u32 = 0x4352_4246; // "FBRC"
const ENTRY: usize = 32;
const TRAILER: usize = 72;
/// Largest image file, in bytes; as for images in folders.
const MAX_IMAGE: usize = 512 << 20;
/// Longest id, in bytes: a path.
const MAX_ID: usize = 4096;

/// The head of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    id: u32,
    image: u32,
    map: u32,
    width: u32,
    height: u32,
    crc: u32,
}

impl Head {
    fn bytes(self) -> [u8; HEAD] {
        let mut out = [0; HEAD];
        let words = [TAG, self.id, self.image, self.map, self.width, self.height, self.crc];
        for (to, word) in out.chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        let crc = crc32c(&out[..28]);
        out[28..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// `None` where these bytes are no record's head.
    fn parse(bytes: &[u8; HEAD]) -> Option<Self> {
        let word = |i: usize| u32_at(bytes, 4 * i);
        let head =
            Self { id: word(1), image: word(2), map: word(3), width: word(4), height: word(5), crc: word(6) };
        let fits = head.id as usize <= MAX_ID && head.image as usize <= MAX_IMAGE;
        (word(0) == TAG && word(7) == crc32c(&bytes[..28]) && fits).then_some(head)
    }

    fn payload(self) -> usize {
        self.id as usize + self.image as usize + self.map as usize
    }
}

fn header(synthetic: bool) -> [u8; HEADER] {
    let mut out = [0; HEADER];
    out[..8].copy_from_slice(MAGIC);
    out[8..12].copy_from_slice(&VERSION.to_le_bytes());
    out[12..16].copy_from_slice(&u32::from(synthetic).to_le_bytes());
    let crc = crc32c(&out[..60]);
    out[60..].copy_from_slice(&crc.to_le_bytes());
    out
}

/// The four bytes at `at`; the caller has checked the length.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
