//! Values in and out, and everything that only moves them.

use facebench_abi::{
    OpResult, PluginError, RandomKind, RawCtx, RawTensor,
    abi_stable::std_types::{RResult, RSlice, RVec},
};
use facebench_engine::{DType, Error, Tensor};

use super::{
    axis, fail,
    handles::{ctx, t},
    meet, op, run,
};

/// Elements of a shape whose product could overflow.
fn count(shape: &[usize]) -> Result<usize, Error> {
    let product = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
    product.map_or_else(|| fail(format!("shape {shape:?} is too large")), Ok)
}

fn check_count(values: usize, shape: &[usize]) -> Result<(), Error> {
    if count(shape)? == values { Ok(()) } else { fail(format!("{values} values for shape {shape:?}")) }
}

pub(super) extern "C" fn from_f32(c: &RawCtx, values: RSlice<'_, f32>, shape: RSlice<'_, usize>) -> OpResult {
    op("from_f32", &[], || {
        check_count(values.len(), shape.as_slice())?;
        let tensor = Tensor::from_slice(values.as_slice(), shape.as_slice(), ctx(c).device())?;
        Ok(tensor.to_dtype(ctx(c).dtype())?)
    })
}

pub(super) extern "C" fn from_u32(c: &RawCtx, values: RSlice<'_, u32>, shape: RSlice<'_, usize>) -> OpResult {
    op("from_u32", &[], || {
        check_count(values.len(), shape.as_slice())?;
        Ok(Tensor::from_slice(values.as_slice(), shape.as_slice(), ctx(c).device())?)
    })
}

pub(super) extern "C" fn from_i64(c: &RawCtx, values: RSlice<'_, i64>, shape: RSlice<'_, usize>) -> OpResult {
    op("from_i64", &[], || {
        check_count(values.len(), shape.as_slice())?;
        Ok(Tensor::from_slice(values.as_slice(), shape.as_slice(), ctx(c).device())?)
    })
}

pub(super) extern "C" fn full(c: &RawCtx, value: f64, shape: RSlice<'_, usize>) -> OpResult {
    op("full", &[], || {
        count(shape.as_slice())?;
        let tensor = Tensor::full(value, shape.as_slice(), ctx(c).device())?;
        Ok(tensor.to_dtype(ctx(c).dtype())?)
    })
}

pub(super) extern "C" fn random(c: &RawCtx, kind: RandomKind, shape: RSlice<'_, usize>) -> OpResult {
    op("random", &[], || {
        let n = count(shape.as_slice())?;
        let mut rng = ctx(c).stream();
        let values: Vec<f32> = match kind {
            RandomKind::UNIFORM => (0..n).map(|_| rng.uniform() as f32).collect(),
            RandomKind::NORMAL => (0..n).map(|_| rng.normal() as f32).collect(),
            other => return fail(format!("this program has no distribution {other}")),
        };
        Ok(Tensor::from_vec(values, shape.as_slice(), ctx(c).device())?.to_dtype(ctx(c).dtype())?)
    })
}

pub(super) extern "C" fn to_f32(x: &RawTensor) -> RResult<RVec<f32>, PluginError> {
    run("to_f32", &[x], || Ok(RVec::from(t(x).to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?)))
}

pub(super) extern "C" fn to_i64(x: &RawTensor) -> RResult<RVec<i64>, PluginError> {
    run("to_i64", &[x], || Ok(RVec::from(t(x).to_dtype(DType::I64)?.flatten_all()?.to_vec1::<i64>()?)))
}

pub(super) extern "C" fn reshape(x: &RawTensor, shape: RSlice<'_, isize>) -> OpResult {
    op(format_args!("reshape to {shape:?} "), &[x], || {
        let x = t(x);
        let sizes: Vec<Option<usize>> = shape.iter().map(|&d| usize::try_from(d).ok()).collect();
        let known = count(&sizes.iter().flatten().copied().collect::<Vec<_>>())?;
        let inferred = sizes.iter().filter(|d| d.is_none()).count();
        if inferred > 1 || (inferred == 1 && (known == 0 || !x.elem_count().is_multiple_of(known))) {
            return fail("the inferred dimension does not come out");
        }
        let sizes: Vec<usize> = sizes.iter().map(|d| d.unwrap_or_else(|| x.elem_count() / known)).collect();
        Ok(x.reshape(sizes)?)
    })
}

pub(super) extern "C" fn permute(x: &RawTensor, order: RSlice<'_, usize>) -> OpResult {
    op(format_args!("permute{order:?}"), &[x], || Ok(t(x).permute(order.to_vec())?))
}

pub(super) extern "C" fn transpose(x: &RawTensor, a: i32, b: i32) -> OpResult {
    op(format_args!("transpose[{a}, {b}]"), &[x], || Ok(t(x).transpose(axis(t(x), a)?, axis(t(x), b)?)?))
}

pub(super) extern "C" fn narrow(x: &RawTensor, dim: i32, start: usize, len: usize) -> OpResult {
    op(format_args!("narrow[dimension {dim}, start {start}, length {len}]"), &[x], || {
        Ok(t(x).narrow(axis(t(x), dim)?, start, len)?)
    })
}

pub(super) extern "C" fn broadcast(x: &RawTensor, shape: RSlice<'_, usize>) -> OpResult {
    op(format_args!("broadcast to {shape:?} "), &[x], || Ok(t(x).broadcast_as(shape.as_slice())?))
}

pub(super) extern "C" fn cat(tensors: RSlice<'_, &RawTensor>, dim: i32) -> OpResult {
    op("cat", tensors.as_slice(), || {
        let Some(first) = tensors.first().map(|x| t(x)) else { return fail("no tensors") };
        let half = tensors.iter().find(|x| t(x).dtype() == DType::BF16).map(|x| t(x));
        let with = half.unwrap_or(first);
        let list = tensors.iter().map(|x| Ok(meet(t(x), with)?.0));
        Ok(Tensor::cat(&list.collect::<Result<Vec<Tensor>, Error>>()?, axis(first, dim)?)?)
    })
}

pub(super) extern "C" fn gather(x: &RawTensor, index: &RawTensor, dim: i32) -> OpResult {
    op("gather", &[x, index], || Ok(t(x).contiguous()?.gather(&t(index).contiguous()?, axis(t(x), dim)?)?))
}

pub(super) extern "C" fn index_select(x: &RawTensor, index: &RawTensor, dim: i32) -> OpResult {
    op("index_select", &[x, index], || {
        Ok(t(x).contiguous()?.index_select(&t(index).contiguous()?, axis(t(x), dim)?)?)
    })
}
