//! Operations made by plugins, and operations called by name.
//!
//! A plugin-made operation runs on f32 slices on the CPU, as a candle custom operation with its own backward; for other
//! devices and precisions the tensors are converted on the way in and out, which is differentiable too.

use std::sync::Arc;

use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, DType, Device, Layout, Result as CandleResult, Shape,
};
use facebench_abi::{
    BoxCustomOp, OpResult, RawTensor,
    abi_stable::std_types::{RSlice, RSliceMut, RStr, RVec},
};
use facebench_engine::{Tensor, ops};

use super::{fail, handles::t, op};
use crate::watch;

/// An operation with the shape of its output.
#[derive(Clone)]
struct PluginOp {
    op: Arc<BoxCustomOp>,
    shape: Shape,
}

fn failed(e: impl std::fmt::Display) -> candle_core::Error {
    candle_core::Error::Msg(e.to_string())
}

fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> CandleResult<&'a [f32]> {
    let all = storage.as_slice::<f32>()?;
    let (start, end) = layout.contiguous_offsets().ok_or_else(|| failed("an input is not contiguous"))?;
    Ok(&all[start..end])
}

impl PluginOp {
    fn forward(&self, inputs: &[(&CpuStorage, &Layout)]) -> CandleResult<(CpuStorage, Shape)> {
        let x: Vec<RSlice<'_, f32>> =
            inputs.iter().map(|(s, l)| Ok(RSlice::from_slice(slice(s, l)?))).collect::<CandleResult<_>>()?;
        let mut out = vec![0f32; self.shape.elem_count()];
        let result = self.op.forward(RSlice::from_slice(&x), RSliceMut::from_mut_slice(&mut out));
        result.into_result().map_err(failed)?;
        Ok((CpuStorage::F32(out), self.shape.clone()))
    }

    /// d loss / d input for every input.
    fn backward(&self, inputs: &[&Tensor], out: &Tensor, grad: &Tensor) -> CandleResult<Vec<Option<Tensor>>> {
        let values = |x: &Tensor| x.flatten_all()?.to_vec1::<f32>();
        let x: Vec<Vec<f32>> = inputs.iter().map(|x| values(x)).collect::<CandleResult<_>>()?;
        let slices: Vec<RSlice<'_, f32>> = x.iter().map(|v| RSlice::from_slice(v)).collect();
        let (out, grad) = (values(out)?, values(grad)?);
        let mut dx: Vec<RVec<f32>> = x.iter().map(|v| RVec::from(vec![0f32; v.len()])).collect();
        let (out, grad) = (RSlice::from_slice(&out), RSlice::from_slice(&grad));
        let result =
            self.op.backward(RSlice::from_slice(&slices), out, grad, RSliceMut::from_mut_slice(&mut dx));
        result.into_result().map_err(failed)?;
        let tensor = |(d, x): (RVec<f32>, &&Tensor)| {
            if d.len() != x.elem_count() {
                return Err(failed(format!(
                    "{}: gradient of {} values for {:?}",
                    self.op.name(),
                    d.len(),
                    x.dims()
                )));
            }
            Tensor::from_vec(d.into_vec(), x.shape(), &Device::Cpu).map(Some)
        };
        dx.into_iter().zip(inputs).map(tensor).collect()
    }
}

impl CustomOp1 for PluginOp {
    fn name(&self) -> &'static str {
        "plugin operation"
    }
    fn cpu_fwd(&self, s: &CpuStorage, l: &Layout) -> CandleResult<(CpuStorage, Shape)> {
        self.forward(&[(s, l)])
    }
    fn bwd(&self, x: &Tensor, out: &Tensor, grad: &Tensor) -> CandleResult<Option<Tensor>> {
        Ok(self.backward(&[x], out, grad)?.swap_remove(0))
    }
}

impl CustomOp2 for PluginOp {
    fn name(&self) -> &'static str {
        "plugin operation"
    }
    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> CandleResult<(CpuStorage, Shape)> {
        self.forward(&[(s1, l1), (s2, l2)])
    }
    fn bwd(
        &self,
        x1: &Tensor,
        x2: &Tensor,
        out: &Tensor,
        grad: &Tensor,
    ) -> CandleResult<(Option<Tensor>, Option<Tensor>)> {
        let mut dx = self.backward(&[x1, x2], out, grad)?;
        Ok((dx[0].take(), dx[1].take()))
    }
}

impl CustomOp3 for PluginOp {
    fn name(&self) -> &'static str {
        "plugin operation"
    }
    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> CandleResult<(CpuStorage, Shape)> {
        self.forward(&[(s1, l1), (s2, l2), (s3, l3)])
    }
    fn bwd(
        &self,
        x1: &Tensor,
        x2: &Tensor,
        x3: &Tensor,
        out: &Tensor,
        grad: &Tensor,
    ) -> CandleResult<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let mut dx = self.backward(&[x1, x2, x3], out, grad)?;
        Ok((dx[0].take(), dx[1].take(), dx[2].take()))
    }
}

