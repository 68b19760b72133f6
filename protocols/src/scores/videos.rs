//! Score files at video level, read as a stream: half a million rows cost what their videos cost.
//!
//! A report over hundreds of runs needs one score per video of each. [`read_videos`] gives exactly what
//! [`read_scores`](super::read_scores) and [`video::group`] give together, with the same checks, in one pass over the
//! bytes and without a string per row. Rows of one video that stand together, as every writer leaves them, are found by
//! comparing bytes with the row before; rows in any other order are found by a map. A file with quotes, unusual line
//! ends or anything wrong goes the slow way, which knows how to name the fault.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::{COLUMNS, read_scores};
use crate::error::{Error, Result};
use crate::metrics::video;
use crate::protocol::Aggregation;
use crate::sample::{check_identity, split_subjects};

/// Bytes read at a time.
const CHUNK: usize = 1 << 20;
/// Frames to make room for; most protocols take 32 of a video.
const FRAMES: usize = 32;
/// Less than any character of an identity.
const BETWEEN: &str = "\0";
/// Columns of a file that is read the fast way.
const WIDEST: usize = 16;

/// The videos of one set and their scores.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VideoScores {
    /// `dev`, or the name of a test set.
    pub set: String,
    /// `dataset/method/video`, sorted by their parts.
    pub videos: Vec<String>,
    /// 1 = fake, spoof; 0 = real, live.
    pub labels: Vec<u8>,
    /// Aggregated P(fake).
    pub scores: Vec<f64>,
}

/// The sets of a score file at video level, sorted by name.
///
/// # Errors
/// As [`read_scores`](super::read_scores), or a video has frames of both labels.
pub fn read_videos(path: &Path, aggregation: Aggregation) -> Result<Vec<VideoScores>> {
    match Pass::of(path)? {
        Some(pass) => Ok(pass.finish(aggregation)),
        None => slowly(path, aggregation),
    }
}

/// By way of rows.
fn slowly(path: &Path, aggregation: Aggregation) -> Result<Vec<VideoScores>> {
    let rows = read_scores(path)?;
    let mut sets: Vec<&str> = rows.iter().map(|r| r.set.as_str()).collect();
    sets.sort_unstable();
    sets.dedup();
    let of = |set: &str| {
        let rows: Vec<_> = rows.iter().filter(|r| r.set == set).collect();
        let mut out = VideoScores { set: set.to_owned(), ..VideoScores::default() };
        for v in video::group(&rows, aggregation)? {
            out.videos.push(v.row.video_id());
            out.labels.push(v.row.label);
            out.scores.push(v.score);
        }
        Ok(out)
    };
    sets.into_iter().map(of).collect()
}

/// Where the columns stand.
struct Layout {
    width: usize,
    at: [usize; 7],
    raw: Option<usize>,
    subjects: Option<usize>,
}

/// One video while its file is read.
struct Gathered {
    /// Set, data set, method and video with [`BETWEEN`] between them, so that text order is the order of the parts.
    key: String,
    label: u8,
    frames: Vec<(u32, f64)>,
}

/// One pass over a file without surprises.
struct Pass {
    layout: Layout,
    known: HashMap<String, usize>,
    videos: Vec<Gathered>,
    /// Video of the row before, its key and its text of subjects.
    last: usize,
    key: Vec<u8>,
    people: Vec<u8>,
}

impl Pass {
    /// `None` if the file needs the slow way.
    fn of(path: &Path) -> Result<Option<Self>> {
        let mut file = File::open(path).map_err(|e| Error::io(path, e))?;
        let mut buffer = vec![0; CHUNK];
        let (mut filled, mut pass) = (0, None);
        loop {
            let read = file.read(&mut buffer[filled..]).map_err(|e| Error::io(path, e))?;
            filled += read;
            let end = if read == 0 {
                filled
            } else {
                buffer[..filled].iter().rposition(|&b| b == b'\n').map_or(0, |n| n + 1)
            };
            if lines(&buffer[..end], &mut pass).is_none() {
                return Ok(None);
            }
            if read == 0 {
                return Ok(pass.filter(|p: &Self| p.whole()));
            }
            buffer.copy_within(end..filled, 0);
            filled -= end;
            if filled == buffer.len() {
                buffer.resize(2 * filled, 0); // a line longer than the buffer
            }
        }
    }

