//! `SHA256SUMS` in the form of `sha256sum`, over every file of a bundle but itself and its signature.

use super::{Error, Result};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

/// The file.
pub(super) const FILE: &str = "SHA256SUMS";
/// Its signature.
pub(super) const SIGNATURE: &str = "SHA256SUMS.sig";
/// Deeper folders than this are no bundle.
const DEPTH: usize = 4;

/// SHA-256 of a file, hexadecimal.
pub(super) fn of_file(path: &Path) -> Result<String> {
    let mut file = std::fs::File::open(path).map_err(|e| Error::io(path, e))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n = file.read(&mut buffer).map_err(|e| Error::io(path, e))?;
        if n == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(&buffer[..n]);
    }
}

/// SHA-256 of bytes, hexadecimal.
pub(super) fn of_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Every file of the bundle with its digest, by its path with `/`. Links are not followed: they count as files that
/// cannot be read.
pub(super) fn of_folder(bundle: &Path) -> Result<BTreeMap<String, String>> {
    fn walk(folder: &Path, prefix: &str, depth: usize, out: &mut BTreeMap<String, String>) -> Result<()> {
        for entry in std::fs::read_dir(folder).map_err(|e| Error::io(folder, e))? {
            let entry = entry.map_err(|e| Error::io(folder, e))?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let kind = entry.file_type().map_err(|e| Error::io(entry.path(), e))?;
            if kind.is_dir() && depth > 0 {
                walk(&entry.path(), &format!("{name}/"), depth - 1, out)?;
            } else if kind.is_file() {
                if name != FILE && name != SIGNATURE {
                    out.insert(name, of_file(&entry.path())?);
                }
            } else {
                let message = "neither a file nor a folder; a bundle holds nothing else".to_owned();
                return Err(Error::Malformed { path: entry.path(), message });
            }
        }
        Ok(())
    }
    let mut out = BTreeMap::new();
    walk(bundle, "", DEPTH, &mut out)?;
    Ok(out)
}

/// The text of `SHA256SUMS`.
pub(super) fn text(sums: &BTreeMap<String, String>) -> String {
    sums.iter().map(|(name, sum)| format!("{sum}  {name}\n")).collect()
}

/// Reads `SHA256SUMS`.
pub(super) fn read(bundle: &Path) -> Result<BTreeMap<String, String>> {
    let path = bundle.join(FILE);
    let text = std::fs::read_to_string(&path).map_err(|e| Error::io(&path, e))?;
    let mut sums = BTreeMap::new();
    for (at, line) in text.lines().enumerate().filter(|(_, l)| !l.is_empty()) {
        let parts = line.split_once("  ").or_else(|| line.split_once(" *"));
        match parts {
            Some((sum, name)) if sum.len() == 64 && sum.chars().all(|c| c.is_ascii_hexdigit()) => {
                sums.insert(name.trim_end().to_owned(), sum.to_ascii_lowercase());
            }
            _ => {
                let message = format!("line {}: expected 64 hexadecimal digits, two spaces, a name", at + 1);
                return Err(Error::Malformed { path, message });
            }
        }
    }
    Ok(sums)
}
