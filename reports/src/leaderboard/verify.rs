//! Whether a bundle's numbers follow from its scores.
//!
//! Nothing a bundle says of itself is believed that can be computed: digests of files, the signature, the protocol's
//! fingerprint, the list of samples, and every number of every test set with its interval. What cannot be checked
//! without the images and the model is how the scores came about; the digests of weights and plugins say what to ask
//! for.

use super::bundle::{Entry, Submission, folder_of};
use super::older::Unknown;
use super::{Error, Result, Signature, Signers, sign, sums};
use crate::runs::{self, Run};
use facebench_protocols::evaluate::{Options, evaluate_with};
use facebench_protocols::{DataStamp, Evaluation, Protocol, ScoreRow, Severity};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// Relative difference that other processors may make in the last digits of a sum.
const TOLERANCE: f64 = 1e-9;
/// Differences of one set to spell out.
const NAMED: usize = 4;

/// Something that is not as the bundle says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// File, run or test set.
    pub place: String,
    /// What was found, and what was expected.
    pub what: String,
}

/// What was found in a bundle.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// What the bundle says it is; absent if that could not be read.
    pub submission: Option<Submission>,
    /// Everything that is wrong; a bundle is good if there is nothing.
    pub problems: Vec<Problem>,
    /// What its signature is worth.
    pub signature: Signature,
    /// The runs whose numbers were recomputed and agree.
    pub runs: Vec<Run>,
    /// Numbers compared.
    pub numbers: usize,
    /// Protocols that came with the bundle and agree with the fingerprints of its runs.
    pub protocols: Vec<Protocol>,
}

impl Verdict {
    /// Whether everything agrees.
    pub fn good(&self) -> bool {
        self.problems.is_empty()
    }

    fn problem(&mut self, place: impl Into<String>, what: impl Into<String>) {
        self.problems.push(Problem { place: place.into(), what: what.into() });
    }
}

/// Checks the bundle in folder `bundle`. Faults of the bundle are in the verdict.
///
/// # Errors
/// The folder cannot be read at all, or `ssh-keygen` cannot be started although there is a signature.
pub fn verify(bundle: &Path, signers: Option<&Signers>) -> Result<Verdict> {
    let mut verdict = Verdict {
        submission: None,
        problems: Vec::new(),
        signature: Signature::None,
        runs: Vec::new(),
        numbers: 0,
        protocols: Vec::new(),
    };
    std::fs::read_dir(bundle).map_err(|source| Error::NoBundle { path: bundle.to_owned(), source })?;
    files(bundle, &mut verdict);
    verdict.signature = sign::check(bundle, signers)?;
    match &verdict.signature {
        Signature::Wrong { why } => {
            let why = why.clone();
            verdict.problem(sums::SIGNATURE, format!("wrong signature: {why}"));
        }
        Signature::None if signers.is_some() => {
            verdict.problem(sums::SIGNATURE, "the bundle is not signed, and a list of signers was given");
        }
        _ => {}
    }
    match Submission::load(bundle) {
        Ok(submission) => verdict.submission = Some(submission),
        Err(e) => {
            verdict.problem(super::bundle::FILE, e.to_string());
            return Ok(verdict);
        }
    }
    protocols(bundle, &mut verdict);
    results(bundle, &mut verdict);
    Ok(verdict)
}

/// `SHA256SUMS` against the files.
fn files(bundle: &Path, verdict: &mut Verdict) {
    let (listed, found) = match (sums::read(bundle), sums::of_folder(bundle)) {
        (Ok(listed), Ok(found)) => (listed, found),
        (listed, found) => {
            for error in [listed.err(), found.err()].into_iter().flatten() {
                verdict.problem(sums::FILE, error.to_string());
            }
            return;
        }
    };
    for (name, sum) in &listed {
        match found.get(name) {
            None => verdict.problem(name, "is listed in SHA256SUMS and missing"),
            Some(got) if got != sum => {
                verdict.problem(name, format!("was changed: SHA-256 {got:.12}…, SHA256SUMS says {sum:.12}…"));
            }
            Some(_) => {}
        }
    }
    for name in found.keys().filter(|n| !listed.contains_key(*n)) {
        verdict.problem(name, "is not listed in SHA256SUMS");
    }
}

fn protocols(bundle: &Path, verdict: &mut Verdict) {
    let Ok(entries) = std::fs::read_dir(bundle.join("protocols")) else { return };
    let mut paths: Vec<_> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        match Protocol::load(&path) {
            Ok(protocol) => verdict.protocols.push(protocol),
            Err(e) => verdict.problem(path.display().to_string(), e.to_string()),
        }
    }
}