    fn new(layout: Layout) -> Self {
        let (known, videos) = (HashMap::new(), Vec::new());
        Self { layout, known, videos, last: 0, key: Vec::new(), people: Vec::new() }
    }

    /// Takes a row, given as its text and where its cells are; `None` if it is not as it should be.
    fn row(&mut self, text: &[u8], cells: &[(usize, usize)]) -> Option<()> {
        let layout = &self.layout;
        if cells.len() != layout.width {
            return None;
        }
        let (at, cell) = (layout.at, |column: usize| &text[cells[column].0..cells[column].1]);
        let frame = whole(cell(at[4]))?;
        let label = match cell(at[5]) {
            b"0" => 0,
            b"1" => 1,
            _ => return None,
        };
        let score: f64 = number(cell(at[6]))?;
        if !(0.0..=1.0).contains(&score) || !layout.raw.is_none_or(|r| finite(cell(r))) {
            return None;
        }
        let people: &[u8] = layout.subjects.map_or(b"", cell);
        let joined;
        let key = if at[..4] == [0, 1, 2, 3] {
            &text[cells[0].0..cells[3].1] // as it stands there
        } else {
            joined = [cell(at[0]), cell(at[1]), cell(at[2]), cell(at[3])].join(&b',');
            &joined
        };
        if key != self.key || people != self.people {
            self.last = self.index(key, people, label)?;
        }
        let video = &mut self.videos[self.last];
        if video.label != label {
            return None;
        }
        video.frames.push((frame, score));
        Some(())
    }

    /// Number of the video called `key`, a new one where it is not known yet.
    fn index(&mut self, key: &[u8], people: &[u8], label: u8) -> Option<usize> {
        let text = std::str::from_utf8(key).ok()?;
        let mut parts = text.split(',');
        let [set, dataset, method, video] = std::array::from_fn(|_| parts.next().unwrap_or_default());
        let subjects = split_subjects(std::str::from_utf8(people).ok()?);
        check_identity("", dataset, method, video, &subjects).ok()?;
        if set.is_empty() || set.contains(BETWEEN) {
            return None;
        }
        (self.key, self.people) = (key.to_vec(), people.to_vec());
        if let Some(&index) = self.known.get(text) {
            return Some(index);
        }
        self.known.insert(text.to_owned(), self.videos.len());
        let key = text.replace(',', BETWEEN); // no part has a comma in a file without quotes
        self.videos.push(Gathered { key, label, frames: Vec::with_capacity(FRAMES) });
        Some(self.videos.len() - 1)
    }

    /// Sorts the frames of every video; whether there are videos and no frame is there twice.
    fn whole(&self) -> bool {
        let twice = |v: &Gathered| {
            let rising = v.frames.windows(2).all(|w| w[0].0 < w[1].0);
            let mut frames: Vec<u32> =
                if rising { Vec::new() } else { v.frames.iter().map(|f| f.0).collect() };
            frames.sort_unstable();
            frames.windows(2).any(|w| w[0] == w[1])
        };
        !self.videos.is_empty() && !self.videos.iter().any(twice)
    }

    fn finish(mut self, aggregation: Aggregation) -> Vec<VideoScores> {
        self.videos.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        let mut out: Vec<VideoScores> = Vec::new();
        let mut frames = Vec::new();
        for mut v in self.videos {
            v.frames.sort_by_key(|f| f.0); // sums of floats depend on their order
            frames.clear();
            frames.extend(v.frames.iter().map(|f| f.1));
            let (set, video) = v.key.split_once(BETWEEN).unwrap_or_default();
            if out.last().is_none_or(|s| s.set != set) {
                out.push(VideoScores { set: set.to_owned(), ..VideoScores::default() });
            }
            let last = out.last_mut().expect("just pushed");
            last.videos.push(video.replace(BETWEEN, "/"));
            last.labels.push(v.label);
            last.scores.push(video::aggregate(&frames, aggregation));
        }
        out
    }
}

