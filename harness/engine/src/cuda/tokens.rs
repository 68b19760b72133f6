//! Gathering and scattering tokens. Position lists stay on the device and are not checked there: a position that does
//! not exist gathers NaN, and repeated positions in a scatter leave it open which token wins.
use super::launch::{Arg, Fresh, Grid, SHARED, empty, launch};
use super::norm::column_sums;
use super::{flat, node, parameter};
use crate::error::Result;
use candle_core::{DType, Tensor};

/// [`crate::ops::gather_tokens`]; `None` where the list is too long for a block's shared memory.
pub(crate) fn gather_tokens(x: &Tensor, keep: &Tensor) -> Result<Option<Tensor>> {
    let (b, total, d) = x.dims3()?;
    let (_, n) = keep.dims2()?;
    if n * 4 > SHARED {
        return Ok(None);
    }
    let (x, keep) = (x.contiguous()?, keep.to_device(x.device())?.contiguous()?);
    let out = Fresh::new(&x, (b, n, d), x.dtype())?;
    pick(&flat(&x)?, &keep, Arg::Out(&out), (b, total, n, d))?;
    node::one("cuda-gather", &x, out, move |x, _, g| {
        let dx = empty(x, x.shape(), x.dtype())?;
        // (const T *dy, const u32 *keep, T *dx, int total, int n, int d)
        launch(
            "gather_tokens_grad",
            Some(x.dtype()),
            Grid::blocks(b * total).shared(n * 4),
            &[
                Arg::T(&flat(&g.to_dtype(x.dtype())?)?),
                Arg::T(&keep),
                Arg::T(&dx),
                Arg::I(total),
                Arg::I(n),
                Arg::I(d),
            ],
        )?;
        Ok(Some(dx))
    })
    .map(Some)
}

/// [`crate::ops::scatter_tokens`].
pub(crate) fn scatter_tokens(x: &Tensor, keep: &Tensor, fill: &Tensor, total: usize) -> Result<Tensor> {
    let (b, n, d) = x.dims3()?;
    let keep = keep.to_device(x.device())?.contiguous()?;
    let out = Fresh::new(x, (b, total, d), x.dtype())?;
    let empty_places = empty(x, b * total, DType::F32)?;
    // (const T *x, const u32 *keep, const T *fill, T *y, float *empty, int total, int n, int d)
    launch(
        "scatter_tokens",
        Some(x.dtype()),
        Grid::blocks(b * total),
        &[
            Arg::T(&flat(x)?),
            Arg::T(&keep),
            Arg::T(&flat(&fill.to_dtype(x.dtype())?)?),
            Arg::Out(&out),
            Arg::T(&empty_places),
            Arg::I(total),
            Arg::I(n),
            Arg::I(d),
        ],
    )?;
    let back = move |x: &Tensor, fill: &Tensor, g: &Tensor| {
        let g = flat(&g.to_dtype(x.dtype())?)?;
        let dx = match x.track_op() {
            true => {
                let dx = empty(x, x.shape(), x.dtype())?;
                pick(&g, &keep, Arg::T(&dx), (b, total, n, d))?;
                Some(dx)
            }
            false => None,
        };
        let df = match fill.track_op() {
            true => parameter(fill, &column_sums(&g.reshape((b * total, d))?, Some(&empty_places))?)?,
            false => None,
        };
        Ok((dx, df))
    };
    node::two("cuda-scatter", (x, fill), out, back)
}

/// `y[b, i] = x[b, keep[b, i]]`
fn pick(x: &Tensor, keep: &Tensor, y: Arg, (b, total, n, d): (usize, usize, usize, usize)) -> Result<()> {
    // (const T *x, const u32 *keep, T *y, int total, int n, int d)
    launch(
        "gather_tokens",
        Some(x.dtype()),
        Grid::blocks(b * n),
        &[Arg::T(x), Arg::T(keep), y, Arg::I(total), Arg::I(n), Arg::I(d)],
    )
}
