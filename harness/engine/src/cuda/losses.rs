//! Losses. Kernels give one f32 number per row; what remains is a few candle operations on those. The loss itself has
//! the type of the input, as on the processor.
use super::launch::{Arg, Fresh, Grid, empty, launch};
use super::{f32, flat, node, rows};
use crate::error::Result;
use candle_core::{DType, Tensor};

/// [`crate::ops::cross_entropy`] for targets without gradient: mean over rows of `-Σ t·log softmax(x)`.
pub(crate) fn cross_entropy(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    let (count, d) = rows(logits);
    let (x, targets) = (logits.contiguous()?, f32(targets)?);
    let out = Fresh::new(&x, count, DType::F32)?;
    // (const T *x, const float *t, float *out, int d)
    launch(
        "cross_entropy",
        Some(x.dtype()),
        Grid::blocks(count),
        &[Arg::T(&flat(&x)?), Arg::T(&targets), Arg::Out(&out), Arg::I(d)],
    )?;
    let per_row = node::one("cuda-cross-entropy", &x, out, move |x, _, g| {
        let dx = empty(x, x.shape(), x.dtype())?;
        // (const T *x, const float *t, const float *g, T *dx, int d)
        launch(
            "cross_entropy_grad",
            Some(x.dtype()),
            Grid::blocks(count),
            &[Arg::T(&flat(x)?), Arg::T(&targets), Arg::T(&f32(g)?), Arg::T(&dx), Arg::I(d)],
        )?;
        Ok(Some(dx))
    })?;
    Ok((per_row.sum_all()? / count as f64)?.to_dtype(logits.dtype())?)
}

/// [`crate::ops::masked_mse`] for targets and masks without gradient.
pub(crate) fn masked_mse(pred: &Tensor, target: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let (count, d) = rows(pred);
    let (x, target, mask) = (pred.contiguous()?, f32(target)?, f32(mask)?.flatten_all()?);
    let out = Fresh::new(&x, count, DType::F32)?;
    // (const T *x, const float *t, const float *mask, float *out, int d)
    launch(
        "row_mse",
        Some(x.dtype()),
        Grid::blocks(count),
        &[Arg::T(&flat(&x)?), Arg::T(&target), Arg::T(&mask), Arg::Out(&out), Arg::I(d)],
    )?;
    let weights = mask.clone();
    let per_row = node::one("cuda-masked-mse", &x, out, move |x, _, g| {
        let dx = empty(x, x.shape(), x.dtype())?;
        // (const T *x, const float *t, const float *mask, const float *g, T *dx, int d)
        launch(
            "row_mse_grad",
            Some(x.dtype()),
            Grid::blocks(count),
            &[Arg::T(&flat(x)?), Arg::T(&target), Arg::T(&mask), Arg::T(&f32(g)?), Arg::T(&dx), Arg::I(d)],
        )?;
        Ok(Some(dx))
    })?;
    let total = weights.sum_all()?;
    let none = total.eq(0.0)?.to_dtype(DType::F32)?; // avoids 0/0
    Ok(per_row.mul(&weights)?.sum_all()?.div(&(total + none)?)?.to_dtype(pred.dtype())?)
}
