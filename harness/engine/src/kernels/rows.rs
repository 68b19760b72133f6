//! Kernels over the rows of a matrix: layer norm, softmax, column sums.
//!
//! Sums over rows (parameter gradients) are taken per piece of rows and then over pieces in order;
//! the size of a piece depends on the number of rows only.
use super::math::{LANES, exp, fma, map, map3, sum, sum2, tree};
use super::parallel::{self, Shared};
use super::scratch::Scratch;
use super::{Isa, Kernel, Level, dispatch};

/// Mean and 1/sqrt(variance + eps) of a row, in two passes.
#[inline(always)]
fn moments(x: &[f32], eps: f32) -> (f32, f32) {
    let n = x.len() as f32;
    let mean = sum(x, |v| v) / n;
    let var = sum(x, |v| (v - mean) * (v - mean)) / n;
    (mean, 1.0 / (var + eps).sqrt())
}

/// `y = (x - mean)·rstd·w + b` for each row of `w.len()` values.
pub(crate) fn layer_norm(level: Level, x: &[f32], w: &[f32], b: &[f32], y: &mut [f32], eps: f32) {
    let n = w.len();
    let rows = x.len() / n.max(1);
    let piece = parallel::piece(rows, 16);
    let out = Shared::new(y);
    parallel::for_each(rows.div_ceil(piece), x.len() * 4, |task| {
        let (first, last) = (task * piece, rows.min((task + 1) * piece));
        // SAFETY: tasks write disjoint rows; the instruction set is available.
        unsafe {
            let y = out.slice(first * n, (last - first) * n);
            dispatch(level, NormForward { x: &x[first * n..last * n], w, b, y, eps });
        }
    });
}

struct NormForward<'a> {
    x: &'a [f32],
    w: &'a [f32],
    b: &'a [f32],
    y: &'a mut [f32],
    eps: f32,
}

impl Kernel for NormForward<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<I: Isa>(self) {
        let n = self.w.len();
        let (w, b) = (&self.w[..n], &self.b[..n]);
        for (x, y) in self.x.chunks_exact(n).zip(self.y.chunks_exact_mut(n)) {
            let (mean, rstd) = moments(x, self.eps);
            y.copy_from_slice(x);
            map3(y, w, b, |x, w, b| fma::<I>((x - mean) * rstd, w, b));
        }
    }
}

/// Gradients of [`layer_norm`]: `dx` is written, or added to what is there if `add`. Returns
/// (dw, db) if `weights` is set. Statistics are computed again from `x`.
pub(crate) fn layer_norm_backward(
    level: Level,
    (x, w, dy): (&[f32], &[f32], &[f32]),
    dx: &mut [f32],
    add: bool,
    eps: f32,
    weights: bool,
) -> Option<(Vec<f32>, Vec<f32>)> {
    let n = w.len();
    let rows = x.len() / n.max(1);
    let piece = parallel::piece(rows, 16);
    let pieces = rows.div_ceil(piece);
    let mut partial = Scratch::new(if weights { pieces * 2 * n } else { 0 });
    let (out, sums) = (Shared::new(dx), Shared::new(&mut partial));
    parallel::for_each(pieces, x.len() * 8, |task| {
        let (first, last) = (task * piece, rows.min((task + 1) * piece));
        let range = first * n..last * n;
        // SAFETY: tasks write disjoint rows of dx and disjoint partial sums.
        unsafe {
            let dx = out.slice(range.start, range.len());
            let sums = weights.then(|| sums.slice(task * 2 * n, 2 * n).split_at_mut(n));
            dispatch(level, NormBackward { x: &x[range.clone()], w, dy: &dy[range], dx, add, eps, sums });
        }
    });
    weights.then(|| {
        let (mut dw, mut db) = (vec![0.0; n], vec![0.0; n]);
        for part in partial.chunks_exact(2 * n) {
            for i in 0..n {
                dw[i] += part[i];
                db[i] += part[n + i];
            }
        }
        (dw, db)
    })
}

struct NormBackward<'a> {
    x: &'a [f32],
    w: &'a [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
    add: bool,
    eps: f32,
    sums: Option<(&'a mut [f32], &'a mut [f32])>,
}

impl Kernel for NormBackward<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<I: Isa>(mut self) {
        let n = self.w.len();
        let w = &self.w[..n];
        let mut xhat = vec![0.0; n];
        if let Some((dw, db)) = &mut self.sums {
            dw.fill(0.0);
            db.fill(0.0);
        }
        for ((x, dy), dx) in
            self.x.chunks_exact(n).zip(self.dy.chunks_exact(n)).zip(self.dx.chunks_exact_mut(n))
        {
            let (mean, rstd) = moments(x, self.eps);
            let a = sum2(dy, w, |g, w| g * w) / n as f32;
            // xhat is written to a row of its own, so that each loop has few operands
            let xhat = &mut xhat[..n];
            map(x, xhat, |x| (x - mean) * rstd);
            if let Some((dw, db)) = &mut self.sums {
                map3(&mut dw[..n], dy, xhat, |dw, g, x| fma::<I>(g, x, dw));
                map3(&mut db[..n], dy, dy, |db, g, _| db + g);
            }
            let c = sum3(dy, w, xhat) / n as f32;

            // xhat becomes the gradient of x
            map3(xhat, dy, w, |x, g, w| (g * w - a - x * c) * rstd);
            if self.add {
                map3(dx, xhat, xhat, |dx, g, _| dx + g);
            } else {
                dx.copy_from_slice(xhat);
            }
        }
    }
}

