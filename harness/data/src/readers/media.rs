//! Videos in the folders of the official releases: films, or one folder of extracted frames per video.
//!
//! Looked for in this order: `frames/<video>/<n>.png` (as DeepfakeBench lays them), `videos/`, the folder itself. Where
//! frames are there, films beside them are not listed. A frame's number is the digits at the end of its name.

use std::path::{Path, PathBuf};

use super::clip::{Media, Place};
use super::{names, walk};
use crate::Error;
use crate::image::decode::ending;
use crate::image::is_image_name;

/// Endings of films.
const FILMS: [&str; 8] = ["mp4", "avi", "mov", "mkv", "webm", "m4v", "mpg", "mpeg"];

/// One video of a folder.
pub(super) struct Video {
    /// Folder or file name without its ending.
    pub name: String,
    /// The folder of frames, or the film.
    pub path: PathBuf,
    is_folder: bool,
}

/// Whether a name ends like a film's.
pub(crate) fn is_film_name(name: &str) -> bool {
    ending(name).is_some_and(|e| FILMS.contains(&e.as_str()))
}

/// The videos in a folder, in natural order; `what` names them in the error for there being none.
pub(super) fn videos(folder: &Path, what: &str) -> Result<Vec<Video>, Error> {
    walk::need_folder(folder, what)?;
    let inner = ["frames", "videos"].into_iter().map(|name| folder.join(name)).find(|path| path.is_dir());
    let inner = inner.as_deref().unwrap_or(folder);
    let mut found = Vec::new();
    for entry in walk::list(inner)? {
        let path = inner.join(&entry.name);
        if entry.is_folder {
            found.push(Video { name: entry.name, path, is_folder: true });
        } else if is_film_name(&entry.name) {
            found.push(Video { name: walk::stem(&entry.name).to_owned(), path, is_folder: false });
        }
    }
    if found.is_empty() {
        let text = format!("no {what}: neither films nor folders of frames");
        let hint = "expected <video>.mp4 or <video>/<number>.png; unpack the archives of the release";
        return Err(Error::layout(inner, text, hint));
    }
    Ok(found)
}

/// The files of a video; `None` where it has none and that was noted.
pub(super) fn media(place: &Place, video: &Video) -> Result<Option<Media>, Error> {
    if !video.is_folder {
        return Ok(Some(Media::Film(video.path.clone())));
    }
    frames(place, &video.path)
}

/// The frames in a folder.
pub(super) fn frames(place: &Place, folder: &Path) -> Result<Option<Media>, Error> {
    let mut files = Vec::new();
    for entry in walk::list(folder)?.into_iter().filter(|e| !e.is_folder && is_image_name(&e.name)) {
        let path = folder.join(&entry.name);
        match names::trailing_number(walk::stem(&entry.name)) {
            Some(number) => files.push((number, path)),
            None => {
                let hint = "frames are named by their number, such as 012.png";
                place.fault(Error::layout(&path, "the name has no frame number", hint))?;
            }
        }
    }
    if files.is_empty() {
        place.fault(Error::Empty { path: folder.to_path_buf() })?;
        return Ok(None);
    }
    files.sort();
    Ok(Some(Media::Frames(files)))
}

/// The video of that name in a folder: frames or film, whichever is there.
pub(super) fn one(place: &Place, folder: &Path, name: &str) -> Result<Option<Media>, Error> {
    let places = [folder.join("frames").join(name), folder.join(name)];
    if let Some(path) = places.iter().find(|p| p.is_dir()) {
        return frames(place, path);
    }
    let film = |folder: PathBuf| {
        let mut tries = FILMS.iter().map(move |e| folder.join(format!("{name}.{e}")));
        tries.find(|p| p.is_file())
    };
    Ok(film(folder.join("videos")).or_else(|| film(folder.to_path_buf())).map(Media::Film))
}
