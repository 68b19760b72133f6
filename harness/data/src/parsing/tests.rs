//! The published map format byte for byte, and an attack corpus made from it.

use serde_json::Value;

use super::*;
use crate::testing::{fixture, sha256};

/// The map of a fixture's rule (`about.map_rules`).
fn from_rule(rule: &Value) -> ParsingMap {
    let side = usize::try_from(rule["size"].as_u64().unwrap()).unwrap();
    let shapes = |key: &str| -> Vec<Vec<i64>> { serde_json::from_value(rule[key].clone()).unwrap() };
    let label = |x: i64, y: i64| -> i64 {
        match rule["type"].as_str().unwrap() {
            "formula" => (x / 9 + y / 7) % 11,
            "rects" => {
                let hit = |r: &&Vec<i64>| (r[1]..r[2]).contains(&y) && (r[3]..r[4]).contains(&x);
                shapes("rects").iter().rev().find(hit).map_or(0, |r| r[0])
            }
            _ => {
                let hit = |e: &&Vec<i64>| {
                    let (dx, dy, a2, b2) = (x - e[1], y - e[2], e[3] * e[3], e[4] * e[4]);
                    dx * dx * b2 + dy * dy * a2 < a2 * b2
                };
                shapes("ellipses").iter().rev().find(hit).map_or(0, |e| e[0])
            }
        }
    };
    let at = |i: usize| u8::try_from(label((i % side) as i64, (i / side) as i64)).unwrap();
    ParsingMap { width: side, height: side, labels: (0..side * side).map(at).collect() }
}

/// `{name: (map, file)}` of the valid fixtures, the files rebuilt from their rules.
fn valid_files() -> Vec<(String, ParsingMap, Vec<u8>)> {
    let cases = fixture("parsing_maps.json");
    let build = |case: &Value| {
        let map = from_rule(&case["rule"]);
        let mut bytes = to_npy(&map).unwrap();
        let name = case["file"].as_str().unwrap().to_string();
        if name == "header_v2.npy" {
            // the same file with a four-byte header length and two spaces less
            bytes.splice(6..10, [2, 0, 0x74, 0, 0, 0]);
            let newline = bytes.iter().position(|b| *b == b'\n').unwrap();
            bytes.drain(newline - 2..newline);
        }
        assert_eq!(sha256(&map.labels), case["data_sha256"], "{name}");
        assert_eq!(sha256(&bytes), case["sha256"], "{name}");
        (name, map, bytes)
    };
    cases["valid"].as_array().unwrap().iter().map(build).collect()
}

#[test]
fn files_equal_numpys_and_read_back() {
    let files = valid_files();
    assert_eq!(files.len(), 4);
    for (name, map, bytes) in files {
        assert_eq!(parse(&bytes).unwrap(), map, "{name}");
    }
}

#[test]
fn two_dimensions_are_read_too() {
    let map = ParsingMap { width: 2, height: 2, labels: vec![0, 1, 2, 10] };
    let text = String::from_utf8(to_npy(&map).unwrap()[10..128].to_vec()).unwrap();
    let mut bytes = to_npy(&map).unwrap();
    bytes.splice(10..128, text.replace("(1, 2, 2)", "(2, 2)   ").into_bytes());
    assert_eq!(parse(&bytes).unwrap(), map);
}

/// One malformed file: how it is made from the valid ones, and what its message must say.
fn malformed(name: &str) -> (Vec<u8>, &'static str) {
    let files = valid_files();
    let file = |wanted: &str| files.iter().find(|f| f.0 == wanted).unwrap().2.clone();
    let (rects, ellipses) = (file("face_rects.npy"), file("face_ellipses.npy"));
    let with = |bytes: &[u8], from: &str, to: &str| {
        let header = String::from_utf8(bytes[10..128].to_vec()).unwrap().replace(from, to);
        let header = format!("{:<117}\n", header.trim_end());
        [&bytes[..10], header.as_bytes(), &bytes[128..]].concat()
    };
    let label = |row: usize, column: usize, label: u8| {
        let mut bytes = rects.clone();
        bytes[128 + row * 224 + column] = label;
        bytes
    };
    match name {
        "bad_shape.npy" => {
            let narrow = with(&rects, "(1, 224, 224)", "(1, 224, 112)");
            (narrow[..128 + 224 * 112].to_vec(), "shape is (1, 224, 112), expected (1, N, N)")
        }
        "bad_float.npy" => (with(&rects, "|i1", "<f4"), "dtype is `<f4`, expected int8"),
        "bad_label_11.npy" => (label(100, 37, 11), "label 11 at row 100, column 37 is outside 0..=10"),
        "bad_label_negative.npy" => (label(7, 200, 255), "label -1 at row 7, column 200"),
        "bad_fortran_order.npy" => (with(&ellipses, "False", "True"), "Fortran order"),
        "bad_truncated.npy" => (rects[..30000].to_vec(), "truncated: 29872 label bytes"),
        "bad_magic.npy" => ([b"\x93NUMPZ", &rects[6..400]].concat(), "wrong magic"),
        "bad_object.npy" => {
            let header = with(&rects, "|i1", "|O");
            ([&header[..128], b"\x80\x03cposix\nsystem\n"].concat(), "dtype is `|O`")
        }
        other => panic!("no rule for {other}"),
    }
}

#[test]
fn every_published_malformation_is_refused_with_its_reason() {
    let cases = fixture("parsing_maps.json");
    let cases = cases["malformed"].as_array().unwrap();
    assert_eq!(cases.len(), 8);
    for case in cases {
        let name = case["file"].as_str().unwrap();
        let (bytes, expected) = malformed(name);
        let (what, hint) = parse(&bytes).unwrap_err();
        assert!(what.contains(expected), "{name}: {what}");
        assert!(!hint.is_empty(), "{name}");
        // where the construction is the published one, so are the bytes
        if name.starts_with("bad_label") || name == "bad_truncated.npy" {
            assert_eq!(sha256(&bytes), case["sha256"], "{name}");
        }
    }
}

#[test]
fn a_map_of_another_size_than_its_image_is_refused() {
    let map = ParsingMap { width: 2, height: 2, labels: vec![0; 4] };
    let path = Path::new("maps/a.npy");
    assert!(map.expect_size(path, 2, 2).is_ok());
    let error = map.expect_size(path, 3, 2).unwrap_err().to_string();
    assert!(error.contains("maps/a.npy: the map is 2x2, its image is 3x2\nhint: "), "{error}");
}

#[test]
fn no_prefix_or_extension_of_a_map_is_a_map() {
    let map = ParsingMap { width: 5, height: 5, labels: (0..25).map(|i| i % 11).collect() };
    let bytes = to_npy(&map).unwrap();
    for length in 0..bytes.len() {
        assert!(parse(&bytes[..length]).is_err(), "{length} bytes");
    }
    assert!(parse(&[&bytes[..], b"x"].concat()).unwrap_err().0.contains("too long"));
}

#[test]
fn disk_round_trip_and_refusals() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.npy");
    let map = ParsingMap { width: 2, height: 2, labels: vec![0, 10, 1, 5] };
    write_npy(&path, &map).unwrap();
    assert_eq!(read_npy(&path).unwrap(), map);
    assert!(write_npy(&path, &ParsingMap { labels: vec![11; 4], ..map.clone() }).is_err());
    assert!(write_npy(&path, &ParsingMap { labels: vec![0; 3], ..map }).is_err());
    let error = read_npy(&folder.path().join("none.npy")).unwrap_err().to_string();
    assert!(error.starts_with("cannot read ") && error.contains("none.npy"), "{error}");
}
