//! Listing folders: sorted, strict, and helpful when something is not there.
//!
//! Names are sorted as people count (`frame_2` before `frame_10`). Hidden files (`.DS_Store`, `._x.png`) and files
//! that are no images at all are passed over; pictures of a format that cannot be decoded are an error.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use facebench_protocols::nearest;

use crate::Error;
use crate::error::IMAGE_HINT;
use crate::image::decode::ending;
use crate::image::is_image_name;

/// Folders below a class folder that are followed; deeper is a mistake.
const MAX_DEPTH: usize = 8;

/// Endings of pictures that are not decoded here: skipping them would lose samples silently.
const FOREIGN: [&str; 11] =
    ["bmp", "gif", "tif", "tiff", "heic", "heif", "avif", "jp2", "jxl", "jfif", "ppm.gz"];

/// Compares names with runs of digits by their value: `a2` before `a10`, `a02` after `a2`.
#[must_use]
pub fn natural_order(a: &str, b: &str) -> Ordering {
    let (mut x, mut y) = (a.as_bytes(), b.as_bytes());
    while let (Some(p), Some(q)) = (x.first(), y.first()) {
        let step = if p.is_ascii_digit() && q.is_ascii_digit() {
            let run = |s: &[u8]| s.iter().take_while(|c| c.is_ascii_digit()).count();
            let (m, n) = (run(x), run(y));
            let significant =
                |s: &'_ [u8]| -> Vec<u8> { s.iter().copied().skip_while(|c| *c == b'0').collect() };
            let (s, t) = (significant(&x[..m]), significant(&y[..n]));
            (x, y) = (&x[m..], &y[n..]);
            s.len().cmp(&t.len()).then(s.cmp(&t))
        } else {
            let order = p.cmp(q);
            (x, y) = (&x[1..], &y[1..]);
            order
        };
        if step.is_ne() {
            return step;
        }
    }
    // same values: fewer leading zeros first
    x.len().cmp(&y.len()).then(a.len().cmp(&b.len())).then_with(|| a.cmp(b))
}

/// One name in a folder.
pub(super) struct Entry {
    pub name: String,
    pub is_folder: bool,
    is_link: bool,
}

/// Everything visible in a folder, in natural order.
pub(super) fn list(folder: &Path) -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let entry = entry.map_err(Error::io("list", folder))?;
        let Ok(name) = entry.file_name().into_string() else {
            let what = "the name is not UTF-8";
            return Err(Error::layout(&entry.path(), what, "rename it; names become sample ids"));
        };
        if name.starts_with('.') {
            continue;
        }
        let kind = entry.file_type().map_err(Error::io("read", folder))?;
        let is_folder = if kind.is_symlink() { entry.path().is_dir() } else { kind.is_dir() };
        entries.push(Entry { name, is_folder, is_link: kind.is_symlink() });
    }
    entries.sort_by(|a, b| natural_order(&a.name, &b.name));
    Ok(entries)
}

/// An image below a folder: the parts of its name between the folder and the file, and its path.
pub(super) struct Found {
    /// Folders below the one searched, outermost first.
    pub parents: Vec<String>,
    /// The file's name without its ending.
    pub stem: String,
    pub path: PathBuf,
}

impl Found {
    /// Folders and stem joined by `_`: the name as the published preparation flattens it.
    pub(super) fn flat_name(&self) -> String {
        flat_name(&self.parents, &self.stem)
    }
}

/// Folders and stem joined by `_`.
pub(super) fn flat_name(parents: &[String], stem: &str) -> String {
    parents.iter().map(String::as_str).chain([stem]).collect::<Vec<_>>().join("_")
}

/// A file's name without its ending.
pub(super) fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// All images below a folder, sub-folders included.
pub(super) fn images(folder: &Path) -> Result<Vec<Found>, Error> {
    let mut found = Vec::new();
    each_folder(folder, &mut |parents, path, names| {
        found.extend(names.into_iter().map(|name| Found {
            parents: parents.to_vec(),
            stem: stem(&name).to_owned(),
            path: path.join(name),
        }));
        Ok(())
    })?;
    Ok(found)
}

/// What [`each_folder`] calls: folders below the start, the folder, the names of the images in it.
type PerFolder<'a> = dyn FnMut(&[String], &Path, Vec<String>) -> Result<(), Error> + 'a;

