//! The matrix product of few rows, as in inference at batch 1: `A` is packed once for all tasks, each task has panels of `B`.
use super::gemm::{A_BUFFER, Later, Out, Tile, multiply};
use super::pack::{Depth, Mat, aligned, depth_of, pack_panels, pack_rows, shape};
use super::parallel::{self, Shared};
use super::scratch::Scratch;
use super::{Isa, Kernel, Level, Panels, dispatch};

/// Up to this many rows the right side is packed panel by panel, just before use: writing the
/// whole packed matrix to memory first would cost as much as the product.
pub(crate) const FEW_ROWS: usize = 512;

/// The right side of a product with few rows.
#[derive(Clone, Copy)]
pub(super) enum Right {
    /// Packed on the way.
    Plain(Mat),
    /// As [`pack`] leaves it.
    Packed(Shared<f32>),
}

/// A product with few rows: `A` is packed once, each task has its own panels of `B`, packed on the
/// way if they are not yet.
pub(super) unsafe fn stream(level: Level, (m, n, k): (usize, usize, usize), a: Mat, b: Right, c: Out) {
    let s = shape(level);
    let mut packed = Scratch::new(m.div_ceil(s.mr) * s.mr * k);
    let left = Shared::new(&mut packed);
    let kc = depth_of(k, s.kc);
    parallel::for_each(k.div_ceil(kc), m * k, |block| {
        let start = block * kc;
        let depth = Depth { start, len: kc.min(k - start), last: false };
        // SAFETY: each task packs its own block of depth.
        unsafe { dispatch(level, LeftTask { a, m, depth, out: left }) };
    });
    // several panels per task, so that a panel of A is read from the second-level cache once for all of them
    let panels = n.div_ceil(s.nr);
    let span = (panels / (4 * rayon::current_num_threads())).clamp(1, 4);
    parallel::for_each(panels.div_ceil(span), m * n * k / 16, |task| {
        let panels = (task * span, panels.min((task + 1) * span));
        A_BUFFER.with_borrow_mut(|buffer| {
            // SAFETY: each task writes its own columns of C.
            unsafe { dispatch(level, StreamTask { buffer, left, b, size: (m, n, k), panels, c }) };
        });
    });
}

/// Rows of a tile where all are equally high but for one row: a last tile of few rows would cost more than they are worth.
fn even(m: usize, tiles: usize, tile: usize) -> (usize, usize) {
    (tile * m / tiles, (tile + 1) * m / tiles)
}

struct LeftTask {
    a: Mat,
    m: usize,
    depth: Depth,
    out: Shared<f32>,
}

impl Kernel for LeftTask {
    type Output = ();
    #[inline(always)]
    unsafe fn run<I: Isa>(self) {
        let Self { a, m, depth, out } = self;
        let tiles = m.div_ceil(I::MR);
        for tile in 0..tiles {
            let at = (tiles * depth.start + tile * depth.len) * I::MR;
            // SAFETY: blocks of depth lie one after the other, each of whole panels of all rows.
            unsafe { pack_rows::<I>(out.get().add(at), a, even(m, tiles, tile), depth) };
        }
    }
}

struct StreamTask<'a> {
    buffer: &'a mut Vec<f32>,
    left: Shared<f32>,
    b: Right,
    size: (usize, usize, usize),
    panels: (usize, usize),
    c: Out,
}

impl Kernel for StreamTask<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<I: Isa>(self) {
        let Self { buffer, left, b, size: (m, n, k), panels, c } = self;
        let tiles = m.div_ceil(I::MR);
        let kc = depth_of(k, I::KC);
        let width = n.div_ceil(I::NR) * I::NR;
        let mut tile = Tile::new();
        for depth in Depth::blocks(k, kc) {
            // SAFETY: the buffer holds KC x NR values for each panel, `left` every packed row.
            unsafe {
                let right = match b {
                    Right::Packed(all) => all.get().add(depth.start * width + panels.0 * depth.len * I::NR),
                    Right::Plain(b) => {
                        let right = aligned(buffer, kc * I::NR * (panels.1 - panels.0));
                        let from = panels.0 * I::NR;
                        let size = (depth.len, n.min(panels.1 * I::NR) - from, n - from);
                        pack_panels::<I>(right, b, (depth.start, from), size, I::NR);
                        right
                    }
                };
                let panel = depth.len * I::NR;
                // the same panels at the next depth, or the next task's
                let after = depth.start + depth.len;
                let next = match b {
                    Right::Packed(all) if depth.last => all.get().wrapping_add(panels.1 * kc.min(k) * I::NR),
                    Right::Packed(all) => {
                        all.get().wrapping_add(after * width + panels.0 * kc.min(k - after) * I::NR)
                    }
                    Right::Plain(_) => right, // it will lie where it lies now
                };
                let mut later = Later::new::<I>(next, m, depth.len);
                let left = left.get().add(tiles * I::MR * depth.start);
                for i in 0..tiles {
                    let (a, rows) = (left.add(i * I::MR * depth.len), even(m, tiles, i));
                    for j in panels.0..panels.1 {
                        let b = right.wrapping_add((j - panels.0) * panel);
                        let panels = Panels { a, b, ahead: later.part() };
                        multiply::<I>(&mut tile, panels, rows, (j, n), depth, c);
                    }
                }
            }
        }
    }
}
