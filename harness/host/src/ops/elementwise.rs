//! Functions of elements, matrix products, reductions.

use facebench_abi::{Bin, Dtype, OpResult, RawTensor, Red, Un};
use facebench_engine::{Error, Tensor, ops};

use super::{
    axis, fail,
    handles::{dtype_of, t},
    meet, op,
};

pub(super) extern "C" fn unary(x: &RawTensor, code: Un) -> OpResult {
    op(code, &[x], || {
        let x = t(x);
        Ok(match code {
            Un::NEG => x.neg()?,
            Un::EXP => x.exp()?,
            Un::LOG => x.log()?,
            Un::SQR => x.sqr()?,
            Un::SQRT => x.sqrt()?,
            Un::GELU => ops::gelu(x)?,
            Un::RELU => x.relu()?,
            Un::TANH => x.tanh()?,
            // 1 / (1 + e^-x): every part has a gradient on every device
            Un::SIGMOID => x.neg()?.exp()?.affine(1.0, 1.0)?.recip()?,
            Un::CONTIGUOUS => x.contiguous()?,
            Un::DETACH => x.detach(),
            Un::GELU_TANH => x.gelu()?,
            Un::ABS => x.abs()?,
            Un::SIN => x.sin()?,
            Un::COS => x.cos()?,
            Un::RECIP => x.recip()?,
            Un::ERF => x.erf()?,
            Un::SILU => x.silu()?,
            Un::SUM_ALL => x.sum_all()?,
            Un::MEAN_ALL => x.mean_all()?,
            other => return fail(format!("this program has no function {other}")),
        })
    })
}

pub(super) extern "C" fn binary(a: &RawTensor, b: &RawTensor, code: Bin) -> OpResult {
    op(code, &[a, b], || {
        let (a, b) = &meet(t(a), t(b))?;
        let same = a.shape() == b.shape();
        Ok(match code {
            Bin::ADD if same => a.add(b)?,
            Bin::ADD => a.broadcast_add(b)?,
            Bin::SUB if same => a.sub(b)?,
            Bin::SUB => a.broadcast_sub(b)?,
            Bin::MUL if same => a.mul(b)?,
            Bin::MUL => a.broadcast_mul(b)?,
            Bin::DIV if same => a.div(b)?,
            Bin::DIV => a.broadcast_div(b)?,
            Bin::MATMUL => matmul(a, b)?,
            Bin::MAX => a.broadcast_maximum(b)?,
            Bin::MIN => a.broadcast_minimum(b)?,
            Bin::EQ => a.broadcast_eq(b)?,
            Bin::NE => a.broadcast_ne(b)?,
            Bin::LT => a.broadcast_lt(b)?,
            Bin::LE => a.broadcast_le(b)?,
            Bin::GT => a.broadcast_gt(b)?,
            Bin::GE => a.broadcast_ge(b)?,
            other => return fail(format!("this program has no function {other}")),
        })
    })
}

/// candle accepts a transposed last pair but not arbitrary batch strides, and wants equal batch dimensions.
fn matmul(a: &Tensor, b: &Tensor) -> Result<Tensor, Error> {
    let (ra, rb) = (a.rank(), b.rank());
    if ra < 2 || rb < 2 {
        return fail("a matrix product needs at least 2 dimensions on both sides");
    }
    let plain = |x: &Tensor| -> Result<Tensor, Error> {
        Ok(if x.is_contiguous() || x.t()?.is_contiguous() { x.clone() } else { x.contiguous()? })
    };
    let (a, b) = (plain(a)?, plain(b)?);
    let same = ra == rb && a.dims()[..ra - 2] == b.dims()[..rb - 2];
    Ok(if same { a.matmul(&b)? } else { a.broadcast_matmul(&b)? })
}

pub(super) extern "C" fn affine(x: &RawTensor, mul: f64, add: f64) -> OpResult {
    op("affine", &[x], || Ok(t(x).affine(mul, add)?))
}

pub(super) extern "C" fn powf(x: &RawTensor, p: f64) -> OpResult {
    op("powf", &[x], || Ok(t(x).powf(p)?))
}

pub(super) extern "C" fn clamp(x: &RawTensor, low: f64, high: f64) -> OpResult {
    op("clamp", &[x], || Ok(t(x).clamp(low, high)?))
}

pub(super) extern "C" fn where_cond(cond: &RawTensor, a: &RawTensor, b: &RawTensor) -> OpResult {
    op("where", &[cond, a, b], || {
        let (a, b) = &meet(t(a), t(b))?;
        let shape = t(cond).shape().broadcast_shape_binary_op(a.shape(), "where")?;
        let shape = shape.broadcast_shape_binary_op(b.shape(), "where")?;
        let (cond, a, b) = (t(cond).broadcast_as(&shape)?, a.broadcast_as(&shape)?, b.broadcast_as(&shape)?);
        Ok(cond.where_cond(&a, &b)?)
    })
}

pub(super) extern "C" fn reduce(x: &RawTensor, code: Red, dim: i32, keep: bool) -> OpResult {
    op(format_args!("{code}[dimension {dim}]"), &[x], || {
        let x = t(x);
        let dim = axis(x, dim)?;
        Ok(match (code, keep) {
            (Red::SUM, true) => x.sum_keepdim(dim)?,
            (Red::SUM, false) => x.sum(dim)?,
            (Red::MEAN, true) => x.mean_keepdim(dim)?,
            (Red::MEAN, false) => x.mean(dim)?,
            (Red::MAX, true) => x.max_keepdim(dim)?,
            (Red::MAX, false) => x.max(dim)?,
            (Red::MIN, true) => x.min_keepdim(dim)?,
            (Red::MIN, false) => x.min(dim)?,
            (Red::ARGMAX, true) => x.argmax_keepdim(dim)?,
            (Red::ARGMAX, false) => x.argmax(dim)?,
            (Red::SOFTMAX, _) => ops::softmax(x, dim)?,
            (Red::LOG_SOFTMAX, _) => ops::composite::log_softmax(x, dim)?,
            (other, _) => return fail(format!("this program has no reduction {other}")),
        })
    })
}

pub(super) extern "C" fn cast(x: &RawTensor, to: Dtype) -> OpResult {
    op(format_args!("cast to {to} "), &[x], || Ok(t(x).to_dtype(dtype_of(to)?)?))
}
