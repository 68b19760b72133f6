//! One small folder per layout, and one per way to get it wrong.

use std::cmp::Ordering;

use proptest::prelude::*;
use tempfile::TempDir;

use facebench_protocols::Split;

use super::*;
use crate::image::{Rgb, encode_png_with_text};
use crate::testing::{text_file, tiny_png};

fn root_with(files: &[&str]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for file in files {
        if file.ends_with(".png") {
            tiny_png(&root.path().join(file));
        } else {
            text_file(&root.path().join(file), "");
        }
    }
    root
}

fn refused(root: &TempDir, id: &str) -> String {
    let message = load(root.path(), id).unwrap_err().to_string();
    assert!(message.contains("\nhint: "), "no hint: {message}");
    message.replace(&root.path().display().to_string(), "ROOT")
}

fn lines(manifest: &Manifest) -> Vec<String> {
    let line = |s: &Sample| format!("{} {} {} [{}]", s.id(), s.label, s.split, s.subjects.join(" "));
    manifest.samples.iter().map(line).collect()
}

const FFPP: &str = "deepfakes_detection/FaceForensics/32_frames/DS_FF++_all_cls/c23";

fn ffpp() -> TempDir {
    let names = [
        "train/real_youtube/youtube_000_frame_12.png",
        "train/fake_four/DeepFakes_000_003_frame_0.png",
        "train/fake_four/Face2Face_000_003_frame_0.png",
        "train/fake_four/Deepfakes_005_010_frame_3.png",
        "test/real_youtube/youtube_100_frame_2.png",
        "test/real_youtube/youtube_100_frame_10.png",
        "test/fake_four/NeuralTextures_100_200_frame_7.png",
    ];
    root_with(&names.map(|n| format!("{FFPP}/{n}")).each_ref().map(String::as_str))
}

#[test]
fn every_described_data_set_has_a_reader() {
    for info in datasets() {
        for layout in &info.layouts {
            assert!(
                READERS.iter().any(|(name, ..)| *name == layout.reader),
                "{} needs {}",
                info.id,
                layout.reader
            );
        }
    }
}

#[test]
fn ffpp_methods_keep_equal_names_apart() {
    let root = ffpp();
    let manifest = load(root.path(), "ffpp-c23").unwrap();
    assert_eq!(
        lines(&manifest),
        [
            "ffpp-c23/DeepFakes/000_003/0 1 train [000 003]",
            "ffpp-c23/DeepFakes/005_010/3 1 train [005 010]",
            "ffpp-c23/Face2Face/000_003/0 1 train [000 003]",
            "ffpp-c23/NeuralTextures/100_200/7 1 test [100 200]",
            "ffpp-c23/youtube/000/12 0 train [000]",
            "ffpp-c23/youtube/100/2 0 test [100]",
            "ffpp-c23/youtube/100/10 0 test [100]",
        ]
    );
    assert!(!manifest.synthetic);
    assert!(manifest.samples.iter().all(|s| s.path.is_file()));
}

#[test]
fn ffpp_refusals() {
    let wrong = |file: &str| {
        let root = ffpp();
        tiny_png(&root.path().join(FFPP).join(file));
        refused(&root, "ffpp-c23")
    };
    assert!(
        wrong("train/fake_four/youtube_001_frame_0.png")
            .contains("`youtube` is real, but the folder is fake")
    );
    assert!(wrong("train/fake_four/StarGAN_000_003_frame_0.png").contains("methods are youtube, DeepFakes"));
    assert!(
        wrong("train/real_youtube/youtube_abc_frame_0.png")
            .contains("does not read <method>_<video>_frame_<n>")
    );
    assert!(wrong("train/real_youtube/youtube_001.png").contains("youtube_001.png: the name"));
    assert!(wrong("val/other/x.png").contains("neither real* nor fake*"));
    assert!(wrong("val/real_youtube/youtube_001_frame_0.png").contains("folder of fake images not found"));
    // the two spellings of one method are one method
    let twice = wrong("train/fake_four/Deepfakes_000_003_frame_0.png");
    assert!(twice.starts_with("two files for sample ffpp-c23/DeepFakes/000_003/0: ROOT"), "{twice}");
    // and a video may not be in two splits
    let split = wrong("test/fake_four/DeepFakes_000_003_frame_1.png");
    assert!(split.contains("is in two splits"), "{split}");
}

