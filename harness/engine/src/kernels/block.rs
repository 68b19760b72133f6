//! Forward and backward of a whole pre-norm transformer block on plain slices.
//!
//! One function each way instead of a dozen graph nodes: bias, GELU, its slope and the residual
//! sums happen in the last step of the matrix products; buffers are shared; layer norms are
//! computed again in the backward pass instead of being stored. Kept per token of width D with
//! hidden width M: 5·D + 2·M values.
use super::attention::{self, Operands, Sizes};
use super::epilogue::Epilogue;
use super::few::FEW_ROWS;
use super::gemm::{Out, gemm, gemm_packed};
use super::pack::{Mat, Packed, pack};
use super::parallel::{self, Shared};
use super::rows::{column_sums, layer_norm, layer_norm_backward};
use super::scratch::{Scratch, uninit};
use super::{Level, kept, pointwise};
use std::sync::Arc;

/// Number of parameters of a block.
pub(crate) const PARAMETERS: usize = 12;

/// Positions in the parameter list: timm's order.
#[derive(Clone, Copy)]
pub(crate) enum P {
    Norm1W,
    Norm1B,
    QkvW,
    QkvB,
    ProjW,
    ProjB,
    Norm2W,
    Norm2B,
    Fc1W,
    Fc1B,
    Fc2W,
    Fc2B,
}

/// Sizes of a block's problem.
#[derive(Clone, Copy)]
pub(crate) struct Dims {
    pub(crate) batch: usize,
    pub(crate) tokens: usize,
    pub(crate) width: usize,
    pub(crate) hidden: usize,
    pub(crate) heads: usize,
    pub(crate) eps: f32,
}

impl Dims {
    fn rows(&self) -> usize {
        self.batch * self.tokens
    }

    fn sizes(&self, batch: usize) -> Sizes {
        let d = self.width / self.heads;
        Sizes {
            images: batch,
            heads: self.heads,
            queries: self.tokens,
            keys: self.tokens,
            width: d,
            value: d,
        }
    }

    fn scale(&self) -> f32 {
        1.0 / ((self.width / self.heads) as f32).sqrt()
    }
}

/// What the backward pass needs besides the input.
pub(crate) struct Saved {
    qkv: Vec<f32>,       // (rows, 3D)
    attended: Vec<f32>,  // (rows, D)
    middle: Vec<f32>,    // (rows, D), after the attention branch
    activated: Vec<f32>, // (rows, M)
    slope: Vec<f32>,     // (rows, M), gelu'
}

impl Saved {
    /// Uninitialised room for a problem.
    pub(crate) fn new(d: &Dims) -> Self {
        let (rows, c, m) = (d.rows(), d.width, d.hidden);
        Self {
            qkv: uninit(rows * 3 * c),
            attended: uninit(rows * c),
            middle: uninit(rows * c),
            activated: uninit(rows * m),
            slope: uninit(rows * m),
        }
    }
}

/// Per-sample factors of the residual branches, spread over rows; empty means 1.
pub(crate) struct RowScales {
    pub(crate) attention: Vec<f32>,
    pub(crate) mlp: Vec<f32>,
}

/// A block and its sizes.
pub(crate) struct Problem<'a> {
    pub(crate) level: Level,
    pub(crate) d: &'a Dims,
    pub(crate) w: &'a [&'a [f32]; PARAMETERS],
    pub(crate) scales: &'a RowScales,
}

