//! From folders on disk to a manifest: who is who, which is fake, what belongs to which split.
//!
//! One file per layout; the description of a data set (`facebench_protocols::dataset`) says which layouts it is known
//! in, where each lies under the data root and which reader understands it. Labels come from the meaning of a folder's
//! name or of a list's values, never from sort order (ImageFolder's alphabetical classes are why published labels are
//! inverted in places); 1 = fake from here on, and each reader says how its own labels are meant. Readers look at names,
//! not into images, and hand on one video at a time. What does not follow the layout is an error that names the file:
//! a sample that is skipped silently changes a test set silently.

mod celeb_df;
mod classes;
mod clip;
mod deeper;
mod dfb_json;
mod dfd;
mod dfdc;
mod dfdcp;
mod diff;
mod fas;
mod fas_lists;
mod ffpp;
mod ffpp_official;
mod folder;
mod lists;
pub(crate) mod lmdb;
mod marker;
mod media;
mod names;
mod pretrain;
mod real_fake;
mod table;
mod walk;
mod wdf;

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use facebench_protocols::{DatasetInfo, Layout, Manifest, Sample, Split, dataset, datasets, nearest};

pub(crate) use clip::{Clip, Media, Place, Sink};
pub use folder::{SAMPLE_LIST, plain_folder};
pub use marker::{SYNTHETIC_KEYWORD, SYNTHETIC_MARKER};
pub use pretrain::{PretrainItem, PretrainSet, pretrain_folders};
pub use table::Columns;
pub use walk::natural_order;

use crate::Error;

/// Hands on the clips of the data set at `Place::folder`.
type Reader = fn(&Place, &mut Sink) -> Result<(), Error>;

/// Whether a folder looks like the layout from inside.
type Fits = fn(&Path) -> bool;

/// Readers there are, by the name a data set's description uses.
const READERS: [(&str, Fits, Reader); 18] = [
    ("ffpp-folders", classes::fits, ffpp::read),
    ("real-fake-folders", classes::fits, real_fake::read),
    ("folder", classes::fits, folder::read),
    ("fas-lists", fas_lists::fits, fas_lists::read),
    ("ffpp-official", ffpp_official::fits, ffpp_official::read),
    ("dfd-official", dfd::fits, dfd::read),
    ("celeb-df-official", celeb_df::fits, celeb_df::read),
    ("dfdc-official", dfdc::fits, dfdc::read),
    ("dfdcp-official", dfdcp::fits, dfdcp::read),
    ("wdf-official", wdf::fits, wdf::read),
    ("deeperforensics-official", deeper::fits, deeper::read),
    ("diff-official", diff::fits, diff::read),
    ("msu-official", fas::msu::fits, fas::msu::read),
    ("casia-official", fas::casia::fits, fas::casia::read),
    ("replay-official", fas::replay::fits, fas::replay::read),
    ("oulu-official", fas::oulu::fits, fas::oulu::read),
    ("celeba-spoof-official", fas::celeba_spoof::fits, fas::celeba_spoof::read),
    ("deepfakebench-json", dfb_json::fits, dfb_json::read),
];

/// Folder of a data root in which manifests may take the place of data sets: `manifests/<id>.csv`.
pub const MANIFESTS: &str = "manifests";

/// A data set that was found in some layout.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its id.
    pub dataset: String,
    /// The layout's name; `manifest` for a list that was indexed before, `table` for any other CSV.
    pub layout: String,
    /// Its folder, or the file that lists it.
    pub place: PathBuf,
    root: PathBuf,
    info: Option<&'static DatasetInfo>,
    list: Option<&'static str>,
    only: &'static [Split],
    pictures: Option<PathBuf>,
    reader: How,
}

#[derive(Clone, Debug)]
enum How {
    Reader(Reader),
    Manifest,
    Table(Box<Columns>),
}

