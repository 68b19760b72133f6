//! `facebench metrics`: a protocol's numbers for scores from anywhere, by the code that scores our own runs.
//!
//! Each file is one row; files under one name are seeds of it. Rows that hold the same samples are compared by paired
//! tests; one sample more or less and there is no test, but a warning with the difference. `--save` keeps them as
//! finished runs, so that `report` puts them into one table with our own. How a checkpoint was chosen cannot be seen in
//! scores: it is not stated unless `--selection`, or the record beside the file, says it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use facebench_protocols::{
    Aggregation, DataStamp, Dev, Evaluation, Family, Fold, Metric, Protocol, ProtocolStamp, RunRecord,
    ScoreRow, Selection, TestSet, TestTransform, dataset, evaluate::Options, evaluate_with, read_scores,
    record::OUTSIDE, write_scores,
};
use facebench_reports::Run;
use facebench_reports::tables::{self, Difference};
use serde_json::json;

use super::metrics_beside::{self, Beside};
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
    /// Whether it was made from synthetic faces, by what was typed or by the record beside it
    synthetic: bool,
    /// How the checkpoint was chosen, if anybody says so
    selection: Option<Selection>,
}

/// Reads, evaluates, prints.
pub(crate) fn run(args: &MetricsArgs) -> Result<Status> {
    let format = report::format(&args.format, report::Files::Save)?;
    let named = args.protocol.as_deref().map(|name| plan::protocol(name, Path::new("")));
    let named = named.transpose()?;
    // a slip in what was typed is said before the files are read
    named.as_ref().map(|protocol| fold(protocol, args.fold.as_deref())).transpose()?;
    typed_names(args)?;
    let given = given(args)?;
    if given.iter().any(|f| f.synthetic) && !given.iter().all(|f| f.synthetic) {
        let of = |f: &&Given<'_>| f.synthetic;
        let name = given.iter().find(of).map_or("", |f| &f.name);
        eprintln!(
            "warn: {name} is of synthetic faces by the record beside it, others are not, so they get tables of their own; \
             `--synthetic` says it of all files"
        );
    }
    let protocol = named.unwrap_or_else(|| as_they_are(&given));
    let fold = fold(&protocol, args.fold.as_deref())?;
    let several = given.len() > 1;
    let mut evaluations = Vec::new();
    for file in &given {
        let path = file.path.display().to_string();
        let options = Options { synthetic: Some(file.synthetic), ..Options::default() };
        let evaluation =
            evaluate_with(&protocol, fold, &file.rows, &options).with_context(|| path.clone())?;
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
        let record = record(&protocol, fold, file, evaluation.clone());
        let run = Run { folder: folder.join(format!("score-{}", store::short(&record.unit))), record };
        if several || kept.is_some() {
            keep(&run, &file.rows)?;
        }
        runs.push(run);
    }
    for other in given.iter().skip(1) {
        unlike(&given[0], other).iter().for_each(|line| eprintln!("warn: {line}"));
    }
    if let Some(kept) = kept {
        let s = if several { "s" } else { "" };
        eprintln!("kept as {} finished run{s}: facebench report {}", runs.len(), kept.display());
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

/// The files with their names, and with what lies beside them.
fn given(args: &MetricsArgs) -> Result<Vec<Given<'_>>> {
    let mut files: Vec<(Vec<ScoreRow>, Beside)> = Vec::new();
    for path in &args.scores {
        let rows = read(path, args.positive == "real")?;
        let beside = metrics_beside::of(path, &rows);
        files.push((rows, beside));
    }
    let names = names(args, &files.iter().map(|(_, beside)| beside.model.clone()).collect::<Vec<_>>())?;
    let of = |((path, (name, seed)), (rows, beside)): ((_, _), (_, Beside))| Given {
        path,
        name,
        seed,
        rows,
        synthetic: args.synthetic || beside.synthetic,
        selection: args.selection.map(Selection::from).or(beside.selection),
    };
    Ok(args.scores.iter().map(PathBuf::as_path).zip(names).zip(files).map(of).collect())
}

/// A slip in what was typed is said before the files are read.
fn typed_names(args: &MetricsArgs) -> Result<()> {
    let (files, names) = (args.scores.len(), args.name.len());
    if names > 0 && names != files {
        bail!(
            "{files} times --scores and {names} times --name\nhint: one name for each file, in the same order"
        );
    }
    Ok(())
}

/// Name and seed of each file: as given, else that of the record beside it, else the name of the file.
fn names(args: &MetricsArgs, known: &[Option<String>]) -> Result<Vec<(String, u64)>> {
    let stem = |p: &PathBuf| p.file_stem().unwrap_or(p.as_os_str()).to_string_lossy().into_owned();
    let twice = |list: &[String]| {
        list.iter().enumerate().find(|(at, name)| list[..*at].contains(name)).map(|(_, name)| name.clone())
    };
    let list: Vec<String> = if args.name.is_empty() {
        let stems: Vec<String> = args.scores.iter().map(stem).collect();
        let told: Vec<String> =
            known.iter().zip(&stems).map(|(k, s)| k.clone().unwrap_or_else(|| s.clone())).collect();
        // two files of one model: are they seeds, heads, checkpoints? Their names tell them apart
        let list = if twice(&told).is_none() { told } else { stems };
        if let Some(twice) = twice(&list) {
            bail!(
                "two files are called `{twice}`\nhint: give each a --name; one name for both makes them seeds of one model"
            );
        }
        list
    } else {
        args.name.clone()
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
fn record(protocol: &Protocol, fold: &Fold, file: &Given<'_>, evaluation: Evaluation) -> RunRecord {
    let data = stamps(&file.rows, file.synthetic);
    let fingerprint = protocol.fingerprint();
    let of_scores = file.rows.iter().map(|r| (format!("{} {} {}", r.set, r.id(), r.score), r.label));
    let mut key = json!({
        "name": file.name, "seed": file.seed, "fingerprint": fingerprint, "fold": fold.name, "data": data,
        "scores": DataStamp::digest(of_scores),
    });
    if let Some(rule) = file.selection {
        key["selection"] = json!(rule);
    }
    let unit = store::digest(&key);
    RunRecord {
        facebench: VERSION.to_owned(),
        unit,
        kind: "score".to_owned(),
        name: file.name.clone(),
        synthetic: file.synthetic,
        model: file.name.clone(),
        head: ELSEWHERE.to_owned(),
        seed: file.seed,
        protocol: Some(ProtocolStamp {
            id: protocol.id.clone(),
            version: protocol.version,
            fingerprint,
            fold: fold.name.clone(),
        }),
        selection: file.selection,
        data,
        evaluation: Some(evaluation),
        notes: vec![OUTSIDE.to_owned()],
        ..RunRecord::default()
    }
}

/// Digests of the sets, as a scoring unit makes them.
pub(super) fn stamps(rows: &[ScoreRow], synthetic: bool) -> Vec<DataStamp> {
    let mut sets: BTreeMap<&str, Vec<&ScoreRow>> = BTreeMap::new();
    rows.iter().for_each(|row| sets.entry(&row.set).or_default().push(row));
    sets.into_iter().map(|(set, rows)| DataStamp::of_scores(set, rows, synthetic)).collect()
}

/// In what the sets that both have differ, a line for each that does.
fn unlike(a: &Given<'_>, b: &Given<'_>) -> Vec<String> {
    fn samples<'r>(file: &'r Given<'_>) -> BTreeMap<&'r str, BTreeSet<(String, u8)>> {
        let mut sets: BTreeMap<&str, BTreeSet<(String, u8)>> = BTreeMap::new();
        for row in &file.rows {
            sets.entry(&row.set).or_default().insert((row.id(), row.label));
        }
        sets
    }
    let (of_a, of_b) = (samples(a), samples(b));
    let both = of_a.iter().filter_map(|(set, x)| Some((set, x, of_b.get(set)?)));
    both.filter_map(|(set, x, y)| {
        let (example, _) = x.symmetric_difference(y).next()?;
        Some(format!(
            "{set}: {} does not hold the same samples as {}: {} of {} are missing and {} others are there (a sample with \
             another label counts as both), such as {example}; so there is no paired test between them",
            b.name,
            a.name,
            x.difference(y).count(),
            x.len(),
            y.difference(x).count(),
        ))
    })
    .collect()
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
