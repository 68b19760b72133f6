//! WildDeepfake as unpacked: `{real,fake}_{train,test}/<archive>/.../<n>.png`; every folder that holds pictures is a
//! sequence, and a sequence counts as a video. Polarity: the folder's first word.

use std::path::Path;

use facebench_protocols::Split;

use super::clip::{Clip, Media, Place, Sink};
use super::{names, walk};
use crate::Error;

const PARTS: [(&str, u8, Split); 4] = [
    ("real_train", 0, Split::Train),
    ("fake_train", 1, Split::Train),
    ("real_test", 0, Split::Test),
    ("fake_test", 1, Split::Test),
];

pub(super) fn fits(folder: &Path) -> bool {
    folder.join("real_test").is_dir() || folder.join("fake_test").is_dir()
}

pub(super) fn read(place: &Place, sink: &mut Sink) -> Result<(), Error> {
    for (part, label, split) in PARTS.into_iter().filter(|(.., split)| place.wants(*split)) {
        let folder = place.folder.join(part);
        if split == Split::Train && !folder.is_dir() {
            continue; // testing needs the test parts only
        }
        walk::need_folder(&folder, &format!("{part} of WildDeepfake"))?;
        let read = walk::each_folder(&folder, &mut |parents, path, files| {
            let mut frames = Vec::new();
            for file in files {
                let path = path.join(&file);
                match names::trailing_number(walk::stem(&file)) {
                    Some(n) => frames.push((n, path)),
                    None => place.fault(Error::layout(
                        &path,
                        "the name has no frame number",
                        "faces are named by their frame, such as 12.png",
                    ))?,
                }
            }
            if parents.is_empty() || frames.is_empty() {
                let what = "pictures outside a sequence's folder";
                return place.fault(Error::layout(
                    path,
                    what,
                    "unpack each archive into a folder of its own",
                ));
            }
            frames.sort();
            let video = parents.join("_");
            let method = super::classes::word(label).to_owned();
            sink(Clip { method, video, label, split, subjects: Vec::new(), media: Media::Frames(frames) })
        });
        match read {
            Err(Error::Empty { .. }) if holds_archives(&folder) => {
                let what = "holds archives that are not unpacked";
                let hint = "unpack them here: for f in *.tar.gz; do mkdir -p \"${f%.tar.gz}\"; tar xzf \"$f\" -C \"${f%.tar.gz}\"; done";
                return Err(Error::layout(&folder, what, hint));
            }
            other => other?,
        }
    }
    Ok(())
}

fn holds_archives(folder: &Path) -> bool {
    walk::list(folder)
        .is_ok_and(|list| list.iter().any(|e| e.name.ends_with(".tar.gz") || e.name.ends_with(".tar")))
}
