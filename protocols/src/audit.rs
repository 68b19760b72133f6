//! Findings: what looks wrong about a result, before anybody believes it.
//!
//! Each finding has a severity, a stable code (for filters and tests) and one sentence for people. Findings are
//! recorded in the result and shown in the report; they never change a number.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::dataset::{Unit, dataset};
use crate::evaluate::Options;
use crate::measures::{Interval, Measures, Metric};
use crate::metrics;
use crate::protocol::{Dev, Fold, Protocol, Selection, Selector};
use crate::sample::Sample;
use crate::scores::ScoreRow;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The number must not be used.
    Stop,
    /// The number may mean something else than it seems.
    Warn,
    /// Worth knowing.
    Note,
}

/// Something a reader of the number should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// Stable code, such as `polarity`.
    pub code: String,
    /// One sentence.
    pub message: String,
}

/// Scores nearer than this to 0 or 1 have lost their order in single precision.
const SATURATED: f64 = 1e-7;
/// Fewer videos of a class than this make every interval a guess.
const FEW_VIDEOS: usize = 20;

fn finding(severity: Severity, code: &str, message: String) -> Finding {
    Finding { severity, code: code.to_owned(), message }
}

/// What the protocol itself gives away.
pub(crate) fn protocol_findings(protocol: &Protocol) -> Vec<Finding> {
    if protocol.selection != Selection::Oracle {
        return Vec::new();
    }
    let message = "checkpoints are chosen on the test set (oracle): a bound, not a result; it cannot enter a main table";
    vec![finding(Severity::Stop, "oracle-selection", message.to_owned())]
}

/// What is not there.
pub(crate) fn absence_findings(protocol: &Protocol, has_dev: bool, absent: &[String]) -> Vec<Finding> {
    let mut out = Vec::new();
    if !has_dev {
        let severity = if protocol.primary == Metric::HterDev { Severity::Warn } else { Severity::Note };
        let message = "no development scores: no threshold, hence no HTER but the oracle's".to_owned();
        out.push(finding(severity, "no-dev", message));
    }
    for set in absent {
        out.push(finding(Severity::Warn, "missing-set", format!("{set}: no scores; the set is left out")));
    }
    out
}

/// What one set's scores and numbers show.
pub(crate) fn set_findings(
    protocol: &Protocol,
    fold: &Fold,
    m: &Measures,
    rows: &[&ScoreRow],
    options: &Options,
) -> Vec<Finding> {
    let mut out = Vec::new();
    out.extend(other_datasets(fold, m, rows));
    out.extend(real_called_fake(m, rows));
    out.extend(score_values(m, rows));
    out.extend(polarity(m));
    out.extend(resolution(m));
    out.extend(calibration(m));
    if let Some(expected) = options.expected {
        let samples = match expected.tests.iter().find(|(t, _)| t.name == m.set) {
            Some((_, samples)) => Some(samples),
            None if m.set == "dev" => Some(&expected.dev),
            None => None,
        };
        out.extend(samples.map(|s| coverage(&m.set, s, rows)).unwrap_or_default());
    }
    if options.synthetic == Some(false) {
        out.extend(published_sizes(protocol, fold, m));
    }
    out
}

/// What a set selects; nothing where it takes whatever there is.
fn selectors<'f>(fold: &'f Fold, set: &str) -> &'f [Selector] {
    match (fold.tests.iter().find(|t| t.name == set), &fold.dev) {
        (Some(test), _) => &test.select,
        (None, _) if set != "dev" => &[],
        (None, Dev::Select(list)) => list,
        (None, Dev::HoldOut { .. }) => &fold.train,
    }
}

