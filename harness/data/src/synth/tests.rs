//! A root is complete, repeatable, never half there; people stay apart; maps agree with pixels.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use facebench_protocols::rng::Stream;

use super::*;
use crate::image::png_text;
use crate::readers;

mod traces;

fn in_pool<T: Send>(threads: usize, f: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(f)
}

fn make(out: &Path, spec: &SynthSpec) -> Result<SynthSummary, Error> {
    generate(out, spec, &|_, _| {})
}

/// Every file below a folder, with its bytes.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(root: &Path, folder: &Path, into: &mut BTreeMap<String, Vec<u8>>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, into);
            } else {
                let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
                into.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    let mut files = BTreeMap::new();
    walk(folder, folder, &mut files);
    files
}

#[test]
fn one_seed_gives_the_same_bytes_on_one_and_two_threads_and_another_seed_others() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b, c] = ["a", "b", "c"].map(|n| dir.path().join(n));
    let first = in_pool(1, || make(&a, &SynthSpec::tiny(7))).unwrap();
    let second = in_pool(2, || make(&b, &SynthSpec::tiny(7))).unwrap();
    assert_eq!(first, second);
    let (one, two) = (contents(&a), contents(&b));
    assert_eq!(one.len(), first.files);
    assert!(one == two, "the number of threads changed the files");
    in_pool(2, || make(&c, &SynthSpec::tiny(8))).unwrap();
    let three = contents(&c);
    let png = |name: &&String| name.ends_with(".png");
    let same = one.keys().filter(png).filter(|k| three.get(*k) == one.get(*k)).count();
    assert_eq!(same, 0, "pictures must differ between seeds");
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "nothing partial is left: {left:?}");
}

#[test]
fn a_root_is_recognised_and_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("faces");
    std::fs::create_dir(&out).unwrap(); // an empty folder is fine
    let made = make(&out, &SynthSpec::tiny(1)).unwrap();
    assert!(!made.reused && made.images > 300);
    let again = make(&out, &SynthSpec::tiny(1)).unwrap();
    assert_eq!(again, SynthSummary { images: 0, files: made.files, reused: true });

    let other = make(&out, &SynthSpec::tiny(2)).unwrap_err().to_string();
    assert!(other.contains("another spec") && other.contains("\nhint: "), "{other}");

    std::fs::remove_file(out.join("MCIO/txt/msu_real_train.txt")).unwrap();
    let damaged = make(&out, &SynthSpec::tiny(1)).unwrap_err().to_string();
    assert!(
        damaged.contains(&format!("expected {} files, found {}", made.files, made.files - 1)),
        "{damaged}"
    );

    let foreign = dir.path().join("mine");
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join("thesis.txt"), "x").unwrap();
    assert!(matches!(make(&foreign, &SynthSpec::tiny(1)), Err(Error::Foreign { .. })));
    assert_eq!(std::fs::read_to_string(foreign.join("thesis.txt")).unwrap(), "x");

    let below_a_file = foreign.join("thesis.txt").join("out");
    assert!(matches!(make(&below_a_file, &SynthSpec::tiny(1)), Err(Error::Io { .. })));
}

#[test]
fn leftovers_of_a_killed_run_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("faces");
    let partial = partial::Partial::begin(&out).unwrap();
    let name = partial.root.file_name().unwrap().to_str().unwrap().to_string();
    let (prefix, _) = name.rsplit_once('-').unwrap();
    // no process has this id: Linux ids end below 2^22
    let dead = dir.path().join(format!("{prefix}-999999999"));
    std::fs::rename(&partial.root, &dead).unwrap();
    std::fs::write(dead.join("half.png"), "x").unwrap();
    make(&out, &SynthSpec::tiny(1)).unwrap();
    assert!(!dead.exists());
}

/// Breaks a spec.
type Change = fn(&mut SynthSpec);

