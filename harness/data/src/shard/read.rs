//! Reading a shard: the index into memory, each face with one positioned read.
//!
//! Nothing is believed before its checksum was compared; every error names the file and the record. Threads
//! share one open file (`pread` moves no cursor).

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;
use sha2::{Digest as _, Sha256};

use super::{
    END, ENDING, ENTRY, HEAD, HEADER, Head, MAGIC, MAX_IMAGE, TRAILER, VERSION, crc32c, crc32c_more, header,
    runs, u32_at, u64_at,
};
use crate::Error;
use crate::image::decode_bytes;
use crate::parsing::ParsingMap;

const COPY: &str = "copy the shard again, or pack it anew with `facebench data pack`";

/// Whether a path is named like a shard.
#[must_use]
pub fn is_shard(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case(ENDING))
}

/// An open shard.
#[derive(Debug)]
pub struct Shard {
    path: PathBuf,
    file: File,
    entries: Vec<Entry>,
    ids: String,
    synthetic: bool,
    digest: String,
}

/// One face as it lies in a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The image file, byte for byte
    pub image: Vec<u8>,
    /// Its parsing map
    pub map: Option<ParsingMap>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) offset: u64,
    pub(super) id_end: u64,
    pub(super) image: u32,
    pub(super) map: u32,
    pub(super) width: u16,
    pub(super) height: u16,
    pub(super) crc: u32,
}

impl Entry {
    pub(super) fn bytes(self) -> [u8; ENTRY] {
        let mut out = [0; ENTRY];
        out[..8].copy_from_slice(&self.offset.to_le_bytes());
        out[8..16].copy_from_slice(&self.id_end.to_le_bytes());
        out[16..20].copy_from_slice(&self.image.to_le_bytes());
        out[20..24].copy_from_slice(&self.map.to_le_bytes());
        out[24..26].copy_from_slice(&self.width.to_le_bytes());
        out[26..28].copy_from_slice(&self.height.to_le_bytes());
        out[28..].copy_from_slice(&self.crc.to_le_bytes());
        out
    }

    fn parse(b: &[u8]) -> Self {
        let sides = u32_at(b, 24);
        Self {
            offset: u64_at(b, 0),
            id_end: u64_at(b, 8),
            image: u32_at(b, 16),
            map: u32_at(b, 20),
            width: (sides & 0xFFFF) as u16,
            height: (sides >> 16) as u16,
            crc: u32_at(b, 28),
        }
    }
}

/// What stands for the contents of a shard: ids and payload checksums, in order.
pub(super) fn digest<'a>(records: impl Iterator<Item = (&'a str, u32)>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for (id, crc) in records {
        hash.update((id.len() as u64).to_le_bytes());
        hash.update(id.as_bytes());
        hash.update(crc.to_le_bytes());
    }
    hash.finalize().into()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

