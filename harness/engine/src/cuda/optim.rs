//! Optimiser steps, averages and norms on the device, in place. Parameters and moments are f32, the master copy;
//! gradients may be bf16.
use super::flat;
use super::launch::{Arg, Grid, empty, launch, reaches};
use crate::error::Result;
use crate::kernels::pointwise::AdamStep;
use candle_core::{DType, Tensor};

/// Blocks of a sum of squares; fixed, so that the order of additions depends on the shape only.
const GROUPS: usize = 64;

/// Whether a parameter is updated here: contiguous f32 on a GPU.
pub(crate) fn applies(t: &Tensor) -> bool {
    reaches(t) && t.dtype() == DType::F32 && t.is_contiguous() && t.elem_count() > 0
}

/// Whether a gradient is read here.
pub(crate) fn reads(t: &Tensor) -> bool {
    reaches(t) && matches!(t.dtype(), DType::F32 | DType::BF16) && t.elem_count() > 0
}

/// One Adam or AdamW step on `p` with gradient `g` and moments `m`, `v`, all of one shape.
pub(crate) fn adam(p: &Tensor, g: &Tensor, m: &Tensor, v: &Tensor, step: AdamStep) -> Result<()> {
    let (n, g) = (p.elem_count(), flat(g)?);
    let f = |v: f32| Arg::F(f64::from(v));
    // (float *p, const T *g, float *m, float *v, i64 n, float beta1, beta2, eps, rate, root, keep, coupled)
    launch(
        "adam",
        Some(g.dtype()),
        Grid::elements(n),
        &[
            Arg::T(p),
            Arg::T(&g),
            Arg::T(m),
            Arg::T(v),
            Arg::L(n),
            f(step.beta1),
            f(step.beta2),
            f(step.eps),
            f(step.rate),
            f(step.root),
            f(step.keep),
            f(step.coupled),
        ],
    )
}

/// `t = m·t + (1 - m)·x`
pub(crate) fn average(t: &Tensor, x: &Tensor, m: f64) -> Result<()> {
    let n = t.elem_count();
    // (T *t, const T *x, i64 n, float m)
    launch(
        "average",
        Some(t.dtype()),
        Grid::elements(n),
        &[Arg::T(t), Arg::T(&flat(x)?), Arg::L(n), Arg::F(m)],
    )
}

/// `a += x`, where `x` may be bf16.
pub(crate) fn add(a: &Tensor, x: &Tensor) -> Result<()> {
    let (n, x) = (a.elem_count(), flat(x)?);
    // (float *a, const T *x, i64 n)
    launch("add", Some(x.dtype()), Grid::elements(n), &[Arg::T(a), Arg::T(&x), Arg::L(n)])
}

/// `x *= factor`
pub(crate) fn scale(x: &Tensor, factor: f64) -> Result<()> {
    let n = x.elem_count();
    // (T *x, i64 n, float factor)
    launch("scale", Some(x.dtype()), Grid::elements(n), &[Arg::T(x), Arg::L(n), Arg::F(factor)])
}

/// Σ x² of each tensor in f64, with one copy to the processor for all of them.
pub(crate) fn square_sums(tensors: &[&Tensor]) -> Result<Vec<f64>> {
    let Some(first) = tensors.first() else { return Ok(Vec::new()) };
    let parts = empty(first, (tensors.len(), GROUPS), DType::F64)?;
    for (k, x) in tensors.iter().enumerate() {
        let (x, part) = (flat(x)?, parts.get(k)?);
        // (const T *x, double *out, i64 n)
        launch(
            "square_sum",
            Some(x.dtype()),
            Grid::blocks(GROUPS),
            &[Arg::T(&x), Arg::T(&part), Arg::L(x.elem_count())],
        )?;
    }
    Ok(parts.to_vec2::<f64>()?.iter().map(|parts| parts.iter().sum()).collect())
}
