//! Looking at every photograph once before anything is made: can it be decoded, is it synthetic.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::people::Person;
use super::record::RecordUnreadable;
use super::{Error, ForgeSpec};
use crate::image::{decode_bytes, png_text};
use crate::readers::SYNTHETIC_KEYWORD;

/// A readable photograph, by name.
pub(super) struct Photo {
    pub(super) person: usize,
    pub(super) stem: String,
    pub(super) path: PathBuf,
    pub(super) synthetic: bool,
}

/// Decodes every photograph once. Unreadable ones are an error, or left out with everybody who has no other.
pub(super) fn check_all(
    faces: &Path,
    people: &mut Vec<Person>,
    spec: &ForgeSpec,
) -> Result<(Vec<Photo>, Vec<RecordUnreadable>), Error> {
    let paths: Vec<&PathBuf> = people.iter().flat_map(|p| p.photos.iter().map(|x| &x.1)).collect();
    let checks: Vec<Result<bool, crate::Error>> = paths.into_par_iter().map(|p| check(p)).collect();
    let mut checks = checks.into_iter();
    let (mut photos, mut unreadable, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    for mut person in std::mem::take(people) {
        let mut readable = Vec::new();
        for (stem, path) in person.photos {
            match checks.next().expect("one check per photograph") {
                Ok(synthetic) => {
                    photos.push(Photo {
                        person: kept.len(),
                        stem: stem.clone(),
                        path: path.clone(),
                        synthetic,
                    });
                    readable.push((stem, path));
                }
                Err(e) if spec.skip_unreadable => {
                    let reason = e.to_string().lines().next().unwrap_or_default().to_string();
                    unreadable.push(RecordUnreadable { file: relative(faces, &path), reason });
                }
                Err(e) => return Err(Error::Unreadable(Box::new(e))),
            }
        }
        if !readable.is_empty() {
            person.photos = readable;
            kept.push(person);
        }
    }
    *people = kept;
    Ok((photos, unreadable))
}

/// Whether a photograph says it is synthetic; an error where it cannot be decoded.
fn check(path: &Path) -> Result<bool, crate::Error> {
    let bytes = std::fs::read(path).map_err(crate::Error::io("read", path))?;
    decode_bytes(&bytes, path)?;
    Ok(png_text(&bytes).iter().any(|(k, _)| k.eq_ignore_ascii_case(SYNTHETIC_KEYWORD)))
}

/// A file's path below the folder of photographs, with forward slashes.
pub(super) fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/")
}
