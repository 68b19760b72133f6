//! The host's table of operations.
//!
//! A prefix type: new operations go after the last field, in a new minor version. The host checks the plugin's view of
//! this table against its own when it loads the plugin, so an operation the host lacks is found then, by name. Big
//! operations (a whole block, attention, layer norm) are single entries because the host has fused kernels for them.

use abi_stable::{
    StableAbi,
    std_types::{ROption, RResult, RSlice, RStr, RVec},
};

use crate::{
    Bin, BoxCustomOp, Dtype, Init, Level, OpResult, PluginError, RandomKind, RawBlock, RawCtx, RawParams,
    RawTensor, Red, Slot, Un,
};

/// Operations of the host. Dimensions given as `i32` may count from the end (−1 is the last).
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = HostOpsRef)))]
#[sabi(missing_field(panic))]
pub struct HostOps {
    /// Another handle on the same storage.
    pub tensor_clone: extern "C" fn(&RawTensor) -> RawTensor,
    /// Gives a handle back.
    pub tensor_drop: extern "C" fn(Slot),
    /// Dimensions; valid as long as the handle.
    pub shape: extern "C" fn(&RawTensor) -> RSlice<'_, usize>,
    /// Element type.
    pub dtype: extern "C" fn(&RawTensor) -> Dtype,

