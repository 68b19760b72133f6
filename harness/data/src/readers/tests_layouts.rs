//! The official layouts, each in miniature with names and lists as published, and each broken in the ways they break.
//!
//! A case is the files of a root: pictures by name, lists with their text. Broken cases change one thing and expect an
//! error that names the file and the fix.

use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::testing::{text_file, tiny_png};

/// A root: `(path, text)`; pictures and films need no text.
type Files = Vec<(String, String)>;

fn file(path: &str, text: &str) -> (String, String) {
    (path.to_owned(), text.to_owned())
}

fn pictures(paths: &[&str]) -> Files {
    paths.iter().map(|p| file(p, "")).collect()
}

fn build(files: &Files) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        match path.extension().and_then(|e| e.to_str()) {
            Some("png" | "jpg") if text.is_empty() => tiny_png(&path),
            _ => text_file(&path, text),
        }
    }
    root
}

/// Every sample as `method/video/frame label split [people]`.
fn found(root: &Path, id: &str) -> Result<Vec<String>, Error> {
    let source = Source::find(root, id, None, None)?;
    let mut samples = Vec::new();
    source.each(None, &mut |clip| {
        samples.extend(clip.samples(id));
        Ok(())
    })?;
    samples.sort_by(Sample::cmp_id);
    let line = |s: &Sample| {
        let (m, v, f) = (&s.method, &s.video, s.frame);
        format!("{m}/{v}/{f} {} {} [{}]", s.label, s.split, s.subjects.join(" "))
    };
    Ok(samples.iter().map(line).collect())
}

fn good(id: &str, files: &Files, expected: &[&str]) {
    let root = build(files);
    assert_eq!(found(root.path(), id).unwrap_or_else(|e| panic!("{id}: {e}")), expected, "{id}");
}

/// One thing is changed: `+path` with its text is added or replaced, `-path` is removed.
fn bad(id: &str, files: &Files, change: &str, text: &str, expected: &[&str]) {
    let mut files = files.clone();
    match change.split_at(1) {
        ("-", path) => {
            let before = files.len();
            files.retain(|(p, _)| !p.starts_with(path));
            assert!(files.len() < before, "{path} is not there to be removed");
        }
        (_, path) => {
            files.retain(|(p, _)| p != path);
            files.push(file(path, text));
        }
    }
    let root = build(&files);
    let error = match load(root.path(), id) {
        Err(error) => error.to_string(),
        Ok(manifest) => panic!("{id}, {change}: read as {} samples", manifest.samples.len()),
    };
    for part in expected.iter().chain(&["\nhint: "]) {
        assert!(error.contains(part), "{id}, {change}: lacks {part:?}:\n{error}");
    }
}

fn ffpp() -> Files {
    let mut files = pictures(&[
        "FaceForensics++/original_sequences/youtube/c23/frames/000/003.png",
        "FaceForensics++/original_sequences/youtube/c23/frames/003/000.png",
        "FaceForensics++/original_sequences/youtube/c23/frames/100/000.png",
        "FaceForensics++/original_sequences/youtube/c40/frames/100/000.png",
        "FaceForensics++/original_sequences/youtube/c23/videos/000.mp4",
        "FaceForensics++/manipulated_sequences/Deepfakes/c23/frames/000_003/010.png",
        "FaceForensics++/manipulated_sequences/Face2Face/c23/frames/000_003/010.png",
        "FaceForensics++/manipulated_sequences/FaceSwap/c23/frames/000_003/010.png",
        "FaceForensics++/manipulated_sequences/NeuralTextures/c23/frames/000_003/010.png",
        "FaceForensics++/manipulated_sequences/NeuralTextures/c23/frames/200_100/2.png",
        "FaceForensics++/manipulated_sequences/FaceShifter/c23/frames/003_000/010.png",
    ]);
    files.push(file("FaceForensics++/splits/train.json", "[[\"000\", \"003\"]]"));
    files.push(file("FaceForensics++/splits/val.json", "[]"));
    files.push(file("FaceForensics++/splits/test.json", "\u{feff}[[\"100\",\r\n\"200\"]]\r\n"));
    files
}

#[test]
fn ffpp_as_downloaded_keeps_one_name_of_four_methods_four_videos() {
    good(
        "ffpp-c23",
        &ffpp(),
        &[
            "DeepFakes/000_003/10 1 train [000 003]",
            "Face2Face/000_003/10 1 train [000 003]",
            "FaceSwap/000_003/10 1 train [000 003]",
            "NeuralTextures/000_003/10 1 train [000 003]",
            "NeuralTextures/200_100/2 1 test [200 100]",
            "youtube/000/3 0 train [000]",
            "youtube/003/0 0 train [003]",
            "youtube/100/0 0 test [100]",
        ],
    );
    let root = build(&ffpp());
    assert_eq!(load(root.path(), "ffpp-c23").unwrap().videos(), 8);
    // the set's own folder may be the root
    assert_eq!(found(&root.path().join("FaceForensics++"), "ffpp-c23").unwrap().len(), 8);
    assert_eq!(found(root.path(), "faceshifter-c23").unwrap()[0], "FaceShifter/003_000/10 1 train [003 000]");
}

