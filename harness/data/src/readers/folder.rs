//! A folder of the user's own: `{train,val,test}/{real,fake}/...`, or just `{real,fake}/...` for testing.
//!
//! A file `<video>_frame_<n>` is a frame of that video; any other image is a still, its own video. Folders below a
//! class are part of the name. Polarity: the class folder's name. A
//! [`SAMPLE_LIST`] beside the splits takes precedence: it also says who is shown, which names here do not tell.

use std::path::Path;

use facebench_protocols::{Manifest, Split};

use super::clip::{Kind, Naming, Place, Sink, Who, flat};
use super::{classes, collect, table, walk};
use crate::Error;

/// File that lists the samples of a folder, in the columns of [`Manifest::write_csv`], paths relative to it.
pub const SAMPLE_LIST: &str = "samples.csv";

/// Reads a folder of real and fake images. `dataset` is the name its samples get.
///
/// # Errors
/// As [`load`](super::load).
pub fn plain_folder(root: &Path, dataset: &str) -> Result<Manifest, Error> {
    walk::need_folder(root, &format!("data set {dataset}"))?;
    let place = Place {
        dataset,
        info: None,
        root,
        folder: root.to_path_buf(),
        list: None,
        only: &[],
        pictures: None,
        faults: None,
    };
    collect(&place, read)
}

/// The error for a root that is the data set's own folder, not the one above it.
pub(super) fn inside(root: &Path, folder: &Path, name: &str, dataset: &str) -> Error {
    let near = format!(
        "the root is the folder that holds `{name}`; for {} itself name the data set `own`: `facebench data index own {}`",
        root.display(),
        root.display()
    );
    Error::Missing { what: format!("data set {dataset}"), path: folder.to_path_buf(), near }
}

pub(super) fn read(place: &Place, sink: &mut Sink) -> Result<(), Error> {
    let folder = &place.folder;
    let list = folder.join(SAMPLE_LIST);
    if list.is_file() {
        return table::read_manifest(place, &list, sink);
    }
    if !classes::SPLITS.iter().any(|(name, _)| folder.join(name).is_dir()) {
        return read_split(folder, Split::Test, sink);
    }
    for (folder, split) in classes::split_folders(folder, place.dataset)? {
        read_split(&folder, split, sink)?;
    }
    Ok(())
}

fn read_split(split_folder: &Path, split: Split, sink: &mut Sink) -> Result<(), Error> {
    for class in classes::class_folders(split_folder)? {
        let kind = Kind { folder: &class.path, label: class.label, split, naming: Naming::FramesOrStills };
        let method = classes::word(class.label);
        flat(
            kind,
            &mut |_, name, _| Ok(Who { method: method.into(), video: name.into(), subjects: Vec::new() }),
            sink,
        )?;
    }
    Ok(())
}
