//! Arrays on disk, piece by piece: `.npy` in; `.npz` and `.safetensors` out.
//!
//! Shapes are known before the first value, so every array's place in the output is known too and rows are written
//! where they belong: memory does not grow with the number of rows. The file is written beside its name and renamed
//! when it is complete. Formats: NumPy's `numpy.lib.format`, zip (stored members, with 64-bit sizes), safetensors.

use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::error::{Error, Result, at, bad_spec};

/// Longest header of an `.npy` file that is read.
const MAX_HEADER: usize = 1 << 16;

/// An `.npy` file of f32, read by rows of the first dimension.
pub struct NpyRows {
    path: PathBuf,
    file: BufReader<File>,
    /// Its shape
    pub shape: Vec<usize>,
}

impl NpyRows {
    /// Opens the file and reads its header.
    ///
    /// Errors: no file, not an `.npy` file, another type than little-endian f32, Fortran order, a size that does not
    /// agree with the shape.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(at(path))?;
        let bytes = file.metadata().map_err(at(path))?.len();
        let mut file = BufReader::new(file);
        let bad = |what: String| Error::Spec(format!("{}: {what}", path.display()));
        let mut start = [0u8; 10];
        let short = |_| bad("not an .npy file\nhint: `numpy.save(\"x.npy\", x.astype(\"float32\"))`".into());
        file.read_exact(&mut start).map_err(short)?;
        if !start.starts_with(b"\x93NUMPY") {
            return Err(bad("not an .npy file\nhint: `numpy.save(\"x.npy\", x.astype(\"float32\"))`".into()));
        }
        let (mut len, mut used) = (usize::from(u16::from_le_bytes([start[8], start[9]])), 10);
        if start[6] > 1 {
            let mut more = [0u8; 2];
            file.read_exact(&mut more).map_err(|_| bad("cut off in its header".into()))?;
            len += usize::from(u16::from_le_bytes(more)) << 16;
            used = 12;
        }
        if len > MAX_HEADER {
            return Err(bad(format!("header of {len} bytes, at most {MAX_HEADER} are read")));
        }
        let mut header = vec![0u8; len];
        file.read_exact(&mut header).map_err(|_| bad("cut off in its header".into()))?;
        let header = String::from_utf8_lossy(&header).into_owned();
        let field = |name: &str| {
            let (_, rest) = header.split_once(&format!("'{name}':"))?;
            Some(rest.trim_start())
        };
        let kind = field("descr").and_then(|d| d.strip_prefix('\'')).and_then(|d| d.split('\'').next());
        if kind != Some("<f4") {
            let kind = kind.unwrap_or("unknown");
            return Err(bad(format!(
                "values of type `{kind}`, expected `<f4`\nhint: save `x.astype(\"float32\")`"
            )));
        }
        if !field("fortran_order").is_some_and(|f| f.starts_with("False")) {
            return Err(bad("in Fortran order\nhint: save `numpy.ascontiguousarray(x)`".into()));
        }
        let shape: Option<Vec<usize>> = field("shape")
            .and_then(|s| s.strip_prefix('(')?.split(')').next())
            .map(|s| s.split(',').map(str::trim).filter(|d| !d.is_empty()).map(str::parse).collect())
            .and_then(std::result::Result::ok);
        let shape = shape.ok_or_else(|| bad("its header has no shape".into()))?;
        let count = shape.iter().try_fold(4u64, |n, d| n.checked_mul(*d as u64));
        let expected = count.and_then(|n| n.checked_add((used + len) as u64));
        if expected != Some(bytes) {
            return Err(bad(format!("{bytes} bytes do not hold the shape {shape:?}")));
        }
        Ok(Self { path: path.to_owned(), file, shape })
    }

    /// The next `rows` rows (or the file's end is an error).
    pub fn read(&mut self, rows: usize) -> Result<Vec<f32>> {
        let count = rows * self.shape.iter().skip(1).product::<usize>();
        let mut bytes = vec![0u8; count * 4];
        self.file.read_exact(&mut bytes).map_err(at(&self.path))?;
        Ok(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    }
}

