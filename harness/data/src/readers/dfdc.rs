//! DFDC as downloaded: the test part with `labels.csv` (`filename,label`, 1 = fake), and training parts
//! `dfdc_train_part_<n>/metadata.json` (file → label `REAL` or `FAKE`, split, original).
//!
//! `labels.csv` is looked for in `test/` and in the folder itself, the films or frames in `ori_videos/`, `videos/`,
//! `frames/` or beside it. Polarity: 1 and `FAKE` are fake. People are not told.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use facebench_protocols::{Split, csv};
use serde::Deserialize;

use super::clip::{Clip, Media, Place, Sink};
use super::{classes, lists, media, walk};
use crate::Error;

pub(super) fn fits(folder: &Path) -> bool {
    labels(folder).is_some()
}

fn labels(folder: &Path) -> Option<PathBuf> {
    ["test/labels.csv", "labels.csv"].into_iter().map(|p| folder.join(p)).find(|p| p.is_file())
}

pub(super) fn read(place: &Place, sink: &mut Sink) -> Result<(), Error> {
    if place.wants(Split::Test) {
        test(place, sink)?;
    }
    if place.wants(Split::Train) {
        for entry in walk::list(&place.folder)? {
            if entry.is_folder && entry.name.starts_with("dfdc_train_part") {
                train(place, &place.folder.join(&entry.name), sink)?;
            }
        }
    }
    Ok(())
}

fn test(place: &Place, sink: &mut Sink) -> Result<(), Error> {
    let Some(list) = labels(&place.folder) else {
        return Err(walk::missing(&place.folder.join("test/labels.csv"), "labels of the DFDC test set"));
    };
    let base = list.parent().unwrap_or(&place.folder);
    let ori = base.join("ori_videos");
    let videos = if ori.is_dir() { ori } else { base.to_path_buf() };
    let text = lists::text(&list, "labels of the DFDC test set")?;
    let table = csv::Table::parse(&list, &text)?;
    let (name, label) = (table.column("filename")?, table.column("label")?);
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for row in table.rows() {
        let file = row.text(name).trim();
        let fail =
            |what: String, hint: &str| Error::layout(&list, format!("line {}: {what}", row.line), hint);
        let label = match row.text(label).trim() {
            "0" => 0,
            "1" => 1,
            other => {
                let hint = "labels.csv says 0 for real and 1 for fake";
                place.fault(fail(format!("the label of {file} is `{other}`, expected 0 or 1"), hint))?;
                continue;
            }
        };
        let stem = walk::stem(file).to_owned();
        if let Some(first) = seen.insert(stem.clone(), row.line) {
            place.fault(fail(
                format!("{file} is already listed in line {first}"),
                "remove one of the lines",
            ))?;
            continue;
        }
        emit(
            place,
            &videos,
            (stem, label, Split::Test),
            || {
                fail(
                    format!("{file} is not there"),
                    "the test set has 5,000 videos; download it again, or extract its frames",
                )
            },
            sink,
        )?;
    }
    Ok(())
}

#[derive(Deserialize)]
struct Entry {
    label: String,
}

fn train(place: &Place, part: &Path, sink: &mut Sink) -> Result<(), Error> {
    let file = part.join("metadata.json");
    lists::json_entries(&file, "metadata of a DFDC part", |name, entry: Entry| {
        let fail = |what: String, hint: &str| Error::layout(&file, what, hint);
        let label = match entry.label.as_str() {
            "REAL" => 0,
            "FAKE" => 1,
            other => {
                let hint = "download the metadata again";
                return place
                    .fault(fail(format!("the label of {name} is `{other}`, expected REAL or FAKE"), hint));
            }
        };
        let stem = walk::stem(&name).to_owned();
        emit(
            place,
            part,
            (stem, label, Split::Train),
            || fail(format!("{name} is not there"), "unpack the archive of this part again"),
            sink,
        )
    })
}

fn emit(
    place: &Place,
    folder: &Path,
    (video, label, split): (String, u8, Split),
    absent: impl FnOnce() -> Error,
    sink: &mut Sink,
) -> Result<(), Error> {
    let Some(media) = media::one(place, folder, &video)? else { return place.fault(absent()) };
    debug_assert!(!matches!(&media, Media::Frames(f) if f.is_empty()));
    let method = classes::word(label).to_owned();
    sink(Clip { method, video, label, split, subjects: Vec::new(), media })
}
