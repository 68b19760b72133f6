//! Layer norm, pixel norm and column sums.
use super::launch::{Arg, BLOCK, Fresh, Grid, SHARED, empty, launch};
use super::{f32, flat, node, parameter, rows};
use crate::error::Result;
use candle_core::{DType, Tensor};

/// Rows the backward kernel keeps in shared memory: x̂, w·dy and two sums.
const KEPT: usize = 4;

/// Blocks of the backward pass; fixed, so that sums have the same order on every GPU.
const GROUPS: usize = 256;

/// [`crate::ops::layer_norm`]; `None` where a row is too wide for a block's shared memory.
pub(crate) fn layer_norm(x: &Tensor, w: &Tensor, b: &Tensor, eps: f64) -> Result<Option<Tensor>> {
    let (count, d) = rows(x);
    if KEPT * d * 4 > SHARED {
        return Ok(None);
    }
    let x = x.contiguous()?;
    let out = Fresh::new(&x, x.shape(), x.dtype())?;
    forward(&x, Some((&f32(w)?, &f32(b)?)), &out, (count, d), 0, eps)?;
    let back = move |x: &Tensor, w: &Tensor, b: &Tensor, g: &Tensor| {
        let weights = w.track_op() || b.track_op();
        let groups = count.min(GROUPS);
        let dx = x.track_op().then(|| empty(x, x.shape(), x.dtype())).transpose()?;
        let parts = weights.then(|| empty(x, (groups, 2 * d), DType::F32)).transpose()?;
        // (const T *x, const float *w, const T *dy, T *dx, float *parts, int rows, int d, float eps)
        launch(
            "layer_norm_grad",
            Some(x.dtype()),
            Grid::blocks(groups).shared(KEPT * d * 4),
            &[
                Arg::T(&flat(x)?),
                Arg::T(&f32(w)?),
                Arg::T(&flat(&g.to_dtype(x.dtype())?)?),
                dx.as_ref().map_or(Arg::Null, Arg::T),
                parts.as_ref().map_or(Arg::Null, Arg::T),
                Arg::I(count),
                Arg::I(d),
                Arg::F(eps),
            ],
        )?;
        let Some(parts) = parts else { return Ok((dx, None, None)) };
        let sums = column_sums(&parts, None)?; // (2 d): dw, db
        let of = |p: &Tensor, start: usize| match p.track_op() {
            true => parameter(p, &sums.narrow(0, start, d)?),
            false => Ok(None),
        };
        Ok((dx, of(w, 0)?, of(b, d)?))
    };
    node::three("cuda-layer-norm", (&x, w, b), out, back).map(Some)
}

/// [`crate::ops::normalise_pixels`]: unbiased variance, no parameters, no gradient.
pub(crate) fn normalise_pixels(t: &Tensor) -> Result<Option<Tensor>> {
    let (count, d) = rows(t);
    if t.track_op() || d * 4 > SHARED {
        return Ok(None);
    }
    let t = t.contiguous()?;
    let out = Fresh::new(&t, t.shape(), t.dtype())?;
    forward(&t, None, &out, (count, d), 1, 1e-6)?;
    node::one("cuda-pixel-norm", &t, out, |_, _, _| Ok(None)).map(Some)
}

fn forward(
    x: &Tensor,
    weights: Option<(&Tensor, &Tensor)>,
    out: &Fresh,
    (count, d): (usize, usize),
    ddof: usize,
    eps: f64,
) -> Result<()> {
    let (w, b) = weights.map_or((Arg::Null, Arg::Null), |(w, b)| (Arg::T(w), Arg::T(b)));
    // (const T *x, const float *w, const float *b, T *y, int d, int ddof, float eps)
    launch(
        "layer_norm",
        Some(x.dtype()),
        Grid::blocks(count).shared(d * 4),
        &[Arg::T(x), w, b, Arg::Out(out), Arg::I(d), Arg::I(ddof), Arg::F(eps)],
    )
}

/// Sums over rows, `(rows, d)` → `(d)` in f32; rows may be weighted by `mask: (rows)`. Two passes, so that many rows
/// keep the device busy; the order of additions depends on the shape only.
pub(super) fn column_sums(x: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
    let (count, d) = rows(x);
    let chunk = count.div_ceil(128).max(16);
    let parts = sums(x, mask, (count, d), chunk)?;
    let left = count.div_ceil(chunk);
    if left > 1 { sums(&parts, None, (left, d), left) } else { Ok(parts) }?.reshape(d).map_err(Into::into)
}

fn sums(x: &Tensor, mask: Option<&Tensor>, (count, d): (usize, usize), chunk: usize) -> Result<Tensor> {
    let chunks = count.div_ceil(chunk);
    let out = empty(x, (chunks, d), DType::F32)?;
    // (const T *x, const float *mask, float *out, int rows, int d, int chunk)
    launch(
        "column_sums",
        Some(x.dtype()),
        Grid::blocks(d.div_ceil(BLOCK)).by(chunks),
        &[Arg::T(x), mask.map_or(Arg::Null, Arg::T), Arg::T(&out), Arg::I(count), Arg::I(d), Arg::I(chunk)],
    )?;
    Ok(out)
}
