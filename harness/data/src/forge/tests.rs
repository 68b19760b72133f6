//! A folder of people becomes a data set that its readers load, with people apart and nothing half-written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use facebench_protocols::Split;
use facebench_protocols::rng::Stream;
use image::{DynamicImage, ImageFormat, RgbImage};

use super::*;
use crate::image::decode;
use crate::readers;
use crate::synth::{Identity, Motion, Range, render_frame};

/// Eight people, three photographs each, in every format, one in three grey. They stand for real photographs here.
fn photographs(folder: &Path) {
    const FORMATS: [(&str, ImageFormat); 4] = [
        ("png", ImageFormat::Png),
        ("jpg", ImageFormat::Jpeg),
        ("pgm", ImageFormat::Pnm),
        ("webp", ImageFormat::WebP),
    ];
    for p in 0..8usize {
        let dir = folder.join(format!("Person {p}"));
        std::fs::create_dir_all(&dir).unwrap();
        let mut rng = Stream::new("test", p as u64, &["forge"]);
        let id = Identity::draw(&mut rng);
        for k in 0..3usize {
            let frame = Motion::draw(&mut rng, Range::SELFIE).at(0.2);
            let (picture, _) = render_frame(&id, &frame, 80);
            let side = 80u32;
            let rgb = RgbImage::from_raw(side, side, picture.pixels).unwrap();
            let (ending, format) = FORMATS[(p + k) % 4];
            let image = DynamicImage::ImageRgb8(rgb).crop_imm(4, 0, 72, 80);
            let image =
                if ending == "pgm" || k == 2 { DynamicImage::ImageLuma8(image.to_luma8()) } else { image };
            image.save_with_format(dir.join(format!("{k}.{ending}")), format).unwrap();
        }
    }
    std::fs::write(folder.join("README.txt"), "not a photograph").unwrap();
}

fn spec() -> ForgeSpec {
    ForgeSpec { size: 48, ..ForgeSpec::default() }
}

fn run(faces: &Path, out: &Path, spec: &ForgeSpec) -> Result<ForgeSummary, Error> {
    forge(faces, out, spec, &|_, _| {})
}

fn setup() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let (faces, out) = (dir.path().join("faces"), dir.path().join("set"));
    photographs(&faces);
    (dir, faces, out)
}

fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut todo = vec![folder.to_path_buf()];
    while let Some(next) = todo.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else {
                files.insert(path.strip_prefix(folder).unwrap().into(), std::fs::read(&path).unwrap());
            }
        }
    }
    files
}

#[test]
fn photographs_become_a_data_set_with_people_kept_apart() {
    let (_dir, faces, out) = setup();
    let made = run(&faces, &out, &spec()).unwrap();
    assert_eq!(made.people.iter().sum::<usize>(), 8);
    assert!(made.people.iter().all(|n| *n >= 2), "{:?}", made.people);
    assert_eq!((made.real, made.fake, made.pretrain), (48, 48, made.people[0] * 3));

    let manifest = reader::load(&out).unwrap();
    assert_eq!((manifest.dataset.as_str(), manifest.synthetic), ("forge:set", false));
    assert_eq!(manifest.samples.len(), 96);
    let mut where_is: BTreeMap<&str, Split> = BTreeMap::new();
    let mut methods = BTreeSet::new();
    for s in &manifest.samples {
        methods.insert((s.method.as_str(), s.label));
        assert_eq!(s.subjects.len(), if s.method == "swap" { 2 } else { 1 }, "{}", s.id());
        assert!(s.subjects.len() < 2 || s.subjects[0] != s.subjects[1], "{}", s.id());
        for person in &s.subjects {
            assert_eq!(*where_is.entry(person).or_insert(s.split), s.split, "{person}");
        }
        let picture = decode(&s.path).unwrap();
        assert_eq!((picture.width, picture.height), (48, 48));
        let file = s.path.file_name().unwrap().to_str().unwrap();
        assert_eq!(file, format!("{}__{}_frame_{}.png", s.method, s.video, s.frame));
    }
    assert_eq!(methods, BTreeSet::from([("photo", 0), ("self-blend", 1), ("swap", 1)]));
    assert_eq!(where_is.len(), 8);
    assert!(where_is.contains_key("Person-3"));
    // the general readers understand the folder too, wherever it lies
    let general = readers::load(out.parent().unwrap(), "forge:set").unwrap();
    assert_eq!(general, manifest);
    // pre-training shows training people only
    let set = readers::pretrain_folders(&[out.join("pretrain")]).unwrap();
    assert_eq!(set.items.len(), made.pretrain);
    for item in &set.items {
        let name = item.image.file_name().unwrap().to_str().unwrap();
        let (person, _) = name.split_once("__").unwrap();
        assert_eq!(where_is[person], Split::Train, "{name}");
    }
}

