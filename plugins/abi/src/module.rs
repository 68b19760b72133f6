//! The root module of a plugin: what it brings, by kind.

use abi_stable::{
    StableAbi, declare_root_module_statics,
    library::RootModule,
    sabi_types::VersionStrings,
    std_types::{RResult, RStr, RString, RVec},
    type_layout::TypeLayout,
};

use crate::{BoxBackbone, BoxHead, BoxMasking, PluginError, RawCtx, RawParams};

/// Result of a function that answers with JSON.
type Json = RResult<RString, PluginError>;

/// What every component says of itself.
#[repr(C)]
#[derive(StableAbi, Clone)]
pub struct Meta {
    /// Unique per kind: what experiments write.
    pub name: RStr<'static>,
    /// Version of the plugin crate.
    pub version: RStr<'static>,
    /// One line for `plugin list`.
    pub summary: RStr<'static>,
    /// JSON schema of the configuration. A function, because author code runs in it and may fail.
    pub schema: extern "C" fn() -> Json,
    /// Configuration JSON → the same with every default filled, or what is wrong with it.
    pub resolve: extern "C" fn(RStr<'_>) -> Json,
}

/// A backbone on offer. The functions before `create` need no weights.
#[repr(C)]
#[derive(StableAbi, Clone)]
pub struct BackboneDesc {
    /// Name, version, schema.
    pub meta: Meta,
    /// Configuration → [`crate::describe::BackboneInfo`] as JSON.
    pub info: extern "C" fn(RStr<'_>) -> Json,
    /// (configuration, parameter name) → layer id for layer-wise decay, 0..=depth+1 (method.md 5.1).
    pub layer_id: extern "C" fn(RStr<'_>, RStr<'_>) -> RResult<u64, PluginError>,
    /// Configuration → list of [`crate::describe::KeyMap`] as JSON.
    pub layouts: extern "C" fn(RStr<'_>) -> Json,
    /// Builds it on the host's parameters.
    pub create: extern "C" fn(RStr<'_>, &RawCtx, &RawParams) -> RResult<BoxBackbone, PluginError>,
}

/// A masking strategy on offer.
#[repr(C)]
#[derive(StableAbi, Clone)]
pub struct MaskingDesc {
    /// Name, version, schema.
    pub meta: Meta,
    /// Builds it.
    pub create: extern "C" fn(RStr<'_>) -> RResult<BoxMasking, PluginError>,
}

/// A head on offer.
#[repr(C)]
#[derive(StableAbi, Clone)]
pub struct HeadDesc {
    /// Name, version, schema.
    pub meta: Meta,
    /// (configuration, [`crate::describe::FeatureSpec`] as JSON, context, parameters) → the head.
    pub create: extern "C" fn(RStr<'_>, RStr<'_>, &RawCtx, &RawParams) -> RResult<BoxHead, PluginError>,
}

/// The root module. New kinds are added after the last field.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = PluginModuleRef)))]
#[sabi(missing_field(panic))]
pub struct PluginModule {
    /// The plugin's own view of [`crate::HostOps`], for the check in the reverse direction.
    pub host_ops_layout: &'static TypeLayout,
    /// Backbones.
    pub backbones: extern "C" fn() -> RVec<BackboneDesc>,
    /// Masking strategies.
    pub maskings: extern "C" fn() -> RVec<MaskingDesc>,
    /// Heads.
    #[sabi(last_prefix_field)]
    pub heads: extern "C" fn() -> RVec<HeadDesc>,
}

impl RootModule for PluginModuleRef {
    declare_root_module_statics! {PluginModuleRef}
    const BASE_NAME: &'static str = "facebench_plugin";
    const NAME: &'static str = "facebench-plugin";
    const VERSION_STRINGS: VersionStrings = abi_stable::package_version_strings!();
}
