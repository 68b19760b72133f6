//! Who is on which photograph, and which split each person goes to.
//!
//! A person is a folder; nobody is ever in two splits. Names become parts of file names and sample identities, so they
//! are reduced to letters, digits, dots and dashes, and kept distinct.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use facebench_protocols::Split;
use facebench_protocols::rng::Stream;
use sha2::{Digest, Sha256};

use super::{Error, ForgeSpec};
use crate::image::is_image_name;
use crate::readers::natural_order;

/// Pictures of formats that are not decoded here; they count as unreadable rather than pass unnoticed.
const FOREIGN: [&str; 9] = ["bmp", "gif", "tif", "tiff", "heic", "heif", "avif", "jp2", "jxl"];

/// A person and their photographs.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    /// Name in identities.
    pub(crate) name: String,
    /// Folder or file it came from, relative to the root.
    pub(crate) origin: String,
    /// Split.
    pub(crate) split: Split,
    /// Photographs: name in identities, and file.
    pub(crate) photos: Vec<(String, PathBuf)>,
}

/// Finds the people of a folder; splits come later, when it is known whose photographs can be read.
pub(crate) fn find(faces: &Path, spec: &ForgeSpec) -> Result<Vec<Person>, Error> {
    if !faces.is_dir() {
        return Err(Error::NoFolder { faces: faces.into() });
    }
    let (images, folders) = list(faces)?;
    let people = if spec.flat {
        if !folders.is_empty() {
            return Err(Error::Mixed { faces: faces.into(), images: images.len(), folders: folders.len() });
        }
        let mut names = Names::default();
        let alone = |path: PathBuf| {
            let name = names.take(&stem(&path));
            let photos = vec![(name.clone(), path.clone())];
            Person { name, origin: file_name(&path), split: Split::Train, photos }
        };
        images.into_iter().map(alone).collect()
    } else {
        if !images.is_empty() {
            let (images, folders) = (images.len(), folders.len());
            let faces = faces.to_path_buf();
            return Err(if folders == 0 {
                Error::Flat { faces, images }
            } else {
                Error::Mixed { faces, images, folders }
            });
        }
        by_folder(folders)?
    };
    if people.is_empty() {
        return Err(Error::Empty { folder: faces.into() });
    }
    enough(faces, people.len(), spec)?;
    Ok(people)
}

fn by_folder(folders: Vec<PathBuf>) -> Result<Vec<Person>, Error> {
    let mut names = Names::default();
    let mut people = Vec::new();
    for folder in folders {
        let mut files = Vec::new();
        collect(&folder, &mut files)?;
        if files.is_empty() {
            return Err(Error::Empty { folder });
        }
        let mut stems = Names::default();
        let photos = files.into_iter().map(|f| (stems.take(&relative_stem(&folder, &f)), f)).collect();
        let origin = file_name(&folder);
        people.push(Person { name: names.take(&origin), origin, split: Split::Train, photos });
    }
    Ok(people)
}

/// Photographs of one person, subfolders included, in natural order.
fn collect(folder: &Path, into: &mut Vec<PathBuf>) -> Result<(), Error> {
    let (images, folders) = list(folder)?;
    into.extend(images);
    folders.iter().try_for_each(|f| collect(f, into))
}

/// People each split needs.
fn each(spec: &ForgeSpec) -> usize {
    if spec.swaps > 0 { 2 } else { 1 }
}

fn enough(faces: &Path, people: usize, spec: &ForgeSpec) -> Result<(), Error> {
    let needed = 3 * each(spec);
    if people >= needed {
        return Ok(());
    }
    let hint = match spec.swaps {
        0 => "add people",
        _ => "add people, or set `swaps` to 0: swaps need two people in each split",
    };
    Err(Error::FewPeople { faces: faces.into(), people, needed, hint })
}

/// Splits people by a shuffle that depends on the seed and their number only.
pub(crate) fn assign(faces: &Path, people: &mut [Person], spec: &ForgeSpec) -> Result<(), Error> {
    let (n, each) = (people.len(), each(spec));
    enough(faces, n, spec)?;
    let mut order: Vec<usize> = (0..n).collect();
    Stream::new("forge-split", spec.seed, &[]).shuffle(&mut order);
    let share = |fraction: f64| ((n as f64 * fraction).round() as usize).clamp(each, n - 2 * each);
    let test = share(spec.test);
    let val = share(spec.val).min(n - each - test);
    for (k, i) in order.into_iter().enumerate() {
        people[i].split = if k < test {
            Split::Test
        } else if k < test + val {
            Split::Val
        } else {
            Split::Train
        };
    }
    Ok(())
}

/// A digest of what there is to forge: names and sizes of the photographs. Tells a second run whether they changed.
pub(crate) fn fingerprint(faces: &Path, people: &[Person]) -> Result<String, Error> {
    let mut hash = Sha256::new();
    for (_, path) in people.iter().flat_map(|p| &p.photos) {
        let bytes = std::fs::metadata(path).map_err(Error::io(path))?.len();
        let name = path.strip_prefix(faces).unwrap_or(path);
        hash.update(format!("{}\n{bytes}\n", name.display()).as_bytes());
    }
    Ok(hash.finalize().iter().map(|b| format!("{b:02x}")).collect())
}

/// Images and folders directly in a folder, hidden ones aside, in natural order.
fn list(folder: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>), Error> {
    let (mut images, mut folders) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        let name = file_name(&path);
        if name.starts_with('.') {
            continue;
        }
        let ending = name.rsplit_once('.').map(|(_, e)| e.to_ascii_lowercase()).unwrap_or_default();
        if path.is_dir() {
            folders.push(path);
        } else if is_image_name(&name) || FOREIGN.contains(&ending.as_str()) {
            images.push(path);
        }
    }
    for paths in [&mut images, &mut folders] {
        paths.sort_by(|a, b| natural_order(&a.to_string_lossy(), &b.to_string_lossy()));
    }
    Ok((images, folders))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn relative_stem(folder: &Path, file: &Path) -> String {
    let relative = file.strip_prefix(folder).unwrap_or(file).with_extension("");
    relative.to_string_lossy().replace(std::path::MAIN_SEPARATOR, "-")
}

/// Hands out names that are safe in file names and distinct even where letter case is ignored.
#[derive(Default)]
struct Names {
    taken: BTreeSet<String>,
}

impl Names {
    fn take(&mut self, wanted: &str) -> String {
        let safe = |c: char| if c.is_alphanumeric() || c == '.' || c == '-' { c } else { '-' };
        let base: String = wanted.chars().map(safe).collect();
        let base = if base.is_empty() { "x".to_string() } else { base };
        let mut name = base.clone();
        let mut k = 2;
        while !self.taken.insert(name.to_lowercase()) {
            name = format!("{base}-{k}");
            k += 1;
        }
        name
    }
}
