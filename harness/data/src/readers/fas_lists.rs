//! The anti-spoofing sets as few_shot_fas lists them: MSU, CASIA, Replay, OULU (MCIO); WMCA, CeFA, SURF (WCS); CelebA-Spoof.
//!
//! Images lie at `frame/<set>/{train,test}/{real,fake}/`; the lists beside them, `txt/<set>_{real,fake}_{train,test,
//! shot}.txt`, name one picture per line. For MCIO a line names `<video>_frame0` and means both frames of the video; for
//! the others (list `images`) every picture stands alone, as it does there. The published "train" list of MCIO is
//! everything, and "test" is the same without the ten videos per class kept for few-shot learning; here what the test
//! list names is in split `test` and the rest of the train list is in `train`, so that no video is in two splits. A list
//! `shot-5` is the first five lines of the few-shot lists. Polarity: folder and list name (few_shot_fas itself: live = 1);
//! the two must agree. The official part (`train`, `test`) stays in the video's name, since CASIA counts its people from 1
//! in both.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use facebench_protocols::Split;

use super::clip::{Clip, Media, Place, Sink};
use super::{classes, lists, names, walk};
use crate::Error;

pub(super) fn read(place: &Place, sink: &mut Sink) -> Result<(), Error> {
    let (frames, set) = (place.folder.parent(), place.folder.file_name().and_then(|n| n.to_str()));
    let (Some(frames), Some(set)) = (frames, set) else {
        return Err(walk::missing(&place.folder, "MCIO/frame/<set>"));
    };
    let texts = frames.parent().unwrap_or(frames).join("txt");
    walk::need_folder(&texts, &format!("folder of the lists of {set}"))?;
    let asked = place.list.unwrap_or_default();
    let pairs = !asked.contains("images");
    let shots: Option<usize> =
        asked.strip_prefix("shot-").and_then(|n| n.trim_end_matches("-images").parse().ok());
    let mut on_disk = OnDisk::default();
    for class in ["real", "fake"] {
        let list = |kind: &str| {
            read_list(place, &texts.join(format!("{set}_{class}_{kind}.txt")), (set, class), pairs)
        };
        let mut all: Vec<(Video, Line, Split)> = Vec::new();
        if let Some(n) = shots {
            let listed = list("shot")?;
            if listed.len() < n {
                let path = texts.join(format!("{set}_{class}_shot.txt"));
                let what = format!("lists {} videos, {n} are needed", listed.len());
                return Err(Error::layout(&path, what, "extract the lists again"));
            }
            all.extend(listed.into_iter().take(n).map(|(v, l)| (v, l, Split::Train)));
        } else {
            let test = if place.wants(Split::Test) { list("test")? } else { Vec::new() };
            let train = list("train")?;
            let in_test: BTreeSet<Video> = test.iter().map(|(v, _)| v.clone()).collect();
            all.extend(test.into_iter().map(|(v, l)| (v, l, Split::Test)));
            let rest = train.into_iter().filter(|(v, _)| !in_test.contains(v));
            all.extend(rest.map(|(v, l)| (v, l, Split::Train)));
        }
        for (video, line, split) in all {
            emit(place, (frames, set, class), (video, &line, split), pairs, &mut on_disk, sink)?;
        }
    }
    Ok(())
}

