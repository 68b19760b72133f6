//! Elementwise kernels: GELU, optimiser updates, averages, scaling, sums of squares.
use super::math::{gelu, map, map3};
use super::parallel::{self, Shared};
use super::{Isa, Kernel, Level, dispatch};

/// Elements per task.
const CHUNK: usize = 1 << 15;

/// Calls `f(start, len)` for consecutive chunks of `n` elements.
fn chunks(n: usize, cost: usize, f: impl Fn(usize, usize) + Sync + Send) {
    parallel::for_each(n.div_ceil(CHUNK), n * cost, |task| {
        let start = task * CHUNK;
        f(start, CHUNK.min(n - start));
    });
}

/// `y = gelu(x)`.
pub(crate) fn gelu_forward(level: Level, x: &[f32], y: &mut [f32]) {
    let out = Shared::new(y);
    chunks(x.len(), 8, |start, n| {
        // SAFETY: chunks are disjoint.
        unsafe { dispatch(level, GeluForward { x: &x[start..start + n], y: out.slice(start, n) }) }
    });
}

struct GeluForward<'a> {
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Kernel for GeluForward<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<I: Isa>(self) {
        map(self.x, self.y, |x| gelu::<I>(x).0);
    }
}

/// `dx = dy·gelu'(x)`.
pub(crate) fn gelu_backward(level: Level, x: &[f32], dy: &[f32], dx: &mut [f32]) {
    let out = Shared::new(dx);
    chunks(x.len(), 8, |start, n| {
        let range = start..start + n;
        // SAFETY: chunks are disjoint.
        unsafe {
            let dx = out.slice(start, n);
            dispatch(level, GeluBackward { x: &x[range.clone()], dy: &dy[range], dx });
        }
    });
}

struct GeluBackward<'a> {
    x: &'a [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
}

impl Kernel for GeluBackward<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<I: Isa>(self) {
        map3(self.dx, self.x, self.dy, |_, x, g| g * gelu::<I>(x).1);
    }
}

/// `y = a·x` for equal lengths.
pub(crate) fn product(level: Level, a: &[f32], x: &[f32], y: &mut [f32]) {
    let out = Shared::new(y);
    chunks(x.len(), 1, |start, n| {
        let range = start..start + n;
        // SAFETY: chunks are disjoint.
        unsafe { dispatch(level, Product { a: &a[range.clone()], x: &x[range], y: out.slice(start, n) }) }
    });
}

struct Product<'a> {
    a: &'a [f32],
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Kernel for Product<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<I: Isa>(self) {
        map3(self.y, self.a, self.x, |_, a, x| a * x);
    }
}

/// Constants of one Adam step, bias corrections folded in.
#[derive(Clone, Copy)]
pub(crate) struct AdamStep {
    pub(crate) beta1: f32,
    pub(crate) beta2: f32,
    pub(crate) eps: f32,
    /// lr / (1 - beta1^t)
    pub(crate) rate: f32,
    /// 1 / sqrt(1 - beta2^t)
    pub(crate) root: f32,
    /// Factor on the parameter: 1 - lr·wd (decoupled decay).
    pub(crate) keep: f32,
    /// Weight decay added to the gradient (coupled decay).
    pub(crate) coupled: f32,
}

/// One Adam or AdamW step on a parameter, in one pass.
pub(crate) fn adam(level: Level, p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32], step: AdamStep) {
    let (p, m, v) = (Shared::new(p), Shared::new(m), Shared::new(v));
    chunks(g.len(), 4, |start, n| {
        // SAFETY: chunks are disjoint in all three arrays, which have the length of g.
        unsafe {
            let (p, m, v) = (p.slice(start, n), m.slice(start, n), v.slice(start, n));
            dispatch(level, AdamTask { p, g: &g[start..start + n], m, v, step });
        }
    });
}