impl Shard {
    /// Opens a finished shard and reads its index.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read; [`Error::Shard`] where it is no shard, a newer one, unfinished,
    /// truncated or damaged.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let io = |e| Error::io("read", path)(e);
        let bad = |what: String, hint| Error::Shard { path: path.to_owned(), record: None, what, hint };
        let file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let mut head = [0; HEADER];
        if length < (HEADER + TRAILER) as u64 || file.read_exact_at(&mut head, 0).is_err() {
            return Err(bad(format!("{length} bytes are too few for a shard"), COPY));
        }
        if &head[..8] != MAGIC {
            return Err(bad("not a shard".into(), "make one with `facebench data pack ROOT OUT.fbshard`"));
        }
        if u32_at(&head, 8) != VERSION {
            let what = format!("shard version {}, this program reads {VERSION}", u32_at(&head, 8));
            return Err(bad(what, "use a newer facebench, or pack the set again"));
        }
        let synthetic = u32_at(&head, 12) & 1 == 1;
        if head != header(synthetic) {
            return Err(bad("the header is damaged (checksum)".into(), COPY));
        }
        let mut trailer = [0; TRAILER];
        file.read_exact_at(&mut trailer, length - TRAILER as u64).map_err(io)?;
        if &trailer[TRAILER - 8..] != END || u32_at(&trailer, 60) != crc32c(&trailer[..60]) {
            return Err(bad("truncated or unfinished: it does not end in a trailer".into(), COPY));
        }
        let (at, count, ids) = (u64_at(&trailer, 0), u64_at(&trailer, 8), u64_at(&trailer, 16));
        let index = count.checked_mul(ENTRY as u64).and_then(|n| n.checked_add(ids));
        if index.and_then(|n| n.checked_add(at)) != Some(length - TRAILER as u64) {
            return Err(bad(format!("truncated: {count} records do not fit in {length} bytes"), COPY));
        }
        // fits: the sum is the file's length
        let mut bytes = vec![0; index.unwrap_or(0) as usize];
        file.read_exact_at(&mut bytes, at).map_err(io)?;
        if crc32c(&bytes) != u32_at(&trailer, 24) {
            return Err(bad("the index is damaged (checksum)".into(), COPY));
        }
        let ids = bytes.split_off(count as usize * ENTRY);
        let entries: Vec<Entry> = bytes.chunks_exact(ENTRY).map(Entry::parse).collect();
        let ids = String::from_utf8(ids).map_err(|_| bad("the index is damaged (ids)".into(), COPY))?;
        let mut before = 0;
        for e in &entries {
            if e.id_end < before || !ids.is_char_boundary(e.id_end as usize) || e.image as usize > MAX_IMAGE {
                return Err(bad("the index is damaged (entries)".into(), COPY));
            }
            before = e.id_end;
        }
        Ok(Self { path: path.to_owned(), file, entries, ids, synthetic, digest: hex(&trailer[28..60]) })
    }

    /// Its file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Number of faces.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether it was packed from synthetic faces.
    #[must_use]
    pub fn synthetic(&self) -> bool {
        self.synthetic
    }

    /// SHA-256 over all ids and payload checksums, hexadecimal.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// `<set>/<name>` of face `i`. Panics beyond the last.
    #[must_use]
    pub fn id(&self, i: usize) -> &str {
        let start = if i == 0 { 0 } else { self.entries[i - 1].id_end as usize };
        &self.ids[start..self.entries[i].id_end as usize]
    }

    /// How messages name face `i`: `faces.fbshard[12 set/name]`. Panics beyond the last.
    #[must_use]
    pub fn origin(&self, i: usize) -> PathBuf {
        PathBuf::from(format!("{}[{i} {}]", self.path.display(), self.id(i)))
    }

    /// Whether face `i` has a parsing map. Panics beyond the last.
    #[must_use]
    pub fn has_map(&self, i: usize) -> bool {
        self.entries[i].width > 0
    }

    /// CRC-32C of the payload of face `i`. Panics beyond the last.
    #[must_use]
    pub fn crc(&self, i: usize) -> u32 {
        self.entries[i].crc
    }

    /// An error about face `i`.
    pub(super) fn fault(&self, i: usize, what: String) -> Error {
        let record = Some((i, self.id(i).to_owned()));
        Error::Shard { path: self.path.clone(), record, what, hint: COPY }
    }

    /// Reads face `i`. Panics beyond the last.
    ///
    /// # Errors
    /// [`Error::Shard`] with file and record where bytes are missing or a checksum differs.
    pub fn read(&self, i: usize) -> Result<Record, Error> {
        let e = self.entries[i];
        let id = self.id(i).len();
        let mut bytes = vec![0; HEAD + id + e.image as usize + e.map as usize];
        self.file.read_exact_at(&mut bytes, e.offset).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => self.fault(i, "truncated: the file ends within it".into()),
            _ => Error::io("read", &self.path)(error),
        })?;
        let head = Head {
            id: id as u32,
            image: e.image,
            map: e.map,
            width: u32::from(e.width),
            height: u32::from(e.height),
            crc: e.crc,
        };
        if bytes[..HEAD] != head.bytes() {
            return Err(self.fault(i, "damaged: its head differs from the index".into()));
        }
        let got = crc32c(&bytes[HEAD..]);
        if got != e.crc {
            return Err(self.fault(i, format!("damaged: checksum {got:08x}, expected {:08x}", e.crc)));
        }
        if &bytes[HEAD..HEAD + id] != self.id(i).as_bytes() {
            return Err(self.fault(i, "damaged: its id differs from the index".into()));
        }
        let map = match self.has_map(i) {
            true => {
                let runs = &bytes[HEAD + id + e.image as usize..];
                let (width, height) = (usize::from(e.width), usize::from(e.height));
                Some(runs::decode(runs, width, height).map_err(|what| self.fault(i, what))?)
            }
            false => None,
        };
        bytes.truncate(HEAD + id + e.image as usize);
        bytes.drain(..HEAD + id);
        Ok(Record { image: bytes, map })
    }
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Number of faces
    pub faces: usize,
    /// Those with a parsing map
    pub maps: usize,
    /// Whether it was packed from synthetic faces
    pub synthetic: bool,
    /// SHA-256 over all ids and payload checksums
    pub digest: String,
    /// What is wrong, one text per faulty record
    pub faults: Vec<String>,
}

/// Reads every record, decodes every image and map, and compares the digest.
///
/// # Errors
/// As [`Shard::open`]; faults of single records are listed instead.
pub fn check(path: &Path, progress: &(dyn Fn(u64, u64) + Sync)) -> Result<Checked, Error> {
    let shard = Shard::open(path)?;
    let done = AtomicU64::new(0);
    let total = shard.len() as u64;
    let faults: Vec<String> = (0..shard.len())
        .into_par_iter()
        .filter_map(|i| {
            let decoded = shard.read(i).and_then(|r| decode_bytes(&r.image, &shard.origin(i)));
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
            decoded.err().map(|e| e.to_string())
        })
        .collect();
    let mut checked = Checked {
        faces: shard.len(),
        maps: (0..shard.len()).filter(|&i| shard.has_map(i)).count(),
        synthetic: shard.synthetic(),
        digest: shard.digest().to_owned(),
        faults,
    };
    let digest = hex(&digest((0..shard.len()).map(|i| (shard.id(i), shard.crc(i)))));
    if digest != checked.digest {
        let what = format!("{}: the digest is {digest}, expected {}", path.display(), checked.digest);
        checked.faults.push(what);
    }
    Ok(checked)
}

/// Checksum over several parts, as if they followed each other.
pub(super) fn crc_of(parts: [&[u8]; 3]) -> u32 {
    parts.iter().fold(0, |crc, part| crc32c_more(crc, part))
}
