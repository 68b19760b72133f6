//! Copies, look-alikes and people on the wrong side of a wall are found; other faces are not.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use facebench_protocols::rng::Stream;
use facebench_protocols::{Assembled, Finding, Severity};
use proptest::prelude::*;

use super::*;
use crate::image::{Filter, Rgb, encode_png, resize};

/// A smooth picture: a few random waves, as different from the next one as faces are.
fn waves(seed: u64, side: usize) -> Rgb {
    let mut stream = Stream::new("waves", seed, &[]);
    let waves: Vec<[f64; 4]> = (0..6)
        .map(|_| {
            [
                stream.uniform() * 9.0 - 4.5,
                stream.uniform() * 9.0 - 4.5,
                stream.uniform() * 6.3,
                stream.uniform(),
            ]
        })
        .collect();
    Rgb::from_fn(side, side, |x, y| {
        let (u, v) = (x as f64 / side as f64, y as f64 / side as f64);
        let sum: f64 = waves.iter().map(|[a, b, c, d]| d * (a * u * 3.1 + b * v * 3.1 + c).sin()).sum();
        let grey = (127.0 + 50.0 * sum).clamp(0.0, 255.0) as u8;
        [grey, grey.saturating_add(9), 255 - grey]
    })
}

fn part(name: &str, side: Side, files: &[(&Path, &[&str])]) -> Part {
    let item = |(path, people): &(&Path, &[&str])| Item {
        id: format!("{name}/{}", path.file_stem().unwrap().to_string_lossy()),
        set: name.into(),
        path: path.to_path_buf(),
        people: people.iter().map(|p| (*p).to_owned()).collect(),
    };
    Part { name: name.into(), side, items: files.iter().map(item).collect(), shard: None }
}

fn found(parts: &[Part], cache: Option<&Path>) -> Vec<Finding> {
    leakage(parts, cache, &AtomicBool::new(false), &|_| ()).unwrap().unwrap().0
}

fn codes(findings: &[Finding]) -> Vec<(Severity, &str)> {
    findings.iter().map(|f| (f.severity, f.code.as_str())).collect()
}

struct Shelf {
    dir: tempfile::TempDir,
}

impl Shelf {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn put(&self, name: &str, picture: &Rgb) -> PathBuf {
        let path = self.dir.path().join(format!("{name}.png"));
        encode_png(&path, picture).unwrap();
        path
    }
}

