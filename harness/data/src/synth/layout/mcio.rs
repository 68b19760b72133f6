//! The four anti-spoofing domains and their lists.
//!
//! Folders hold the official parts (`train`, `test`); the lists are those of the leave-one-out family: `train` names
//! both parts, `shot` a few videos per class, `test` all but those. Lists name frame 0 only, frame 1 lies beside it.
//! File names follow each set's own grammar, so that a reader finds client, device and attack in them.

use std::fmt::Write;

use super::{Job, person, stream};
use crate::synth::attack::{self, Instruments};
use crate::synth::camera::CameraRange;
use crate::synth::casting::within;
use crate::synth::frame::{Motion, Range};
use crate::synth::shot;
use crate::synth::store::Store;
use crate::synth::{Error, SynthSpec};

const FOLDER: &str = "MCIO";

/// One domain: its cameras, and what its attackers used.
#[derive(Clone, Copy)]
struct Domain {
    key: &'static str,
    camera: CameraRange,
    tools: Instruments,
    span: [f32; 2],
}

const DOMAINS: [Domain; 4] = [
    Domain {
        key: "msu",
        camera: CameraRange {
            gain: [0.85, 1.1],
            gamma: [0.43, 0.47],
            warm: [0.00, 0.05],
            saturation: [0.9, 1.05],
            blur: [0.35, 0.55],
            sharpen: [0.0, 0.2],
            noise: [0.010, 0.020],
            vignette: 0.2,
            quality: [70.0, 85.0],
        },
        tools: Instruments {
            dots: [13.0, 17.0],
            dot_contrast: [0.024, 0.061],
            ink: [0.70, 0.88],
            bands: [4.0, 8.0],
            band_contrast: [0.030, 0.090],
            raster: [0.012, 0.040],
            glare: 0.4,
            edge: 0.15,
            cold: [0.04, 0.11],
        },
        span: [1.2, 1.4],
    },
    Domain {
        key: "casia",
        camera: CameraRange {
            gain: [0.75, 1.05],
            gamma: [0.41, 0.46],
            warm: [-0.07, -0.01],
            saturation: [0.7, 0.9],
            blur: [0.35, 0.85],
            sharpen: [0.0, 0.3],
            noise: [0.010, 0.028],
            vignette: 0.3,
            quality: [60.0, 85.0],
        },
        tools: Instruments {
            dots: [9.0, 13.0],
            dot_contrast: [0.028, 0.072],
            ink: [0.60, 0.80],
            bands: [7.0, 12.0],
            band_contrast: [0.025, 0.083],
            raster: [0.012, 0.048],
            glare: 0.25,
            edge: 0.25,
            cold: [-0.07, 0.00],
        },
        span: [1.1, 1.3],
    },
    Domain {
        key: "replay",
        camera: CameraRange {
            gain: [0.8, 1.15],
            gamma: [0.44, 0.50],
            warm: [0.04, 0.11],
            saturation: [0.8, 1.0],
            blur: [0.5, 0.85],
            sharpen: [0.1, 0.5],
            noise: [0.014, 0.028],
            vignette: 0.5,
            quality: [55.0, 72.0],
        },
        tools: Instruments {
            dots: [10.0, 15.0],
            dot_contrast: [0.032, 0.077],
            ink: [0.85, 1.05],
            bands: [3.0, 6.0],
            band_contrast: [0.040, 0.112],
            raster: [0.018, 0.056],
            glare: 0.5,
            edge: 0.3,
            cold: [0.02, 0.08],
        },
        span: [1.15, 1.35],
    },
    Domain {
        key: "oulu",
        camera: CameraRange {
            gain: [0.9, 1.15],
            gamma: [0.42, 0.46],
            warm: [-0.03, 0.03],
            saturation: [1.0, 1.25],
            blur: [0.25, 0.45],
            sharpen: [0.2, 0.6],
            noise: [0.005, 0.014],
            vignette: 0.15,
            quality: [80.0, 92.0],
        },
        tools: Instruments {
            dots: [15.0, 20.0],
            dot_contrast: [0.016, 0.044],
            ink: [0.95, 1.15],
            bands: [8.0, 14.0],
            band_contrast: [0.015, 0.060],
            raster: [0.009, 0.032],
            glare: 0.3,
            edge: 0.1,
            cold: [-0.04, 0.03],
        },
        span: [1.2, 1.45],
    },
];

/// The camera of pictures that attackers got hold of.
const SOURCE: CameraRange = CameraRange {
    gain: [0.9, 1.1],
    gamma: [0.43, 0.47],
    warm: [-0.03, 0.05],
    saturation: [0.9, 1.1],
    blur: [0.25, 0.4],
    sharpen: [0.0, 0.3],
    noise: [0.005, 0.012],
    vignette: 0.2,
    quality: [85.0, 95.0],
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Real,
    Print,
    Replay,
}

