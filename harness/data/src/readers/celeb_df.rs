//! Celeb-DF v1, v2 and ++ as downloaded: `Celeb-real`, `YouTube-real`, `Celeb-synthesis` and the official test list.
//!
//! A line of `List_of_testing_videos.txt` is `<digit> <path>` where **1 means real**, against the rest of the field;
//! the folder must agree with it. Listed videos are for testing, all others for training (there is no official train
//! list). The data set decides whether YouTube-real takes part: 518 videos of v2 with it, 448 without. In Celeb-DF++
//! fakes lie in `Celeb-synthesis/<kind>/<method>/` and that method is the identity's. Video names are the path with
//! `_`, as FSFM prepares them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use facebench_protocols::Split;

use super::clip::{Clip, Place, Sink};
use super::{classes, lists, media, names, walk};
use crate::Error;

const LIST: &str = "List_of_testing_videos.txt";

pub(super) fn fits(folder: &Path) -> bool {
    folder.join("Celeb-synthesis").is_dir()
}

pub(super) fn read(place: &Place, sink: &mut Sink) -> Result<(), Error> {
    let mut listed = test_list(place)?;
    let mut folders = vec![("Celeb-real".to_owned(), "Celeb-real".to_owned(), 0)];
    if !names::is_youtube_left_out(place.dataset, "YouTube-real") {
        folders.push(("YouTube-real".into(), "YouTube-real".into(), 0));
    }
    folders.extend(synthesis(&place.folder)?);
    for (part, method, label) in folders {
        let folder = place.folder.join(&part);
        for video in media::videos(&folder, &format!("videos of {part}"))? {
            let in_list = listed.remove(&format!("{part}/{}", video.name));
            let split = if in_list { Split::Test } else { Split::Train };
            if !place.wants(split) {
                continue;
            }
            if let Some(media) = media::media(place, &video)? {
                let name = format!("{}_{}", part.replace('/', "_"), video.name);
                let subjects = names::celeb_ids(&video.name);
                sink(Clip { method: method.clone(), video: name, label, split, subjects, media })?;
            }
        }
    }
    for (missing, line) in listed.lines {
        let list = place.folder.join(LIST);
        let what = format!("line {line} lists {missing}, which is not there");
        place.fault(Error::layout(
            &list,
            what,
            "download the video again, or its frames were never extracted",
        ))?;
    }
    Ok(())
}

/// Folders of fakes with their methods.
fn synthesis(root: &Path) -> Result<Vec<(String, String, u8)>, Error> {
    let mut out = Vec::new();
    for (kind, methods) in names::CELEB_PP {
        let base = format!("Celeb-synthesis/{kind}");
        if !root.join(&base).is_dir() {
            continue;
        }
        for entry in walk::list(&root.join(&base))?.into_iter().filter(|e| e.is_folder) {
            let path = format!("{base}/{}", entry.name);
            if !methods.contains(&entry.name.as_str()) {
                let what = format!("`{}` is no {kind} method of Celeb-DF++", entry.name);
                let hint = format!("its methods are {}", methods.join(", "));
                return Err(Error::layout(&root.join(path), what, hint));
            }
            out.push((path, entry.name, 1));
        }
    }
    if out.is_empty() {
        out.push(("Celeb-synthesis".into(), "Celeb-synthesis".into(), 1));
    }
    Ok(out)
}

struct Listed {
    lines: BTreeMap<String, usize>,
}

impl Listed {
    fn remove(&mut self, name: &str) -> bool {
        self.lines.remove(name).is_some()
    }
}

fn test_list(place: &Place) -> Result<Listed, Error> {
    let path = place.folder.join(LIST);
    let text = lists::text(&path, "official test list of Celeb-DF")?;
    let mut lines = BTreeMap::new();
    let mut kinds = BTreeSet::new();
    for (number, line) in lists::lines(&text) {
        let fail = |what: String| {
            let hint = "a line reads `1 Celeb-real/id0_0001.mp4`; 1 is real and 0 is fake in this file";
            Error::layout(&path, format!("line {number}, `{line}`: {what}"), hint)
        };
        let Some((digit, video)) = line.split_once(char::is_whitespace) else {
            place.fault(fail("expected a digit, a space and a path".into()))?;
            continue;
        };
        let video = lists::slashes(video.trim());
        let label = match digit {
            "1" => 0,
            "0" => 1,
            other => {
                place.fault(fail(format!("the label is `{other}`, expected 0 (fake) or 1 (real)")))?;
                continue;
            }
        };
        let folder = video.split('/').next().unwrap_or_default();
        let is = match folder {
            "Celeb-real" | "YouTube-real" => 0,
            "Celeb-synthesis" => 1,
            other => {
                place.fault(fail(format!("the folder is `{other}`")))?;
                continue;
            }
        };
        if is != label {
            let (says, is) = (classes::word(label), classes::word(is));
            place.fault(fail(format!("the label says {says}, the folder is {is}")))?;
            continue;
        }
        kinds.insert(label);
        if names::is_youtube_left_out(place.dataset, folder) {
            continue;
        }
        if let Some(first) = lines.insert(walk::stem(&video).to_owned(), number) {
            place.fault(fail(format!("already listed in line {first}")))?;
        }
    }
    if kinds.len() < 2 {
        return Err(Error::layout(&path, "the list does not hold both classes", "download the list again"));
    }
    Ok(Listed { lines })
}
