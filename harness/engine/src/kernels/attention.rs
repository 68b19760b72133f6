//! Attention per (image, head), scores kept in the second-level cache.
//!
//! Queries, keys and values are read where they lie (rows at any stride), so a packed projection
//! needs no copies. The backward pass computes the probabilities again instead of storing them:
//! N² values per head would dominate memory. `dS = P ⊙ (dO Vᵀ - rowsum(dO ⊙ O))` is FlashAttention's
//! form of the softmax gradient (Dao et al., arXiv 2205.14135).
use super::epilogue::Epilogue;
use super::gemm::{Out, SmallBuffers, small};
use super::math::{LANES, map3, sum2};
use super::pack::Mat;
use super::parallel::{self, Shared};
use super::rows::exp_row;
use super::{Isa, Kernel, Level, dispatch};
use std::cell::RefCell;

/// A tensor `(images, heads, tokens, width)` in memory with unit stride along the width.
#[derive(Clone, Copy)]
pub(crate) struct Heads {
    ptr: Shared<f32>,
    image: usize,
    head: usize,
    token: usize,
}

impl Heads {
    /// Strides in elements.
    pub(crate) fn new(ptr: *const f32, image: usize, head: usize, token: usize) -> Self {
        Self { ptr: Shared::from_ptr(ptr.cast_mut()), image, head, token }
    }

    #[inline(always)]
    unsafe fn at(self, image: usize, head: usize) -> *mut f32 {
        // SAFETY: the caller stays inside the tensor.
        unsafe { self.ptr.get().add(image * self.image + head * self.head) }
    }

    #[inline(always)]
    unsafe fn mat(self, image: usize, head: usize) -> Mat {
        // SAFETY: as `at`.
        Mat::rows(unsafe { self.at(image, head) }, self.token)
    }
}

/// Sizes of an attention.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) images: usize,
    pub(crate) heads: usize,
    /// Number of queries.
    pub(crate) queries: usize,
    /// Number of keys and values.
    pub(crate) keys: usize,
    /// Width of queries and keys.
    pub(crate) width: usize,
    /// Width of values.
    pub(crate) value: usize,
}

/// The operands; `o` is the output.
#[derive(Clone, Copy)]
pub(crate) struct Operands {
    pub(crate) q: Heads,
    pub(crate) k: Heads,
    pub(crate) v: Heads,
    pub(crate) o: Heads,
}

impl Operands {
    /// Self-attention on `qkv: (B, N, 3, H, d)` writing `o: (B, N, H, d)`.
    pub(crate) fn packed(qkv: *const f32, o: *const f32, tokens: usize, heads: usize, d: usize) -> Self {
        let c = heads * d;
        let part = |i: usize| Heads::new(qkv.wrapping_add(i * c), tokens * 3 * c, d, 3 * c);
        Self { q: part(0), k: part(1), v: part(2), o: Heads::new(o, tokens * c, d, c) }
    }
}

#[derive(Default)]
struct Buffers {
    gemm: SmallBuffers,
    scores: Vec<f32>,
    slopes: Vec<f32>,
    inverse: Vec<f32>,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::new(Buffers::default());
}

/// `o = softmax(q kᵀ·scale) v` for every image and head.
///
/// # Safety
/// The operands are valid for the sizes; `o` overlaps nothing.
pub(crate) unsafe fn forward(level: Level, s: Sizes, x: Operands, scale: f32) {
    parallel::for_each(s.images * s.heads, work(s), |task| {
        let at = (task / s.heads, task % s.heads);
        // SAFETY: each task writes its own image and head.
        BUFFERS
            .with_borrow_mut(|buffers| unsafe { dispatch(level, ForwardTask { buffers, s, x, scale, at }) });
    });
}

/// Gradients of [`forward`]. `x.o` is its output, `d.o` the output's gradient; `d.q`, `d.k` and
/// `d.v` are overwritten.
///
/// # Safety
/// As [`forward`], for both sets of operands; the gradients overlap nothing else.
pub(crate) unsafe fn backward(level: Level, s: Sizes, x: Operands, d: Operands, scale: f32) {
    parallel::for_each(s.images * s.heads, work(s), |task| {
        let at = (task / s.heads, task % s.heads);
        // SAFETY: each task writes its own image and head.
        BUFFERS.with_borrow_mut(|buffers| unsafe {
            dispatch(level, BackwardTask { buffers, s, x, d, scale, at });
        });
    });
}

fn work(s: Sizes) -> usize {
    s.images * s.heads * s.queries * s.keys * (s.width + s.value) / 16
}