fn results(bundle: &Path, verdict: &mut Verdict) {
    let submission = verdict.submission.clone().unwrap_or_default();
    if submission.results.is_empty() {
        verdict.problem(super::bundle::FILE, "has no results");
    }
    let mut seen = BTreeSet::new();
    for entry in &submission.results {
        if entry.unit.len() < 16 || !entry.unit.chars().all(|c| c.is_ascii_hexdigit()) {
            verdict.problem(super::bundle::FILE, format!("{:?} is not the digest of a unit", entry.unit));
            continue;
        }
        let place = folder_of(&entry.unit);
        if !seen.insert(place.clone()) {
            verdict.problem(place, "is listed twice");
            continue;
        }
        let before = verdict.problems.len();
        match result(bundle, entry, &place, verdict) {
            Ok(run) if verdict.problems.len() == before => verdict.runs.push(run),
            Ok(_) => {}
            Err(what) => verdict.problem(place, what),
        }
    }
    if let Ok(entries) = std::fs::read_dir(bundle.join("runs")) {
        for entry in entries.filter_map(std::result::Result::ok) {
            let place = format!("runs/{}", entry.file_name().to_string_lossy());
            if !seen.contains(&place) {
                verdict.problem(place, "is not listed in submission.json");
            }
        }
    }
}

/// One result; an `Err` where nothing further can be said.
fn result(
    bundle: &Path,
    entry: &Entry,
    place: &str,
    verdict: &mut Verdict,
) -> std::result::Result<Run, String> {
    let folder = bundle.join(place);
    let run = runs::one(&folder).map_err(|e| e.to_string())?;
    let r = &run.record;
    let said = Entry { weights: entry.weights.clone(), ..Entry::of(&run, Vec::new()) };
    if said != *entry {
        verdict.problem(place, format!("run.json and submission.json differ: {}", differing(&said, entry)));
    }
    let stamp = r.protocol.as_ref().ok_or("run.json names no protocol")?;
    let recorded = r.evaluation.as_ref().ok_or("run.json has no evaluation")?;
    let protocol = protocol_of(stamp, verdict)?;
    let fold = protocol
        .folds
        .iter()
        .find(|f| f.name == stamp.fold)
        .ok_or_else(|| format!("protocol {} has no fold {}", protocol.id, stamp.fold))?;
    // nobody can see in scores from elsewhere how a checkpoint was chosen; tables say that it is not stated
    if r.selection.is_none() && !r.outside() {
        verdict.problem(place, "run.json does not say how the checkpoint was chosen");
    }
    let rows = run.scores().map_err(|e| e.to_string())?.ok_or("scores.csv is missing")?;
    samples(place, &r.data, &rows, verdict);
    let computed = evaluate_with(&protocol, fold, &rows, &Options::default())
        .map_err(|e| format!("its scores cannot be evaluated: {e}"))?;
    let unknown = Unknown::of(&folder, &computed);
    let packed_by = verdict.submission.as_ref().map(|s| s.facebench.clone()).unwrap_or_default();
    if let Some(what) = unknown.problem(&packed_by) {
        verdict.problem(place, what);
    }
    numbers(place, recorded, &computed, &unknown, verdict);
    for f in recorded.findings.iter().chain(&computed.findings) {
        if f.severity == Severity::Stop && f.code != "oracle-selection" {
            let what = format!("an audit stops this result: {}", f.message);
            if !verdict.problems.iter().any(|p| p.place == place && p.what == what) {
                verdict.problem(place, what);
            }
        }
    }
    Ok(run)
}

fn protocol_of(
    stamp: &facebench_protocols::ProtocolStamp,
    verdict: &Verdict,
) -> std::result::Result<Protocol, String> {
    let shipped = Protocol::builtin(&stamp.id).and_then(std::result::Result::ok);
    let known: Vec<Protocol> =
        shipped.into_iter().chain(verdict.protocols.iter().filter(|p| p.id == stamp.id).cloned()).collect();
    let found = known.iter().find(|p| p.fingerprint() == stamp.fingerprint).cloned();
    found.ok_or_else(|| match known.first() {
        None => format!("protocol {} is neither in the bundle nor in this program", stamp.id),
        Some(p) => format!(
            "protocol {}@{} has fingerprint {:.12}…, the run was made under another one, {:.12}…",
            p.id,
            p.version,
            p.fingerprint(),
            stamp.fingerprint
        ),
    })
}

