//! `facebench metrics`: a protocol's numbers for scores from anywhere, by the code that scores our own runs.

use anyhow::{Context as _, Result, anyhow};
use facebench_protocols::{
    Aggregation, Dev, Family, Fold, Metric, Protocol, ProtocolStamp, RunRecord, Selection, TestSet,
    TestTransform, dataset, evaluate, read_scores,
};
use facebench_reports::{Run, tables};
use serde_json::json;

use super::report;
use crate::args::MetricsArgs;
use crate::fail::Status;
use crate::plan::VERSION;
use crate::{out, plan};

/// Reads, evaluates, prints.
pub(crate) fn run(args: &MetricsArgs) -> Result<Status> {
    let format = report::format(&args.format)?;
    let named = args.protocol.as_deref().map(|name| plan::protocol(name, std::path::Path::new("")));
    let named = named.transpose()?;
    // a slip in what was typed is said before the file is read
    named.as_ref().map(|protocol| fold(protocol, args.fold.as_deref())).transpose()?;
    let mut rows = read_scores(&args.scores)?;
    if args.positive == "real" {
        for row in &mut rows {
            (row.label, row.score, row.raw) = (1 - row.label, 1.0 - row.score, -row.raw);
        }
    }
    let protocol = match named {
        Some(protocol) => protocol,
        None => {
            let mut sets: Vec<String> = Vec::new();
            for row in rows.iter().filter(|r| r.set != "dev") {
                if !sets.contains(&row.set) {
                    sets.push(row.set.clone());
                }
            }
            let family = rows.iter().find_map(|r| dataset(&r.dataset)).map(|d| d.family);
            as_given(&sets, family.unwrap_or(Family::DeepfakeDetection))
        }
    };
    let fold = fold(&protocol, args.fold.as_deref())?;
    let evaluation = evaluate(&protocol, fold, &rows).with_context(|| args.scores.display().to_string())?;
    for finding in &evaluation.findings {
        eprintln!("{}: {}", format!("{:?}", finding.severity).to_lowercase(), finding.message);
    }
    if args.format == "json" {
        let fingerprint = protocol.fingerprint();
        out::json(
            &json!({"protocol": protocol.id, "fingerprint": fingerprint, "fold": fold.name, "evaluation": evaluation}),
        )?;
        return Ok(Status::Done);
    }
    let record = RunRecord {
        facebench: VERSION.to_owned(),
        unit: "0".repeat(64),
        kind: "score".to_owned(),
        name: args.name.clone(),
        model: args.name.clone(),
        pretraining: "not stated".to_owned(),
        head: "not stated".to_owned(),
        protocol: Some(ProtocolStamp {
            id: protocol.id.clone(),
            version: protocol.version,
            fingerprint: protocol.fingerprint(),
            fold: fold.name.clone(),
        }),
        selection: args.protocol.is_some().then_some(protocol.selection),
        evaluation: Some(evaluation),
        ..RunRecord::default()
    };
    let folder = args.scores.parent().unwrap_or(std::path::Path::new("")).to_owned();
    let tables =
        tables::for_protocol(&protocol.id, &[Run { record, folder }], std::slice::from_ref(&protocol))?;
    report::print(&tables, format)?;
    Ok(Status::Done)
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
