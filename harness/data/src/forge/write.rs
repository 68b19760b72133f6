//! Writing a forged data set: every photograph is checked first, then forged and saved in parallel.
//!
//! Swap partners are drawn from the readable photographs of other people in the same split, which is why all are
//! decoded once before the first picture is made. Pixels are not kept: memory does not grow with the folder.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use facebench_protocols::rng::Stream;
use facebench_protocols::{Manifest, Sample, Split};
use rayon::prelude::*;

use super::blend;
use super::check::{Photo, check_all, relative};
use super::look::Look;
use super::people::{Person, assign};
use super::record::{RECORD, Record, RecordPerson, SOURCES};
use super::spec::FORGER_VERSION;
use super::{Error, ForgeSpec};
use crate::image::{Filter, Rgb, decode, encode_png_bytes, resize};
use crate::readers::{SAMPLE_LIST, SYNTHETIC_KEYWORD, SYNTHETIC_MARKER};
use crate::synth::partial::count_files;
use crate::synth::plane::Plane;
use crate::synth::shot;

/// A decoded photograph at working size.
struct Pixels {
    plane: Plane,
    grey: bool,
}

/// One picture to be written.
struct Picture {
    method: &'static str,
    frame: usize,
    sources: Vec<usize>,
}

/// Writes everything below `root` and returns the record.
pub(super) fn write_all(
    root: &Path,
    faces: &Path,
    mut people: Vec<Person>,
    spec: &ForgeSpec,
    photographs: String,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Record, Error> {
    let (photos, unreadable) = check_all(faces, &mut people, spec)?;
    assign(faces, &mut people, spec)?;
    for split in ["train", "val", "test"] {
        for class in ["real", "fake"] {
            create(&root.join(split).join(class))?;
        }
    }
    create(&root.join("pretrain/images"))?;
    let synthetic = faces.join(SYNTHETIC_MARKER).exists() || photos.iter().any(|p| p.synthetic);
    let job = Job::new(root, faces, &people, &photos, spec, synthetic);
    let (total, done) = (photos.len(), AtomicUsize::new(0));
    let written: Vec<Vec<(Sample, String)>> = (0..total)
        .into_par_iter()
        .map(|i| {
            let rows = job.photo(i)?;
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
            Ok(rows)
        })
        .collect::<Result<_, Error>>()?;
    write_lists(root, written, synthetic)?;
    let record = Record {
        generator: "facebench forge".into(),
        version: FORGER_VERSION,
        spec: spec.clone(),
        photographs,
        synthetic,
        files: count_files(root)? + 1,
        people: people.iter().map(to_record).collect(),
        unreadable,
    };
    let path = root.join(RECORD);
    let text = serde_json::to_string_pretty(&record).expect("plain numbers and strings serialise");
    std::fs::write(&path, text + "\n").map_err(Error::io(&path))?;
    Ok(record)
}

fn to_record(p: &Person) -> RecordPerson {
    RecordPerson {
        name: p.name.clone(),
        folder: p.origin.clone(),
        split: p.split,
        photographs: p.photos.len(),
    }
}

/// Decodes a photograph to its central square at working size: its own, but between one and two output sides.
fn pixels(path: &Path, size: usize) -> Result<Pixels, Error> {
    let rgb = decode(path).map_err(|e| Error::Unreadable(Box::new(e)))?;
    let side = rgb.width.min(rgb.height);
    let square = rgb.crop((rgb.width - side) / 2, (rgb.height - side) / 2, side, side);
    let working = side.clamp(size, 2 * size);
    let square = if working == side { square } else { scale(&square, working) };
    let grey = square.pixels.as_chunks::<3>().0.iter().all(|p| p[0] == p[1] && p[1] == p[2]);
    Ok(Pixels { plane: Plane::from_rgb(&square), grey })
}

fn scale(rgb: &Rgb, side: usize) -> Rgb {
    resize(rgb, side, side, Filter::Bicubic)
}

fn create(folder: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(folder).map_err(Error::io(folder))
}

struct Job<'a> {
    root: &'a Path,
    faces: &'a Path,
    people: &'a [Person],
    photos: &'a [Photo],
    /// Photographs of each person.
    album: Vec<Vec<usize>>,
    spec: &'a ForgeSpec,
    synthetic: bool,
}

impl<'a> Job<'a> {
    fn new(
        root: &'a Path,
        faces: &'a Path,
        people: &'a [Person],
        photos: &'a [Photo],
        spec: &'a ForgeSpec,
        synthetic: bool,
    ) -> Self {
        let mut album = vec![Vec::new(); people.len()];
        photos.iter().enumerate().for_each(|(i, p)| album[p.person].push(i));
        Self { root, faces, people, photos, album, spec, synthetic }
    }

    /// Everything made from one photograph: samples (paths relative to the root) and their sources.
    fn photo(&self, i: usize) -> Result<Vec<(Sample, String)>, Error> {
        let photo = &self.photos[i];
        let person = &self.people[photo.person];
        let own = pixels(&photo.path, self.spec.size)?;
        if person.split == Split::Train {
            let picture = scale(&own.plane.to_rgb(), self.spec.size);
            self.save(&format!("pretrain/images/{}__{}.png", person.name, photo.stem), &picture)?;
        }
        let counts =
            [("photo", self.spec.reals), ("self-blend", self.spec.self_blends), ("swap", self.spec.swaps)];
        let mut rows = Vec::new();
        for (method, count) in counts {
            for frame in 0..count {
                let sources = if method == "swap" { vec![i, self.partner(i, frame)] } else { vec![i] };
                rows.push(self.picture(&own, &Picture { method, frame, sources })?);
            }
        }
        Ok(rows)
    }

