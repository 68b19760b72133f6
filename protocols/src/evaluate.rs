//! From scores to the numbers of a fold: every test set at frame and video level, with intervals and findings.
//!
//! Intervals resample videos (see [`crate::stats`]); the threshold for HTER comes from the development videos and
//! is held fixed. The order of rows never matters. A set without rows is left out and said so; a set that the fold
//! does not have, a NaN, a duplicate or a set of one class is an error.

use crate::audit::{self, Finding, Severity};
use crate::error::{Error, Result};
use crate::metrics::{self, MetricError, Roc, video};
use crate::protocol::{Assembled, Family, Fold, Protocol};
use crate::scores::{ScoreRow, check_scores};
use crate::stats::{Observations, Plan, auc_interval, eer_resamples, hter_resamples};

mod levels;

pub use crate::measures::{Evaluation, Interval, Measures, Metric, PadAt, PadMeasures, SubjectMeasures};

/// Resamples of each interval, unless asked otherwise.
pub const RESAMPLES: usize = 1000;
/// Bins of the calibration error.
const ECE_BINS: usize = 15;

/// What [`evaluate_with`] may be told beyond the scores.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Resamples of each interval; 0 leaves intervals out.
    pub resamples: usize,
    /// Seed of the resampling.
    pub seed: u64,
    /// What should have been scored, for the coverage audit.
    pub expected: Option<&'a Assembled>,
    /// `Some(false)`: real data, to be compared with the published sizes.
    pub synthetic: Option<bool>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { resamples: RESAMPLES, seed: 0, expected: None, synthetic: None }
    }
}

/// Numbers of every test set in `rows`, with 1,000 resamples and seed 0.
///
/// # Errors
/// Rows that fail [`check_scores`], a set that the fold does not have, no test set at all, one class in a set.
pub fn evaluate(protocol: &Protocol, fold: &Fold, rows: &[ScoreRow]) -> Result<Evaluation> {
    evaluate_with(protocol, fold, rows, &Options::default())
}

/// As [`evaluate`], told more.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_with(
    protocol: &Protocol,
    fold: &Fold,
    rows: &[ScoreRow],
    options: &Options,
) -> Result<Evaluation> {
    check_scores(rows)?;
    known_sets(fold, rows)?;
    let mut findings = audit::protocol_findings(protocol);
    let of = |name: &str| {
        let mut rows: Vec<&ScoreRow> = rows.iter().filter(|r| r.set == name).collect();
        rows.sort_by(|a, b| a.key().cmp(&b.key())); // sums of floats depend on their order; results must not
        rows
    };
    let mut set = |name: &str, in_domain, threshold| -> Result<Option<(Measures, f64)>> {
        let rows = of(name);
        if rows.is_empty() {
            return Ok(None);
        }
        let measured = measure(protocol, name, in_domain, &rows, threshold, options)?;
        findings.extend(audit::set_findings(protocol, fold, &measured.0, &rows, options));
        Ok(Some(measured))
    };
    let (dev, threshold) = set("dev", true, None)?.unzip();
    let mut sets = Vec::new();
    let mut absent = Vec::new();
    for test in &fold.tests {
        match set(&test.name, test.in_domain, threshold)? {
            Some((measures, _)) => sets.push(measures),
            None => absent.push(test.name.clone()),
        }
    }
    if sets.is_empty() {
        return Err(Error::Empty {
            what: format!("fold {}: every test set", fold.name),
            hint: "the `set` column holds `dev` or a test set's name",
        });
    }
    findings.extend(audit::absence_findings(protocol, dev.is_some(), &absent));
    findings.sort_by_key(|f: &Finding| f.severity); // stable: within a severity in order of the sets
    Ok(Evaluation { sets, dev, findings })
}

impl Evaluation {
    /// Whether a finding says that the numbers must not be used.
    pub fn stopped(&self) -> bool {
        self.findings.iter().any(|f| f.severity == Severity::Stop)
    }
}

fn known_sets(fold: &Fold, rows: &[ScoreRow]) -> Result<()> {
    let known = |set: &str| set == "dev" || fold.tests.iter().any(|t| t.name == set);
    match rows.iter().find(|r| !known(&r.set)) {
        None => Ok(()),
        Some(row) => Err(Error::UnknownSet {
            set: row.set.clone(),
            fold: fold.name.clone(),
            known: std::iter::once("dev")
                .chain(fold.tests.iter().map(|t| t.name.as_str()))
                .collect::<Vec<_>>()
                .join(", "),
        }),
    }
}

