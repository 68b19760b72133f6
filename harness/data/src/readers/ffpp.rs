//! FaceForensics++ as FSFM prepares it: `{train,val,test}/{real_youtube,fake_four}/<method>_<video>_frame_<n>.png`.
//!
//! The method is the prefix of the file name and part of the identity: `000_003` exists once per manipulation.
//! Polarity: `youtube` is real (0), the manipulations are fake (1); the folder must agree. (The authors' ImageFolder
//! numbers them the other way round, fake 0 and real 1.) The numbers in a video's name are its people: target first,
//! then source.

use super::clip::{Kind, Naming, Place, Sink, Who, flat};
use super::{classes, names};
use crate::Error;

/// Prefix in the file name, method in the identity, label. The official download spells it `Deepfakes`.
const PREFIXES: [(&str, &str, u8); 7] = [
    ("youtube", "youtube", 0),
    ("DeepFakes", "DeepFakes", 1),
    ("Deepfakes", "DeepFakes", 1),
    ("Face2Face", "Face2Face", 1),
    ("FaceSwap", "FaceSwap", 1),
    ("NeuralTextures", "NeuralTextures", 1),
    ("FaceShifter", "FaceShifter", 1),
];

pub(super) fn read(place: &Place, sink: &mut Sink) -> Result<(), Error> {
    for (folder, split) in classes::split_folders(&place.folder, place.dataset)? {
        for class in classes::class_folders(&folder)? {
            let kind =
                Kind { folder: &class.path, label: class.label, split, naming: Naming::FramesOrStills };
            flat(
                kind,
                &mut |_, name, file| {
                    let shown = file.file_stem().unwrap_or_default().to_string_lossy();
                    let parsed = if shown.contains("_frame_") { parse(name) } else { None };
                    let Some(((_, method, label), video, subjects)) = parsed else {
                        let what = "the name does not read <method>_<video>_frame_<n>";
                        let known: Vec<&str> = PREFIXES.iter().map(|p| p.0).collect();
                        let hint = format!("methods are {}; videos are 000 or 000_003", known.join(", "));
                        return Err(Error::layout(file, what, hint));
                    };
                    if *label != class.label {
                        let (says, is) = (classes::word(*label), classes::word(class.label));
                        let what = format!("`{method}` is {says}, but the folder is {is}");
                        return Err(Error::layout(file, what, "move it to the folder of its class"));
                    }
                    Ok(Who { method: (*method).into(), video: video.into(), subjects })
                },
                sink,
            )?;
        }
    }
    Ok(())
}

type Parsed<'a> = (&'static (&'static str, &'static str, u8), &'a str, Vec<String>);

fn parse(name: &str) -> Option<Parsed<'_>> {
    let (video, prefix) =
        PREFIXES.iter().find_map(|p| Some((name.strip_prefix(p.0)?.strip_prefix('_')?, p)))?;
    Some((prefix, video, names::ffpp_ids(video)?))
}
