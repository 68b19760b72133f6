//! A score file that grows: rows are appended as they are made, and a kill at any moment costs a batch at most.
//!
//! What is to be scored, and in which order, is known beforehand; so a file that was cut off needs no journal beside
//! it. On the next start the longest beginning that reads `set, dataset, method, video, frame, label` as expected is
//! kept, with two finite numbers after it; the rest (half a line, blocks that never reached the disk) is cut off. The
//! finished file is the same bytes as one written in one go.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use facebench_protocols::{Sample, ScoreRow, score_header};

use crate::error::{Result, at};

/// Seconds between two syncs: what a power failure may cost.
const SYNC_EVERY: Duration = Duration::from_secs(30);

/// A set of samples with its name in the score file.
pub type NamedSet<'a> = (&'a str, &'a [Sample]);

/// A growing score file.
pub struct RowLog {
    path: PathBuf,
    file: File,
    rows: usize,
    synced: Instant,
}

impl RowLog {
    /// Opens `path`, with the folders above it, or begins it. `sets` is everything that will be scored, in order.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn open(path: &Path, sets: &[NamedSet]) -> Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(at(folder))?;
        }
        let mut options = OpenOptions::new();
        let mut file =
            options.read(true).write(true).create(true).truncate(false).open(path).map_err(at(path))?;
        let (good, rows) = whole(&file, sets).map_err(at(path))?;
        file.set_len(good).map_err(at(path))?;
        file.seek(SeekFrom::End(0)).map_err(at(path))?;
        if good == 0 {
            file.write_all(score_header().as_bytes()).map_err(at(path))?;
        }
        Ok(Self { path: path.to_owned(), file, rows, synced: Instant::now() })
    }

    /// Number of rows it has.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Adds rows: the next ones, in order.
    ///
    /// # Errors
    /// A score that is not a number, with the sample's name; the disk is full.
    pub fn append(&mut self, rows: &[ScoreRow]) -> Result<()> {
        let mut text = String::with_capacity(rows.len() * 96);
        for row in rows {
            row.check()?;
            row.push_line(&mut text);
        }
        self.file.write_all(text.as_bytes()).map_err(at(&self.path))?;
        self.rows += rows.len();
        if self.synced.elapsed() >= SYNC_EVERY {
            self.file.sync_data().map_err(at(&self.path))?;
            self.synced = Instant::now();
        }
        Ok(())
    }

    /// Forces the rows to disk.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn close(self) -> Result<()> {
        self.file.sync_all().map_err(at(&self.path))
    }
}

/// Bytes and rows of the longest beginning that is as expected.
fn whole(file: &File, sets: &[NamedSet]) -> std::io::Result<(u64, usize)> {
    let mut lines = BufReader::with_capacity(1 << 16, file);
    let (mut line, mut good, mut rows) = (Vec::new(), 0, 0);
    lines.read_until(b'\n', &mut line)?;
    if line != score_header().as_bytes() {
        return Ok((0, 0));
    }
    good += line.len() as u64;
    for (set, samples) in sets {
        for sample in *samples {
            line.clear();
            lines.read_until(b'\n', &mut line)?;
            if !is_row(&line, set, sample) {
                return Ok((good, rows));
            }
            good += line.len() as u64;
            rows += 1;
        }
    }
    Ok((good, rows))
}

/// Whether a line is the whole row of a sample.
fn is_row(line: &[u8], set: &str, sample: &Sample) -> bool {
    // what the line would be with scores of zero: `…,0,0,people`
    let mut expected = String::new();
    ScoreRow::of(set, sample, 0.0, 0.0).push_line(&mut expected);
    let mut people = String::new();
    facebench_protocols::csv::push_record(&mut people, [sample.subjects.join(";").as_str()]);
    let tail = format!("0,0,{people}");
    let Some(head) = expected.strip_suffix(&tail) else { return false };
    let Ok(line) = std::str::from_utf8(line) else { return false };
    let Some(rest) = line.strip_prefix(head) else { return false };
    let Some(numbers) = rest.strip_suffix(&format!(",{people}")) else { return false };
    let finite = |text: &str| text.parse::<f64>().is_ok_and(f64::is_finite);
    numbers.split_once(',').is_some_and(|(score, raw)| finite(score) && finite(raw))
}

#[cfg(test)]
mod tests {
    use facebench_protocols::{Split, read_scores, write_scores};

    use super::*;

    fn sample(i: u32) -> Sample {
        Sample {
            dataset: "d".into(),
            method: "m, \"quoted\"".into(),
            video: format!("v{}", i / 4),
            frame: i,
            label: u8::from(i % 8 >= 4),
            split: Split::Test,
            subjects: if i.is_multiple_of(2) { vec!["a".into(), "b".into()] } else { vec![] },
            path: "x".into(),
        }
    }

    #[test]
    fn whatever_is_cut_off_is_made_again_with_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let samples: Vec<Sample> = (0..20).map(sample).collect();
        let sets: Vec<NamedSet> = vec![("dev", &samples[..8]), ("test", &samples[8..])];
        let rows: Vec<ScoreRow> = sets
            .iter()
            .flat_map(|(set, s)| {
                s.iter().map(move |s| ScoreRow::of(*set, s, 0.125, -f64::from(s.frame) / 3.0))
            })
            .collect();
        let (once, log) = (dir.path().join("once.csv"), dir.path().join("deep/log"));
        write_scores(&once, &rows).unwrap();
        let bytes = std::fs::read(&once).unwrap();
        for cut in (0..=bytes.len()).step_by(13).chain([bytes.len()]) {
            std::fs::create_dir_all(log.parent().unwrap()).unwrap();
            // a block that never reached the disk reads as zeros
            for tail in [&b""[..], &[0; 50]] {
                std::fs::write(&log, [&bytes[..cut], tail].concat()).unwrap();
                let mut open = RowLog::open(&log, &sets).unwrap();
                let done = open.rows();
                let whole = bytes[..cut].iter().filter(|b| **b == b'\n').count().saturating_sub(1);
                assert_eq!(done, whole, "cut at {cut}");
                open.append(&rows[done..]).unwrap();
                open.close().unwrap();
                assert_eq!(std::fs::read(&log).unwrap(), bytes, "cut at {cut}");
            }
        }
        assert_eq!(read_scores(&once).unwrap(), rows);
    }

    #[test]
    fn rows_of_another_list_are_not_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let samples: Vec<Sample> = (0..8).map(sample).collect();
        let rows: Vec<ScoreRow> = samples.iter().map(|s| ScoreRow::of("test", s, 0.5, 0.0)).collect();
        RowLog::open(&log, &[("test", &samples)]).unwrap().append(&rows).unwrap();
        assert_eq!(RowLog::open(&log, &[("other", &samples)]).unwrap().rows(), 0);
        RowLog::open(&log, &[("test", &samples)]).unwrap().append(&rows).unwrap();
        let mut swapped = samples.clone();
        swapped[5].label ^= 1;
        assert_eq!(RowLog::open(&log, &[("test", &swapped)]).unwrap().rows(), 5);
    }

    #[test]
    fn a_score_that_is_no_number_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let samples = [sample(0)];
        let mut log = RowLog::open(&dir.path().join("log"), &[("test", &samples)]).unwrap();
        let row = ScoreRow::of("test", &samples[0], f64::NAN, f64::NAN);
        let text = log.append(&[row]).unwrap_err().to_string();
        assert!(text.contains("test:d/m, \"quoted\"/v0/0: score is NaN"), "{text}");
        assert_eq!(log.rows(), 0);
    }
}
