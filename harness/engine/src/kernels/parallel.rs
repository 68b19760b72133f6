//! Splitting work over rayon's current pool, and pointers that may cross threads.
use rayon::prelude::*;

/// A pointer handed to several tasks, each of which touches its own part only.
#[derive(Clone, Copy)]
pub(crate) struct Shared<T>(*mut T);

// SAFETY: a bare address; the code that dereferences it states which part belongs to which task.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// Wraps the start of a slice that tasks will write in disjoint parts.
    pub(crate) fn new(slice: &mut [T]) -> Self {
        Self(slice.as_mut_ptr())
    }

    /// Wraps a raw pointer.
    pub(crate) fn from_ptr(ptr: *mut T) -> Self {
        Self(ptr)
    }

    /// The address.
    #[inline(always)]
    pub(crate) fn get(self) -> *mut T {
        self.0
    }

    /// `len` elements from `start`.
    ///
    /// # Safety
    /// The range is valid and no other task touches it while the slice lives.
    #[inline(always)]
    pub(crate) unsafe fn slice<'a>(self, start: usize, len: usize) -> &'a mut [T] {
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(start), len) }
    }
}

/// Below this many elementary operations a task is not worth another thread's attention.
pub(crate) const SMALL: usize = 1 << 16;

/// Calls `f(0), …, f(tasks - 1)`, on several threads if the whole `work` (elementary operations)
/// is worth it. Tasks must be independent.
pub(crate) fn for_each(tasks: usize, work: usize, f: impl Fn(usize) + Sync + Send) {
    if tasks <= 1 || work < SMALL || rayon::current_num_threads() == 1 {
        (0..tasks).for_each(f);
    } else {
        (0..tasks).into_par_iter().with_max_len(1).for_each(f);
    }
}

/// Splits `rows` into at most 64 equal pieces of at least `least` rows; the size depends on the
/// problem only. Returns the rows per piece.
pub(crate) fn piece(rows: usize, least: usize) -> usize {
    rows.div_ceil(64).max(least).max(1)
}
