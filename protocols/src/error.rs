//! Everything that can go wrong in this crate, as facts: what was expected, what was found, and where.
//! Messages are lower case without a full stop; where a fix is known the text ends with a `hint:` line.
//! Metric errors are a type of their own (`MetricError`), because an undefined number is never a number here.

use std::path::PathBuf;

use crate::metrics::MetricError;

/// What this crate's functions return.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of the protocols crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// What a file says is wrong, as a whole or in one of its rows.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Box<Error>,
    },
    /// A YAML file is not what the schema asks for.
    #[error("{origin}{}: {message}{}", at(*line), hint_line(hint.as_deref()))]
    Config {
        /// File name, or the name of a built-in description.
        origin: String,
        /// 1-based line, where the parser knows it.
        line: Option<usize>,
        /// What is wrong.
        message: String,
        /// What would help.
        hint: Option<String>,
    },
    /// A CSV file is malformed.
    #[error("{path}:{line}: {message}{}", hint_line(hint.as_deref()), path = path.display())]
    Csv {
        /// The file.
        path: PathBuf,
        /// 1-based line.
        line: usize,
        /// What is wrong.
        message: String,
        /// What would help.
        hint: Option<String>,
    },
    /// One row of a table is not what it should be.
    #[error("{path}:{line}: {source}", path = path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// 1-based line.
        line: usize,
        /// What is wrong.
        source: Box<Error>,
    },
    /// A manifest or a list of scores without a single row.
    #[error("{what} is empty\nhint: {hint}")]
    Empty {
        /// Which list.
        what: String,
        /// What would help.
        hint: &'static str,
    },
    /// Two samples with one identity.
    #[error(
        "duplicate sample {id}\nhint: an identity is dataset/method/video/frame; two files may not share one"
    )]
    DuplicateSample {
        /// `dataset/method/video/frame`, with the set in front for score rows.
        id: String,
    },
    /// One video in two splits of one data set.
    #[error("video {video} is in two splits, {first} and {second}\nhint: remove it from one of the lists")]
    VideoInTwoSplits {
        /// `dataset/method/video`.
        video: String,
        /// First split.
        first: String,
        /// Second split.
        second: String,
    },
    /// One video whose frames carry both labels.
    #[error(
        "video {video} has frames of both labels\nhint: real and fake versions of a clip need different methods or names"
    )]
    MixedVideo {
        /// `dataset/method/video`.
        video: String,
    },
    /// A label other than 0 (real) and 1 (fake).
    #[error("sample {id}: label {got}, expected 0 (real, live) or 1 (fake, spoof)")]
    Label {
        /// The sample.
        id: String,
        /// The value found.
        got: u8,
    },
    /// Part of an identity that would make identities ambiguous.
    #[error("sample {id}: {part} {value:?} {why}")]
    BadIdentity {
        /// The sample.
        id: String,
        /// Which part: data set, method, video, subject.
        part: &'static str,
        /// The value found.
        value: String,
        /// Why it cannot be used.
        why: &'static str,
    },
    /// A sample filed under another data set.
    #[error("sample {id} belongs to another data set than its manifest, {manifest}")]
    ForeignSample {
        /// The sample.
        id: String,
        /// The manifest's data set.
        manifest: String,
    },
    /// A score that is not a finite number.
    #[error(
        "sample {id}: {column} is {value}, expected a finite number\nhint: the model produced it; look for overflow in half precision"
    )]
    NotFinite {
        /// The sample, with its set.
        id: String,
        /// `score` or `raw`.
        column: &'static str,
        /// The value found.
        value: f64,
    },
    /// A probability outside [0, 1].
    #[error(
        "sample {id}: score {value} is outside [0, 1]\nhint: `score` is P(fake); put logits into the `raw` column"
    )]
    ScoreRange {
        /// The sample, with its set.
        id: String,
        /// The value found.
        value: f64,
    },
    /// A protocol names a data set that is not there.
    #[error(
        "{fold}: data set {dataset} is missing; available: {available}\nhint: give its root, or drop the set from the protocol"
    )]
    MissingDataset {
        /// The fold.
        fold: String,
        /// The data set asked for.
        dataset: String,
        /// What is there.
        available: String,
    },
    /// A selector that selects nothing.
    #[error("{fold}: {part} selects no sample of {selector}{}", hint_line(hint.as_deref()))]
    EmptySelection {
        /// The fold.
        fold: String,
        /// `train`, `dev` or a test set's name.
        part: String,
        /// The selector, in words.
        selector: String,
        /// What would help.
        hint: Option<String>,
    },
    /// A part with one class only.
    #[error("{fold}: {part} has {real} real and {fake} fake samples; both classes are needed")]
    OneClassPart {
        /// The fold.
        fold: String,
        /// `train`, `dev` or a test set's name.
        part: String,
        /// Real samples.
        real: usize,
        /// Fake samples.
        fake: usize,
    },
    /// The same sample, video or person on both sides of a wall.
    #[error("{fold}: {kind} {name} is in both {first} and {second} ({count} such)\nhint: {hint}")]
    Leak {
        /// The fold.
        fold: Box<str>,
        /// `sample`, `video` or `subject`.
        kind: &'static str,
        /// The first one found, in order of name.
        name: Box<str>,
        /// One side.
        first: Box<str>,
        /// The other side.
        second: Box<str>,
        /// How many such names.
        count: usize,
        /// What to do.
        hint: &'static str,
    },
    /// A development set cannot be held out.
    #[error(
        "{fold}: cannot hold out {fraction} of {dataset}: {why}\nhint: name a development set in the protocol, or use data with more people"
    )]
    HoldOut {
        /// The fold.
        fold: String,
        /// Asked for.
        fraction: f64,
        /// The data set.
        dataset: String,
        /// What is in the way.
        why: String,
    },
    /// Scores of a set that the protocol does not have.
    #[error(
        "scores of set {set:?}, but fold {fold} has {known}\nhint: the `set` column holds `dev` or a test set's name"
    )]
    UnknownSet {
        /// The set found.
        set: String,
        /// The fold.
        fold: String,
        /// What the fold has.
        known: String,
    },
    /// Two models that were to be compared were not scored on the same samples.
    #[error(
        "{set}: {only_a} samples only in the first model's scores, {only_b} only in the second's, such as {example}\nhint: score both models on the same list"
    )]
    DifferentSamples {
        /// The set.
        set: String,
        /// Samples (or labels) only in the first.
        only_a: usize,
        /// Samples (or labels) only in the second.
        only_b: usize,
        /// One of them.
        example: String,
    },
    /// A metric is undefined on a set.
    #[error("{set}, {level} level: {source}")]
    Metric {
        /// The set.
        set: String,
        /// `frame` or `video`.
        level: &'static str,
        /// Why.
        source: MetricError,
    },
}

fn at(line: Option<usize>) -> String {
    line.map(|l| format!(":{l}")).unwrap_or_default()
}

fn hint_line(hint: Option<&str>) -> String {
    hint.map(|h| format!("\nhint: {h}")).unwrap_or_default()
}

impl Error {
    pub(crate) fn io(path: &std::path::Path, source: std::io::Error) -> Self {
        Self::Io { path: path.to_path_buf(), source }
    }
}
