//! The plugin kit: write a backbone, a masking strategy or a head as ordinary model code.
//!
//! A plugin is one crate with `crate-type = ["cdylib"]` that depends on this one only. It implements [`Backbone`],
//! [`Masking`] or [`Head`], declares its settings with [`config!`], and ends with [`export_plugin!`]. Tensors belong to the
//! program: gradients, devices, precision, parameters and randomness are its business, and a panic or a failed
//! operation in a plugin comes back to the user as an error with the plugin's name.
//!
//! ```no_run
//! use facebench_plugin::prelude::*;
//!
//! config! {
//!     /// Settings of [`MeanHead`].
//!     pub struct MeanConfig {
//!         /// start of the weights
//!         std: f64 = 0.02,
//!     }
//! }
//!
//! pub struct MeanHead { fc: nn::Linear }
//!
//! impl Component for MeanHead {
//!     const NAME: &'static str = "mean";
//!     const SUMMARY: &'static str = "linear layer on the mean token";
//!     type Config = MeanConfig;
//! }
//!
//! impl Head for MeanHead {
//!     fn create(cfg: MeanConfig, p: &Params, features: &FeatureSpec, _: &Ctx) -> Result<Self> {
//!         let init = Init::trunc_normal(cfg.std);
//!         Ok(Self { fc: nn::Linear::with_init(features.width, features.classes, init, &p.pp("head"))? })
//!     }
//!     fn forward(&self, f: &Features, _: &Ctx) -> Result<HeadOutput> {
//!         Ok(HeadOutput::logits(self.fc.forward(&f.tokens.mean(1)?)?))
//!     }
//! }
//!
//! export_plugin! { heads: [MeanHead] }
//! # fn main() {}
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod boundary;
mod component;
pub mod config;
mod context;
mod ctx;
mod custom;
mod export;
pub mod face;
pub mod masks;
pub mod nn;
mod operators;
mod rng;
mod shape;
mod tensor;
pub mod testing;

pub use component::{Backbone, Component, Features, Head, HeadOutput, MaskInput, Masking, ParsingView};
pub use config::Config;
pub use context::{Context, Error, Result};
pub use ctx::{Ctx, Params};
pub use custom::CustomFn;
pub use facebench_abi::{
    Dtype, Init, Level, Purpose,
    describe::{BackboneInfo, FeatureSpec, HeadTraits, Join, KeyMap, LowRank, Resize, Scope},
};
pub use rng::Rng;
pub use shape::{Dim, Dims, Shape};
pub use tensor::Tensor;

#[doc(hidden)]
pub use {facebench_abi as abi, serde, serde_json};

/// The compiler this kit, and so the plugin, was built with.
pub const RUSTC: &str = env!("FACEBENCH_RUSTC");

/// Everything a plugin usually needs.
pub mod prelude {
    pub use crate::{
        Backbone, BackboneInfo, Component, Config, Context, Ctx, CustomFn, Dtype, Error, FeatureSpec,
        Features, Head, HeadOutput, Init, Join, KeyMap, Level, LowRank, MaskInput, Masking, Params,
        ParsingView, Purpose, Resize, Result, Rng, Scope, Tensor, bail, choice, config, export_plugin, face,
        masks, nn, vit_config,
    };
}
