//! The safetensors format.
use super::{Checkpoint, Container};
use crate::error::{Error, Result};
use candle_core::{CpuStorage, DType, Device, Storage, Tensor};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Reads a safetensors file.
pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<Checkpoint> {
    let fail = |e: safetensors::SafeTensorError| {
        Error::checkpoint(path, format!("not a valid safetensors file: {e}"))
    };
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(fail)?;
    let file = SafeTensors::deserialize(bytes).map_err(fail)?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.iter() {
        let dtype = dtype_in(view.dtype()).ok_or_else(|| {
            Error::checkpoint(path, format!("{name}: dtype {:?} is not supported", view.dtype()))
        })?;
        tensors.insert(
            name.to_owned(),
            Tensor::from_raw_buffer(view.data(), dtype, view.shape(), &Device::Cpu)?,
        );
    }
    let metadata = header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
    Ok(Checkpoint {
        order: tensors.keys().cloned().collect(), // the format has no order of its own
        tensors,
        container: Container::Safetensors,
        root: String::new(),
        metadata,
        extra: BTreeMap::new(),
    })
}

/// Writes tensors and metadata; the file appears under `path` only when it is complete.
pub fn write_safetensors(
    path: &Path,
    tensors: &BTreeMap<String, Tensor>,
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    let mut parts = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let dtype = dtype_out(tensor.dtype()).ok_or_else(|| {
            Error::checkpoint(path, format!("{name}: dtype {:?} cannot be stored", tensor.dtype()))
        })?;
        parts.push((name.as_str(), dtype, tensor.dims().to_vec(), raw_bytes(tensor)?));
    }
    let fail = |e: safetensors::SafeTensorError| Error::checkpoint(path, format!("cannot write: {e}"));
    let mut views = Vec::with_capacity(parts.len());
    for (name, dtype, dims, bytes) in &parts {
        views.push((*name, TensorView::new(*dtype, dims.clone(), bytes).map_err(fail)?));
    }
    let metadata: HashMap<String, String> = metadata.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    let mut bytes = safetensors::serialize(views, Some(metadata)).map_err(fail)?;
    sort_header(&mut bytes);
    publish(path, &bytes)
}

/// Sorts the keys of the header in place, so that equal contents give equal files (the library keeps metadata
/// in a hash map). Sorting moves text about and never changes its length.
fn sort_header(bytes: &mut [u8]) {
    let Some((length, rest)) = bytes.split_first_chunk_mut::<8>() else { return };
    let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
    let Some(header) = rest.get_mut(..length) else { return };
    let Ok(parsed) = serde_json::from_slice::<serde_json::Value>(header) else { return };
    let mut sorted = parsed.to_string().into_bytes();
    if sorted.len() <= length {
        sorted.resize(length, b' ');
        header.copy_from_slice(&sorted);
    }
}

/// Writes beside `path`, syncs, and renames.
fn publish(path: &Path, bytes: &[u8]) -> Result<()> {
    use std::io::Write;
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".tmp-{}", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = std::fs::File::create(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&temporary, path));
    written.map_err(|e| {
        let _ = std::fs::remove_file(&temporary);
        Error::io(path, e)
    })
}

fn dtype_in(dtype: Dtype) -> Option<DType> {
    Some(match dtype {
        Dtype::F32 => DType::F32,
        Dtype::F64 => DType::F64,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::I64 => DType::I64,
        Dtype::U32 => DType::U32,
        Dtype::U8 | Dtype::BOOL => DType::U8,
        _ => return None,
    })
}

fn dtype_out(dtype: DType) -> Option<Dtype> {
    Some(match dtype {
        DType::F32 => Dtype::F32,
        DType::F64 => Dtype::F64,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::I64 => Dtype::I64,
        DType::U32 => Dtype::U32,
        DType::U8 => Dtype::U8,
        _ => return None,
    })
}

/// Elements as little-endian bytes, row-major.
fn raw_bytes(tensor: &Tensor) -> Result<Vec<u8>> {
    let tensor = tensor.to_device(&Device::Cpu)?.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    let (Storage::Cpu(storage), Some((start, end))) = (&*storage, layout.contiguous_offsets()) else {
        return Err(Error::argument(
            "write_safetensors",
            "a contiguous tensor on the CPU",
            format!("{layout:?}"),
        ));
    };
    Ok(match storage {
        CpuStorage::F32(v) => v[start..end].iter().flat_map(|x| x.to_le_bytes()).collect(),
        CpuStorage::F64(v) => v[start..end].iter().flat_map(|x| x.to_le_bytes()).collect(),
        CpuStorage::F16(v) => v[start..end].iter().flat_map(|x| x.to_le_bytes()).collect(),
        CpuStorage::BF16(v) => v[start..end].iter().flat_map(|x| x.to_le_bytes()).collect(),
        CpuStorage::I64(v) => v[start..end].iter().flat_map(|x| x.to_le_bytes()).collect(),
        CpuStorage::U32(v) => v[start..end].iter().flat_map(|x| x.to_le_bytes()).collect(),
        CpuStorage::U8(v) => v[start..end].to_vec(),
        _ => {
            return Err(Error::argument(
                "write_safetensors",
                "a dtype of the format",
                format!("{:?}", tensor.dtype()),
            ));
        }
    })
}
