//! Copying matrices into the order in which tiles read them.
//!
//! Panels of `A` hold MR rows, panels of `B` NR columns, step of depth by step of depth, so that the
//! innermost loop reads both from front to back. Any strides are accepted; rows and columns at unit
//! stride are copied or transposed eight at a time.
use super::parallel::{self, Shared};
use super::scratch::Scratch;
use super::{Isa, Kernel, Level, dispatch};

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
    pub(super) data: Scratch,
    pub(super) k: usize,
    pub(super) n: usize,
    pub(super) level: Level,
}

/// Sizes of the tiles at a level.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) mr: usize,
    pub(super) nr: usize,
    pub(super) kc: usize,
}

struct ShapeOf;
impl Kernel for ShapeOf {
    type Output = Shape;
    #[inline(always)]
    unsafe fn run<I: Isa>(self) -> Shape {
        Shape { mr: I::MR, nr: I::NR, kc: I::KC }
    }
}

pub(super) fn shape(level: Level) -> Shape {
    // SAFETY: reads constants only.
    unsafe { dispatch(level, ShapeOf) }
}

/// Packs `b` (k × n).
///
/// # Safety
/// `b` is valid for `k × n`; `level` is available.
pub(crate) unsafe fn pack(level: Level, b: Mat, k: usize, n: usize) -> Packed {
    let s = shape(level);
    let panels = n.div_ceil(s.nr);
    let mut data = Scratch::new(panels * s.nr * k);
    let out = Shared::new(&mut data);
    let groups = panels.div_ceil(ABREAST);
    let kc = depth_of(k, s.kc);
    parallel::for_each(groups * k.div_ceil(kc), k * n, |task| {
        let (depth, group) = (task / groups, task % groups);
        let (from, first) = (depth * kc, group * ABREAST);
        let depth = (from, k.min(from + kc));
        let task = PackTask { b, n, kc, depth, panels: (first, panels.min(first + ABREAST)), out };
        // SAFETY: each task writes its own panels of its own block of depth.
        unsafe { dispatch(level, task) }
    });
    Packed { data, k, n, level }
}

pub(super) struct PackTask {
    pub(super) b: Mat,
    pub(super) n: usize,
    pub(super) kc: usize,
    pub(super) depth: (usize, usize),
    pub(super) panels: (usize, usize),
    pub(super) out: Shared<f32>,
}

impl Kernel for PackTask {
    type Output = ();
    #[inline(always)]
    unsafe fn run<I: Isa>(self) {
        let width = self.n.div_ceil(I::NR) * I::NR;
        for pc in (self.depth.0..self.depth.1).step_by(self.kc) {
            let kc = self.kc.min(self.depth.1 - pc);
            let first = self.panels.0 * I::NR;
            let last = self.n.min(self.panels.1 * I::NR);
            // SAFETY: panels of the block at depth pc, sized in `pack`.
            unsafe {
                let dst = self.out.get().add(pc * width + first * kc);
                pack_panels::<I>(dst, self.b, (pc, first), (kc, last - first, self.n - first), I::NR);
            }
        }
    }
}

/// Panels copied side by side: reading this much of each row in one go is what makes copying fast.
const ABREAST: usize = 8;

/// Packs `kc × count` of `m` from (k0, j0) as panels of `width` columns, one after the other, each `[k][width]` and zero
/// beyond `count`. Used for panels of `B`, and for panels of `A` through its transpose. `reach` columns exist from j0 on.
#[inline(always)]
pub(super) unsafe fn pack_panels<I: Isa>(
    dst: *mut f32,
    m: Mat,
    (k0, j0): (usize, usize),
    (kc, count, reach): (usize, usize, usize),
    width: usize,
) {
    // SAFETY: as for `pack_panel`, for each panel.
    unsafe {
        let mut from = 0;
        while m.cs == 1 && from + 2 * width <= count {
            let abreast = ((count - from) / width).min(ABREAST);
            for k in 0..kc {
                let (row, to) = (m.at(k0 + k, j0 + from), dst.add(from * kc + k * width));
                for panel in 0..abreast {
                    std::ptr::copy_nonoverlapping(row.add(panel * width), to.add(panel * kc * width), width);
                }
            }
            from += abreast * width;
        }
        for j in (from..count).step_by(width) {
            let size = (kc, width.min(count - j), reach - j);
            pack_panel::<I>(dst.add(j * kc), m, (k0, j0 + j), size, width);
        }
    }
}

