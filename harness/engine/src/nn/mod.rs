//! A plain vision transformer written directly on the engine.
//!
//! Ordinary models arrive as plugins; this one exists to test the engine against published numbers,
//! to measure what a plugin call costs, and to read as an example. Field names mirror the keys of
//! timm checkpoints.
mod layers;
mod pos_embed;
mod vit;

pub use layers::{Block, LayerNorm, Linear};
pub use pos_embed::{Resize, interpolate_pos_embed, regrid_positions, resize_positions, sincos_pos_embed};
pub use vit::{Pool, Vit, VitConfig};
