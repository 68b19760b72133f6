//! CASIA-FASD: `train_release/1..20/` and `test_release/1..30/`, twelve videos each.
//!
//! The file's number says what it is: `1`, `2`, `HR_1` real; `3`, `4`, `HR_2` warped print; `5`, `6`, `HR_3` cut
//! print; `7`, `8`, `HR_4` replayed video. People are counted from 1 in both parts, so the part is in the name.

use std::path::Path;

use facebench_protocols::Split;

use crate::Error;
use crate::readers::clip::{Clip, Place, Sink};
use crate::readers::{media, walk};

pub(crate) fn fits(folder: &Path) -> bool {
    folder.join("train_release").is_dir() || folder.join("test_release").is_dir()
}

pub(crate) fn read(place: &Place, sink: &mut Sink) -> Result<(), Error> {
    for (part, split) in [("train", Split::Train), ("test", Split::Test)] {
        if !place.wants(split) {
            continue;
        }
        let folder = place.folder.join(format!("{part}_release"));
        walk::need_folder(&folder, &format!("{part} part of CASIA-FASD"))?;
        for person in walk::list(&folder)?.into_iter().filter(|e| e.is_folder) {
            let person = person.name;
            for video in media::videos(&folder.join(&person), &format!("videos of subject {person}"))? {
                let (method, label) = match video.name.as_str() {
                    "1" | "2" | "HR_1" => ("real", 0),
                    "3" | "4" | "HR_2" => ("warped", 1),
                    "5" | "6" | "HR_3" => ("cut", 1),
                    "7" | "8" | "HR_4" => ("video", 1),
                    _ => {
                        let what = "not one of the twelve videos";
                        place.fault(Error::layout(&video.path, what, "they are 1 to 8 and HR_1 to HR_4"))?;
                        continue;
                    }
                };
                if let Some(media) = media::media(place, &video)? {
                    let name = format!("{part}_{person}_{}", video.name);
                    let subjects = vec![format!("{part}-{person}")];
                    sink(Clip { method: method.into(), video: name, label, split, subjects, media })?;
                }
            }
        }
    }
    Ok(())
}
