//! MSU-MFSD: `scene01/{real,attack}/`, with `train_sub_list.txt` and `test_sub_list.txt` (a client number per line).
//!
//! Names are `real_client001_android_SD_scene01` and `attack_client001_laptop_SD_{ipad_video,iphone_video,
//! printed_photo}_scene01`; the attack is the method. Polarity: the folder.

use std::collections::BTreeMap;
use std::path::Path;

use facebench_protocols::Split;

use crate::Error;
use crate::readers::clip::{Clip, Place, Sink};
use crate::readers::{lists, media, names};

const ATTACKS: [&str; 3] = ["ipad_video", "iphone_video", "printed_photo"];

pub(crate) fn fits(folder: &Path) -> bool {
    folder.join("scene01").is_dir()
}

pub(crate) fn read(place: &Place, sink: &mut Sink) -> Result<(), Error> {
    let mut clients: BTreeMap<u32, Split> = BTreeMap::new();
    for (name, split) in [("train", Split::Train), ("test", Split::Test)] {
        let path = place.folder.join(format!("{name}_sub_list.txt"));
        let text = lists::text(&path, &format!("list of {name} clients of MSU-MFSD"))?;
        for (number, line) in lists::lines(&text) {
            let fail = |what: String| {
                Error::layout(
                    &path,
                    format!("line {number}, `{line}`: {what}"),
                    "a line holds one client number",
                )
            };
            match line.parse() {
                Ok(client) => {
                    if let Some(first) = clients.insert(client, split) {
                        place.fault(fail(format!("the client is in {first} already")))?;
                    }
                }
                Err(_) => place.fault(fail("not a number".into()))?,
            }
        }
    }
    for (kind, label) in [("real", 0), ("attack", 1)] {
        for video in media::videos(&place.folder.join("scene01").join(kind), &format!("{kind} videos"))? {
            let fail =
                |what: &str| Error::layout(&video.path, what, "names read real_client001_android_SD_scene01");
            let Some(person) = names::client("fas-msu", "", &video.name) else {
                place.fault(fail("the name tells no client"))?;
                continue;
            };
            let number = person.trim_start_matches("client").parse::<u32>().ok();
            let Some(&split) = number.and_then(|n| clients.get(&n)) else {
                place.fault(fail("the client is in neither list"))?;
                continue;
            };
            let attack = ATTACKS.into_iter().find(|a| video.name.contains(a));
            let method = match (label, attack) {
                (0, _) => "real",
                (_, Some(attack)) => attack,
                _ => {
                    place
                        .fault(fail("the name tells no attack (ipad_video, iphone_video, printed_photo)"))?;
                    continue;
                }
            };
            if let (true, Some(media)) = (place.wants(split), media::media(place, &video)?) {
                let subjects = vec![person];
                sink(Clip { method: method.into(), video: video.name, label, split, subjects, media })?;
            }
        }
    }
    Ok(())
}
