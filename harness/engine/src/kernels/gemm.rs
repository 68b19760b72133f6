//! The matrix product `C = A·B` with strided operands and a fused last step.
//!
//! Goto's scheme (Goto & van de Geijn, 2008): `B` is packed once into panels of NR columns, each
//! task packs its rows of `A` into panels of MR rows and multiplies panel by panel. Depth is cut
//! into blocks of KC: an element of `C` is the sum over blocks of the sum within a block, whatever
//! the split over tasks, so the result does not depend on the number of threads.
use super::epilogue::{Epilogue, Place};
use super::parallel::{self, Shared};
use super::scratch::Scratch;
use super::{Isa, Kernel, Level, dispatch};
use std::cell::RefCell;

/// A matrix in memory: element (i, j) at `ptr[i·rows + j·cols]`.
#[derive(Clone, Copy)]
pub(crate) struct Mat {
    ptr: Shared<f32>,
    rs: usize,
    cs: usize,
}

impl Mat {
    /// Row-major with row stride `rs`, starting at `ptr`.
    pub(crate) fn rows(ptr: *const f32, rs: usize) -> Self {
        Self { ptr: Shared::from_ptr(ptr.cast_mut()), rs, cs: 1 }
    }

    /// The transpose.
    pub(crate) fn t(self) -> Self {
        Self { ptr: self.ptr, rs: self.cs, cs: self.rs }
    }

    #[inline(always)]
    unsafe fn at(self, i: usize, j: usize) -> *const f32 {
        // SAFETY: (i, j) is inside the matrix, the caller's promise.
        unsafe { self.ptr.get().add(i * self.rs + j * self.cs).cast_const() }
    }
}

/// `B` in the order the tiles read it: for each block of depth, for each panel, `[k][NR]`.
pub(crate) struct Packed {
    data: Scratch,
    k: usize,
    n: usize,
    level: Level,
}

/// Sizes of the tiles at a level.
#[derive(Clone, Copy)]
struct Shape {
    mr: usize,
    nr: usize,
    kc: usize,
}

struct ShapeOf;
impl Kernel for ShapeOf {
    type Output = Shape;
    #[inline(always)]
    unsafe fn run<I: Isa>(self) -> Shape {
        Shape { mr: I::MR, nr: I::NR, kc: I::KC }
    }
}

fn shape(level: Level) -> Shape {
    // SAFETY: reads constants only.
    unsafe { dispatch(level, ShapeOf) }
}

/// Rows of `A` a task packs at a time: two thirds of a second-level cache of 256 KiB.
const MC_BYTES: usize = 168 * 1024;

/// Packs `b` (k × n).
///
/// # Safety
/// `b` is valid for `k × n`; `level` is available.
pub(crate) unsafe fn pack(level: Level, b: Mat, k: usize, n: usize) -> Packed {
    let s = shape(level);
    let panels = n.div_ceil(s.nr);
    let mut data = Scratch::new(panels * s.nr * k);
    let out = Shared::new(&mut data);
    let groups = panels.div_ceil(4);
    parallel::for_each(groups * k.div_ceil(s.kc), k * n, |task| {
        let (depth, group) = (task / groups, task % groups);
        let (from, first) = (depth * s.kc, group * 4);
        let depth = (from, k.min(from + s.kc));
        let task = PackTask { b, n, depth, panels: (first, panels.min(first + 4)), out };
        // SAFETY: each task writes its own panels of its own block of depth.
        unsafe { dispatch(level, task) }
    });
    Packed { data, k, n, level }
}

struct PackTask {
    b: Mat,
    n: usize,
    depth: (usize, usize),
    panels: (usize, usize),
    out: Shared<f32>,
}

impl Kernel for PackTask {
    type Output = ();
    #[inline(always)]
    unsafe fn run<I: Isa>(self) {
        let width = self.n.div_ceil(I::NR) * I::NR;
        for pc in (self.depth.0..self.depth.1).step_by(I::KC) {
            let kc = I::KC.min(self.depth.1 - pc);
            for j in self.panels.0..self.panels.1 {
                let cols = I::NR.min(self.n - j * I::NR);
                // SAFETY: panel j of the block at depth pc, sized in `pack`.
                unsafe {
                    let dst = self.out.get().add(pc * width + j * kc * I::NR);
                    pack_panel::<I>(dst, self.b, pc, j * I::NR, kc, cols, I::NR);
                }
            }
        }
    }
}

