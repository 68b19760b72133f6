//! Softmax and multi-head attention: cuBLAS for the products, one kernel for scale and softmax.
//!
//! bf16 attention on a packed projection is cuDNN's where that can be used (`fused.rs`). Here scores are (B, H, N, N) in
//! memory while an operation runs and are computed again in the backward pass, so a graph keeps only the packed
//! projection. Scores of bf16 inputs are rounded to bf16 between the product and the softmax, as in PyTorch's unfused
//! attention.
use super::launch::{Arg, Fresh, Grid, empty, launch};
use super::{flat, node, rows};
use crate::error::Result;
use candle_core::Tensor;

/// [`crate::ops::softmax`] of `scale · x` over the last dimension.
pub(crate) fn softmax(x: &Tensor, scale: f64) -> Result<Tensor> {
    let x = x.contiguous()?;
    let out = Fresh::new(&x, x.shape(), x.dtype())?;
    launch_softmax(&flat(&x)?, Arg::Out(&out), scale)?;
    node::one("cuda-softmax", &x, out, move |_, y, g| {
        softmax_grad(&flat(y)?, &flat(&g.to_dtype(y.dtype())?)?, scale).map(Some)
    })
}

/// [`crate::ops::attention`] on `(B, H, N, d)` tensors: products of candle around the softmax.
pub(crate) fn attention(q: &Tensor, k: &Tensor, v: &Tensor, scale: f64) -> Result<Tensor> {
    let scores = q.contiguous()?.matmul(&k.contiguous()?.t()?)?; // (B, H, N, M)
    Ok(softmax(&scores, scale)?.matmul(&v.contiguous()?)?)
}

/// [`crate::ops::attention_qkv`]: `(B, N, 3D)` → `(B, N, D)`.
pub(crate) fn attention_qkv(qkv: &Tensor, heads: usize) -> Result<Tensor> {
    let qkv = qkv.contiguous()?;
    if let Some(out) = super::fused::attention_qkv(&qkv, heads)? {
        return Ok(out);
    }
    let (b, n, c3) = qkv.dims3()?;
    let d = c3 / 3 / heads;
    let packed = Packed { batch: b, tokens: n, heads, d, scale: 1.0 / (d as f64).sqrt() };
    let (_, _, v, p) = packed.probabilities(&flat(&qkv)?)?;
    let o = p.matmul(&v)?; // (B, H, N, d)
    let out = Fresh::new(&qkv, (b, n, heads * d), qkv.dtype())?;
    packed.heads(&o, Arg::Out(&out), 1, (0, 1), true)?;
    node::one("cuda-attention", &qkv, out, move |qkv, _, g| packed.backward(qkv, g).map(Some))
}

#[derive(Clone, Copy)]
struct Packed {
    batch: usize,
    tokens: usize,
    heads: usize,
    d: usize,
    scale: f64,
}

impl Packed {
    /// q, k, v `(B, H, N, d)` and the attention matrix `(B, H, N, N)`.
    fn probabilities(&self, qkv: &Tensor) -> Result<(Tensor, Tensor, Tensor, Tensor)> {
        let apart = empty(qkv, (3, self.batch, self.heads, self.tokens, self.d), qkv.dtype())?;
        self.heads(qkv, Arg::T(&apart), 3, (0, 3), false)?;
        let (q, k, v) = (apart.get(0)?, apart.get(1)?, apart.get(2)?);
        let scores = q.matmul(&k.t()?)?;
        let p = empty(&scores, scores.shape(), scores.dtype())?;
        launch_softmax(&scores, Arg::T(&p), self.scale)?;
        Ok((q, k, v, p))
    }

    /// Reorders parts `from .. from + count` of `parts` between `(B, N, parts, H, d)` and `(count, B, H, N, d)`.
    fn heads(
        &self,
        x: &Tensor,
        y: Arg,
        parts: usize,
        (from, count): (usize, usize),
        back: bool,
    ) -> Result<()> {
        // (const T *x, T *y, int batch, int tokens, int s, int from, int count, int h, int d, int back)
        launch(
            "heads",
            Some(x.dtype()),
            Grid::blocks(self.batch * self.tokens),
            &[
                Arg::T(x),
                y,
                Arg::I(self.batch),
                Arg::I(self.tokens),
                Arg::I(parts),
                Arg::I(from),
                Arg::I(count),
                Arg::I(self.heads),
                Arg::I(self.d),
                Arg::I(usize::from(back)),
            ],
        )
    }

    fn backward(&self, qkv: &Tensor, g: &Tensor) -> Result<Tensor> {
        let (q, k, v, p) = self.probabilities(&flat(qkv)?)?;
        let g = flat(&g.to_dtype(qkv.dtype())?)?;
        let go = empty(&g, q.shape(), g.dtype())?;
        self.heads(&g, Arg::T(&go), 1, (0, 1), false)?;
        let dv = p.t()?.matmul(&go)?;
        let ds = softmax_grad(&p, &go.matmul(&v.t()?)?, self.scale)?;
        drop(p);
        let (dq, dk) = (ds.matmul(&k)?, ds.t()?.matmul(&q)?);
        let out = empty(qkv, qkv.shape(), qkv.dtype())?;
        for (part, gradient) in [dq, dk, dv].iter().enumerate() {
            self.heads(gradient, Arg::T(&out), 3, (part, 1), true)?;
        }
        Ok(out)
    }
}

fn launch_softmax(x: &Tensor, y: Arg, scale: f64) -> Result<()> {
    let (count, d) = rows(x);
    // (const T *x, T *y, int rows, int d, float scale)
    launch(
        "softmax",
        Some(x.dtype()),
        Grid::blocks(count.div_ceil(4)),
        &[Arg::T(x), y, Arg::I(count), Arg::I(d), Arg::F(scale)],
    )
}

fn softmax_grad(y: &Tensor, g: &Tensor, scale: f64) -> Result<Tensor> {
    let (count, d) = rows(y);
    let dx = empty(y, y.shape(), y.dtype())?;
    // (const T *y, const T *dy, T *dx, int rows, int d, float scale)
    launch(
        "softmax_grad",
        Some(y.dtype()),
        Grid::blocks(count.div_ceil(4)),
        &[Arg::T(y), Arg::T(g), Arg::T(&dx), Arg::I(count), Arg::I(d), Arg::F(scale)],
    )?;
    Ok(dx)
}
