//! Whether images are synthetic: they must never be taken for a published benchmark.
//!
//! Two independent marks. A file [`SYNTHETIC_MARKER`] in any folder between an image and the data root, and a PNG
//! text chunk whose keyword is [`SYNTHETIC_KEYWORD`], looked for in the first image of every folder, so that
//! copying images out of their folder does not launder them.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::image::png_text;

/// Name of the file that marks a folder and everything below as synthetic.
pub const SYNTHETIC_MARKER: &str = "SYNTHETIC.json";

/// Keyword of the PNG text chunk that marks an image as synthetic.
pub const SYNTHETIC_KEYWORD: &str = "synthetic";

/// Bytes of an image read to find its text chunks, which stand before the pixels.
const HEAD: u64 = 16 << 10;

/// Whether any of the images is marked.
pub(crate) fn is_synthetic<'a>(root: &Path, mut images: impl Iterator<Item = &'a Path>) -> bool {
    let mut marks = Marks::new(root);
    images.any(|image| marks.see(image))
}

/// Looks at one image after the other, at each folder once.
pub(crate) struct Marks<'r> {
    root: &'r Path,
    folders: BTreeMap<PathBuf, bool>,
    known: BTreeMap<PathBuf, bool>,
}

impl<'r> Marks<'r> {
    pub(crate) fn new(root: &'r Path) -> Self {
        Self { root, folders: BTreeMap::new(), known: BTreeMap::new() }
    }

    /// Whether the image's folder, or the first image seen of it, is marked.
    pub(crate) fn see(&mut self, image: &Path) -> bool {
        let Some(folder) = image.parent() else { return false };
        if let Some(marked) = self.folders.get(folder) {
            return *marked;
        }
        let marked = marked_folder(self.root, folder, &mut self.known) || marked_image(image);
        self.folders.insert(folder.to_path_buf(), marked);
        marked
    }
}

/// Looks for the marker from `folder` up to the root (only in `folder` where that is not below the root).
fn marked_folder(root: &Path, folder: &Path, known: &mut BTreeMap<PathBuf, bool>) -> bool {
    for above in folder.ancestors() {
        let marked = *known
            .entry(above.to_path_buf())
            .or_insert_with_key(|folder| folder.join(SYNTHETIC_MARKER).exists());
        if marked {
            return true;
        }
        if above == root || !folder.starts_with(root) {
            return false;
        }
    }
    false
}

fn marked_image(image: &Path) -> bool {
    let mut head = Vec::new();
    let read = std::fs::File::open(image).and_then(|file| file.take(HEAD).read_to_end(&mut head));
    read.is_ok() && png_text(&head).iter().any(|(keyword, _)| keyword.eq_ignore_ascii_case(SYNTHETIC_KEYWORD))
}