/// Calls `see` once for each folder that holds images, in natural order, one folder in memory at a time.
///
/// # Errors
/// No image at all, a picture of a format that is not read, a link that leads back into its own folder, and what
/// `see` refuses.
pub(super) fn each_folder(folder: &Path, see: &mut PerFolder<'_>) -> Result<(), Error> {
    let mut some = false;
    descend(folder, &mut Vec::new(), &mut |parents, path, names| {
        some = true;
        see(parents, path, names)
    })?;
    if some { Ok(()) } else { Err(Error::Empty { path: folder.to_path_buf() }) }
}

fn descend(folder: &Path, parents: &mut Vec<String>, see: &mut PerFolder<'_>) -> Result<(), Error> {
    if parents.len() > MAX_DEPTH {
        let what = format!("more than {MAX_DEPTH} folders deep");
        return Err(Error::layout(folder, what, "move the data set's own folder up, or name a deeper root"));
    }
    let (mut names, mut folders) = (Vec::new(), Vec::new());
    for entry in list(folder)? {
        if entry.is_folder {
            folders.push(entry);
        } else if is_image_name(&entry.name) {
            names.push(entry.name);
        } else if ending(&entry.name).is_some_and(|e| FOREIGN.contains(&&*e)) {
            let hint = format!("{IMAGE_HINT}; convert it, or move it away");
            let path = folder.join(&entry.name);
            return Err(Error::layout(&path, "a picture of a format that is not read", hint));
        }
    }
    if !names.is_empty() {
        see(parents, folder, names)?;
    }
    for entry in folders {
        let path = folder.join(&entry.name);
        if entry.is_link {
            no_loop(folder, &path)?;
        }
        parents.push(entry.name);
        descend(&path, parents, see)?;
        parents.pop();
    }
    Ok(())
}

/// Refuses a link to the folder it lies in, or to one above.
fn no_loop(folder: &Path, link: &Path) -> Result<(), Error> {
    let here = folder.canonicalize().map_err(Error::io("read", folder))?;
    let there = link.canonicalize().map_err(Error::io("read", link))?;
    if here.starts_with(&there) {
        let what = format!("a link that leads back to {}, in which it lies", there.display());
        return Err(Error::layout(link, what, "remove the link"));
    }
    Ok(())
}

/// Fails unless `path` is a folder, saying what is there instead.
pub(super) fn need_folder(path: &Path, what: &str) -> Result<(), Error> {
    if path.is_dir() {
        return Ok(());
    }
    Err(missing(path, what))
}

/// The error for something that is not there: how far the path goes, and the names nearby.
pub(super) fn missing(path: &Path, what: &str) -> Error {
    // the parent of a relative path ends in nothing, which is the working folder and not the root of the disk
    let last = if path.is_relative() { Path::new("") } else { Path::new("/") };
    let above = path.ancestors().skip(1).find(|p| p.is_dir()).unwrap_or(last);
    let (folder, told) = match above.to_str() {
        Some("") => (Path::new("."), "the working folder".to_owned()),
        _ => (above, above.display().to_string()),
    };
    let wanted = path.strip_prefix(above).ok().and_then(|rest| rest.iter().next());
    let wanted = wanted.map(|w| w.to_string_lossy().into_owned()).unwrap_or_default();
    let first = above.join(&wanted);
    let entries = list(folder).unwrap_or_default();
    let names: Vec<&str> = entries.iter().map(|e| e.name.as_str()).collect();
    let mut near = match names.as_slice() {
        [] => format!("{told} exists and is empty"),
        few if few.len() <= 8 => format!("{told} holds: {}", few.join(", ")),
        many => format!("{told} holds: {} and {} more", many[..8].join(", "), many.len() - 8),
    };
    if first.exists() {
        near = format!("{} exists but is not a folder", first.display());
    } else {
        if above.as_os_str().is_empty() || first != path {
            near = format!("no such file or folder: {}; {near}", first.display());
        }
        if let Some(name) = nearest(&wanted, names.iter().copied()) {
            near.push_str(&format!("; is `{name}` meant to be `{wanted}`?"));
        }
    }
    Error::Missing { what: what.to_string(), path: path.to_path_buf(), near }
}
