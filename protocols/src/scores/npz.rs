//! Score files as NumPy archives: one array per column, so that a training script needs one line to write them.
//!
//! `np.savez("scores.npz", set=…, dataset=…, method=…, video=…, frame=…, label=…, score=…)`. Columns and rules are those
//! of the CSV form; a scalar stands for a column that is the same in every row. Header format: `numpy.lib.format`
//! versions 1 to 3. Arrays of objects are pickles and refused.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::error::{Error, Result};

/// A column's cells as text, numbers in the shortest form that reads back to the same value.
enum Column {
    Scalar(String),
    Rows(Vec<String>),
}

/// The arrays of the archive as named columns of equal length.
///
/// # Errors
/// The file cannot be read, is no archive of arrays, holds a compressed, object, structured or many-dimensional array,
/// or its columns differ in length.
pub(super) fn columns(path: &Path) -> Result<Vec<(String, Vec<String>)>> {
    let fail = |message: String, hint: Option<&str>| Error::Config {
        origin: path.display().to_string(),
        line: None,
        message,
        hint: hint.map(str::to_owned),
    };
    let file = File::open(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    let mut archive = zip::ZipArchive::new(file)
        .map_err(|e| fail(format!("not a NumPy archive: {e}"), Some("np.savez writes one")))?;
    let mut found = Vec::new();
    for index in 0..archive.len() {
        let mut member = archive.by_index(index).map_err(|e| fail(e.to_string(), None))?;
        let name = member.name().map_err(|e| fail(e.to_string(), None))?.into_owned();
        let Some(name) = name.strip_suffix(".npy").map(str::to_owned) else { continue };
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes).map_err(|e| {
            let packed = e.to_string().contains("compression");
            fail(
                format!("array `{name}`: {e}"),
                packed.then_some("use np.savez instead of np.savez_compressed"),
            )
        })?;
        let column = parse(&bytes).map_err(|e| {
            let hint = e.contains("object").then_some("write text as np.array(names, dtype=str)");
            fail(format!("array `{name}`: {e}"), hint)
        })?;
        found.push((name, column));
    }
    let lengths = found.iter().filter_map(|(name, c)| match c {
        Column::Rows(rows) => Some((name, rows.len())),
        Column::Scalar(_) => None,
    });
    let lengths: Vec<(&String, usize)> = lengths.collect();
    let rows = lengths.first().map_or(1, |(_, n)| *n);
    if let Some((name, n)) = lengths.iter().find(|(_, n)| *n != rows) {
        let first = lengths[0].0;
        return Err(fail(format!("array `{name}` has {n} values, `{first}` has {rows}"), None));
    }
    let whole = found.into_iter().map(|(name, column)| match column {
        Column::Rows(cells) => (name, cells),
        Column::Scalar(cell) => (name, vec![cell; rows]),
    });
    Ok(whole.collect())
}

fn parse(bytes: &[u8]) -> std::result::Result<Column, String> {
    let short = || "it is cut off".to_owned();
    if !bytes.starts_with(b"\x93NUMPY") {
        return Err("not a .npy array".into());
    }
    let (start, len): (usize, usize) = match (bytes.get(6), bytes.get(8..12)) {
        (Some(1), Some(n)) => (10, usize::from(u16::from_le_bytes([n[0], n[1]]))),
        (Some(2 | 3), Some(n)) => (12, u32::from_le_bytes([n[0], n[1], n[2], n[3]]) as usize),
        _ => return Err(short()),
    };
    let header = bytes.get(start..start.saturating_add(len)).ok_or_else(short)?;
    let header = std::str::from_utf8(header).map_err(|_| "its header is not text")?;
    let field = |name: &str| header.split_once(&format!("'{name}':")).map(|(_, rest)| rest.trim_start());
    let descr = field("descr").and_then(|d| d.strip_prefix('\'')).and_then(|d| d.split('\'').next());
    let descr = descr.ok_or("structured arrays are not supported")?;
    let shape = field("shape").and_then(|v| v.strip_prefix('(')).and_then(|v| v.split(')').next());
    let dims: Vec<&str> =
        shape.ok_or("its header has no shape")?.split(',').map(str::trim).filter(|d| !d.is_empty()).collect();
    let count = match dims.as_slice() {
        [] => 1,
        [n] => n.parse().map_err(|_| format!("{n} is no size"))?,
        _ => return Err(format!("shape ({}), expected one dimension", dims.join(", "))),
    };
    if descr.contains('O') {
        return Err("an array of objects, which only Python could read".into());
    }
    let (kind, width) = descr.split_at_checked(2).ok_or_else(|| format!("dtype {descr} is not supported"))?;
    let width: usize = width.parse().map_err(|_| format!("dtype {descr} is not supported"))?;
    let size = if kind == "<U" { width.checked_mul(4).ok_or_else(short)? } else { width };
    let total = size.checked_mul(count).ok_or_else(short)?;
    let data = bytes[start + len..].get(..total).ok_or_else(short)?;
    let cell = cell(kind, width).ok_or_else(|| format!("dtype {descr} is not supported"))?;
    let mut cells = Vec::with_capacity(count);
    for i in 0..count {
        cells.push(cell(&data[i * size..(i + 1) * size])?);
    }
    Ok(if dims.is_empty() { Column::Scalar(cells.remove(0)) } else { Column::Rows(cells) })
}

type Cell = fn(&[u8]) -> std::result::Result<String, String>;

/// How a value of this type is written; none for types that are no column.
fn cell(kind: &str, width: usize) -> Option<Cell> {
    macro_rules! number {
        ($t:ty, $as:ty) => {
            |b| {
                let bytes = b.try_into().map_err(|_| "it is cut off".to_owned())?;
                Ok(<$as>::from(<$t>::from_le_bytes(bytes)).to_string())
            }
        };
    }
    Some(match (kind, width) {
        ("<f", 8) => number!(f64, f64),
        ("<f", 4) => number!(f32, f64),
        ("<i", 8) => number!(i64, i64),
        ("<i", 4) => number!(i32, i64),
        ("<i", 2) => number!(i16, i64),
        ("|i", 1) => number!(i8, i64),
        ("<u", 8) => number!(u64, u64),
        ("<u", 4) => number!(u32, u64),
        ("<u", 2) => number!(u16, u64),
        ("|u" | "|b", 1) => number!(u8, u64),
        ("<U", _) => |b| {
            let points = b.chunks_exact(4).map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]]));
            let text: Option<String> = points.take_while(|p| *p != 0).map(char::from_u32).collect();
            text.ok_or_else(|| "a text that is no Unicode".into())
        },
        ("|S", _) => |b| {
            let end = b.iter().position(|c| *c == 0).unwrap_or(b.len());
            String::from_utf8(b[..end].to_vec()).map_err(|_| "a text that is no UTF-8".into())
        },
        _ => return None,
    })
}