/// Hands the cells of every line on, the first line's to [`Layout::of`]; `None` where the slow way is needed.
fn lines(text: &[u8], pass: &mut Option<Pass>) -> Option<()> {
    let mut cells = [(0, 0); WIDEST]; // from, to
    let (mut width, mut start) = (0, 0);
    for at in 0..=text.len() {
        let byte = text.get(at).copied().unwrap_or(b'\n');
        if byte > b',' {
            continue; // letters, digits, dots, minus signs: nearly everything
        }
        match byte {
            b',' | b'\n' => {
                *cells.get_mut(width)? = (start, at);
                (width, start) = (width + 1, at + 1);
            }
            b'"' | b'\r' => return None,
            _ => {}
        }
        if byte == b'\n' {
            let line = &cells[..std::mem::take(&mut width)];
            match pass {
                _ if matches!(line, [(from, to)] if from == to) => {} // an empty line
                None => {
                    let header: Vec<&[u8]> = line.iter().map(|&(from, to)| &text[from..to]).collect();
                    *pass = Some(Pass::new(Layout::of(&header)?));
                }
                Some(pass) => pass.row(text, line)?,
            }
        }
    }
    Some(())
}

impl Layout {
    fn of(header: &[&[u8]]) -> Option<Self> {
        let text = |cell: &&[u8]| std::str::from_utf8(cell).ok().map(str::to_owned);
        let mut names: Vec<String> = header.iter().map(text).collect::<Option<_>>()?;
        names[0] = names[0].trim_start_matches('\u{feff}').to_owned();
        names.iter_mut().for_each(|n| *n = n.trim().to_owned());
        let find = |name: &str| names.iter().position(|n| *n == name);
        let mut at = [0; 7];
        for (slot, name) in at.iter_mut().zip(COLUMNS) {
            *slot = find(name)?;
        }
        let once = names.iter().enumerate().all(|(i, n)| find(n) == Some(i)); // twice is an error
        once.then(|| Self { width: names.len(), at, raw: find("raw"), subjects: find("subjects") })
    }
}

/// Digits only.
fn whole(cell: &[u8]) -> Option<u32> {
    if cell.is_empty() || cell.len() > 9 {
        return None;
    }
    cell.iter().try_fold(0, |n, b| b.is_ascii_digit().then(|| n * 10 + u32::from(b - b'0')))
}

fn number(cell: &[u8]) -> Option<f64> {
    std::str::from_utf8(cell).ok()?.parse().ok()
}

/// Whether this is a finite number, without working out which where that is plain to see.
fn finite(cell: &[u8]) -> bool {
    let digits = cell.strip_prefix(b"-").unwrap_or(cell);
    let mut dots = 0;
    let plain = digits.iter().all(|b| {
        dots += u32::from(*b == b'.');
        b.is_ascii_digit() || *b == b'.'
    });
    let short = digits.len() < 300 && digits.len() > dots as usize && dots < 2;
    (plain && short) || number(cell).is_some_and(f64::is_finite)
}

#[cfg(test)]
mod tests {
    use super::super::{ScoreRow, write_scores};
    use super::{Pass, read_videos, slowly};
    use crate::protocol::Aggregation;

    fn rows() -> Vec<ScoreRow> {
        let mut rows = Vec::new();
        for (set, method, label) in [("dev", "a", 0), ("B", "b", 1), ("dev", "b", 1), ("B", "a-b", 0)] {
            for i in 0..60_u32 {
                // out of order, with videos apart, and scores in many forms
                let (video, frame) = (format!("v{}", i * 7 % 5), i * 11 % 60);
                let score = [1e-9, 0.1 + 0.2, 1.0, 0.0, 5e-324][i as usize % 5] / f64::from(i + 1);
                let row = ScoreRow {
                    set: set.into(),
                    dataset: "d".into(),
                    method: method.into(),
                    video,
                    frame,
                    label,
                    score,
                    raw: score - 1e300,
                    subjects: vec![format!("s{}", i % 2)],
                };
                rows.push(row);
            }
        }
        rows
    }