#[test]
fn a_missing_folder_says_what_is_there_instead() {
    let root = root_with(&[
        "deepfakes_detection/FaceForensic/x.txt",
        "deepfakes_detection/DFDC/32_frames/test/a.txt",
    ]);
    let message = refused(&root, "ffpp-c23");
    assert!(
        message.starts_with(&format!("data set ffpp-c23 not found: expected ROOT/{FFPP}\n")),
        "{message}"
    );
    assert!(
        message.contains("ROOT/deepfakes_detection holds: DFDC, FaceForensic; is `FaceForensic` meant"),
        "{message}"
    );
    let message = refused(&root, "dfdc");
    assert!(message.starts_with("folder of real images not found: expected ROOT/"), "{message}");
    let message = refused(&root_with(&[]), "wdf");
    assert!(message.contains("ROOT exists and is empty"), "{message}");
    let message = refused(&root, "cdfv2-noty");
    let start = "unknown data set `cdfv2-noty`\nhint: did you mean `cdfv2-noyt`? known ids: ffpp-c23, ";
    assert!(message.starts_with(start) && message.ends_with("or folder:NAME"), "{message}");
}

#[test]
fn test_sets_of_videos() {
    let root = root_with(&[
        "deepfakes_detection/Celeb-DF-v2/32_frames/test/real/Celeb-real_id0_0001_frame_5.png",
        "deepfakes_detection/Celeb-DF-v2/32_frames/test/fake/Celeb-synthesis_id0_id16_0001_frame_5.png",
        "deepfakes_detection/Celeb-DF-v2/32_frames/test/fake/.DS_Store",
        "deepfakes_detection/Celeb-DF-v2/32_frames/test/fake/notes.txt",
        "deepfakes_detection/deepfake_in_the_wild/test/real/1_0_frame_3.png",
        "deepfakes_detection/deepfake_in_the_wild/test/fake/7/2/frame_40.png",
    ]);
    assert_eq!(
        lines(&load(root.path(), "cdfv2-noyt").unwrap()),
        [
            "cdfv2-noyt/Celeb-real/Celeb-real_id0_0001/5 0 test [id0]",
            "cdfv2-noyt/Celeb-synthesis/Celeb-synthesis_id0_id16_0001/5 1 test [id0 id16]",
        ]
    );
    assert_eq!(
        lines(&load(root.path(), "wdf").unwrap()),
        ["wdf/fake/7_2/40 1 test []", "wdf/real/1_0/3 0 test []"]
    );
}

#[test]
fn the_list_of_448_videos_has_no_youtube() {
    let root = root_with(&[
        "deepfakes_detection/Celeb-DF-v2/32_frames/test/real/YouTube-real_00012_frame_5.png",
        "deepfakes_detection/Celeb-DF-v2/32_frames/test/fake/Celeb-synthesis_id0_id1_0001_frame_5.png",
    ]);
    assert!(refused(&root, "cdfv2-noyt").contains("official list of 518 videos"));
}