#[test]
fn ffpp_broken() {
    let base = "FaceForensics++";
    let put = |change: &str, text: &str, expected: &[&str]| bad("ffpp-c23", &ffpp(), change, text, expected);
    put(&format!("-{base}/splits"), "", &["official splits", "splits/test.json"]);
    put(&format!("-{base}/splits/val.json"), "", &["official val split", "val.json"]);
    put(
        &format!("+{base}/splits/val.json"),
        "[[\"000\", \"100\"]]",
        &["val.json: 000 is in two splits, train and val"],
    );
    put(&format!("+{base}/splits/val.json"), "[[\"000\"]]", &["val.json: not the JSON of this layout"]);
    put(&format!("+{base}/splits/test.json"), "[[\"000\", \"100\"]", &["test.json"]);
    put(&format!("-{base}/manipulated_sequences/FaceSwap"), "", &["c23 videos of FaceSwap not found"]);
    let fake = format!("+{base}/manipulated_sequences/FaceSwap/c23/frames");
    put(
        &format!("{fake}/000_100/1.png"),
        "",
        &["`000_100` is in none of the official splits", "both orders"],
    );
    put(&format!("{fake}/000/1.png"), "", &["names 1 video(s)", "target_source"]);
    put(&format!("{fake}/abc/1.png"), "", &["`abc` is no video of FF++"]);
    put(&format!("{fake}/003_000/x.png"), "", &["x.png: the name has no frame number"]);
    // films without frames are for manifests, not for training
    put(
        &format!("-{base}/original_sequences/youtube/c23/frames"),
        "",
        &["000.mp4: a film of which no frames", "frames/<video>"],
    );
}

#[test]
fn dfd_as_downloaded() {
    let files = pictures(&[
        "FaceForensics++/original_sequences/actors/raw/frames/01__walking/0.png",
        "FaceForensics++/manipulated_sequences/DeepFakeDetection/raw/frames/01_02__walking__A1B2C3D4/7.png",
    ]);
    good(
        "dfd-raw",
        &files,
        &["DeepFakeDetection/01_02__walking__A1B2C3D4/7 1 test [01 02]", "actors/01__walking/0 0 test [01]"],
    );
    let wrong = "+FaceForensics++/original_sequences/actors/raw/frames/01_02__walking__A1B2C3D4/1.png";
    bad("dfd-raw", &files, wrong, "", &["is no real video of DFD", "01__walking"]);
    bad(
        "dfd-raw",
        &files,
        "-FaceForensics++/manipulated_sequences",
        "",
        &["videos of DeepFakeDetection not found"],
    );
}

const CDF_LIST: &str =
    "1 Celeb-real/id0_0001.mp4\r\n1 YouTube-real\\00001.mp4\r\n0 Celeb-synthesis/id0_id1_0001.mp4\r\n";

fn cdf() -> Files {
    let mut files = pictures(&[
        "Celeb-DF-v2/Celeb-real/frames/id0_0001/0.png",
        "Celeb-DF-v2/Celeb-real/frames/id5_0001/0.png",
        "Celeb-DF-v2/YouTube-real/frames/00001/0.png",
        "Celeb-DF-v2/Celeb-synthesis/frames/id0_id1_0001/0.png",
        "Celeb-DF-v2/Celeb-synthesis/frames/id3_id1_0001/0.png",
    ]);
    files.push(file("Celeb-DF-v2/List_of_testing_videos.txt", &format!("\u{feff}{CDF_LIST}")));
    files
}

#[test]
fn celeb_df_lists_of_518_and_448_are_two_data_sets() {
    let with = [
        "Celeb-real/Celeb-real_id0_0001/0 0 test [id0]",
        "Celeb-synthesis/Celeb-synthesis_id0_id1_0001/0 1 test [id0 id1]",
        "YouTube-real/YouTube-real_00001/0 0 test []",
    ];
    good("cdfv2", &cdf(), &with);
    good("cdfv2-noyt", &cdf(), &with[..2]);
}

#[test]
fn celeb_df_broken() {
    let list = "+Celeb-DF-v2/List_of_testing_videos.txt";
    let put =
        |line: &str, expected: &[&str]| bad("cdfv2", &cdf(), list, &format!("{CDF_LIST}{line}\n"), expected);
    put(
        "1 Celeb-synthesis/id3_id1_0001.mp4",
        &["line 4", "the label says real, the folder is fake", "1 is real"],
    );
    put("2 Celeb-real/id5_0001.mp4", &["the label is `2`, expected 0 (fake) or 1 (real)"]);
    put("1 Celeb-real/id9_0001.mp4", &["line 4 lists Celeb-real/id9_0001, which is not there"]);
    put("1 Celeb-real/id0_0001.mp4", &["already listed in line 1"]);
    put("Celeb-real/id5_0001.mp4", &["expected a digit"]);
    put("1 Other/id5_0001.mp4", &["the folder is `Other`"]);
    bad("cdfv2", &cdf(), list, "", &["does not hold both classes"]);
    bad("cdfv2", &cdf(), &format!("-{}", &list[1..]), "", &["official test list of Celeb-DF not found"]);
}