#[test]
fn grey_photographs_stay_grey() {
    let (_dir, faces, out) = setup();
    run(&faces, &out, &spec()).unwrap();
    let grey = |path: &Path| {
        let p = decode(path).unwrap().pixels;
        p.as_chunks::<3>().0.iter().all(|c| c.iter().max().unwrap() - c.iter().min().unwrap() <= 2)
    };
    let (mut greys, mut colours) = (0, 0);
    for s in reader::load(&out).unwrap().samples {
        // the first source decides; number 2 of everybody is grey
        let first = s.video.split_once("__").unwrap().1.split('+').next().unwrap().to_string();
        if first == "2" {
            assert!(grey(&s.path), "{}", s.id());
            greys += 1;
        } else if !grey(&s.path) {
            colours += 1;
        }
    }
    assert!(greys == 32 && colours > 30, "{greys} grey, {colours} in colour");
}

#[test]
fn the_number_of_threads_changes_nothing_and_a_seed_everything() {
    let (dir, faces, out) = setup();
    let pool = |n: usize| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
    let (second, third) = (dir.path().join("second"), dir.path().join("third"));
    pool(1).install(|| run(&faces, &out, &spec())).unwrap();
    pool(2).install(|| run(&faces, &second, &spec())).unwrap();
    assert!(tree(&out) == tree(&second));
    run(&faces, &third, &ForgeSpec { seed: 1, ..spec() }).unwrap();
    let fakes = |t: &BTreeMap<PathBuf, Vec<u8>>| {
        t.iter().filter(|f| f.0.starts_with("test")).map(|f| f.1.clone()).collect::<BTreeSet<_>>()
    };
    assert!(fakes(&tree(&out)).is_disjoint(&fakes(&tree(&third))));
}

#[test]
fn a_finished_folder_is_recognised_and_no_other_is_touched() {
    let (dir, faces, out) = setup();
    let made = run(&faces, &out, &spec()).unwrap();
    let again = run(&faces, &out, &spec()).unwrap();
    assert_eq!(again, ForgeSummary { reused: true, ..made });
    let refused = |faces: &Path, out: &Path, spec: &ForgeSpec, words: &str| {
        let error = run(faces, out, spec).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("\nhint: "), "{words}: {error}");
    };
    refused(&faces, &out, &ForgeSpec { size: 32, ..spec() }, "another spec");
    std::fs::remove_file(faces.join("Person 0/0.png")).unwrap();
    refused(&faces, &out, &spec(), "other photographs");
    refused(&faces, &faces.join("inside"), &spec(), "contain one another");
    let mine = dir.path().join("mine");
    std::fs::create_dir(&mine).unwrap();
    std::fs::write(mine.join("a"), "b").unwrap();
    refused(&faces, &mine, &spec(), "no record");
    refused(&dir.path().join("nowhere"), &mine, &spec(), "no folder");
    assert!(!faces.join("inside").exists());
}

#[test]
fn who_is_shown_must_be_clear() {
    let dir = tempfile::tempdir().unwrap();
    let (faces, flat, out) = (dir.path().join("faces"), dir.path().join("flat"), dir.path().join("set"));
    photographs(&faces);
    std::fs::create_dir(&flat).unwrap();
    for p in 0..7usize {
        let ending = ["png", "jpg", "pgm", "webp"][p % 4];
        let from = faces.join(format!("Person {p}/0.{ending}"));
        std::fs::copy(from, flat.join(format!("{p}.{ending}"))).unwrap();
    }
    assert!(matches!(run(&flat, &out, &spec()), Err(Error::Flat { images: 7, .. })));
    let made = run(&flat, &out, &ForgeSpec { flat: true, ..spec() }).unwrap();
    assert_eq!((made.people.iter().sum::<usize>(), made.real), (7, 14));
    std::fs::copy(flat.join("0.png"), faces.join("loose.png")).unwrap();
    assert!(matches!(
        run(&faces, &dir.path().join("b"), &spec()),
        Err(Error::Mixed { images: 1, folders: 8, .. })
    ));
    for p in 0..3 {
        std::fs::remove_dir_all(faces.join(format!("Person {p}"))).unwrap();
    }
    std::fs::remove_file(faces.join("loose.png")).unwrap();
    assert!(matches!(
        run(&faces, &dir.path().join("b"), &spec()),
        Err(Error::FewPeople { people: 5, needed: 6, .. })
    ));
    let apart = ForgeSpec { swaps: 0, ..spec() };
    assert_eq!(run(&faces, &dir.path().join("c"), &apart).unwrap().people.iter().sum::<usize>(), 5);
    std::fs::create_dir(faces.join("nobody")).unwrap();
    assert!(matches!(run(&faces, &dir.path().join("b"), &spec()), Err(Error::Empty { .. })));
}