/// One array of an output file.
struct Place {
    name: String,
    /// First byte of the values, and how many values are written.
    start: u64,
    written: u64,
    count: u64,
    crc: Crc,
    /// Zip: start of the member, bytes of it before the values.
    member: u64,
    prefix: u64,
}

/// Arrays of f32 being written, by rows.
pub struct ArrayFile {
    path: PathBuf,
    temporary: PathBuf,
    file: File,
    places: Vec<Place>,
    end: u64,
    zip: bool,
}

impl ArrayFile {
    /// Starts `path` (`.npz` or `.safetensors`) with these f32 arrays, and one name per row if there are names: the array
    /// `ids` of an `.npz`, the metadata entry `ids` (a JSON list) of a `.safetensors`.
    ///
    /// Errors: another ending, a folder that is not there or not writable.
    pub fn create(path: &Path, arrays: &[(&str, Vec<usize>)], ids: Option<&[String]>) -> Result<Self> {
        let zip = match path.extension().and_then(|e| e.to_str()) {
            Some("npz") => true,
            Some("safetensors") => false,
            _ => {
                return bad_spec!(
                    "{}: unknown kind of file\nhint: end the name in .npz or .safetensors",
                    path.display()
                );
            }
        };
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".tmp-{}", std::process::id()));
        let temporary = path.with_file_name(name);
        let file = File::create(&temporary).map_err(at(path))?;
        let mut out = Self { path: path.to_owned(), temporary, file, places: Vec::new(), end: 0, zip };
        if zip {
            out.begin_zip(arrays, ids)?;
        } else {
            out.begin_safetensors(arrays, ids)?;
        }
        Ok(out)
    }

    fn put(&mut self, at_byte: u64, bytes: &[u8]) -> Result<()> {
        self.file.seek(SeekFrom::Start(at_byte)).map_err(at(&self.path))?;
        self.file.write_all(bytes).map_err(at(&self.path))
    }

    fn begin_safetensors(&mut self, arrays: &[(&str, Vec<usize>)], ids: Option<&[String]>) -> Result<()> {
        let (mut header, mut offset) = (serde_json::Map::new(), 0u64);
        if let Some(ids) = ids {
            header.insert("__metadata__".into(), json!({"ids": json!(ids).to_string()}));
        }
        for (name, shape) in arrays {
            let count: u64 = shape.iter().map(|d| *d as u64).product();
            let entry = json!({"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + 4 * count]});
            header.insert((*name).into(), entry);
            self.place(name, offset, count);
            offset += 4 * count;
        }
        let mut header = serde_json::Value::Object(header).to_string().into_bytes();
        header.resize(header.len().next_multiple_of(8), b' ');
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.append(&mut header);
        for place in &mut self.places {
            place.start += bytes.len() as u64;
        }
        self.end = bytes.len() as u64 + offset;
        self.put(0, &bytes)
    }

    fn place(&mut self, name: &str, start: u64, count: u64) {
        let name = name.to_owned();
        self.places.push(Place { name, start, written: 0, count, crc: Crc::new(), member: 0, prefix: 0 });
    }

    fn begin_zip(&mut self, arrays: &[(&str, Vec<usize>)], ids: Option<&[String]>) -> Result<()> {
        for (name, shape) in arrays {
            self.begin_member(name, "<f4", shape, 4)?;
        }
        if let Some(ids) = ids {
            // NumPy's text: UTF-32 of one width
            let width = ids.iter().map(|s| s.chars().count()).max().unwrap_or(0).max(1);
            let mut bytes = Vec::with_capacity(ids.len() * width * 4);
            for id in ids {
                let mut row: Vec<u8> = id.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
                row.resize(width * 4, 0);
                bytes.append(&mut row);
            }
            self.begin_member("ids", &format!("<U{width}"), &[ids.len()], 4 * width as u64)?;
            let last = self.places.len() - 1;
            self.bytes(last, &bytes)?;
        }
        Ok(())
    }

    /// Local header (completed at the end) and `.npy` header of a member.
    fn begin_member(&mut self, name: &str, kind: &str, shape: &[usize], size: u64) -> Result<()> {
        let dims: Vec<String> = shape.iter().map(ToString::to_string).collect();
        let comma = if dims.len() == 1 { "," } else { "" };
        let mut text =
            format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({}{comma}), }}", dims.join(", "));
        while (10 + text.len() + 1) % 64 != 0 {
            text.push(' ');
        }
        text.push('\n');
        let mut npy = b"\x93NUMPY\x01\x00".to_vec();
        npy.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
        npy.extend(text.as_bytes());
        let count = size / 4 * shape.iter().map(|d| *d as u64).product::<u64>();
        let member = self.end;
        let head = 30 + name.len() as u64 + 4 + 20;
        self.place(name, member + head + npy.len() as u64, count);
        let last = self.places.len() - 1;
        let place = &mut self.places[last];
        (place.member, place.prefix) = (member, npy.len() as u64);
        place.crc.add(&npy);
        self.end = place.start + 4 * count;
        self.put(member + head, &npy)
    }

    fn bytes(&mut self, which: usize, bytes: &[u8]) -> Result<()> {
        let place = &mut self.places[which];
        let at_byte = place.start + 4 * place.written;
        place.written += bytes.len() as u64 / 4;
        if self.zip {
            place.crc.add(bytes);
        }
        self.put(at_byte, bytes)
    }

    /// Appends values to the array with this number, in the order of `create`.
    pub fn append(&mut self, which: usize, values: &[f32]) -> Result<()> {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.bytes(which, &bytes)
    }

    /// Completes the file and gives it its name.
    ///
    /// Errors: an array that is not full; the disk.
    pub fn finish(mut self) -> Result<()> {
        if let Some(p) = self.places.iter().find(|p| p.written != p.count) {
            return bad_spec!("{}: {} of {} values written", p.name, p.written, p.count);
        }
        if self.zip {
            self.end_zip()?;
        }
        self.file.sync_all().map_err(at(&self.path))?;
        std::fs::rename(&self.temporary, &self.path).map_err(at(&self.path))
    }

    fn end_zip(&mut self) -> Result<()> {
        let mut central = Vec::new();
        let places: Vec<(u64, u64, u32, String)> = self
            .places
            .iter()
            .map(|p| (p.member, p.prefix + 4 * p.count, p.crc.value(), format!("{}.npy", p.name)))
            .collect();
        for (member, size, crc, name) in &places {
            // version 4.5 (64-bit sizes), no flags, stored, 1980-01-01: equal content, equal bytes
            let common = |out: &mut Vec<u8>| {
                for v in [45u16, 0, 0, 0, 0x21] {
                    out.extend(v.to_le_bytes());
                }
                out.extend(crc.to_le_bytes());
                out.extend([0xff; 8]);
            };
            let mut local = b"PK\x03\x04".to_vec();
            common(&mut local);
            local.extend((name.len() as u16).to_le_bytes());
            local.extend(20u16.to_le_bytes());
            local.extend(name.as_bytes());
            local.extend([1, 0, 16, 0]);
            local.extend(size.to_le_bytes());
            local.extend(size.to_le_bytes());
            self.put(*member, &local)?;
            central.extend(b"PK\x01\x02");
            central.extend(45u16.to_le_bytes());
            common(&mut central);
            for v in [name.len() as u16, 28, 0, 0, 0, 0, 0] {
                central.extend(v.to_le_bytes());
            }
            central.extend([0xff; 4]);
            central.extend(name.as_bytes());
            central.extend([1, 0, 24, 0]);
            for v in [*size, *size, *member] {
                central.extend(v.to_le_bytes());
            }
        }
        let (start, len, count) = (self.end, central.len() as u64, places.len() as u64);
        central.extend(b"PK\x06\x06");
        central.extend(44u64.to_le_bytes());
        central.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        for v in [count, count, len, start] {
            central.extend(v.to_le_bytes());
        }
        central.extend(b"PK\x06\x07");
        central.extend(0u32.to_le_bytes());
        central.extend((start + len).to_le_bytes());
        central.extend(1u32.to_le_bytes());
        central.extend(b"PK\x05\x06");
        central.extend([0, 0, 0, 0]);
        central.extend([0xff; 12]);
        central.extend([0, 0]);
        self.put(start, &central)
    }
}

