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
    // nor does half a list go to stdout, and the output is not what is wrong
    let said = b.run(&["data", "index", "dfdc", "faces"]).code(2).one_message(2);
    assert!(said.stdout().is_empty() && said.stderr().contains("x_frame_0.png"));
    let told = b.run(&["data", "index", "dfdc", "faces", "--out", "m.csv"]).code(2).stderr();
    assert!(!told.contains("m.csv"), "{told}");
    std::fs::create_dir(b.path("m.csv")).expect("folder");
    b.run(&["data", "index", "diff-t2i", "faces", "--out", "m.csv"]).code(2).stderr_has("m.csv");
}

#[test]
fn what_is_not_there_is_looked_for_here() {
    let b = with_faces();
    let mine = ["--path-column", "file", "--label-column", "target"];
    for args in [
        &["data", "check", "ffpp-c23", "nope"][..],
        &["data", "pack", "nope", "x.fbshard"],
        &["features", "--backbone", "dino", "--random-weights", "--folder", "nope", "--out", "f.npz"],
        &[&["data", "index", "folder:mine", "nope"], &mine[..]].concat(),
    ] {
        b.run(args)
            .code(2)
            .one_message(2)
            .stderr_has("no such file or folder: nope; the working folder holds: faces");
    }
    b.run(&["data", "index", "ffpp-c2", "faces"])
        .code(2)
        .one_message(2)
        .stderr_has("hint: did you mean `ffpp-c23`?");
    b.run(&["features", "--backbone", "dino", "--random-weights", "--out", "f.npz"])
        .code(2)
        .stderr_has("<--images <X.npy>|--manifest <CSV>|--folder <DIR>>");
    b.file("mine/real/a.png", "");
    b.file("mine/fake/b.png", "");
    b.run(&["data", "index", "folder:mine", "mine"])
        .code(2)
        .one_message(2)
        .stderr_has("`facebench data index own mine`");
}

/// A folder of one's own, a picture of which is in training and in testing.
const OWN: &str = "\
name: own
data: {root: own}
models: {Random: {backbone: {plugin: fsvfm, config: {size: micro}}, init: random}}
heads:
  probe: {plugin: linear, config: {train: head, norm: layer}, recipe: {epochs: 1, warmup_epochs: 0, batch: 8}}
seeds: [0, 1]
protocols: [own-faces]
";

#[test]
fn a_leak_is_said_at_once_and_ends_the_run_with_a_code_of_its_own() {
    let b = Bench::new();
    b.file("own.yaml", OWN);
    for (split, from) in [("train", "train"), ("val", "val"), ("test", "test")] {
        for (class, folder) in [("real", "real_youtube"), ("fake", "fake_four")] {
            let faces = data_root().join(FFPP.trim_start_matches("faces/")).join(from).join(folder);
            copy(&faces, &b.path(&format!("own/{split}/{class}")));
        }
    }
    let whole = b.run(&["run", "own.yaml"]).ok();
    assert!(!whole.stderr().contains("stop: "), "{}", whole.stderr());
    let train = b.path("own/train/fake");
    let picture = std::fs::read_dir(train).expect("folder").next().expect("a picture").expect("entry").path();
    std::fs::copy(&picture, b.path("own/test/fake/stolen_frame_0.png")).expect("copied");
    let said = b.run(&["run", "own.yaml", "--runs", "leak"]).code(1).stdout_has("leak-bytes");
    let told = said.stderr();
    assert_eq!(
        told.matches("stop: train and own: the same bytes for 1 of").count(),
        1,
        "once for both seeds: {told}"
    );
    assert!(told.contains("(leak-bytes)\nhint: take these pictures out of one of the two sides"), "{told}");
    assert!(
        told.contains("error: 2 of 2 results must not be used: the audit says stop (leak-bytes)"),
        "{told}"
    );
    // the results are kept, and the answer stays the same
    b.run(&["run", "own.yaml", "--runs", "leak"]).code(1).stderr_has("units are finished in leak");
    b.run(&["report", "leak"]).ok().stdout_has("leak-bytes");
    std::fs::remove_file(b.path("own/test/fake/stolen_frame_0.png")).expect("removed");
    b.run(&["run", "own.yaml", "--runs", "leak"]).ok();
    // the report of `run`'s own folder needs no name
    b.run(&["report"]).ok().stdout_has("probe");
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
