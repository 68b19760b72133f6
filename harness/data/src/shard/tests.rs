//! Round trips, interruptions, and the ways a shard can be broken.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use tempfile::TempDir;

use super::*;
use crate::image::{Rgb, encode_png};
use crate::parsing::{ParsingMap, write_npy};

/// A folder `faces` with `count` images, every third without a map.
fn faces(dir: &Path, name: &str, count: usize) -> PathBuf {
    let root = dir.join(name);
    std::fs::create_dir_all(root.join("images/p")).unwrap();
    std::fs::create_dir_all(root.join("parsing_maps/p")).unwrap();
    for i in 0..count {
        let image = Rgb::from_fn(16, 16, |x, y| [(x * 9 + i) as u8, (y * 7) as u8, (x * y + 3 * i) as u8]);
        encode_png(&root.join(format!("images/p/{i:03}.png")), &image).unwrap();
        if i % 3 != 0 {
            let labels = (0..256).map(|p| ((p / 16 + i) % 11) as u8).collect();
            let map = ParsingMap { width: 16, height: 16, labels };
            write_npy(&root.join(format!("parsing_maps/p/{i:03}.npy")), &map).unwrap();
        }
    }
    root
}

fn pack_now(roots: &[PathBuf], out: &Path) -> Packed {
    pack(roots, out, 2, &AtomicBool::new(false), &|_, _| {}).unwrap().unwrap()
}

fn setup(count: usize) -> (TempDir, PathBuf, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let root = faces(dir.path(), "faces", count);
    let out = dir.path().join("faces.fbshard");
    (dir, root, out)
}

#[test]
fn a_shard_gives_the_same_faces_as_the_folders() {
    let (dir, root, out) = setup(10);
    let roots = [root, faces(dir.path(), "more", 4)];
    let packed = pack_now(&roots, &out);
    assert_eq!((packed.faces, packed.maps, packed.resumed, packed.synthetic), (14, 8, 0, false));
    assert_eq!(packed.bytes, std::fs::metadata(&out).unwrap().len());
    let (folder, shard) =
        (FaceSource::open(&roots).unwrap(), FaceSource::open(std::slice::from_ref(&out)).unwrap());
    assert_eq!((folder.len(), shard.len()), (14, 14));
    for i in 0..14 {
        assert_eq!(folder.id(i), shard.id(i));
        assert_eq!(folder.has_map(i), shard.has_map(i));
        assert_eq!(folder.read(i, true).unwrap(), shard.read(i, true).unwrap());
    }
    let checked = check(&out, &|_, _| {}).unwrap();
    assert_eq!((checked.faces, checked.maps, checked.faults.len()), (14, 8, 0), "{checked:?}");
    assert_eq!(checked.digest, packed.digest);
}

#[test]
fn an_interrupted_packing_goes_on_and_ends_with_the_same_bytes() {
    let (dir, root, out) = setup(20);
    let straight = dir.path().join("straight.fbshard");
    pack_now(std::slice::from_ref(&root), &straight);
    let stop = AtomicBool::new(false);
    let raise = |done, _| stop.store(done >= 7, std::sync::atomic::Ordering::Relaxed);
    assert!(pack(std::slice::from_ref(&root), &out, 1, &stop, &raise).unwrap().is_none());
    assert!(!out.exists());
    // a kill may leave half a record behind
    let part = dir.path().join("faces.fbshard.part");
    let mut bytes = std::fs::read(&part).unwrap();
    let whole = bytes.len();
    bytes.extend_from_within(HEADER..HEADER + 100);
    std::fs::write(&part, &bytes).unwrap();
    let packed = pack_now(std::slice::from_ref(&root), &out);
    assert_eq!(packed.resumed, 7);
    assert!(whole > HEADER);
    assert_eq!(std::fs::read(&out).unwrap(), std::fs::read(&straight).unwrap());
    assert!(!part.exists());
}

#[test]
fn a_working_file_of_other_faces_is_refused() {
    let (dir, root, out) = setup(5);
    let stop = AtomicBool::new(true);
    assert!(pack(&[root], &out, 0, &stop, &|_, _| {}).unwrap().is_none());
    let other = faces(dir.path(), "other", 5);
    let error = pack(&[other], &out, 0, &AtomicBool::new(false), &|_, _| {}).unwrap_err().to_string();
    assert!(error.contains("record 0 of this working file is not other/p_000"), "{error}");
    assert!(error.contains("hint: remove"), "{error}");
}

