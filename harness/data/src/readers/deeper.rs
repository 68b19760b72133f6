//! DeeperForensics-1.0 as downloaded: `manipulated_videos/end_to_end/<target>_<actor>`, the official lists
//! `lists/splits/{train,val,test}.txt`, and for real videos the FF++ originals of the targets
//! (`original_sequences/youtube/<c>/` here or in a folder `FaceForensics++` beside it).
//!
//! The standard set is 1,000 undistorted fakes in 7 : 1 : 2; the distorted copies (`end_to_end_level_1` and so on) show
//! the same faces and are not read. A real FF++ original is in the split of the fake that targets it. Polarity: folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use facebench_protocols::Split;

use super::clip::{Clip, Place, Sink};
use super::{classes, lists, media, names, walk};
use crate::Error;

pub(super) fn fits(folder: &Path) -> bool {
    folder.join("manipulated_videos").is_dir()
}

pub(super) fn read(place: &Place, sink: &mut Sink) -> Result<(), Error> {
    let mut splits: BTreeMap<String, Split> = BTreeMap::new();
    for (name, split) in classes::SPLITS {
        let path = place.folder.join(format!("lists/splits/{name}.txt"));
        let text = lists::text(&path, &format!("official {name} list of DeeperForensics"))?;
        for (number, line) in lists::lines(&text) {
            let video = walk::stem(line.rsplit('/').next().unwrap_or(&line)).to_owned();
            if let Some(first) = splits.insert(video.clone(), split) {
                let what = match first == split {
                    true => format!("line {number}: {video} is listed twice"),
                    false => format!("line {number}: {video} is in two splits, {first} and {split}"),
                };
                place.fault(Error::layout(&path, what, "download the lists again"))?;
            }
        }
    }
    let mut targets: BTreeMap<String, Split> = BTreeMap::new();
    let folder = place.folder.join("manipulated_videos/end_to_end");
    for video in media::videos(&folder, "videos of DeeperForensics")? {
        let Some(subjects) = names::deeper_ids(&video.name) else {
            let what = format!("`{}` is no video of DeeperForensics", video.name);
            place.fault(Error::layout(&video.path, what, "fakes are 000_M101: FF++ target, actor"))?;
            continue;
        };
        let Some(&split) = splits.get(&video.name) else {
            let what = format!("`{}` is in none of the official lists", video.name);
            place.fault(Error::layout(&video.path, what, "look into lists/splits"))?;
            continue;
        };
        targets.insert(subjects[0].clone(), split);
        if let (true, Some(media)) = (place.wants(split), media::media(place, &video)?) {
            let method = "end_to_end".to_owned();
            sink(Clip { method, video: video.name, label: 1, split, subjects, media })?;
        }
    }
    match originals(&place.folder, place.compression()) {
        Some(folder) => {
            for video in media::videos(&folder, "originals of FaceForensics++")? {
                let Some(&split) = targets.get(&video.name) else { continue };
                if let (true, Some(media)) = (place.wants(split), media::media(place, &video)?) {
                    let (method, subjects) = ("youtube".to_owned(), vec![video.name.clone()]);
                    sink(Clip { method, video: video.name, label: 0, split, subjects, media })?;
                }
            }
            Ok(())
        }
        None => Err(walk::missing(
            &place.folder.join("original_sequences/youtube").join(place.compression()),
            "real videos (the FF++ originals that the fakes target)",
        )),
    }
}

fn originals(root: &Path, compression: &str) -> Option<PathBuf> {
    let beside = root.parent().map(|p| p.join("FaceForensics++"));
    [Some(root.to_path_buf()), beside]
        .into_iter()
        .flatten()
        .map(|p| p.join("original_sequences/youtube").join(compression))
        .find(|p| p.is_dir())
}
