//! CelebA-Spoof: `Data/<part>/<person>/{live,spoof}/<image>` with `metas/intra_test/{train,test}_label.json`
//! (path → 44 numbers; number 40 is the kind of spoof, number 43 is 1 for spoof).
//!
//! Stills: each picture is its own video, named `<person>_{live,spoof}_<image>`. Polarity: the folder, and number 43
//! must agree with it.

use std::path::Path;

use facebench_protocols::Split;

use crate::Error;
use crate::readers::clip::{Clip, Media, Place, Sink};
use crate::readers::{lists, walk};

const KINDS: [&str; 11] = [
    "live",
    "photo",
    "poster",
    "a4",
    "face-mask",
    "upper-body-mask",
    "region-mask",
    "pc",
    "pad",
    "phone",
    "3d-mask",
];

pub(crate) fn fits(folder: &Path) -> bool {
    folder.join("metas/intra_test").is_dir()
}

pub(crate) fn read(place: &Place, sink: &mut Sink) -> Result<(), Error> {
    for (name, split) in [("train", Split::Train), ("test", Split::Test)] {
        if !place.wants(split) {
            continue;
        }
        let list = place.folder.join(format!("metas/intra_test/{name}_label.json"));
        lists::json_entries(&list, &format!("{name} labels of CelebA-Spoof"), |key, numbers: Vec<i64>| {
            let path = lists::slashes(&key);
            let fail = |what: String| {
                let hint = "keys read Data/train/123/spoof/000123.jpg";
                Error::layout(&list, format!("{key}: {what}"), hint)
            };
            let parts: Vec<&str> = path.split('/').collect();
            let [.., person, kind, file] = parts.as_slice() else {
                return place.fault(fail("expected person, live or spoof, and file".into()));
            };
            let label = match *kind {
                "live" => 0,
                "spoof" => 1,
                other => {
                    return place.fault(fail(format!("the folder is `{other}`, expected live or spoof")));
                }
            };
            if numbers.get(43).is_some_and(|n| *n != i64::from(label)) {
                return place.fault(fail(format!("number 43 is {}, but the folder is {kind}", numbers[43])));
            }
            let spoof = numbers.get(40).and_then(|n| KINDS.get(usize::try_from(*n).ok()?)).copied();
            let method = if label == 0 { "live" } else { spoof.filter(|s| *s != "live").unwrap_or("spoof") };
            let image = place.folder.join(&path);
            if !image.is_file() {
                return place.fault(fail("the picture is not there".into()));
            }
            let video = format!("{person}_{kind}_{}", walk::stem(file));
            let (method, subjects) = (method.to_owned(), vec![(*person).to_owned()]);
            let media = Media::Frames(vec![(0, image)]);
            sink(Clip { method, video, label, split, subjects, media })
        })?;
    }
    Ok(())
}
