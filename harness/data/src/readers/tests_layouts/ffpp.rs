//! FaceForensics++ and DFD as downloaded.

use super::*;

pub(super) fn ffpp() -> Files {
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
