//! Optimisers on named parameters, gradient clipping and averaging.
//!
//! Updates happen in place, in one pass over each parameter. State goes in and out as named
//! tensors so that a resumed run continues with the same bits. Learning rates are given at each
//! step: schedules live in [`crate::schedule`].
mod adam;
mod average;
mod clip;
mod inplace;
mod loss_scale;
mod momentum;

pub use adam::{Adam, AdamConfig, AdamW, Group};
pub use average::ema_update;
pub use clip::{accumulate_gradients, clip_global_norm, global_norm, scale_gradients};
pub use loss_scale::{LossScale, LossScaleConfig};
pub use momentum::{Lars, LarsConfig, Sgd, SgdConfig};
