//! Data that is missing or broken: named, with a way out, and nothing is guessed.

use facebench_tests::Bench;

use crate::fixture::{TINY, copy, data_root, one};

/// An experiment on a data root `faces`.
fn on_root() -> Bench {
    let b = Bench::new();
    b.file("own.yaml", TINY.replace("{synth: {scale: tiny}}", "{root: faces}"));
    b
}

#[test]
fn a_missing_folder_and_an_empty_one_are_told_apart() {
    let b = on_root();
    b.run(&["run", "own.yaml"])
        .code(2)
        .one_message(3)
        .stderr_has("own.yaml:2: ")
        .stderr_has("no such data folder")
        .stderr_has("data.root");
    std::fs::create_dir(b.path("faces")).expect("folder");
    b.run(&["run", "own.yaml"]).code(2).one_message(3).stderr_has("faces exists and is empty");
    b.run(&["data", "check", "ffpp-c23", "faces"]).code(2).one_message(3).stderr_has("ffpp-c23");
    b.run(&["data", "check", "ffpp-23", "faces"]).code(2).stderr_has("did you mean `ffpp-c23`");
    assert!(!b.path("runs").exists(), "nothing ran");
}

#[test]
fn a_set_that_is_missing_is_named_with_its_protocol() {
    let b = on_root();
    copy(&data_root(), &b.path("faces"));
    std::fs::remove_dir_all(b.path("faces/deepfakes_detection/DFDC")).expect("removed");
    b.run(&["plan", "own.yaml"]).code(2).one_message(4).stderr_has("dfd-cross").stderr_has("DFDC");
    b.run(&["plan", "own.yaml", "-s", "protocols=[diff-unseen]"]).ok();
}

#[test]
fn a_picture_that_cannot_be_read_fails_its_units_only() {
    let b = on_root();
    copy(&data_root(), &b.path("faces"));
    let folder = b.path("faces/diffusion_facial_forgery/test_subsets/T2I/test/fake");
    let victim = std::fs::read_dir(folder).expect("folder").next().expect("a picture").expect("entry").path();
    let bytes = std::fs::read(&victim).expect("file");
    std::fs::write(&victim, &bytes[..bytes.len() / 2]).expect("file");
    let name = victim.file_name().expect("a name").to_string_lossy().into_owned();
    let told = b.run(&["run", "own.yaml"]).code(42).stderr_has(&name).stderr_has("hint: ").stderr();
    assert!(told.contains("2 of 9 units failed, 7 done"), "{told}");
    assert!(!told.contains("panicked"), "{told}");
    b.run(&["data", "check", "diff-t2i", "faces"]).code(42).stderr_has(&name);
}

#[test]
fn a_parsing_map_of_another_size_stops_the_pretraining() {
    let b = on_root();
    copy(&data_root(), &b.path("faces"));
    let maps = b.path("faces/pretrain/synthfaces/parsing_maps");
    let victim = std::fs::read_dir(maps).expect("folder").next().expect("a map").expect("entry").path();
    let shape = "{'descr': '|i1', 'fortran_order': False, 'shape': (1, 30, 30), }";
    let mut npy = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    npy.extend(format!("{shape:<117}\n").bytes());
    npy.extend([1; 30 * 30]);
    std::fs::write(&victim, npy).expect("file");
    let name = victim.file_name().expect("a name").to_string_lossy().into_owned();
    let told = b.run(&["run", "own.yaml"]).code(42).stderr_has(&name).stderr_has("hint: ").stderr();
    assert!(told.contains("30 x 30"), "its size is named: {told}");
    assert!(told.contains("pretrain-") || told.contains("(fs)"), "{told}");
}

