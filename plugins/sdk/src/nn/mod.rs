//! Layers: plain structs whose parameter names are those of timm checkpoints.
//!
//! Only sugar over [`Tensor`](crate::Tensor); nothing here is part of the boundary, and an author may ignore all of it.

pub mod clip;
mod conv;
mod embedder;
pub mod keys;
mod layers;
mod patch;
mod positions;
pub mod tower;
pub mod vit;

pub use conv::{BatchNorm, Conv, ConvNorm, Pad, cnn_info, max_pool, positions_of, whole_images};
pub use embedder::{FasEmbedder, UNIT_COLUMNS};
pub use layers::{Block, LayerNorm, Linear};
pub use patch::PatchEmbed;
pub use positions::sincos;