/// The block: `y` from `x`, both (rows, D). With `saved`, keeps what [`backward`] needs.
pub(crate) fn forward(problem: &Problem<'_>, x: &[f32], y: &mut [f32], saved: Option<&mut Saved>) {
    let &Problem { level, d, w, scales } = problem;
    let (n, c, m) = (d.tokens, d.width, d.hidden);
    assert!(x.len() == d.rows() * c && y.len() == x.len(), "block input and output sizes");
    // A group of images small enough that its activations stay in cache from one step to the next.
    let group = ((rayon::current_num_threads() << 21) / (m * n).max(1)).clamp(1, d.batch.max(1));
    let infers = saved.is_none();
    let mut room = match saved {
        Some(saved) => Room::Kept(saved),
        None => Room::Reused(Scratch::new(group * n * (5 * c + m))),
    };
    let mut normed = Scratch::new(group * n * c);
    let few = d.rows() <= FEW_ROWS;
    let packed = |weight: P, inputs: usize, outputs: usize| {
        let mat = Mat::rows(w[weight as usize].as_ptr(), inputs).t();
        let kept = if infers { kept::packed(level, w[weight as usize], inputs, outputs) } else { None };
        // SAFETY: weights have the sizes the caller checked.
        let now = || (!few).then(|| Arc::new(unsafe { pack(level, mat, inputs, outputs) }));
        Right { mat, packed: kept.or_else(now), outputs }
    };
    let (qkv_w, proj_w) = (packed(P::QkvW, c, 3 * c), packed(P::ProjW, c, c));
    let (fc1_w, fc2_w) = (packed(P::Fc1W, c, m), packed(P::Fc2W, m, c));
    let bias = |b: P| Shared::from_ptr(w[b as usize].as_ptr().cast_mut());
    for first in (0..d.batch).step_by(group) {
        let images = group.min(d.batch - first);
        let (rows, at) = (images * n, first * n);
        let x = &x[at * c..(at + rows) * c];
        let y = &mut y[at * c..(at + rows) * c];
        let (qkv, attended, middle, activated, slope) = room.parts(at, rows, c, m);
        let normed = &mut normed[..rows * c];
        let scale = |s: &[f32]| {
            Shared::from_ptr(
                s.get(at..).filter(|s| !s.is_empty()).map_or(std::ptr::null_mut(), |s| s.as_ptr().cast_mut()),
            )
        };
        let residual = |b: P, from: &[f32], scales: &[f32]| Epilogue::BiasResidual {
            bias: bias(b),
            residual: Shared::from_ptr(from.as_ptr().cast_mut()),
            scale: scale(scales),
        };
        layer_norm(level, x, w[P::Norm1W as usize], w[P::Norm1B as usize], normed, d.eps);
        product(level, rows, normed, c, &qkv_w, Out::new(qkv, 3 * c, Epilogue::Bias(bias(P::QkvB))));
        let heads = Operands::packed(qkv.as_ptr(), attended.as_mut_ptr(), n, d.heads, c / d.heads);
        // SAFETY: qkv and attended have the sizes of `heads`.
        unsafe { attention::forward(level, d.sizes(images), heads, d.scale()) };
        product(
            level,
            rows,
            attended,
            c,
            &proj_w,
            Out::new(middle, c, residual(P::ProjB, x, &scales.attention)),
        );
        layer_norm(level, middle, w[P::Norm2W as usize], w[P::Norm2B as usize], normed, d.eps);
        product(
            level,
            rows,
            normed,
            c,
            &fc1_w,
            Out::new(activated, m, Epilogue::BiasGelu(bias(P::Fc1B), slope)),
        );
        product(level, rows, activated, m, &fc2_w, Out::new(y, c, residual(P::Fc2B, middle, &scales.mlp)));
    }
}

/// Where intermediate results go: into what is saved, or into a buffer used for every group.
enum Room<'a> {
    Kept(&'a mut Saved),
    Reused(Scratch),
}

impl Room<'_> {
    /// qkv, attended, middle, activated and gelu' for rows `at..at + rows`.
    #[allow(clippy::type_complexity)]
    fn parts(
        &mut self,
        at: usize,
        rows: usize,
        c: usize,
        m: usize,
    ) -> (&mut [f32], &mut [f32], &mut [f32], &mut [f32], Shared<f32>) {
        let part = |width: usize| at * width..(at + rows) * width;
        match self {
            Self::Kept(s) => (
                &mut s.qkv[part(3 * c)],
                &mut s.attended[part(c)],
                &mut s.middle[part(c)],
                &mut s.activated[part(m)],
                Shared::new(&mut s.slope[part(m)]),
            ),
            Self::Reused(buffer) => {
                let (qkv, rest) = buffer.split_at_mut(rows * 3 * c);
                let (attended, rest) = rest.split_at_mut(rows * c);
                let (middle, rest) = rest.split_at_mut(rows * c);
                (qkv, attended, middle, &mut rest[..rows * m], Shared::from_ptr(std::ptr::null_mut()))
            }
        }
    }
}