#[test]
fn synthetic_faces_are_marked_from_the_folder_to_the_table() {
    let root = data_root();
    assert!(root.join("SYNTHETIC.json").is_file());
    let finished = crate::fixture::finished();
    for unit in ["pretrain-", "tune-", "score-"] {
        for folder in crate::fixture::all(&finished.join("runs"), unit) {
            let text = std::fs::read_to_string(folder.join("run.json")).expect("file");
            let record: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!(record["synthetic"], true, "{}", folder.display());
            let decoder = record["decoder"].as_str().expect("a decoder");
            assert!(decoder.contains("libjpeg-turbo") && decoder.contains("png"), "{decoder}");
        }
    }
    for (name, bytes) in crate::fixture::tables(&finished.join("report")) {
        assert!(String::from_utf8_lossy(&bytes).to_lowercase().contains("synthetic"), "{name}");
    }
}

#[test]
fn the_same_seed_gives_the_same_faces() {
    let b = Bench::new();
    b.run(&["data", "synth", "a", "--scale", "tiny", "--seed", "5"]).ok().stdout_has("\"synthetic\": true");
    b.run(&["data", "synth", "b", "--scale", "tiny", "--seed", "5"]).ok();
    assert_eq!(crate::fixture::contents(&b.path("a")), crate::fixture::contents(&b.path("b")));
    // usage, not a failure of work: another folder is needed
    b.run(&["data", "synth", "a", "--scale", "tiny", "--seed", "6"]).code(2).stderr_has("hint: ");
    b.run(&["data", "forge", "nope", "out"]).code(2).one_message(2).stderr_has("no folder nope");
    b.run(&["data", "forge", "a/pretrain/synthfaces", "out"]).code(2).stderr_has("hint: ");
    b.run(&["data", "index", "ffpp-c23", "a", "--out", "ffpp.csv"]).ok();
    assert!(b.read("ffpp.csv").starts_with(
        "dataset,method,video,frame,label,split,subjects,path,synthetic,compression,kind,bytes,sha256\n"
    ));
    b.run(&["data", "check", "ffpp-c23", "a"]).ok().stdout_has("can be read").stdout_has("synthetic faces");
    b.run(&["data", "list"]).ok().stdout_has("ffpp-c23");
}

#[test]
fn a_packed_set_trains_like_its_folder_and_a_broken_one_is_named() {
    let b = on_root();
    copy(&data_root(), &b.path("faces"));
    let set = "faces/pretrain/synthfaces";
    b.run(&["data", "pack", set, "faces/synthfaces.tar"]).code(2).one_message(3).stderr_has(".fbshard");
    b.run(&["data", "pack", "faces/none", "x.fbshard"]).code(2).one_message(3).stderr_has("faces/none");
    let packed = b.run(&["data", "pack", set, "faces/synthfaces.fbshard"]).ok().json();
    assert_eq!(packed["synthetic"], true);
    b.run(&["data", "check", "faces/synthfaces.fbshard"]).ok().stdout_has("every record is whole");
    b.run(&["data", "pack", set, "faces/synthfaces.fbshard"])
        .code(2)
        .one_message(3)
        .stderr_has("exists already");
    let model = |runs: &str, sets: &str| {
        let sets = format!("pretrain.fs.data.sets=[{sets}]");
        b.run(&["run", "own.yaml", "--runs", runs, "-s", &sets, "-s", "protocols=[diff-unseen]"]).ok();
        std::fs::read(one(&b.path(runs), "pretrain-").join("model.safetensors")).expect("weights")
    };
    assert_eq!(model("one", "pretrain/synthfaces"), model("two", "synthfaces.fbshard"));
    // a byte of the first picture
    let mut bytes = std::fs::read(b.path("faces/synthfaces.fbshard")).expect("shard");
    bytes[400] ^= 1;
    std::fs::write(b.path("faces/synthfaces.fbshard"), &bytes).expect("shard");
    let told = b.run(&["data", "check", "faces/synthfaces.fbshard"]).code(42).stderr();
    assert!(told.contains("synthfaces.fbshard, record 0 (synthfaces/") && told.contains("hint: "), "{told}");
    let cut = bytes.len() - 10;
    std::fs::write(b.path("faces/cut.fbshard"), &bytes[..cut]).expect("shard");
    b.run(&["plan", "own.yaml", "-s", "pretrain.fs.data.sets=[cut.fbshard]"])
        .code(2)
        .stderr_has("cut.fbshard: truncated");
}
