//! Face-parsing maps: which part of the face each pixel shows.
//!
//! A map is a NumPy `.npy` file of dtype int8, shape `(1, N, N)` or `(N, N)` (face crops are square), C order,
//! with the eleven LaPa labels (0 background, 1 skin, 2 right brow, 3 left brow, 4 right eye, 5 left eye,
//! 6 nose, 7 upper lip, 8 inner mouth, 9 lower lip, 10 hair). Everything else is an error with the file's name:
//! another dtype or shape, Fortran order, a label outside 0..=10, missing or surplus bytes. No pickled object
//! is ever looked at.

use std::path::Path;

use crate::Error;
use crate::image::encode::write_atomic;

/// Labels there are: 0 to 10.
pub const LABELS: u8 = 11;

/// Longest side of a map accepted.
const MAX_SIDE: usize = 20_000;

const REMAKE: &str = "write it with numpy as `np.save(path, labels.astype(np.int8)[None])`";

/// One label per pixel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsingMap {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Row-major labels, `(height, width)`, each in `0..=10`.
    pub labels: Vec<u8>,
}

impl ParsingMap {
    /// Fails unless the map has the size of the image it belongs to; `path` is the map's file.
    ///
    /// # Errors
    /// [`Error::Parsing`] with both sizes.
    pub fn expect_size(&self, path: &Path, width: usize, height: usize) -> Result<(), Error> {
        if (self.width, self.height) == (width, height) {
            return Ok(());
        }
        Err(Error::Parsing {
            path: path.to_path_buf(),
            what: format!("the map is {}x{}, its image is {width}x{height}", self.width, self.height),
            hint: "make the map from the very image it lies beside",
        })
    }
}

/// Reads a parsing map.
///
/// # Errors
/// [`Error::Io`] where the file cannot be read, [`Error::Parsing`] where it is not such a map.
pub fn read_npy(path: &Path) -> Result<ParsingMap, Error> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    parse(&bytes).map_err(|(what, hint)| Error::Parsing { path: path.to_path_buf(), what, hint })
}

/// Writes a parsing map as int8 `(1, N, N)`, format 1.0: the bytes NumPy itself would write.
///
/// # Errors
/// [`Error::Io`]; [`Error::Parsing`] where the map is not square, or its labels do not
/// fit the size or lie outside `0..=10`.
pub fn write_npy(path: &Path, map: &ParsingMap) -> Result<(), Error> {
    let bytes = to_npy(map).map_err(|what| Error::Parsing { path: path.to_path_buf(), what, hint: "" })?;
    write_atomic(path, &bytes)
}

fn to_npy(map: &ParsingMap) -> Result<Vec<u8>, String> {
    let (h, w) = (map.height, map.width);
    if map.labels.len() != h * w || map.labels.is_empty() || h != w {
        return Err(format!("{} labels for a map of {h}x{w}, which must be square", map.labels.len()));
    }
    check_labels(&map.labels, w)?;
    let mut header = format!("{{'descr': '|i1', 'fortran_order': False, 'shape': (1, {h}, {w}), }}");
    // magic 6, version 2, length 2, header, newline: a multiple of 64
    let pad = (64 - (10 + header.len() + 1) % 64) % 64;
    header.extend(std::iter::repeat_n(' ', pad));
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend_from_slice(&u16::try_from(header.len()).expect("two sides of 20 digits fit").to_le_bytes());
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(&map.labels);
    Ok(bytes)
}

type Fault = (String, &'static str);

/// Parses a whole file. Kept apart from the disk so that the attack corpus can be held in memory.
fn parse(bytes: &[u8]) -> Result<ParsingMap, Fault> {
    let no_hint = |what: &str| (what.to_string(), REMAKE);
    if bytes.is_empty() {
        return Err(("the file is empty (0 bytes)".into(), "copy or extract the file again"));
    }
    let Some(rest) = bytes.strip_prefix(b"\x93NUMPY") else {
        return Err(no_hint("not a .npy file (wrong magic bytes)"));
    };
    let (major, rest) = match rest {
        [major, _minor, rest @ ..] => (*major, rest),
        _ => return Err(no_hint("the file ends within its header")),
    };
    let (length, rest) = match (major, rest) {
        (1, [a, b, rest @ ..]) => (usize::from(u16::from_le_bytes([*a, *b])), rest),
        (2 | 3, [a, b, c, d, rest @ ..]) => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, rest),
        (1..=3, _) => return Err(no_hint("the file ends within its header")),
        _ => return Err((format!(".npy format version {major} is unknown, expected 1, 2 or 3"), REMAKE)),
    };
    let (Some(header), Some(data)) = (rest.get(..length), rest.get(length..)) else {
        return Err(no_hint("the file ends within its header"));
    };
    let header = std::str::from_utf8(header).map_err(|_| no_hint("the header is not text"))?;
    let descr = field(header, "descr").ok_or_else(|| no_hint("the header names no dtype"))?;
    let descr = descr.trim_matches(['\'', '"']);
    if !matches!(descr, "|i1" | "<i1" | ">i1" | "=i1") {
        return Err((format!("dtype is `{descr}`, expected int8 (`|i1`)"), REMAKE));
    }
    match field(header, "fortran_order") {
        Some("False") => {}
        Some("True") => return Err(no_hint("the array is in Fortran order, expected C order")),
        _ => return Err(no_hint("the header states no array order")),
    }
    let shape = field(header, "shape").ok_or_else(|| no_hint("the header names no shape"))?;
    let (height, width) = match dimensions(shape).as_deref() {
        Some([1, h, w] | [h, w]) if h == w && (1..=MAX_SIDE).contains(h) => (*h, *w),
        _ => return Err((format!("shape is {shape}, expected (1, N, N) or (N, N)"), REMAKE)),
    };
    let expected = height * width;
    if data.len() != expected {
        let fault = if data.len() < expected { "truncated" } else { "too long" };
        let got = data.len();
        return Err((format!("{fault}: {got} label bytes, shape {shape} needs {expected}"), REMAKE));
    }
    check_labels(data, width).map_err(|what| (what, REMAKE))?;
    Ok(ParsingMap { width, height, labels: data.to_vec() })
}

fn check_labels(labels: &[u8], width: usize) -> Result<(), String> {
    match labels.iter().position(|l| *l >= LABELS) {
        None => Ok(()),
        Some(at) => Err(format!(
            "label {} at row {}, column {} is outside 0..=10",
            labels[at].cast_signed(),
            at / width,
            at % width
        )),
    }
}

/// The text of one value in the header's dict literal, e.g. `'|i1'`, `False` or `(1, 224, 224)`.
fn field<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let quoted = [format!("'{key}'"), format!("\"{key}\"")];
    let start = quoted.iter().find_map(|q| header.find(q.as_str()).map(|at| at + q.len()))?;
    let value = header[start..].trim_start().strip_prefix(':')?.trim_start();
    let end = if value.starts_with('(') { value.find(')')? + 1 } else { value.find([',', '}'])? };
    Some(value[..end].trim_end())
}

/// `(1, 224, 224)` as numbers.
fn dimensions(shape: &str) -> Option<Vec<usize>> {
    let inner = shape.strip_prefix('(')?.strip_suffix(')')?;
    inner.split(',').map(str::trim).filter(|d| !d.is_empty()).map(|d| d.parse().ok()).collect()
}

#[cfg(test)]
mod tests;