/// Samples of a data set that the set does not take.
fn other_datasets(fold: &Fold, m: &Measures, rows: &[&ScoreRow]) -> Option<Finding> {
    let wanted: BTreeSet<&str> = selectors(fold, &m.set).iter().map(|s| s.dataset.as_str()).collect();
    if wanted.is_empty() {
        return None;
    }
    let others: Vec<&&ScoreRow> = rows.iter().filter(|r| !wanted.contains(r.dataset.as_str())).collect();
    let names: BTreeSet<&str> = others.iter().map(|r| r.dataset.as_str()).collect();
    let list = |names: BTreeSet<&str>| names.into_iter().collect::<Vec<_>>().join(", ");
    (!others.is_empty()).then(|| {
        let message = format!(
            "{}: {} of {} frames are of data set {}, the protocol takes {}; another list is another test",
            m.set,
            others.len(),
            rows.len(),
            list(names),
            list(wanted),
        );
        finding(Severity::Warn, "other-dataset", message)
    })
}

/// Faces whose method says that they are real, and whose label says that they are not.
fn real_called_fake(m: &Measures, rows: &[&ScoreRow]) -> Option<Finding> {
    let is = |r: &&&ScoreRow| r.label == 1 && r.method.eq_ignore_ascii_case("real");
    let first = rows.iter().find(is)?;
    let message = format!(
        "{}: {} frames of method `{}` have label 1 = fake, such as {}; if the file counts the other way round read it \
         with `--positive real`, if not without",
        m.set,
        rows.iter().filter(is).count(),
        first.method,
        first.id(),
    );
    Some(finding(Severity::Stop, "real-as-fake", message))
}

/// Constant and saturated scores.
fn score_values(m: &Measures, rows: &[&ScoreRow]) -> Option<Finding> {
    let first = rows.first()?.score;
    if rows.iter().all(|r| r.score == first) {
        let message = format!("{}: every score is {first}; the model says nothing", m.set);
        return Some(finding(Severity::Stop, "constant-scores", message));
    }
    let flat = rows.iter().filter(|r| r.score < SATURATED || r.score > 1.0 - SATURATED).count();
    if flat * 100 < rows.len() {
        return None;
    }
    let (raw, labels): (Vec<f64>, Vec<u8>) = rows.iter().map(|r| (r.raw, r.label)).unzip();
    let by_raw = metrics::auc(&raw, &labels).ok()?;
    let severity = if (by_raw - m.frame_auc).abs() > 1e-3 { Severity::Warn } else { Severity::Note };
    let message = format!(
        "{}: {:.1} % of scores are within {SATURATED:e} of 0 or 1; frame AUC is {:.4} by score and {by_raw:.4} by raw margin",
        m.set,
        100.0 * flat as f64 / rows.len() as f64,
        m.frame_auc,
    );
    Some(finding(severity, "saturated-scores", message))
}

/// An AUC that is certainly under one half.
fn polarity(m: &Measures) -> Option<Finding> {
    let under = |ci: &Option<Interval>| ci.is_some_and(|ci| ci.high < 0.5);
    let (level, auc, ci) = match (under(&m.video_auc_ci), under(&m.frame_auc_ci)) {
        (true, _) => ("video", m.video_auc, m.video_auc_ci),
        (false, true) => ("frame", m.frame_auc, m.frame_auc_ci),
        _ => return None,
    };
    if !unlike_chance(auc, m.videos) {
        return None;
    }
    let severity = if m.in_domain { Severity::Stop } else { Severity::Warn };
    let message = format!(
        "{}: {level} AUC {auc:.3} with its whole 95 % interval (up to {:.3}) under 0.5; are labels or scores swapped? \
         The other way round it is {:.3}",
        m.set,
        ci.map_or(auc, |ci| ci.high),
        1.0 - auc,
    );
    Some(finding(severity, "polarity", message))
}

/// Whether videos that say nothing would hardly ever be ranked so far from one half (Mann-Whitney, two-sided 5 %):
/// two real and two fake ones are all in the wrong order one time in six, and their resamples all agree.
fn unlike_chance(auc: f64, [real, fake]: [usize; 2]) -> bool {
    let (n, m) = (real as f64, fake as f64);
    (auc - 0.5).abs() > 1.96 * ((n + m + 1.0) / (12.0 * n * m)).sqrt()
}