/// The numbers of one set and its own EER threshold over videos.
fn measure(
    protocol: &Protocol,
    set: &str,
    in_domain: bool,
    rows: &[&ScoreRow],
    dev_threshold: Option<f64>,
    options: &Options,
) -> Result<(Measures, f64)> {
    let bad = |level| move |source: MetricError| Error::Metric { set: set.to_owned(), level, source };
    let videos = video::group(rows, protocol.aggregation)?;
    let level = Levels::new(rows, &videos);
    let (frames, clips) = (level.frames(), level.videos());
    let frame = Roc::new(frames.scores, frames.labels).map_err(bad("frame"))?;
    let video = Roc::new(clips.scores, clips.labels).map_err(bad("video"))?;
    let hter = |t: f64| metrics::hter_at(clips.scores, clips.labels, t).map_err(bad("video"));
    let own = video.eer_threshold();
    let mut out = Measures {
        set: set.to_owned(),
        in_domain,
        frames: [frame.reals() as usize, frame.fakes() as usize],
        videos: [video.reals() as usize, video.fakes() as usize],
        frame_auc: frame.auc(),
        video_auc: video.auc(),
        frame_eer: frame.eer(),
        video_eer: video.eer(),
        hter_dev: dev_threshold.map(hter).transpose()?,
        hter_oracle: hter(own)?,
        tpr_at_fpr1: tpr_at_fpr1(protocol.family, &video, clips).map_err(bad("video"))?,
        balanced_acc: metrics::balanced_accuracy(clips.scores, clips.labels, 0.5).map_err(bad("video"))?,
        dev_threshold,
        frame_ap: frame.average_precision(),
        video_ap: video.average_precision(),
        log_loss: metrics::log_loss(frames.scores, frames.labels, metrics::calibration::LOG_LOSS_EPS)
            .map_err(bad("frame"))?,
        ece: metrics::ece(frames.scores, frames.labels, ECE_BINS).map_err(bad("frame"))?,
        brier: metrics::brier(frames.scores, frames.labels).map_err(bad("frame"))?,
        video_pauc10: metrics::partial_auc(clips.scores, clips.labels, 0.1).map_err(bad("video"))?,
        subjects: levels::subjects(&videos, clips, options).map_err(bad("subject"))?,
        pad: match protocol.family {
            Family::AntiSpoofing => Some(levels::pad(&videos, dev_threshold).map_err(bad("video"))?),
            _ => None,
        },
        ..Measures::default()
    };
    if options.resamples > 0 {
        let plan = Plan::new(&clips, options.resamples, options.seed).map_err(bad("video"))?;
        out.video_auc_ci = auc_interval(&clips, &plan).map_err(bad("video"))?;
        out.frame_auc_ci = auc_interval(&frames, &plan).map_err(bad("frame"))?;
        out.video_eer_ci = plan.interval(&eer_resamples(&clips, &plan));
        out.hter_dev_ci = dev_threshold.and_then(|t| plan.interval(&hter_resamples(&clips, &plan, t)));
    }
    Ok((out, own))
}

/// Scores of a set at both levels, with the video of each frame.
struct Levels {
    frame: (Vec<f64>, Vec<u8>, Vec<u32>),
    video: (Vec<f64>, Vec<u8>, Vec<u32>),
}

impl Levels {
    fn new(rows: &[&ScoreRow], videos: &[video::Video]) -> Self {
        let key = |r: &ScoreRow| (r.dataset.clone(), r.method.clone(), r.video.clone());
        let index: std::collections::BTreeMap<_, u32> =
            videos.iter().zip(0..).map(|(v, i)| (key(v.row), i)).collect();
        let frame = (
            rows.iter().map(|r| r.score).collect(),
            rows.iter().map(|r| r.label).collect(),
            rows.iter().map(|r| index[&key(r)]).collect(),
        );
        let video = (
            videos.iter().map(|v| v.score).collect(),
            videos.iter().map(|v| v.row.label).collect(),
            (0..videos.len() as u32).collect(),
        );
        Self { frame, video }
    }

    fn frames(&self) -> Observations<'_> {
        Observations { scores: &self.frame.0, labels: &self.frame.1, clusters: &self.frame.2 }
    }

    fn videos(&self) -> Observations<'_> {
        Observations { scores: &self.video.0, labels: &self.video.1, clusters: &self.video.2 }
    }
}

/// TPR at FPR ≤ 1 %: positive is fake, or live in anti-spoofing.
fn tpr_at_fpr1(family: Family, video: &Roc, clips: Observations) -> std::result::Result<f64, MetricError> {
    if family != Family::AntiSpoofing {
        return Ok(video.tpr_at_fpr(0.01));
    }
    let live: Vec<f64> = clips.scores.iter().map(|s| -s).collect(); // exact, unlike 1 − score
    let is_live: Vec<u8> = clips.labels.iter().map(|l| 1 - l).collect();
    metrics::tpr_at_fpr(&live, &is_live, 0.01)
}