/// Packs `kc × count` of `m` from (k0, j0) as `[k][width]`, zero beyond `count`. Used for panels of
/// `B`, and for panels of `A` through its transpose.
#[inline(always)]
unsafe fn pack_panel<I: Isa>(
    dst: *mut f32,
    m: Mat,
    k0: usize,
    j0: usize,
    kc: usize,
    count: usize,
    width: usize,
) {
    // SAFETY: reads stay inside kc x count of the matrix; writes inside kc x width of dst.
    unsafe {
        if m.cs == 1 && count == width {
            for k in 0..kc {
                std::ptr::copy_nonoverlapping(m.at(k0 + k, j0), dst.add(k * width), width);
            }
        } else if m.rs == 1 && count == width && width >= 8 {
            let whole = kc / 8 * 8;
            let mut j = 0;
            loop {
                for k in (0..whole).step_by(8) {
                    I::transpose8(m.at(k0 + k, j0 + j), m.cs, dst.add(k * width + j), width);
                }
                if j + 8 == width {
                    break;
                }
                j = (j + 8).min(width - 8); // the last group may overlap the one before
            }
            for k in whole..kc {
                for j in 0..width {
                    *dst.add(k * width + j) = *m.at(k0 + k, j0 + j);
                }
            }
        } else {
            for k in 0..kc {
                for j in 0..count {
                    *dst.add(k * width + j) = *m.at(k0 + k, j0 + j);
                }
                for j in count..width {
                    *dst.add(k * width + j) = 0.0;
                }
            }
        }
    }
}

/// Where the product goes and how.
#[derive(Clone, Copy)]
pub(crate) struct Out {
    /// Row-major with stride `ld`.
    pub(crate) ptr: Shared<f32>,
    /// Row stride.
    pub(crate) ld: usize,
    /// Add to what is there.
    pub(crate) add: bool,
    /// Last step.
    pub(crate) epilogue: Epilogue,
}

impl Out {
    /// Overwrites `c` with stride `ld`.
    pub(crate) fn new(c: &mut [f32], ld: usize, epilogue: Epilogue) -> Self {
        Self { ptr: Shared::new(c), ld, add: false, epilogue }
    }
}

/// `C = A·B` with `a: (m × k)`, `b: (k × n)`, packing `b` on the way.
///
/// # Safety
/// `a`, `b`, `c` and the matrices of the epilogue are valid for these sizes, and `c` overlaps none
/// of them except a residual identical to it.
pub(crate) unsafe fn gemm(level: Level, m: usize, n: usize, k: usize, a: Mat, b: Mat, c: Out) {
    // SAFETY: the caller's promise.
    unsafe { gemm_packed(m, a, &pack(level, b, k, n), c) }
}

/// [`gemm`] with a packed right side.
///
/// # Safety
/// As [`gemm`].
pub(crate) unsafe fn gemm_packed(m: usize, a: Mat, b: &Packed, c: Out) {
    let s = shape(b.level);
    let (k, n) = (b.k, b.n);
    if m == 0 || n == 0 {
        return;
    }
    // Rows per task: few enough for balance, at most what fits the cache. Columns are split only
    // when rows alone do not give every thread work: that packs A more than once.
    let wanted = 4 * rayon::current_num_threads();
    let most = (MC_BYTES / 4 / s.kc.min(k.max(1))).max(2 * s.mr);
    let rows = m.div_ceil(wanted).clamp(s.mr.min(m), most).next_multiple_of(s.mr);
    let row_tasks = m.div_ceil(rows);
    let panels = n.div_ceil(s.nr);
    let splits = if row_tasks * 2 > wanted { 1 } else { (wanted / row_tasks).clamp(1, panels) };
    let span = panels.div_ceil(splits);
    let col_tasks = panels.div_ceil(span);
    let data = Shared::from_ptr(b.data.as_ptr().cast_mut());
    parallel::for_each(row_tasks * col_tasks, m * n * k / 16, |task| {
        let (i, j) = (task / col_tasks, task % col_tasks);
        let area = Area {
            rows: (i * rows, m.min((i + 1) * rows)),
            panels: (j * span, panels.min((j + 1) * span)),
            n,
            k,
        };
        // SAFETY: tasks cover disjoint areas of C; operands as promised by the caller.
        A_BUFFER.with_borrow_mut(|buffer| unsafe {
            dispatch(b.level, BlockTask { buffer, area, a, b: data, c });
        });
    });
}

