//! OULU-NPU: `{Train,Dev,Test}_files/<phone>_<session>_<user>_<file>`, and the official protocols' lists.
//!
//! The last number says what it is: 1 real, 2 and 3 print, 4 and 5 replay. A description may ask for one protocol
//! (`Protocol_1`, `Protocol_3/2` for its second leave-one-out list): then `Protocols/Protocol_1/{Train,Dev,Test}.txt` or
//! `.../Protocol_3/{Train,Dev,Test}_2.txt` choose the videos; `+1,name` is real, `-1,name` and `-2,name` are attacks,
//! and the sign must agree with the name.

use std::path::Path;

use facebench_protocols::Split;

use crate::Error;
use crate::readers::clip::{Clip, Place, Sink};
use crate::readers::{classes, lists, media};

const PARTS: [(&str, Split); 3] = [("Train", Split::Train), ("Dev", Split::Val), ("Test", Split::Test)];

pub(crate) fn fits(folder: &Path) -> bool {
    folder.join("Test_files").is_dir() || folder.join("Train_files").is_dir()
}

pub(crate) fn read(place: &Place, sink: &mut Sink) -> Result<(), Error> {
    for (part, split) in PARTS.into_iter().filter(|(_, split)| place.wants(*split)) {
        let folder = place.folder.join(format!("{part}_files"));
        match place.list {
            None => {
                for video in media::videos(&folder, &format!("{part} videos of OULU-NPU"))? {
                    let Some((method, label, user)) = parse(&video.name) else {
                        place.fault(Error::layout(&video.path, "the name is not of OULU-NPU", HINT))?;
                        continue;
                    };
                    if let Some(media) = media::media(place, &video)? {
                        let (method, subjects) = (method.to_owned(), vec![user]);
                        sink(Clip { method, video: video.name, label, split, subjects, media })?;
                    }
                }
            }
            Some(protocol) => listed(place, &folder, (part, split), protocol, sink)?,
        }
    }
    Ok(())
}

const HINT: &str = "names read 1_2_33_4: phone, session, user, and 1 real, 2 to 3 print, 4 to 5 replay";

fn listed(
    place: &Place,
    folder: &Path,
    (part, split): (&str, Split),
    protocol: &str,
    sink: &mut Sink,
) -> Result<(), Error> {
    let file = match protocol.split_once('/') {
        Some((protocol, fold)) => format!("Protocols/{protocol}/{part}_{fold}.txt"),
        None => format!("Protocols/{protocol}/{part}.txt"),
    };
    let path = place.folder.join(file);
    let text = lists::text(&path, &format!("{part} list of {protocol}"))?;
    for (number, line) in lists::lines(&text) {
        let fail =
            |what: String, hint: &str| Error::layout(&path, format!("line {number}, `{line}`: {what}"), hint);
        let Some((sign, name)) = line.split_once(',') else {
            place.fault(fail("expected a sign, a comma and a name".into(), "a line reads +1,1_2_33_1"))?;
            continue;
        };
        let name = name.trim();
        let Some((method, label, user)) = parse(name) else {
            place.fault(fail("the name is not of OULU-NPU".into(), HINT))?;
            continue;
        };
        let says = match sign.trim() {
            "+1" | "1" => 0,
            "-1" | "-2" => 1,
            other => {
                place.fault(fail(
                    format!("the label is `{other}`"),
                    "expected +1 (real), -1 or -2 (attack)",
                ))?;
                continue;
            }
        };
        if says != label {
            let (says, is) = (classes::word(says), classes::word(label));
            place.fault(fail(format!("the sign says {says}, the name {is}"), HINT))?;
            continue;
        }
        match media::one(place, folder, name)? {
            Some(media) => {
                let (method, video, subjects) = (method.to_owned(), name.to_owned(), vec![user]);
                sink(Clip { method, video, label, split, subjects, media })?;
            }
            None => {
                let hint = format!("expected it in {}", folder.display());
                place.fault(fail(format!("{name} is not there"), &hint))?;
            }
        }
    }
    Ok(())
}

/// Method, label and person.
fn parse(name: &str) -> Option<(&'static str, u8, String)> {
    let parts: Vec<&str> = name.split('_').collect();
    let [_, _, user, kind] = parts.as_slice() else { return None };
    if !parts.iter().all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit())) {
        return None;
    }
    let (method, label) = match *kind {
        "1" => ("real", 0),
        "2" | "3" => ("print", 1),
        "4" | "5" => ("replay", 1),
        _ => return None,
    };
    Some((method, label, format!("user{user}")))
}
