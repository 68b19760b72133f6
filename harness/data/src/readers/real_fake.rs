//! Test sets as FSFM prepares them: `test/{real,fake}/<video>_frame_<n>.png` for videos (Celeb-DF, DFDC, DFDC preview,
//! DFD, WildDeepfake), `test/{real,fake}/<name>.png` for stills (DiFF).
//!
//! Polarity: the folder's name (`classes`). Folders below are flattened into the name with `_`, as the published
//! preparation does; below a class of stills the first one is the method. The video's name begins with the folder
//! of the original release where that tells something (`Celeb-synthesis_...`, `method_A_...`): that is the method.

use super::clip::{Kind, Naming, Place, Sink, Who, flat};
use super::{classes, names};
use crate::Error;

pub(super) fn read(place: &Place, sink: &mut Sink) -> Result<(), Error> {
    let naming = if place.stills() { Naming::Stills } else { Naming::Frames };
    for (folder, split) in classes::split_folders(&place.folder, place.dataset)? {
        if !place.wants(split) {
            continue;
        }
        for class in classes::class_folders(&folder)? {
            let word = classes::word(class.label);
            let kind = Kind { folder: &class.path, label: class.label, split, naming };
            flat(
                kind,
                &mut |parents, name, file| {
                    let method = if naming == Naming::Stills {
                        parents.first().map_or(word, String::as_str)
                    } else {
                        names::method(place.dataset, name, class.label).unwrap_or(word)
                    };
                    if names::is_youtube_left_out(place.dataset, method) {
                        let what = "a YouTube-real video, which this list leaves out";
                        let full = place.dataset.trim_end_matches("-noyt");
                        let hint = format!(
                            "this folder holds the whole official test list (Celeb-DF v2: the official list of 518 videos): call it \
                             `{full}`, or remove its YouTube-real frames"
                        );
                        return Err(Error::layout(file, what, hint));
                    }
                    let subjects = names::people(place.dataset, name);
                    Ok(Who { method: method.into(), video: name.into(), subjects })
                },
                sink,
            )?;
        }
    }
    Ok(())
}