#[test]
fn celeb_df_plus_plus_tells_its_methods() {
    let mut files = pictures(&[
        "Celeb-DF++/Celeb-real/frames/id0_0001/0.png",
        "Celeb-DF++/YouTube-real/frames/00001/0.png",
        "Celeb-DF++/Celeb-synthesis/FaceSwap/BlendFace/frames/id0_id1_0001/0.png",
        "Celeb-DF++/Celeb-synthesis/TalkingFace/IP_LAP/frames/id0_id1_0001/0.png",
    ]);
    files.push(file(
        "Celeb-DF++/List_of_testing_videos.txt",
        "1 Celeb-real/id0_0001.mp4\n0 Celeb-synthesis/FaceSwap/BlendFace/id0_id1_0001.mp4\n\
         0 Celeb-synthesis/TalkingFace/IP_LAP/id0_id1_0001.mp4\n1 YouTube-real/00001.mp4\n",
    ));
    let lines = [
        "BlendFace/Celeb-synthesis_FaceSwap_BlendFace_id0_id1_0001/0 1 test [id0 id1]",
        "Celeb-real/Celeb-real_id0_0001/0 0 test [id0]",
        "IP_LAP/Celeb-synthesis_TalkingFace_IP_LAP_id0_id1_0001/0 1 test [id0 id1]",
    ];
    good("cdfpp-noyt", &files, &lines);
    bad(
        "cdfpp",
        &files,
        "+Celeb-DF++/Celeb-synthesis/FaceSwap/New/frames/id0_id1_0001/0.png",
        "",
        &["`New` is no FaceSwap method"],
    );
    // prepared by FSFM: the same identities from the flattened names
    let root = "deepfakes_detection/Celeb-DF++/32_frames/test";
    let prepared = pictures(&[
        &format!("{root}/fake/Celeb-synthesis_FaceSwap_BlendFace_id0_id1_0001_frame_0.png"),
        &format!("{root}/fake/Celeb-synthesis_TalkingFace_IP_LAP_id0_id1_0001_frame_0.png"),
        &format!("{root}/real/Celeb-real_id0_0001_frame_0.png"),
    ]);
    good("cdfpp-noyt", &prepared, &lines);
}

#[test]
fn dfdc_as_downloaded() {
    let mut files = pictures(&[
        "DFDC/test/frames/aaa/0.png",
        "DFDC/test/frames/bbb/0.png",
        "DFDC/dfdc_train_part_0/frames/ccc/0.png",
        "DFDC/dfdc_train_part_0/frames/ddd/0.png",
    ]);
    files.push(file("DFDC/test/labels.csv", "\u{feff}filename,label\r\naaa.mp4,0\r\nbbb.mp4,1\r\n"));
    let meta = r#"{"ccc.mp4": {"label": "FAKE", "split": "train", "original": "ddd.mp4"},
                   "ddd.mp4": {"label": "REAL", "split": "train"}}"#;
    files.push(file("DFDC/dfdc_train_part_0/metadata.json", meta));
    good(
        "dfdc",
        &files,
        &["fake/bbb/0 1 test []", "fake/ccc/0 1 train []", "real/aaa/0 0 test []", "real/ddd/0 0 train []"],
    );
    let labels = |text: &str, expected: &[&str]| {
        bad("dfdc", &files, "+DFDC/test/labels.csv", &format!("filename,label\naaa.mp4,0\n{text}"), expected);
    };
    labels("bbb.mp4,2\n", &["line 3: the label of bbb.mp4 is `2`, expected 0 or 1"]);
    labels("zzz.mp4,1\n", &["line 3: zzz.mp4 is not there", "5,000 videos"]);
    labels("aaa.mp4,0\n", &["aaa.mp4 is already listed in line 2"]);
    bad("dfdc", &files, "+DFDC/test/labels.csv", "file,label\n", &["column \"filename\" is missing"]);
    bad("dfdc", &files, "-DFDC/test/labels.csv", "", &["labels of the DFDC test set not found"]);
    bad(
        "dfdc",
        &files,
        "+DFDC/dfdc_train_part_0/metadata.json",
        r#"{"ccc.mp4": {"label": "MAYBE"}}"#,
        &["the label of ccc.mp4 is `MAYBE`"],
    );
    // the same video in a training part too
    let twice = r#"{"aaa.mp4": {"label": "REAL"}}"#;
    let mut both = files.clone();
    both.push(file("DFDC/dfdc_train_part_0/frames/aaa/0.png", ""));
    bad(
        "dfdc",
        &both,
        "+DFDC/dfdc_train_part_0/metadata.json",
        twice,
        &["two files for sample dfdc/real/aaa/0"],
    );
}

#[test]
fn dfdc_preview_keeps_equal_file_names_apart() {
    let mut files = pictures(&[
        "DFDCP/original_videos/643/x_A.mp4",
        "DFDCP/method_A/643/643/x_B.mp4",
        "DFDCP/method_B/643/643/x_B.mp4",
    ]);
    let list = r#"{"original_videos/643/x_A.mp4": {"label": "real", "set": "test", "target_id": 643, "swapped_id": null},
        "method_A/643/643/x_B.mp4": {"label": "fake", "set": "test", "target_id": 643, "swapped_id": 7},
        "method_B\\643\\643\\x_B.mp4": {"label": "fake", "set": "train", "target_id": 643, "swapped_id": 7}}"#;
    files.push(file("DFDCP/dataset.json", list));
    good(
        "dfdcp",
        &files,
        &[
            "method_A/method_A_x_B/0 1 test [643 7]",
            "method_B/method_B_x_B/0 1 train [643 7]",
            "original_videos/original_videos_x_A/0 0 test [643]",
        ],
    );
    let put = |from: &str, to: &str, expected: &[&str]| {
        bad("dfdcp", &files, "+DFDCP/dataset.json", &list.replacen(from, to, 1), expected);
    };
    put("\"real\"", "\"REAL\"", &["original_videos/643/x_A.mp4: the label is `REAL`, expected real or fake"]);
    put("\"test\"", "\"dev\"", &["the set is `dev`"]);
    put("x_A.mp4", "y_A.mp4", &["the video is not there"]);
    put("{\"label\"", "[\"label\"", &["dataset.json: not the JSON of this layout"]);
}

