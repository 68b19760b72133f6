//! The pre-training set: many people, a few pictures each, with exact parsing maps.

use super::{Job, person, stream};
use crate::parsing::ParsingMap;
use crate::synth::camera::CameraRange;
use crate::synth::frame::{Motion, Range};
use crate::synth::store::Store;
use crate::synth::{Error, SynthSpec, shot};

const FOLDER: &str = "pretrain/synthfaces";

/// Cameras of pictures from everywhere.
const CAMERA: CameraRange = CameraRange {
    gain: [0.75, 1.2],
    gamma: [0.40, 0.50],
    warm: [-0.06, 0.08],
    saturation: [0.75, 1.2],
    blur: [0.25, 0.75],
    sharpen: [0.0, 0.5],
    noise: [0.005, 0.030],
    vignette: 0.35,
    quality: [65.0, 95.0],
};

pub(crate) fn jobs(spec: &SynthSpec, store: &Store) -> Result<Vec<Job>, Error> {
    store.data_set(FOLDER, spec)?;
    store.folder(&format!("{FOLDER}/images"))?;
    store.folder(&format!("{FOLDER}/parsing_maps"))?;
    let people = 0..spec.scale.pretrain_people;
    Ok(people
        .map(|p| -> Job {
            let spec = spec.clone();
            Box::new(move |store| {
                let name = format!("p{p:05}");
                let id = person(&spec, "pretrain", &name);
                for k in 0..spec.scale.pretrain_per_person {
                    let stem = format!("{name}_{k:03}");
                    let mut rng = stream(&spec, "pretrain", "picture", &stem);
                    let camera = CAMERA.draw(&mut rng);
                    let frame = Motion::draw(&mut rng, Range::WILD).at(0.5);
                    let shot = shot::take(&id, &frame, &camera, spec.size, &mut rng);
                    let picture = shot::jpeg(&shot.picture.to_rgb(), camera.quality);
                    store.picture(&format!("{FOLDER}/images/{stem}.png"), &picture)?;
                    let map = ParsingMap { width: spec.size, height: spec.size, labels: shot.canvas.labels };
                    store.map(&format!("{FOLDER}/parsing_maps/{stem}.npy"), &map)?;
                }
                Ok(spec.scale.pretrain_per_person)
            })
        })
        .collect())
}