#[test]
fn specs_that_make_no_data_set_are_refused_by_name() {
    let broken: [(&str, Change); 6] = [
        ("size", |s| s.size = 8),
        ("trace", |s| s.trace = f64::NAN),
        ("ffpp_val", |s| s.scale.ffpp_val = 3),
        ("ffpp_train", |s| s.scale.ffpp_train = 2000),
        ("unseen_frames", |s| s.scale.unseen_frames = 0),
        ("mcio_shot", |s| s.scale.mcio_shot = 99),
    ];
    let dir = tempfile::tempdir().unwrap();
    for (field, change) in broken {
        let mut spec = SynthSpec::tiny(0);
        change(&mut spec);
        let error = make(&dir.path().join("x"), &spec).unwrap_err().to_string();
        assert!(error.contains(field), "{field}: {error}");
    }
    assert!(!dir.path().join("x").exists());
    assert!(serde_json::from_str::<SynthSpec>(r#"{"sized": 64}"#).is_err());
    assert_eq!(serde_json::from_str::<SynthSpec>("{}").unwrap(), SynthSpec::demo(0));
}

#[test]
fn every_set_is_read_by_its_reader_marked_synthetic_and_keeps_people_apart() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("root");
    make(&out, &SynthSpec::tiny(3)).unwrap();
    let ids = [
        ("ffpp-c23", 80),
        ("cdfv2-noyt", 8),
        ("dfdc", 8),
        ("dfdcp", 8),
        ("wdf", 8),
        ("diff-t2i", 8),
        ("diff-i2i", 8),
        ("diff-fs", 8),
        ("diff-fe", 8),
        ("fas-msu", 48),
        ("fas-casia", 48),
        ("fas-replay", 48),
        ("fas-oulu", 48),
    ];
    for (id, expected) in ids {
        let manifest = readers::load(&out, id).unwrap_or_else(|e| panic!("{id}: {e}"));
        assert!(manifest.synthetic, "{id}");
        assert_eq!(manifest.samples.len(), expected, "{id}");
        let fakes = manifest.samples.iter().filter(|s| s.label == 1).count();
        assert!(fakes > 0 && fakes < expected, "{id}");
        // official parts keep people apart: the split of FF++, the folder of the anti-spoofing sets
        let mut seen: BTreeMap<&str, String> = BTreeMap::new();
        for s in &manifest.samples {
            let people = ["ffpp", "fas"].iter().any(|p| id.starts_with(p));
            assert!(!people || !s.subjects.is_empty(), "{id}: {} names nobody", s.id());
            let part = s.path.strip_prefix(&out).unwrap().iter().rev().nth(2).unwrap();
            let part = part.to_string_lossy().into_owned();
            for person in &s.subjects {
                assert_eq!(
                    *seen.entry(person).or_insert(part.clone()),
                    part,
                    "{id}: {person} is in two parts"
                );
            }
        }
    }
    let set = readers::pretrain_folders(&[out.join("pretrain/synthfaces")]).unwrap();
    assert!(set.synthetic && set.items.len() == 8 && set.items.iter().all(|i| i.parsing.is_some()));
    // every picture and every data set says what it is, and DiFF subsets share their reals
    let files = contents(&out);
    for (name, bytes) in files.iter().filter(|f| f.0.ends_with(".png")) {
        assert!(png_text(bytes).iter().any(|(k, _)| k == "synthetic"), "{name}");
    }
    assert_eq!(files.keys().filter(|n| n.ends_with(MARKER)).count(), 15);
    let reals: BTreeSet<_> = ["T2I", "I2I", "FS", "FE"]
        .map(|s| &files[&format!("diffusion_facial_forgery/test_subsets/{s}/test/real/real_00001.png")])
        .into();
    assert_eq!(reals.len(), 1);
    // the lists of the leave-one-out family: test = train without shot
    let lines = |kind: &str| -> Vec<&str> {
        std::str::from_utf8(&files[&format!("MCIO/txt/casia_fake_{kind}.txt")]).unwrap().lines().collect()
    };
    let (train, shot, test) = (lines("train"), lines("shot"), lines("test"));
    assert_eq!((train.len(), shot.len(), test.len()), (16, 1, 15));
    assert_eq!([shot, test].concat(), train);
    for line in train {
        for frame in [line.to_string(), line.replace("_frame0", "_frame1")] {
            assert!(files.contains_key(&format!("MCIO/frame/{frame}")), "{frame}");
        }
    }
}

/// A person whose parts have colours of their own: hair green, brows and eyes blue, lips red.
fn painted(seed: u64) -> (Identity, FrameParams) {
    let mut rng = Stream::new("test", seed, &["painted"]);
    let mut id = Identity::draw(&mut rng);
    id.skin = Skin { colour: [0.5; 3], blush: 0.0, blotch: 0.0, freckles: 0.0, beard: 0.0, ..id.skin };
    id.hair.colour = [0.0, 0.6, 0.0];
    id.brows.colour = [0.0, 0.0, 0.9];
    id.brows.density = 0.95;
    id.mouth.colour = [0.8, 0.0, 0.0];
    let mut frame = Motion::draw(&mut rng, Range::STUDIO).at(0.3);
    frame.eye_closed = [0.0; 2];
    frame.mouth_open = 0.5;
    frame.light = Light { direction: [0.1, -0.4, 0.9], key: [0.7; 3], ambient: [0.5; 3] };
    frame.scene.wall = [[0.3; 3]; 2];
    frame.scene.cloth = [0.3; 3];
    (id, frame)
}

#[test]
fn parsing_maps_agree_with_the_pixels_at_every_size() {
    for size in [64, 112, 224] {
        let mut right = [0usize; 11];
        let mut count = [0usize; 11];
        for seed in 0..12 {
            let (id, frame) = painted(seed);
            let (picture, map) = render_frame(&id, &frame, size);
            assert_eq!((map.width, map.height, map.labels.len()), (size, size, size * size));
            for (p, label) in picture.pixels.as_chunks::<3>().0.iter().zip(&map.labels) {
                let [r, g, b] = p.map(i32::from);
                let ok = match label {
                    0 | 1 | 6 => r.max(g).max(b) - r.min(g).min(b) < 60,
                    2 | 3 => b > r + 15 && b > g + 15,
                    4 | 5 => true,
                    7 | 9 => r > g + 25 && r > b + 25,
                    8 => true,
                    _ => g > r + 15 && g > b + 15,
                };
                count[usize::from(*label)] += 1;
                right[usize::from(*label)] += usize::from(ok);
            }
        }
        for label in 0..11 {
            assert!(count[label] > 12, "label {label} at {size}: {} pixels", count[label]);
            let share = right[label] as f64 / count[label] as f64;
            assert!(share > 0.85, "label {label} at {size}: {share:.3} of the pixels have its colour");
        }
    }
}

#[test]
fn maps_have_the_persons_right_at_the_pictures_left_and_closed_eyes_have_no_pixels() {
    let (id, mut frame) = painted(4);
    (frame.yaw, frame.roll) = (0.0, 0.0);
    let centre = |labels: &[u8], which: u8| {
        let xs: Vec<usize> = (0..labels.len()).filter(|i| labels[*i] == which).map(|i| i % 64).collect();
        xs.iter().sum::<usize>() as f64 / xs.len().max(1) as f64
    };
    let open = render_frame(&id, &frame, 64).1.labels;
    for (right, left) in [(2, 3), (4, 5)] {
        assert!(centre(&open, right) + 8.0 < centre(&open, left), "labels {right} and {left}");
    }
    frame.eye_closed = [1.0; 2];
    let closed = render_frame(&id, &frame, 64).1.labels;
    let eyes = |l: &[u8]| l.iter().filter(|v| [4, 5].contains(*v)).count();
    assert!(eyes(&closed) * 4 < eyes(&open), "{} of {}", eyes(&closed), eyes(&open));
}

#[test]
fn the_camera_follows_the_head() {
    let (id, frame) = painted(2);
    for yaw in [-0.4f32, 0.0, 0.4] {
        let canvas = render::draw(&id, &FrameParams { yaw, ..frame.clone() }, 128);
        // the traced face coordinates at the projected mouth are the mouth's
        let [x, y] = canvas.mouth;
        let uv = canvas.uv[y as usize * 128 + x as usize];
        assert!(uv[0].abs() < 0.05 && (uv[1] - id.mouth.height).abs() < 0.12, "yaw {yaw}: {uv:?}");
    }
}