struct AdamTask<'a> {
    p: &'a mut [f32],
    g: &'a [f32],
    m: &'a mut [f32],
    v: &'a mut [f32],
    step: AdamStep,
}

impl Kernel for AdamTask<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<I: Isa>(self) {
        let s = self.step;
        let n = self.g.len();
        let (p, g, m, v) = (&mut self.p[..n], &self.g[..n], &mut self.m[..n], &mut self.v[..n]);
        for i in 0..n {
            let g = g[i] + s.coupled * p[i];
            m[i] += (g - m[i]) * (1.0 - s.beta1);
            v[i] = v[i] * s.beta2 + g * g * (1.0 - s.beta2);
            p[i] = p[i] * s.keep - s.rate * m[i] / (v[i].sqrt() * s.root + s.eps);
        }
    }
}

/// Constants of one step of SGD or LARS.
#[derive(Clone, Copy)]
pub(crate) struct MomentumStep {
    /// Factor on the gradient, decay included.
    pub(crate) scale: f32,
    /// Weight decay added to the gradient (coupled decay).
    pub(crate) coupled: f32,
    pub(crate) momentum: f32,
    pub(crate) nesterov: bool,
    /// Learning rate.
    pub(crate) rate: f32,
    /// Factor on the parameter: 1 - lr·wd (decoupled decay).
    pub(crate) keep: f32,
}

/// One SGD or LARS step on a parameter, in one pass. `buffer` is empty without momentum.
pub(crate) fn momentum(level: Level, p: &mut [f32], g: &[f32], buffer: &mut [f32], step: MomentumStep) {
    let keeps = !buffer.is_empty();
    let (p, b) = (Shared::new(p), Shared::new(buffer));
    chunks(g.len(), 2, |start, n| {
        // SAFETY: chunks are disjoint in both arrays, which have the length of g; an empty buffer is not touched.
        unsafe {
            let (p, b) =
                (p.slice(start, n), b.slice(if keeps { start } else { 0 }, if keeps { n } else { 0 }));
            dispatch(level, MomentumTask { p, g: &g[start..start + n], b, step });
        }
    });
}

struct MomentumTask<'a> {
    p: &'a mut [f32],
    g: &'a [f32],
    b: &'a mut [f32],
    step: MomentumStep,
}

impl Kernel for MomentumTask<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<I: Isa>(self) {
        let s = self.step;
        let n = self.g.len();
        let (p, g) = (&mut self.p[..n], &self.g[..n]);
        if self.b.is_empty() {
            for i in 0..n {
                let g = (g[i] + s.coupled * p[i]) * s.scale;
                p[i] = p[i] * s.keep - s.rate * g;
            }
            return;
        }
        let b = &mut self.b[..n];
        for i in 0..n {
            let g = (g[i] + s.coupled * p[i]) * s.scale;
            b[i] = b[i] * s.momentum + g;
            let update = if s.nesterov { g + s.momentum * b[i] } else { b[i] };
            p[i] = p[i] * s.keep - s.rate * update;
        }
    }
}

/// `x += y`.
pub(crate) fn add(level: Level, x: &mut [f32], y: &[f32]) {
    let out = Shared::new(x);
    chunks(y.len(), 1, |start, n| {
        // SAFETY: chunks are disjoint.
        unsafe { dispatch(level, Add { x: out.slice(start, n), y: &y[start..start + n] }) }
    });
}

struct Add<'a> {
    x: &'a mut [f32],
    y: &'a [f32],
}

impl Kernel for Add<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<I: Isa>(self) {
        map3(self.x, self.y, self.y, |x, y, _| x + y);
    }
}

