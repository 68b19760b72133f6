//! Per-sample scores: the file from which every number can be made again, without a model or a GPU.
//!
//! CSV with the columns `set, dataset, method, video, frame, label, score, raw, subjects`. Floats are written in
//! their shortest form that reads back to the same bits. Files from other frameworks may leave out `raw` and
//! `subjects` and order the columns as they like; `score` must be P(fake) in [0, 1]. A model that scores clips writes one
//! row per clip, `frame` being its first frame; what is called frame level is then clip level.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::csv;
use crate::error::{Error, Result};
use crate::sample::{Sample, check_identity, split_subjects};

mod npz;
mod videos;

pub use videos::{VideoScores, read_videos};

/// One scored frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoreRow {
    /// `dev`, or the name of a test set.
    pub set: String,
    /// Data-set id.
    pub dataset: String,
    /// Method.
    pub method: String,
    /// Video.
    pub video: String,
    /// Frame number.
    pub frame: u32,
    /// 1 = fake, spoof; 0 = real, live.
    pub label: u8,
    /// P(fake), in [0, 1].
    pub score: f64,
    /// Logit margin fake − real, which keeps its resolution where `score` saturates.
    pub raw: f64,
    /// People shown, where known.
    pub subjects: Vec<String>,
}

impl ScoreRow {
    /// The row of `sample` in `set`.
    pub fn of(set: impl Into<String>, sample: &Sample, score: f64, raw: f64) -> Self {
        Self {
            set: set.into(),
            dataset: sample.dataset.clone(),
            method: sample.method.clone(),
            video: sample.video.clone(),
            frame: sample.frame,
            label: sample.label,
            score,
            raw,
            subjects: sample.subjects.clone(),
        }
    }

    /// `dataset/method/video/frame`.
    pub fn id(&self) -> String {
        format!("{}/{}/{}/{}", self.dataset, self.method, self.video, self.frame)
    }

    /// `dataset/method/video`.
    pub fn video_id(&self) -> String {
        format!("{}/{}/{}", self.dataset, self.method, self.video)
    }

    /// Order of identities, as for samples.
    pub(crate) fn key(&self) -> (&str, &str, &str, u32) {
        (&self.dataset, &self.method, &self.video, self.frame)
    }

    pub(crate) fn in_set(&self) -> String {
        format!("{}:{}", self.set, self.id())
    }

    /// The row is well-formed.
    ///
    /// # Errors
    /// A malformed identity, a label other than 0 or 1, a score that is not finite or not in [0, 1], a raw score that
    /// is not finite.
    pub fn check(&self) -> Result<()> {
        if self.set.is_empty() {
            let (id, value) = (self.id(), String::new());
            return Err(Error::BadIdentity { id, part: "set", value, why: "is empty" });
        }
        check_identity(&self.in_set(), &self.dataset, &self.method, &self.video, &self.subjects)?;
        if self.label > 1 {
            return Err(Error::Label { id: self.in_set(), got: self.label });
        }
        let finite = |column, value: f64| match value.is_finite() {
            true => Ok(()),
            false => Err(Error::NotFinite { id: self.in_set(), column, value }),
        };
        finite("score", self.score)?;
        // before `raw`, which may have been made from the score
        if !(0.0..=1.0).contains(&self.score) {
            return Err(Error::ScoreRange { id: self.in_set(), value: self.score });
        }
        finite("raw", self.raw)
    }

    /// Appends the row to the text of a score file, as one line.
    pub fn push_line(&self, text: &mut String) {
        let (frame, label, score, raw, people) = (
            self.frame.to_string(),
            self.label.to_string(),
            self.score.to_string(),
            self.raw.to_string(),
            self.subjects.join(";"),
        );
        let cells: [&str; 9] =
            [&self.set, &self.dataset, &self.method, &self.video, &frame, &label, &score, &raw, &people];
        csv::push_record(text, cells);
    }
}

/// The first line of a score file.
pub fn score_header() -> String {
    let mut text = String::new();
    csv::push_record(&mut text, COLUMNS);
    text
}

const COLUMNS: [&str; 9] =
    ["set", "dataset", "method", "video", "frame", "label", "score", "raw", "subjects"];