/// The samples of `scores.csv` against the stamps of the record.
fn samples(place: &str, stamps: &[DataStamp], rows: &[ScoreRow], verdict: &mut Verdict) {
    let mut sets: Vec<&str> = rows.iter().map(|r| r.set.as_str()).collect();
    sets.sort_unstable();
    sets.dedup();
    for set in &sets {
        let mut of: Vec<&ScoreRow> = rows.iter().filter(|r| r.set == *set).collect();
        of.sort_by(|a, b| {
            (&a.dataset, &a.method, &a.video, a.frame).cmp(&(&b.dataset, &b.method, &b.video, b.frame))
        });
        let place = format!("{place}, set {set}");
        let Some(stamp) = stamps.iter().find(|s| s.dataset == *set) else {
            verdict.problem(place, "scores of a set that run.json does not list under its data");
            continue;
        };
        if of.len() < stamp.samples {
            let missing = stamp.samples - of.len();
            verdict.problem(place, format!("{missing} of {} lines are missing in scores.csv", stamp.samples));
        } else if of.len() > stamp.samples {
            let more = of.len() - stamp.samples;
            verdict
                .problem(place, format!("{more} lines more than the {} samples of run.json", stamp.samples));
        } else if DataStamp::digest(of.iter().map(|r| (r.id(), r.label))) != stamp.sha256 {
            verdict.problem(place, "other samples or other labels than those run.json has the digest of");
        }
    }
    for stamp in stamps.iter().filter(|s| !sets.contains(&s.dataset.as_str())) {
        let place = format!("{place}, set {}", stamp.dataset);
        verdict.problem(place, format!("all {} lines are missing in scores.csv", stamp.samples));
    }
}

/// Every number of the record against the recomputed one.
fn numbers(
    place: &str,
    recorded: &Evaluation,
    computed: &Evaluation,
    unknown: &Unknown,
    verdict: &mut Verdict,
) {
    let json = |m: &facebench_protocols::Measures| serde_json::to_value(m).unwrap_or_default();
    let all = |e: &Evaluation| -> Vec<(String, Value)> {
        e.sets.iter().chain(&e.dev).map(|m| (m.set.clone(), json(m))).collect()
    };
    let (said, ours) = (all(recorded), all(computed));
    for (set, value) in &said {
        let place = format!("{place}, set {set}");
        let Some((_, other)) = ours.iter().find(|(s, _)| s == set) else {
            verdict.problem(place, "has numbers in run.json and no scores");
            continue;
        };
        let mut wrong = Vec::new();
        verdict.numbers += compare("", value, other, unknown, &mut wrong);
        if !wrong.is_empty() {
            let more = wrong.len().saturating_sub(NAMED);
            let mut what = wrong[..wrong.len().min(NAMED)].join("; ");
            if more > 0 {
                what.push_str(&format!("; and {more} more"));
            }
            verdict.problem(place, what);
        }
    }
    for (set, _) in ours.iter().filter(|(s, _)| !said.iter().any(|(t, _)| t == s)) {
        verdict.problem(format!("{place}, set {set}"), "has scores and no numbers in run.json");
    }
}

/// Walks two values; returns how many leaves were compared.
fn compare(path: &str, said: &Value, ours: &Value, unknown: &Unknown, wrong: &mut Vec<String>) -> usize {
    if unknown.lacking.contains(path) {
        return 0;
    }
    let at = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match (said, ours) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            let null = Value::Null;
            keys.iter()
                .map(|k| {
                    compare(&at(k), a.get(*k).unwrap_or(&null), b.get(*k).unwrap_or(&null), unknown, wrong)
                })
                .sum()
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => a
            .iter()
            .zip(b)
            .enumerate()
            .map(|(i, (a, b))| compare(&at(&i.to_string()), a, b, unknown, wrong))
            .sum(),
        _ => {
            let same = match (said.as_f64(), ours.as_f64()) {
                (Some(a), Some(b)) => (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()),
                _ => said == ours,
            };
            if !same {
                wrong.push(format!("{path} is {said} in run.json and {ours} from the scores"));
            }
            1
        }
    }
}

/// Names of the fields in which two entries differ.
fn differing(a: &Entry, b: &Entry) -> String {
    let [a, b] = [a, b].map(|e| serde_json::to_value(e).unwrap_or_default());
    let (Value::Object(a), Value::Object(b)) = (a, b) else { return "everything".to_owned() };
    a.iter().filter(|(k, v)| b.get(*k) != Some(v)).map(|(k, _)| k.as_str()).collect::<Vec<_>>().join(", ")
}
