//! Writing `.pth` files that PyTorch reads with `torch.load(path, weights_only=True)`.
//!
//! The format of PyTorch ≥ 1.6: a zip archive of stored members, each starting at a multiple of 64 bytes. `data.pkl` is a
//! protocol-2 pickle of an `OrderedDict` of tensors, each `torch._utils._rebuild_tensor_v2(storage, 0, size, stride, False,
//! OrderedDict())`; `data/K` holds the bytes of storage K; `byteorder` and `version` say how to read them. Only names
//! that the restricted unpickler allows are used. Equal content gives equal bytes: no dates, no identifiers.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Tensor};

use super::safe::{publish, raw_bytes};
use crate::error::{Error, Result};

/// Members start at multiples of this, as PyTorch maps them into memory.
const ALIGNMENT: usize = 64;

/// Largest archive written: beyond it the format needs zip64 records, which are not written here.
const MAX_BYTES: usize = u32::MAX as usize;

/// Writes tensors in the given order of names (those it leaves out follow, sorted). With `root`, they lie below that key, as
/// in `{"model": {…}}`; without, the file is a bare state dict. The file appears under `path` only when it is complete.
///
/// # Errors
/// A tensor of a dtype PyTorch's storages lack, more than 4 GiB, or the file cannot be written.
pub fn write_torch(
    path: &Path,
    tensors: &BTreeMap<String, Tensor>,
    order: &[String],
    root: Option<&str>,
) -> Result<()> {
    let mut names: Vec<&String> = order.iter().filter(|n| tensors.contains_key(*n)).collect();
    let rest: Vec<&String> = tensors.keys().filter(|n| !names.contains(n)).collect();
    names.extend(rest);
    let too_large = || {
        Error::checkpoint(
            path,
            format!(
                "more than {MAX_BYTES} bytes do not fit a .pth file written here\nhint: write .safetensors, which PyTorch's safetensors package reads"
            ),
        )
    };
    let mut pickle = Pickle(b"\x80\x02".to_vec());
    let mut zip = Zip::default();
    if let Some(root) = root {
        pickle.op(b"}(");
        pickle.text(root);
    }
    pickle.ordered_dict();
    pickle.op(b"(");
    let mut bodies = Vec::new();
    for (k, name) in names.iter().enumerate() {
        let tensor = &tensors[*name];
        let storage = storage(tensor.dtype()).ok_or_else(|| {
            Error::checkpoint(path, format!("{name}: dtype {:?} has no PyTorch storage", tensor.dtype()))
        })?;
        pickle.text(name);
        pickle.tensor(storage, k, tensor.dims());
        bodies.push(raw_bytes(tensor)?);
    }
    pickle.op(b"u");
    if root.is_some() {
        pickle.op(b"u");
    }
    pickle.op(b".");
    zip.add("archive/data.pkl", &pickle.0);
    zip.add("archive/byteorder", b"little");
    for (k, body) in bodies.into_iter().enumerate() {
        if zip.bytes.len() + body.len() > MAX_BYTES {
            return Err(too_large());
        }
        zip.add(&format!("archive/data/{k}"), &body);
    }
    zip.add("archive/version", b"3\n");
    let bytes = zip.finish();
    if bytes.len() > MAX_BYTES {
        return Err(too_large());
    }
    publish(path, &bytes)
}

/// PyTorch's storage class of a dtype.
fn storage(dtype: DType) -> Option<&'static str> {
    Some(match dtype {
        DType::F32 => "FloatStorage",
        DType::F64 => "DoubleStorage",
        DType::F16 => "HalfStorage",
        DType::BF16 => "BFloat16Storage",
        DType::I64 => "LongStorage",
        DType::I32 => "IntStorage",
        DType::I16 => "ShortStorage",
        DType::U8 => "ByteStorage",
        _ => return None,
    })
}

/// A pickle being written; opcodes as in `pickletools`.
struct Pickle(Vec<u8>);

impl Pickle {
    fn op(&mut self, code: &[u8]) {
        self.0.extend_from_slice(code);
    }

    /// BINUNICODE.
    fn text(&mut self, text: &str) {
        self.op(b"X");
        self.op(&(text.len() as u32).to_le_bytes());
        self.op(text.as_bytes());
    }

