//! The four unseen deepfake test sets: better blends (CDFv2), degraded everything (DFDC), two methods (DFDCP), and
//! whatever circulates (WDF). Other people, other cameras and other forgers than in training.

use super::{Job, frames, person, stream};
use crate::synth::camera::CameraRange;
use crate::synth::casting::within;
use crate::synth::frame::{Motion, Range};
use crate::synth::plane::Plane;
use crate::synth::reenact::{Face2Face, NeuralTextures};
use crate::synth::shot;
use crate::synth::store::Store;
use crate::synth::swap::{Donor, Swap};
use crate::synth::{Error, SynthSpec};
use facebench_protocols::rng::Stream;

/// One test set.
#[derive(Clone, Copy)]
struct Set {
    key: &'static str,
    folder: &'static str,
    camera: CameraRange,
    range: Range,
    /// Chances, in tenths, of: better swap, mixed swap, DeepFakes-like, FaceSwap-like, reenactment, neural mouth.
    methods: [usize; 6],
    /// Strength of the traces relative to the spec's.
    trace: f64,
    /// Chance of a second generation: the picture was scaled down and up on its way.
    rescaled: f64,
}

const SETS: [Set; 4] = [
    Set {
        key: "cdfv2",
        folder: "deepfakes_detection/Celeb-DF-v2/32_frames/test",
        camera: CameraRange {
            gain: [0.85, 1.15],
            gamma: [0.42, 0.48],
            warm: [-0.02, 0.09],
            saturation: [0.9, 1.2],
            blur: [0.28, 0.5],
            sharpen: [0.0, 0.4],
            noise: [0.008, 0.020],
            vignette: 0.3,
            quality: [78.0, 92.0],
        },
        range: Range::STUDIO,
        methods: [10, 0, 0, 0, 0, 0],
        trace: 1.0,
        rescaled: 0.0,
    },
    Set {
        key: "dfdc",
        folder: "deepfakes_detection/DFDC/32_frames/test",
        camera: CameraRange {
            gain: [0.35, 1.15],
            gamma: [0.40, 0.50],
            warm: [-0.10, 0.12],
            saturation: [0.6, 1.1],
            blur: [0.35, 0.9],
            sharpen: [0.0, 0.3],
            noise: [0.012, 0.045],
            vignette: 0.5,
            quality: [40.0, 80.0],
        },
        range: Range::WILD,
        methods: [2, 4, 1, 1, 0, 2],
        trace: 1.0,
        rescaled: 0.3,
    },
    Set {
        key: "dfdcp",
        folder: "deepfakes_detection/DFDCP/32_frames/test",
        camera: CameraRange {
            gain: [0.6, 1.15],
            gamma: [0.42, 0.49],
            warm: [-0.06, 0.09],
            saturation: [0.75, 1.1],
            blur: [0.3, 0.65],
            sharpen: [0.0, 0.3],
            noise: [0.010, 0.030],
            vignette: 0.4,
            quality: [60.0, 86.0],
        },
        range: Range::SELFIE,
        methods: [3, 6, 0, 1, 0, 0],
        trace: 1.0,
        rescaled: 0.1,
    },
    Set {
        key: "wdf",
        folder: "deepfakes_detection/deepfake_in_the_wild/test",
        camera: CameraRange {
            gain: [0.6, 1.3],
            gamma: [0.38, 0.52],
            warm: [-0.10, 0.12],
            saturation: [0.6, 1.35],
            blur: [0.25, 0.8],
            sharpen: [0.0, 0.8],
            noise: [0.004, 0.030],
            vignette: 0.5,
            quality: [50.0, 92.0],
        },
        range: Range::WILD,
        methods: [3, 3, 2, 0, 1, 1],
        trace: 1.0,
        rescaled: 0.3,
    },
];

pub(crate) fn jobs(spec: &SynthSpec, store: &Store) -> Result<Vec<Job>, Error> {
    let mut jobs: Vec<Job> = Vec::new();
    for set in SETS {
        store.data_set(set.folder, spec)?;
        for class in ["real", "fake"] {
            store.folder(&format!("{}/{class}", set.folder))?;
            for v in 0..spec.scale.unseen_videos {
                let spec = spec.clone();
                jobs.push(Box::new(move |store| write_video(&spec, store, &set, v, class == "fake")));
            }
        }
    }
    Ok(jobs)
}