#[test]
fn copies_and_look_alikes_across_the_walls_are_found() {
    let shelf = Shelf::new();
    let a = shelf.put("a", &waves(1, 64));
    let b = shelf.put("b", &waves(2, 64));
    let copy = shelf.put("copy", &waves(1, 64));
    let smaller = shelf.put("smaller", &resize(&waves(1, 64), 50, 50, Filter::Bilinear));
    let other = shelf.put("other", &waves(3, 64));
    let train = part("train", Side::Train, &[(&a, &[]), (&b, &[])]);
    let against = |file: &Path| {
        let findings = found(&[train.clone(), part("T", Side::Test, &[(&other, &[]), (file, &[])])], None);
        codes(&findings).into_iter().map(|(s, c)| (s, c.to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(against(&other), []);
    assert_eq!(against(&a), [(Severity::Stop, "leak-path".to_owned())]);
    assert_eq!(against(&copy), [(Severity::Stop, "leak-bytes".to_owned())]);
    assert_eq!(against(&smaller), [(Severity::Warn, "leak-near".to_owned())]);
    // a link is the same file
    #[cfg(unix)]
    {
        let link = shelf.dir.path().join("link.png");
        std::os::unix::fs::symlink(&a, &link).unwrap();
        assert_eq!(against(&link), [(Severity::Stop, "leak-path".to_owned())]);
    }
    // seen in pre-training, without labels: a warning
    let before = part("p", Side::Pretrain, &[(&a, &[])]);
    let findings = found(&[before, part("T", Side::Test, &[(&copy, &[])])], None);
    assert_eq!(codes(&findings), [(Severity::Warn, "leak-bytes")]);
    assert_eq!(findings[0].message, "p and T: the same bytes for 1 of 1, such as p/a and T/copy");
    // two test sets may share pictures
    let tests = [part("T", Side::Test, &[(&a, &[])]), part("U", Side::Test, &[(&a, &[])])];
    assert_eq!(found(&tests, None), []);
}

#[test]
fn blank_pictures_are_no_look_alikes() {
    let shelf = Shelf::new();
    let black = shelf.put("black", &Rgb::new(40, 40));
    let grey = shelf.put("grey", &Rgb::from_fn(40, 40, |_, _| [90; 3]));
    assert_eq!(
        found(&[part("train", Side::Train, &[(&black, &[])]), part("T", Side::Test, &[(&grey, &[])])], None),
        []
    );
}

#[test]
fn people_of_one_origin_meet() {
    let shelf = Shelf::new();
    let (a, b) = (shelf.put("a", &waves(1, 64)), shelf.put("b", &waves(2, 64)));
    let parts =
        [part("pre", Side::Pretrain, &[(&a, &["000"])]), part("T", Side::Test, &[(&b, &["003", "000"])])];
    let findings = found(&parts, None);
    assert_eq!(codes(&findings), [(Severity::Warn, "leak-people")]);
    assert!(findings[0].message.contains("1 FaceForensics++ videos") && findings[0].message.ends_with("000"));
}

#[test]
fn prints_are_kept_and_made_again_when_a_picture_changes() {
    let shelf = Shelf::new();
    let a = shelf.put("a", &waves(1, 64));
    let cache = shelf.dir.path().join("cache");
    let broken = shelf.dir.path().join("broken.png");
    std::fs::write(&broken, b"no picture").unwrap();
    let (files, quiet) = ([a.as_path(), broken.as_path()], AtomicBool::new(false));
    let get = || prints(&files, Some(&cache), &quiet, &|_| ()).unwrap().unwrap();
    let first = get();
    assert!(first[0].is_some() && first[1].is_none());
    let kept: Vec<PathBuf> = std::fs::read_dir(&cache).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(kept.len(), 1);
    // it is the cache that answers
    let mut bytes = std::fs::read(&kept[0]).unwrap();
    bytes[8] ^= 1;
    std::fs::write(&kept[0], &bytes).unwrap();
    assert_ne!(get()[0].unwrap().bytes, first[0].unwrap().bytes);
    // half a cache is no cache
    std::fs::write(&kept[0], &bytes[..20]).unwrap();
    assert_eq!(get(), first);
    shelf.put("a", &waves(9, 80));
    assert_ne!(get()[0], first[0]);
    assert!(prints(&files, None, &AtomicBool::new(true), &|_| ()).unwrap().is_none(), "stopped");
}

/// A packed pre-training set is looked into like its folder, and its prints are kept by its digest.
#[test]
fn a_shard_leaks_what_its_folder_leaks() {
    let shelf = Shelf::new();
    let root = shelf.dir.path().join("FF++_o");
    std::fs::create_dir_all(root.join("images")).unwrap();
    for (name, seed) in [("000_frame_1", 1), ("001_frame_1", 2)] {
        encode_png(&root.join(format!("images/{name}.png")), &waves(seed, 64)).unwrap();
    }
    let (packed, quiet) = (shelf.dir.path().join("FF++_o.fbshard"), AtomicBool::new(false));
    crate::shard::pack(std::slice::from_ref(&root), &packed, 1, &quiet, &|_, _| {}).unwrap().unwrap();
    let copy = shelf.put("copy", &waves(1, 64));
    let smaller = shelf.put("smaller", &resize(&waves(2, 64), 50, 50, Filter::Bilinear));
    let tested = part("T", Side::Test, &[(&copy, &["000"]), (&smaller, &["777"])]);
    let nothing = Assembled { train: vec![], dev: vec![], tests: vec![], synthetic: true };
    let cache = shelf.dir.path().join("cache");
    let against = |root: &Path| {
        let seen = Seen::open("FF++_o", root).unwrap();
        let mut all = parts(&nothing, &[seen]);
        all.push(tested.clone());
        found(&all, Some(&cache))
    };
    let folder = against(&root);
    assert_eq!(codes(&folder).len(), 3, "bytes, likeness, people: {folder:?}");
    assert_eq!(against(&packed), folder);
    std::fs::remove_dir_all(&root).unwrap();
    let moved = shelf.dir.path().join("moved.fbshard");
    std::fs::rename(&packed, &moved).unwrap();
    let before = std::fs::read_dir(&cache).unwrap().count();
    assert_eq!(against(&moved), folder);
    assert_eq!(std::fs::read_dir(&cache).unwrap().count(), before, "the cache answered");
    let error = Seen::open("gone", &packed).unwrap_err().to_string();
    assert!(error.contains("FF++_o.fbshard"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_search_finds_what_comparing_each_with_each_finds(
        base in any::<u64>(), flips in prop::collection::vec((any::<u64>(), 0u32..64, 0u32..64, 0u32..64, 0u32..64), 1..40),
        distance in 0u32..=7,
    ) {
        // neighbours of one hash, and strangers
        let hashes: Vec<u64> = flips.iter().flat_map(|(x, a, b, c, d)| {
            [base ^ (1 << a), base ^ (1 << a) ^ (1 << b) ^ (1 << c) ^ (1 << d) ^ (1 << ((a + 7) % 64)), *x]
        }).collect();
        let mut got = std::collections::BTreeSet::new();
        Near::new(hashes.clone()).within(base, distance, |i| { got.insert(i); false });
        let want = (0..hashes.len()).filter(|i| (hashes[*i] ^ base).count_ones() <= distance).collect();
        prop_assert_eq!(got, want);
    }
}