    fn stream(&self, i: usize, what: &str, frame: usize) -> Stream {
        let photo = &self.photos[i];
        let name = &self.people[photo.person].name;
        Stream::new("forge", self.spec.seed, &[name, &photo.stem, what, &frame.to_string()])
    }

    /// Somebody else of the same split.
    fn partner(&self, i: usize, frame: usize) -> usize {
        let own = self.photos[i].person;
        let split = self.people[own].split;
        let others: Vec<usize> =
            (0..self.people.len()).filter(|p| *p != own && self.people[*p].split == split).collect();
        let mut rng = self.stream(i, "partner", frame);
        let theirs = &self.album[others[rng.below(others.len())]];
        theirs[rng.below(theirs.len())]
    }

    fn picture(&self, own: &Pixels, want: &Picture) -> Result<(Sample, String), Error> {
        let &Picture { method, frame, ref sources } = want;
        let photo = &self.photos[sources[0]];
        let mut rng = self.stream(sources[0], method, frame);
        let trace = self.spec.trace as f32;
        let made = match method {
            "photo" => Look::draw(&mut rng, 1.0, own.grey).apply(&own.plane),
            "self-blend" => blend::self_blend(&own.plane, own.grey, &mut rng, trace),
            _ => {
                let other = fitted(pixels(&self.photos[sources[1]].path, self.spec.size)?, own);
                blend::swap(&own.plane, &other, own.grey, &mut rng, trace)
            }
        };
        let [low, high] = self.spec.quality;
        let quality = low + rng.below(usize::from(high - low) + 1) as u8;
        let picture = shot::jpeg(&scale(&made.to_rgb(), self.spec.size), quality);
        let (video, subjects) = self.name(sources);
        let label = u8::from(method != "photo");
        let split = self.people[photo.person].split;
        let class = ["real", "fake"][usize::from(label)];
        let file = format!("{split}/{class}/{method}__{video}_frame_{frame}.png");
        self.save(&file, &picture)?;
        let sample = Sample {
            dataset: "forge".into(),
            method: method.into(),
            video,
            frame: frame as u32,
            label,
            split,
            subjects,
            path: PathBuf::from(file),
        };
        let files: Vec<String> =
            sources.iter().map(|s| relative(self.faces, &self.photos[*s].path)).collect();
        Ok((sample, files.join(";")))
    }

    /// `subject__stem`, of a swap `a+b__stem+stem`; and the people.
    fn name(&self, sources: &[usize]) -> (String, Vec<String>) {
        let people: Vec<String> =
            sources.iter().map(|s| self.people[self.photos[*s].person].name.clone()).collect();
        let stems: Vec<&str> = sources.iter().map(|s| self.photos[*s].stem.as_str()).collect();
        (format!("{}__{}", people.join("+"), stems.join("+")), people)
    }

    fn save(&self, file: &str, picture: &Rgb) -> Result<(), Error> {
        let path = self.root.join(file);
        let mut text = vec![("facebench", "forged from photographs by facebench forge")];
        if self.synthetic {
            text.push((SYNTHETIC_KEYWORD, "forged from synthetic faces"));
        }
        let bytes = encode_png_bytes(picture, &text)
            .map_err(|e| Error::List { path: path.clone(), reason: e.to_string() })?;
        std::fs::write(&path, bytes).map_err(Error::io(&path))
    }
}

/// The other photograph at this one's working size, grey where this one is.
fn fitted(other: Pixels, to: &Pixels) -> Plane {
    let side = to.plane.width;
    let Pixels { mut plane, grey } = other;
    if plane.width != side {
        plane = Plane::from_rgb(&scale(&plane.to_rgb(), side));
    }
    if to.grey && !grey {
        plane.pixels.iter_mut().for_each(|c| *c = [0.30 * c[0] + 0.59 * c[1] + 0.11 * c[2]; 3]);
    }
    plane
}

/// The list of samples, the table of sources and, for synthetic photographs, the marker.
fn write_lists(root: &Path, rows: Vec<Vec<(Sample, String)>>, synthetic: bool) -> Result<(), Error> {
    let mut sources = String::from("path,method,photographs\n");
    let mut samples = Vec::new();
    for (sample, files) in rows.into_iter().flatten() {
        let quoted = files.replace('"', "\"\"");
        let _ = writeln!(sources, "{},{},\"{quoted}\"", sample.path.display(), sample.method);
        samples.push(sample);
    }
    let path = root.join(SOURCES);
    std::fs::write(&path, sources).map_err(Error::io(&path))?;
    let path = root.join(SAMPLE_LIST);
    Manifest::new("forge", samples, synthetic)
        .and_then(|m| m.write_csv(&path))
        .map_err(|e| Error::List { path: path.clone(), reason: e.to_string() })?;
    if synthetic {
        let path = root.join(SYNTHETIC_MARKER);
        let text = "{\"synthetic\": true, \"generator\": \"facebench forge\", \"note\": \"forged from synthetic faces\"}\n";
        std::fs::write(&path, text).map_err(Error::io(&path))?;
    }
    Ok(())
}