/// Every row is well-formed and no sample is scored twice in one set.
///
/// # Errors
/// No rows, a malformed identity, a label other than 0 or 1, a score that is not finite or not in [0, 1], a raw
/// score that is not finite, a duplicate.
pub fn check_scores(rows: &[ScoreRow]) -> Result<()> {
    if rows.is_empty() {
        let hint = "one line for each scored frame, below the names of the columns";
        return Err(Error::Empty { what: "the list of scores".into(), hint });
    }
    let mut seen = BTreeSet::new();
    for row in rows {
        row.check()?;
        if !seen.insert((&row.set, &row.dataset, &row.method, &row.video, row.frame)) {
            return Err(Error::DuplicateSample { id: row.in_set() });
        }
    }
    Ok(())
}

/// Read a score file: CSV, or a NumPy archive (`.npz`) with one array per column, where a scalar fills its column. A
/// missing `raw` column is filled with the logit of `score` (clipped to ±745).
///
/// # Errors
/// The file cannot be read, a column is missing, a value is malformed, or [`check_scores`] fails.
pub fn read_scores(path: &Path) -> Result<Vec<ScoreRow>> {
    let table = if path.extension().is_some_and(|e| e == "npz") {
        csv::Table::of_columns(path, npz::columns(path)?)
    } else {
        csv::Table::parse(path, &csv::read(path)?)?
    };
    let mut at = [0; 7];
    for (slot, name) in at.iter_mut().zip(COLUMNS) {
        *slot = table.column(name)?;
    }
    let (raw, subjects) = (table.optional("raw"), table.optional("subjects"));
    let mut rows = Vec::new();
    for row in table.rows() {
        let score: f64 = row.parse(at[6], "score")?;
        rows.push(ScoreRow {
            set: row.text(at[0]).to_owned(),
            dataset: row.text(at[1]).to_owned(),
            method: row.text(at[2]).to_owned(),
            video: row.text(at[3]).to_owned(),
            frame: row.parse(at[4], "frame")?,
            label: match row.text(at[5]).trim() {
                "0.0" => 0, // what data frames write for whole floats
                "1.0" => 1,
                text => row.parse(at[5], "label").map_err(|plain| {
                    match text.starts_with(char::is_alphabetic) {
                        true => row.error_with(
                            format!("label is {text:?}, expected 1 or 0"),
                            "write 1 for fake (spoof) and 0 for real (live)".into(),
                        ),
                        false => plain,
                    }
                })?,
            },
            score,
            raw: match raw {
                Some(column) => row.parse(column, "raw")?,
                None => (score.ln() - (-score).ln_1p()).clamp(-745.0, 745.0),
            },
            subjects: subjects.map(|column| split_subjects(row.text(column))).unwrap_or_default(),
        });
    }
    check_scores(&rows).map_err(|source| {
        let (path, source) = (path.to_owned(), Box::new(source));
        match table.rows().zip(&rows).find(|(_, row)| row.check().is_err()) {
            Some((at, _)) => Error::Row { path, line: at.line, source },
            None => Error::File { path, source },
        }
    })?;
    Ok(rows)
}

/// Write a score file, after [`check_scores`]; rows stay in the order given.
///
/// # Errors
/// The rows fail the checks, or the file cannot be written.
pub fn write_scores(path: &Path, rows: &[ScoreRow]) -> Result<()> {
    check_scores(rows)?;
    let mut text = score_header();
    text.reserve(rows.len() * 80);
    rows.iter().for_each(|row| row.push_line(&mut text));
    csv::write(path, &text)
}

#[cfg(test)]
mod tests {
    use super::{ScoreRow, check_scores, read_scores, write_scores};

    fn row(video: &str, score: f64) -> ScoreRow {
        ScoreRow {
            set: "dev".into(),
            dataset: "own".into(),
            method: "real".into(),
            video: video.into(),
            frame: 3,
            label: 0,
            score,
            raw: score * 10.0 - 5.0,
            subjects: vec!["anna".into(), "bo".into()],
        }
    }