    #[test]
    fn a_stream_gives_the_same_bits_as_rows() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("scores.csv");
        let mut all = rows();
        write_scores(&path, &all).unwrap();
        for aggregation in [Aggregation::Mean, Aggregation::Max, Aggregation::TopK(3)] {
            assert!(Pass::of(&path).unwrap().is_some());
            assert_eq!(read_videos(&path, aggregation).unwrap(), slowly(&path, aggregation).unwrap());
        }
        assert_eq!(read_videos(&path, Aggregation::Mean).unwrap().len(), 2);
        all.reverse();
        let before = read_videos(&path, Aggregation::Mean).unwrap();
        write_scores(&path, &all).unwrap();
        assert_eq!(read_videos(&path, Aggregation::Mean).unwrap(), before, "the order of rows matters");
        all[3].video = "v,3".into();
        write_scores(&path, &all).unwrap();
        assert!(Pass::of(&path).unwrap().is_none(), "quotes go the slow way");
        assert!(read_videos(&path, Aggregation::Mean).unwrap()[0].videos.contains(&"d/a-b/v,3".into()));
    }

    #[test]
    fn what_rows_refuse_a_stream_refuses() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("scores.csv");
        let head = "set,dataset,method,video,frame,label,score,raw,subjects\n";
        let good = "B,d,m,v,1,0,0.5,0,\n";
        std::fs::write(&path, format!("{head}{good}\nB,d,m,v2,1,0,0.5,0,\n")).unwrap();
        let known = read_videos(&path, Aggregation::Mean).unwrap();
        assert_eq!((&known[0].scores[..], &known[0].videos[0][..]), (&[0.5, 0.5][..], "d/m/v"));
        let turned = "score,frame,label,video,method,dataset,more,set\n0.5,1,0,v,m,d,x,B\n0.5,2,0,v2,m,d,,B";
        std::fs::write(&path, turned.replace("0.5,2", "0.5,1")).unwrap();
        assert!(Pass::of(&path).unwrap().is_some());
        assert_eq!(read_videos(&path, Aggregation::Mean).unwrap(), known, "columns in another order");
        for (line, word) in [
            (good, "duplicate sample B:d/m/v/1"),
            ("B,d,m,v,2,1,0.5,0,\n", "both labels"),
            ("B,d,m,w,2,2,0.5,0,\n", "label 2"),
            ("B,d,m,w,2,1,1.5,0,\n", "outside [0, 1]"),
            ("B,d,m,w,2,1,NaN,0,\n", "score is NaN"),
            ("B,d,m,w,2,1,0.5,inf,\n", "raw is inf"),
            ("B,d,m,w,2,1,0.5,1e999,\n", "raw is inf"),
            ("B,d,m,w,2,1,0.5,0-1,\n", "raw is \"0-1\""),
            ("B,d,m,w,x,1,0.5,0,\n", "frame is \"x\""),
            ("B,d,m/n,w,2,1,0.5,0,\n", "slash"),
            ("B,d,m,v,2,0,0.5,0,a\u{7}\n", "control character"),
            (",d,m,w,2,1,0.5,0,\n", "set"),
            ("B,d,m,w,2,1,0.5,0\n", "8 fields, expected 9"),
            ("B,d,m,w,2,1,0.5,0,,\n", "10 fields, expected 9"),
        ] {
            std::fs::write(&path, format!("{head}{good}{line}")).unwrap();
            let text = read_videos(&path, Aggregation::Mean).unwrap_err().to_string();
            assert!(text.contains(word), "{line}: {text}");
        }
        for whole in ["", head, "set,dataset\n", "set,set,dataset,method,video,frame,label,score\n"] {
            std::fs::write(&path, whole).unwrap();
            assert!(read_videos(&path, Aggregation::Mean).is_err(), "{whole:?}");
        }
        assert!(read_videos(&dir.path().join("no"), Aggregation::Mean).is_err());
    }
}