/// Test sets too small, or too easy, to resolve anything.
fn resolution(m: &Measures) -> Vec<Finding> {
    let mut out = Vec::new();
    let [real, fake] = m.videos;
    if real.min(fake) < FEW_VIDEOS {
        let message = format!("{}: only {real} real and {fake} fake videos; intervals are rough", m.set);
        out.push(finding(Severity::Note, "few-videos", message));
    }
    if m.video_auc_ci.is_some_and(|ci| ci.low == ci.high) {
        let message = format!(
            "{}: every resample ranks alike (video AUC {:.3}); the set cannot tell more",
            m.set, m.video_auc
        );
        out.push(finding(Severity::Note, "no-spread", message));
    }
    out
}

/// A good ranking with a useless threshold at 0.5.
fn calibration(m: &Measures) -> Option<Finding> {
    (m.video_auc >= 0.75 && m.balanced_acc < 0.6).then(|| {
        let message = format!(
            "{}: video AUC {:.3} but balanced accuracy {:.3} at 0.5; the scores rank well and need another threshold",
            m.set, m.video_auc, m.balanced_acc
        );
        finding(Severity::Note, "uncalibrated", message)
    })
}

/// Samples expected against samples scored.
pub fn coverage(set: &str, expected: &[Sample], rows: &[&ScoreRow]) -> Vec<Finding> {
    let want: BTreeSet<(String, u8)> = expected.iter().map(|s| (s.id(), s.label)).collect();
    let got: BTreeSet<(String, u8)> = rows.iter().map(|r| (r.id(), r.label)).collect();
    let mut out = Vec::new();
    if let Some((id, _)) = got.difference(&want).next() {
        let count = got.difference(&want).count();
        let message = format!(
            "{set}: {count} scored samples are not in the protocol, or have another label, such as {id}"
        );
        out.push(finding(Severity::Stop, "unexpected-samples", message));
    }
    let missing = want.difference(&got).count();
    if missing > 0 {
        let videos = |ids: &BTreeSet<(String, u8)>| {
            ids.iter()
                .filter_map(|(id, _)| id.rsplit_once('/'))
                .map(|(v, _)| v.to_owned())
                .collect::<BTreeSet<_>>()
                .len()
        };
        let message = format!(
            "{set}: {missing} of {} expected frames have no score ({} of {} videos are there)",
            want.len(),
            videos(&got.intersection(&want).cloned().collect()),
            videos(&want),
        );
        out.push(finding(Severity::Warn, "coverage", message));
    }
    out
}

/// Sizes scored against sizes published, for real data.
fn published_sizes(protocol: &Protocol, fold: &Fold, m: &Measures) -> Vec<Finding> {
    if m.set == "dev" && matches!(fold.dev, Dev::HoldOut { .. }) {
        return Vec::new(); // a share of a split
    }
    let [selector] = selectors(fold, &m.set) else { return Vec::new() };
    let Some(info) = dataset(&selector.dataset) else { return Vec::new() };
    if !selector.methods.is_empty() || !selector.reals || selector.frames.is_some() {
        return Vec::new();
    }
    let mut out = Vec::new();
    for count in info.counts.iter().filter(|c| c.split == Some(selector.split)) {
        let (unit, [real, fake]) = match count.unit {
            Unit::Videos => ("videos", m.videos),
            Unit::Images => ("images", m.frames),
        };
        let differs = |published: Option<usize>, scored| published.is_some_and(|p| p != scored);
        if !(differs(count.real, real) || differs(count.fake, fake) || differs(count.total, real + fake)) {
            continue;
        }
        let published = match (count.real, count.fake, count.total) {
            (Some(r), Some(f), _) => format!("{r} real + {f} fake"),
            (.., total) => total.map_or_else(|| "?".to_owned(), |t| format!("{t} in all")),
        };
        // another face detector keeps other frames; another number of videos is another test list
        let severity = if count.unit == Unit::Videos { Severity::Warn } else { Severity::Note };
        let message = format!(
            "{}: {real} real + {fake} fake {unit} scored, published are {published} ({}); {} is not comparable as it stands",
            m.set,
            count.source,
            protocol.primary.label()
        );
        out.push(finding(severity, "published-size", message));
    }
    out
}