/// A transposed weight as the right side of products, packed once if it is used for many rows.
struct Right {
    mat: Mat,
    packed: Option<Arc<Packed>>,
    outputs: usize,
}

/// `out = x (rows × k) · right`.
fn product(level: Level, rows: usize, x: &[f32], k: usize, right: &Right, out: Out) {
    let x = Mat::rows(x.as_ptr(), k);
    // SAFETY: x has rows of k values, `out` was made from a slice of `rows` rows, and `right` from
    // a weight of k inputs.
    unsafe {
        match &right.packed {
            Some(packed) => gemm_packed(rows, x, packed, out),
            None => gemm(level, rows, right.outputs, k, x, right.mat, out),
        }
    }
}

/// Gradients of a block.
pub(crate) struct Gradients {
    /// Of the input, if asked for.
    pub(crate) x: Option<Vec<f32>>,
    /// Of each parameter asked for.
    pub(crate) weights: [Option<Vec<f32>>; PARAMETERS],
}

/// Gradients from `dy` (rows, D). `need` says which parameters, `need_x` whether the input.
pub(crate) fn backward(
    problem: &Problem<'_>,
    x: &[f32],
    saved: Saved,
    dy: &[f32],
    (need, need_x): ([bool; PARAMETERS], bool),
) -> Gradients {
    let &Problem { level, d, w, scales } = problem;
    let (rows, c, m) = (d.rows(), d.width, d.hidden);
    let needs = |p: P| need[p as usize];
    let mut weights: [Option<Vec<f32>>; PARAMETERS] = Default::default();
    let mut put = |p: P, value: Option<Vec<f32>>| weights[p as usize] = value;
    let affine = |dy: &[f32], o: usize, x: &[f32], i: usize, p: (P, P)| {
        let dw = needs(p.0).then(|| {
            let mut dw = uninit(o * i);
            // SAFETY: dy is (rows, o), x is (rows, i), dw is (o, i).
            unsafe {
                let (a, b) = (Mat::rows(dy.as_ptr(), o).t(), Mat::rows(x.as_ptr(), i));
                gemm(level, o, i, rows, a, b, Out::new(&mut dw, i, Epilogue::None));
            }
            dw
        });
        (dw, needs(p.1).then(|| column_sums(level, dy, o)))
    };
    let back = |dy: &[f32], o: usize, p: P, i: usize, out: &mut [f32], epilogue: Epilogue| {
        // SAFETY: dy is (rows, o), the weight (o, i), out (rows, i).
        unsafe {
            let (a, b) = (Mat::rows(dy.as_ptr(), o), Mat::rows(w[p as usize].as_ptr(), i));
            gemm(level, rows, i, o, a, b, Out::new(out, i, epilogue));
        }
    };
    let Saved { qkv, attended, middle, activated, slope } = saved;
    let mut dx = dy.to_vec();
    let mut narrow = Scratch::new(rows * c); // one (rows, D) intermediate at a time

    // second branch: y = middle + s·(gelu(LN(middle)·W1ᵀ + b1)·W2ᵀ + b2)
    let branch = scaled(&scales.mlp, dy, c);
    let branch = branch.as_deref().unwrap_or(dy);
    let (dw, db) = affine(branch, c, &activated, m, (P::Fc2W, P::Fc2B));
    put(P::Fc2W, dw);
    put(P::Fc2B, db);
    drop(activated);
    let first_branch = need_x || need[..=P::ProjB as usize].contains(&true);
    let second_norm = first_branch || needs(P::Norm2W) || needs(P::Norm2B);
    if second_norm || needs(P::Fc1W) || needs(P::Fc1B) {
        let mut wide = Scratch::new(rows * m);
        let factor = Shared::from_ptr(slope.as_ptr().cast_mut());
        back(branch, c, P::Fc2W, m, &mut wide, Epilogue::Mul(factor));
        drop(slope);
        if needs(P::Fc1W) {
            layer_norm(level, &middle, w[P::Norm2W as usize], w[P::Norm2B as usize], &mut narrow, d.eps);
        }
        let (dw, db) = affine(&wide, m, &narrow, c, (P::Fc1W, P::Fc1B));
        put(P::Fc1W, dw);
        put(P::Fc1B, db);
        if second_norm {
            back(&wide, m, P::Fc1W, c, &mut narrow, Epilogue::None);
            let of = (&middle[..], w[P::Norm2W as usize], &narrow[..]);
            let sums =
                layer_norm_backward(level, of, &mut dx, true, d.eps, needs(P::Norm2W) || needs(P::Norm2B));
            if let Some((dw, db)) = sums {
                put(P::Norm2W, needs(P::Norm2W).then_some(dw));
                put(P::Norm2B, needs(P::Norm2B).then_some(db));
            }
        }
    }
    drop(middle);

    // first branch: middle = x + s·(attention(LN(x)·Wqkvᵀ + b)·Wpᵀ + bp)
    if first_branch {
        let branch = scaled(&scales.attention, &dx, c);
        let branch = branch.as_deref().unwrap_or(&dx);
        let (dw, db) = affine(branch, c, &attended, c, (P::ProjW, P::ProjB));
        put(P::ProjW, dw);
        put(P::ProjB, db);
        let first_norm = need_x || needs(P::Norm1W) || needs(P::Norm1B);
        if first_norm || needs(P::QkvW) || needs(P::QkvB) {
            back(branch, c, P::ProjW, c, &mut narrow, Epilogue::None);
            let mut dqkv = Scratch::new(rows * 3 * c);
            let per =
                |qkv: *const f32, o: *const f32| Operands::packed(qkv, o, d.tokens, d.heads, c / d.heads);
            let (values, slopes) =
                (per(qkv.as_ptr(), attended.as_ptr()), per(dqkv.as_mut_ptr(), narrow.as_ptr()));
            // SAFETY: all four matrices have the sizes of `packed` operands.
            unsafe { attention::backward(level, d.sizes(d.batch), values, slopes, d.scale()) };
            drop((qkv, attended));
            if needs(P::QkvW) {
                layer_norm(level, x, w[P::Norm1W as usize], w[P::Norm1B as usize], &mut narrow, d.eps);
            }
            let (dw, db) = affine(&dqkv, 3 * c, &narrow, c, (P::QkvW, P::QkvB));
            put(P::QkvW, dw);
            put(P::QkvB, db);
            if first_norm {
                back(&dqkv, 3 * c, P::QkvW, c, &mut narrow, Epilogue::None);
                let of = (x, w[P::Norm1W as usize], &narrow[..]);
                let sums = layer_norm_backward(
                    level,
                    of,
                    &mut dx,
                    true,
                    d.eps,
                    needs(P::Norm1W) || needs(P::Norm1B),
                );
                if let Some((dw, db)) = sums {
                    put(P::Norm1W, needs(P::Norm1W).then_some(dw));
                    put(P::Norm1B, needs(P::Norm1B).then_some(db));
                }
            }
        }
    }
    Gradients { x: need_x.then_some(dx), weights }
}

