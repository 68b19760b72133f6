//! Dropout and stochastic depth. The device draws the very numbers the processor would draw from the same stream.
use super::launch::{Arg, Fresh, Grid, empty, launch};
use super::{flat, node};
use crate::error::Result;
use crate::rng::Rng;
use candle_core::{DType, Tensor};

/// Multiplies `count` equal parts of `x` by 0 with probability `p`, else by `1/(1-p)`, and advances `rng`.
pub(crate) fn scale_random(x: &Tensor, p: f64, rng: &mut Rng, count: usize) -> Result<Tensor> {
    let factors = empty(x, count, DType::F32)?;
    let at = rng.position();
    let [k0, k1, k2, k3] = rng.key();
    // (float *out, i64 count, u64 at, u64 k0, u64 k1, u64 k2, u64 k3, double p, float keep); a thread makes 8 numbers
    launch(
        "random_keep",
        None,
        Grid::elements(count.div_ceil(8) + 1),
        &[
            Arg::T(&factors),
            Arg::L(count),
            Arg::U(at as u64),
            Arg::U(k0),
            Arg::U(k1),
            Arg::U(k2),
            Arg::U(k3),
            Arg::D(p),
            Arg::F(1.0 / (1.0 - p)),
        ],
    )?;
    *rng = rng.clone().at(at + 2 * count as u128);
    let x = x.contiguous()?;
    let out = Fresh::new(&x, x.shape(), x.dtype())?;
    multiply(&flat(&x)?, &factors, Arg::Out(&out))?;
    node::one("cuda-scale-parts", &x, out, move |x, _, g| {
        let dx = empty(x, x.shape(), x.dtype())?;
        multiply(&flat(&g.to_dtype(x.dtype())?)?, &factors, Arg::T(&dx))?;
        Ok(Some(dx))
    })
}

fn multiply(x: &Tensor, factors: &Tensor, y: Arg) -> Result<()> {
    let n = x.elem_count();
    // (const T *x, const float *factors, T *y, i64 n, i64 part)
    launch(
        "scale_parts",
        Some(x.dtype()),
        Grid::elements(n),
        &[Arg::T(x), Arg::T(factors), y, Arg::L(n), Arg::L(n / factors.elem_count())],
    )
}
