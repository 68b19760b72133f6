//! The whole way: run folders in, report folder out, twice the same bytes.

use crate::testing::demo;
use crate::{Output, report};
use std::collections::BTreeMap;
use std::path::Path;

fn contents(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
                files.insert(name, std::fs::read(path).unwrap());
            }
        }
    }
    files
}

#[test]
fn a_report_is_byte_identical_when_made_twice() {
    let dir = tempfile::tempdir().unwrap();
    let runs = dir.path().join("runs");
    demo(&runs);
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    let written = report(&runs, &one, &Output::all()).unwrap();
    report(&runs, &two, &Output::all()).unwrap();
    let (a, b) = (contents(&one), contents(&two));
    assert_eq!(a.len(), written.len());
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    for (name, bytes) in &a {
        assert!(bytes == &b[name], "{name} differs");
    }
    if let Ok(look) = std::env::var("LOOK") {
        report(&runs, Path::new(&look), &Output::all()).unwrap();
    }
}