/// Row stride of the scores: whole vectors, so that rows can be processed without a tail.
fn stride(keys: usize) -> usize {
    keys.next_multiple_of(LANES)
}

fn room(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    &mut buffer[..len]
}

struct ForwardTask<'a> {
    buffers: &'a mut Buffers,
    s: Sizes,
    x: Operands,
    scale: f32,
    at: (usize, usize),
}

impl Kernel for ForwardTask<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<I: Isa>(self) {
        let Self { buffers, s, x, scale, at: (b, h) } = self;
        let ld = stride(s.keys);
        let scores = room(&mut buffers.scores, s.queries * ld);
        let inverse = room(&mut buffers.inverse, s.queries);
        // SAFETY: operands as promised by the caller of `forward`.
        unsafe {
            let (q, k, v) = (x.q.mat(b, h), x.k.mat(b, h), x.v.mat(b, h));
            let c = Out::new(scores, ld, Epilogue::None);
            small::<I>(&mut buffers.gemm, (s.queries, s.keys, s.width), q, k.t(), c);
            for (row, inverse) in scores.chunks_exact_mut(ld).zip(inverse.iter_mut()) {
                row[s.keys..].fill(f32::NEG_INFINITY);
                *inverse = 1.0 / exp_row::<I>(row, scale);
            }
            let o = x.o.at(b, h);
            let c = Out { ptr: Shared::from_ptr(o), ld: x.o.token, add: false, epilogue: Epilogue::None };
            let p = Mat::rows(scores.as_ptr(), ld);
            small::<I>(&mut buffers.gemm, (s.queries, s.value, s.keys), p, v, c);
            // dividing the output is cheaper than dividing the probabilities
            for (i, &inverse) in inverse.iter().enumerate() {
                for value in std::slice::from_raw_parts_mut(o.add(i * x.o.token), s.value) {
                    *value *= inverse;
                }
            }
        }
    }
}

struct BackwardTask<'a> {
    buffers: &'a mut Buffers,
    s: Sizes,
    x: Operands,
    d: Operands,
    scale: f32,
    at: (usize, usize),
}

impl Kernel for BackwardTask<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<I: Isa>(self) {
        let Self { buffers, s, x, d, scale, at: (b, h) } = self;
        let ld = stride(s.keys);
        let p = room(&mut buffers.scores, s.queries * ld);
        let ds = room(&mut buffers.slopes, s.queries * ld);
        let gemm = &mut buffers.gemm;
        let into = |to: Heads| Out {
            // SAFETY: inside the gradient, as promised by the caller of `backward`.
            ptr: Shared::from_ptr(unsafe { to.at(b, h) }),
            ld: to.token,
            add: false,
            epilogue: Epilogue::None,
        };
        // SAFETY: operands as promised by the caller of `backward`.
        unsafe {
            let (q, k, v, dout) = (x.q.mat(b, h), x.k.mat(b, h), x.v.mat(b, h), d.o.mat(b, h));
            let scores = Out::new(p, ld, Epilogue::None);
            small::<I>(gemm, (s.queries, s.keys, s.width), q, k.t(), scores);
            for row in p.chunks_exact_mut(ld) {
                row[s.keys..].fill(f32::NEG_INFINITY);
                let inverse = 1.0 / exp_row::<I>(row, scale);
                row[s.keys..].fill(0.0); // not denormals, which are slow to multiply
                for value in row {
                    *value *= inverse;
                }
            }
            let probabilities = Mat::rows(p.as_ptr(), ld);
            small::<I>(gemm, (s.keys, s.value, s.queries), probabilities.t(), dout, into(d.v));
            let slopes = Out::new(ds, ld, Epilogue::None);
            small::<I>(gemm, (s.queries, s.keys, s.value), dout, v.t(), slopes);
            let (o, go) = (x.o.at(b, h).cast_const(), d.o.at(b, h).cast_const());
            for (i, (p, ds)) in p.chunks_exact(ld).zip(ds.chunks_exact_mut(ld)).enumerate() {
                let o = std::slice::from_raw_parts(o.add(i * x.o.token), s.value);
                let go = std::slice::from_raw_parts(go.add(i * d.o.token), s.value);
                let dot = sum2(o, go, |o, g| o * g);
                map3(ds, p, p, |ds, p, _| p * scale * (ds - dot));
            }
            let slopes = Mat::rows(ds.as_ptr(), ld);
            small::<I>(gemm, (s.queries, s.width, s.keys), slopes, k, into(d.q));
            small::<I>(gemm, (s.keys, s.width, s.queries), slopes.t(), q, into(d.k));
        }
    }
}