#[test]
fn test_set_refusals() {
    const DFDC: &str = "deepfakes_detection/DFDC/32_frames/test";
    let wrong = |file: &str| {
        let (real, fake) = (format!("{DFDC}/real/a_frame_0.png"), format!("{DFDC}/fake/b_frame_0.png"));
        refused(&root_with(&[&real, &fake, &format!("{DFDC}/{file}")]), "dfdc")
    };
    assert!(wrong("real/c.png").contains("does not read <video>_frame_<n>"));
    assert!(wrong("fake/c_frame_0.bmp").contains("a picture of a format that is not read"));
    assert!(wrong("real/a_frame_00.png").starts_with("two files for sample dfdc/real/a/0: "));
    let empty = root_with(&[&format!("{DFDC}/real/a_frame_0.png"), &format!("{DFDC}/fake/readme.txt")]);
    assert!(refused(&empty, "dfdc").starts_with(&format!("no images in ROOT/{DFDC}/fake")));
}

#[test]
fn stills_are_their_own_videos() {
    let root = root_with(&[
        "diffusion_facial_forgery/test_subsets/T2I/test/real/person_frame_1.png",
        "diffusion_facial_forgery/test_subsets/T2I/test/fake/flat.png",
        "diffusion_facial_forgery/test_subsets/T2I/test/fake/SDXL/0001.png",
        "diffusion_facial_forgery/test_subsets/FE/test/DiFF_real/x.png",
        "diffusion_facial_forgery/test_subsets/FE/test/fake/x.png",
    ]);
    assert_eq!(
        lines(&load(root.path(), "diff-t2i").unwrap()),
        [
            "diff-t2i/SDXL/SDXL_0001/0 1 test []",
            "diff-t2i/fake/flat/0 1 test []",
            "diff-t2i/real/person_frame_1/0 0 test []",
        ]
    );
    // the folder name that inverted the published labels until August 2025
    assert_eq!(
        lines(&load(root.path(), "diff-fe").unwrap()),
        ["diff-fe/fake/x/0 1 test []", "diff-fe/real/x/0 0 test []"]
    );
}

fn mcio(real_train: &str) -> TempDir {
    let root = root_with(&[]);
    for video in ["train/real/1_1", "train/fake/1_3", "test/real/1_1", "test/fake/1_3"] {
        for frame in 0..2 {
            tiny_png(&root.path().join(format!("MCIO/frame/casia/{video}_frame{frame}.png")));
        }
    }
    let list =
        |name: &str, text: &str| text_file(&root.path().join(format!("MCIO/txt/casia_{name}.txt")), text);
    list("real_train", real_train);
    list("fake_train", "casia\\train\\fake\\1_3_frame0.png\r\ncasia\\test\\fake\\1_3_frame0.png\r\n");
    list("real_test", "./casia/test/real/1_1_frame0.png\n\n");
    list("fake_test", "data/MCIO/frame/casia/test/fake/1_3_frame0.png");
    root
}

const REAL_TRAIN: &str = "\u{feff}casia/train/real/1_1_frame0.png\r\ncasia/test/real/1_1_frame0.png\r\n";

#[test]
fn anti_spoofing_lists_in_all_their_spellings() {
    let manifest = load(mcio(REAL_TRAIN).path(), "fas-casia").unwrap();
    assert_eq!(
        lines(&manifest),
        [
            "fas-casia/fake/test_1_3/0 1 test [test-1]",
            "fas-casia/fake/test_1_3/1 1 test [test-1]",
            "fas-casia/fake/train_1_3/0 1 train [train-1]",
            "fas-casia/fake/train_1_3/1 1 train [train-1]",
            "fas-casia/real/test_1_1/0 0 test [test-1]",
            "fas-casia/real/test_1_1/1 0 test [test-1]",
            "fas-casia/real/train_1_1/0 0 train [train-1]",
            "fas-casia/real/train_1_1/1 0 train [train-1]",
        ]
    );
}