fn emit(
    place: &Place,
    (frames, set, class): (&Path, &str, &str),
    (video, line, split): (Video, &Line, Split),
    pairs: bool,
    on_disk: &mut OnDisk,
    sink: &mut Sink,
) -> Result<(), Error> {
    let folder = frames.join(set).join(&video.folder).join(class);
    let files: Vec<(u32, String)> = match pairs {
        true => [0, 1].map(|n| (n, format!("{}_frame{n}.{}", video.name, line.ending))).into(),
        false => vec![(0, format!("{}.{}", video.name, line.ending))],
    };
    for (_, file) in &files {
        if !on_disk.has(&folder, file)? {
            let what = format!("line {} lists {}, which is not there: {file}", line.number, video.name);
            let each = if pairs { "; each video has _frame0 and _frame1" } else { "" };
            let hint = format!("expected it in {}{each}", folder.display());
            return place.fault(Error::layout(&line.list, what, hint));
        }
    }
    let subjects = names::client(place.dataset, &video.folder, &video.name).into_iter().collect();
    sink(Clip {
        method: class.into(),
        video: format!("{}_{}", video.folder, video.name),
        label: classes::label_of(class).expect("real and fake have labels"),
        split,
        subjects,
        media: Media::Frames(files.into_iter().map(|(n, file)| (n, folder.join(file))).collect()),
    })
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

/// Reads one list, in its order: a path per line, with `/` or `\`, any line ending, with or without a byte-order mark.
fn read_list(
    place: &Place,
    path: &Path,
    (set, class): (&str, &str),
    pairs: bool,
) -> Result<Vec<(Video, Line)>, Error> {
    let text = lists::text(path, &format!("list of {class} videos of {set}"))?;
    let mut videos = Vec::new();
    let mut known: BTreeSet<Video> = BTreeSet::new();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (number, line) in lists::lines(&text) {
        match parse(&line, set, class, pairs) {
            Err(what) => {
                let hint = match pairs {
                    true => format!("a line reads {set}/train/{class}/<video>_frame0.png"),
                    false => format!("a line reads {set}/train/{class}/<picture>.jpg"),
                };
                place.fault(Error::layout(path, format!("line {number}, `{line}`: {what}"), hint))?;
            }
            Ok((video, ending)) => {
                if let Some(first) = seen.insert(line.clone(), number) {
                    let what = format!("line {number}, `{line}`: already listed in line {first}");
                    place.fault(Error::layout(path, what, "remove one of the lines"))?;
                    continue;
                }
                if known.insert(video.clone()) {
                    videos.push((video, Line { list: path.to_path_buf(), number, ending }));
                }
            }
        }
    }
    if videos.is_empty() {
        return Err(Error::layout(path, "the list is empty", "extract the lists again"));
    }
    Ok(videos)
}

/// A line's video and file ending, or what is wrong with it.
fn parse(line: &str, set: &str, class: &str, pairs: bool) -> Result<(Video, String), String> {
    // Lists are relative to `frame/`; some copies keep the way there.
    let inner = line.rsplit_once("frame/").filter(|(before, _)| before.is_empty() || before.ends_with('/'));
    let inner = inner.map_or(line, |(_, inner)| inner).trim_start_matches("./");
    let parts: Vec<&str> = inner.split('/').collect();
    let &[of, folder, kind, file] = parts.as_slice() else {
        return Err("expected four parts, set/part/class/file".into());
    };
    if of != set {
        return Err(format!("the line belongs to `{of}`, the list to `{set}`"));
    }
    if !["train", "test"].contains(&folder) {
        return Err(format!("the part is `{folder}`, expected train or test"));
    }
    if kind != class {
        return Err(format!("the folder is `{kind}`, but this is the list of {class} videos"));
    }
    let (stem, ending) = file.rsplit_once('.').ok_or("the file has no ending")?;
    let name = match pairs {
        false => stem,
        true => match names::split_short_frame(stem) {
            Some((name, 0 | 1)) => name,
            _ => return Err("the file is not named <video>_frame0.png or <video>_frame1.png".into()),
        },
    };
    Ok((Video { folder: folder.into(), name: name.into() }, ending.into()))
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

/// Whether a folder is `<somewhere>/frame/<set>` with lists in `<somewhere>/txt`.
pub(super) fn fits(folder: &Path) -> bool {
    let above =
        folder.parent().filter(|p| p.file_name().is_some_and(|n| n == "frame")).and_then(Path::parent);
    above.is_some_and(|a| a.join("txt").is_dir())
}