#[test]
fn each_damaged_byte_is_noticed_with_its_record() {
    let (_dir, root, out) = setup(4);
    pack_now(&[root], &out);
    let good = std::fs::read(&out).unwrap();
    let mut named = BTreeSet::new();
    for at in (0..good.len()).step_by(3) {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        std::fs::write(&out, &bad).unwrap();
        let message = match check(&out, &|_, _| {}) {
            Err(e) => e.to_string(),
            Ok(checked) => checked.faults.join("\n"),
        };
        assert!(message.contains("faces.fbshard"), "byte {at} went unnoticed: {message}");
        for i in 0..4 {
            if message.contains(&format!("record {i} (faces/p_00{i})")) {
                named.insert(i);
            }
        }
    }
    assert_eq!(named.len(), 4);
}

#[test]
fn truncated_files_are_refused() {
    let (_dir, root, out) = setup(4);
    pack_now(&[root], &out);
    let good = std::fs::read(&out).unwrap();
    for keep in [0, 10, 64, 100, good.len() / 2, good.len() - 1] {
        std::fs::write(&out, &good[..keep]).unwrap();
        let error = Shard::open(&out).unwrap_err().to_string();
        assert!(error.contains("faces.fbshard: ") && error.contains("hint: "), "{keep}: {error}");
    }
    // a hole in the middle, index and trailer whole: the record says so
    let mut holed = good;
    holed[HEADER + HEAD + 40..HEADER + HEAD + 60].fill(0);
    std::fs::write(&out, &holed).unwrap();
    let error = Shard::open(&out).unwrap().read(0).unwrap_err().to_string();
    assert!(error.contains("faces.fbshard, record 0 (faces/p_000): damaged: checksum"), "{error}");
}

#[test]
fn broken_images_wrong_names_and_existing_files_are_refused() {
    let (dir, root, out) = setup(3);
    let wrong = pack(
        std::slice::from_ref(&root),
        &dir.path().join("faces.tar"),
        0,
        &AtomicBool::new(false),
        &|_, _| {},
    );
    assert!(wrong.unwrap_err().to_string().contains("ends in .fbshard"));
    std::fs::write(root.join("images/p/001.png"), b"no image").unwrap();
    let error = pack(std::slice::from_ref(&root), &out, 1, &AtomicBool::new(false), &|_, _| {}).unwrap_err();
    assert!(error.to_string().contains("001.png"), "{error}");
    std::fs::write(&out, b"x").unwrap();
    let error = pack(&[root], &out, 1, &AtomicBool::new(false), &|_, _| {}).unwrap_err().to_string();
    assert!(error.contains("exists already"), "{error}");
}

#[test]
fn statistics_are_measured_once_and_follow_the_contents() {
    let (dir, root, out) = setup(6);
    pack_now(std::slice::from_ref(&root), &out);
    let folder = FaceSource::open(std::slice::from_ref(&root)).unwrap();
    let packed = FaceSource::open(&[out]).unwrap();
    let quiet = |text: &str| panic!("{text}");
    let first = folder.statistics(8, &quiet).unwrap();
    assert_eq!(first, packed.statistics(8, &quiet).unwrap());
    let stored: Vec<_> = std::fs::read_dir(dir.path().join("faces.statistics")).unwrap().collect();
    assert_eq!(stored.len(), 1);
    // what is stored is what is used: a forged file of the same digest shows it
    let file = stored[0].as_ref().unwrap().path();
    let text = std::fs::read_to_string(&file).unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    value["sums"]["sums"][0] = serde_json::json!([1000, 500_000]);
    std::fs::write(&file, value.to_string()).unwrap();
    assert_ne!(folder.statistics(8, &quiet).unwrap(), first);
    // another image: another digest, so the forged sums are not used
    encode_png(&root.join("images/p/006.png"), &Rgb::from_fn(16, 16, |x, _| [x as u8; 3])).unwrap();
    let more = FaceSource::open(&[root]).unwrap();
    let paths: Vec<PathBuf> = (0..more.len()).map(|i| more.origin(i)).collect();
    assert_eq!(more.statistics(8, &quiet).unwrap(), crate::transform::statistics(&paths, 8).unwrap());
}
