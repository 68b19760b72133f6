//! The FaceForensics++-like set: real videos and four manipulations of each, in train, val and test.
//!
//! As in the official splits, videos come in pairs and both orders of a pair are forged (`000_003`, `003_000`:
//! target first), so nobody of one split is seen in another. All of it is compressed like c23.

use super::{Job, frames, person, stream};
use crate::synth::camera::{Camera, CameraRange};
use crate::synth::frame::{Motion, Range};
use crate::synth::identity::Identity;
use crate::synth::reenact::{Face2Face, NeuralTextures};
use crate::synth::shot;
use crate::synth::store::Store;
use crate::synth::swap::{Donor, Swap};
use crate::synth::{Error, SynthSpec};

const FOLDER: &str = "deepfakes_detection/FaceForensics/32_frames/DS_FF++_all_cls/c23";
const SET: &str = "ffpp";

const CAMERA: CameraRange = CameraRange {
    gain: [0.85, 1.12],
    gamma: [0.43, 0.48],
    warm: [-0.04, 0.06],
    saturation: [0.85, 1.12],
    blur: [0.25, 0.45],
    sharpen: [0.0, 0.35],
    noise: [0.010, 0.022],
    vignette: 0.2,
    quality: [80.0, 90.0],
};

/// Everything about one video that does not change over time.
struct Video {
    id: Identity,
    motion: Motion,
    camera: Camera,
}

fn video(spec: &SynthSpec, name: &str) -> Video {
    let mut rng = stream(spec, SET, "video", name);
    let camera = CAMERA.draw(&mut rng);
    Video { id: person(spec, SET, name), motion: Motion::draw(&mut rng, Range::STUDIO), camera }
}

pub(crate) fn jobs(spec: &SynthSpec, store: &Store) -> Result<Vec<Job>, Error> {
    store.data_set(FOLDER, spec)?;
    let s = &spec.scale;
    let splits = [("train", s.ffpp_train), ("val", s.ffpp_val), ("test", s.ffpp_test)];
    let mut names: Vec<String> =
        (0..s.ffpp_train + s.ffpp_val + s.ffpp_test).map(|i| format!("{i:03}")).collect();
    stream(spec, SET, "pairs", "").shuffle(&mut names);
    let mut jobs: Vec<Job> = Vec::new();
    let mut rest = names.as_slice();
    for (split, count) in splits {
        for class in ["real_youtube", "fake_four"] {
            store.folder(&format!("{FOLDER}/{split}/{class}"))?;
        }
        let (here, after) = rest.split_at(count);
        rest = after;
        for pair in here.chunks_exact(2) {
            for (target, source) in [(0, 1), (1, 0)] {
                let (spec, a, b) = (spec.clone(), pair[target].clone(), pair[source].clone());
                jobs.push(Box::new(move |store| write_video(&spec, store, split, &a, &b)));
            }
        }
    }
    Ok(jobs)
}

fn write_video(
    spec: &SynthSpec,
    store: &Store,
    split: &str,
    target: &str,
    source: &str,
) -> Result<usize, Error> {
    let (a, b) = (video(spec, target), video(spec, source));
    let q = a.camera.quality;
    let mut rng = stream(spec, SET, "real", target);
    for (index, t) in frames(&mut rng, spec.scale.ffpp_real_frames) {
        let shot = shot::take(&a.id, &a.motion.at(t), &a.camera, spec.size, &mut rng);
        let file = format!("{FOLDER}/{split}/real_youtube/youtube_{target}_frame_{index}.png");
        store.picture(&file, &shot::jpeg(&shot.picture.to_rgb(), q))?;
    }
    let name = format!("{target}_{source}");
    let mut rng = stream(spec, SET, "fake", &name);
    let deepfakes = Swap::DEEPFAKES.draw(&mut rng, spec.trace as f32);
    let faceswap = Swap::FACESWAP.draw(&mut rng, spec.trace as f32);
    let face2face = Face2Face::draw(&mut rng, spec.trace as f32);
    let neural = NeuralTextures::draw(&mut rng, spec.trace as f32);
    for (index, t) in frames(&mut rng, spec.scale.ffpp_fake_frames) {
        let (fa, fb) = (a.motion.at(t), b.motion.at(t));
        let shot = shot::take(&a.id, &fa, &a.camera, spec.size, &mut rng);
        let donor = Donor { id: &b.id, frame: &fb, camera: &b.camera };
        let forged = [
            ("DeepFakes", deepfakes.apply(&shot, &fa, &a.camera, &donor, &mut rng)),
            ("Face2Face", face2face.apply(&shot, &fa, &mut rng)),
            ("FaceSwap", faceswap.apply(&shot, &fa, &a.camera, &donor, &mut rng)),
            ("NeuralTextures", neural.apply(&shot, &a.id, &fa, &a.camera, &mut rng)),
        ];
        for (method, picture) in forged {
            let file = format!("{FOLDER}/{split}/fake_four/{method}_{name}_frame_{index}.png");
            store.picture(&file, &shot::jpeg(&picture.to_rgb(), q))?;
        }
    }
    Ok(spec.scale.ffpp_real_frames + 4 * spec.scale.ffpp_fake_frames)
}