/// Name of a video as the preparation scripts write it, and the people in it.
fn name(set: &Set, spec: &SynthSpec, v: usize, fake: bool) -> (String, [String; 2]) {
    let people = (spec.scale.unseen_videos / 2).max(2);
    let (a, b) = (v % people, (v + 1 + v / people) % people);
    let b = if b == a { (a + 1) % people } else { b };
    let take = v / people;
    let ids = [format!("id{a}"), format!("id{b}")];
    let letters = || {
        let mut rng = stream(spec, set.key, "name", &format!("{v} {fake}"));
        (0..10).map(|_| char::from(b'a' + rng.below(26) as u8)).collect::<String>()
    };
    let text = match (set.key, fake) {
        ("cdfv2", false) => format!("Celeb-real_{}_{take:04}", ids[0]),
        ("cdfv2", true) => format!("Celeb-synthesis_{}_{}_{take:04}", ids[0], ids[1]),
        ("dfdc", _) => letters(),
        ("dfdcp", false) => format!("original_videos_{}_{v:03}", letters()),
        ("dfdcp", true) => {
            format!("method_{}_{}_{v:03}", if v.is_multiple_of(2) { "A" } else { "B" }, letters())
        }
        (_, false) => format!("real_test_{a}_{v}"),
        (_, true) => format!("fake_test_{a}_{v}"),
    };
    (text, ids)
}

/// A forger for one video.
enum Forger {
    Swap(crate::synth::swap::Settled),
    Reenact(Face2Face),
    Mouth(NeuralTextures),
}

fn forger(set: &Set, rng: &mut Stream, trace: f32) -> Forger {
    let mut at = rng.below(10);
    let kind = set.methods.iter().position(|n| {
        let hit = at < *n;
        at = at.saturating_sub(*n);
        hit
    });
    match kind {
        Some(0) => Forger::Swap(Swap::BETTER.draw(rng, trace)),
        Some(2) => Forger::Swap(Swap::DEEPFAKES.draw(rng, trace)),
        Some(3) => Forger::Swap(Swap::FACESWAP.draw(rng, trace)),
        Some(4) => Forger::Reenact(Face2Face::draw(rng, trace)),
        Some(5) => Forger::Mouth(NeuralTextures::draw(rng, trace)),
        _ => Forger::Swap(Swap::MIXED.draw(rng, trace)),
    }
}

fn write_video(spec: &SynthSpec, store: &Store, set: &Set, v: usize, fake: bool) -> Result<usize, Error> {
    let (video, [a, b]) = name(set, spec, v, fake);
    let class = if fake { "fake" } else { "real" };
    let mut rng = stream(spec, set.key, class, &video);
    let (id, other) = (person(spec, set.key, &a), person(spec, set.key, &b));
    let camera = set.camera.draw(&mut rng);
    let motion = Motion::draw(&mut rng, set.range);
    let (other_camera, other_motion) = (set.camera.draw(&mut rng), Motion::draw(&mut rng, set.range));
    let forger = forger(set, &mut rng, (spec.trace * set.trace) as f32);
    let shrink = (rng.uniform() < set.rescaled).then(|| within(&mut rng, 0.6, 0.95));
    for (index, t) in frames(&mut rng, spec.scale.unseen_frames) {
        let f = motion.at(t);
        let shot = shot::take(&id, &f, &camera, spec.size, &mut rng);
        let picture = if fake {
            let frame = other_motion.at(t);
            match &forger {
                Forger::Swap(s) => {
                    let donor = Donor { id: &other, frame: &frame, camera: &other_camera };
                    s.apply(&shot, &f, &camera, &donor, &mut rng)
                }
                Forger::Reenact(r) => r.apply(&shot, &f, &mut rng),
                Forger::Mouth(m) => m.apply(&shot, &id, &f, &camera, &mut rng),
            }
        } else {
            shot.picture
        };
        let picture = shrink.map_or_else(|| picture.clone(), |k| rescaled(&picture, k));
        let file = format!("{}/{class}/{video}_frame_{index}.png", set.folder);
        store.picture(&file, &shot::jpeg(&picture.to_rgb(), camera.quality))?;
    }
    Ok(spec.scale.unseen_frames)
}

/// Down and up again: what uploading does to a video.
fn rescaled(p: &Plane, k: f32) -> Plane {
    let side = ((p.width as f32 * k).round() as usize).max(16);
    p.resized(side, side).resized(p.width, p.height)
}
