//! DeepFakeDetection (DFD) as it comes with FaceForensics++: `original_sequences/actors/<c>/`,
//! `manipulated_sequences/DeepFakeDetection/<c>/`.
//!
//! Originals are `<actor>__<scene>`, fakes `<target>_<source>__<scene>__<8 characters>`. There is no official split:
//! everything is for testing. Polarity: the folder.

use std::path::Path;

use facebench_protocols::Split;

use super::clip::{Clip, Place, Sink};
use super::{media, names};
use crate::Error;

pub(super) fn fits(folder: &Path) -> bool {
    folder.join("original_sequences/actors").is_dir()
        || folder.join("manipulated_sequences/DeepFakeDetection").is_dir()
}

pub(super) fn read(place: &Place, sink: &mut Sink) -> Result<(), Error> {
    for (part, method, label) in [
        ("original_sequences/actors", "actors", 0),
        ("manipulated_sequences/DeepFakeDetection", "DeepFakeDetection", 1),
    ] {
        let folder = place.folder.join(part).join(place.compression());
        for video in media::videos(&folder, &format!("videos of {method}"))? {
            let people = names::dfd_ids(&video.name).filter(|p| p.len() == 1 + usize::from(label));
            let Some(subjects) = people else {
                let what = format!("`{}` is no {} video of DFD", video.name, super::classes::word(label));
                let hint = "originals are 01__walking, fakes 01_02__walking__A1B2C3D4";
                place.fault(Error::layout(&video.path, what, hint))?;
                continue;
            };
            if let Some(media) = media::media(place, &video)? {
                let (method, video, split) = (method.to_owned(), video.name, Split::Test);
                sink(Clip { method, video, label, split, subjects, media })?;
            }
        }
    }
    Ok(())
}