impl Source {
    /// Finds a data set: `root` is a data root, the data set's own folder in any layout known for it, the JSON file of
    /// DeepfakeBench, or a manifest. `layout` is a reader's name to allow no other; `pictures` says where the pictures
    /// of a list are, if not beside it.
    ///
    /// # Errors
    /// [`Error::UnknownDataset`], an unknown layout, or [`Error::Missing`] with what is there instead.
    pub fn find(
        root: &Path,
        dataset_id: &str,
        layout: Option<&str>,
        pictures: Option<&Path>,
    ) -> Result<Self, Error> {
        let base = |layout: &str, place: PathBuf, reader: How| Self {
            dataset: dataset_id.to_owned(),
            layout: layout.to_owned(),
            place,
            root: root.to_path_buf(),
            info: dataset(dataset_id),
            list: None,
            only: &[],
            pictures: pictures.map(Path::to_path_buf),
            reader,
        };
        let free = dataset_id
            .split_once(':')
            .filter(|(kind, _)| ["folder", "forge"].contains(kind))
            .map(|(_, name)| name);
        if free.is_none() && dataset(dataset_id).is_none() {
            return Err(unknown(dataset_id));
        }
        if root.is_file() && root.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv")) {
            return Ok(base("manifest", root.to_path_buf(), How::Manifest));
        }
        let listed = root.join(MANIFESTS).join(format!("{}.csv", dataset_id.replace(':', "-")));
        if layout.is_none() && listed.is_file() {
            return Ok(base("manifest", listed, How::Manifest));
        }
        if let Some(name) = free {
            let folder = root.join(name);
            if !folder.exists() && (classes::fits(root) || root.join(SAMPLE_LIST).is_file()) {
                return Err(folder::inside(root, &folder, name, dataset_id));
            }
            walk::need_folder(&folder, &format!("data set {dataset_id}"))?;
            return Ok(base("folder", folder, How::Reader(folder::read)));
        }
        let info = dataset(dataset_id).expect("looked up above");
        let layouts: Vec<&'static Layout> =
            info.layouts.iter().filter(|l| layout.is_none_or(|name| l.reader == name)).collect();
        if let (Some(name), true) = (layout, layouts.is_empty()) {
            let known: Vec<&str> = info.layouts.iter().map(|l| l.reader.as_str()).collect();
            let what = format!("data set {dataset_id} has no layout `{name}`");
            return Err(Error::layout(root, what, format!("it is read as {}", known.join(", "))));
        }
        let found = |layout: &'static Layout, place: PathBuf| Self {
            list: layout.list.as_deref(),
            only: &layout.splits,
            ..base(&layout.reader, place, How::Reader(reader(&layout.reader).1))
        };
        let under = |layout: &Layout| {
            if layout.path.is_empty() { root.to_path_buf() } else { root.join(&layout.path) }
        };
        if root.is_dir()
            && let Some(layout) = layouts.iter().find(|l| under(l).exists())
        {
            return Ok(found(layout, under(layout)));
        }
        if let Some(layout) = layouts.iter().find(|l| reader(&l.reader).0(root)) {
            return Ok(found(layout, root.to_path_buf()));
        }
        let mut error = walk::missing(&under(layouts[0]), &format!("data set {dataset_id}"));
        if let (Error::Missing { near, .. }, true) = (&mut error, layouts.len() > 1) {
            let others: Vec<String> =
                layouts[1..].iter().map(|l| format!("{} ({})", l.path, l.reader)).collect();
            near.push_str(&format!(
                "; also looked for {}, and for the data set itself in this folder",
                others.join(", ")
            ));
        }
        Err(error)
    }

    /// A table of the user's own: any CSV, with its columns named.
    ///
    /// # Errors
    /// [`Error::UnknownDataset`] for a name that is neither a data set nor `folder:NAME`.
    pub fn table(list: &Path, dataset_id: &str, columns: Columns) -> Result<Self, Error> {
        let free =
            dataset_id.split_once(':').is_some_and(|(kind, name)| kind == "folder" && !name.is_empty());
        if !free && dataset(dataset_id).is_none() {
            return Err(unknown(dataset_id));
        }
        Ok(Self {
            dataset: dataset_id.to_owned(),
            layout: "table".into(),
            place: list.to_path_buf(),
            root: list.parent().unwrap_or(Path::new("")).to_path_buf(),
            info: dataset(dataset_id),
            list: None,
            only: &[],
            pictures: None,
            reader: How::Table(Box::new(columns)),
        })
    }

    /// What is known about the data set; nothing about a folder of the user's own.
    #[must_use]
    pub fn info(&self) -> Option<&'static DatasetInfo> {
        self.info
    }

    /// The data root, or what took its place.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Everything there, for scoring: frames only.
    ///
    /// # Errors
    /// As [`load`].
    pub fn load(&self) -> Result<Manifest, Error> {
        let (mut samples, mut film) = (Vec::new(), None);
        self.each(None, &mut |clip| {
            if let Media::Film(path) = &clip.media {
                film.get_or_insert_with(|| path.clone());
            }
            samples.extend(clip.samples(&self.dataset));
            Ok(())
        })?;
        match film {
            Some(path) => Err(Error::layout(&path, "a film of which no frames were extracted", FRAMES_HINT)),
            None => finish(&self.dataset, &self.place, &self.root, samples),
        }
    }

    /// Hands on the clips one by one. With `faults`, what is wrong with single files is noted there, else it stops.
    pub(crate) fn each(&self, faults: Option<&RefCell<Vec<Error>>>, sink: &mut Sink) -> Result<(), Error> {
        let place = Place {
            dataset: &self.dataset,
            info: self.info,
            root: &self.root,
            folder: self.place.clone(),
            list: self.list,
            only: self.only,
            pictures: self.pictures.as_deref(),
            faults,
        };
        match &self.reader {
            How::Reader(reader) => reader(&place, sink),
            How::Manifest => table::read_manifest(&place, &self.place, sink),
            How::Table(columns) => table::read_table(&place, &self.place, columns, sink),
        }
    }
}

