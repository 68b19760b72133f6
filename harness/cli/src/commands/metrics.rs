//! `facebench metrics`: a protocol's numbers for scores from anywhere, by the code that scores our own runs.
//!
//! Each file is one row; files under one name are seeds of it. Several rows are compared by paired tests on the videos
//! they share. `--save` keeps them as finished runs, so that `report` puts them into one table with our own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use facebench_protocols::{
    Aggregation, DataStamp, Dev, Evaluation, Family, Fold, Metric, Protocol, ProtocolStamp, RunRecord,
    ScoreRow, Selection, TestSet, TestTransform, dataset, evaluate, read_scores, write_scores,
};
use facebench_reports::Run;
use facebench_reports::tables::{self, Difference};
use serde_json::json;

use super::report;
use crate::args::MetricsArgs;
use crate::fail::Status;
use crate::plan::VERSION;
use crate::{out, plan, store};

/// Stands where our own runs name their head.
const ELSEWHERE: &str = "made elsewhere";

/// One file of scores.
struct Given<'a> {
    path: &'a Path,
    name: String,
    /// Number among the files of this name, from 0.
    seed: u64,
    rows: Vec<ScoreRow>,
}

/// Reads, evaluates, prints.
pub(crate) fn run(args: &MetricsArgs) -> Result<Status> {
    let format = report::format(&args.format)?;
    let named = args.protocol.as_deref().map(|name| plan::protocol(name, Path::new("")));
    let named = named.transpose()?;
    // a slip in what was typed is said before the files are read
    named.as_ref().map(|protocol| fold(protocol, args.fold.as_deref())).transpose()?;
    let names = names(args)?;
    let given: Vec<Given<'_>> = args
        .scores
        .iter()
        .zip(names)
        .map(|(path, (name, seed))| {
            Ok(Given { path, name, seed, rows: read(path, args.positive == "real")? })
        })
        .collect::<Result<_>>()?;
    let protocol = named.unwrap_or_else(|| as_they_are(&given));
    let fold = fold(&protocol, args.fold.as_deref())?;
    let several = given.len() > 1;
    let mut evaluations = Vec::new();
    for file in &given {
        let path = file.path.display().to_string();
        let evaluation = evaluate(&protocol, fold, &file.rows).with_context(|| path.clone())?;
        let place = if several { format!("{path}: ") } else { String::new() };
        for finding in &evaluation.findings {
            eprintln!("{}: {place}{}", format!("{:?}", finding.severity).to_lowercase(), finding.message);
        }
        evaluations.push(evaluation);
    }

    let scratch = tempfile::tempdir().context("a folder for the scores")?;
    let kept = args.save.as_deref();
    let folder = kept.unwrap_or(scratch.path());
    let mut runs = Vec::new();
    for (file, evaluation) in given.iter().zip(&evaluations) {
        let record = record(args, &protocol, fold, file, evaluation.clone());
        let run = Run { folder: folder.join(format!("score-{}", store::short(&record.unit))), record };
        if several || kept.is_some() {
            keep(&run, &file.rows)?;
        }
        runs.push(run);
    }
    for run in runs.iter().skip(1) {
        for set in unlike(&runs[0], run) {
            let (a, b) = (&runs[0].record.model, &run.record.model);
            eprintln!(
                "warn: {set}: {b} does not hold the same samples as {a}, so there is no paired test between them"
            );
        }
    }
    if let Some(kept) = kept {
        eprintln!("kept as {} finished runs: facebench report {}", runs.len(), kept.display());
    }

    let studies = tables::with_differences(&protocol.id, &runs, std::slice::from_ref(&protocol))?;
    if args.format == "json" {
        let differences: Vec<Difference> = studies.into_iter().flat_map(|(_, d)| d).collect();
        return json(&protocol, fold, &runs, &differences);
    }
    let mut list = Vec::new();
    for (table, differences) in studies {
        let second = tables::difference_table(&differences, &table);
        list.push(table);
        list.extend(second);
    }
    report::print(&list, format)?;
    Ok(Status::Done)
}

fn json(protocol: &Protocol, fold: &Fold, runs: &[Run], differences: &[Difference]) -> Result<Status> {
    let mut whole =
        json!({"protocol": protocol.id, "fingerprint": protocol.fingerprint(), "fold": fold.name});
    match runs {
        [one] => whole["evaluation"] = json!(one.record.evaluation),
        all => {
            let of = |r: &RunRecord| json!({"name": r.model, "seed": r.seed, "evaluation": r.evaluation});
            whole["files"] = all.iter().map(|run| of(&run.record)).collect();
            whole["differences"] = json!(differences);
        }
    }
    out::json(&whole)?;
    Ok(Status::Done)
}

/// Name and seed of each file: as given, or the name of the file.
fn names(args: &MetricsArgs) -> Result<Vec<(String, u64)>> {
    let (files, names) = (args.scores.len(), args.name.len());
    let list: Vec<String> = if names == files {
        args.name.clone()
    } else if names > 0 {
        bail!(
            "{files} times --scores and {names} times --name\nhint: one name for each file, in the same order"
        );
    } else if files == 1 {
        vec!["your scores".into()]
    } else {
        let stem = |p: &PathBuf| p.file_stem().unwrap_or(p.as_os_str()).to_string_lossy().into_owned();
        let list: Vec<String> = args.scores.iter().map(stem).collect();
        if let Some(twice) = list.iter().enumerate().find(|(at, name)| list[..*at].contains(name)) {
            bail!(
                "two files are called `{}`\nhint: give each a --name; one name for both makes them seeds of one model",
                twice.1
            );
        }
        list
    };
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    let numbered = list.into_iter().map(|name| {
        let next = seen.entry(name.clone()).or_default();
        *next += 1;
        (name, *next - 1)
    });
    Ok(numbered.collect())
}

