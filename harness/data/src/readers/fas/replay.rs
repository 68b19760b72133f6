//! Replay-Attack: `{train,devel,test}/real/` and `{train,devel,test}/attack/{fixed,hand}/`; devel is the val split,
//! `enroll/` is not read.
//!
//! Real names are `client001_session01_webcam_authenticate_adverse_1`, attacks
//! `attack_{print,mobile,highdef}_client001_...`. An attack's name repeats in `fixed` and `hand`, so the support is
//! part of the video's name; what the attack was shown on is the method. Polarity: the folder.

use std::path::Path;

use facebench_protocols::Split;

use crate::Error;
use crate::readers::clip::{Clip, Place, Sink};
use crate::readers::{media, names, walk};

pub(crate) fn fits(folder: &Path) -> bool {
    folder.join("devel").is_dir() && folder.join("train/attack").is_dir()
}

pub(crate) fn read(place: &Place, sink: &mut Sink) -> Result<(), Error> {
    for (part, split) in [("train", Split::Train), ("devel", Split::Val), ("test", Split::Test)] {
        if !place.wants(split) {
            continue;
        }
        let folder = place.folder.join(part);
        walk::need_folder(&folder, &format!("{part} part of Replay-Attack"))?;
        for (kind, support, label) in
            [("real", "", 0), ("attack/fixed", "fixed_", 1), ("attack/hand", "hand_", 1)]
        {
            for video in media::videos(&folder.join(kind), &format!("{kind} videos"))? {
                let mut words = video.name.split('_');
                let shown = if words.next() == Some("attack") { words.next() } else { None };
                let method = match (label, shown) {
                    (0, None) => "real",
                    (1, Some(m @ ("print" | "mobile" | "highdef"))) => m,
                    _ => {
                        let what = format!("`{}` is not how {kind} videos are named", video.name);
                        let hint = "attacks begin with attack_print_, attack_mobile_ or attack_highdef_";
                        place.fault(Error::layout(&video.path, what, hint))?;
                        continue;
                    }
                };
                let method = method.to_owned();
                if let Some(media) = media::media(place, &video)? {
                    let subjects = names::client("fas-replay", "", &video.name).into_iter().collect();
                    let name = format!("{support}{}", video.name);
                    sink(Clip { method, video: name, label, split, subjects, media })?;
                }
            }
        }
    }
    Ok(())
}
