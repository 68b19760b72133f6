//! The operations on NVIDIA GPUs: kernels of ours, launched through candle's device, with their gradients.
//!
//! Each function here is the device form of one in [`crate::ops`] or [`crate::optim`], taken where `applies` says
//! so: tensors on a GPU in f32 or bf16, parameters in f32 (the master copy) or in the type of the activations.
//! Matrix products are cuBLAS through candle; bf16 attention is cuDNN's where its library is there. Everything happens
//! on the device's one stream, without copies to the processor; reductions have a fixed order. What has no kernel is a
//! composition of candle operations, each of which has a gradient (`docs/cuda.md` lists both).
//!
//! All of this is compiled in every build and tested without a GPU: the tests run the same kernels, compiled as C++,
//! on CPU tensors (`tests.rs`, `kernels/emulate.cpp`). Only `driver.rs` needs the feature `cuda`.
mod attention;
mod cudnn;
mod device;
#[cfg(feature = "cuda")]
mod driver;
mod fused;
#[cfg(test)]
mod fused_tests;
mod launch;
mod linear;
mod losses;
mod node;
mod norm;
pub(crate) mod optim;
mod random;
#[cfg(test)]
mod tests;
mod tokens;

pub(crate) use attention::{attention, attention_qkv, softmax};
pub use device::{open, set_tf32};
pub use fused::attention_kind;
pub(crate) use linear::{gelu, linear};
pub(crate) use losses::{cross_entropy, masked_mse};
pub(crate) use norm::{layer_norm, normalise_pixels};
pub(crate) use random::scale_random;
pub(crate) use tokens::{gather_tokens, scatter_tokens};

use crate::error::Result;
use candle_core::{DType, Tensor};

/// Whether `x` and what goes with it are on a GPU, in types the kernels know.
pub(crate) fn applies(x: &Tensor, others: &[&Tensor]) -> bool {
    let known = |t: &Tensor| matches!(t.dtype(), DType::F32 | DType::BF16);
    launch::reaches(x)
        && known(x)
        && others.iter().all(|t| launch::reaches(t) && (t.dtype() == DType::F32 || t.dtype() == x.dtype()))
        && x.elem_count() > 0
}

/// Whether CPU tensors stand in for those of a GPU on this thread; only in tests of this folder.
pub(crate) fn stands_in() -> bool {
    #[cfg(test)]
    {
        tests::emulated()
    }
    #[cfg(not(test))]
    {
        false
    }
}

/// The values in f32, contiguous, outside any graph. Free for an f32 parameter.
fn f32(t: &Tensor) -> Result<Tensor> {
    Ok(t.detach().to_dtype(DType::F32)?.contiguous()?)
}

/// The values contiguous, outside any graph.
fn flat(t: &Tensor) -> Result<Tensor> {
    Ok(t.detach().contiguous()?)
}

/// Rows and width: everything but the last dimension, and the last.
fn rows(t: &Tensor) -> (usize, usize) {
    let width = t.dims().last().copied().unwrap_or(1);
    (t.elem_count() / width.max(1), width)
}

/// The gradient of an input that may be a variable, in its type: deposited where a backward pass of ours collects,
/// else returned for candle to add.
fn parameter(input: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
    let grad = grad.to_dtype(input.dtype())?.reshape(input.shape())?;
    Ok(if input.is_variable() && crate::grad::deposit(input, &grad) { None } else { Some(grad) })
}
