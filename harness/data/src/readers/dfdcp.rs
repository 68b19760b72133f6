//! DFDC preview as downloaded: `original_videos/`, `method_A/`, `method_B/` and `dataset.json`
//! (path → label `real` or `fake`, set `train` or `test`, target and swapped identities).
//!
//! File names repeat between the folders, so the video's name is the first folder, `_`, and the file's name, as FSFM
//! does it (DeepfakeBench uses the file's name alone and loses videos). Frames lie at the film's path without its
//! ending, in place or below `frames/`. Polarity: the JSON's words.

use std::path::Path;

use facebench_protocols::Split;
use serde::Deserialize;
use serde_json::Value;

use super::clip::{Clip, Place, Sink};
use super::{lists, media, names, walk};
use crate::Error;

pub(super) fn fits(folder: &Path) -> bool {
    folder.join("dataset.json").is_file()
}

#[derive(Deserialize)]
struct Entry {
    label: String,
    set: String,
    #[serde(default)]
    target_id: Value,
    #[serde(default)]
    swapped_id: Value,
}

pub(super) fn read(place: &Place, sink: &mut Sink) -> Result<(), Error> {
    let file = place.folder.join("dataset.json");
    lists::json_entries(&file, "list of the DFDC preview", |key, entry: Entry| {
        let fail =
            |what: String| Error::layout(&file, format!("{key}: {what}"), "download dataset.json again");
        let label = match entry.label.as_str() {
            "real" => 0,
            "fake" => 1,
            other => return place.fault(fail(format!("the label is `{other}`, expected real or fake"))),
        };
        let split = match entry.set.as_str() {
            "train" => Split::Train,
            "test" => Split::Test,
            other => return place.fault(fail(format!("the set is `{other}`, expected train or test"))),
        };
        if !place.wants(split) {
            return Ok(());
        }
        let path = lists::slashes(&key);
        let (Some((folder, name)), Some(top)) = (path.rsplit_once('/'), path.split('/').next()) else {
            return place.fault(fail("expected a path with a folder".into()));
        };
        let video = format!("{top}_{}", walk::stem(name));
        let found = media::one(place, &place.folder.join(folder), walk::stem(name))?;
        let below = || media::one(place, &place.folder.join("frames").join(folder), walk::stem(name));
        let Some(media) = (if found.is_some() { found } else { below()? }) else {
            return place
                .fault(fail("the video is not there, neither as a film nor as a folder of frames".into()));
        };
        let person = |v: &Value| match v {
            Value::String(s) if !s.is_empty() => Some(s.clone()),
            Value::Number(n) => Some(n.to_string()),
            _ => None,
        };
        let mut subjects: Vec<String> =
            [&entry.target_id, &entry.swapped_id].into_iter().filter_map(person).collect();
        subjects.dedup();
        let method = names::origin(&video).unwrap_or(super::classes::word(label)).to_owned();
        sink(Clip { method, video, label, split, subjects, media })
    })
}
