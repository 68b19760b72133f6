//! The plain-C handshake, read before any layout is compared.
//!
//! It is a static in its own symbol, so that a plugin of a very different version still gets a clear answer ("built for
//! API 3, this program has 1") instead of a layout report. Features are words: those a plugin *requires* must be known
//! to the host, anything else about them is ignored.

use abi_stable::std_types::{RSlice, RStr};

/// First field of the handshake; a library with the symbol but other bytes here is not ours.
pub const MAGIC: [u8; 8] = *b"facebnch";
/// Incompatible generations of the boundary.
pub const API_MAJOR: u32 = 1;
/// Grows when operations are added; informative.
pub const API_MINOR: u32 = 1;
/// The exported symbol.
pub const HANDSHAKE_SYMBOL: &str = "FACEBENCH_PLUGIN_HANDSHAKE";

/// What this version of the host offers beyond the first table, one word each. A plugin names those it cannot do without.
pub const FEATURES: &[&str] =
    &["autograd", "convolution", "custom-op", "fused-block", "state-param", "token-ops", "values-param"];

/// What a plugin says of itself before anything else is read.
#[repr(C)]
pub struct Handshake {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// [`API_MAJOR`] of the kit the plugin was built with.
    pub api_major: u32,
    /// [`API_MINOR`] of the kit the plugin was built with.
    pub api_minor: u32,
    /// Compiler, for the record.
    pub rustc: RStr<'static>,
    /// Host features the plugin cannot do without.
    pub requires: RSlice<'static, RStr<'static>>,
}
