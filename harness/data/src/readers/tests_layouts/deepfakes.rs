//! Celeb-DF, DFDC, WildDeepfake, DeeperForensics and DiFF as downloaded.

use super::*;

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
