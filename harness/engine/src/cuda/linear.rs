//! Affine maps and GELU: cuBLAS for the product, one pass for bias and GELU.
use super::launch::{Arg, Fresh, Grid, empty, launch};
use super::norm::column_sums;
use super::{f32, flat, node, parameter, rows};
use crate::error::Result;
use candle_core::Tensor;

/// [`crate::ops::linear`] and [`crate::ops::linear_gelu`]. `x: (…, I)`, `w: (O, I)`, `b: (O)`. The weight may be f32
/// below bf16 activations; it is then rounded for the product, and its gradient is f32.
pub(crate) fn linear(x: &Tensor, w: &Tensor, b: Option<&Tensor>, with_gelu: bool) -> Result<Tensor> {
    let Some(b) = b else {
        let y = crate::ops::composite::linear(&x.contiguous()?, &w.to_dtype(x.dtype())?, None)?;
        return if with_gelu { gelu(&y) } else { Ok(y) };
    };
    let (count, inner) = rows(x);
    let (outer, _) = w.dims2()?;
    let mut dims = x.dims().to_vec();
    if let Some(last) = dims.last_mut() {
        *last = outer;
    }
    let rounded = w.detach().to_dtype(x.dtype())?; // (O, I)
    let input = flat(x)?.reshape((count, inner))?;
    let before = input.matmul(&rounded.t()?)?; // (rows, O), without bias
    let bias = f32(b)?;
    let out = Fresh::new(x, dims, x.dtype())?;
    bias_act(&before, Some(&bias), &out, with_gelu)?;
    let before = with_gelu.then_some(before);
    let back = move |x: &Tensor, w: &Tensor, b: &Tensor, g: &Tensor| {
        let mut g = flat(&g.to_dtype(x.dtype())?)?.reshape((count, outer))?;
        if let Some(before) = &before {
            g = gelu_grad(before, Some(&bias), &g)?;
        }
        let dx = match x.track_op() {
            true => Some(g.matmul(&rounded)?.reshape(x.shape())?),
            false => None,
        };
        let dw = match w.track_op() {
            true => parameter(w, &g.t()?.matmul(&flat(x)?.reshape((count, inner))?)?)?,
            false => None,
        };
        let db = match b.track_op() {
            true => parameter(b, &column_sums(&g, None)?)?,
            false => None,
        };
        Ok((dx, dw, db))
    };
    node::three("cuda-linear", (x, w, b), out, back)
}

/// [`crate::ops::gelu`].
pub(crate) fn gelu(x: &Tensor) -> Result<Tensor> {
    let x = x.contiguous()?;
    let out = Fresh::new(&x, x.shape(), x.dtype())?;
    bias_act(&flat(&x)?, None, &out, true)?;
    node::one("cuda-gelu", &x, out, |x, _, g| {
        gelu_grad(&flat(x)?, None, &flat(&g.to_dtype(x.dtype())?)?).map(Some)
    })
}

fn bias_act(x: &Tensor, bias: Option<&Tensor>, out: &Fresh, with_gelu: bool) -> Result<()> {
    let n = x.elem_count();
    // (const T *x, const float *bias, T *y, i64 n, int d, int gelu)
    launch(
        "bias_act",
        Some(x.dtype()),
        Grid::elements(n),
        &[
            Arg::T(x),
            bias.map_or(Arg::Null, Arg::T),
            Arg::Out(out),
            Arg::L(n),
            Arg::I(rows(x).1),
            Arg::I(usize::from(with_gelu)),
        ],
    )
}

fn gelu_grad(x: &Tensor, bias: Option<&Tensor>, g: &Tensor) -> Result<Tensor> {
    let n = x.elem_count();
    let dx = empty(x, x.shape(), x.dtype())?;
    // (const T *x, const float *bias, const T *dy, T *dx, i64 n, int d)
    launch(
        "gelu_grad",
        Some(x.dtype()),
        Grid::elements(n),
        &[Arg::T(x), bias.map_or(Arg::Null, Arg::T), Arg::T(g), Arg::T(&dx), Arg::L(n), Arg::I(rows(x).1)],
    )?;
    Ok(dx)
}
