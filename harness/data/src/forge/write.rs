//! Writing a forged data set: photographs are decoded once each, then forged and saved in parallel.
//!
//! Swap partners are drawn from the readable photographs of other people in the same split. Decoded photographs are
//! kept at working size (at most twice the output), so memory is about 12 bytes a working pixel and photograph.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use facebench_protocols::rng::Stream;
use facebench_protocols::{Manifest, Sample, Split};
use rayon::prelude::*;

use super::blend;
use super::look::Look;
use super::people::Person;
use super::record::{RECORD, Record, RecordPerson, RecordUnreadable, SOURCES};
use super::spec::FORGER_VERSION;
use super::{Error, ForgeSpec};
use crate::image::{Filter, Rgb, decode_bytes, encode_png_bytes, png_text, resize};
use crate::readers::{SAMPLE_LIST, SYNTHETIC_KEYWORD, SYNTHETIC_MARKER};
use crate::synth::partial::count_files;
use crate::synth::plane::Plane;
use crate::synth::shot;

/// A readable photograph.
struct Photo {
    person: usize,
    stem: String,
    file: String,
    plane: Plane,
    grey: bool,
    synthetic: bool,
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
    let (photos, unreadable) = read_all(faces, &people, spec)?;
    for (i, person) in people.iter_mut().enumerate() {
        person.photos.retain(|(stem, _)| photos.iter().any(|p| p.person == i && p.stem == *stem));
        if person.photos.is_empty() {
            return Err(Error::Empty { folder: faces.join(&person.origin) });
        }
    }
    for split in ["train", "val", "test"] {
        for class in ["real", "fake"] {
            create(&root.join(split).join(class))?;
        }
    }
    create(&root.join("pretrain/images"))?;
    let synthetic = faces.join(SYNTHETIC_MARKER).exists() || photos.iter().any(|p| p.synthetic);
    let job = Job { root, people: &people, photos: &photos, spec, synthetic };
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
    RecordPerson { name: p.name.clone(), folder: p.origin.clone(), split: p.split, photographs: p.photos.len() }
}

/// Decodes every photograph to its central square at working size.
fn read_all(faces: &Path, people: &[Person], spec: &ForgeSpec) -> Result<(Vec<Photo>, Vec<RecordUnreadable>), Error> {
    let list: Vec<(usize, &String, &PathBuf)> = people
        .iter()
        .enumerate()
        .flat_map(|(i, p)| p.photos.iter().map(move |(stem, path)| (i, stem, path)))
        .collect();
    let read: Vec<Result<Photo, crate::Error>> =
        list.into_par_iter().map(|(person, stem, path)| read_one(faces, person, stem, path, spec.size)).collect();
    let (mut photos, mut unreadable) = (Vec::new(), Vec::new());
    for (result, path) in read.into_iter().zip(people.iter().flat_map(|p| p.photos.iter().map(|x| &x.1))) {
        match result {
            Ok(photo) => photos.push(photo),
            Err(e) if spec.skip_unreadable => {
                let reason = e.to_string().lines().next().unwrap_or_default().to_string();
                unreadable.push(RecordUnreadable { file: relative(faces, path), reason });
            }
            Err(e) => return Err(Error::Unreadable(Box::new(e))),
        }
    }
    Ok((photos, unreadable))
}

fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/")
}

fn read_one(faces: &Path, person: usize, stem: &str, path: &Path, size: usize) -> Result<Photo, crate::Error> {
    let bytes = std::fs::read(path).map_err(crate::Error::io("read", path))?;
    let rgb = decode_bytes(&bytes, path)?;
    let side = rgb.width.min(rgb.height);
    let square = rgb.crop((rgb.width - side) / 2, (rgb.height - side) / 2, side, side);
    let working = side.clamp(size, 2 * size);
    let square = if working == side { square } else { scale(&square, working) };
    let grey = square.pixels.as_chunks::<3>().0.iter().all(|p| p[0] == p[1] && p[1] == p[2]);
    let synthetic = png_text(&bytes).iter().any(|(k, _)| k.eq_ignore_ascii_case(SYNTHETIC_KEYWORD));
    let plane = Plane::from_rgb(&square);
    Ok(Photo { person, stem: stem.into(), file: relative(faces, path), plane, grey, synthetic })
}