/// Σ p² and Σ (g + decay·p)² in f64: per chunk, then over chunks in order.
pub(crate) fn pair_square_sum(level: Level, p: &[f32], g: &[f32], decay: f32) -> (f64, f64) {
    let mut parts = vec![(0.0f64, 0.0f64); p.len().div_ceil(CHUNK)];
    let out = Shared::new(&mut parts);
    chunks(p.len(), 2, |start, n| {
        let range = start..start + n;
        // SAFETY: each chunk has its own partial sums.
        unsafe {
            *out.get().add(start / CHUNK) =
                dispatch(level, PairSquareSum { p: &p[range.clone()], g: &g[range], decay });
        }
    });
    parts.iter().fold((0.0, 0.0), |sum, part| (sum.0 + part.0, sum.1 + part.1))
}

struct PairSquareSum<'a> {
    p: &'a [f32],
    g: &'a [f32],
    decay: f32,
}

impl Kernel for PairSquareSum<'_> {
    type Output = (f64, f64);
    #[inline(always)]
    unsafe fn run<I: Isa>(self) -> (f64, f64) {
        let (mut parameter, mut update) = ([0.0f64; 8], [0.0f64; 8]);
        let n = self.p.len();
        let (p, g) = (&self.p[..n], &self.g[..n]);
        let mut one = |lane: usize, i: usize| {
            let (p, u) = (f64::from(p[i]), f64::from(g[i] + self.decay * p[i]));
            parameter[lane] += p * p;
            update[lane] += u * u;
        };
        for start in (0..n / 8 * 8).step_by(8) {
            for lane in 0..8 {
                one(lane, start + lane);
            }
        }
        for i in n / 8 * 8..n {
            one(i % 8, i);
        }
        (parameter.iter().sum(), update.iter().sum())
    }
}

/// `t = m·t + (1 - m)·x`.
pub(crate) fn average(level: Level, t: &mut [f32], x: &[f32], m: f32) {
    let out = Shared::new(t);
    chunks(x.len(), 1, |start, n| {
        // SAFETY: chunks are disjoint.
        unsafe { dispatch(level, Average { t: out.slice(start, n), x: &x[start..start + n], m }) }
    });
}

struct Average<'a> {
    t: &'a mut [f32],
    x: &'a [f32],
    m: f32,
}

impl Kernel for Average<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<I: Isa>(self) {
        map3(self.t, self.x, self.x, |t, x, _| t * self.m + x * (1.0 - self.m));
    }
}

/// `x *= factor`.
pub(crate) fn scale(level: Level, x: &mut [f32], factor: f32) {
    let n = x.len();
    let out = Shared::new(x);
    chunks(n, 1, |start, n| {
        // SAFETY: chunks are disjoint.
        unsafe { dispatch(level, Scale { x: out.slice(start, n), factor }) }
    });
}

struct Scale<'a> {
    x: &'a mut [f32],
    factor: f32,
}

impl Kernel for Scale<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<I: Isa>(self) {
        for x in self.x {
            *x *= self.factor;
        }
    }
}

/// Σ x² in f64: per chunk, then over chunks in order.
pub(crate) fn square_sum(level: Level, x: &[f32]) -> f64 {
    let mut parts = vec![0.0f64; x.len().div_ceil(CHUNK)];
    let out = Shared::new(&mut parts);
    chunks(x.len(), 1, |start, n| {
        // SAFETY: each chunk has its own partial sum.
        unsafe { *out.get().add(start / CHUNK) = dispatch(level, SquareSum { x: &x[start..start + n] }) }
    });
    parts.iter().sum()
}

struct SquareSum<'a> {
    x: &'a [f32],
}

impl Kernel for SquareSum<'_> {
    type Output = f64;
    #[inline(always)]
    unsafe fn run<I: Isa>(self) -> f64 {
        let mut acc = [0.0f64; 16];
        let whole = self.x.chunks_exact(16);
        for (a, x) in acc.iter_mut().zip(whole.remainder()) {
            *a = f64::from(*x) * f64::from(*x);
        }
        for chunk in whole {
            for (a, x) in acc.iter_mut().zip(chunk) {
                *a += f64::from(*x) * f64::from(*x);
            }
        }
        acc.iter().sum()
    }
}
