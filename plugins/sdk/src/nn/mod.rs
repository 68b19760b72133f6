//! Layers: plain structs whose parameter names are those of timm checkpoints.
//!
//! Only sugar over [`Tensor`](crate::Tensor); nothing here is part of the boundary, and an author may ignore all of it.

mod layers;
mod patch;
mod positions;
pub mod vit;

pub use layers::{Block, LayerNorm, Linear};
pub use patch::PatchEmbed;
pub use positions::sincos;