/// Packs `kc × count` of `m` from (k0, j0) as `[k][width]`, zero beyond `count`. `reach` columns
/// exist from j0 on.
#[inline(always)]
unsafe fn pack_panel<I: Isa>(
    dst: *mut f32,
    m: Mat,
    (k0, j0): (usize, usize),
    (kc, count, reach): (usize, usize, usize),
    width: usize,
) {
    // SAFETY: reads stay inside kc x reach of the matrix; writes inside kc x width of dst.
    unsafe {
        let slow = |from: usize| {
            for k in from..kc {
                for j in 0..count {
                    *dst.add(k * width + j) = *m.at(k0 + k, j0 + j);
                }
                for j in count..width {
                    *dst.add(k * width + j) = 0.0;
                }
            }
        };
        let whole = kc / 8 * 8;
        if m.cs == 1 && count == width {
            for k in 0..kc {
                std::ptr::copy_nonoverlapping(m.at(k0 + k, j0), dst.add(k * width), width);
            }
        } else if m.rs == 1 && count == width && width >= 8 {
            // eight rows at a time from one end to the other: few streams to read, and the panel stays in cache
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
            slow(whole);
        } else if m.rs == 1 && count == width && reach >= 8 {
            let mut wide = [0.0f32; 64]; // 8 columns, of which the panel takes `width`
            for k in (0..whole).step_by(8) {
                I::transpose8(m.at(k0 + k, j0), m.cs, wide.as_mut_ptr(), 8);
                for (step, row) in wide.chunks_exact(8).enumerate() {
                    std::ptr::copy_nonoverlapping(row.as_ptr(), dst.add((k + step) * width), width);
                }
            }
            slow(whole);
        } else {
            slow(0);
        }
    }
}

/// Length of the equal blocks into which a depth of `k` is cut, at most `most` (up to rounding to 8).
pub(super) fn depth_of(k: usize, most: usize) -> usize {
    k.div_ceil(k.div_ceil(most).max(1)).next_multiple_of(8).max(8)
}

/// A block of depth.
#[derive(Clone, Copy)]
pub(super) struct Depth {
    pub(super) start: usize,
    pub(super) len: usize,
    pub(super) last: bool,
}

impl Depth {
    /// The blocks of `k` in order; one empty block if `k` is 0, so that `C` is written all the same.
    pub(super) fn blocks(k: usize, kc: usize) -> impl Iterator<Item = Self> {
        (0..k.div_ceil(kc).max(1)).map(move |i| {
            let start = i * kc;
            let len = kc.min(k - start);
            Self { start, len, last: start + len == k }
        })
    }
}

/// Packs rows `first..last` of `A` at one depth.
#[inline(always)]
pub(super) unsafe fn pack_rows<I: Isa>(
    packed: *mut f32,
    a: Mat,
    (first, last): (usize, usize),
    depth: Depth,
) {
    let size = (depth.len, last - first, last - first);
    // SAFETY: the buffer holds whole panels of all rows.
    unsafe { pack_panels::<I>(packed, a.t(), (depth.start, first), size, I::MR) };
}

/// Room for `len` values at a cache line, kept in `buffer`.
pub(super) fn aligned(buffer: &mut Vec<f32>, len: usize) -> *mut f32 {
    if buffer.len() < len + 16 {
        buffer.resize(len + 16, 0.0);
    }
    let start = buffer.as_ptr().align_offset(64).min(16);
    buffer[start..].as_mut_ptr()
}