#[test]
fn anti_spoofing_list_refusals() {
    let wrong = |line: &str| refused(&mcio(&format!("{REAL_TRAIN}{line}\n")), "fas-casia");
    for (line, expected) in [
        ("casia/train/real/9_9_frame0.png", "line 3 lists 9_9, which is not there: 9_9_frame0.png"),
        ("casia/train/fake/1_3_frame0.png", "the folder is `fake`, but this is the list of real videos"),
        ("msu/train/real/1_1_frame0.png", "the line belongs to `msu`, the list to `casia`"),
        ("casia/devel/real/1_1_frame0.png", "the part is `devel`, expected train or test"),
        ("casia/train/real/1_1.png", "is not named <video>_frame0.png"),
        ("casia/train/real/1_1_frame6.png", "is not named <video>_frame0.png"),
        ("1_1_frame0.png", "expected four parts"),
        ("casia/test/real/1_1_frame0.png", "already listed in line 2"),
    ] {
        let message = wrong(line);
        assert!(message.contains(expected) && message.contains("casia_real_train.txt: line 3"), "{message}");
    }
    assert!(refused(&mcio(""), "fas-casia").contains("the list is empty"));
    let root = mcio(REAL_TRAIN);
    std::fs::remove_file(root.path().join("MCIO/frame/casia/train/real/1_1_frame1.png")).unwrap();
    assert!(refused(&root, "fas-casia").contains("not there: 1_1_frame1.png"));
    let root = mcio(REAL_TRAIN);
    std::fs::remove_file(root.path().join("MCIO/txt/casia_fake_test.txt")).unwrap();
    assert!(refused(&root, "fas-casia").contains("MCIO/txt holds: casia_fake_train.txt, "));
    std::fs::remove_dir_all(root.path().join("MCIO/txt")).unwrap();
    assert!(refused(&root, "fas-casia").starts_with("folder of the lists of casia not found"));
}

#[test]
fn a_plain_folder_with_and_without_splits() {
    let root =
        root_with(&["a/real/x_frame_3.png", "a/fake/y.png", "b/train/real/p/1.png", "b/train/fake/q.png"]);
    let own = load(&root.path().join("a"), "own").unwrap();
    assert_eq!(lines(&own), ["own/fake/y/0 1 test []", "own/real/x/3 0 test []"]);
    let named = load(root.path(), "folder:b").unwrap();
    assert_eq!(lines(&named), ["folder:b/fake/q/0 1 train []", "folder:b/real/p_1/0 0 train []"]);
    assert!(named.samples.iter().all(|s| s.split == Split::Train));
    assert!(load(root.path(), "folder:none").unwrap_err().to_string().contains("holds: a, b"));
}

#[test]
fn a_sample_list_tells_more_than_names() {
    let root = root_with(&["test/real/x.png", "test/fake/y.png"]);
    let plain = plain_folder(root.path(), "mine").unwrap();
    let mut listed = plain.samples.clone();
    for (sample, who) in listed.iter_mut().zip(["anna", "ben"]) {
        sample.dataset = "forge".into();
        sample.path = sample.path.strip_prefix(root.path()).unwrap().to_path_buf();
        sample.subjects = vec![who.into()];
    }
    let csv = root.path().join(SAMPLE_LIST);
    Manifest::new("forge", listed, false).unwrap().write_csv(&csv).unwrap();
    let manifest = plain_folder(root.path(), "mine").unwrap();
    assert_eq!(lines(&manifest), ["mine/fake/y/0 1 test [anna]", "mine/real/x/0 0 test [ben]"]);
    std::fs::remove_file(root.path().join("test/fake/y.png")).unwrap();
    let message = plain_folder(root.path(), "mine").unwrap_err().to_string();
    assert!(
        message.contains("samples.csv: lists ") && message.contains("which is not there\nhint: "),
        "{message}"
    );
}

