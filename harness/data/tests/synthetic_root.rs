//! The generator writes what the readers read: a tiny synthetic root goes through every built-in protocol.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use facebench_data::image::{decode, png_text};
use facebench_data::parsing::read_npy;
use facebench_data::readers::{SYNTHETIC_KEYWORD, load, pretrain_folders};
use facebench_data::synth::{SynthScale, SynthSpec, generate};
use facebench_protocols::{Protocol, datasets};

/// Data sets that the generator makes, and the protocols that need no others.
const MADE: [&str; 13] = [
    "ffpp-c23",
    "cdfv2-noyt",
    "dfdc",
    "dfdcp",
    "wdf",
    "diff-t2i",
    "diff-i2i",
    "diff-fs",
    "diff-fe",
    "fas-msu",
    "fas-casia",
    "fas-replay",
    "fas-oulu",
];
const SERVED: [&str; 3] = ["dfd-cross", "diff-unseen", "fas-mcio"];

#[test]
fn a_synthetic_root_serves_the_demo_protocols() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("faces");
    let spec = SynthSpec { seed: 5, size: 48, scale: SynthScale::tiny(), ..SynthSpec::default() };
    generate(&root, &spec, &|_, _| ()).unwrap();

    let mut sets = BTreeMap::new();
    for info in datasets().iter().filter(|d| MADE.contains(&d.id.as_str())) {
        let manifest = load(&root, &info.id).unwrap_or_else(|e| panic!("{}: {e}", info.id));
        assert!(manifest.synthetic, "{} is not marked synthetic", info.id);
        let sample = &manifest.samples[0];
        assert_eq!(decode(&sample.path).unwrap().width, 48);
        let text = png_text(&std::fs::read(&sample.path).unwrap());
        assert!(text.iter().any(|(k, _)| k == SYNTHETIC_KEYWORD), "{}: {text:?}", sample.path.display());
        sets.insert(info.id.clone(), manifest);
    }
    for id in SERVED {
        let protocol = Protocol::builtin(id).unwrap().unwrap();
        for fold in &protocol.folds {
            let parts = fold.assemble(&sets).unwrap_or_else(|e| panic!("{id}, {}: {e}", fold.name));
            assert!(parts.train.iter().any(|s| s.label == 0) && parts.train.iter().any(|s| s.label == 1));
        }
    }
    // where people are told by names, every video tells its own
    for id in ["ffpp-c23", "cdfv2-noyt", "fas-msu", "fas-casia", "fas-replay", "fas-oulu"] {
        assert!(sets[id].samples.iter().all(|s| !s.subjects.is_empty()), "{id}");
    }
}

#[test]
fn synthetic_faces_come_with_maps_of_their_size() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("faces");
    let spec = SynthSpec { seed: 6, size: 48, scale: SynthScale::tiny(), ..SynthSpec::default() };
    generate(&root, &spec, &|_, _| ()).unwrap();
    let sets: Vec<_> = std::fs::read_dir(root.join("pretrain")).unwrap().map(|e| e.unwrap().path()).collect();
    let sets: Vec<_> = sets.into_iter().filter(|p| p.is_dir()).collect();
    let faces = pretrain_folders(&sets).unwrap();
    assert!(faces.synthetic && !faces.items.is_empty());
    for item in &faces.items {
        let (image, path) = (decode(&item.image).unwrap(), item.parsing.as_ref().unwrap());
        read_npy(path).unwrap().expect_size(path, image.width, image.height).unwrap();
    }
}