#[test]
fn an_unreadable_photograph_stops_the_work_or_is_counted() {
    let (dir, faces, out) = setup();
    std::fs::write(faces.join("Person 5/broken.jpg"), "not a picture").unwrap();
    std::fs::write(faces.join("Person 5/photo.gif"), "GIF89a").unwrap();
    let error = run(&faces, &out, &spec()).unwrap_err().to_string();
    assert!(error.contains("broken.jpg") && error.contains("skip_unreadable"), "{error}");
    assert!(!out.exists());
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["faces"], "nothing partial is left");
    let made = run(&faces, &out, &ForgeSpec { skip_unreadable: true, ..spec() }).unwrap();
    let files: Vec<&str> = made.unreadable.iter().map(|u| u.file.as_str()).collect();
    assert_eq!(files, ["Person 5/broken.jpg", "Person 5/photo.gif"]);
    assert_eq!(made.real, 48);
    // somebody without any readable photograph is left out altogether
    for k in 0..3 {
        for ending in ["png", "jpg", "pgm", "webp"] {
            let file = faces.join(format!("Person 5/{k}.{ending}"));
            if file.exists() {
                std::fs::write(file, "").unwrap();
            }
        }
    }
    let made = run(&faces, &dir.path().join("b"), &ForgeSpec { skip_unreadable: true, ..spec() }).unwrap();
    assert_eq!((made.people.iter().sum::<usize>(), made.unreadable.len()), (7, 5));
}

#[test]
fn forgeries_of_synthetic_faces_stay_synthetic() {
    let (_dir, faces, out) = setup();
    let path = faces.join("Person 1/extra.png");
    crate::image::encode_png_with_text(&path, &crate::image::Rgb::new(60, 60), &[("synthetic", "yes")])
        .unwrap();
    run(&faces, &out, &spec()).unwrap();
    assert!(reader::load(&out).unwrap().synthetic);
}

#[test]
fn only_the_blend_tells_fakes_from_reals() {
    // self-blends differ from their photograph a little inside and hardly more than reals do outside
    let (_dir, faces, out) = setup();
    run(&faces, &out, &spec()).unwrap();
    let manifest = reader::load(&out).unwrap();
    let fine = |path: &Path, inside: bool| {
        let p = decode(path).unwrap();
        let mut sum = 0.0;
        for y in 1..47 {
            for x in 1..47 {
                let middle = (16..32).contains(&x) && (18..36).contains(&y);
                if middle == inside {
                    let at = |x: usize, y: usize| f64::from(p.get(x, y)[1]);
                    sum += (4.0 * at(x, y) - at(x - 1, y) - at(x + 1, y) - at(x, y - 1) - at(x, y + 1)).abs();
                }
            }
        }
        sum.ln()
    };
    let mean = |method: &str, inside: bool| {
        let v: Vec<f64> =
            manifest.samples.iter().filter(|s| s.method == method).map(|s| fine(&s.path, inside)).collect();
        v.iter().sum::<f64>() / v.len() as f64
    };
    let outside = (mean("photo", false) - mean("self-blend", false)).abs();
    assert!(outside < 0.25, "fine structure outside the blend differs by {outside:.3}");
}

/// Breaks a spec.
type Change = fn(&mut ForgeSpec);

#[test]
fn specs_that_make_no_data_set_are_refused_by_name() {
    let (_dir, faces, out) = setup();
    let broken: [(&str, Change); 6] = [
        ("size", |s| s.size = 4),
        ("val and test", |s| s.test = 0.9),
        ("val and test", |s| s.val = f64::NAN),
        ("reals", |s| s.reals = 0),
        ("self_blends", |s| (s.self_blends, s.swaps) = (0, 0)),
        ("quality", |s| s.quality = [90, 20]),
    ];
    for (field, change) in broken {
        let mut spec = spec();
        change(&mut spec);
        let error = run(&faces, &out, &spec).unwrap_err().to_string();
        assert!(error.contains(field), "{field}: {error}");
    }
    assert!(matches!(reader::load(&faces), Err(crate::Error::Missing { .. })));
}
