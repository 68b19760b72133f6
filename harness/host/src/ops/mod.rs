//! The boundary's table of operations, over the engine and candle.
//!
//! Every entry catches a panic of its own (it must not unwind into the plugin) and names the operation and the shapes in
//! its error. Big operations go to the engine's kernels; the rest is candle, with strides and broadcasting normalised so
//! that plugins need not know candle's rules.

mod custom;
mod elementwise;
mod handles;
mod layers;
mod tensors;

use std::{
    fmt::Display,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::OnceLock,
};

use facebench_abi::{
    ErrKind, HostOps, HostOpsRef, OpResult, PluginError, RawTensor,
    abi_stable::{
        prefix_type::PrefixTypeTrait,
        std_types::{RErr, ROk, RResult},
    },
};
use facebench_engine::{DType, Error, Tensor};

use handles::t;
pub(crate) use handles::{Params, raw, take};

/// Two operands in one type: bf16 activations meet f32 parameters in bf16.
fn meet(a: &Tensor, b: &Tensor) -> Result<(Tensor, Tensor), Error> {
    let half = DType::BF16;
    Ok(match (a.dtype(), b.dtype()) {
        (DType::F32, DType::BF16) => (a.to_dtype(half)?, b.clone()),
        (DType::BF16, DType::F32) => (a.clone(), b.to_dtype(half)?),
        _ => (a.clone(), b.clone()),
    })
}

/// The table, made once.
pub(crate) fn host_ops() -> HostOpsRef {
    static OPS: OnceLock<HostOpsRef> = OnceLock::new();
    *OPS.get_or_init(|| {
        HostOps {
            tensor_clone: handles::tensor_clone,
            tensor_drop: handles::tensor_drop,
            shape: handles::shape,
            dtype: handles::dtype,
            from_f32: tensors::from_f32,
            from_u32: tensors::from_u32,
            from_i64: tensors::from_i64,
            full: tensors::full,
            random: tensors::random,
            to_f32: tensors::to_f32,
            to_i64: tensors::to_i64,
            unary: elementwise::unary,
            binary: elementwise::binary,
            affine: elementwise::affine,
            powf: elementwise::powf,
            clamp: elementwise::clamp,
            where_cond: elementwise::where_cond,
            reduce: elementwise::reduce,
            cast: elementwise::cast,
            reshape: tensors::reshape,
            permute: tensors::permute,
            transpose: tensors::transpose,
            narrow: tensors::narrow,
            broadcast: tensors::broadcast,
            cat: tensors::cat,
            gather: tensors::gather,
            index_select: tensors::index_select,
            linear: layers::linear,
            linear_gelu: layers::linear_gelu,
            layer_norm: layers::layer_norm,
            attention: layers::attention,
            attention_qkv: layers::attention_qkv,
            transformer_block: layers::transformer_block,
            conv2d: layers::conv2d,
            patchify: layers::patchify,
            patch_targets: layers::patch_targets,
            gather_tokens: layers::gather_tokens,
            scatter_tokens: layers::scatter_tokens,
            cross_entropy: layers::cross_entropy,
            masked_mse: layers::masked_mse,
            normalise: layers::normalise,
            dropout: layers::dropout,
            drop_path: layers::drop_path,
            param: handles::param,
            param_values: handles::param_values,
            custom: custom::custom,
            call: custom::call,
            log: handles::log,
        }
        .leak_into_prefix()
    })
}

/// Runs the body of an entry; `name` and `inputs` go into the error.
#[inline]
fn run<T>(
    name: impl Display,
    inputs: &[&RawTensor],
    body: impl FnOnce() -> Result<T, Error>,
) -> RResult<T, PluginError> {
    let place = || {
        let shapes: Vec<String> = inputs.iter().map(|r| format!("{:?}", t(r).dims())).collect();
        format!("{name}({})", shapes.join(", "))
    };
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(value)) => ROk(value),
        Ok(Err(e)) => RErr(PluginError::new(ErrKind::OP, format!("{}: {e}", place()))),
        Err(payload) => {
            let message = payload
                .downcast_ref::<&str>()
                .map(ToString::to_string)
                .or_else(|| payload.downcast_ref::<String>().cloned())
                .unwrap_or_default();
            RErr(PluginError::new(ErrKind::OP, format!("{}: the program panicked: {message}", place())))
        }
    }
}

/// [`run`] for the entries that make a tensor.
#[inline]
fn op(name: impl Display, inputs: &[&RawTensor], body: impl FnOnce() -> Result<Tensor, Error>) -> OpResult {
    run(name, inputs, body).map(raw)
}

fn fail<T>(message: impl Into<String>) -> Result<T, Error> {
    Err(Error::Tensor(candle_core::Error::Msg(message.into())))
}

/// A dimension that may count from the end.
fn axis(x: &Tensor, dim: i32) -> Result<usize, Error> {
    let rank = x.rank() as i64;
    let at = if dim < 0 { rank + i64::from(dim) } else { i64::from(dim) };
    if (0..rank).contains(&at) {
        Ok(at as usize)
    } else {
        fail(format!("no dimension {dim} in {:?}", x.dims()))
    }
}
