//! From folders of face images to tensors: decoding, Pillow-exact transforms, data-set readers, loaders,
//! and the synthetic faces.
//!
//! A reader turns the layout of a prepared data set into a manifest of samples with one identity each
//! (`dataset/method/video/frame`) and one polarity (1 = fake), converted once, here. A transform turns a
//! decoded image into a `(3, H, W)` array. The loader does that ahead of time and in order. Models, tensors
//! on a device and protocols' choices of samples are somebody else's.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod audit;
pub mod forge;
pub mod image;
pub mod loader;
pub mod manifest;
pub mod parsing;
pub mod readers;
pub mod shard;
pub mod synth;
pub mod transform;

mod error;
#[cfg(test)]
mod testing;

pub use error::Error;
