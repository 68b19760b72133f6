//! Packing folders into a shard.
//!
//! Every image is decoded and every map parsed before its bytes go in, by threads that work ahead, so what
//! would stop a training run stops the packing, with the file's name. The working file `OUT.part` holds whole
//! records in the order of the ids; a start that finds one checks it record by record, drops an unfinished last
//! record and goes on behind it. One process at a time holds its lock.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use super::read::{Entry, crc_of, digest, hex};
use super::{END, ENDING, ENTRY, HEAD, HEADER, Head, MAX_ID, TRAILER, crc32c, header, is_shard, runs};
use crate::image::decode_bytes;
use crate::readers::{PretrainItem, pretrain_folders};
use crate::{Error, loader, parsing};

/// Bytes between two syncs of the working file: what a power cut may cost.
const SYNC_EVERY: u64 = 256 << 20;

/// What was packed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Packed {
    /// The shard
    pub shard: PathBuf,
    /// Number of faces
    pub faces: usize,
    /// Those with a parsing map
    pub maps: usize,
    /// Faces that an earlier, interrupted call had packed
    pub resumed: usize,
    /// Size of the shard
    pub bytes: u64,
    /// Whether any face is synthetic
    pub synthetic: bool,
    /// SHA-256 over all ids and payload checksums
    pub digest: String,
}

/// Packs the faces of `roots` into `out`; `None` when `stop` was raised (call again to go on).
///
/// # Errors
/// As [`pretrain_folders`]; a broken image or map, with its file; [`Error::Request`] where `out` exists or is not
/// named like a shard; [`Error::Layout`] where the working file belongs to other faces.
pub fn pack(
    roots: &[PathBuf],
    out: &Path,
    workers: usize,
    stop: &AtomicBool,
    progress: &dyn Fn(u64, u64),
) -> Result<Option<Packed>, Error> {
    if !is_shard(out) {
        let what = format!("{}: the name of a shard ends in .{ENDING}", out.display());
        return Err(Error::Request { what, hint: "write it like `facebench data pack ROOT faces.fbshard`" });
    }
    if out.exists() {
        let what = format!("{} exists already", out.display());
        return Err(Error::Request { what, hint: "remove it, or choose another name" });
    }
    let set = pretrain_folders(roots)?;
    let (synthetic, items) = (set.synthetic, Arc::new(set.items));
    let mut name = out.as_os_str().to_owned();
    name.push(".part");
    let part = PathBuf::from(name);
    let mut file = open_part(&part)?;
    let mut entries = resume(&mut file, &part, &items, synthetic)?;
    let resumed = entries.len();

    let write = |e| Error::io("write", &part)(e);
    let mut at = file.stream_position().map_err(write)?;
    let mut buffered = BufWriter::with_capacity(1 << 20, &file);
    let mut unsynced = 0;
    let work = {
        let items = Arc::clone(&items);
        move |i: usize| record(&items[resumed + i])
    };
    let mut id_end = entries.last().map_or(0, |e| e.id_end);
    let mut records = loader::counted(items.len() - resumed, workers, 4 * workers.max(1), work);
    for (done, made) in records.by_ref().enumerate() {
        let (head, payload) = made?;
        id_end += u64::from(head.id);
        entries.push(entry(head, at, id_end));
        buffered.write_all(&head.bytes()).and_then(|()| buffered.write_all(&payload)).map_err(write)?;
        at += (HEAD + payload.len()) as u64;
        unsynced += payload.len() as u64;
        if unsynced > SYNC_EVERY {
            unsynced = 0;
            buffered.flush().and_then(|()| file.sync_data()).map_err(write)?;
        }
        progress((resumed + done + 1) as u64, items.len() as u64);
        if stop.load(Ordering::Relaxed) {
            buffered.flush().and_then(|()| file.sync_data()).map_err(write)?;
            return Ok(None);
        }
    }
    let digest = digest(items.iter().zip(&entries).map(|(i, e)| (i.id.as_str(), e.crc)));
    let tail = tail(at, &items, &entries, &digest);
    buffered
        .write_all(&tail)
        .and_then(|()| buffered.flush())
        .and_then(|()| file.sync_all())
        .map_err(write)?;
    std::fs::rename(&part, out).map_err(Error::io("write", out))?;
    Ok(Some(Packed {
        shard: out.to_owned(),
        faces: entries.len(),
        maps: entries.iter().filter(|e| e.width > 0).count(),
        resumed,
        bytes: at + tail.len() as u64,
        synthetic,
        digest: hex(&digest),
    }))
}

/// Opens the working file and takes its lock.
fn open_part(part: &Path) -> Result<File, Error> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(part);
    let file = file.map_err(Error::io("write", part))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            let what = format!("{}: another process packs into it", part.display());
            Err(Error::Request { what, hint: "wait for it, or choose another name" })
        }
        Err(std::fs::TryLockError::Error(e)) => Err(Error::io("lock", part)(e)),
    }
}

