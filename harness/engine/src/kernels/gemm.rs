//! The matrix product `C = A·B` with strided operands and a fused last step.
//!
//! Goto's scheme (Goto & van de Geijn, 2008) with the two inner loops exchanged: `B` is packed once
//! into panels of NR columns, each task packs its rows of `A` into panels of MR rows and multiplies
//! panel by panel, along the rows of `C`, which is the order in which `C` lies in memory. Depth is cut
//! into equal blocks of at most KC: an element of `C` is the sum over blocks of the sum within a
//! block, whatever the split over tasks, so the result does not depend on the number of threads.
use super::epilogue::{Epilogue, Place};
use super::few::{FEW_ROWS, Right, stream};
use super::pack::{Depth, Mat, PackTask, Packed, aligned, depth_of, pack, pack_rows, shape};
use super::parallel::{self, Shared};
use super::{Ahead, Isa, Kernel, Level, Panels, dispatch};
use std::cell::RefCell;

/// What a task keeps in the second-level cache: a third of it for its packed rows of `A`, a fifth for
/// the panels of `B` it works on. Affects speed only: no sum depends on it.
#[derive(Clone, Copy)]
struct Cache {
    rows: usize,   // bytes of packed A
    panels: usize, // bytes of packed B
}

fn cache() -> Cache {
    static CACHE: std::sync::OnceLock<Cache> = std::sync::OnceLock::new();
    *CACHE.get_or_init(|| {
        #[cfg(all(target_os = "linux", target_env = "gnu"))]
        // SAFETY: asks for a number; 0 or -1 where the system does not know.
        let size = unsafe { libc::sysconf(libc::_SC_LEVEL2_CACHE_SIZE) };
        #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
        let size = 0;
        let size = usize::try_from(size).unwrap_or(0).clamp(512 << 10, 2 << 20);
        Cache { rows: size / 3, panels: size / 5 }
    })
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
    unsafe {
        if m <= FEW_ROWS && m > 0 && n > 0 {
            stream(level, (m, n, k), a, Right::Plain(b), c);
        } else {
            gemm_packed(m, a, &pack(level, b, k, n), c);
        }
    }
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
    if m <= FEW_ROWS {
        let right = Right::Packed(Shared::from_ptr(b.data.as_ptr().cast_mut()));
        // SAFETY: the caller's promise.
        return unsafe { stream(b.level, (m, n, k), a, right, c) };
    }
    // Row tasks: enough for balance, each small enough for the cache, cut at tiles so that all are equally long: with
    // two threads, one short task at the end would leave a thread idle for 4 to 8 % of the time. Columns are split only
    // when rows alone do not give every thread work: that packs A more than once.
    let threads = rayon::current_num_threads();
    let wanted = 4 * threads;
    let tiles = m.div_ceil(s.mr);
    let most = (cache().rows / 4 / s.kc.min(k.max(1)) / s.mr).max(2);
    let row_tasks = wanted.max(tiles.div_ceil(most).next_multiple_of(threads)).min(tiles);
    let cut = |i: usize| m.min(i * tiles / row_tasks * s.mr);
    let panels = n.div_ceil(s.nr);
    let splits = if row_tasks * 2 > wanted { 1 } else { (wanted / row_tasks).clamp(1, panels) };
    let span = panels.div_ceil(splits);
    let col_tasks = panels.div_ceil(span);
    let data = Shared::from_ptr(b.data.as_ptr().cast_mut());
    parallel::for_each(row_tasks * col_tasks, m * n * k / 16, |task| {
        let (i, j) = (task / col_tasks, task % col_tasks);
        let area = Area { rows: (cut(i), cut(i + 1)), panels: (j * span, panels.min((j + 1) * span)), n, k };
        // SAFETY: tasks cover disjoint areas of C; operands as promised by the caller.
        A_BUFFER.with_borrow_mut(|buffer| unsafe {
            dispatch(b.level, BlockTask { buffer, area, a, b: data, c });
        });
    });
}

