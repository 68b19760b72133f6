//! Reads a folder that [`forge`](super::forge) wrote: methods, people and splits as forged.
//!
//! The list of samples beside the splits says everything; this only checks that the folder is a forged one and names
//! the data set after it, so that a folder may be moved or renamed.

use std::path::Path;

use facebench_protocols::Manifest;

use super::RECORD;
use crate::Error;
use crate::readers::plain_folder;

/// The manifest of a forged folder. Data set `forge:<folder name>`; methods `photo`, `self-blend`, `swap`.
///
/// # Errors
/// The folder or its record is not there, or files are missing, or what [`plain_folder`] refuses.
pub fn load(root: &Path) -> Result<Manifest, Error> {
    let record = root.join(RECORD);
    if !record.is_file() {
        return Err(Error::Missing {
            what: "record of a forged data set".into(),
            path: record,
            near: "make one with `facebench data forge FACES OUT`".into(),
        });
    }
    let name = root.file_name().map(|n| n.to_string_lossy().into_owned());
    let name = match name {
        Some(name) => name,
        None => std::fs::canonicalize(root)
            .map_err(Error::io("read", root))?
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default(),
    };
    plain_folder(root, &format!("forge:{name}"))
}