#[test]
fn wild_deepfake_sequences_are_videos() {
    let files = pictures(&[
        "WildDeepfake/real_test/1/real/0/12.png",
        "WildDeepfake/real_test/1/real/0/9.png",
        "WildDeepfake/fake_test/1/fake/3/1.png",
        "WildDeepfake/fake_train/9/fake/3/1.png",
    ]);
    good(
        "wdf",
        &files,
        &[
            "fake/1_fake_3/1 1 test []",
            "fake/9_fake_3/1 1 train []",
            "real/1_real_0/9 0 test []",
            "real/1_real_0/12 0 test []",
        ],
    );
    bad("wdf", &files, "+WildDeepfake/real_test/loose.png", "", &["the name has no frame number"]);
    let mut packed = files.clone();
    packed.retain(|(p, _)| !p.starts_with("WildDeepfake/real_test"));
    bad(
        "wdf",
        &packed,
        "+WildDeepfake/real_test/1.tar.gz",
        "x",
        &["holds archives that are not unpacked", "tar xzf"],
    );
    bad("wdf", &files, "-WildDeepfake/fake_test", "", &["fake_test of WildDeepfake not found"]);
}

#[test]
fn deeperforensics_as_downloaded() {
    let mut files = pictures(&[
        "DeeperForensics-1.0/manipulated_videos/end_to_end/frames/000_M101/0.png",
        "DeeperForensics-1.0/manipulated_videos/end_to_end/frames/100_W004/0.png",
        "DeeperForensics-1.0/manipulated_videos/end_to_end_level_1/frames/100_W004/0.png",
        "FaceForensics++/original_sequences/youtube/c23/frames/100/0.png",
        "FaceForensics++/original_sequences/youtube/c23/frames/777/0.png",
    ]);
    for (name, text) in [("train", "000_M101.mp4\n"), ("val", "\n"), ("test", "100_W004.mp4\r\n")] {
        files.push(file(&format!("DeeperForensics-1.0/lists/splits/{name}.txt"), text));
    }
    good(
        "deeperforensics",
        &files,
        &[
            "end_to_end/000_M101/0 1 train [000 M101]",
            "end_to_end/100_W004/0 1 test [100 W004]",
            "youtube/100/0 0 test [100]",
        ],
    );
    bad(
        "deeperforensics",
        &files,
        "+DeeperForensics-1.0/lists/splits/val.txt",
        "000_M101.mp4",
        &["000_M101 is in two splits, train and val"],
    );
    bad("deeperforensics", &files, "-FaceForensics++", "", &["real videos (the FF++ originals"]);
    bad(
        "deeperforensics",
        &files,
        "+DeeperForensics-1.0/manipulated_videos/end_to_end/frames/200_M101/0.png",
        "",
        &["in none of the official lists"],
    );
}

#[test]
fn diff_as_downloaded() {
    let files = pictures(&[
        "DiFF/test/T2I/SDXL/00/1.jpg",
        "DiFF/test/T2I/Midjourney/1.jpg",
        "DiFF/test/FE/Imagic/1.jpg",
        "DiFF/DiFF_real/test/a.jpg",
    ]);
    good(
        "diff-t2i",
        &files,
        &["Midjourney/Midjourney_1/0 1 test []", "SDXL/SDXL_00_1/0 1 test []", "real/a/0 0 test []"],
    );
    bad("diff-t2i", &files, "-DiFF/test/T2I", "", &["test pictures, fake of T2I not found"]);
    bad("diff-t2i", &files, "+DiFF/test/T2I/x.gif", "x", &["x.gif: a picture of a format that is not read"]);
}

