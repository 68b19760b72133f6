//! Manifests written and read back, and checks that find what was broken on purpose.

use std::path::Path;

use facebench_protocols::{Manifest, Split};
use tempfile::TempDir;

use super::*;
use crate::readers::{Source, load};
use crate::testing::{sha256, text_file, tiny_png};

const DFDC: &str = "deepfakes_detection/DFDC/32_frames/test";

fn root(files: &[&str]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    files.iter().for_each(|f| tiny_png(&root.path().join(f)));
    root
}

fn dfdc() -> TempDir {
    root(&[
        &format!("{DFDC}/real/a_frame_0.png"),
        &format!("{DFDC}/real/a_frame_10.png"),
        &format!("{DFDC}/fake/ünï_frame_2.png"),
    ])
}

fn source(root: &Path) -> Source {
    Source::find(root, "dfdc", None, None).unwrap()
}

#[test]
fn a_manifest_is_what_the_reader_reads() {
    let root = dfdc();
    let csv = root.path().join("manifests/dfdc.csv");
    std::fs::create_dir_all(csv.parent().unwrap()).unwrap();
    let direct = load(root.path(), "dfdc").unwrap();
    let source = source(root.path());
    let mut text = Vec::new();
    let indexed = index(&source, &mut text, csv.parent(), true).unwrap();
    assert_eq!((indexed.samples, indexed.videos, indexed.films), (3, 2, 0));
    std::fs::write(&csv, &text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text.lines().next().unwrap(), COLUMNS.join(","));
    let picture = std::fs::read(&direct.samples[0].path).unwrap();
    let end = format!(",image,{},{}", picture.len(), sha256(&picture));
    assert!(text.lines().skip(1).all(|l| l.ends_with(&end)), "{text}");
    assert_eq!(Manifest::read_csv(&csv).unwrap().samples.len(), 3);
    assert_eq!(
        load(root.path(), "dfdc")
            .unwrap()
            .samples
            .iter()
            .map(facebench_protocols::Sample::id)
            .collect::<Vec<_>>(),
        direct.samples.iter().map(facebench_protocols::Sample::id).collect::<Vec<_>>()
    );
}

#[test]
fn index_refuses_what_would_not_train() {
    let refused =
        |root: &TempDir| index(&source(root.path()), &mut Vec::new(), None, false).unwrap_err().to_string();
    let empty = dfdc();
    std::fs::write(empty.path().join(DFDC).join("real/b_frame_0.png"), []).unwrap();
    let error = refused(&empty);
    assert!(error.contains("b_frame_0.png: the file is empty (0 bytes)\nhint: "), "{error}");
    let twice = dfdc();
    tiny_png(&twice.path().join(DFDC).join("real/a_frame_00.png"));
    assert!(refused(&twice).starts_with("two files for sample dfdc/real/a/0: "));
    // the same video again in a second folder of the class
    let apart = dfdc();
    tiny_png(&apart.path().join(DFDC).join("real_more/a_frame_10.png"));
    assert!(refused(&apart).starts_with("two files for sample dfdc/real/a/10: "));
    let split = dfdc();
    tiny_png(&split.path().join(DFDC).join("../val/real/a_frame_3.png"));
    tiny_png(&split.path().join(DFDC).join("../val/fake/z_frame_3.png"));
    let error = refused(&split);
    assert!(error.contains("video dfdc/real/a is in two splits, val and test\nhint: "), "{error}");
}

#[test]
fn films_are_listed_with_a_hint() {
    let root = tempfile::tempdir().unwrap();
    for name in ["Celeb-real/id0_0001", "YouTube-real/00001", "Celeb-synthesis/id0_id1_0001"] {
        text_file(&root.path().join(format!("{name}.mp4")), "film");
    }
    let list = "1 Celeb-real/id0_0001.mp4\n0 Celeb-synthesis/id0_id1_0001.mp4\n1 YouTube-real/00001.mp4\n";
    text_file(&root.path().join("List_of_testing_videos.txt"), list);
    let source = Source::find(root.path(), "cdfv2", None, None).unwrap();
    let mut text = Vec::new();
    let indexed = index(&source, &mut text, None, false).unwrap();
    assert_eq!((indexed.samples, indexed.videos, indexed.films, indexed.bytes), (3, 3, 3, 12));
    assert!(indexed.hint.contains("extract face crops to frames/"));
    assert!(String::from_utf8(text).unwrap().contains(",video,4,"));
    let error = load(root.path(), "cdfv2");
    assert!(error.is_err(), "the set lies in the root itself, not below it");
}

#[test]
fn a_check_lists_everything_at_once() {
    let root = dfdc();
    let base = root.path().join(DFDC);
    std::fs::write(base.join("real/b_frame_0.png"), []).unwrap();
    std::fs::write(base.join("fake/c_frame_0.png"), b"no picture").unwrap();
    tiny_png(&base.join("fake_more/ünï_frame_2.png"));
    tiny_png(&base.join("../val/real/a_frame_3.png"));
    tiny_png(&base.join("../val/fake/z_frame_3.png"));
    let source = source(root.path());
    let report = check(&source).unwrap();
    let all = report.problems.join("\n");
    for part in [
        "b_frame_0.png: the file is empty",
        "two files for sample dfdc/fake/ünï/2",
        "is in two splits, val and test",
    ] {
        assert!(all.contains(part), "{part}:\n{all}");
    }
    assert_eq!(report.problems.len(), 3);
    let broken = unreadable(&source, &|_| ()).unwrap();
    assert_eq!(broken.len(), 2, "the empty one and the one that is no picture: {broken:?}");
    let videos = report.published.iter().find(|c| c.real.1 == Some(2500)).unwrap();
    assert!(!videos.agrees() && !report.is_good());
    assert_eq!(report.count(Some(Split::Test), 1).videos, 2);
}

#[test]
fn missing_list_entries_are_counted_not_fatal() {
    let root = tempfile::tempdir().unwrap();
    for video in ["train/real/1_1", "train/fake/1_3"] {
        for frame in 0..2 {
            tiny_png(&root.path().join(format!("MCIO/frame/casia/{video}_frame{frame}.png")));
        }
    }
    for class in [("real", "1_1"), ("fake", "1_3")] {
        let line = |n: &str| format!("casia/train/{}/{n}_frame0.png\n", class.0);
        let text = format!("{}{}casia/{}\n", line(class.1), line("9_9"), "broken line");
        text_file(&root.path().join(format!("MCIO/txt/casia_{}_train.txt", class.0)), &text);
        text_file(&root.path().join(format!("MCIO/txt/casia_{}_test.txt", class.0)), &line(class.1));
    }
    let source = Source::find(root.path(), "fas-casia", None, None).unwrap();
    let report = check(&source).unwrap();
    assert_eq!(report.problems.len(), 4, "{:?}", report.problems);
    assert!(report.problems.iter().all(|p| p.contains("_train.txt: line ") && p.contains("hint: ")));
    assert_eq!(report.count(None, 0).videos, 1);
}
