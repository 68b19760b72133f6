//! Half-precision activations beside f32 parameters, where no kernel of ours takes them.
//!
//! A CPU has no arithmetic of its own for them: an operation computes in f32 and rounds its result once. That is slower
//! than f32 and serves to try `precision: bf16` without a GPU.
use crate::cuda;
use crate::error::Result;
use candle_core::{DType, Tensor};

/// Whether `x` is in half precision, on any device.
pub(super) fn is(x: &Tensor) -> bool {
    matches!(x.dtype(), DType::BF16 | DType::F16)
}

/// Whether `x` is in half precision on the CPU.
pub(super) fn on_cpu(x: &Tensor) -> bool {
    is(x) && x.device().is_cpu() && !cuda::stands_in()
}

/// `f` of `x` and `others` in f32, its result in the type of `x`.
pub(super) fn in_f32<const N: usize>(
    x: &Tensor,
    others: [&Tensor; N],
    f: impl FnOnce(&Tensor, [Tensor; N]) -> Result<Tensor>,
) -> Result<Tensor> {
    let mut wide = Vec::with_capacity(N);
    for other in others {
        wide.push(other.to_dtype(DType::F32)?);
    }
    let wide: [Tensor; N] = wide.try_into().expect("as many as were given");
    Ok(f(&x.to_dtype(DType::F32)?, wide)?.to_dtype(x.dtype())?)
}
