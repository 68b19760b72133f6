//! Opaque handles: a slot that only the host reads, and the host's table of operations.
//!
//! The table is hidden from the layout check of the root module ([`OpsPtr`]): abi_stable assumes that the library may
//! have *more* than its user expects, which is right for what a plugin provides and backwards for what the host
//! provides. The host therefore checks the table separately, the other way round (plugin's view ⊆ host's table), so a
//! host with more operations accepts older plugins.

use abi_stable::{StableAbi, std_types::RResult};
use std::os::raw::c_void;

use crate::{HostOpsRef, PluginError, Purpose};

/// Result of an operation that makes a tensor.
pub type OpResult = RResult<RawTensor, PluginError>;

/// Pointer-sized, written and read only by the host.
pub type Slot = *const c_void;

/// The host's table, hidden from the root module's layout check (see the module doc).
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy)]
#[sabi(unsafe_opaque_fields)]
pub struct OpsPtr(pub HostOpsRef);

impl std::ops::Deref for OpsPtr {
    type Target = HostOpsRef;
    #[inline]
    fn deref(&self) -> &HostOpsRef {
        &self.0
    }
}

/// A host tensor: 16 bytes, passed in two registers. Cloning shares the storage.
#[repr(C)]
#[derive(StableAbi)]
pub struct RawTensor {
    /// The host's tensor.
    pub slot: Slot,
    /// The table that understands the slot.
    pub ops: OpsPtr,
}

// SAFETY: the slot holds the host's tensor, whose storage is shared and immutable; the host only makes handles of
// tensor types that are themselves Send.
unsafe impl Send for RawTensor {}
// SAFETY: as above; every operation takes the handle by shared reference and the host's tensors are Sync.
unsafe impl Sync for RawTensor {}

impl Drop for RawTensor {
    #[inline]
    fn drop(&mut self) {
        (self.ops.tensor_drop())(self.slot);
    }
}

impl Clone for RawTensor {
    #[inline]
    fn clone(&self) -> Self {
        (self.ops.tensor_clone())(self)
    }
}

/// The host's run context: device, precision, random stream, mode. Borrowed for one call.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct RawCtx {
    /// The host's context.
    pub slot: Slot,
    /// The table that understands the slot.
    pub ops: OpsPtr,
    /// True while training: dropout and drop path are active.
    pub train: bool,
    /// What the component was created for.
    pub purpose: Purpose,
}

/// The host's parameter store under one prefix. Borrowed for the duration of `create`.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct RawParams {
    /// The host's store.
    pub slot: Slot,
    /// The table that understands the slot.
    pub ops: OpsPtr,
}

/// The twelve tensors of a pre-norm transformer block (method.md 3.2), for the fused operation.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
#[allow(missing_docs)] // the names are those of the checkpoint keys
pub struct RawBlock<'a> {
    pub norm1_weight: &'a RawTensor,
    pub norm1_bias: &'a RawTensor,
    pub qkv_weight: &'a RawTensor,
    pub qkv_bias: &'a RawTensor,
    pub proj_weight: &'a RawTensor,
    pub proj_bias: &'a RawTensor,
    pub norm2_weight: &'a RawTensor,
    pub norm2_bias: &'a RawTensor,
    pub fc1_weight: &'a RawTensor,
    pub fc1_bias: &'a RawTensor,
    pub fc2_weight: &'a RawTensor,
    pub fc2_bias: &'a RawTensor,
}
