//! What the slots hold: tensors, contexts, parameter stores.
//!
//! The candle tensor (one `Arc`) lies *in* the slot, so a handle costs no allocation. A context or store handle points
//! to a value that the caller of the plugin keeps borrowed for the duration of the call.

use std::{mem::ManuallyDrop, sync::Arc};

use facebench_abi::{
    Dtype, Init, Level, OpResult, OpsPtr, RawCtx, RawParams, RawTensor, Slot,
    abi_stable::std_types::{RSlice, RStr},
};
use facebench_engine::{DType, Error, ParamStore, Tensor, params};

use super::{fail, host_ops, op};
use crate::RunCtx;

const _: () = assert!(size_of::<Tensor>() == size_of::<Slot>());
const _: () = assert!(align_of::<Tensor>() == align_of::<Slot>());

/// The tensor in a handle.
#[inline]
pub(super) fn t(raw: &RawTensor) -> &Tensor {
    // SAFETY: every slot was written by `raw`, with a Tensor of the same size and alignment (asserted above).
    unsafe { &*std::ptr::from_ref(&raw.slot).cast::<Tensor>() }
}

/// A handle that owns the tensor.
#[inline]
pub(crate) fn raw(tensor: Tensor) -> RawTensor {
    // SAFETY: same size (asserted above); the slot is only ever turned back into a Tensor.
    let slot = unsafe { std::mem::transmute::<Tensor, Slot>(tensor) };
    RawTensor { slot, ops: OpsPtr(host_ops()) }
}

/// The tensor out of a handle.
#[inline]
pub(crate) fn take(raw: RawTensor) -> Tensor {
    let raw = ManuallyDrop::new(raw);
    // SAFETY: written by `raw`; the handle's own drop is suppressed, so the tensor is owned once.
    unsafe { std::mem::transmute::<Slot, Tensor>(raw.slot) }
}

/// What a plugin's parameter handle points to.
pub(crate) struct Params<'a> {
    /// The store.
    pub(crate) store: &'a ParamStore,
    /// What all names start with; a dot is put in between unless it ends with one.
    pub(crate) prefix: &'a str,
}

impl Params<'_> {
    fn name(&self, name: &str) -> String {
        let dot = if self.prefix.is_empty() || self.prefix.ends_with('.') { "" } else { "." };
        format!("{}{dot}{name}", self.prefix)
    }
}

/// The context behind a handle.
pub(super) fn ctx(raw: &RawCtx) -> &RunCtx {
    // SAFETY: made by `RunCtx::raw` from a reference that outlives the plugin call, and the plugin only gets it borrowed.
    unsafe { &*raw.slot.cast::<RunCtx>() }
}

fn params(raw: &RawParams) -> &Params<'_> {
    // SAFETY: made by `components::raw_params` from a reference that outlives `create`, and only borrowed there.
    unsafe { &*raw.slot.cast::<Params<'_>>() }
}

pub(super) extern "C" fn tensor_clone(x: &RawTensor) -> RawTensor {
    raw(t(x).clone())
}

pub(super) extern "C" fn tensor_drop(slot: Slot) {
    // SAFETY: called once per handle, by its Drop, with the slot written by `raw`.
    drop(unsafe { std::mem::transmute::<Slot, Tensor>(slot) });
}

pub(super) extern "C" fn shape(x: &RawTensor) -> RSlice<'_, usize> {
    RSlice::from_slice(t(x).dims())
}

pub(super) extern "C" fn dtype(x: &RawTensor) -> Dtype {
    match t(x).dtype() {
        DType::F32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::U32 => Dtype::U32,
        DType::I64 => Dtype::I64,
        DType::U8 => Dtype::U8,
        DType::F64 => Dtype::F64,
        _ => Dtype(u8::MAX),
    }
}

/// The engine's type for a code.
pub(super) fn dtype_of(code: Dtype) -> Result<DType, Error> {
    Ok(match code {
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::U32 => DType::U32,
        Dtype::I64 => DType::I64,
        Dtype::U8 => DType::U8,
        Dtype::F64 => DType::F64,
        other => return fail(format!("this program has no element type {other}")),
    })
}

fn init_of(init: Init) -> Result<params::Init, Error> {
    Ok(match init.kind {
        Init::CONSTANT_KIND => params::Init::Constant(init.a),
        Init::NORMAL_KIND => params::Init::Normal { mean: init.a, std: init.b },
        Init::TRUNC_NORMAL_KIND => params::Init::TruncNormal { std: init.b },
        Init::XAVIER_KIND => params::Init::XavierUniform,
        Init::UNIFORM_KIND => params::Init::Uniform { bound: init.b },
        kind => return fail(format!("this program has no initialiser {kind}")),
    })
}

pub(super) extern "C" fn param(
    p: &RawParams,
    name: RStr<'_>,
    shape: RSlice<'_, usize>,
    init: Init,
) -> OpResult {
    op(format_args!("parameter {name}"), &[], || {
        let p = params(p);
        if init.kind == Init::STATE_KIND {
            let start = params::Init::Constant(init.a);
            return p.store.get_state(&p.name(name.as_str()), shape.as_slice(), &start);
        }
        p.store.get(&p.name(name.as_str()), shape.as_slice(), &init_of(init)?)
    })
}

pub(super) extern "C" fn param_values(
    p: &RawParams,
    name: RStr<'_>,
    shape: RSlice<'_, usize>,
    values: RSlice<'_, f32>,
    trainable: bool,
) -> OpResult {
    op(format_args!("parameter {name}"), &[], || {
        let p = params(p);
        let (name, init) = (p.name(name.as_str()), params::Init::Values(Arc::new(values.to_vec())));
        if trainable {
            p.store.get(&name, shape.as_slice(), &init)
        } else {
            p.store.get_fixed(&name, shape.as_slice(), &init)
        }
    })
}

pub(super) extern "C" fn log(c: &RawCtx, level: Level, line: RStr<'_>) {
    // a log sink that panics must not unwind into the plugin; the line is lost then
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| ctx(c).log(level, line.as_str())));
}
