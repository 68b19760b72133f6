//! The plugin boundary: types whose layout both sides check before they call each other.
//!
//! A plugin is a shared library with two exported statics: a plain-C [`Handshake`] that says which API it was built for
//! and which host features it needs, and an `abi_stable` root module ([`PluginModule`]) with its components.
//! Tensors are opaque host handles ([`RawTensor`]); every operation on them is a call through the host's table
//! ([`HostOps`]), so autograd, device, precision and randomness stay with the host and a plugin links no tensor library.
//!
//! What this crate does not do: no I/O, no threads, no candle, no convenience for authors (that is `facebench-plugin`).
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod codes;
pub mod describe;
mod error;
mod handle;
mod handshake;
mod module;
mod objects;
mod ops;
pub mod text;

pub use codes::{Bin, Dtype, ErrKind, Init, Level, Purpose, RandomKind, Red, Un};
pub use error::PluginError;
pub use handle::{OpResult, OpsPtr, RawBlock, RawCtx, RawParams, RawTensor, Slot};
pub use handshake::{API_MAJOR, API_MINOR, FEATURES, HANDSHAKE_SYMBOL, Handshake, MAGIC};
pub use module::{BackboneDesc, HeadDesc, MaskingDesc, Meta, PluginModule, PluginModuleRef};
pub use objects::{
    BoxBackbone, BoxCustomOp, BoxHead, BoxMasking, CustomOp, RawFeatures, RawHeadOutput, RawMaskInput,
    RawParsing, abi_objects,
};
pub use ops::{HostOps, HostOpsRef};

#[doc(hidden)]
pub use abi_stable;

/// Name of the symbol abi_stable looks up, spelled out so that `export_plugin!` can write the static itself.
pub const ROOT_SYMBOL: &str = "_1as_0lib_1header_0root_bmodule_bloader";

#[cfg(test)]
mod tests {
    #[test]
    fn the_exported_symbol_is_the_one_abi_stable_looks_up() {
        assert_eq!(super::ROOT_SYMBOL, abi_stable::library::ROOT_MODULE_LOADER_NAME);
    }

    #[test]
    fn handles_pass_in_two_registers() {
        assert_eq!(size_of::<super::RawTensor>(), 2 * size_of::<usize>());
    }
}