#[test]
fn synthetic_images_are_recognised_by_folder_and_by_themselves() {
    let files = ["d/test/real/x.png", "d/test/fake/y.png"];
    let synthetic = |root: &TempDir| load(root.path(), "folder:d").unwrap().synthetic;
    assert!(!synthetic(&root_with(&files)));
    for marker in ["SYNTHETIC.json", "d/SYNTHETIC.json", "d/test/fake/SYNTHETIC.json"] {
        assert!(synthetic(&root_with(&[files[0], files[1], marker])), "{marker}");
    }
    assert!(!synthetic(&root_with(&[files[0], files[1], "other/SYNTHETIC.json"])));
    let copied = root_with(&files);
    let text = [(SYNTHETIC_KEYWORD, "facebench, seed 7")];
    encode_png_with_text(&copied.path().join(files[1]), &Rgb::new(2, 2), &text).unwrap();
    assert!(synthetic(&copied));
}

#[test]
fn pretraining_sets_with_and_without_maps() {
    let root = root_with(&[
        "vgg/images/b10.png",
        "vgg/images/b2.png",
        "vgg/images/unparsed.png",
        "vgg/parsing_maps/b10.npy",
        "vgg/parsing_maps/b2.npy",
        "people/s1/1.png",
        "people/s2/1.png",
    ]);
    let folders = ["vgg", "people"].map(|f| root.path().join(f));
    let set = pretrain_folders(&folders).unwrap();
    let ids: Vec<&str> = set.items.iter().map(|i| i.id.as_str()).collect();
    assert_eq!(ids, ["vgg/b2", "vgg/b10", "vgg/unparsed", "people/s1_1", "people/s2_1"]);
    let maps: Vec<_> = set.items.iter().map(|i| i.parsing.is_some()).collect();
    assert_eq!(maps, [true, true, false, false, false]);
    assert!(set.items[0].parsing.as_ref().unwrap().ends_with("parsing_maps/b2.npy"));
    assert!(!set.synthetic);
    for marker in ["vgg/SYNTHETIC.json", "SYNTHETIC.json"] {
        text_file(&root.path().join(marker), "{}");
        assert!(pretrain_folders(&folders).unwrap().synthetic, "{marker}");
        std::fs::remove_file(root.path().join(marker)).unwrap();
    }
}

#[test]
fn pretraining_refusals() {
    let message = |files: &[&str]| {
        let root = root_with(files);
        let error = pretrain_folders(&[root.path().join("p")]).unwrap_err().to_string();
        assert!(error.contains("\nhint: "), "{error}");
        error
    };
    let orphan = message(&["p/images/a.png", "p/parsing_maps/a.npy", "p/parsing_maps/b.npy"]);
    assert!(orphan.contains("b.npy: a parsing map without its image"), "{orphan}");
    assert!(message(&["p/parsing_maps/b.npy"]).contains("images of a set with parsing maps not found"));
    assert!(message(&["p/images/readme.txt"]).starts_with("no images in "));
    assert!(message(&["q/a.png"]).starts_with("pre-training set not found"));
    let root = root_with(&["x/p/1.png", "y/p/1.png"]);
    let twice = pretrain_folders(&["x/p", "y/p"].map(|f| root.path().join(f))).unwrap_err().to_string();
    assert!(twice.starts_with("two files for sample p/1: "), "{twice}");
    assert!(pretrain_folders(&[]).is_err());
}

#[test]
fn names_are_sorted_as_people_count() {
    let mut names = ["a10", "a9", "b", "a", "a009", "A1", "a9b", "10", "9", "a10b2", "a10b10"];
    names.sort_by(|a, b| natural_order(a, b));
    assert_eq!(names, ["9", "10", "A1", "a", "a9", "a009", "a9b", "a10", "a10b2", "a10b10", "b"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn natural_order_is_a_total_order(a in "[0-9ab]{0,6}", b in "[0-9ab]{0,6}", c in "[0-9ab]{0,6}") {
        prop_assert_eq!(natural_order(&a, &b), natural_order(&b, &a).reverse());
        prop_assert_eq!(natural_order(&a, &b) == Ordering::Equal, a == b);
        if natural_order(&a, &b).is_le() && natural_order(&b, &c).is_le() {
            prop_assert!(natural_order(&a, &c).is_le());
        }
    }
}
