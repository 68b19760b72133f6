//! Checkpoints in and out.
//!
//! Reads `.safetensors`, PyTorch files (`.pth`, `.pth.tar`, `.pt`; zip and legacy) and NumPy `.npz`;
//! writes `.safetensors` and `.pth` through a temporary file and a rename. Pickles are interpreted by a small
//! machine of our own that knows tensors, containers and scalars; nothing a file names is ever
//! executed.
mod constructors;
mod npz;
mod pickle;
mod safe;
#[cfg(test)]
mod tests;
mod torch;
mod torch_out;
mod zip;

use crate::error::{Error, Result};
use candle_core::{CpuStorage, Storage, Tensor};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

pub use safe::write_safetensors;
pub use torch_out::write_torch;

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
    /// Their keys in the order of the file, which optimiser state may refer to.
    pub order: Vec<String>,
    /// Kind of file.
    pub container: Container,
    /// Key under which the model's tensors lay (`model`, `state_dict`, …); empty if at the top.
    pub root: String,
    /// Scalars and strings outside the model, by dotted path (`epoch`, `args.lr`, …).
    pub metadata: BTreeMap<String, String>,
    /// Tensors outside the model (optimiser state and the like), by dotted path.
    pub extra: BTreeMap<String, Tensor>,
}

/// Reads a checkpoint; the kind is recognised from the first bytes, not from the name. The model's
/// tensors are found at the top or under one of the usual keys. A NaN or infinite weight is an
/// error that names the tensor.
pub fn read(path: &Path) -> Result<Checkpoint> {
    read_at(path, None)
}

/// [`read`] with the key that holds the model's tensors given, such as `student`.
pub fn read_at(path: &Path, root: Option<&str>) -> Result<Checkpoint> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    let checkpoint = if bytes.starts_with(b"PK\x03\x04") {
        let archive = zip::Archive::open(&bytes).map_err(|e| Error::checkpoint(path, e))?;
        if archive.members.iter().any(|m| m.name.ends_with("/data.pkl")) {
            torch::read_zip(path, &archive, root)?
        } else if archive.members.iter().any(|m| m.name.ends_with(".npy")) {
            npz::read(path, &archive)?
        } else {
            return Err(Error::checkpoint(path, "a zip archive with neither PyTorch nor NumPy data"));
        }
    } else if bytes.starts_with(torch::LEGACY_MAGIC) {
        torch::read_legacy(path, &bytes, root)?
    } else if bytes.len() > 8 && bytes[8] == b'{' {
        safe::read(path, &bytes)?
    } else {
        return Err(unknown(path));
    };
    check_finite(path, &checkpoint)?;
    Ok(checkpoint)
}

fn unknown(path: &Path) -> Error {
    let hint = "hint: known are .safetensors, PyTorch .pth/.pt/.pth.tar and NumPy .npz";
    Error::checkpoint(path, format!("not a checkpoint of a known kind\n{hint}"))
}

/// Whether a file begins like a checkpoint that [`read`] knows, without reading the rest.
pub fn probe(path: &Path) -> Result<()> {
    let mut start = Vec::new();
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    file.take(64).read_to_end(&mut start).map_err(|e| Error::io(path, e))?;
    let known = start.starts_with(b"PK\x03\x04")
        || start.starts_with(torch::LEGACY_MAGIC)
        || start.get(8) == Some(&b'{');
    if known { Ok(()) } else { Err(unknown(path)) }
}

/// Refuses NaN and infinity in the model's tensors.
fn check_finite(path: &Path, checkpoint: &Checkpoint) -> Result<()> {
    for (name, tensor) in &checkpoint.tensors {
        let (storage, _) = tensor.storage_and_layout();
        let Storage::Cpu(values) = &*storage else { continue };
        let bad = match values {
            CpuStorage::F32(v) => v.iter().position(|x| !x.is_finite()),
            CpuStorage::F64(v) => v.iter().position(|x| !x.is_finite()),
            CpuStorage::F16(v) => v.iter().position(|x| !x.is_finite()),
            CpuStorage::BF16(v) => v.iter().position(|x| !x.is_finite()),
            _ => None,
        };
        if let Some(at) = bad {
            return Err(Error::checkpoint(path, format!("tensor {name} is not finite at element {at}")));
        }
    }
    Ok(())
}
