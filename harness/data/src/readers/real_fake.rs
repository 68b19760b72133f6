//! Test sets as FSFM prepares them: `test/{real,fake}/<video>_frame_<n>.png` for videos (Celeb-DF v2, DFDC,
//! DFDC preview, WildDeepfake), `test/{real,fake}/<name>.png` for stills (DiFF).
//!
//! Polarity: the folder's name (`classes`). Folders below are flattened into the name with `_`, as the published
//! preparation does; below a class of stills the first one is the method. The video's name begins with the folder
//! of the original release where that tells something (`Celeb-synthesis_...`, `method_A_...`): that is the method.

use facebench_protocols::Sample;

use super::{Place, classes, names, walk};
use crate::Error;

pub(super) fn read(place: &Place) -> Result<Vec<Sample>, Error> {
    let mut samples = Vec::new();
    for (folder, split) in classes::split_folders(&place.folder, place.dataset)? {
        for class in classes::class_folders(&folder)? {
            for image in walk::images(&class.path)? {
                let name = image.flat_name();
                let (video, frame, method) = if place.stills {
                    (
                        name.as_str(),
                        0,
                        image.parents.first().map_or(classes::word(class.label), String::as_str),
                    )
                } else {
                    let Some((video, frame)) = names::split_frame(&name) else {
                        let what = "the name does not read <video>_frame_<n>";
                        let hint = "frames are named by their video, such as id0_0001_frame_12.png";
                        return Err(Error::layout(&image.path, what, hint));
                    };
                    (video, frame, names::origin(video).unwrap_or(classes::word(class.label)))
                };
                if place.dataset == "cdfv2-noyt" && method == "YouTube-real" {
                    let what = "a YouTube-real video, which the list of 448 videos leaves out";
                    let hint = "this folder holds the official list of 518 videos: call it `cdfv2` (its folder is \
                                Celeb-DF-v2-518), or remove its YouTube-real frames";
                    return Err(Error::layout(&image.path, what, hint));
                }
                let subjects =
                    if place.dataset.starts_with("cdfv2") { names::celeb_ids(video) } else { vec![] };
                samples.push(Sample {
                    dataset: place.dataset.into(),
                    method: method.into(),
                    video: video.into(),
                    frame,
                    label: class.label,
                    split,
                    subjects,
                    path: image.path,
                });
            }
        }
    }
    Ok(samples)
}