    /// Values in, converted to the context's precision, on its device.
    pub from_f32: extern "C" fn(&RawCtx, RSlice<'_, f32>, RSlice<'_, usize>) -> OpResult,
    /// Indices in.
    pub from_u32: extern "C" fn(&RawCtx, RSlice<'_, u32>, RSlice<'_, usize>) -> OpResult,
    /// Integers in.
    pub from_i64: extern "C" fn(&RawCtx, RSlice<'_, i64>, RSlice<'_, usize>) -> OpResult,
    /// A constant tensor.
    pub full: extern "C" fn(&RawCtx, f64, RSlice<'_, usize>) -> OpResult,
    /// Random values from the context's stream; the same on every device.
    pub random: extern "C" fn(&RawCtx, RandomKind, RSlice<'_, usize>) -> OpResult,
    /// Values out, row-major.
    pub to_f32: extern "C" fn(&RawTensor) -> RResult<RVec<f32>, PluginError>,
    /// Integers out, row-major.
    pub to_i64: extern "C" fn(&RawTensor) -> RResult<RVec<i64>, PluginError>,

    /// Element-wise function.
    pub unary: extern "C" fn(&RawTensor, Un) -> OpResult,
    /// Function of two tensors.
    pub binary: extern "C" fn(&RawTensor, &RawTensor, Bin) -> OpResult,
    /// x · mul + add.
    pub affine: extern "C" fn(&RawTensor, f64, f64) -> OpResult,
    /// xᵖ.
    pub powf: extern "C" fn(&RawTensor, f64) -> OpResult,
    /// x limited to [low, high].
    pub clamp: extern "C" fn(&RawTensor, f64, f64) -> OpResult,
    /// Where the condition (u8) is not 0, the second tensor, else the third.
    pub where_cond: extern "C" fn(&RawTensor, &RawTensor, &RawTensor) -> OpResult,
    /// Reduction along a dimension; the flag keeps it with length 1.
    pub reduce: extern "C" fn(&RawTensor, Red, i32, bool) -> OpResult,
    /// Other element type.
    pub cast: extern "C" fn(&RawTensor, Dtype) -> OpResult,

    /// Other shape, same number of elements; one −1 is inferred.
    pub reshape: extern "C" fn(&RawTensor, RSlice<'_, isize>) -> OpResult,
    /// Reorders all dimensions.
    pub permute: extern "C" fn(&RawTensor, RSlice<'_, usize>) -> OpResult,
    /// Swaps two dimensions.
    pub transpose: extern "C" fn(&RawTensor, i32, i32) -> OpResult,
    /// `len` positions of a dimension from `start`.
    pub narrow: extern "C" fn(&RawTensor, i32, usize, usize) -> OpResult,
    /// Repeats dimensions of length 1 (no copy).
    pub broadcast: extern "C" fn(&RawTensor, RSlice<'_, usize>) -> OpResult,
    /// Joins along a dimension.
    pub cat: extern "C" fn(RSlice<'_, &RawTensor>, i32) -> OpResult,
    /// `out[i] = x[index[i]]` along a dimension; same rank.
    pub gather: extern "C" fn(&RawTensor, &RawTensor, i32) -> OpResult,
    /// Rows of a dimension by a 1-D index.
    pub index_select: extern "C" fn(&RawTensor, &RawTensor, i32) -> OpResult,

    /// x Wᵀ + b, W: (out, in).
    pub linear: extern "C" fn(&RawTensor, &RawTensor, ROption<&RawTensor>) -> OpResult,
    /// gelu(x Wᵀ + b), fused.
    pub linear_gelu: extern "C" fn(&RawTensor, &RawTensor, ROption<&RawTensor>) -> OpResult,
    /// Layer norm over the last dimension: x, weight, bias, eps.
    pub layer_norm: extern "C" fn(&RawTensor, &RawTensor, &RawTensor, f64) -> OpResult,
    /// softmax(q kᵀ · scale) v on (B, H, N, d).
    pub attention: extern "C" fn(&RawTensor, &RawTensor, &RawTensor, f64) -> OpResult,
    /// Self-attention on packed (B, N, 3D), laid out as (3, H, d) → (B, N, D).
    pub attention_qkv: extern "C" fn(&RawTensor, usize) -> OpResult,
    /// A pre-norm transformer block: x, weights, heads, eps, drop-path probability (while training).
    pub transformer_block: extern "C" fn(&RawTensor, &RawBlock<'_>, usize, f64, f64, &RawCtx) -> OpResult,
    /// 2-D convolution: x, kernel, bias, stride, padding.
    pub conv2d: extern "C" fn(&RawTensor, &RawTensor, ROption<&RawTensor>, usize, usize) -> OpResult,

    /// (B,3,H,W) → (B,N,3·p·p), each patch in (channel, row, column) order.
    pub patchify: extern "C" fn(&RawTensor, usize) -> OpResult,
    /// (B,3,H,W) → (B,N,p·p·3), each patch in (row, column, channel) order.
    pub patch_targets: extern "C" fn(&RawTensor, usize) -> OpResult,
    /// (B,N,D), (B,n) u32 → (B,n,D).
    pub gather_tokens: extern "C" fn(&RawTensor, &RawTensor) -> OpResult,
    /// (B,n,D), (B,n) u32, fill (1,1,D), N → (B,N,D) with the fill elsewhere.
    pub scatter_tokens: extern "C" fn(&RawTensor, &RawTensor, &RawTensor, usize) -> OpResult,

    /// Mean over the batch of −Σ target · log softmax(logits); both (B, C).
    pub cross_entropy: extern "C" fn(&RawTensor, &RawTensor) -> OpResult,
    /// Mean over masked patches of the mean square: pred, target (B,N,C), mask (B,N).
    pub masked_mse: extern "C" fn(&RawTensor, &RawTensor, &RawTensor) -> OpResult,
    /// x / max(‖x‖₂, eps) along a dimension.
    pub normalise: extern "C" fn(&RawTensor, i32, f64) -> OpResult,

    /// Zeroes elements with probability p and scales the rest by 1/(1−p).
    pub dropout: extern "C" fn(&RawTensor, f64, &RawCtx) -> OpResult,
    /// The same for whole samples (first dimension).
    pub drop_path: extern "C" fn(&RawTensor, f64, &RawCtx) -> OpResult,

    /// A named parameter; asking again gives the same one.
    pub param: extern "C" fn(&RawParams, RStr<'_>, RSlice<'_, usize>, Init) -> OpResult,
    /// A named tensor that starts with these values; the flag says whether it trains.
    pub param_values:
        extern "C" fn(&RawParams, RStr<'_>, RSlice<'_, usize>, RSlice<'_, f32>, bool) -> OpResult,

    /// A plugin-made operation: inputs (at most 3), shape of the output, the operation.
    pub custom: extern "C" fn(RSlice<'_, &RawTensor>, RSlice<'_, usize>, BoxCustomOp) -> OpResult,
    /// Anything else, by name, with numbers as attributes.
    pub call: extern "C" fn(RStr<'_>, RSlice<'_, &RawTensor>, RSlice<'_, f64>) -> OpResult,
    /// A line for the run's log.
    #[sabi(last_prefix_field)]
    pub log: extern "C" fn(&RawCtx, Level, RStr<'_>),
}
