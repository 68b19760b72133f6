//! GELU and softmax.
use super::{composite, fast, half};
use crate::cuda;
use crate::error::Result;
use crate::kernels::scratch::uninit;
use crate::kernels::{level, pointwise, rows};
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};

/// Exact (erf) GELU, elementwise.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    if cuda::applies(x, &[]) {
        return cuda::gelu(x);
    }
    if half::on_cpu(x) {
        return half::in_f32(x, [], |x, []| gelu(x));
    }
    if !fast::applies(&[x]) {
        return composite::gelu(x);
    }
    apply(&x.contiguous()?, GeluOp)
}

/// Softmax over dimension `dim`.
pub fn softmax(x: &Tensor, dim: usize) -> Result<Tensor> {
    if cuda::applies(x, &[]) && dim + 1 == x.rank() {
        return cuda::softmax(x, 1.0);
    }
    if half::on_cpu(x) {
        return half::in_f32(x, [], |x, []| softmax(x, dim));
    }
    if !fast::applies(&[x]) || dim + 1 != x.rank() || x.elem_count() == 0 {
        return composite::softmax(x, dim);
    }
    apply(&x.contiguous()?, SoftmaxOp)
}

fn apply<C: CustomOp1 + Send + Sync + 'static>(x: &Tensor, op: C) -> Result<Tensor> {
    Ok(if x.track_op() { x.apply_op1(op)? } else { x.apply_op1_no_bwd(&op)? })
}

struct GeluOp;

impl CustomOp1 for GeluOp {
    fn name(&self) -> &'static str {
        "fused-gelu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let x = fast::values(x, layout)?;
        let mut y = uninit(x.len());
        pointwise::gelu_forward(level(), x, &mut y);
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, g: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let mut dx = uninit(x.elem_count());
        fast::with(x, |x| {
            fast::with(g, |g| {
                pointwise::gelu_backward(level(), x, g, &mut dx);
                Ok(())
            })
        })?;
        Ok(Some(fast::tensor(dx, x.shape())?))
    }
}

struct SoftmaxOp;

impl CustomOp1 for SoftmaxOp {
    fn name(&self) -> &'static str {
        "fused-softmax"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let x = fast::values(x, layout)?;
        let mut y = uninit(x.len());
        rows::softmax(level(), x, &mut y, last(layout.shape()));
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, _x: &Tensor, y: &Tensor, g: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let mut dx = uninit(y.elem_count());
        fast::with(y, |v| {
            fast::with(g, |g| {
                rows::softmax_backward(level(), v, g, &mut dx, last(y.shape()));
                Ok(())
            })
        })?;
        Ok(Some(fast::tensor(dx, y.shape())?))
    }
}

fn last(shape: &Shape) -> usize {
    shape.dims().last().copied().unwrap_or(1)
}
