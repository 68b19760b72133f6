//! What file names tell: video, frame number, and people.

/// Splits `000_003_frame_12` into (`000_003`, 12): the last `_frame_` counts.
pub(super) fn split_frame(stem: &str) -> Option<(&str, u32)> {
    let (video, frame) = stem.rsplit_once("_frame_")?;
    (!video.is_empty()).then_some((video, digits(frame)?))
}

/// Splits `real_client001_frame0` into (`real_client001`, 0), as the anti-spoofing sets name their two frames.
pub(super) fn split_short_frame(stem: &str) -> Option<(&str, u32)> {
    let (video, frame) = stem.rsplit_once("_frame")?;
    (!video.is_empty()).then_some((video, digits(frame)?))
}

/// A number written in digits only (`+3` and `1_000` are not frame numbers).
fn digits(text: &str) -> Option<u32> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

/// The numeric ids of an FF++ video: `["000"]` of an original, `["000", "003"]` of a fake (target, source).
pub(super) fn ffpp_ids(video: &str) -> Option<Vec<String>> {
    let ids: Vec<&str> = video.split('_').collect();
    let numeric = |id: &&str| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit());
    (ids.len() <= 2 && ids.iter().all(numeric)).then(|| ids.iter().map(ToString::to_string).collect())
}

/// The parts `id12` of a Celeb-DF name, in order, each once.
pub(super) fn celeb_ids(video: &str) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    for part in video.split('_') {
        let person = part.strip_prefix("id").is_some_and(|n| digits(n).is_some());
        if person && !ids.iter().any(|id| id == part) {
            ids.push(part.to_string());
        }
    }
    ids
}

/// The people of a DFD video: `["01"]` of `01__walking`, `["01", "02"]` of `01_02__walking__A1B2C3D4` (target, source).
pub(super) fn dfd_ids(video: &str) -> Option<Vec<String>> {
    let (people, _) = video.split_once("__")?;
    ffpp_ids(people)
}

/// The people of a DeeperForensics video `000_M101`: the FF++ target, and the actor.
pub(super) fn deeper_ids(video: &str) -> Option<Vec<String>> {
    let (target, actor) = video.split_once('_')?;
    let actor_reads = actor.strip_prefix(['M', 'W']).is_some_and(|n| digits(n).is_some());
    (digits(target).is_some() && actor_reads).then(|| vec![target.to_owned(), actor.to_owned()])
}

/// The number that a frame's name ends with.
pub(super) fn trailing_number(stem: &str) -> Option<u32> {
    let start = stem
        .rfind(|c: char| !c.is_ascii_digit())
        .map_or(0, |i| i + stem[i..].chars().next().map_or(1, char::len_utf8));
    digits(&stem[start..])
}

/// Where a video of the Celeb-DF and DFDC-preview preparations comes from: the folder its name begins with.
pub(super) fn origin(video: &str) -> Option<&'static str> {
    const ORIGINS: [&str; 6] =
        ["Celeb-real", "YouTube-real", "Celeb-synthesis", "original_videos", "method_A", "method_B"];
    ORIGINS.into_iter().find(|o| video.strip_prefix(o).is_some_and(|rest| rest.starts_with('_')))
}

/// The 22 methods of Celeb-DF++, in its three folders.
pub(super) const CELEB_PP: [(&str, &[&str]); 3] = [
    (
        "FaceSwap",
        &["Celeb-DF", "BlendFace", "GHOST", "HifiFace", "InSwapper", "MobileFaceSwap", "SimSwap", "UniFace"],
    ),
    ("FaceReenact", &["DaGAN", "FSRT", "HyperReenact", "LIA", "LivePortrait", "MCNET", "TPSMM"]),
    ("TalkingFace", &["AniTalker", "EchoMimic", "EDTalk", "FLOAT", "IP_LAP", "Real3DPortrait", "SadTalker"]),
];

/// The method that a prepared test video's name tells, by data set.
pub(super) fn method(dataset: &str, video: &str, label: u8) -> Option<&'static str> {
    if dataset.starts_with("dfd-") {
        return Some(if label == 1 { "DeepFakeDetection" } else { "actors" });
    }
    let origin = origin(video)?;
    if dataset.starts_with("cdfpp") && origin == "Celeb-synthesis" {
        let rest = video.strip_prefix("Celeb-synthesis_")?;
        let known = CELEB_PP.iter().flat_map(|(kind, methods)| methods.iter().map(move |m| (kind, m)));
        return known
            .filter(|(kind, method)| {
                let rest = rest.strip_prefix(*kind).and_then(|r| r.strip_prefix('_'));
                rest.and_then(|r| r.strip_prefix(*method)).is_some_and(|r| r.starts_with('_'))
            })
            .map(|(_, method)| *method)
            .next()
            .or(Some(origin));
    }
    Some(origin)
}