impl Drop for ArrayFile {
    fn drop(&mut self) {
        // after `finish` the file has another name and this finds nothing
        let _ = std::fs::remove_file(&self.temporary);
    }
}

/// CRC-32 as zip has it (polynomial 0xEDB88320).
struct Crc {
    table: [u32; 256],
    state: u32,
}

impl Crc {
    fn new() -> Self {
        let entry =
            |i: usize| (0..8).fold(i as u32, |c, _| if c & 1 == 1 { 0xEDB8_8320 ^ (c >> 1) } else { c >> 1 });
        Self { table: std::array::from_fn(entry), state: u32::MAX }
    }

    fn add(&mut self, bytes: &[u8]) {
        for b in bytes {
            self.state = self.table[((self.state ^ u32::from(*b)) & 0xff) as usize] ^ (self.state >> 8);
        }
    }

    fn value(&self) -> u32 {
        !self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use facebench_engine::checkpoint;

    #[test]
    fn written_in_pieces_read_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let ids = ["a/ä/0".to_owned(), "b".to_owned()];
        for name in ["f.npz", "f.safetensors"] {
            let path = dir.path().join(name);
            let shapes = [("pooled", vec![2, 3]), ("tokens", vec![2, 2, 1])];
            let mut file =
                ArrayFile::create(&path, &shapes, (name == "f.safetensors").then_some(&ids[..])).unwrap();
            for row in 0..2u8 {
                let r = f32::from(row);
                file.append(0, &[r, r + 0.5, -r]).unwrap();
                file.append(1, &[10.0 + r, 20.0 + r]).unwrap();
            }
            assert!(!path.exists(), "nothing appears before the end");
            file.finish().unwrap();
            let read = checkpoint::read(&path).unwrap();
            let pooled = read.tensors["pooled"].to_vec2::<f32>().unwrap();
            assert_eq!(pooled, [[0.0, 0.5, 0.0], [1.0, 1.5, -1.0]]);
            assert_eq!(
                read.tensors["tokens"].flatten_all().unwrap().to_vec1::<f32>().unwrap(),
                [10., 20., 11., 21.]
            );
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "no temporary file is left");
    }

