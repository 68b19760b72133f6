//! DeepfakeBench's data-set JSON: `{ set: { label: { split: { [compression:] { video: { label, frames } } } } } }`.
//!
//! Frame paths are relative to the folder of pictures (`datasets/rgb`), often with backslashes; where pictures are in
//! LMDB instead, they are read from there (see [`super::lmdb`]). Frames are numbered by their file names. Label names are
//! those of the published configuration; any other is an error. In most of these files `val` is a copy of `test`: the
//! copy is read once, as test. Videos are keyed by label too, so `000_003` of four methods stays four videos; where the
//! path tells the folder of the original release, that is part of the name.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use facebench_protocols::{Split, nearest};
use serde_json::{Map, Value};

use super::clip::{Clip, Media, Place, Sink};
use super::{classes, lists, lmdb, names, walk};
use crate::Error;

/// Label name, method, label.
const LABELS: [(&str, &str, u8); 27] = [
    ("FF-real", "youtube", 0),
    ("FF-DF", "DeepFakes", 1),
    ("FF-F2F", "Face2Face", 1),
    ("FF-FS", "FaceSwap", 1),
    ("FF-NT", "NeuralTextures", 1),
    ("FF-FH", "FaceShifter", 1),
    ("DFD_real", "actors", 0),
    ("DFD_fake", "DeepFakeDetection", 1),
    ("CelebDFv1_real", "real", 0),
    ("CelebDFv1_fake", "Celeb-synthesis", 1),
    ("CelebDFv2_real", "real", 0),
    ("CelebDFv2_fake", "Celeb-synthesis", 1),
    ("DFDCP_Real", "original_videos", 0),
    ("DFDCP_FakeA", "method_A", 1),
    ("DFDCP_FakeB", "method_B", 1),
    ("DFDC_Real", "real", 0),
    ("DFDC_Fake", "fake", 1),
    ("DF_real", "youtube", 0),
    ("DF_fake", "end_to_end", 1),
    ("UADFV_Real", "real", 0),
    ("UADFV_Fake", "fake", 1),
    ("roop_Real", "real", 0),
    ("roop_Fake", "roop", 1),
    ("simswap_ff", "SimSwap", 1),
    ("simswap_cdf", "SimSwap", 1),
    ("FSAll_ff", "FSAll", 1),
    ("FSAll_cdf", "FSAll", 1),
];

pub(super) fn fits(path: &Path) -> bool {
    path.is_file() && path.extension().is_some_and(|e| e.eq_ignore_ascii_case("json"))
}

pub(super) fn read(place: &Place, sink: &mut Sink) -> Result<(), Error> {
    let file = &place.folder;
    let all: Map<String, Value> = lists::json(file, "data-set list of DeepfakeBench")?;
    let fail = |what: String, hint: &str| Error::layout(file, what, hint);
    if all.is_empty() {
        return Err(fail("the list is empty".into(), "generate it again with the rearrange step"));
    }
    let mut pictures: Option<Pictures> = None;
    for labels in all.values() {
        for (label_name, splits) in object(file, labels)? {
            let Some((_, method, label)) = LABELS.iter().find(|(name, ..)| name == label_name) else {
                let near = nearest(label_name, LABELS.iter().map(|l| l.0));
                let known = LABELS.map(|l| l.0).join(", ");
                let hint = near.map_or(format!("known labels are {known}"), |n| format!("is `{n}` meant?"));
                return Err(fail(format!("the label `{label_name}` is not known"), &hint));
            };
            let splits = object(file, splits)?;
            let copied = splits.get("val").is_some_and(|val| splits.get("test") == Some(val));
            for (split_name, videos) in splits {
                let Some(split) = classes::SPLITS.iter().find(|(name, _)| name == split_name).map(|s| s.1)
                else {
                    return Err(fail(format!("the split is `{split_name}`"), "expected train, val or test"));
                };
                if !place.wants(split) || (copied && split == Split::Val) {
                    continue;
                }
                for (name, video) in of_compression(place, object(file, videos)?)? {
                    let said = video.get("label").and_then(Value::as_str).unwrap_or(label_name);
                    if said != label_name {
                        let what = format!("{name} is filed under {label_name} and says {said}");
                        place.fault(fail(what, "generate the list again"))?;
                        continue;
                    }
                    let frames: Vec<String> = match video.get("frames").and_then(Value::as_array) {
                        Some(list) => list.iter().filter_map(Value::as_str).map(lists::slashes).collect(),
                        None => Vec::new(),
                    };
                    let Some(first) = frames.first() else {
                        place.fault(fail(format!("{name} has no frames"), "extract its frames again"))?;
                        continue;
                    };
                    if pictures.is_none() {
                        pictures = Some(Pictures::find(place, first)?);
                    }
                    let source = pictures.as_ref().expect("set on the line above");
                    if let Some(media) = media(place, source, (name, &frames))? {
                        let (method, video) = identity(name, first, method);
                        let subjects = people(place.dataset, name);
                        sink(Clip { method, video, label: *label, split, subjects, media })?;
                    }
                }
            }
        }
    }
    Ok(())
}