#[test]
fn anti_spoofing_sets_as_distributed() {
    let mut msu = pictures(&[
        "MSU-MFSD/scene01/real/frames/real_client001_android_SD_scene01/1.png",
        "MSU-MFSD/scene01/attack/frames/attack_client002_laptop_SD_printed_photo_scene01/1.png",
    ]);
    msu.push(file("MSU-MFSD/train_sub_list.txt", "01\r\n"));
    msu.push(file("MSU-MFSD/test_sub_list.txt", "02\r\n"));
    good(
        "msu",
        &msu,
        &[
            "printed_photo/attack_client002_laptop_SD_printed_photo_scene01/1 1 test [client002]",
            "real/real_client001_android_SD_scene01/1 0 train [client001]",
        ],
    );
    bad(
        "msu",
        &msu,
        "+MSU-MFSD/test_sub_list.txt",
        "01\n02\n",
        &["line 1, `01`: the client is in train already"],
    );
    bad("msu", &msu, "+MSU-MFSD/test_sub_list.txt", "03\n", &["the client is in neither list"]);
    bad("msu", &msu, "-MSU-MFSD/train_sub_list.txt", "", &["list of train clients"]);

    let casia = pictures(&[
        "CASIA-FASD/train_release/1/HR_1.avi",
        "CASIA-FASD/train_release/1/3.avi",
        "CASIA-FASD/test_release/1/7.avi",
    ]);
    good(
        "casia",
        &casia,
        &[
            "real/train_1_HR_1/0 0 train [train-1]",
            "video/test_1_7/0 1 test [test-1]",
            "warped/train_1_3/0 1 train [train-1]",
        ],
    );
    bad("casia", &casia, "+CASIA-FASD/test_release/1/9.avi", "", &["not one of the twelve videos"]);

    let replay = pictures(&[
        "Replay-Attack/train/real/client001_session01_webcam_authenticate_adverse_1.mov",
        "Replay-Attack/train/attack/fixed/attack_print_client001_session01_highdef_photo_adverse.mov",
        "Replay-Attack/train/attack/hand/attack_print_client001_session01_highdef_photo_adverse.mov",
        "Replay-Attack/devel/real/client002_session01_webcam_authenticate_adverse_1.mov",
        "Replay-Attack/devel/attack/fixed/attack_mobile_client002_session01_x.mov",
        "Replay-Attack/devel/attack/hand/attack_highdef_client002_session01_x.mov",
    ]);
    let root = build(&replay);
    let error = found(root.path(), "replay").unwrap_err().to_string();
    assert!(error.contains("test part of Replay-Attack not found"), "{error}");
    let mut whole = replay.clone();
    whole.extend(pictures(&[
        "Replay-Attack/test/real/client009_session01_webcam_authenticate_adverse_1.mov",
        "Replay-Attack/test/attack/fixed/attack_mobile_client009_session01_x.mov",
        "Replay-Attack/test/attack/hand/attack_highdef_client009_session01_x.mov",
    ]));
    let lines = found(build(&whole).path(), "replay").unwrap();
    assert_eq!(lines.len(), 9);
    assert!(lines.iter().any(|l| l.starts_with("print/hand_attack_print_client001") && l.ends_with("1 train [client001]")));
    assert!(
        lines.iter().any(
            |l| l.starts_with("mobile/fixed_attack_mobile_client002") && l.ends_with("1 val [client002]")
        )
    );

    let mut oulu = pictures(&[
        "OULU-NPU/Train_files/1_1_01_1.avi",
        "OULU-NPU/Train_files/1_1_01_2.avi",
        "OULU-NPU/Dev_files/1_1_21_4.avi",
        "OULU-NPU/Test_files/1_3_36_1.avi",
        "OULU-NPU/Test_files/1_3_36_5.avi",
    ]);
    good(
        "oulu",
        &oulu,
        &[
            "print/1_1_01_2/0 1 train [user01]",
            "real/1_1_01_1/0 0 train [user01]",
            "real/1_3_36_1/0 0 test [user36]",
            "replay/1_1_21_4/0 1 val [user21]",
            "replay/1_3_36_5/0 1 test [user36]",
        ],
    );
    for (name, text) in
        [("Train", "+1,1_1_01_1\n-1,1_1_01_2\n"), ("Dev", "-1,1_1_21_4\n"), ("Test", "+1,1_3_36_1\r\n")]
    {
        oulu.push(file(&format!("OULU-NPU/Protocols/Protocol_1/{name}.txt"), text));
    }
    assert_eq!(found(build(&oulu).path(), "oulu-p1").unwrap().len(), 4);
    let test = "+OULU-NPU/Protocols/Protocol_1/Test.txt";
    bad("oulu-p1", &oulu, test, "+1,1_3_36_5\n", &["the sign says real, the name fake"]);
    bad("oulu-p1", &oulu, test, "0,1_3_36_5\n", &["the label is `0`"]);
    bad("oulu-p1", &oulu, test, "+1,1_3_40_1\n", &["1_3_40_1 is not there"]);
    bad(
        "oulu-p1",
        &oulu,
        "-OULU-NPU/Protocols/Protocol_1/Test.txt",
        "",
        &["Test list of Protocol_1 not found"],
    );

    let mut celeba =
        pictures(&["CelebA_Spoof/Data/train/12/live/01.png", "CelebA_Spoof/Data/test/13/spoof/02.jpg"]);
    let numbers = |kind: i32, spoof: i32| format!("{:?}", [vec![0; 40], vec![kind, 1, 1, spoof]].concat());
    let label = |key: &str, numbers: &str| format!("{{\"{key}\": {numbers}}}");
    celeba.push(file(
        "CelebA_Spoof/metas/intra_test/train_label.json",
        &label("Data/train/12/live/01.png", &numbers(0, 0)),
    ));
    celeba.push(file(
        "CelebA_Spoof/metas/intra_test/test_label.json",
        &label("Data/test/13/spoof/02.jpg", &numbers(7, 1)),
    ));
    good("celeba-spoof", &celeba, &["live/12_live_01/0 0 train [12]", "pc/13_spoof_02/0 1 test [13]"]);
    let test = "+CelebA_Spoof/metas/intra_test/test_label.json";
    bad(
        "celeba-spoof",
        &celeba,
        test,
        &label("Data/test/13/spoof/02.jpg", &numbers(7, 0)),
        &["number 43 is 0, but the folder is spoof"],
    );
    bad(
        "celeba-spoof",
        &celeba,
        test,
        &label("Data/test/13/spoof/09.jpg", "[]"),
        &["the picture is not there"],
    );
    bad("celeba-spoof", &celeba, test, &label("Data/test/13/other/02.jpg", "[]"), &["the folder is `other`"]);
}

