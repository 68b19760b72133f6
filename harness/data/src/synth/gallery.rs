//! One picture of every kind, for documentation and for looking at.

use facebench_protocols::rng::Stream;

use super::attack;
use super::camera::Camera;
use super::diffusion;
use super::frame::{Motion, Range};
use super::identity::Identity;
use super::layout::mcio;
use super::plane::Plane;
use super::reenact::{Face2Face, NeuralTextures};
use super::shot;
use super::swap::{Donor, Swap};
use crate::image::Rgb;

/// A real frame and every forgery of it: (name, picture), `size` pixels square.
#[must_use]
pub fn gallery(seed: u64, size: usize, trace: f32) -> Vec<(&'static str, Rgb)> {
    let rng = &mut Stream::new("synthetic-faces", seed, &["gallery"]);
    let (id, other) = (Identity::draw(rng), Identity::draw(rng));
    let (f, g) = (Motion::draw(rng, Range::STUDIO).at(0.3), Motion::draw(rng, Range::STUDIO).at(0.3));
    let camera = Camera { noise: [0.014, 0.4], quality: 85, ..Camera::clean() };
    let shot = shot::take(&id, &f, &camera, size, rng);
    let donor = Donor { id: &other, frame: &g, camera: &camera };
    let swap = |s: Swap, rng: &mut Stream| {
        let settled = s.draw(rng, trace);
        settled.apply(&shot, &f, &camera, &donor, rng)
    };
    let mut all: Vec<(&'static str, Plane)> = vec![
        ("real", shot.picture.clone()),
        ("DeepFakes", swap(Swap::DEEPFAKES, rng)),
        ("FaceSwap", swap(Swap::FACESWAP, rng)),
        ("CDFv2", swap(Swap::BETTER, rng)),
        ("DFDC", swap(Swap::MIXED, rng)),
        ("Face2Face", Face2Face::draw(rng, trace).apply(&shot, &f, rng)),
        ("NeuralTextures", NeuralTextures::draw(rng, trace).apply(&shot, &id, &f, &camera, rng)),
        ("T2I", diffusion::text_to_image(&other, &f, size, rng, trace)),
        ("I2I", diffusion::image_to_image(&shot, rng, trace)),
        ("FS", diffusion::swap(&shot, &f, &other, &camera, rng, trace)),
        ("FE", diffusion::edit(&shot, &id, &f, &camera, rng, trace)),
    ];
    for (name, tools) in [("print", &mcio::tools("casia")), ("replay", &mcio::tools("msu"))] {
        let light = match name {
            "print" => attack::print(&shot.picture, tools, id.key, rng, trace),
            _ => attack::replay(&shot.picture, tools, id.key, rng, trace),
        };
        all.push((name, attack::recapture(&light, &camera, rng)));
    }
    all.into_iter().map(|(name, p)| (name, shot::jpeg(&p.to_rgb(), camera.quality))).collect()
}
