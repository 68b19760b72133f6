//! Pictures inside an LMDB file (`data.mdb`), as DeepfakeBench packs them: key = path with backslashes, value = the
//! encoded picture. Reading only, a page at a time, without mapping the file.
//!
//! A picture's path is `<folder>/data.mdb/<key with slashes>`; [`read`] takes such a path apart. The format (LMDB 0.9,
//! 64-bit, little-endian; Howard Chu, OpenLDAP): two meta pages, the newer of which names the root of a B+ tree; pages
//! have a 16-byte head and sorted node offsets; a leaf's value is in place or in a run of overflow pages. Writers may
//! not be active: the file is opened without a lock. What is not of this kind (other endianness, named sub-databases,
//! sorted duplicates) is an error that says how to export the pictures.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::Error;

/// Name of the file in an LMDB folder.
pub(crate) const FILE: &str = "data.mdb";

const MAGIC: u32 = 0xBEEF_C0DE;
const VERSION: u32 = 1;
const HEAD: usize = 16;
const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;
const OVERFLOW: u16 = 0x04;
const META: u16 = 0x08;
/// The value is on overflow pages.
const BIG: u16 = 0x01;
/// No page: the tree is empty.
const NONE: u64 = u64::MAX;
/// Deeper than any tree that fits a disk: a loop in a damaged file.
const MAX_DEPTH: usize = 32;
/// Largest value read; pictures are far below.
const MAX_VALUE: usize = 512 << 20;

const EXPORT: &str = "export the pictures to files where the database was made, e.g. with Python: for k, v in \
                      lmdb.open(DIR, readonly=True).begin().cursor(): write v to the path k with / for \\";

/// An open database.
struct Lmdb {
    path: PathBuf,
    file: File,
    page: usize,
    pages: u64,
    root: u64,
}

/// Splits a path at its `data.mdb` file.
pub(crate) fn split(path: &Path) -> Option<(PathBuf, String)> {
    let mut file = PathBuf::new();
    let mut parts = path.components();
    for part in parts.by_ref() {
        file.push(part);
        if part.as_os_str() == FILE {
            let key: Vec<&str> = parts
                .map(|c| if let Component::Normal(c) = c { c.to_str() } else { None })
                .collect::<Option<_>>()?;
            return (!key.is_empty() && file.is_file()).then(|| (file, key.join("\\")));
        }
    }
    None
}

/// The bytes at a path inside a database.
///
/// # Errors
/// The file is no LMDB this reads, is damaged, or has no such key.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let Some((file, key)) = split(path) else { return Ok(None) };
    let database = open(&file)?;
    match database.value(&key)? {
        Some(bytes) => Ok(Some(bytes)),
        None => Err(Error::layout(
            &file,
            format!("no entry `{key}`"),
            "the list and the database do not belong together",
        )),
    }
}

/// Whether there is an entry for a path.
pub(crate) fn contains(path: &Path) -> Result<bool, Error> {
    let Some((file, key)) = split(path) else { return Ok(false) };
    let database = open(&file)?;
    Ok(database.node(&key)?.is_some())
}

/// Databases stay open: one per data set, asked for hundreds of thousands of pictures.
fn open(path: &Path) -> Result<Arc<Lmdb>, Error> {
    static OPEN: Mutex<BTreeMap<PathBuf, Arc<Lmdb>>> = Mutex::new(BTreeMap::new());
    let mut known = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(database) = known.get(path) {
        return Ok(Arc::clone(database));
    }
    let database = Arc::new(Lmdb::open(path)?);
    known.insert(path.to_path_buf(), Arc::clone(&database));
    Ok(database)
}

/// A value's place: on the page that was read, or on overflow pages.
enum Place {
    Here(Vec<u8>),
    Pages { first: u64, length: usize },
}