fn entry(head: Head, offset: u64, id_end: u64) -> Entry {
    let side = |n: u32| u16::try_from(n).expect("maps have at most 20,000 rows and columns");
    let (width, height) = (side(head.width), side(head.height));
    Entry { offset, id_end, image: head.image, map: head.map, width, height, crc: head.crc }
}

/// The bytes of one face.
fn record(item: &PretrainItem) -> Result<(Head, Vec<u8>), Error> {
    let image = std::fs::read(&item.image).map_err(Error::io("read", &item.image))?;
    decode_bytes(&image, &item.image)?;
    let map = item.parsing.as_deref().map(parsing::read_npy).transpose()?;
    let (width, height) = map.as_ref().map_or((0, 0), |m| (m.width, m.height));
    let map = map.map(|m| runs::encode(&m.labels)).unwrap_or_default();
    if item.id.len() > MAX_ID {
        let what =
            format!("the id of {} has {} bytes, the limit is {MAX_ID}", item.image.display(), item.id.len());
        return Err(Error::Request { what, hint: "shorten the names of the folders" });
    }
    let word = |n: usize, what: &str| {
        u32::try_from(n).map_err(|_| Error::Request {
            what: format!("{}: {what} of {n}", item.image.display()),
            hint: "this is not a face crop; remove it from the folder",
        })
    };
    let head = Head {
        id: word(item.id.len(), "id")?,
        image: word(image.len(), "file")?,
        map: word(map.len(), "map")?,
        width: word(width, "map width")?,
        height: word(height, "map height")?,
        crc: crc_of([item.id.as_bytes(), &image, &map]),
    };
    let mut payload = Vec::with_capacity(head.payload());
    payload.extend_from_slice(item.id.as_bytes());
    payload.extend_from_slice(&image);
    payload.extend_from_slice(&map);
    Ok((head, payload))
}

/// Checks what an earlier call left, cuts off what is not whole, and stands behind it.
fn resume(
    file: &mut File,
    part: &Path,
    items: &[PretrainItem],
    synthetic: bool,
) -> Result<Vec<Entry>, Error> {
    let io = |e| Error::io("read", part)(e);
    let other = |what: String| {
        let hint = format!("remove {} to pack from the start", part.display());
        Error::layout(part, what, hint)
    };
    let length = file.metadata().map_err(io)?.len();
    let mut entries: Vec<Entry> = Vec::new();
    let mut at = HEADER as u64;
    if length < HEADER as u64 {
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(&header(synthetic)))
            .map_err(io)?;
        return Ok(entries);
    }
    let mut reader = BufReader::with_capacity(1 << 20, &mut *file);
    let mut bytes = [0; HEADER];
    reader.read_exact(&mut bytes).map_err(io)?;
    if bytes != header(synthetic) {
        return Err(other("this working file is not of these faces".into()));
    }
    let mut payload = Vec::new();
    while entries.len() < items.len() {
        let mut bytes = [0; HEAD];
        if length - at < HEAD as u64 {
            break;
        }
        reader.read_exact(&mut bytes).map_err(io)?;
        let Some(head) = Head::parse(&bytes) else { break };
        if length - at < (HEAD + head.payload()) as u64 {
            break;
        }
        payload.resize(head.payload(), 0);
        reader.read_exact(&mut payload).map_err(io)?;
        if crc32c(&payload) != head.crc {
            break;
        }
        let item = &items[entries.len()];
        let same_size = std::fs::metadata(&item.image).is_ok_and(|m| m.len() == u64::from(head.image));
        if &payload[..head.id as usize] != item.id.as_bytes() || !same_size {
            let what = format!("record {} of this working file is not {}", entries.len(), item.id);
            return Err(other(what));
        }
        let id_end = entries.last().map_or(0, |e| e.id_end) + u64::from(head.id);
        entries.push(entry(head, at, id_end));
        at += (HEAD + head.payload()) as u64;
    }
    drop(reader);
    file.set_len(at).and_then(|()| file.seek(SeekFrom::Start(at))).map_err(io)?;
    Ok(entries)
}

/// Index, ids and trailer.
fn tail(at: u64, items: &[PretrainItem], entries: &[Entry], digest: &[u8; 32]) -> Vec<u8> {
    let ids: usize = items.iter().map(|i| i.id.len()).sum();
    let mut out = Vec::with_capacity(entries.len() * ENTRY + ids + TRAILER);
    entries.iter().for_each(|e| out.extend_from_slice(&e.bytes()));
    items.iter().for_each(|i| out.extend_from_slice(i.id.as_bytes()));
    let index = crc32c(&out);
    let mut trailer = [0; TRAILER];
    trailer[..8].copy_from_slice(&at.to_le_bytes());
    trailer[8..16].copy_from_slice(&(entries.len() as u64).to_le_bytes());
    trailer[16..24].copy_from_slice(&(ids as u64).to_le_bytes());
    trailer[24..28].copy_from_slice(&index.to_le_bytes());
    trailer[28..60].copy_from_slice(digest);
    let crc = crc32c(&trailer[..60]);
    trailer[60..64].copy_from_slice(&crc.to_le_bytes());
    trailer[TRAILER - 8..].copy_from_slice(END);
    out.extend_from_slice(&trailer);
    out
}
