//! Differentiable building blocks, parameters, optimisers and checkpoints on candle tensors.
//!
//! The engine makes the big operations of a vision transformer fast and exact: custom operations
//! with hand-written backward passes on the CPU in f32, plain compositions of candle operations
//! for everything else (f64 for tests, other devices). It knows nothing of plugins or data sets.
//!
//! **Invariants.** The same inputs give the same bits for any number of threads. A frozen
//! parameter is handed out detached, so nothing is recorded for it. Gradients are taken with
//! [`backward`], not with `Tensor::backward`: fused operations deliver the gradients of their
//! parameters beside the graph, and say so if called the other way. No pickle is ever executed.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod checkpoint;
pub mod cuda;
pub mod error;
mod grad;
pub mod huge_pages;
mod kernels;
pub mod nn;
pub mod ops;
pub mod optim;
pub mod params;
pub mod rng;
pub mod runtime;
pub mod schedule;
pub mod selftest;

pub use candle_core::backprop::GradStore;
pub use candle_core::{D, DType, Device, Shape, Tensor, Var};
pub use error::{Error, Result, plain};
pub use grad::{backward, no_grad, recompute};
pub use params::{Init, ParamStore};
pub use rng::Rng;