impl Lmdb {
    fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(Error::io("read", path))?;
        let length = file.metadata().map_err(Error::io("read", path))?.len();
        let mut database =
            Self { path: path.to_path_buf(), file, page: 4096, pages: length / 4096, root: NONE };
        let first = database.meta(0)?;
        database.page = first.page;
        database.pages = length / first.page as u64;
        let second = database.meta(first.page as u64)?;
        let newer = if second.transaction > first.transaction { second } else { first };
        database.root = newer.root;
        Ok(database)
    }

    fn broken(&self, what: &str) -> Error {
        Error::layout(&self.path, format!("cannot read this LMDB file: {what}"), EXPORT)
    }

    fn meta(&self, at: u64) -> Result<Meta, Error> {
        let bytes = self.bytes(at, HEAD + 136)?;
        if word16(&bytes, 10) & META == 0 || word32(&bytes, HEAD) != MAGIC {
            return Err(self.broken("it does not begin as a 64-bit little-endian LMDB does"));
        }
        if word32(&bytes, HEAD + 4) != VERSION {
            return Err(
                self.broken(&format!("data version {}, expected {VERSION}", word32(&bytes, HEAD + 4)))
            );
        }
        // magic, version, address, map size; two trees of 48 bytes (free, main); last page, transaction
        let (free, main) = (HEAD + 24, HEAD + 72);
        let page = word32(&bytes, free) as usize;
        if !page.is_power_of_two() || !(512..=65536).contains(&page) {
            return Err(self.broken(&format!("pages of {page} bytes")));
        }
        if word16(&bytes, main + 4) & 0x04 != 0 {
            return Err(self.broken("it has several values per key"));
        }
        Ok(Meta { page, root: word64(&bytes, main + 40), transaction: word64(&bytes, HEAD + 128) })
    }

    fn bytes(&self, at: u64, length: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; length];
        read_at(&self.file, &mut bytes, at).map_err(|e| match e.kind() {
            std::io::ErrorKind::UnexpectedEof => self.broken("it ends too early; copy it again"),
            _ => Error::io("read", &self.path)(e),
        })?;
        Ok(bytes)
    }

    fn read_page(&self, number: u64) -> Result<Vec<u8>, Error> {
        if number >= self.pages {
            return Err(self.broken(&format!("page {number} of {}", self.pages)));
        }
        self.bytes(number * self.page as u64, self.page)
    }

    fn value(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        match self.node(key)? {
            None => Ok(None),
            Some(Place::Here(bytes)) => Ok(Some(bytes)),
            Some(Place::Pages { first, length }) => {
                let head = self.read_page(first)?;
                if word16(&head, 10) & OVERFLOW == 0 || length > MAX_VALUE {
                    return Err(self.broken("a value's pages are not where they should be"));
                }
                Ok(Some(self.bytes(first * self.page as u64 + HEAD as u64, length)?))
            }
        }
    }

    /// Goes down the tree; keys are compared byte by byte, shorter first.
    fn node(&self, key: &str) -> Result<Option<Place>, Error> {
        let mut number = self.root;
        if number == NONE {
            return Ok(None);
        }
        for _ in 0..MAX_DEPTH {
            let page = self.read_page(number)?;
            let nodes = self.nodes(&page)?;
            let kind = word16(&page, 10);
            if kind & LEAF != 0 {
                let at = nodes.binary_search_by(|at| node_key(&page, *at).cmp(key.as_bytes()));
                return at.ok().map(|i| self.leaf(&page, nodes[i])).transpose();
            }
            if kind & BRANCH == 0 || nodes.is_empty() {
                return Err(self.broken("a page is neither branch nor leaf"));
            }
            // the first branch key is empty and stands for everything below the second
            let after = nodes[1..].partition_point(|at| node_key(&page, *at) <= key.as_bytes());
            let at = nodes[after];
            number = u64::from(word16(&page, at))
                | u64::from(word16(&page, at + 2)) << 16
                | u64::from(word16(&page, at + 4)) << 32;
        }
        Err(self.broken("the tree has a loop"))
    }

    /// Offsets of a page's nodes, each checked to lie on the page.
    fn nodes(&self, page: &[u8]) -> Result<Vec<usize>, Error> {
        let lower = usize::from(word16(page, 12));
        if lower < HEAD || lower > page.len() {
            return Err(self.broken("a page's head is damaged"));
        }
        let offsets: Vec<usize> = (HEAD..lower).step_by(2).map(|at| usize::from(word16(page, at))).collect();
        let whole =
            |at: &usize| *at + 8 <= page.len() && *at + 8 + usize::from(word16(page, *at + 6)) <= page.len();
        if offsets.iter().all(whole) { Ok(offsets) } else { Err(self.broken("a page's entries are damaged")) }
    }

    fn leaf(&self, page: &[u8], at: usize) -> Result<Place, Error> {
        let length = usize::from(word16(page, at)) | usize::from(word16(page, at + 2)) << 16;
        let (flags, start) = (word16(page, at + 4), at + 8 + usize::from(word16(page, at + 6)));
        if flags & !BIG != 0 {
            return Err(self.broken("it has databases inside"));
        }
        let end = if flags & BIG == 0 { start + length } else { start + 8 };
        if end > page.len() {
            return Err(self.broken("an entry runs off its page"));
        }
        Ok(match flags & BIG {
            0 => Place::Here(page[start..end].to_vec()),
            _ => Place::Pages { first: word64(page, start), length },
        })
    }
}

struct Meta {
    page: usize,
    root: u64,
    transaction: u64,
}

fn node_key(page: &[u8], at: usize) -> &[u8] {
    &page[at + 8..at + 8 + usize::from(word16(page, at + 6))]
}

fn word16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn word32(bytes: &[u8], at: usize) -> u32 {
    u32::from(word16(bytes, at)) | u32::from(word16(bytes, at + 2)) << 16
}

fn word64(bytes: &[u8], at: usize) -> u64 {
    u64::from(word32(bytes, at)) | u64::from(word32(bytes, at + 4)) << 32
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], at: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}

#[cfg(windows)]
fn read_at(file: &File, bytes: &mut [u8], at: u64) -> std::io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match std::os::windows::fs::FileExt::seek_read(file, &mut bytes[done..], at + done as u64)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => done += n,
        }
    }
    Ok(())
}
