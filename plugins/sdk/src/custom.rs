//! [`CustomFn`]: a differentiable operation of the plugin's own, on raw f32 slices.
//!
//! For what the host's operations cannot express or are too slow at. The host puts it into its graph and, on other
//! devices or in other precisions, converts to f32 on the CPU and back.

use facebench_abi::{
    CustomOp, PluginError,
    abi_stable::std_types::{RResult, RSlice, RSliceMut, RString, RVec},
};

use crate::{Result, boundary::guard};

/// Forward and backward of one operation. Use with [`Tensor::custom`](crate::Tensor::custom).
pub trait CustomFn: Send + Sync + 'static {
    /// For messages.
    const NAME: &'static str;
    /// Writes the output, which arrives filled with zeros.
    fn forward(&self, x: &[&[f32]], out: &mut [f32]) -> Result<()>;
    /// Writes d loss / d x_i into `dx[i]`, which arrives filled with zeros.
    fn backward(&self, x: &[&[f32]], out: &[f32], grad: &[f32], dx: &mut [&mut [f32]]) -> Result<()>;
}

pub(crate) struct CustomAdapter<F>(pub(crate) F);

impl<F: CustomFn> CustomOp for CustomAdapter<F> {
    fn name(&self) -> RString {
        F::NAME.into()
    }

    fn forward(
        &self,
        x: RSlice<'_, RSlice<'_, f32>>,
        mut out: RSliceMut<'_, f32>,
    ) -> RResult<(), PluginError> {
        guard(F::NAME, "forward", || {
            let x: Vec<&[f32]> = x.iter().map(RSlice::as_slice).collect();
            self.0.forward(&x, out.as_mut_slice())
        })
    }

    fn backward(
        &self,
        x: RSlice<'_, RSlice<'_, f32>>,
        out: RSlice<'_, f32>,
        grad: RSlice<'_, f32>,
        mut dx: RSliceMut<'_, RVec<f32>>,
    ) -> RResult<(), PluginError> {
        guard(F::NAME, "backward", || {
            let x: Vec<&[f32]> = x.iter().map(RSlice::as_slice).collect();
            let mut dx: Vec<&mut [f32]> = dx.iter_mut().map(RVec::as_mut_slice).collect();
            self.0.backward(&x, out.as_slice(), grad.as_slice(), &mut dx)
        })
    }
}