/// `Σ dy·w·xhat` in the order of [`sum`].
#[inline(always)]
fn sum3(dy: &[f32], w: &[f32], xhat: &[f32]) -> f32 {
    let mut acc = [0.0f32; LANES];
    let ((dy, dy_rest), (w, w_rest)) = (dy.as_chunks::<LANES>(), w.as_chunks::<LANES>());
    let (xhat, xhat_rest) = xhat.as_chunks::<LANES>();
    for ((dy, w), x) in dy.iter().zip(w).zip(xhat) {
        for i in 0..LANES {
            acc[i] += dy[i] * w[i] * x[i];
        }
    }
    for (i, acc) in acc.iter_mut().enumerate().take(dy_rest.len()) {
        *acc += dy_rest[i] * w_rest[i] * xhat_rest[i];
    }
    tree(&acc)
}

/// Column sums of a matrix with rows of `n` values.
pub(crate) fn column_sums(level: Level, x: &[f32], n: usize) -> Vec<f32> {
    let rows = x.len() / n.max(1);
    let piece = parallel::piece(rows, 32);
    let pieces = rows.div_ceil(piece);
    let mut partial = Scratch::new(pieces * n);
    let out = Shared::new(&mut partial);
    parallel::for_each(pieces, x.len(), |task| {
        let range = task * piece * n..rows.min((task + 1) * piece) * n;
        // SAFETY: each task writes its own partial sums.
        unsafe { dispatch(level, ColumnSums { x: &x[range], out: out.slice(task * n, n) }) }
    });
    let mut total = vec![0.0; n];
    for part in partial.chunks_exact(n.max(1)) {
        for (t, p) in total.iter_mut().zip(part) {
            *t += p;
        }
    }
    total
}

struct ColumnSums<'a> {
    x: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for ColumnSums<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<I: Isa>(self) {
        self.out.fill(0.0);
        for row in self.x.chunks_exact(self.out.len()) {
            map3(self.out, row, row, |o, v, _| o + v);
        }
    }
}

/// Turns `row` into `exp(scale·row - max)` and returns the sum. `row.len()` must be a multiple of
/// [`LANES`]; the caller fills the tail with -inf.
#[inline(always)]
pub(crate) fn exp_row<I: Isa>(row: &mut [f32], scale: f32) -> f32 {
    let mut top = [f32::NEG_INFINITY; LANES];
    for chunk in row.chunks_exact(LANES) {
        for (t, &v) in top.iter_mut().zip(chunk) {
            *t = if v > *t { v } else { *t };
        }
    }
    let mut max = top[0];
    for &t in &top {
        max = if t > max { t } else { max };
    }
    let shift = -max * scale;
    let mut acc = [0.0f32; LANES];
    for chunk in row.chunks_exact_mut(LANES) {
        for (a, v) in acc.iter_mut().zip(chunk) {
            let e = exp::<I>(fma::<I>(*v, scale, shift));
            *v = e;
            *a += e;
        }
    }
    tree(&acc)
}

/// Softmax of each row of `n` values.
pub(crate) fn softmax(level: Level, x: &[f32], y: &mut [f32], n: usize) {
    let rows = x.len() / n.max(1);
    let piece = parallel::piece(rows, 16);
    let out = Shared::new(y);
    parallel::for_each(rows.div_ceil(piece), x.len() * 8, |task| {
        let range = task * piece * n..rows.min((task + 1) * piece) * n;
        // SAFETY: tasks write disjoint rows.
        unsafe {
            let y = out.slice(range.start, range.len());
            dispatch(level, SoftmaxForward { x: &x[range], y, n });
        }
    });
}

struct SoftmaxForward<'a> {
    x: &'a [f32],
    y: &'a mut [f32],
    n: usize,
}

impl Kernel for SoftmaxForward<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<I: Isa>(self) {
        let n = self.n;
        let mut padded = vec![f32::NEG_INFINITY; n.next_multiple_of(LANES)];
        for (x, y) in self.x.chunks_exact(n).zip(self.y.chunks_exact_mut(n)) {
            padded[..n].copy_from_slice(x);
            padded[n..].fill(f32::NEG_INFINITY);
            let inverse = 1.0 / exp_row::<I>(&mut padded, 1.0);
            map(&padded[..n], y, |v| v * inverse);
        }
    }
}

/// Gradient of [`softmax`]: `dx = y·(dy - Σ y·dy)` per row.
pub(crate) fn softmax_backward(level: Level, y: &[f32], dy: &[f32], dx: &mut [f32], n: usize) {
    let rows = y.len() / n.max(1);
    let piece = parallel::piece(rows, 16);
    let out = Shared::new(dx);
    parallel::for_each(rows.div_ceil(piece), y.len() * 4, |task| {
        let range = task * piece * n..rows.min((task + 1) * piece) * n;
        // SAFETY: tasks write disjoint rows.
        unsafe {
            let dx = out.slice(range.start, range.len());
            dispatch(level, SoftmaxBackward { y: &y[range.clone()], dy: &dy[range], dx, n });
        }
    });
}

struct SoftmaxBackward<'a> {
    y: &'a [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
    n: usize,
}

impl Kernel for SoftmaxBackward<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<I: Isa>(self) {
        let n = self.n;
        for ((y, dy), dx) in
            self.y.chunks_exact(n).zip(self.dy.chunks_exact(n)).zip(self.dx.chunks_exact_mut(n))
        {
            let dot = sum2(y, dy, |y, g| y * g);
            map3(dx, y, dy, |_, y, g| y * (g - dot));
        }
    }
}
