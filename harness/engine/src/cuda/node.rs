//! Putting a result of ours into candle's graph, with a closure for its gradient.
//!
//! The forward pass has run when the node is made; candle's custom operation only hands over the memory.
use super::launch::Fresh;
use crate::error::Result;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Shape, Storage, Tensor, bail,
};
use std::sync::{Mutex, PoisonError};

struct Node<F> {
    name: &'static str,
    out: Mutex<Option<Storage>>,
    shape: Shape,
    back: F,
}

impl<F> Node<F> {
    fn new(name: &'static str, out: Fresh, back: F) -> Self {
        Self { name, shape: out.shape, out: Mutex::new(Some(out.storage)), back }
    }

    fn take(&self) -> Option<Storage> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn cpu(&self) -> candle_core::Result<(CpuStorage, Shape)> {
        match self.take() {
            Some(Storage::Cpu(storage)) => Ok((storage, self.shape.clone())),
            _ => bail!("{}: the result is not on the CPU", self.name),
        }
    }

    fn cuda(&self) -> candle_core::Result<(CudaStorage, Shape)> {
        match self.take() {
            Some(Storage::Cuda(storage)) => Ok((storage, self.shape.clone())),
            _ => bail!("{}: the result is not on the device", self.name),
        }
    }
}

/// Gradients of two inputs.
pub(super) type Two = (Option<Tensor>, Option<Tensor>);
/// Gradients of three inputs.
pub(super) type Three = (Option<Tensor>, Option<Tensor>, Option<Tensor>);

/// `out` as a function of `x`; `back(x, y, dy)` is the gradient.
pub(super) fn one<F>(name: &'static str, x: &Tensor, out: Fresh, back: F) -> Result<Tensor>
where
    F: Fn(&Tensor, &Tensor, &Tensor) -> Result<Option<Tensor>> + Send + Sync + 'static,
{
    let node = Node::new(name, out, back);
    Ok(if x.track_op() { x.apply_op1(node)? } else { x.apply_op1_no_bwd(&node)? })
}

/// `out` as a function of two tensors; `back(a, b, dy)` gives their gradients.
pub(super) fn two<F>(name: &'static str, (a, b): (&Tensor, &Tensor), out: Fresh, back: F) -> Result<Tensor>
where
    F: Fn(&Tensor, &Tensor, &Tensor) -> Result<Two> + Send + Sync + 'static,
{
    let node = Node::new(name, out, back);
    let tracked = a.track_op() || b.track_op();
    Ok(if tracked { a.apply_op2(b, node)? } else { a.apply_op2_no_bwd(b, &node)? })
}

/// `out` as a function of three tensors; `back(a, b, c, dy)` gives their gradients.
pub(super) fn three<F>(
    name: &'static str,
    (a, b, c): (&Tensor, &Tensor, &Tensor),
    out: Fresh,
    back: F,
) -> Result<Tensor>
where
    F: Fn(&Tensor, &Tensor, &Tensor, &Tensor) -> Result<Three> + Send + Sync + 'static,
{
    let node = Node::new(name, out, back);
    let tracked = a.track_op() || b.track_op() || c.track_op();
    Ok(if tracked { a.apply_op3(b, c, node)? } else { a.apply_op3_no_bwd(b, c, &node)? })
}

impl<F> CustomOp1 for Node<F>
where
    F: Fn(&Tensor, &Tensor, &Tensor) -> Result<Option<Tensor>>,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        self.cpu()
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout) -> candle_core::Result<(CudaStorage, Shape)> {
        self.cuda()
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, g: &Tensor) -> candle_core::Result<Option<Tensor>> {
        Ok((self.back)(x, y, g)?)
    }
}

impl<F> CustomOp2 for Node<F>
where
    F: Fn(&Tensor, &Tensor, &Tensor) -> Result<Two>,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        self.cpu()
    }

    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> candle_core::Result<(CudaStorage, Shape)> {
        self.cuda()
    }

    fn bwd(&self, a: &Tensor, b: &Tensor, _y: &Tensor, g: &Tensor) -> candle_core::Result<Two> {
        Ok((self.back)(a, b, g)?)
    }
}

impl<F> CustomOp3 for Node<F>
where
    F: Fn(&Tensor, &Tensor, &Tensor, &Tensor) -> Result<Three>,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        self.cpu()
    }

    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> candle_core::Result<(CudaStorage, Shape)> {
        self.cuda()
    }

    fn bwd(&self, a: &Tensor, b: &Tensor, c: &Tensor, _y: &Tensor, g: &Tensor) -> candle_core::Result<Three> {
        Ok((self.back)(a, b, c, g)?)
    }
}
