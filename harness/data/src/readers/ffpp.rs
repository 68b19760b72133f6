//! FaceForensics++ as FSFM prepares it: `{train,val,test}/{real_youtube,fake_four}/<method>_<video>_frame_<n>.png`.
//!
//! The method is the prefix of the file name and part of the identity: `000_003` exists once per manipulation.
//! Polarity: `youtube` is real (0), the manipulations are fake (1); the folder must agree. (The authors' ImageFolder
//! numbers them the other way round, fake 0 and real 1.) The numbers in a video's name are its people: target first,
//! then source.

use facebench_protocols::Sample;

use super::{Place, classes, names, walk};
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

pub(super) fn read(place: &Place) -> Result<Vec<Sample>, Error> {
    let mut samples = Vec::new();
    for (folder, split) in classes::split_folders(&place.folder, place.dataset)? {
        for class in classes::class_folders(&folder)? {
            for image in walk::images(&class.path)? {
                let name = image.flat_name();
                let Some((prefix, (video, frame), subjects)) = parse(&name) else {
                    let what = "the name does not read <method>_<video>_frame_<n>";
                    let known: Vec<&str> = PREFIXES.iter().map(|p| p.0).collect();
                    let hint = format!("methods are {}; videos are 000 or 000_003", known.join(", "));
                    return Err(Error::layout(&image.path, what, hint));
                };
                let (_, method, label) = *prefix;
                if label != class.label {
                    let (says, is) = (classes::word(label), classes::word(class.label));
                    let what = format!("`{method}` is {says}, but the folder is {is}");
                    return Err(Error::layout(&image.path, what, "move it to the folder of its class"));
                }
                samples.push(Sample {
                    dataset: place.dataset.into(),
                    method: method.into(),
                    video: video.into(),
                    frame,
                    label,
                    split,
                    subjects,
                    path: image.path,
                });
            }
        }
    }
    Ok(samples)
}

type Parsed<'a> = (&'static (&'static str, &'static str, u8), (&'a str, u32), Vec<String>);

fn parse(name: &str) -> Option<Parsed<'_>> {
    let (stem, prefix) =
        PREFIXES.iter().find_map(|p| Some((name.strip_prefix(p.0)?.strip_prefix('_')?, p)))?;
    let video = names::split_frame(stem)?;
    Some((prefix, video, names::ffpp_ids(video.0)?))
}
