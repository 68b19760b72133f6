//! The lists of DeepfakeBench and its databases.

use super::*;

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