fn object<'v>(file: &Path, value: &'v Value) -> Result<&'v Map<String, Value>, Error> {
    value.as_object().ok_or_else(|| {
        let hint = "expected { set: { label: { split: { video: { label, frames } } } } }";
        Error::layout(file, "not the nesting of a DeepfakeBench list", hint)
    })
}

/// The videos, below the compression where the file has that level.
fn of_compression<'v>(
    place: &Place,
    videos: &'v Map<String, Value>,
) -> Result<&'v Map<String, Value>, Error> {
    let levels = ["raw", "c23", "c40"];
    if videos.is_empty() || !videos.keys().all(|k| levels.contains(&k.as_str())) {
        return Ok(videos);
    }
    match videos.get(place.compression()) {
        Some(inner) => object(&place.folder, inner),
        None => {
            let there: Vec<&str> = videos.keys().map(String::as_str).collect();
            let what = format!("no {} videos", place.compression());
            Err(Error::layout(&place.folder, what, format!("it holds {}", there.join(", "))))
        }
    }
}

/// Method and name: the folder of the original release is in the path where names repeat between folders.
fn identity(name: &str, frame: &str, method: &str) -> (String, String) {
    const ORIGINS: [&str; 6] =
        ["Celeb-real", "YouTube-real", "Celeb-synthesis", "original_videos", "method_A", "method_B"];
    match frame.split('/').find_map(|part| ORIGINS.into_iter().find(|o| *o == part)) {
        Some(origin) => (origin.to_owned(), format!("{origin}_{name}")),
        None => (method.to_owned(), name.to_owned()),
    }
}

fn people(dataset: &str, video: &str) -> Vec<String> {
    if dataset.starts_with("ffpp") {
        names::ffpp_ids(video).unwrap_or_default()
    } else {
        names::people(dataset, video)
    }
}

fn media(
    place: &Place,
    source: &Pictures,
    (video, frames): (&str, &[String]),
) -> Result<Option<Media>, Error> {
    let mut files = Vec::with_capacity(frames.len());
    let mut seen = BTreeSet::new();
    for frame in frames {
        let fail = |what: String, hint: &str| Error::layout(&place.folder, format!("{video}: {what}"), hint);
        let file = frame.rsplit('/').next().unwrap_or(frame);
        let Some(number) = names::trailing_number(walk::stem(file)) else {
            place.fault(fail(
                format!("{frame} has no frame number"),
                "frames are named 000.png, 001.png and so on",
            ))?;
            continue;
        };
        let path = source.base.join(frame);
        if !source.holds(&path)? {
            let hint = format!("pictures are looked for in {}", source.base.display());
            place.fault(fail(format!("{frame} is not there"), &hint))?;
            continue;
        }
        if !seen.insert(number) {
            place.fault(fail(format!("frame {number} is listed twice"), "generate the list again"))?;
            continue;
        }
        files.push((number, path));
    }
    files.sort();
    Ok((!files.is_empty()).then_some(Media::Frames(files)))
}

/// Where the pictures are.
struct Pictures {
    base: PathBuf,
    packed: bool,
}

impl Pictures {
    fn find(place: &Place, frame: &str) -> Result<Self, Error> {
        let mut bases: Vec<PathBuf> = place.pictures.map(Path::to_path_buf).into_iter().collect();
        if bases.is_empty() {
            for above in place.folder.ancestors().skip(1).take(5) {
                bases.extend(["datasets/rgb", "rgb", "", "datasets/lmdb", "lmdb"].map(|p| above.join(p)));
            }
        }
        for base in &bases {
            // one missing frame must not hide the folder
            if base.join(frame).parent().is_some_and(Path::is_dir) {
                return Ok(Self { base: base.clone(), packed: false });
            }
            // one environment per set: data.mdb here, or in <set>_lmdb below
            let set = frame.split('/').next().unwrap_or_default();
            for folder in [base.clone(), base.join(format!("{set}_lmdb")), base.join(set)] {
                let packed = folder.join(lmdb::FILE);
                if packed.is_file() && lmdb::contains(&packed.join(frame))? {
                    return Ok(Self { base: packed, packed: true });
                }
            }
        }
        let looked = match place.pictures {
            Some(folder) => folder.display().to_string(),
            None => {
                "datasets/rgb, rgb, datasets/lmdb and lmdb, beside the list and in the folders above".into()
            }
        };
        let what = format!("its first frame, {frame}, was not found");
        let hint =
            format!("name the folder of the pictures (datasets/rgb) with --frames; looked in {looked}");
        Err(Error::layout(&place.folder, what, hint))
    }

    fn holds(&self, path: &Path) -> Result<bool, Error> {
        if self.packed { lmdb::contains(path) } else { Ok(path.is_file()) }
    }
}