fn reader(name: &str) -> (Fits, Reader) {
    let found = READERS.iter().find(|(known, ..)| *known == name);
    let (_, fits, read) = found.expect("a test checks that every built-in reader exists");
    (*fits, *read)
}

fn unknown(dataset_id: &str) -> Error {
    let ids: Vec<&str> = datasets().iter().map(|d| d.id.as_str()).collect();
    let near = nearest(dataset_id, ids.iter().copied());
    let near = near.map(|n| format!("did you mean `{n}`? ")).unwrap_or_default();
    Error::UnknownDataset {
        id: dataset_id.into(),
        known: near + "known ids: " + &ids.join(", ") + "; or folder:NAME",
    }
}

/// Reads a data set below a data root, for training and scoring.
///
/// `dataset_id` is a built-in id (`facebench data list`), or `folder:NAME` or `forge:NAME` for a plain folder
/// `NAME` under the root. A list `manifests/<id>.csv` in the root takes precedence over the folders. The manifest is
/// marked synthetic when a `SYNTHETIC.json` lies in any folder between an image and the root, or when images say so
/// themselves.
///
/// # Errors
/// [`Error::UnknownDataset`], [`Error::Missing`] with what is there instead, [`Error::Empty`],
/// [`Error::Duplicate`] with both files, [`Error::Layout`] for names outside the layout and for films without frames,
/// and what [`Manifest::new`] refuses.
pub fn load(root: &Path, dataset_id: &str) -> Result<Manifest, Error> {
    Source::find(root, dataset_id, None, None)?.load()
}

/// Reads a manifest that `facebench data index` wrote, or any CSV with its columns; every file must be there.
///
/// # Errors
/// As [`load`]; a column that is missing, with the nearest name.
pub fn manifest(list: &Path) -> Result<Manifest, Error> {
    let read = table::listed(list)?;
    let dataset_id = read.dataset.as_str();
    let source = Source {
        dataset: dataset_id.to_owned(),
        layout: "manifest".into(),
        place: list.to_path_buf(),
        root: list.parent().unwrap_or(Path::new("")).to_path_buf(),
        info: dataset(dataset_id),
        list: None,
        only: &[],
        pictures: None,
        reader: How::Manifest,
    };
    let found = source.load()?;
    Ok(Manifest { synthetic: found.synthetic || read.synthetic, ..found })
}

/// What to do about films.
pub(crate) const FRAMES_HINT: &str = "extract face crops to frames/<video>/<number>.png beside videos/, or prepare the \
                                      set as FSFM or DeepfakeBench do; `facebench data index` accepts films as they are";

/// Everything a reader finds at a place, as a manifest.
fn collect(place: &Place, read: Reader) -> Result<Manifest, Error> {
    let mut samples = Vec::new();
    read(place, &mut |clip| {
        samples.extend(clip.samples(place.dataset));
        Ok(())
    })?;
    finish(place.dataset, &place.folder, place.root, samples)
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
fn finish(dataset: &str, folder: &Path, root: &Path, mut samples: Vec<Sample>) -> Result<Manifest, Error> {
    if samples.is_empty() {
        return Err(Error::Empty { path: folder.to_path_buf() });
    }
    samples.sort_by(|a, b| a.cmp_id(b).then_with(|| a.path.cmp(&b.path)));
    for pair in samples.windows(2) {
        if pair[0].cmp_id(&pair[1]).is_eq() {
            let (first, second) = (pair[0].path.clone(), pair[1].path.clone());
            return Err(Error::Duplicate { id: pair[0].id(), first, second });
        }
    }
    let synthetic = is_synthetic(root, samples.iter().map(|s| s.path.as_path()));
    Ok(Manifest::new(dataset, samples, synthetic)?)
}

pub(crate) use marker::{Marks, is_synthetic};

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_layouts;
#[cfg(test)]
mod tests_tables;
