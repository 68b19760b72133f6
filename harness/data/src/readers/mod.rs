//! From folders on disk to a manifest: who is who, which is fake, what belongs to which split.
//!
//! One file per layout; the description of a data set (`facebench_protocols::dataset`) says where it lies under
//! the data root and which reader understands it. Labels come from the meaning of a folder's name, never from
//! sort order (ImageFolder's alphabetical classes are why published labels are inverted in places); 1 = fake from
//! here on. Readers look at names, not into images. What does not follow the layout is an error that names the
//! file: a sample that is skipped silently changes a test set silently.

mod classes;
mod ffpp;
mod folder;
mod marker;
mod mcio;
mod names;
mod pretrain;
mod real_fake;
mod walk;

use std::path::{Path, PathBuf};

use facebench_protocols::{Manifest, Sample, dataset, datasets, nearest};

pub use folder::{SAMPLE_LIST, plain_folder};
pub use marker::{SYNTHETIC_KEYWORD, SYNTHETIC_MARKER};
pub use pretrain::{PretrainItem, PretrainSet, pretrain_folders};
pub use walk::natural_order;

use crate::Error;

/// Readers there are, by the name a data set's description uses.
const READERS: [(&str, Reader); 4] = [
    ("ffpp-folders", ffpp::read),
    ("real-fake-folders", real_fake::read),
    ("mcio-folders", mcio::read),
    ("folder", folder::read),
];

/// Reads the data set at `Place::folder`.
type Reader = fn(&Place) -> Result<Vec<Sample>, Error>;

/// Where a data set lies and what it is.
struct Place<'a> {
    /// Id, the first part of every sample's identity.
    dataset: &'a str,
    /// The data root: markers are looked for up to here.
    root: &'a Path,
    /// The data set's own folder.
    folder: PathBuf,
    /// Whether the images are stills: each its own video.
    stills: bool,
}

/// Reads a data set below a data root.
///
/// `dataset_id` is a built-in id (`facebench data list`), or `folder:NAME` or `forge:NAME` for a plain folder
/// `NAME` under the root. The manifest is marked synthetic when a `SYNTHETIC.json` lies in any folder between an
/// image and the root, or when images say so themselves.
///
/// # Errors
/// [`Error::UnknownDataset`], [`Error::Missing`] with what is there instead, [`Error::Empty`],
/// [`Error::Duplicate`] with both files, [`Error::Layout`] for names outside the layout, and what
/// [`Manifest::new`] refuses.
pub fn load(root: &Path, dataset_id: &str) -> Result<Manifest, Error> {
    if let Some((_, name)) = dataset_id.split_once(':').filter(|(kind, _)| ["folder", "forge"].contains(kind))
    {
        let place = Place { dataset: dataset_id, root, folder: root.join(name), stills: false };
        walk::need_folder(&place.folder, &format!("data set {dataset_id}"))?;
        return finish(&place, folder::read(&place)?);
    }
    let Some(info) = dataset(dataset_id) else {
        let ids: Vec<&str> = datasets().iter().map(|d| d.id.as_str()).collect();
        let near = nearest(dataset_id, ids.iter().copied());
        let near = near.map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
        return Err(Error::UnknownDataset { id: dataset_id.into(), known: ids.join(", ") + &near });
    };
    let reader = READERS.iter().find(|(name, _)| *name == info.reader).map(|(_, reader)| reader);
    let reader = reader.expect("a test checks that every built-in reader exists");
    let folder = if info.path.is_empty() { root.to_path_buf() } else { root.join(&info.path) };
    let stills = info.family == facebench_protocols::Family::DiffusionForgery;
    let place = Place { dataset: dataset_id, root, folder, stills };
    walk::need_folder(&place.folder, &format!("data set {dataset_id}"))?;
    finish(&place, reader(&place)?)
}

/// All pictures below a folder, at any depth, in natural order. No labels, no identities.
///
/// # Errors
/// The folder cannot be read, holds no picture, or one of a format that is not read.
pub fn pictures(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    walk::need_folder(folder, "pictures")?;
    Ok(walk::images(folder)?.into_iter().map(|found| found.path).collect())
}

/// Duplicates (with both files named), the synthetic mark, and the manifest's own checks.
fn finish(place: &Place, mut samples: Vec<Sample>) -> Result<Manifest, Error> {
    if samples.is_empty() {
        return Err(Error::Empty { path: place.folder.clone() });
    }
    samples.sort_by(|a, b| a.cmp_id(b).then_with(|| a.path.cmp(&b.path)));
    for pair in samples.windows(2) {
        if pair[0].cmp_id(&pair[1]).is_eq() {
            let (first, second) = (pair[0].path.clone(), pair[1].path.clone());
            return Err(Error::Duplicate { id: pair[0].id(), first, second });
        }
    }
    let synthetic = marker::is_synthetic(place.root, samples.iter().map(|s| s.path.as_path()));
    Ok(Manifest::new(place.dataset, samples, synthetic)?)
}

#[cfg(test)]
mod tests;