#[test]
fn few_shot_lists_of_single_pictures() {
    let mut files = pictures(&[
        "WCS/frame/wmca/train/real/26.01.18_035_01_000_0_01_00.jpg",
        "WCS/frame/wmca/train/fake/26.01.18_036_01_000_1_01_00.jpg",
        "WCS/frame/wmca/test/real/26.01.18_035_01_000_0_01_01.jpg",
        "WCS/frame/wmca/test/fake/26.01.18_036_01_000_1_01_01.jpg",
    ]);
    for (class, id) in [("real", "035_01_000_0"), ("fake", "036_01_000_1")] {
        for part in ["train", "test"] {
            let n = usize::from(part == "test");
            let line = format!("wmca/{part}/{class}/26.01.18_{id}_01_0{n}.jpg\r\n");
            files.push(file(&format!("WCS/txt/wmca_{class}_{part}.txt"), &line));
            files.push(file(&format!("WCS/txt/wmca_{class}_shot.txt"), &line));
        }
    }
    good(
        "fas-wmca",
        &files,
        &[
            "fake/test_26.01.18_036_01_000_1_01_01/0 1 test [036]",
            "fake/train_26.01.18_036_01_000_1_01_00/0 1 train [036]",
            "real/test_26.01.18_035_01_000_0_01_01/0 0 test [035]",
            "real/train_26.01.18_035_01_000_0_01_00/0 0 train [035]",
        ],
    );
    bad("fas-wmca-shot5", &files, "+unrelated.txt", "x", &["lists 1 videos, 5 are needed"]);
}

#[test]
fn the_first_five_shots_are_taken_in_the_order_of_the_list() {
    let mut files = Files::new();
    for class in ["real", "fake"] {
        let names: Vec<String> = [9, 3, 7, 1, 5, 2].iter().map(|n| format!("{n}_1")).collect();
        let lines: String = names.iter().map(|n| format!("casia/train/{class}/{n}_frame0.png\n")).collect();
        files.push(file(&format!("MCIO/txt/casia_{class}_shot.txt"), &lines));
        for name in names {
            files.extend(pictures(
                &[0, 1]
                    .map(|f| format!("MCIO/frame/casia/train/{class}/{name}_frame{f}.png"))
                    .each_ref()
                    .map(String::as_str),
            ));
        }
    }
    let lines = found(build(&files).path(), "fas-casia-shot5").unwrap();
    let videos: Vec<&str> = lines
        .iter()
        .filter(|l| l.starts_with("real/") && l.contains("/0 "))
        .map(|l| l.split('/').nth(1).unwrap())
        .collect();
    assert_eq!(
        videos,
        ["train_1_1", "train_3_1", "train_5_1", "train_7_1", "train_9_1"],
        "2_1 is the sixth line"
    );
    assert_eq!(lines.len(), 20);
}

const DFB: &str = r#"{"FaceForensics++": {
    "FF-real": {"train": {"c23": {"000": {"label": "FF-real", "frames": ["FaceForensics++\\original_sequences\\youtube\\c23\\frames\\000\\010.png", "./FaceForensics++/original_sequences/youtube/c23/frames/000/002.png"]}}, "c40": {}},
                "val": {"c23": {}, "c40": {}}, "test": {"c23": {}, "c40": {}}},
    "FF-DF": {"train": {"c23": {"000_003": {"label": "FF-DF", "frames": ["FaceForensics++\\manipulated_sequences\\Deepfakes\\c23\\frames\\000_003\\000.png"]}}}},
    "FF-F2F": {"train": {"c23": {"000_003": {"label": "FF-F2F", "frames": ["FaceForensics++\\manipulated_sequences\\Face2Face\\c23\\frames\\000_003\\000.png"]}}}}
}}"#;

fn dfb() -> Files {
    let mut files = pictures(&[
        "datasets/rgb/FaceForensics++/original_sequences/youtube/c23/frames/000/010.png",
        "datasets/rgb/FaceForensics++/original_sequences/youtube/c23/frames/000/002.png",
        "datasets/rgb/FaceForensics++/manipulated_sequences/Deepfakes/c23/frames/000_003/000.png",
        "datasets/rgb/FaceForensics++/manipulated_sequences/Face2Face/c23/frames/000_003/000.png",
    ]);
    files.push(file("preprocessing/dataset_json/FaceForensics++.json", DFB));
    files
}