    #[test]
    fn an_array_that_is_not_full_is_not_published() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f.npz");
        let mut file = ArrayFile::create(&path, &[("x", vec![2, 2])], None).unwrap();
        file.append(0, &[1.0, 2.0]).unwrap();
        assert_eq!(file.finish().unwrap_err().to_string(), "x: 2 of 4 values written");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_no_f32_array_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let npy = |kind: &str, shape: &str, bytes: usize| {
            let head = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
            let mut out = b"\x93NUMPY\x01\x00".to_vec();
            out.extend((head.len() as u16).to_le_bytes());
            out.extend(head.as_bytes());
            out.extend(vec![0; bytes]);
            out
        };
        for (bytes, message) in [
            (b"hello".to_vec(), "not an .npy file"),
            (npy("<f8", "(2, 3)", 48), "type `<f8`, expected `<f4`"),
            (npy("<f4", "(2, 3)", 23), "do not hold the shape [2, 3]"),
            (npy("<f4", "(99999999999999999, 99999999999)", 4), "do not hold the shape"),
        ] {
            let path = dir.path().join("x.npy");
            std::fs::write(&path, bytes).unwrap();
            let error = NpyRows::open(&path).err().unwrap().to_string();
            assert!(error.contains(message), "{error}");
        }
        std::fs::write(dir.path().join("x.npy"), npy("<f4", "(2, 3)", 24)).unwrap();
        let mut rows = NpyRows::open(&dir.path().join("x.npy")).unwrap();
        assert_eq!((rows.shape.clone(), rows.read(2).unwrap().len()), (vec![2, 3], 6));
        assert!(rows.read(1).is_err());
    }
}