/// The rows of a file, turned round where it counts the other way.
fn read(path: &Path, turned: bool) -> Result<Vec<ScoreRow>> {
    let mut rows = read_scores(path)?;
    if turned {
        for row in &mut rows {
            (row.label, row.score, row.raw) = (1 - row.label, 1.0 - row.score, -row.raw);
        }
    }
    Ok(rows)
}

/// What a finished run would say of itself, as far as scores tell.
fn record(
    args: &MetricsArgs,
    protocol: &Protocol,
    fold: &Fold,
    file: &Given<'_>,
    evaluation: Evaluation,
) -> RunRecord {
    let data = stamps(&file.rows, args.synthetic);
    let fingerprint = protocol.fingerprint();
    let of_scores = file.rows.iter().map(|r| (format!("{} {} {}", r.set, r.id(), r.score), r.label));
    let unit = store::digest(&json!({
        "name": file.name, "seed": file.seed, "fingerprint": fingerprint, "fold": fold.name, "data": data,
        "scores": DataStamp::digest(of_scores),
    }));
    RunRecord {
        facebench: VERSION.to_owned(),
        unit,
        kind: "score".to_owned(),
        name: file.name.clone(),
        synthetic: args.synthetic,
        model: file.name.clone(),
        head: ELSEWHERE.to_owned(),
        seed: file.seed,
        protocol: Some(ProtocolStamp {
            id: protocol.id.clone(),
            version: protocol.version,
            fingerprint,
            fold: fold.name.clone(),
        }),
        selection: args.protocol.is_some().then_some(protocol.selection),
        data,
        evaluation: Some(evaluation),
        notes: vec!["scores were made outside facebench".to_owned()],
        ..RunRecord::default()
    }
}

/// Digests of the sets, as a scoring unit makes them.
fn stamps(rows: &[ScoreRow], synthetic: bool) -> Vec<DataStamp> {
    let mut sets: BTreeMap<&str, Vec<&ScoreRow>> = BTreeMap::new();
    rows.iter().for_each(|row| sets.entry(&row.set).or_default().push(row));
    sets.into_iter().map(|(set, rows)| DataStamp::of_scores(set, rows, synthetic)).collect()
}

/// Sets that both have and that differ.
fn unlike<'r>(a: &'r Run, b: &'r Run) -> impl Iterator<Item = &'r str> {
    let differs =
        |x: &&DataStamp| b.record.data.iter().any(|y| x.dataset == y.dataset && x.sha256 != y.sha256);
    a.record.data.iter().filter(differs).map(|x| x.dataset.as_str())
}

/// Writes a run's folder; the record comes last, since it is what makes the folder a run.
fn keep(run: &Run, rows: &[ScoreRow]) -> Result<()> {
    let folder = &run.folder;
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    write_scores(&folder.join("scores.csv"), rows)?;
    let (file, record) = (folder.join("run.json"), serde_json::to_string_pretty(&run.record)? + "\n");
    std::fs::write(&file, record).with_context(|| file.display().to_string())
}

/// Every set of the files, without a protocol.
fn as_they_are(given: &[Given<'_>]) -> Protocol {
    let mut sets: Vec<String> = Vec::new();
    let rows = || given.iter().flat_map(|file| &file.rows);
    for row in rows().filter(|r| r.set != "dev") {
        if sets.last() != Some(&row.set) && !sets.contains(&row.set) {
            sets.push(row.set.clone());
        }
    }
    let family = rows().find_map(|r| dataset(&r.dataset)).map(|d| d.family);
    as_given(&sets, family.unwrap_or(Family::DeepfakeDetection))
}

/// Sets as they are in a file of scores, without a protocol: one fold that tests each of them. Nothing is said about
/// training, so numbers made this way compare with nothing but each other.
pub(crate) fn as_given(sets: &[String], family: Family) -> Protocol {
    let tests = sets.iter().map(|name| TestSet { name: name.clone(), select: Vec::new(), in_domain: false });
    let dev = Dev::Select(Vec::new());
    let fold = Fold { name: "as given".into(), train: Vec::new(), dev, tests: tests.collect() };
    Protocol {
        id: "as-given".into(),
        version: 1,
        title: "Scores as they are: no protocol, nothing known about training".into(),
        family,
        folds: vec![fold],
        aggregation: Aggregation::Mean,
        selection: Selection::Last,
        primary: Metric::VideoAuc,
        test_transform: TestTransform::Direct,
        over_folds: false,
        notes: String::new(),
    }
}

/// The named fold, or the only one.
pub(crate) fn fold<'p>(protocol: &'p Protocol, name: Option<&str>) -> Result<&'p Fold> {
    let names: Vec<String> = protocol.folds.iter().map(|f| f.name.clone()).collect();
    let found = match name {
        Some(name) => protocol.folds.iter().find(|f| f.name == name),
        None if protocol.folds.len() == 1 => protocol.folds.first(),
        None => None,
    };
    found.ok_or_else(|| {
        let what = name.map_or_else(|| "which fold?".to_owned(), |n| format!("no fold is called `{n}`"));
        anyhow!("protocol `{}`: {what}\nhint: give `--fold` one of: {}", protocol.id, names.join(", "))
    })
}
