//! The diffusion-forgery set: four subsets of fakes, each beside the same real photographs.

use super::{Job, person, stream};
use crate::synth::camera::CameraRange;
use crate::synth::diffusion;
use crate::synth::frame::{Motion, Range};
use crate::synth::shot;
use crate::synth::store::Store;
use crate::synth::{Error, SynthSpec};

const FOLDER: &str = "diffusion_facial_forgery/test_subsets";
const SET: &str = "diff";
const SUBSETS: [&str; 4] = ["T2I", "I2I", "FS", "FE"];

const CAMERA: CameraRange = CameraRange {
    gain: [0.8, 1.15],
    gamma: [0.42, 0.49],
    warm: [-0.04, 0.08],
    saturation: [0.85, 1.2],
    blur: [0.25, 0.5],
    sharpen: [0.0, 0.5],
    noise: [0.006, 0.022],
    vignette: 0.4,
    quality: [80.0, 95.0],
};

pub(crate) fn jobs(spec: &SynthSpec, store: &Store) -> Result<Vec<Job>, Error> {
    let mut jobs: Vec<Job> = Vec::new();
    for subset in SUBSETS {
        store.data_set(&format!("{FOLDER}/{subset}"), spec)?;
        for class in ["real", "fake"] {
            store.folder(&format!("{FOLDER}/{subset}/test/{class}"))?;
        }
        for i in 0..spec.scale.diff_images {
            let spec = spec.clone();
            jobs.push(Box::new(move |store| write_fake(&spec, store, subset, i)));
        }
    }
    for i in 0..spec.scale.diff_images {
        let spec = spec.clone();
        jobs.push(Box::new(move |store| write_real(&spec, store, i)));
    }
    Ok(jobs)
}

fn write_real(spec: &SynthSpec, store: &Store, i: usize) -> Result<usize, Error> {
    let stem = format!("real_{i:05}");
    let mut rng = stream(spec, SET, "picture", &stem);
    let camera = CAMERA.draw(&mut rng);
    let frame = Motion::draw(&mut rng, Range::STUDIO).at(0.5);
    let shot = shot::take(&person(spec, SET, &stem), &frame, &camera, spec.size, &mut rng);
    let png = store.encode(&stem, &shot::jpeg(&shot.picture.to_rgb(), camera.quality))?;
    for subset in SUBSETS {
        store.bytes(&format!("{FOLDER}/{subset}/test/real/{stem}.png"), &png)?;
    }
    Ok(SUBSETS.len())
}

fn write_fake(spec: &SynthSpec, store: &Store, subset: &str, i: usize) -> Result<usize, Error> {
    let stem = format!("{}_{i:05}", subset.to_lowercase());
    let mut rng = stream(spec, SET, "picture", &stem);
    let trace = spec.trace as f32;
    let camera = CAMERA.draw(&mut rng);
    let f = Motion::draw(&mut rng, Range::STUDIO).at(0.5);
    let id = person(spec, SET, &stem);
    let picture = if subset == "T2I" {
        diffusion::text_to_image(&id, &f, spec.size, &mut rng, trace)
    } else {
        let shot = shot::take(&id, &f, &camera, spec.size, &mut rng);
        match subset {
            "I2I" => diffusion::image_to_image(&shot, &mut rng, trace),
            "FS" => {
                let donor = person(spec, SET, &format!("{stem} donor"));
                diffusion::swap(&shot, &f, &donor, &camera, &mut rng, trace)
            }
            _ => diffusion::edit(&shot, &id, &f, &camera, &mut rng, trace),
        }
    };
    let file = format!("{FOLDER}/{subset}/test/fake/{stem}.png");
    store.picture(&file, &shot::jpeg(&picture.to_rgb(), camera.quality))?;
    Ok(1)
}