fn scale(rgb: &Rgb, side: usize) -> Rgb {
    resize(rgb, side, side, Filter::Bicubic)
}

fn create(folder: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(folder).map_err(Error::io(folder))
}

struct Job<'a> {
    root: &'a Path,
    people: &'a [Person],
    photos: &'a [Photo],
    spec: &'a ForgeSpec,
    synthetic: bool,
}

impl Job<'_> {
    /// Everything made from one photograph: samples (paths relative to the root) and their sources.
    fn photo(&self, i: usize) -> Result<Vec<(Sample, String)>, Error> {
        let photo = &self.photos[i];
        let person = &self.people[photo.person];
        if person.split == Split::Train {
            let picture = scale(&photo.plane.to_rgb(), self.spec.size);
            self.save(&format!("pretrain/images/{}__{}.png", person.name, photo.stem), &picture)?;
        }
        let mut rows = Vec::new();
        for (method, count) in [("photo", self.spec.reals), ("self-blend", self.spec.self_blends), ("swap", self.spec.swaps)] {
            for frame in 0..count {
                let sources = if method == "swap" { vec![i, self.partner(i, frame)] } else { vec![i] };
                rows.push(self.picture(&Picture { method, frame, sources })?);
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
        let others: Vec<usize> = (0..self.people.len()).filter(|p| *p != own && self.people[*p].split == split).collect();
        let mut rng = self.stream(i, "partner", frame);
        let other = others[rng.below(others.len())];
        let theirs: Vec<usize> = (0..self.photos.len()).filter(|p| self.photos[*p].person == other).collect();
        theirs[rng.below(theirs.len())]
    }

    fn picture(&self, want: &Picture) -> Result<(Sample, String), Error> {
        let &Picture { method, frame, ref sources } = want;
        let photo = &self.photos[sources[0]];
        let mut rng = self.stream(sources[0], method, frame);
        let trace = self.spec.trace as f32;
        let made = match method {
            "photo" => Look::draw(&mut rng, 1.0, photo.grey).apply(&photo.plane),
            "self-blend" => blend::self_blend(&photo.plane, photo.grey, &mut rng, trace),
            _ => {
                let other = fitted(&self.photos[sources[1]], photo);
                blend::swap(&photo.plane, &other, photo.grey, &mut rng, trace)
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
        let files: Vec<&str> = sources.iter().map(|s| self.photos[*s].file.as_str()).collect();
        Ok((sample, files.join(";")))
    }

    /// `subject__stem`, of a swap `a+b__stem+stem`; and the people.
    fn name(&self, sources: &[usize]) -> (String, Vec<String>) {
        let people: Vec<String> = sources.iter().map(|s| self.people[self.photos[*s].person].name.clone()).collect();
        let stems: Vec<&str> = sources.iter().map(|s| self.photos[*s].stem.as_str()).collect();
        (format!("{}__{}", people.join("+"), stems.join("+")), people)
    }

    fn save(&self, file: &str, picture: &Rgb) -> Result<(), Error> {
        let path = self.root.join(file);
        let mut text = vec![("facebench", "forged from photographs by facebench forge")];
        if self.synthetic {
            text.push((SYNTHETIC_KEYWORD, "forged from synthetic faces"));
        }
        let bytes = encode_png_bytes(picture, &text).map_err(|e| Error::List { path: path.clone(), reason: e.to_string() })?;
        std::fs::write(&path, bytes).map_err(Error::io(&path))
    }
}

/// The other photograph at this one's working size, grey where this one is.
fn fitted(other: &Photo, to: &Photo) -> Plane {
    let side = to.plane.width;
    let mut plane = if other.plane.width == side {
        other.plane.clone()
    } else {
        Plane::from_rgb(&scale(&other.plane.to_rgb(), side))
    };
    if to.grey && !other.grey {
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
