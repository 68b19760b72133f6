//! The objects a plugin hands to the host, and the structs of their calls.
//!
//! Every method of a plugin-made object is called through abi_stable's vtable, which aborts the process on a panic. The
//! kit's adapters catch panics *inside* the plugin, so authors never see that.
// `#[sabi_trait]` of abi_stable_derive 0.11.3 expands to impls inside functions, which newer compilers warn about
#![allow(non_local_definitions)]
// slices of slices across the boundary are what a custom operation needs
#![allow(clippy::type_complexity)]

use abi_stable::{
    StableAbi, sabi_trait,
    std_types::{RBox, ROption, RResult, RSlice, RSliceMut, RString, RVec},
};

use crate::{OpResult, PluginError, RawCtx, RawTensor};

/// A face-parsing map: one label per pixel, row-major.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct RawParsing<'a> {
    /// `height * width` labels.
    pub labels: RSlice<'a, u8>,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

/// What a masking strategy decides from.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct RawMaskInput<'a> {
    /// The parsing map, if there is one.
    pub parsing: ROption<RawParsing<'a>>,
    /// Patch rows.
    pub grid_h: usize,
    /// Patch columns.
    pub grid_w: usize,
    /// Share of patches to remove.
    pub ratio: f64,
    /// Key of the stream for patch choices (one per sample).
    pub patches: [u64; 2],
    /// Key of the stream for the region choice (per sample, or shared by a batch).
    pub region: [u64; 2],
}

/// What a head sees of an image.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct RawFeatures<'a> {
    /// (B, D), as the backbone pools.
    pub pooled: &'a RawTensor,
    /// (B, 1+N, D), the last block's output.
    pub tokens: &'a RawTensor,
}

/// What a head says.
#[repr(C)]
#[derive(StableAbi, Clone)]
pub struct RawHeadOutput {
    /// (B, C): [real, fake].
    pub logits: RawTensor,
    /// Whatever the head's own loss needs.
    pub embedding: ROption<RawTensor>,
}

/// The generated trait-object types, for those who build or call them.
pub mod abi_objects {
    pub use super::{
        BackboneAbi, BackboneAbi_TO, CustomOp_TO, HeadAbi, HeadAbi_TO, MaskingAbi, MaskingAbi_TO,
    };
}

/// A differentiable operation on raw f32 slices, made by a plugin and run by the host inside its graph.
#[sabi_trait]
pub trait CustomOp: Send + Sync {
    /// For messages.
    fn name(&self) -> RString;
    /// Writes the output.
    fn forward(&self, x: RSlice<'_, RSlice<'_, f32>>, out: RSliceMut<'_, f32>) -> RResult<(), PluginError>;
    /// Writes d loss / d x_i into `dx[i]`, which arrives filled with zeros.
    #[sabi(last_prefix_field)]
    fn backward(
        &self,
        x: RSlice<'_, RSlice<'_, f32>>,
        out: RSlice<'_, f32>,
        grad: RSlice<'_, f32>,
        dx: RSliceMut<'_, RVec<f32>>,
    ) -> RResult<(), PluginError>;
}

/// A backbone on parameters.
#[sabi_trait]
pub trait BackboneAbi: Send + Sync {
    /// (B,3,H,W), optionally (B,n) visible patches → (B,n or N,D).
    fn embed(&self, images: &RawTensor, keep: ROption<&RawTensor>, ctx: &RawCtx) -> OpResult;
    /// (B,n,D) → (B,1+n,D).
    fn encode(&self, tokens: &RawTensor, ctx: &RawCtx) -> OpResult;
    /// The encoder's final norm.
    fn norm(&self, tokens: &RawTensor) -> OpResult;
    /// (B,1+n,D) → (B,D).
    #[sabi(last_prefix_field)]
    fn pool(&self, tokens: &RawTensor) -> OpResult;
}

/// A masking strategy.
#[sabi_trait]
pub trait MaskingAbi: Send + Sync {
    /// Whether it cannot work without a parsing map.
    fn needs_parsing(&self) -> RResult<bool, PluginError>;
    /// One byte per patch, 1 = removed; `region` marks the covered region, a part of the mask.
    #[sabi(last_prefix_field)]
    fn mask(
        &self,
        input: &RawMaskInput<'_>,
        mask: RSliceMut<'_, u8>,
        region: RSliceMut<'_, u8>,
    ) -> RResult<(), PluginError>;
}

/// A head on parameters.
#[sabi_trait]
pub trait HeadAbi: Send + Sync {
    /// [`crate::describe::HeadTraits`] as JSON.
    fn scope(&self) -> RResult<RString, PluginError>;
    /// Features → logits.
    fn forward(&self, features: &RawFeatures<'_>, ctx: &RawCtx) -> RResult<RawHeadOutput, PluginError>;
    /// The head's own loss term, already weighted; none for most heads.
    #[sabi(last_prefix_field)]
    fn loss(
        &self,
        output: &RawHeadOutput,
        labels: &RawTensor,
        ctx: &RawCtx,
    ) -> RResult<ROption<RawTensor>, PluginError>;
}

/// An owned [`CustomOp`].
pub type BoxCustomOp = CustomOp_TO<'static, RBox<()>>;
/// An owned [`BackboneAbi`].
pub type BoxBackbone = BackboneAbi_TO<'static, RBox<()>>;
/// An owned [`MaskingAbi`].
pub type BoxMasking = MaskingAbi_TO<'static, RBox<()>>;
/// An owned [`HeadAbi`].
pub type BoxHead = HeadAbi_TO<'static, RBox<()>>;
