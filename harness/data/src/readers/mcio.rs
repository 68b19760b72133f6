//! The anti-spoofing sets as few_shot_fas lists them: MSU, CASIA, Replay, OULU.
//!
//! Images lie at `frame/<set>/{train,test}/{real,fake}/<video>_frame{0,1}.png`; the lists beside them,
//! `txt/<set>_{real,fake}_{train,test}.txt`, name one `frame0` per video and mean both frames. The published "train"
//! list is everything, and "test" is the same without the ten videos per class kept for few-shot learning; here a
//! video of the test list is in split `test` and the rest is in `train`, so that both together are the published
//! train list and no video is in two splits. Polarity: folder and list name (few_shot_fas itself: live = 1);
//! the two must agree. The official part (`train`, `test`) stays in the video's name, since CASIA counts its
//! people from 1 in both.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use facebench_protocols::{Sample, Split};

use super::{Place, classes, names, walk};
use crate::Error;

pub(super) fn read(place: &Place) -> Result<Vec<Sample>, Error> {
    let (frames, set) = (place.folder.parent(), place.folder.file_name().and_then(|n| n.to_str()));
    let (Some(frames), Some(set)) = (frames, set) else {
        return Err(walk::missing(&place.folder, "MCIO/frame/<set>"));
    };
    let texts = frames.parent().unwrap_or(frames).join("txt");
    walk::need_folder(&texts, &format!("folder of the lists of {set}"))?;
    let mut on_disk = OnDisk::default();
    let mut samples = Vec::new();
    for class in ["real", "fake"] {
        let list = |kind: &str| read_list(&texts.join(format!("{set}_{class}_{kind}.txt")), set, class);
        let test = list("test")?;
        let mut all = list("train")?;
        let listed_for_test: BTreeSet<_> = test.keys().cloned().collect();
        for (video, line) in test {
            all.entry(video).or_insert(line);
        }
        for (video, line) in all {
            let split = if listed_for_test.contains(&video) { Split::Test } else { Split::Train };
            let folder = frames.join(set).join(&video.folder).join(class);
            for frame in [0, 1] {
                let file = format!("{}_frame{frame}.{}", video.name, line.ending);
                if !on_disk.has(&folder, &file)? {
                    let what =
                        format!("line {} lists {}, which is not there: {file}", line.number, video.name);
                    let hint =
                        format!("expected it in {}; each video has _frame0 and _frame1", folder.display());
                    return Err(Error::layout(&line.list, what, hint));
                }
                samples.push(Sample {
                    dataset: place.dataset.into(),
                    method: class.into(),
                    video: format!("{}_{}", video.folder, video.name),
                    frame,
                    label: classes::label_of(class).expect("real and fake have labels"),
                    split,
                    subjects: names::client(place.dataset, &video.folder, &video.name).into_iter().collect(),
                    path: folder.join(file),
                });
            }
        }
    }
    Ok(samples)
}

/// A video of a list: official part (`train` or `test`) and name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Video {
    folder: String,
    name: String,
}

/// Where a video was listed, and its file's ending.
struct Line {
    list: PathBuf,
    number: usize,
    ending: String,
}

/// Reads one list: a path per line, with `/` or `\`, any line ending, with or without a byte-order mark.
fn read_list(path: &Path, set: &str, class: &str) -> Result<BTreeMap<Video, Line>, Error> {
    if !path.is_file() {
        return Err(walk::missing(path, &format!("list of {class} videos of {set}")));
    }
    let text = std::fs::read(path).map_err(Error::io("read", path))?;
    let text = String::from_utf8(text)
        .map_err(|_| Error::layout(path, "the list is not UTF-8 text", "save it as plain text"))?;
    let mut videos = BTreeMap::new();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let (number, line) = (number + 1, line.trim().replace('\\', "/"));
        if line.is_empty() {
            continue;
        }
        let fail = |what: &str| {
            let hint = format!("a line reads {set}/train/{class}/<video>_frame0.png");
            Error::layout(path, format!("line {number}, `{line}`: {what}"), hint)
        };
        if let Some(first) = seen.insert(line.clone(), number) {
            return Err(fail(&format!("already listed in line {first}")));
        }
        // Lists are relative to `frame/`; some copies keep the way there.
        let inner =
            line.rsplit_once("frame/").filter(|(before, _)| before.is_empty() || before.ends_with('/'));
        let inner = inner.map_or(line.as_str(), |(_, inner)| inner).trim_start_matches("./");
        let parts: Vec<&str> = inner.split('/').collect();
        let &[of, folder, kind, file] = parts.as_slice() else {
            return Err(fail("expected four parts, set/part/class/file"));
        };
        if of != set {
            return Err(fail(&format!("the line belongs to `{of}`, the list to `{set}`")));
        }
        if !["train", "test"].contains(&folder) {
            return Err(fail(&format!("the part is `{folder}`, expected train or test")));
        }
        if kind != class {
            return Err(fail(&format!("the folder is `{kind}`, but this is the list of {class} videos")));
        }
        let split = file.rsplit_once('.').and_then(|(stem, ending)| {
            Some((names::split_short_frame(stem).filter(|(_, frame)| *frame < 2)?.0, ending))
        });
        let Some((name, ending)) = split else {
            return Err(fail("the file is not named <video>_frame0.png or <video>_frame1.png"));
        };
        let video = Video { folder: folder.into(), name: name.into() };
        let line = Line { list: path.to_path_buf(), number, ending: ending.into() };
        videos.entry(video).or_insert(line);
    }
    if videos.is_empty() {
        return Err(Error::layout(path, "the list is empty", "extract the lists again"));
    }
    Ok(videos)
}

/// Folders listed once instead of one question per file: tens of thousands of files on a shared disk.
#[derive(Default)]
struct OnDisk {
    folders: BTreeMap<PathBuf, BTreeSet<String>>,
}

impl OnDisk {
    fn has(&mut self, folder: &Path, file: &str) -> Result<bool, Error> {
        if let Some(names) = self.folders.get(folder) {
            return Ok(names.contains(file));
        }
        walk::need_folder(folder, "folder of listed frames")?;
        let names: BTreeSet<String> = walk::list(folder)?.into_iter().map(|e| e.name).collect();
        let found = names.contains(file);
        self.folders.insert(folder.to_path_buf(), names);
        Ok(found)
    }
}
