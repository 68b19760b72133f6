//! Which folder is real and which is fake.
//!
//! The name decides: `real*` is label 0, `fake*` is label 1, in any case. (`DiFF_real` is accepted too: that is what
//! the authors' preparation called the real folder until August 2025, which put it before `fake` in sort order and
//! inverted their labels.) Any other folder is an error, and so is a class that is missing.

use std::path::{Path, PathBuf};

use facebench_protocols::Split;

use super::walk;
use crate::Error;

/// The three splits and their folders.
pub(super) const SPLITS: [(&str, Split); 3] =
    [("train", Split::Train), ("val", Split::Val), ("test", Split::Test)];

/// A folder of one class.
pub(super) struct ClassFolder {
    pub path: PathBuf,
    /// 1 = fake.
    pub label: u8,
}

/// The label a folder's name declares, if any.
pub(super) fn label_of(name: &str) -> Option<u8> {
    let name = name.to_ascii_lowercase();
    if name.starts_with("real") || name == "diff_real" {
        Some(0)
    } else if name.starts_with("fake") {
        Some(1)
    } else {
        None
    }
}

/// `real` or `fake`, as a method's name where nothing finer is known.
pub(super) fn word(label: u8) -> &'static str {
    if label == 1 { "fake" } else { "real" }
}

/// The class folders of one split, both classes present.
pub(super) fn class_folders(split: &Path) -> Result<Vec<ClassFolder>, Error> {
    let mut folders = Vec::new();
    for entry in walk::list(split)?.into_iter().filter(|e| e.is_folder) {
        let path = split.join(&entry.name);
        let Some(label) = label_of(&entry.name) else {
            let hint = "rename it so that its name says what it holds, or move it away";
            return Err(Error::layout(&path, "class folder is neither real* nor fake*", hint));
        };
        folders.push(ClassFolder { path, label });
    }
    for label in [0, 1] {
        if !folders.iter().any(|f| f.label == label) {
            let word = word(label);
            return Err(walk::missing(&split.join(word), &format!("folder of {word} images")));
        }
    }
    Ok(folders)
}

/// The split folders there are; at least one.
pub(super) fn split_folders(folder: &Path, dataset: &str) -> Result<Vec<(PathBuf, Split)>, Error> {
    let found: Vec<_> = SPLITS
        .iter()
        .map(|(name, split)| (folder.join(name), *split))
        .filter(|(path, _)| path.is_dir())
        .collect();
    if found.is_empty() {
        return Err(walk::missing(&folder.join("test"), &format!("a split (train, val, test) of {dataset}")));
    }
    Ok(found)
}

/// Whether a folder holds splits with class folders, or class folders.
pub(super) fn fits(folder: &Path) -> bool {
    let holds_classes = |folder: &Path| {
        walk::list(folder).is_ok_and(|list| list.iter().any(|e| e.is_folder && label_of(&e.name).is_some()))
    };
    SPLITS.iter().any(|(name, _)| holds_classes(&folder.join(name))) || holds_classes(folder)
}
