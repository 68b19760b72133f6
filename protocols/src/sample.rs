//! The identity of a sample and the manifest of a data set.
//!
//! One frame is `dataset/method/video/frame`, from the reader to the leaderboard. The method is part of the
//! identity because FF++ calls four different fakes `000_003`; keyed by folder name they become one "video". A
//! manifest holds all samples of one data set, sorted by identity, and refuses duplicates, a video in two splits,
//! a video with both labels, and labels other than 0 (real, live) and 1 (fake, spoof).
//! It does not look at files; the readers do.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::csv;
use crate::error::{Error, Result};
use crate::protocol::Selector;

/// Which official part of a data set a sample is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// For training.
    Train,
    /// For choosing checkpoints and thresholds.
    Val,
    /// For reporting.
    Test,
}

impl std::fmt::Display for Split {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
        })
    }
}

/// One image: a frame of a video, or a still (then the video is the image's own name and the frame 0).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Data-set id, such as `ffpp-c23`.
    pub dataset: String,
    /// How it was made, such as `DeepFakes`, or where a real one comes from, such as `youtube`.
    pub method: String,
    /// Name of the video within the data set and method.
    pub video: String,
    /// Frame number within the video.
    pub frame: u32,
    /// 1 = fake, spoof, attack; 0 = real, live, bona fide.
    pub label: u8,
    /// Official split.
    pub split: Split,
    /// People shown or used (source and target of a swap), where known.
    pub subjects: Vec<String>,
    /// Image file.
    pub path: PathBuf,
}

impl Sample {
    /// `dataset/method/video/frame`.
    pub fn id(&self) -> String {
        format!("{}/{}/{}/{}", self.dataset, self.method, self.video, self.frame)
    }

    /// `dataset/method/video`.
    pub fn video_id(&self) -> String {
        format!("{}/{}/{}", self.dataset, self.method, self.video)
    }

    /// Order of identities: data set, method, video as text, then the frame as a number.
    pub fn cmp_id(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }

    pub(crate) fn key(&self) -> (&str, &str, &str, u32) {
        (&self.dataset, &self.method, &self.video, self.frame)
    }
}

/// All samples of one data set, sorted by identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Data-set id.
    pub dataset: String,
    /// The samples, sorted by [`Sample::cmp_id`].
    pub samples: Vec<Sample>,
    /// Whether the images show synthetic faces.
    pub synthetic: bool,
}

const COLUMNS: [&str; 9] =
    ["dataset", "method", "video", "frame", "label", "split", "subjects", "path", "synthetic"];

impl Manifest {
    /// Sort the samples and check that together they are a data set.
    ///
    /// # Errors
    /// No sample, a duplicate identity, a label other than 0 or 1, a sample of another data set, names that make
    /// identities ambiguous (empty, `/`, `\`, control characters; `;` in a subject), a video in two splits or
    /// with both labels.
    pub fn new(dataset: impl Into<String>, mut samples: Vec<Sample>, synthetic: bool) -> Result<Self> {
        let dataset = dataset.into();
        if samples.is_empty() {
            return Err(Error::Empty {
                what: format!("data set {dataset}"),
                hint: "check the data root and the layout that the reader expects",
            });
        }
        for sample in &samples {
            check_sample(sample, &dataset)?;
        }
        samples.sort_by(Sample::cmp_id);
        for pair in samples.windows(2) {
            let [a, b] = pair else { unreachable!("windows of two") };
            if (&a.method, &a.video) != (&b.method, &b.video) {
                continue;
            }
            if a.frame == b.frame {
                return Err(Error::DuplicateSample { id: a.id() });
            }
            if a.split != b.split {
                return Err(Error::VideoInTwoSplits {
                    video: a.video_id(),
                    first: a.split.to_string(),
                    second: b.split.to_string(),
                });
            }
            if a.label != b.label {
                return Err(Error::MixedVideo { video: a.video_id() });
            }
        }
        Ok(Self { dataset, samples, synthetic })
    }

    /// The samples that `selector` names, in order of identity.
    pub fn select(&self, selector: &Selector) -> Vec<&Sample> {
        selector.select(self)
    }

    /// Number of different videos.
    pub fn videos(&self) -> usize {
        let same = |a: &Sample, b: &Sample| a.method == b.method && a.video == b.video;
        self.samples.windows(2).filter(|p| !same(&p[0], &p[1])).count()
            + usize::from(!self.samples.is_empty())
    }

