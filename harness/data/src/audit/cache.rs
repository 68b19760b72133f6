//! Prints of many pictures, kept in a file named by the digest of their paths, sizes and times of change (of a shard:
//! by its own digest).
//!
//! A picture that changed gives another digest and is read again. The file is written beside and renamed, and one that is
//! not whole is made anew; so several processes may share a folder.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rayon::prelude::*;
use sha2::{Digest as _, Sha256};

use super::print::Print;
use crate::Error;
use crate::shard::Shard;

const MAGIC: &[u8; 8] = b"FBPRINT1";
/// Bytes of a print on disk: digest, two hashes, blank or not read.
const RECORD: usize = 16 + 8 + 8 + 1;
const BLANK: u8 = 1;
const UNREAD: u8 = 2;

/// The prints of pictures, in their order; `None` for one that cannot be read (scoring and training will say so).
/// `folder` is the cache, made when needed; without one every picture is read. `None` in all if `stop` was raised.
///
/// # Errors
/// The cache cannot be written.
pub fn prints(
    pictures: &[&Path],
    folder: Option<&Path>,
    stop: &AtomicBool,
    tick: &(dyn Fn(u64) + Sync),
) -> Result<Option<Vec<Option<Print>>>, Error> {
    kept(&digest(pictures), pictures.len(), folder, stop, tick, &|i| Print::of(pictures[i]).ok())
}

/// The prints of a shard's faces, as [`prints`]; kept by the shard's digest, wherever it lies.
///
/// # Errors
/// The cache cannot be written.
pub fn shard_prints(
    shard: &Shard,
    folder: Option<&Path>,
    stop: &AtomicBool,
    tick: &(dyn Fn(u64) + Sync),
) -> Result<Option<Vec<Option<Print>>>, Error> {
    kept(shard.digest(), shard.len(), folder, stop, tick, &|i| {
        let record = shard.read(i).ok()?;
        Print::of_bytes(&record.image, &shard.origin(i)).ok()
    })
}

/// Prints from the file named by `digest`, or made one by one and put there.
fn kept(
    digest: &str,
    count: usize,
    folder: Option<&Path>,
    stop: &AtomicBool,
    tick: &(dyn Fn(u64) + Sync),
    one: &(dyn Fn(usize) -> Option<Print> + Sync),
) -> Result<Option<Vec<Option<Print>>>, Error> {
    let file = folder.map(|f| f.join(format!("prints-{}.bin", &digest[..32])));
    if let Some(known) = file.as_deref().and_then(|f| read(f, count)) {
        return Ok(Some(known));
    }
    let done = AtomicU64::new(0);
    let made: Vec<Option<Print>> = (0..count)
        .into_par_iter()
        .map(|i| {
            let print = if stop.load(Ordering::Relaxed) { None } else { one(i) };
            tick(done.fetch_add(1, Ordering::Relaxed) + 1);
            print
        })
        .collect();
    if stop.load(Ordering::Relaxed) {
        return Ok(None);
    }
    if let Some(file) = file {
        write(&file, &made)?;
    }
    Ok(Some(made))
}

/// SHA-256 over paths, sizes and times of change, in hex.
fn digest(pictures: &[&Path]) -> String {
    let mut hash = Sha256::new();
    for path in pictures {
        let meta = std::fs::metadata(path).ok();
        let size = meta.as_ref().map_or(0, std::fs::Metadata::len);
        let changed =
            meta.and_then(|m| m.modified().ok()).and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
        let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        hash.update(format!("{} {size} {}\n", whole.display(), changed.map_or(0, |t| t.as_nanos())));
    }
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

fn read(file: &Path, count: usize) -> Option<Vec<Option<Print>>> {
    let bytes = std::fs::read(file).ok()?;
    let body = bytes.strip_prefix(MAGIC)?;
    if body.len() != count * RECORD {
        return None;
    }
    let print = |r: &[u8]| -> Option<Option<Print>> {
        let word = |at: usize| Some(u64::from_le_bytes(r.get(at..at + 8)?.try_into().ok()?));
        let (bytes, difference, frequency) = (r.get(..16)?.try_into().ok()?, word(16)?, word(24)?);
        let blank = r[32] == BLANK;
        Some((r[32] != UNREAD).then_some(Print { bytes, difference, frequency, blank }))
    };
    body.chunks_exact(RECORD).map(print).collect()
}

fn write(file: &Path, prints: &[Option<Print>]) -> Result<(), Error> {
    let mut bytes = MAGIC.to_vec();
    for print in prints {
        match print {
            Some(p) => {
                bytes.extend(p.bytes);
                bytes.extend(p.difference.to_le_bytes());
                bytes.extend(p.frequency.to_le_bytes());
                bytes.push(if p.blank { BLANK } else { 0 });
            }
            None => bytes.extend([[0; RECORD - 1].as_slice(), &[UNREAD]].concat()),
        }
    }
    let folder = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(Error::io("write", folder))?;
    let partial = PathBuf::from(format!("{}.partial-{}-{}", file.display(), std::process::id(), unique()));
    std::fs::write(&partial, &bytes).and_then(|()| std::fs::rename(&partial, file)).map_err(|e| {
        let _ = std::fs::remove_file(&partial); // half a cache must not stay
        Error::io("write", file)(e)
    })
}

/// A number for each call: several units of one process may write the same file.
fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
