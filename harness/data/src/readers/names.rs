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

/// Where a video of the Celeb-DF and DFDC-preview preparations comes from: the folder its name begins with.
pub(super) fn origin(video: &str) -> Option<&'static str> {
    const ORIGINS: [&str; 6] =
        ["Celeb-real", "YouTube-real", "Celeb-synthesis", "original_videos", "method_A", "method_B"];
    ORIGINS.into_iter().find(|o| video.strip_prefix(o).is_some_and(|rest| rest.starts_with('_')))
}

/// The person in an anti-spoofing video's name, by data set.
///
/// `folder` is the official part (`train` or `test`): CASIA numbers its people from 1 in both parts.
pub(super) fn client(dataset: &str, folder: &str, video: &str) -> Option<String> {
    let mut parts = video.split('_');
    match dataset {
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