#[test]
fn deepfakebench_lists() {
    let lines = [
        "DeepFakes/000_003/0 1 train [000 003]",
        "Face2Face/000_003/0 1 train [000 003]",
        "youtube/000/2 0 train [000]",
        "youtube/000/10 0 train [000]",
    ];
    good("ffpp-c23", &dfb(), &lines);
    let root = build(&dfb());
    let json = root.path().join("preprocessing/dataset_json/FaceForensics++.json");
    assert_eq!(found(&json, "ffpp-c23").unwrap(), lines, "the file itself may be named");
    let put = |from: &str, to: &str, expected: &[&str]| {
        bad(
            "ffpp-c23",
            &dfb(),
            "+preprocessing/dataset_json/FaceForensics++.json",
            &DFB.replacen(from, to, 1),
            expected,
        );
    };
    put(
        "\"FF-DF\": {\"train\"",
        "\"FF-DX\": {\"train\"",
        &["the label `FF-DX` is not known", "is `FF-DF` meant?"],
    );
    put("\"label\": \"FF-DF\"", "\"label\": \"FF-FS\"", &["000_003 is filed under FF-DF and says FF-FS"]);
    put("000_003\\\\000.png", "000_003\\\\009.png", &["009.png is not there", "datasets/rgb"]);
    put("000\\\\010.png", "000\\\\face.png", &["face.png has no frame number"]);
    bad("ffpp-c23", &dfb(), "-datasets", "", &["was not found", "--frames"]);
    put("\"val\": {", "\"dev\": {", &["the split is `dev`"]);
    put(
        "\"frames\": [\"FaceForensics++\\\\manipulated",
        "\"images\": [\"FaceForensics++\\\\manipulated",
        &["000_003 has no frames"],
    );
    bad("ffpp-c23", &dfb(), "+preprocessing/dataset_json/FaceForensics++.json", "{}", &["the list is empty"]);
    bad("ffpp-c40", &dfb(), "+x.txt", "", &["no c40 videos", "it holds c23"]);
    let two = DFB.replacen("\"test\": {\"c23\": {}", "\"test\": {\"c23\": {\"000\": {\"label\": \"FF-real\", \"frames\": [\"FaceForensics++/original_sequences/youtube/c23/frames/000/002.png\"]}}", 1);
    bad(
        "ffpp-c23",
        &dfb(),
        "+preprocessing/dataset_json/FaceForensics++.json",
        &two,
        &["two files for sample ffpp-c23/youtube/000/2"],
    );
}

#[test]
fn pictures_are_read_from_lmdb() {
    let lmdb = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/lmdb");
    let frames = |class: &str, video: usize| -> String {
        let list: Vec<String> =
            (0..8).map(|f| format!("\"UADFV\\\\{class}\\\\frames\\\\{video:04}\\\\{f:03}.png\"")).collect();
        list.join(", ")
    };
    let videos = |class: &str, label: &str| -> String {
        let list: Vec<String> = (0..6)
            .map(|v| format!("\"{v:04}\": {{\"label\": \"{label}\", \"frames\": [{}]}}", frames(class, v)))
            .collect();
        list.join(", ")
    };
    let (real, fake) = (videos("real", "UADFV_Real"), videos("fake", "UADFV_Fake"));
    let json = format!(
        "{{\"UADFV\": {{\"UADFV_Real\": {{\"val\": {{{real}}}, \"test\": {{{real}}}}}, \"UADFV_Fake\": {{\"val\": {{{fake}}}, \"test\": {{{fake}}}}}}}}}"
    );
    let root = build(&vec![file("UADFV.json", &json)]);
    let list = root.path().join("UADFV.json");
    let source = Source::find(&list, "uadfv", None, Some(&lmdb)).unwrap();
    let mut samples = Vec::new();
    source
        .each(None, &mut |clip| {
            samples.extend(clip.samples("uadfv"));
            Ok(())
        })
        .unwrap();
    assert_eq!(samples.len(), 96, "val is a copy of test and read once");
    for sample in &samples {
        let grey = crate::image::decode(&sample.path).unwrap().pixels[0];
        let video: u32 = sample.video.parse().unwrap();
        assert_eq!(
            u32::from(grey),
            video * 8 + sample.frame + 100 * u32::from(sample.label),
            "{}",
            sample.id()
        );
    }
    // a value on overflow pages
    let big = lmdb.join("UADFV_lmdb/data.mdb/UADFV/fake/frames/0006/000.png");
    assert_eq!(crate::image::decode(&big).unwrap().pixels[0], 7);
    let message = crate::image::decode(&big.with_file_name("001.png")).unwrap_err().to_string();
    assert!(message.contains("no entry `UADFV\\fake\\frames\\0006\\001.png`"), "{message}");
}

#[test]
fn damaged_databases_are_errors_that_say_how_to_export() {
    let whole =
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/lmdb/UADFV_lmdb/data.mdb"))
            .unwrap();
    let key = "data.mdb/UADFV/fake/frames/0006/000.png";
    let read = |bytes: &[u8]| {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("data.mdb"), bytes).unwrap();
        crate::image::decode(&root.path().join(key)).map_err(|e| e.to_string())
    };
    assert!(read(&whole).is_ok());
    assert!(read(b"no database at all").unwrap_err().contains("hint: export the pictures"));
    assert!(read(&whole[..whole.len() / 2]).is_err());
    let mut version = whole.clone();
    version[20] = 9;
    assert!(read(&version).unwrap_err().contains("data version 9, expected 1"));
    // whatever single byte of the heads is wrong: an answer or an error, never a panic or a loop
    for at in (0..whole.len()).step_by(7) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0xFF;
        let _ = read(&damaged);
    }
}

