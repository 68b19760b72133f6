//! A zip archive with exactly one file, no folders, and the same bytes every time.

use std::io::{Cursor, Read as _, Write as _};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter, result::ZipResult};

/// The archive's bytes, read back once to be sure.
pub(super) fn single(name: &str, bytes: &[u8]) -> ZipResult<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default());
    zip.start_file(name, options)?;
    zip.write_all(bytes)?;
    let out = zip.finish()?.into_inner();
    let mut back = ZipArchive::new(Cursor::new(out.as_slice()))?;
    let mut read = Vec::with_capacity(bytes.len());
    let alone = back.len() == 1;
    back.by_name(name)?.read_to_end(&mut read)?;
    if !alone || read != bytes {
        return Err(zip::result::ZipError::InvalidArchive("the archive does not read back".into()));
    }
    Ok(out)
}
