//! NumPy archives: one `.npy` array per member.
//!
//! Header format: `numpy.lib.format` versions 1 to 3. Arrays in Fortran order are transposed;
//! arrays of objects are refused, as they would be pickles.
use super::zip::Archive;
use super::{Checkpoint, Container};
use crate::error::{Error, Result};
use candle_core::{DType, Device, Tensor};
use std::collections::BTreeMap;
use std::path::Path;

/// Reads every array of the archive.
pub(super) fn read(path: &Path, archive: &Archive<'_>) -> Result<Checkpoint> {
    let (mut tensors, mut order) = (BTreeMap::new(), Vec::new());
    for member in &archive.members {
        let Some(name) = member.name.strip_suffix(".npy") else { continue };
        let fail = |reason: String| Error::checkpoint(path, format!("array {name}: {reason}"));
        let array = parse(&archive.read(member).map_err(fail)?).map_err(fail)?;
        order.push(name.to_owned());
        tensors.insert(name.to_owned(), array);
    }
    Ok(Checkpoint {
        tensors,
        order,
        container: Container::Npz,
        root: String::new(),
        metadata: BTreeMap::new(),
        extra: BTreeMap::new(),
    })
}

fn parse(bytes: &[u8]) -> std::result::Result<Tensor, String> {
    let short = || "the array is cut off".to_owned();
    if !bytes.starts_with(b"\x93NUMPY") {
        return Err("not a .npy array".into());
    }
    let (start, len) = match bytes.get(6).ok_or_else(short)? {
        1 => (
            10,
            usize::from(u16::from_le_bytes([
                *bytes.get(8).ok_or_else(short)?,
                *bytes.get(9).ok_or_else(short)?,
            ])),
        ),
        2 | 3 => {
            let word: [u8; 4] = bytes.get(8..12).and_then(|w| w.try_into().ok()).ok_or_else(short)?;
            (12, u32::from_le_bytes(word) as usize)
        }
        version => return Err(format!("version {version} of the format is not supported")),
    };
    let header = bytes.get(start..start + len).ok_or_else(short)?;
    let header = std::str::from_utf8(header).map_err(|_| "its header is not text")?;
    let field = |name: &str| header.split_once(&format!("'{name}':")).map(|(_, rest)| rest.trim_start());
    let descr = field("descr").ok_or("its header has no descr")?;
    let kind = descr
        .strip_prefix('\'')
        .and_then(|d| d.split('\'').next())
        .ok_or("structured arrays are not supported")?;
    let fortran = field("fortran_order").is_some_and(|v| v.starts_with("True"));
    let shape = field("shape")
        .and_then(|v| v.strip_prefix('('))
        .and_then(|v| v.split(')').next())
        .ok_or("its header has no shape")?;
    let mut dims = shape
        .split(',')
        .map(str::trim)
        .filter(|d| !d.is_empty())
        .map(|d| d.parse::<usize>().map_err(|_| format!("{d} is no size")))
        .collect::<std::result::Result<Vec<_>, _>>()?;
    let dtype = match kind {
        "<f4" => DType::F32,
        "<f8" => DType::F64,
        "<f2" => DType::F16,
        "<i8" => DType::I64,
        "<i4" => DType::I32,
        "<i2" => DType::I16,
        "<u4" => DType::U32,
        "|u1" | "|b1" => DType::U8,
        other => return Err(format!("dtype {other} is not supported")),
    };
    let size = dims.iter().try_fold(dtype.size_in_bytes(), |n, &d| n.checked_mul(d)).ok_or_else(short)?;
    let data = bytes.get(start + len..).and_then(|rest| rest.get(..size)).ok_or_else(short)?;
    if fortran {
        dims.reverse();
    }
    let array = Tensor::from_raw_buffer(data, dtype, &dims, &Device::Cpu).map_err(|e| e.to_string())?;
    if fortran && dims.len() > 1 {
        let order: Vec<usize> = (0..dims.len()).rev().collect();
        return array.permute(order).and_then(|a| a.contiguous()).map_err(|e| e.to_string());
    }
    Ok(array)
}
