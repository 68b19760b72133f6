//! A folder of the user's own: `{train,val,test}/{real,fake}/...`, or just `{real,fake}/...` for testing.
//!
//! A file `<video>_frame_<n>` is a frame of that video; any other image is a still, its own video. Folders below a
//! class are part of the name. Polarity: the class folder's name. A
//! [`SAMPLE_LIST`] beside the splits takes precedence: it also says who is shown, which names here do not tell.

use std::collections::BTreeSet;
use std::path::Path;

use facebench_protocols::{Manifest, Sample, Split};

use super::{Place, classes, finish, names, walk};
use crate::Error;

/// File that lists the samples of a folder, in the columns of [`Manifest::write_csv`], paths relative to it.
pub const SAMPLE_LIST: &str = "samples.csv";

/// Reads a folder of real and fake images. `dataset` is the name its samples get.
///
/// # Errors
/// As [`load`](super::load).
pub fn plain_folder(root: &Path, dataset: &str) -> Result<Manifest, Error> {
    walk::need_folder(root, &format!("data set {dataset}"))?;
    let place = Place { dataset, root, folder: root.to_path_buf(), stills: false };
    finish(&place, read(&place)?)
}

pub(super) fn read(place: &Place) -> Result<Vec<Sample>, Error> {
    let folder = &place.folder;
    if folder.join(SAMPLE_LIST).is_file() {
        return read_list(place);
    }
    if !classes::SPLITS.iter().any(|(name, _)| folder.join(name).is_dir()) {
        return read_split(place, folder, Split::Test);
    }
    let mut samples = Vec::new();
    for (folder, split) in classes::split_folders(folder, place.dataset)? {
        samples.extend(read_split(place, &folder, split)?);
    }
    Ok(samples)
}

fn read_split(place: &Place, folder: &Path, split: Split) -> Result<Vec<Sample>, Error> {
    let mut samples = Vec::new();
    for class in classes::class_folders(folder)? {
        for image in walk::images(&class.path)? {
            let name = image.flat_name();
            let (video, frame) = names::split_frame(&name).unwrap_or((&name, 0));
            samples.push(Sample {
                dataset: place.dataset.into(),
                method: classes::word(class.label).into(),
                video: video.into(),
                frame,
                label: class.label,
                split,
                subjects: Vec::new(),
                path: image.path,
            });
        }
    }
    Ok(samples)
}

/// The samples of the list, renamed to the place's data set; every file must be there.
fn read_list(place: &Place) -> Result<Vec<Sample>, Error> {
    let list = place.folder.join(SAMPLE_LIST);
    let mut samples = Manifest::read_csv(&list)?.samples;
    let there: BTreeSet<_> = walk::images(&place.folder)?.into_iter().map(|image| image.path).collect();
    for sample in &mut samples {
        sample.dataset = place.dataset.into();
        sample.path = place.folder.join(&sample.path);
        if !there.contains(&sample.path) {
            let what = format!("lists {}, which is not there", sample.path.display());
            return Err(Error::layout(&list, what, "paths are relative to the list; make the folder again"));
        }
    }
    Ok(samples)
}