    /// Write as CSV: dataset, method, video, frame, label, split, subjects (`a;b`), path, synthetic (0 or 1).
    ///
    /// # Errors
    /// The file cannot be written, or a path is not UTF-8.
    pub fn write_csv(&self, path: &Path) -> Result<()> {
        let mut text = String::new();
        csv::push_record(&mut text, COLUMNS);
        for s in &self.samples {
            let image = s.path.to_str().ok_or_else(|| Error::BadIdentity {
                id: s.id(),
                part: "path",
                value: s.path.display().to_string(),
                why: "is not UTF-8",
            })?;
            let (frame, label, split, people) =
                (s.frame.to_string(), s.label.to_string(), s.split.to_string(), s.subjects.join(";"));
            let synthetic = if self.synthetic { "1" } else { "0" };
            csv::push_record(
                &mut text,
                [&s.dataset, &s.method, &s.video, &frame, &label, &split, &people, image, synthetic],
            );
        }
        csv::write(path, &text)
    }

    /// Read what [`Manifest::write_csv`] wrote, or a file with the same columns in any order.
    ///
    /// # Errors
    /// The file cannot be read, a column is missing, a value is malformed, two data sets are mixed, or the
    /// samples fail the checks of [`Manifest::new`].
    pub fn read_csv(path: &Path) -> Result<Self> {
        let text = csv::read(path)?;
        let table = csv::Table::parse(path, &text)?;
        let mut at = [0; COLUMNS.len()];
        for (slot, name) in at.iter_mut().zip(COLUMNS) {
            *slot = table.column(name)?;
        }
        let (mut samples, mut synthetic) = (Vec::new(), false);
        for row in table.rows() {
            samples.push(Sample {
                dataset: row.text(at[0]).to_owned(),
                method: row.text(at[1]).to_owned(),
                video: row.text(at[2]).to_owned(),
                frame: row.parse(at[3], "frame")?,
                label: row.parse(at[4], "label")?,
                split: match row.text(at[5]) {
                    "train" => Split::Train,
                    "val" => Split::Val,
                    "test" => Split::Test,
                    other => {
                        return Err(row.error(format!("split is {other:?}, expected train, val or test")));
                    }
                },
                subjects: split_subjects(row.text(at[6])),
                path: PathBuf::from(row.text(at[7])),
            });
            synthetic |= row.parse::<u8>(at[8], "synthetic")? != 0;
        }
        let dataset = samples.first().map(|s| s.dataset.clone()).unwrap_or_default();
        Self::new(dataset, samples, synthetic)
    }
}

/// `a;b` to `["a", "b"]`.
pub(crate) fn split_subjects(text: &str) -> Vec<String> {
    text.split(';').filter(|s| !s.is_empty()).map(str::to_owned).collect()
}

fn check_sample(sample: &Sample, dataset: &str) -> Result<()> {
    if sample.dataset != dataset {
        return Err(Error::ForeignSample { id: sample.id(), manifest: dataset.to_owned() });
    }
    check_identity(&sample.id(), &sample.dataset, &sample.method, &sample.video, &sample.subjects)?;
    if sample.label > 1 {
        return Err(Error::Label { id: sample.id(), got: sample.label });
    }
    Ok(())
}

/// Names that would make `dataset/method/video/frame` ambiguous are refused.
///
/// # Errors
/// A name that is empty or holds a slash, a backslash or a control character; a person with `;`.
pub fn check_identity(id: &str, dataset: &str, method: &str, video: &str, people: &[String]) -> Result<()> {
    let bad =
        |part, value: &str, why| Error::BadIdentity { id: id.to_owned(), part, value: value.to_owned(), why };
    for (part, value) in [("data set", dataset), ("method", method), ("video", video)] {
        if value.is_empty() {
            return Err(bad(part, value, "is empty"));
        }
        if value.contains(['/', '\\']) || value.chars().any(char::is_control) {
            return Err(bad(part, value, "contains a slash, a backslash or a control character"));
        }
    }
    match people.iter().find(|p| p.is_empty() || p.contains(';') || p.chars().any(char::is_control)) {
        Some(person) => Err(bad("subject", person, "is empty or contains `;` or a control character")),
        None => Ok(()),
    }
}