pub(super) extern "C" fn custom(
    inputs: RSlice<'_, &RawTensor>,
    shape: RSlice<'_, usize>,
    made: BoxCustomOp,
) -> OpResult {
    let name = made.name();
    op(format_args!("plugin operation {name}"), inputs.as_slice(), || {
        let Some(first) = inputs.first().map(|x| t(x)) else { return fail("no inputs") };
        let (device, dtype) = (first.device().clone(), first.dtype());
        let cpu = |x: &&RawTensor| t(x).to_device(&Device::Cpu)?.to_dtype(DType::F32)?.contiguous();
        let x: Vec<Tensor> = inputs.iter().map(cpu).collect::<CandleResult<_>>()?;
        let made = PluginOp { op: Arc::new(made), shape: Shape::from(shape.as_slice()) };
        let y = match x.as_slice() {
            [a] => a.apply_op1(made)?,
            [a, b] => a.apply_op2(b, made)?,
            [a, b, c] => a.apply_op3(b, c, made)?,
            more => return fail(format!("{} inputs, at most 3 are possible", more.len())),
        };
        Ok(y.to_dtype(dtype)?.to_device(&device)?)
    })
}

/// Names [`call`] knows; kept here so that an unknown one can be answered with them.
const NAMED: [&str; 9] = [
    "cumsum",
    "argsort",
    "upsample_nearest2d",
    "conv2d",
    "batch_norm",
    "max_pool2d",
    "avg_pool2d",
    "regrid_positions",
    "observe",
];

pub(super) extern "C" fn call(
    name: RStr<'_>,
    inputs: RSlice<'_, &RawTensor>,
    attributes: RSlice<'_, f64>,
) -> OpResult {
    op(name, inputs.as_slice(), || {
        let Some(x) = inputs.first().map(|x| t(x)) else { return fail("no inputs") };
        let input = |i: usize| match inputs.get(i) {
            Some(x) => Ok(t(x)),
            None => fail(format!("{} tensors, at least {} are needed", inputs.len(), i + 1)),
        };
        let whole = |i: usize| attributes.get(i).map_or(0, |a| *a as i32);
        Ok(match name.as_str() {
            "cumsum" => x.cumsum(super::axis(x, whole(0))?)?,
            "argsort" => x.contiguous()?.arg_sort_last_dim(true)?,
            // rows and columns of the old grid, then of the new one
            "regrid_positions" => {
                let side = |i: usize| whole(i).max(0) as usize;
                facebench_engine::nn::regrid_positions(x, (side(0), side(1)), (side(2), side(3)))?
            }
            "upsample_nearest2d" => {
                x.upsample_nearest2d(whole(0).max(1) as usize, whole(1).max(1) as usize)?
            }
            // x, filters, bias or not; stride, dilation, groups, zeros above, below, left, right
            "conv2d" => {
                let size = |i: usize| whole(i).max(0) as usize;
                let pad = [size(3), size(4), size(5), size(6)];
                let conv = ops::Conv2d { stride: size(0), dilation: size(1), groups: size(2), pad };
                ops::conv2d(x, input(1)?, inputs.get(2).map(|b| t(b)), conv)?
            }
            // x, weight, bias, running mean and variance; eps, momentum, 1 while training. A layer whose weight does not
            // train is frozen as a whole: its statistics are the running ones
            "batch_norm" => {
                let number = |i: usize| attributes.get(i).copied().unwrap_or_default();
                let weight = input(1)?;
                let trains = number(2) == 1.0 && weight.track_op();
                let running = [input(3)?, input(4)?];
                ops::batch_norm(x, weight, input(2)?, running, number(0), trains.then(|| number(1)))?
            }
            // window, stride, padding
            "max_pool2d" => {
                let size = |i: usize| whole(i).max(0) as usize;
                ops::max_pool2d(x, size(0), size(1), size(2))?
            }
            // gives x back; 0: x is the input of a block, 1: x are attention probabilities (B, H, N, M)
            "observe" => match whole(0) {
                0 => watch::block_input(x)?,
                1 => {
                    watch::attention(|| Ok(x.clone()))?;
                    x.clone()
                }
                kind => return fail(format!("nothing is observed as kind {kind}")),
            },
            // window, stride
            "avg_pool2d" => ops::avg_pool2d(x, whole(0).max(0) as usize, whole(1).max(0) as usize)?,
            other => {
                return fail(format!(
                    "this program has no operation {other:?}\nhint: it knows {}; newer programs may know more",
                    NAMED.join(", ")
                ));
            }
        })
    })
}
