//! Large blocks on huge pages: an allocator for programs that train.
//!
//! With pages of 4 KiB, touching a fresh activation of 30 MB costs 7500 page faults, and products over it miss the
//! address cache. Linux gives 2 MiB pages to memory that asks for them; tensors are allocated by the tensor library, so
//! the place to ask is the allocator. [`HugePages`] is the system's allocator plus one `madvise` for each block of at
//! least [`LARGE`] bytes. It changes no contents, places nothing differently and is a no-op where the kernel offers no
//! huge pages or outside Linux. A program opts in:
//!
//! ```
//! #[global_allocator]
//! static ALLOCATOR: facebench_engine::huge_pages::HugePages = facebench_engine::huge_pages::HugePages;
//! ```
use std::alloc::{GlobalAlloc, Layout, System};

/// Smallest block, in bytes, that asks for huge pages: two of them, so that one lies wholly inside.
pub const LARGE: usize = 4 << 20;

/// The system's allocator; asks for huge pages under large blocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct HugePages;

// SAFETY: every block comes from `System` and goes back to it with the layout it came with; `advise` reads and writes
// none of it.
unsafe impl GlobalAlloc for HugePages {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract is `System`'s.
        let block = unsafe { System.alloc(layout) };
        advise(block, layout.size());
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract is `System`'s.
        let block = unsafe { System.alloc_zeroed(layout) };
        advise(block, layout.size());
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is `System`'s, which allocated the block.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's contract is `System`'s, which allocated the block.
        let block = unsafe { System.realloc(block, layout, size) };
        advise(block, size);
        block
    }
}

/// Asks for huge pages under `size` bytes at `block`, where that is worth it.
#[cfg(target_os = "linux")]
fn advise(block: *mut u8, size: usize) {
    const PAGE: usize = 2 << 20;
    if size < LARGE || block.is_null() {
        return;
    }
    // whole huge pages that overlap the block: neighbours on the heap may be moved to huge pages too
    let start = block as usize & !(PAGE - 1);
    let end = (block as usize + size).next_multiple_of(PAGE);
    // SAFETY: MADV_HUGEPAGE is a hint about the size of pages; it never changes contents, protection or mapping, so it is
    // sound for any address range. Addresses without memory, and kernels without huge pages, give an error that means
    // nothing was lost.
    unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn advise(_: *mut u8, _: usize) {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks of every kind keep their contents and alignment while they grow, shrink and are zeroed.
    #[test]
    fn blocks_behave_like_the_systems() {
        for size in [1, 100, LARGE - 1, LARGE, LARGE + 1, 3 * LARGE + 12_345] {
            for align in [1, 64, 4096, 4 << 20] {
                let layout = Layout::from_size_align(size, align).unwrap();
                // SAFETY: a layout of non-zero size; every access stays inside the block; freed once with its layout.
                unsafe {
                    let block = HugePages.alloc_zeroed(layout);
                    assert!(!block.is_null() && (block as usize).is_multiple_of(align));
                    assert!((0..size).step_by(997).all(|i| *block.add(i) == 0));
                    *block = 7;
                    *block.add(size / 2) = 8;
                    let block = HugePages.realloc(block, layout, 2 * size);
                    assert!((block as usize).is_multiple_of(align));
                    assert_eq!(*block.add(size / 2), 8);
                    *block.add(2 * size - 1) = 9;
                    let grown = Layout::from_size_align(2 * size, align).unwrap();
                    let block = HugePages.realloc(block, grown, 1);
                    assert_eq!(*block, if size == 1 { 8 } else { 7 });
                    HugePages.dealloc(block, Layout::from_size_align(1, align).unwrap());
                    let block = HugePages.alloc(layout);
                    block.write_bytes(1, size);
                    HugePages.dealloc(block, layout);
                }
            }
        }
    }
}