    /// BININT1, BININT2, BININT or LONG1 (8 bytes, of which the last is 0).
    fn int(&mut self, v: usize) {
        match v {
            0..=0xFF => self.op(&[b'K', v as u8]),
            0x100..=0xFFFF => self.op(&[b'M', v as u8, (v >> 8) as u8]),
            0x1_0000..=0x7FFF_FFFF => {
                self.op(b"J");
                self.op(&(v as u32).to_le_bytes());
            }
            _ => {
                self.op(&[0x8A, 9]);
                self.op(&(v as u64).to_le_bytes());
                self.op(&[0]);
            }
        }
    }

    fn ints(&mut self, values: impl Iterator<Item = usize>) {
        self.op(b"(");
        values.for_each(|v| self.int(v));
        self.op(b"t");
    }

    fn ordered_dict(&mut self) {
        self.op(b"ccollections\nOrderedDict\n)R");
    }

    fn tensor(&mut self, storage: &str, key: usize, dims: &[usize]) {
        self.op(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        self.text("storage");
        self.op(format!("ctorch\n{storage}\n").as_bytes());
        self.text(&key.to_string());
        self.text("cpu");
        self.int(dims.iter().product());
        self.op(b"tQ"); // the persistent reference
        self.int(0);
        self.ints(dims.iter().copied());
        // row-major: the product of the dimensions behind
        self.ints((0..dims.len()).map(|i| dims[i + 1..].iter().product::<usize>().max(1)));
        self.op(b"\x89"); // requires no gradient
        self.ordered_dict(); // backward hooks
        self.op(b"tR");
    }
}

/// A zip archive of stored members.
#[derive(Default)]
struct Zip {
    bytes: Vec<u8>,
    directory: Vec<u8>,
    members: u16,
}

impl Zip {
    fn add(&mut self, name: &str, data: &[u8]) {
        let (crc, size, at) = (crc32(data), data.len() as u32, self.bytes.len() as u32);
        // PyTorch pads the extra field of the local header: id `FB`, length, zeros
        let unpadded = self.bytes.len() + 30 + name.len();
        let extra = (unpadded + 4).next_multiple_of(ALIGNMENT) - unpadded;
        let common = |out: &mut Vec<u8>, extra: usize| {
            out.extend([20, 0, 0, 0, 0, 0, 0, 0, 0, 0]); // version 2.0, no flags, stored, no time
            for v in [crc, size, size] {
                out.extend(v.to_le_bytes());
            }
            out.extend((name.len() as u16).to_le_bytes());
            out.extend((extra as u16).to_le_bytes());
        };
        self.bytes.extend(b"PK\x03\x04");
        common(&mut self.bytes, extra);
        self.bytes.extend(name.as_bytes());
        self.bytes.extend(b"FB");
        self.bytes.extend(((extra - 4) as u16).to_le_bytes());
        self.bytes.resize(self.bytes.len() + extra - 4, 0);
        self.bytes.extend(data);
        self.directory.extend(b"PK\x01\x02\x14\x00");
        common(&mut self.directory, 0);
        self.directory.extend([0; 10]); // no comment, disk 0, no attributes
        self.directory.extend(at.to_le_bytes());
        self.directory.extend(name.as_bytes());
        self.members = self.members.saturating_add(1);
    }

    fn finish(mut self) -> Vec<u8> {
        let (at, size) = (self.bytes.len() as u32, self.directory.len() as u32);
        self.bytes.append(&mut self.directory);
        self.bytes.extend(b"PK\x05\x06\0\0\0\0");
        self.bytes.extend(self.members.to_le_bytes());
        self.bytes.extend(self.members.to_le_bytes());
        self.bytes.extend(size.to_le_bytes());
        self.bytes.extend(at.to_le_bytes());
        self.bytes.extend([0, 0]);
        self.bytes
    }
}

/// CRC-32 of the zip format (polynomial EDB88320), by a table of bytes.
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut i = 0;
        while i < 256 {
            let (mut c, mut k) = (i as u32, 0);
            while k < 8 {
                c = if c & 1 == 1 { (c >> 1) ^ 0xEDB8_8320 } else { c >> 1 };
                k += 1;
            }
            table[i] = c;
            i += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc: u32, b| (crc >> 8) ^ TABLE[usize::from((crc as u8) ^ b)])
}
