//! Data sets from outside: listed, indexed, checked, and audited for leaks.

use facebench_tests::Bench;

use crate::fixture::{copy, data_root};

const FFPP: &str = "faces/deepfakes_detection/FaceForensics/32_frames/DS_FF++_all_cls/c23";
const DFDC: &str = "faces/deepfakes_detection/DFDC/32_frames/test/fake";

fn with_faces() -> Bench {
    let b = Bench::new();
    copy(&data_root(), &b.path("faces"));
    b
}

#[test]
fn data_sets_are_listed_with_licence_and_protocols() {
    let b = Bench::new();
    let all = b.run(&["data", "list"]).ok().stdout();
    for part in ["ffpp-c23", "Celeb-DF-v2  (celeb-df-official)", "licence: ", "protocols: dfd-cross"] {
        assert!(all.contains(part), "{part}:\n{all}");
    }
    b.run(&["data", "list", "cdfv2-noyt"]).ok().stdout_has("108 real, 340 fake").stdout_has("polarity: ");
    b.run(&["data", "list", "cdf2"]).code(2).one_message(2).stderr_has("did you mean `cdfv2`");
    assert!(b.run(&["data", "list", "--json"]).ok().json().as_array().expect("a list").len() > 40);
}

#[test]
fn a_manifest_takes_the_place_of_a_folder() {
    let b = with_faces();
    b.run(&["data", "index", "dfdc", "faces", "--out", "other/manifests/dfdc.csv", "--hash"]).ok();
    let text = b.read("other/manifests/dfdc.csv");
    let line = text.lines().nth(1).expect("a line");
    assert_eq!(line.rsplit(',').next().map(str::len), Some(64), "{line}");
    b.run(&["data", "check", "dfdc", "other"]).ok().stdout_has("as manifest").stdout_has("can be read");
    assert_eq!(
        b.run(&["data", "index", "dfdc", "faces"]).ok().stdout().lines().count(),
        text.lines().count()
    );
    // a table of one's own, with its columns named
    let table: String = text.lines().skip(1).fold("file;live\n".replace(';', ","), |t, l| {
        let cells: Vec<&str> = l.split(',').collect();
        t + &format!("{},{}\n", cells[7], if cells[4] == "0" { "yes" } else { "no" })
    });
    b.file("mine.csv", &table);
    let index =
        ["data", "index", "folder:mine", "mine.csv", "--path-column", "file", "--label-column", "live"];
    b.run(&index).code(2).stderr_has("mine.csv: line 2").stderr_has("--real VALUE --fake VALUE");
    let said = b.run(&[&index[..], &["--real", "yes", "--fake", "no"]].concat()).ok().stdout();
    assert_eq!(said.lines().count(), text.lines().count());
    b.run(&["data", "check", "dfdc", "mine.csv"]).code(2).stderr_has("column \"dataset\" is missing");
}

#[test]
fn a_check_says_everything_that_is_wrong() {
    let b = with_faces();
    b.file(&format!("{DFDC}/x_frame_0.png"), "");
    b.file(&format!("{DFDC}/y_frame_0.png"), "no picture");
    b.run(&["data", "check", "dfdc", "faces"])
        .code(42)
        .stderr_has("x_frame_0.png: the file is empty (0 bytes)")
        .stderr_has("y_frame_0.png: the content is not PNG")
        .stderr_has("hint: ");
    b.run(&["data", "check", "dfdc", "faces", "--quick"]).code(42).stderr_has("x_frame_0.png");
    b.run(&["data", "index", "dfdc", "faces", "--out", "m.csv"]).code(2).stderr_has("x_frame_0.png");
    assert!(!b.path("m.csv").exists() && b.names(".") == ["faces"], "nothing half-written stays");
}

#[test]
fn a_copy_of_a_training_picture_in_a_test_set_stops() {
    let b = with_faces();
    let folds = b.run(&["data", "audit", "dfd-cross", "faces", "--cache", "prints", "--json"]).ok().json();
    assert_eq!(folds[0]["findings"].as_array().map(Vec::len), Some(0), "{folds}");
    let train = b.path(&format!("{FFPP}/train/fake_four"));
    let picture = std::fs::read_dir(train).expect("folder").next().expect("a picture").expect("entry").path();
    std::fs::copy(&picture, b.path(&format!("{DFDC}/stolen_frame_0.png"))).expect("copied");
    b.run(&["data", "audit", "dfd-cross", "faces", "--cache", "prints"])
        .code(42)
        .stdout_has("stop  leak-bytes: train and DFDC: the same bytes for 1 of")
        .stdout_has("dfdc/fake/stolen/0");
    b.run(&["data", "audit", "dfd-cross", "faces", "--fold", "none"]).code(2).stderr_has("its folds are");
}