    #[test]
    fn floats_come_back_bit_for_bit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("scores.csv");
        let rows: Vec<_> = [0.1 + 0.2, f64::MIN_POSITIVE, 1.0, 5e-324, 0.0]
            .iter()
            .enumerate()
            .map(|(i, &s)| row(&format!("v,{i}"), s))
            .collect();
        write_scores(&path, &rows).unwrap();
        assert_eq!(read_scores(&path).unwrap(), rows);
    }

    /// What NumPy 2.4 writes for `np.savez(f, set="dev", dataset=np.array(["own"] * 2), method=…, video=np.array(["ä", "b2"]),
    /// frame=np.array([3, 4]), label=np.array([0, 1], dtype=np.uint8), score=np.array([0.1, 1.0], dtype=np.float32))`.
    #[test]
    fn archives_of_arrays_are_read_like_csv() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/scores.npz");
        let rows = read_scores(std::path::Path::new(file)).unwrap();
        let of: Vec<_> = rows.iter().map(|r| (r.set.as_str(), r.video.as_str(), r.frame, r.label)).collect();
        assert_eq!(of, [("dev", "ä", 3, 0), ("dev", "b2", 4, 1)]);
        assert_eq!([rows[0].score, rows[1].score], [f64::from(0.1f32), 1.0]);
    }

    #[test]
    fn broken_archives_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let whole = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/scores.npz")).unwrap();
        let path = dir.path().join("scores.npz");
        let message = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            read_scores(&path).unwrap_err().to_string()
        };
        assert!(message(&whole[..whole.len() / 2]).contains("not a NumPy archive"));
        let other = |from: &[u8], to: &[u8]| {
            let at = whole.windows(from.len()).position(|w| w == from).expect("in the file");
            let mut bytes = whole.clone();
            bytes[at..at + to.len()].copy_from_slice(to);
            bytes
        };
        let broken = message(&other(b"'<f4'", b"'<c4'"));
        assert!(broken.contains("scores.npz: array `score`"), "{broken}");
    }

    #[test]
    fn files_of_other_frameworks_may_be_short_and_reordered() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("scores.csv");
        std::fs::write(&path, "score,set,dataset,method,video,frame,label\r\n0.5,dev,own,real,a,0,0\r\n0,dev,own,real,b,0,0\r\n").unwrap();
        let rows = read_scores(&path).unwrap();
        assert_eq!((rows[0].raw, rows[1].raw), (0.0, -745.0));
        std::fs::write(&path, "scoer,set,dataset,method,video,frame,label\n0.5,dev,own,real,a,0,0\n")
            .unwrap();
        let text = read_scores(&path).unwrap_err().to_string();
        assert!(text.contains("\"score\" is missing\nhint: rename \"scoer\"?"), "{text}");
    }

    #[test]
    fn common_slips_are_called_by_their_names() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("scores.csv");
        let read = |text: &str| {
            std::fs::write(&path, format!("set,dataset,method,video,frame,label,score\n{text}")).unwrap();
            read_scores(&path).unwrap_err().to_string()
        };
        for (rows, said) in [
            // the second has a logit, from which no `raw` can be made
            ("d,o,real,a,0,0,0.5\nd,o,fs,b,0,1,3.2\n", ":3: sample d:o/fs/b/0: score 3.2 is outside [0, 1]"),
            ("d,o,real,a,0,0,-0.5\n", "put logits into the `raw` column"),
            ("d,o,fs,b,0,fake,0.5\n", ":2: label is \"fake\", expected 1 or 0\nhint: write 1 for fake"),
            ("d,o,fs,b,0,7x,0.5\n", "label is \"7x\", expected a whole number"),
            ("", "the list of scores is empty\nhint: one line for each scored frame"),
            ("d,o,real,a,0,0,0.5\nd,o,real,a,0,0,0.5\n", "scores.csv: duplicate sample"),
        ] {
            let text = read(rows);
            assert!(text.contains(said) && !text.contains("data root"), "{said}: {text}");
        }
    }

    #[test]
    fn bad_rows_are_named() {
        let message = |rows: &[ScoreRow]| check_scores(rows).unwrap_err().to_string();
        assert!(message(&[row("a", f64::NAN)]).contains("dev:own/real/a/3: score is NaN"));
        assert!(message(&[row("a", 1.5)]).contains("outside [0, 1]"));
        assert!(message(&[row("a", 0.5), row("a", 0.6)]).contains("duplicate sample dev:own/real/a/3"));
        assert!(message(&[row("a/b", 0.5)]).contains("slash"));
        assert!(message(&[]).contains("is empty"));
    }
}