/// `g` with each row multiplied by its factor, or nothing if there are no factors.
fn scaled(factors: &[f32], g: &[f32], c: usize) -> Option<Scratch> {
    if factors.is_empty() {
        return None;
    }
    let mut out = Scratch::new(g.len());
    let target = Shared::new(&mut out);
    let piece = parallel::piece(factors.len(), 64);
    parallel::for_each(factors.len().div_ceil(piece), g.len(), |task| {
        for r in task * piece..factors.len().min((task + 1) * piece) {
            // SAFETY: tasks write disjoint rows.
            let out = unsafe { target.slice(r * c, c) };
            for (o, v) in out.iter_mut().zip(&g[r * c..(r + 1) * c]) {
                *o = v * factors[r];
            }
        }
    });
    Some(out)
}

/// Repeats each of the per-sample factors for all its tokens.
pub(crate) fn spread(factors: &[f32], tokens: usize) -> Vec<f32> {
    factors.iter().flat_map(|&f| std::iter::repeat_n(f, tokens)).collect()
}

/// `g · slope`, elementwise: the last step of a GELU's backward pass outside a block.
pub(crate) fn times(level: Level, g: &[f32], slope: &[f32]) -> Vec<f32> {
    let mut out = uninit(g.len());
    pointwise::product(level, g, slope, &mut out);
    out
}
