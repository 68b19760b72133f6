//! Runs a kernel: blocks on the threads of the process, the 32 lanes of a warp in step.
//!
//! Lanes of a warp that stand at the same instruction execute it together; where they part, the ones furthest behind go
//! first, which brings them together again as the compiler lays out code. Warps of a block take turns at barriers.
//! What a GPU leaves undefined is an error here: an access outside of memory or of alignment, a barrier that threads
//! which have ended leave out, a shuffle without all of its lanes, and shared memory that one warp writes and another
//! uses with no barrier between.
mod access;
mod alu;
mod shared;
mod warp;

use crate::memory::{self, Book};
use crate::ptx::Kernel;
use rayon::prelude::*;
use shared::Shared;
use warp::{State, Warp};

/// Threads of a warp.
const WARP: usize = 32;

/// The shape of a launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) grid: [u32; 3],
    pub(crate) block: [u32; 3],
    /// Shared memory beside the kernel's own, bytes.
    pub(crate) shared: usize,
}

/// What a block has in common.
struct Block<'a> {
    kernel: &'a Kernel,
    parameters: &'a [u8],
    shape: Shape,
    /// Which block this is.
    place: [u32; 3],
    book: &'a Book,
}

/// Runs `kernel` to its end.
///
/// # Errors
/// What the kernel does that a GPU does not allow, in words.
pub(crate) fn run(kernel: &Kernel, shape: Shape, parameters: &[u8]) -> Result<(), String> {
    let book = memory::book();
    let blocks: u64 = shape.grid.iter().map(|n| u64::from(*n)).product();
    let run = |warps: &mut Vec<Warp>, at: u64| {
        let [x, y, _] = shape.grid.map(u64::from);
        let place = [at % x, at / x % y, at / (x * y)].map(|n| n as u32);
        let block = Block { kernel, parameters, shape, place, book: &book };
        run_block(&block, warps).map_err(|what| format!("{}, block {place:?}: {what}", kernel.name))
    };
    // small launches are not worth the hand-over
    if blocks * u64::from(shape.block[0]) < 1024 {
        let mut warps = Vec::new();
        (0..blocks).try_for_each(|at| run(&mut warps, at))
    } else {
        // a warp is worth keeping for the next block
        (0..blocks as usize)
            .into_par_iter()
            .with_min_len(8)
            .try_for_each_init(Vec::new, |warps, at| run(warps, at as u64))
    }
}

/// Runs a block with the warps of the one before, if there was one.
fn run_block(block: &Block, warps: &mut Vec<Warp>) -> Result<(), String> {
    let threads = block.shape.block.iter().product::<u32>() as usize;
    let mut shared = Shared::new(block.kernel.shared + block.shape.shared);
    if warps.is_empty() {
        warps.extend((0..threads.div_ceil(WARP)).map(|i| Warp::new(block, i, threads)));
    } else {
        warps.iter_mut().for_each(Warp::restart);
    }
    loop {
        for (i, warp) in warps.iter_mut().enumerate() {
            warp.run(block, &mut shared, i)?;
        }
        let ended = warps.iter().flat_map(Warp::states).filter(|s| **s == State::Ended).count();
        if ended == threads {
            return Ok(());
        }
        if ended > 0 {
            return Err(format!(
                "{ended} of {threads} threads have ended where the others wait at a barrier"
            ));
        }
        shared.barrier();
        warps.iter_mut().for_each(Warp::release);
    }
}

#[cfg(test)]
mod tests;
