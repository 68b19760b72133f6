//! The safetensors format.
use super::{Checkpoint, Container};
use crate::error::{Error, Result};
use candle_core::{CpuStorage, DType, Device, Storage, Tensor};
use safetensors::tensor::{Dtype, SafeTensors};
use std::collections::BTreeMap;
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

/// Writes tensors and metadata; the file appears under `path` only when it is complete. Equal
/// content gives equal bytes: the header is written here, because the `safetensors` crate takes
/// its metadata from a hash map.
pub fn write_safetensors(
    path: &Path,
    tensors: &BTreeMap<String, Tensor>,
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    let mut order: Vec<(&String, &Tensor)> = tensors.iter().collect();
    // wide elements first keeps every tensor aligned; the sort keeps names in order otherwise
    order.sort_by_key(|(_, tensor)| std::cmp::Reverse(tensor.dtype().size_in_bytes()));
    let (mut header, mut body) = (serde_json::Map::new(), Vec::new());
    if !metadata.is_empty() {
        header.insert("__metadata__".to_owned(), serde_json::json!(metadata));
    }
    for (name, tensor) in order {
        let dtype = dtype_out(tensor.dtype()).ok_or_else(|| {
            Error::checkpoint(path, format!("{name}: dtype {:?} cannot be stored", tensor.dtype()))
        })?;
        let start = body.len();
        body.extend(raw_bytes(tensor)?);
        let entry =
            serde_json::json!({"dtype": dtype, "shape": tensor.dims(), "data_offsets": [start, body.len()]});
        header.insert(name.clone(), entry);
    }
    let mut header = serde_json::Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.append(&mut header);
    bytes.append(&mut body);
    publish(path, &bytes)
}

/// Writes beside `path`, syncs, and renames.
pub(super) fn publish(path: &Path, bytes: &[u8]) -> Result<()> {
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
        Dtype::I32 => DType::I32,
        Dtype::I16 => DType::I16,
        Dtype::U32 => DType::U32,
        Dtype::U8 | Dtype::BOOL => DType::U8,
        _ => return None,
    })
}

fn dtype_out(dtype: DType) -> Option<&'static str> {
    Some(match dtype {
        DType::F32 => "F32",
        DType::F64 => "F64",
        DType::F16 => "F16",
        DType::BF16 => "BF16",
        DType::I64 => "I64",
        DType::I32 => "I32",
        DType::I16 => "I16",
        DType::U32 => "U32",
        DType::U8 => "U8",
        _ => return None,
    })
}

/// Elements as little-endian bytes, row-major.
pub(super) fn raw_bytes(tensor: &Tensor) -> Result<Vec<u8>> {
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
        CpuStorage::I32(v) => v[start..end].iter().flat_map(|x| x.to_le_bytes()).collect(),
        CpuStorage::I16(v) => v[start..end].iter().flat_map(|x| x.to_le_bytes()).collect(),
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