#[test]
fn tables_of_any_kind() {
    let files = pictures(&["set/img/a_frame_1.png", "set/img/a_frame_2.png", "set/img/Müller.png"]);
    let root = build(&files);
    let table = |text: &str, columns: Columns| -> Result<Vec<String>, String> {
        let list = root.path().join("set/list.csv");
        std::fs::write(&list, text).unwrap();
        let source = Source::table(&list, "folder:mine", columns).map_err(|e| e.to_string())?;
        let mut samples = Vec::new();
        let mut sink = |clip: Clip| {
            samples.extend(clip.samples("m"));
            Ok(())
        };
        source.each(None, &mut sink).map_err(|e| e.to_string())?;
        Ok(samples.iter().map(|s| format!("{} {} {}", s.id(), s.label, s.split)).collect())
    };
    let columns = || Columns { path: "file".into(), label: "y".into(), ..Columns::default() };
    let plain = "\u{feff}file,y\r\nimg\\a_frame_1.png,0\r\nimg/a_frame_2.png,real\r\nimg/Müller.png,1\r\n";
    assert_eq!(
        table(plain, columns()).unwrap(),
        ["m/fake/img_Müller/0 1 test", "m/real/img_a/1 0 test", "m/real/img_a/2 0 test"]
    );
    // where 1 means live, one says so
    let swapped = Columns { real: vec!["1".into()], fake: vec!["0".into()], ..columns() };
    assert!(
        table("file,y\nimg/Müller.png,1\n", swapped.clone()).unwrap()[0].contains("m/real/img_Müller/0 0")
    );
    let more = Columns {
        video: Some("v".into()),
        split: Some("part".into()),
        method: Some("how".into()),
        ..columns()
    };
    let text = "how,part,v,file,y\nprint,devel,clip 1,img/a_frame_2.png,1\n";
    assert_eq!(table(text, more).unwrap(), ["m/print/clip 1/2 1 val"]);
    for (text, columns, expected) in [
        ("file,y\nimg/Müller.png,2\n", columns(), "line 2: the label is `2`, which is neither real nor fake"),
        ("file,y\nimg/none.png,1\n", columns(), "none.png is not there"),
        ("file,z\nimg/Müller.png,1\n", columns(), "column \"y\" is missing"),
        ("file,y\nimg/Müller.png,real\n", swapped, "neither real nor fake"),
        ("file,y\nimg/Müller.png,1,3\n", columns(), "3 fields, expected 2"),
    ] {
        let error = table(text, columns).unwrap_err();
        assert!(error.contains(expected) && error.contains("list.csv"), "{error}");
    }
}

#[test]
fn a_manifest_in_the_root_stands_for_the_data_set() {
    let mut files = pictures(&["elsewhere/x.png", "elsewhere/ünï.png"]);
    files.push(file(
        "manifests/dfdc.csv",
        "dataset,method,video,frame,label,split,subjects,path,synthetic\r\n\
         other,real,x,0,0,test,,../elsewhere/x.png,0\r\nother,fake,y,0,1,test,,../elsewhere/ünï.png,0\r\n",
    ));
    let root = build(&files);
    let manifest = load(root.path(), "dfdc").unwrap();
    assert_eq!(
        manifest.samples.iter().map(Sample::id).collect::<Vec<_>>(),
        ["dfdc/fake/y/0", "dfdc/real/x/0"]
    );
    bad("dfdc", &files, "-elsewhere/x.png", "", &["dfdc.csv: lists ", "x.png, which is not there"]);
}

#[test]
#[cfg(unix)]
fn a_link_that_leads_back_is_found() {
    let root = build(&pictures(&["mine/test/real/a/1.png", "mine/test/fake/2.png"]));
    std::os::unix::fs::symlink(root.path().join("mine"), root.path().join("mine/test/real/a/again")).unwrap();
    let error = load(root.path(), "folder:mine").unwrap_err().to_string();
    assert!(
        error.contains("again: a link that leads back to") && error.contains("hint: remove the link"),
        "{error}"
    );
    // a link to elsewhere is followed
    let other = build(&pictures(&["pics/9.png"]));
    std::fs::remove_file(root.path().join("mine/test/real/a/again")).unwrap();
    std::os::unix::fs::symlink(other.path().join("pics"), root.path().join("mine/test/real/more")).unwrap();
    assert_eq!(load(root.path(), "folder:mine").unwrap().samples.len(), 3);
}

#[test]
fn a_layout_can_be_asked_for_and_unknown_ones_are_named() {
    let root = build(&ffpp());
    let error = Source::find(root.path(), "ffpp-c23", Some("ffpp-oficial"), None).unwrap_err().to_string();
    assert!(
        error.contains("no layout `ffpp-oficial`") && error.contains("ffpp-folders, ffpp-official"),
        "{error}"
    );
    assert!(Source::find(root.path(), "ffpp-c23", Some("ffpp-official"), None).is_ok());
    let error = Source::find(root.path(), "cdfv1", None, None).unwrap_err().to_string();
    assert!(error.contains("also looked for Celeb-DF-v1 (celeb-df-official)"), "{error}");
    let error = Source::find(root.path(), "ffpp-c24", None, None).unwrap_err().to_string();
    assert!(error.contains("did you mean `ffpp-c23`"), "{error}");
}