/// The six videos of a person: two real, two prints, two replays, in the grammar of the set.
fn videos(key: &str, person: usize) -> [(Kind, String); 6] {
    use Kind::{Print, Real, Replay};
    match key {
        "msu" => [
            (Real, format!("real_client{person:03}_android_SD_scene01")),
            (Real, format!("real_client{person:03}_laptop_SD_scene01")),
            (Print, format!("attack_client{person:03}_android_SD_printed_photo_scene01")),
            (Print, format!("attack_client{person:03}_laptop_SD_printed_photo_scene01")),
            (Replay, format!("attack_client{person:03}_android_SD_ipad_video_scene01")),
            (Replay, format!("attack_client{person:03}_laptop_SD_iphone_video_scene01")),
        ],
        "casia" => [
            (Real, format!("{person}_1")),
            (Real, format!("{person}_HR_1")),
            (Print, format!("{person}_3")),
            (Print, format!("{person}_HR_2")),
            (Replay, format!("{person}_7")),
            (Replay, format!("{person}_HR_4")),
        ],
        "replay" => [
            (Real, format!("client{person:03}_session01_webcam_authenticate_controlled_1")),
            (Real, format!("client{person:03}_session01_webcam_authenticate_adverse_1")),
            (Print, format!("attack_print_client{person:03}_session01_highdef_photo_controlled")),
            (Print, format!("attack_print_client{person:03}_session01_highdef_photo_adverse")),
            (Replay, format!("attack_mobile_client{person:03}_session01_mobile_video_controlled")),
            (Replay, format!("attack_highdef_client{person:03}_session01_highdef_video_adverse")),
        ],
        _ => [
            (Real, format!("{}_1_{person:02}_1", 1 + person % 6)),
            (Real, format!("{}_2_{person:02}_1", 1 + (person + 3) % 6)),
            (Print, format!("{}_1_{person:02}_2", 1 + person % 6)),
            (Print, format!("{}_2_{person:02}_3", 1 + (person + 3) % 6)),
            (Replay, format!("{}_1_{person:02}_4", 1 + person % 6)),
            (Replay, format!("{}_2_{person:02}_5", 1 + (person + 3) % 6)),
        ],
    }
}

/// The attackers' tools of one domain.
pub(crate) fn tools(key: &str) -> Instruments {
    DOMAINS.iter().find(|d| d.key == key).unwrap_or(&DOMAINS[0]).tools
}

pub(crate) fn jobs(spec: &SynthSpec, store: &Store) -> Result<Vec<Job>, Error> {
    let s = &spec.scale;
    let mut jobs: Vec<Job> = Vec::new();
    store.folder(&format!("{FOLDER}/txt"))?;
    for domain in DOMAINS {
        let folder = format!("{FOLDER}/frame/{}", domain.key);
        store.data_set(&folder, spec)?;
        let mut lists = [Vec::new(), Vec::new()];
        for (split, people) in [
            ("train", 1..=s.mcio_train_people),
            ("test", s.mcio_train_people + 1..=s.mcio_train_people + s.mcio_test_people),
        ] {
            for class in ["real", "fake"] {
                store.folder(&format!("{folder}/{split}/{class}"))?;
            }
            for person in people {
                for (kind, video) in videos(domain.key, person) {
                    let fake = kind != Kind::Real;
                    let stem =
                        format!("{}/{split}/{}/{video}", domain.key, if fake { "fake" } else { "real" });
                    lists[usize::from(fake)].push(format!("{stem}_frame0.png"));
                    let spec = spec.clone();
                    jobs.push(Box::new(move |store| write_video(&spec, store, &domain, kind, person, &stem)));
                }
            }
        }
        for (class, lines) in ["real", "fake"].into_iter().zip(&lists) {
            let (shot, test) = lines.split_at(s.mcio_shot.min(lines.len()));
            for (list, part) in [("train", lines.as_slice()), ("shot", shot), ("test", test)] {
                let text = part.iter().fold(String::new(), |mut text, line| {
                    let _ = writeln!(text, "{line}");
                    text
                });
                store.bytes(&format!("{FOLDER}/txt/{}_{class}_{list}.txt", domain.key), text.as_bytes())?;
            }
        }
    }
    Ok(jobs)
}

fn write_video(
    spec: &SynthSpec,
    store: &Store,
    domain: &Domain,
    kind: Kind,
    who: usize,
    stem: &str,
) -> Result<usize, Error> {
    let id = person(spec, domain.key, &who.to_string());
    let mut rng = stream(spec, domain.key, "video", stem);
    let camera = domain.camera.draw(&mut rng);
    let source = SOURCE.draw(&mut rng);
    let motion = Motion::draw(&mut rng, Range { span: domain.span, ..Range::SELFIE });
    let size = spec.size;
    let key = rng.next_u64() as u32;
    // one stream per video and purpose: the medium stays the same in both frames
    let mut medium = stream(spec, domain.key, "medium", stem);
    let start = medium.state();
    for frame in 0..2 {
        let f = motion.at(0.05 + 0.5 * frame as f32 + within(&mut rng, 0.0, 0.05));
        let picture = if kind == Kind::Real {
            shot::take(&id, &f, &camera, size, &mut rng).picture
        } else {
            medium = medium.at(start);
            let first = shot::take(&id, &f, &source, size, &mut rng).picture;
            let light = match kind {
                Kind::Print => attack::print(&first, &domain.tools, key, &mut medium, spec.trace as f32),
                _ => attack::replay(&first, &domain.tools, key, &mut medium, spec.trace as f32),
            };
            attack::recapture(&light, &camera, &mut rng)
        };
        store.picture(
            &format!("{FOLDER}/frame/{stem}_frame{frame}.png"),
            &shot::jpeg(&picture.to_rgb(), camera.quality),
        )?;
    }
    Ok(2)
}