thread_local! {
    static A_BUFFER: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Part of `C`: rows and panels, half open.
#[derive(Clone, Copy)]
struct Area {
    rows: (usize, usize),
    panels: (usize, usize),
    n: usize,
    k: usize,
}

struct BlockTask<'a> {
    buffer: &'a mut Vec<f32>,
    area: Area,
    a: Mat,
    b: Shared<f32>,
    c: Out,
}

impl Kernel for BlockTask<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<I: Isa>(self) {
        // SAFETY: forwarded unchanged.
        unsafe { block::<I>(self.buffer, self.area, self.a, self.b.get(), self.c) }
    }
}

/// Largest MR·NR of any instruction set.
const TILE: usize = 14 * 32;

#[repr(align(64))]
struct Tile([f32; TILE]);

/// One area of the product, on one thread.
#[inline(always)]
unsafe fn block<I: Isa>(buffer: &mut Vec<f32>, area: Area, a: Mat, b: *const f32, c: Out) {
    let Area { rows: (first, last), panels, n, k } = area;
    let width = n.div_ceil(I::NR) * I::NR;
    let height = (last - first).div_ceil(I::MR) * I::MR;
    if buffer.len() < height * I::KC.min(k) {
        buffer.resize(height * I::KC.min(k), 0.0);
    }
    let packed = buffer.as_mut_ptr();
    let mut tile = Tile([0.0; TILE]);
    let mut pc = 0;
    loop {
        let kc = I::KC.min(k - pc);
        let add = c.add || pc > 0;
        let ends = pc + kc == k;
        let plain = !ends || matches!(c.epilogue, Epilogue::None);
        // SAFETY: panels and places stay inside the operands, which the caller vouches for.
        unsafe {
            for i in (first..last).step_by(I::MR) {
                let rows = I::MR.min(last - i);
                pack_panel::<I>(packed.add((i - first) * kc), a.t(), pc, i, kc, rows, I::MR);
            }
            for j in panels.0..panels.1 {
                let panel = b.add(pc * width + j * kc * I::NR);
                let cols = I::NR.min(n - j * I::NR);
                for i in (first..last).step_by(I::MR) {
                    let rows = I::MR.min(last - i);
                    let left = packed.add((i - first) * kc).cast_const();
                    if plain && cols == I::NR {
                        let dst = c.ptr.get().add(i * c.ld + j * I::NR);
                        I::tile(rows, kc, left, panel, dst, c.ld, add);
                    } else {
                        I::tile(rows, kc, left, panel, tile.0.as_mut_ptr(), I::NR, false);
                        let place = Place { row: i, col: j * I::NR, rows, cols };
                        let epilogue = if ends { c.epilogue } else { Epilogue::None };
                        epilogue.store::<I>(&tile.0, place, c.ptr.get(), c.ld, add);
                    }
                }
            }
        }
        pc += kc;
        if pc >= k {
            break;
        }
    }
}

/// Buffers of [`small`], kept by the caller between products.
#[derive(Default)]
pub(crate) struct SmallBuffers {
    a: Vec<f32>,
    b: Vec<f32>,
}

/// A product on the calling thread, for operands that fit the second-level cache.
///
/// # Safety
/// As [`gemm`]; the CPU has instruction set `I`.
#[inline(always)]
pub(crate) unsafe fn small<I: Isa>(
    buffers: &mut SmallBuffers,
    (m, n, k): (usize, usize, usize),
    a: Mat,
    b: Mat,
    c: Out,
) {
    let panels = n.div_ceil(I::NR);
    let need = panels * I::NR * k + 16;
    if buffers.b.len() < need {
        buffers.b.resize(need, 0.0);
    }
    let start = buffers.b.as_ptr().align_offset(64).min(16);
    let out = Shared::from_ptr(buffers.b[start..].as_mut_ptr());
    let area = Area { rows: (0, m), panels: (0, panels), n, k };
    // SAFETY: the buffer was sized for the panels; the rest is the caller's promise.
    unsafe {
        PackTask { b, n, depth: (0, k), panels: (0, panels), out }.run::<I>();
        block::<I>(&mut buffers.a, area, a, out.get(), c);
    }
}