thread_local! {
    pub(super) static A_BUFFER: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
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

/// Sums of a tile on their way through its last step.
#[repr(align(64))]
pub(super) struct Tile([f32; TILE]);

impl Tile {
    pub(super) fn new() -> Self {
        Self([0.0; TILE])
    }
}

/// One area of the product, on one thread.
#[inline(always)]
unsafe fn block<I: Isa>(buffer: &mut Vec<f32>, area: Area, a: Mat, b: *const f32, c: Out) {
    let Area { rows: (first, last), panels, n, k } = area;
    let width = n.div_ceil(I::NR) * I::NR;
    let kc = depth_of(k, I::KC);
    let packed = aligned(buffer, (last - first).div_ceil(I::MR) * I::MR * kc.min(k));
    let mut tile = Tile::new();
    // A few panels of B stay in the second-level cache while all rows pass; the MR rows at hand stay
    // in the first level while those panels pass.
    let few = (cache().panels / (4 * I::NR * kc)).max(2);
    for depth in Depth::blocks(k, kc) {
        // SAFETY: panels and places stay inside the operands, which the caller vouches for.
        unsafe {
            pack_rows::<I>(packed, a, (first, last), depth);
            let at = b.add(depth.start * width);
            let panel = depth.len * I::NR;
            let after = depth.start + depth.len;
            for from in (panels.0..panels.1).step_by(few) {
                let to = panels.1.min(from + few);
                let next = match (to < panels.1, depth.last) {
                    (true, _) => at.add(to * panel),
                    (false, false) => b.add(after * width + panels.0 * kc.min(k - after) * I::NR),
                    (false, true) => b.add(panels.0 * kc.min(k) * I::NR), // where the next rows begin
                };
                let mut later = Later::new::<I>(next, last - first, depth.len);
                for i in (first..last).step_by(I::MR) {
                    let a = packed.add((i - first) * depth.len);
                    for j in from..to {
                        let rows = (i, last.min(i + I::MR));
                        let panels = Panels { a, b: at.add(j * panel), ahead: later.part() };
                        multiply::<I>(&mut tile, panels, rows, (j, n), depth, c);
                    }
                }
            }
        }
    }
}

/// The panels of `B` that follow those at hand. While these stay in the second-level cache and all rows pass, the next ones
/// are asked for, in equal parts; otherwise the first rows would wait for them.
pub(super) struct Later {
    next: *const f32,
    part: usize, // values
    step: usize, // bytes per step of depth
}

impl Later {
    /// `next` to be read while `rows` rows pass, at depth `len`.
    #[inline(always)]
    pub(super) fn new<I: Isa>(next: *const f32, rows: usize, len: usize) -> Self {
        let tiles = rows.div_ceil(I::MR);
        Self { next, part: (len * I::NR).div_ceil(tiles), step: (4 * I::NR).div_ceil(tiles) }
    }

    /// The part that belongs to the next tile.
    #[inline(always)]
    pub(super) fn part(&mut self) -> Ahead {
        let at = self.next;
        self.next = at.wrapping_add(self.part);
        Ahead { at, step: self.step }
    }
}

/// Rows `first..last` (at most MR, packed) times panel `j`, stored to `C`.
#[inline(always)]
pub(super) unsafe fn multiply<I: Isa>(
    tile: &mut Tile,
    panels: Panels,
    (first, last): (usize, usize),
    (j, n): (usize, usize),
    depth: Depth,
    c: Out,
) {
    let add = c.add || depth.start > 0;
    let epilogue = if depth.last { c.epilogue } else { Epilogue::None };
    let plain = matches!(epilogue, Epilogue::None);
    let (rows, cols) = (last - first, I::NR.min(n - j * I::NR));
    // SAFETY: the packed panels hold `depth.len` steps; the place lies inside C.
    unsafe {
        if plain && cols == I::NR {
            let dst = c.ptr.get().add(first * c.ld + j * I::NR);
            I::tile(rows, depth.len, panels, dst, c.ld, add);
        } else {
            I::tile(rows, depth.len, panels, tile.0.as_mut_ptr(), I::NR, false);
            let place = Place { row: first, col: j * I::NR, rows, cols };
            epilogue.store::<I>(&tile.0, place, c.ptr.get(), c.ld, add);
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
    let out = Shared::from_ptr(aligned(&mut buffers.b, panels * I::NR * k));
    let area = Area { rows: (0, m), panels: (0, panels), n, k };
    // SAFETY: the buffer was sized for the panels; the rest is the caller's promise.
    unsafe {
        PackTask { b, n, kc: depth_of(k, I::KC), depth: (0, k), panels: (0, panels), out }.run::<I>();
        block::<I>(&mut buffers.a, area, a, out.get(), c);
    }
}
