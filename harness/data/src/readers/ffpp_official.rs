//! FaceForensics++ as downloaded: `original_sequences/youtube/<c>/`, `manipulated_sequences/<method>/<c>/` (films in
//! `videos/`, extracted frames in `frames/<video>/`), and the official `splits/{train,val,test}.json`.
//!
//! A split file is a list of `[target, source]` pairs: real videos are both members, fakes both orders of a pair. A
//! fake whose two ids are not a pair of one split is in none. Folders are spelled as downloaded (`Deepfakes`) or as
//! FSFM spells them (`DeepFakes`); the identity says `DeepFakes`. Polarity: the folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use facebench_protocols::Split;

use super::clip::{Clip, Place, Sink};
use super::{classes, lists, media, names, walk};
use crate::Error;

/// Method in the identity, and spellings of its folder.
const METHODS: [(&str, &[&str]); 5] = [
    ("DeepFakes", &["Deepfakes", "DeepFakes"]),
    ("Face2Face", &["Face2Face"]),
    ("FaceSwap", &["FaceSwap"]),
    ("NeuralTextures", &["NeuralTextures"]),
    ("FaceShifter", &["FaceShifter"]),
];

pub(super) fn fits(folder: &Path) -> bool {
    folder.join("manipulated_sequences").is_dir() && folder.join("original_sequences/youtube").is_dir()
}

pub(super) fn read(place: &Place, sink: &mut Sink) -> Result<(), Error> {
    let splits = Splits::read(&place.folder)?;
    let c = place.compression();
    let real = place.folder.join("original_sequences/youtube").join(c);
    each(place, &real, "youtube", 0, &splits, sink)?;
    // four, unless the description asks for one
    let wanted = METHODS.iter().filter(|(m, _)| match place.list {
        Some(list) => *m == list,
        None => *m != "FaceShifter",
    });
    for (method, spellings) in wanted {
        let base = place.folder.join("manipulated_sequences");
        let folder = spellings.iter().map(|s| base.join(s)).find(|f| f.is_dir());
        let folder = folder.unwrap_or_else(|| base.join(spellings[0])).join(c);
        if folder.is_dir() {
            each(place, &folder, method, 1, &splits, sink)?;
        } else {
            place.fault(walk::missing(&folder, &format!("{c} videos of {method}")))?;
        }
    }
    Ok(())
}

fn each(
    place: &Place,
    folder: &Path,
    method: &str,
    label: u8,
    splits: &Splits,
    sink: &mut Sink,
) -> Result<(), Error> {
    for video in media::videos(folder, &format!("videos of {method}"))? {
        let Some((ids, split)) =
            names::ffpp_ids(&video.name).map(|ids| (splits.of(&ids), ids)).map(|(s, i)| (i, s))
        else {
            let what = format!("`{}` is no video of FF++", video.name);
            place.fault(Error::layout(
                &video.path,
                what,
                "originals are 000, fakes 000_003 (target_source)",
            ))?;
            continue;
        };
        if ids.len() != 1 + usize::from(label) {
            let (is, word) = (ids.len(), classes::word(label));
            let what =
                format!("`{}` names {is} video(s), which is not how {word} ones are named", video.name);
            place.fault(Error::layout(
                &video.path,
                what,
                "originals are 000, fakes 000_003 (target_source)",
            ))?;
            continue;
        }
        let Some(split) = split else {
            let what = format!("`{}` is in none of the official splits", video.name);
            let hint = format!("fakes are both orders of a pair in {}", splits.folder.display());
            place.fault(Error::layout(&video.path, what, hint))?;
            continue;
        };
        if let (true, Some(media)) = (place.wants(split), media::media(place, &video)?) {
            let (method, video) = (method.to_owned(), video.name);
            sink(Clip { method, video, label, split, subjects: ids, media })?;
        }
    }
    Ok(())
}

/// Who is in which split, and with whom.
struct Splits {
    folder: PathBuf,
    of: BTreeMap<String, (Split, String)>,
}

impl Splits {
    fn read(root: &Path) -> Result<Self, Error> {
        let places = ["splits", "dataset/splits", ""];
        let folder = places.iter().map(|p| root.join(p)).find(|f| f.join("test.json").is_file());
        let Some(folder) = folder else {
            return Err(walk::missing(
                &root.join("splits/test.json"),
                "official splits of FaceForensics++ (train.json, val.json, test.json)",
            ));
        };
        let mut of: BTreeMap<String, (Split, String)> = BTreeMap::new();
        for (name, split) in classes::SPLITS {
            let file = folder.join(format!("{name}.json"));
            let pairs: Vec<[String; 2]> = lists::json(&file, &format!("official {name} split"))?;
            for [target, source] in pairs {
                for (a, b) in [(&target, &source), (&source, &target)] {
                    let Some((first, _)) = of.insert(a.clone(), (split, b.clone())) else { continue };
                    let what = match first == split {
                        true => format!("{a} is in two pairs"),
                        false => format!("{a} is in two splits, {first} and {split}"),
                    };
                    return Err(Error::layout(&file, what, "download the official split files again"));
                }
            }
        }
        Ok(Self { folder, of })
    }

    /// The split of an original, or of a fake of a pair.
    fn of(&self, ids: &[String]) -> Option<Split> {
        let (split, partner) = self.of.get(ids.first()?)?;
        match ids.get(1) {
            Some(second) if second != partner => None,
            _ => Some(*split),
        }
    }
}