/// Whether a data set is a list without YouTube-real, and the video is one of them.
pub(super) fn is_youtube_left_out(dataset: &str, method: &str) -> bool {
    dataset.starts_with("cdf") && dataset.ends_with("-noyt") && method == "YouTube-real"
}

/// The people that a prepared test video's name tells, by data set.
pub(super) fn people(dataset: &str, video: &str) -> Vec<String> {
    match dataset {
        d if d.starts_with("cdf") => celeb_ids(video),
        d if d.starts_with("dfd-") => dfd_ids(video).unwrap_or_default(),
        d if d.starts_with("deeperforensics") => {
            deeper_ids(video).or_else(|| ffpp_ids(video)).unwrap_or_default()
        }
        d if d.starts_with("faceshifter") => ffpp_ids(video).unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// The person in an anti-spoofing video's name, by data set.
///
/// `folder` is the official part (`train` or `test`): CASIA numbers its people from 1 in both parts.
pub(super) fn client(dataset: &str, folder: &str, video: &str) -> Option<String> {
    let mut parts = video.split('_');
    // a few-shot list is another data set of the same people
    match dataset.trim_end_matches("-shot5") {
        "fas-celeb" => parts.next().filter(|p| digits(p).is_some()).map(str::to_string),
        "fas-wmca" => parts.nth(1).filter(|p| digits(p).is_some()).map(str::to_string),
        "fas-cefa" => {
            let (race, person) = (parts.next()?, parts.next()?);
            (digits(race).is_some() && digits(person).is_some()).then(|| format!("{race}_{person}"))
        }
        "fas-surf" => None,
        "fas-casia" => parts.next().filter(|p| digits(p).is_some()).map(|p| format!("{folder}-{p}")),
        "fas-oulu" => parts.nth(2).filter(|p| digits(p).is_some()).map(|p| format!("user{p}")),
        _ => {
            parts.find(|p| p.strip_prefix("client").is_some_and(|n| digits(n).is_some())).map(str::to_string)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_split_at_the_last_marker() {
        let cases: [(&str, Option<(&str, u32)>); 8] = [
            ("000_003_frame_0", Some(("000_003", 0))),
            ("a_frame_b_frame_012", Some(("a_frame_b", 12))),
            ("id0_0001", None),
            ("_frame_3", None),
            ("a_frame_", None),
            ("a_frame_+3", None),
            ("a_frame_3x", None),
            ("a_frame_99999999999", None),
        ];
        for (stem, expected) in cases {
            assert_eq!(split_frame(stem), expected, "{stem}");
        }
        assert_eq!(split_short_frame("1_1_frame1"), Some(("1_1", 1)));
        assert_eq!(split_short_frame("1_1"), None);
    }

    #[test]
    fn people_are_in_the_names() {
        assert_eq!(ffpp_ids("000_003").unwrap(), ["000", "003"]);
        assert_eq!(ffpp_ids("071").unwrap(), ["071"]);
        assert_eq!((ffpp_ids("01__walk"), ffpp_ids("1_2_3"), ffpp_ids("")), (None, None, None));
        assert_eq!(celeb_ids("Celeb-synthesis_id0_id1_0000"), ["id0", "id1"]);
        assert_eq!(celeb_ids("Celeb-real_id7_0003"), ["id7"]);
        assert!(celeb_ids("YouTube-real_00012").is_empty());
        assert_eq!(origin("method_A_x"), Some("method_A"));
        assert_eq!((origin("Celeb-realistic_1"), origin("aaa")), (None, None));
    }

    #[test]
    fn clients_by_data_set() {
        let cases = [
            ("fas-msu", "train", "real_client001_android_SD_scene01", Some("client001")),
            ("fas-replay", "test", "attack_print_client009_session01_x", Some("client009")),
            ("fas-casia", "train", "12_3", Some("train-12")),
            ("fas-casia", "test", "12_HR_1", Some("test-12")),
            ("fas-oulu", "train", "1_2_33_4", Some("user33")),
            ("fas-oulu", "train", "x", None),
            ("fas-msu", "train", "client", None),
        ];
        for (dataset, folder, video, expected) in cases {
            assert_eq!(client(dataset, folder, video).as_deref(), expected, "{dataset} {video}");
        }
    }
}
