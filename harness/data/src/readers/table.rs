//! Lists in CSV: a manifest that `facebench data index` wrote, and any other table with its columns named.
//!
//! Paths are relative to the list's folder, with either slash, or absolute. Polarity: a manifest says 1 = fake; of
//! any other table the caller says which values are real and which are fake, and a third value is an error.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use facebench_protocols::{Manifest, Split, csv};

use super::clip::{Clip, Media, Place, Sink};
use super::{lists, lmdb, media, names, walk};
use crate::Error;

/// Which column of a table says what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    /// Picture or film; needed.
    pub path: String,
    /// Real or fake; needed.
    pub label: String,
    /// Video; the file's name tells it where absent.
    pub video: Option<String>,
    /// Frame number; the file's name tells it where absent.
    pub frame: Option<String>,
    /// train, val or test; everything is for testing where absent.
    pub split: Option<String>,
    /// Method; `real` and `fake` where absent.
    pub method: Option<String>,
    /// People, separated by `;`.
    pub subjects: Option<String>,
    /// Values of the label that mean real.
    pub real: Vec<String>,
    /// Values of the label that mean fake.
    pub fake: Vec<String>,
}

impl Columns {
    /// The values that mean real or fake unless said otherwise. `0` and `1` are 0 = real, 1 = fake.
    pub const REAL: [&'static str; 5] = ["0", "real", "live", "bonafide", "genuine"];
    /// See [`Columns::REAL`].
    pub const FAKE: [&'static str; 5] = ["1", "fake", "spoof", "attack", "synthetic"];
}

/// What a manifest lists.
///
/// # Errors
/// As [`Manifest::read_csv`]; a table of the user's own is told what makes a manifest of it.
pub(super) fn listed(list: &Path) -> Result<Manifest, Error> {
    use facebench_protocols::Error::{Csv, Io};
    Manifest::read_csv(list).map_err(|error| match error {
        Csv { path, line: 1, message, hint } if message.ends_with("is missing") => {
            let hint = hint.map_or_else(String::new, |h| h + "; ");
            let make = "`facebench data index folder:NAME TABLE.csv --path-column COLUMN --label-column COLUMN --out \
                        MANIFEST.csv` makes a manifest of any other table";
            Error::layout(&path, format!("line 1: {message}"), hint + make)
        }
        Io { .. } if !list.is_file() => walk::missing(list, "manifest"),
        other => other.into(),
    })
}

/// Reads a manifest; every file must be there.
pub(super) fn read_manifest(place: &Place, list: &Path, sink: &mut Sink) -> Result<(), Error> {
    let base = list.parent().unwrap_or(Path::new(""));
    let samples = listed(list)?.samples;
    let mut samples = samples.into_iter().peekable();
    while let Some(first) = samples.next() {
        let mut files = vec![(first.frame, base.join(&first.path))];
        while let Some(next) = samples.next_if(|s| s.method == first.method && s.video == first.video) {
            files.push((next.frame, base.join(&next.path)));
        }
        if !place.wants(first.split) {
            continue;
        }
        let mut there = Vec::with_capacity(files.len());
        for (frame, path) in files {
            if is_there(&path)? {
                there.push((frame, path));
            } else {
                let what = format!("lists {}, which is not there", path.display());
                place.fault(Error::layout(
                    list,
                    what,
                    "paths are relative to the list; make the folder again",
                ))?;
            }
        }
        let film = there.len() == 1 && there[0].1.to_str().is_some_and(media::is_film_name);
        let media = match there.pop() {
            None => continue,
            Some((_, path)) if film => Media::Film(path),
            Some(last) => {
                there.push(last);
                Media::Frames(there)
            }
        };
        let (method, video, subjects) = (first.method, first.video, first.subjects);
        sink(Clip { method, video, label: first.label, split: first.split, subjects, media })?;
    }
    Ok(())
}

fn is_there(path: &Path) -> Result<bool, Error> {
    Ok(path.is_file() || lmdb::contains(path)?)
}

/// Method, video, label, split.
type Key = (String, String, u8, Split);
/// Frames with their files.
type Files = Vec<(u32, PathBuf)>;

/// Whether a label column is named after the real class, so that its 1 will hardly mean fake.
fn says_real(column: &str) -> bool {
    let column = column.to_ascii_lowercase();
    ["live", "real", "genuine", "bonafide", "bona_fide", "bona-fide", "bona fide"]
        .iter()
        .any(|word| column.contains(word))
}

/// Reads any table, its rows in groups of one video.
pub(super) fn read_table(
    place: &Place,
    list: &Path,
    columns: &Columns,
    sink: &mut Sink,
) -> Result<(), Error> {
    let text = lists::text(list, "table of samples")?;
    let table = csv::Table::parse(list, &text)?;
    let need = |name: &str| table.column(name);
    let maybe = |name: &Option<String>| name.as_deref().map(need).transpose();
    let (path, label) = (need(&columns.path)?, need(&columns.label)?);
    let (video, frame, split) = (maybe(&columns.video)?, maybe(&columns.frame)?, maybe(&columns.split)?);
    let (method, people) = (maybe(&columns.method)?, maybe(&columns.subjects)?);
    let base = list.parent().unwrap_or(Path::new(""));
    let told = !columns.real.is_empty() || !columns.fake.is_empty();
    let mut seen: HashMap<String, (u8, usize)> = HashMap::new();
    let means = |given: &[String], usual: &[&str], value: &str| match given {
        [] => usual.iter().any(|u| u.eq_ignore_ascii_case(value)),
        given => given.iter().any(|g| g.eq_ignore_ascii_case(value)),
    };
    let mut clips: BTreeMap<Key, (Vec<String>, Files)> = BTreeMap::new();
    for row in table.rows() {
        let fail = |what: String, hint: &str| Error::layout(list, format!("line {}: {what}", row.line), hint);
        let value = row.text(label).trim();
        if !told && ["0", "1"].contains(&value) && says_real(&columns.label) {
            let what = format!(
                "the column `{}` seems to say 1 = real, but 1 means fake unless told otherwise",
                columns.label
            );
            return Err(fail(
                what,
                "say which values mean what: `--real 1 --fake 0`, or `--real 0 --fake 1`",
            ));
        }
        let real = means(&columns.real, &Columns::REAL, value);
        let fake = means(&columns.fake, &Columns::FAKE, value);
        if real == fake {
            let hint = "say which values mean what: --real VALUE --fake VALUE";
            place.fault(fail(format!("the label is `{value}`, which is neither real nor fake"), hint))?;
            continue;
        }
        let label = u8::from(fake);
        let split = match split.map(|at| row.text(at).trim().to_ascii_lowercase()).as_deref() {
            None | Some("test" | "testing") => Split::Test,
            Some("train" | "training") => Split::Train,
            Some("val" | "valid" | "validation" | "dev" | "devel") => Split::Val,
            Some(other) => {
                place.fault(fail(format!("the split is `{other}`"), "expected train, val or test"))?;
                continue;
            }
        };
        let relative = lists::slashes(row.text(path).trim());
        let file = base.join(&relative);
        if relative.is_empty() || !is_there(&file)? {
            let hint = "paths are relative to the table's folder, or absolute";
            place.fault(fail(format!("{} is not there", file.display()), hint))?;
            continue;
        }
        let (first, line) = *seen.entry(relative.clone()).or_insert((label, row.line));
        if first != label {
            let (was, is) = (super::classes::word(first), super::classes::word(label));
            let what = format!("{} is {is} here and {was} in line {line}", file.display());
            place.fault(fail(what, "a picture has one label: remove one of the two lines"))?;
            continue;
        }
        let flat = walk::stem(&relative).trim_start_matches('/').replace(['/', ':'], "_");
        let stem = walk::stem(relative.rsplit('/').next().unwrap_or(&relative));
        let (told_video, told_frame) = match names::split_frame(&flat) {
            Some((video, frame)) => (video.to_owned(), frame),
            None => (flat.clone(), 0),
        };
        let number = match frame {
            Some(at) => row.parse(at, "frame")?,
            None if video.is_some() => names::trailing_number(stem).unwrap_or(told_frame),
            None => told_frame,
        };
        let clean = |text: &str| text.trim().replace(['/', '\\'], "_");
        let video = video.map_or(told_video, |at| clean(row.text(at)));
        let word = super::classes::word(label);
        let method = method.map(|at| clean(row.text(at))).filter(|m| !m.is_empty());
        let key = (method.unwrap_or_else(|| word.to_owned()), video, label, split);
        let people: Vec<String> = people.map_or(Vec::new(), |at| {
            row.text(at).split(';').map(str::trim).filter(|p| !p.is_empty()).map(str::to_owned).collect()
        });
        clips.entry(key).or_insert_with(|| (people, Vec::new())).1.push((number, file));
    }
    for ((method, video, label, split), (subjects, mut files)) in clips {
        files.sort();
        let film = files.len() == 1 && files[0].1.to_str().is_some_and(media::is_film_name);
        let media = match film {
            true => Media::Film(files.remove(0).1),
            false => Media::Frames(files),
        };
        sink(Clip { method, video, label, split, subjects, media })?;
    }
    Ok(())
}
