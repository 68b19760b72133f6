//! Memory of the device: ordinary memory of the process, with a book of what is allocated.
//!
//! Every access of a kernel, a copy or a product is looked up here, to the byte: reading past an array, or one that was
//! freed, is an error and not a value. Fresh memory is filled with ones, which are NaN in every float type, so what is
//! read before it is written shows in the results.
use std::alloc::{Layout, alloc, dealloc};
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

/// Alignment the CUDA driver promises.
const ALIGN: usize = 256;

/// What is allocated.
static BOOK: RwLock<Book> = RwLock::new(Book { ranges: BTreeMap::new(), now: 0 });

/// Begin → bytes, and their sum without what modules lend.
#[derive(Debug)]
pub(crate) struct Book {
    ranges: BTreeMap<u64, usize>,
    now: usize,
}

impl Book {
    /// The allocation that holds all of `bytes` bytes from `at` on: its begin and end.
    pub(crate) fn find(&self, at: u64, bytes: usize) -> Option<(u64, u64)> {
        let (&begin, &length) = self.ranges.range(..=at).next_back()?;
        let end = begin + length as u64;
        (at.checked_add(bytes as u64)? <= end).then_some((begin, end))
    }

    /// Where an address lies, in words.
    pub(crate) fn describe(&self, at: u64) -> String {
        match self.ranges.range(..=at).next_back() {
            Some((begin, length)) if at - begin < (*length as u64) + (1 << 20) => {
                format!("{} bytes into an allocation of {length} bytes", at - begin)
            }
            _ => "in no allocation".to_owned(),
        }
    }
}

/// The book, for as long as a kernel runs.
pub(crate) fn book() -> RwLockReadGuard<'static, Book> {
    BOOK.read().unwrap_or_else(PoisonError::into_inner)
}

/// Memory for `bytes` bytes, filled with ones. None: no bytes asked for, or no memory.
pub(crate) fn allocate(bytes: usize) -> Option<u64> {
    let layout = Layout::from_size_align(bytes, ALIGN).ok().filter(|l| l.size() > 0)?;
    // SAFETY: the layout has a size.
    let at = unsafe { alloc(layout) };
    if at.is_null() {
        return None;
    }
    // SAFETY: just allocated with that many bytes.
    unsafe { at.write_bytes(0xff, bytes) };
    let mut book = BOOK.write().unwrap_or_else(PoisonError::into_inner);
    book.ranges.insert(at as u64, bytes);
    book.now += bytes;
    Some(at as u64)
}

/// Gives memory back. False: nothing was allocated there.
pub(crate) fn free(at: u64) -> bool {
    let mut book = BOOK.write().unwrap_or_else(PoisonError::into_inner);
    let Some(bytes) = book.ranges.remove(&at) else { return false };
    book.now -= bytes;
    drop(book);
    let Ok(layout) = Layout::from_size_align(bytes, ALIGN) else { return false };
    // SAFETY: allocated above with this layout, and no longer in the book, so nobody frees it twice. It is filled
    // first, so that a copy that still reads it shows.
    unsafe {
        (at as *mut u8).write_bytes(0xff, bytes);
        dealloc(at as *mut u8, layout);
    }
    true
}

/// Makes memory that belongs to a module readable by kernels; it lives as long as the process.
pub(crate) fn lend(at: u64, bytes: usize) {
    let mut book = BOOK.write().unwrap_or_else(PoisonError::into_inner);
    book.ranges.insert(at, bytes);
}

/// Bytes allocated now.
pub(crate) fn usage() -> usize {
    book().now
}
