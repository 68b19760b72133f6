//! Checkpoints in and out.
//!
//! Reads `.safetensors`, PyTorch files (`.pth`, `.pth.tar`, `.pt`; zip and legacy) and NumPy `.npz`;
//! writes `.safetensors` through a temporary file and a rename. Pickles are interpreted by a small
//! machine of our own that knows tensors, containers and scalars; nothing a file names is ever
//! executed.
mod safe;

use crate::error::{Error, Result};
use candle_core::Tensor;
use std::collections::BTreeMap;
use std::path::Path;

pub use safe::write_safetensors;

/// How a file stored its tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Container {
    /// `.safetensors`
    Safetensors,
    /// PyTorch ≥ 1.6, a zip archive.
    TorchZip,
    /// PyTorch before 1.6, a sequence of pickles.
    TorchLegacy,
    /// NumPy archive.
    Npz,
}

/// A checkpoint: the model's tensors by key, and what else the file says.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// The model's tensors, on the CPU in the stored dtype.
    pub tensors: BTreeMap<String, Tensor>,
    /// Kind of file.
    pub container: Container,
    /// Key under which the model's tensors lay (`model`, `state_dict`, …); empty if at the top.
    pub root: String,
    /// Scalars and strings outside the model, by dotted path (`epoch`, `args.lr`, …).
    pub metadata: BTreeMap<String, String>,
    /// Tensors outside the model (optimiser state and the like), by dotted path.
    pub extra: BTreeMap<String, Tensor>,
}

/// Reads a checkpoint; the kind is recognised from the first bytes, not from the name.
pub fn read(path: &Path) -> Result<Checkpoint> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    safe::read(path, &bytes)
}
