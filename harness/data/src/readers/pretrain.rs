//! Pre-training sets: `images/<name>.png` with `parsing_maps/<name>.npy` beside them, or a bare folder of faces.
//!
//! The published preparation drops an image whose face cannot be parsed, so a map without its image means that
//! something was lost: an error. An image without a map is listed as such; what happens to it is said by the
//! experiment (`masking.on_missing`), not here. A folder without `images/` is searched for faces at any depth (one
//! folder per person, say) and has no maps. There are no labels here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::{marker, walk};
use crate::Error;

/// One face to pre-train on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PretrainItem {
    /// `<set>/<name>`, unique: the set is the folder's name, the name is the path below it joined by `_`.
    pub id: String,
    /// The image.
    pub image: PathBuf,
    /// Its parsing map, where there is one.
    pub parsing: Option<PathBuf>,
}

/// The faces of one or several folders, sorted by id within each folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PretrainSet {
    /// The faces.
    pub items: Vec<PretrainItem>,
    /// Whether any of them is synthetic.
    pub synthetic: bool,
}

/// Lists the faces of several folders.
///
/// # Errors
/// [`Error::Request`] for no folder, [`Error::Missing`] or [`Error::Empty`] for one without images,
/// [`Error::Layout`] for a map without its image, [`Error::Duplicate`] for two faces of one id (two folders of the
/// same name, or `a.png` beside `a.jpg`).
pub fn pretrain_folders(roots: &[PathBuf]) -> Result<PretrainSet, Error> {
    if roots.is_empty() {
        return Err(Error::Request { what: "no folder to pre-train on".into(), hint: "name at least one" });
    }
    let mut set = PretrainSet { items: Vec::new(), synthetic: false };
    for root in roots {
        // a set lies at <data root>/pretrain/<set>, and the data root is where the marker is
        let items = read_one(root)?;
        set.synthetic |= marker::is_synthetic(root, items.iter().map(|i| i.image.as_path()))
            || root.ancestors().skip(1).take(2).any(|above| above.join(marker::SYNTHETIC_MARKER).exists());
        set.items.extend(items);
    }
    let mut seen: BTreeMap<&str, &Path> = BTreeMap::new();
    for item in &set.items {
        if let Some(first) = seen.insert(&item.id, &item.image) {
            let (first, second) = (first.to_path_buf(), item.image.clone());
            return Err(Error::Duplicate { id: item.id.clone(), first, second });
        }
    }
    Ok(set)
}

fn read_one(root: &Path) -> Result<Vec<PretrainItem>, Error> {
    walk::need_folder(root, "pre-training set")?;
    let absolute = root.canonicalize().map_err(Error::io("read", root))?;
    let set = absolute.file_name().map_or("faces".into(), |n| n.to_string_lossy().into_owned());
    let (images, maps) = (root.join("images"), root.join("parsing_maps"));
    if !images.is_dir() && maps.is_dir() {
        return Err(walk::missing(&images, "images of a set with parsing maps"));
    }
    let folder = if images.is_dir() { &images } else { root };
    let mut unused = if maps.is_dir() { map_names(&maps)? } else { BTreeSet::new() };
    let mut items = Vec::new();
    for image in walk::images(folder)? {
        let below = image.parents.iter().chain([&image.stem]).collect::<PathBuf>();
        let map = below.with_file_name(format!("{}.npy", image.stem));
        let parsing = unused.remove(&map).then(|| maps.join(map));
        items.push(PretrainItem { id: format!("{set}/{}", image.flat_name()), image: image.path, parsing });
    }
    if let Some(orphan) = unused.first() {
        let what = format!("a parsing map without its image in {}", images.display());
        return Err(Error::layout(&maps.join(orphan), what, "add the image, or move the map away"));
    }
    Ok(items)
}

/// The `.npy` files below a folder, relative to it.
fn map_names(maps: &Path) -> Result<BTreeSet<PathBuf>, Error> {
    fn descend(folder: &Path, below: &Path, found: &mut BTreeSet<PathBuf>) -> Result<(), Error> {
        for entry in walk::list(folder)? {
            let below = below.join(&entry.name);
            if entry.is_folder {
                descend(&folder.join(&entry.name), &below, found)?;
            } else if entry.name.ends_with(".npy") {
                found.insert(below);
            }
        }
        Ok(())
    }
    let mut found = BTreeSet::new();
    descend(maps, Path::new(""), &mut found)?;
    Ok(found)
}
