//! Opens plugins, checks them, and runs them over the engine.
//!
//! [`Plugins::open`] reads the search path; [`Plugins::backbone`], [`Plugins::masking`] and [`Plugins::head`] make
//! components on a parameter store. Everything a plugin does wrong (a panic, a failed operation, a wrong layout, a mask
//! of the wrong size) comes back as a [`HostError`] with its name and file, and the program lives on.
//!
//! Not catchable by any in-process design: a segmentation fault, a stack overflow, `process::exit`, running out of
//! memory, an endless loop. Plugins are never unloaded: their vtables and statics stay in use.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod components;
mod elf;
mod error;
mod loader;
mod ops;
mod registry;
mod report;
mod runctx;
pub mod template;
pub mod watch;

pub use components::{Backbone, Head, Masking};
pub use error::{HostError, Result};
pub use facebench_abi::{
    describe::{BackboneInfo, FeatureSpec, HeadTraits, KeyMap, LowRank, Resize, Scope, Target},
    text::glob,
};
pub use registry::{Kind, Lock, PluginDir, PluginInfo, Plugins, check_file, default_dirs};
pub use runctx::{Purpose, RunCtx};
