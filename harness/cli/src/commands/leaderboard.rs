//! `facebench leaderboard`: bundles that prove their numbers, a page of them, files for outside boards.
//!
//! What a bundle is and how it is checked is `facebench_reports::leaderboard`'s business; here files are found and
//! verdicts printed. A bundle with problems is exit code 42: trying again does not help.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use facebench_protocols::{Metric, Prediction, Protocol, read_predictions, read_scores};
use facebench_reports::Run;
use facebench_reports::leaderboard::export::{self, BOARDS, Board, EvalOptions, Request};
use facebench_reports::leaderboard::{PackOptions, Signers, Verdict, pack, site, verify};
use serde_json::json;

use crate::args::{ExportArgs, LeaderboardCommand, PackArgs, SiteArgs, VerifyArgs};
use crate::commands::report::load_all;
use crate::config::nearest;
use crate::fail::Status;
use crate::out;
use crate::plan::VERSION;

/// One function per subcommand.
pub(crate) fn run(command: LeaderboardCommand) -> Result<Status> {
    match command {
        LeaderboardCommand::Pack(args) => packed(args),
        LeaderboardCommand::Verify(args) => verified(&args),
        LeaderboardCommand::Site(args) => sited(&args),
        LeaderboardCommand::Export(args) => exported(&args),
        LeaderboardCommand::Boards => boards(),
    }
}

fn packed(args: PackArgs) -> Result<Status> {
    let mut runs = load_all(&args.runs)?;
    for only in &args.only {
        keep(&mut runs, only)?;
    }
    let protocols: Vec<Protocol> =
        args.protocols.iter().map(|p| Ok(Protocol::load(p)?)).collect::<Result<_>>()?;
    let options = PackOptions {
        name: args.name,
        authors: args.authors,
        url: args.url,
        license: args.license,
        description: args.description,
        protocols,
        key: args.sign,
        facebench: VERSION.to_owned(),
    };
    let done = pack(&runs, &args.out, &options)?;
    for run in &done.without_weights {
        eprintln!("note: {run}: its weights are not among the runs, so the bundle lacks their digest");
    }
    let n = done.submission.results.len();
    eprintln!("{n} results in {}; check it with `facebench leaderboard verify {0}`", args.out.display());
    Ok(Status::Done)
}

/// Drops scored runs that are of another row.
fn keep(runs: &mut Vec<Run>, only: &str) -> Result<()> {
    let bad = || anyhow!("--only {only}: expected model=…, pretraining=… or head=…");
    let (key, value) = only.split_once('=').ok_or_else(bad)?;
    let of = |run: &Run| match key {
        "model" => Some(run.record.model.clone()),
        "pretraining" => Some(run.record.pretraining.clone()),
        "head" => Some(run.record.head.clone()),
        _ => None,
    };
    let mut known: Vec<String> = Vec::new();
    for run in runs.iter().filter(|r| r.record.kind == "score") {
        let text = of(run).ok_or_else(bad)?;
        if !known.contains(&text) {
            known.push(text);
        }
    }
    if !known.iter().any(|k| k == value) {
        return Err(anyhow!("--only {only}: no scored run has it\nhint: there is {}", known.join(", ")));
    }
    runs.retain(|r| r.record.kind != "score" || of(r).as_deref() == Some(value));
    Ok(())
}

fn verified(args: &VerifyArgs) -> Result<Status> {
    let signers = signers(args.signers.as_deref())?;
    let mut all = Vec::new();
    let mut good = true;
    for bundle in &args.bundles {
        let verdict = verify(bundle, signers.as_ref())?;
        good &= verdict.good();
        match args.json {
            true => all.push(as_json(bundle, &verdict)),
            false => out::text(&as_text(bundle, &verdict))?,
        }
    }
    if args.json {
        out::json(&json!(all))?;
    }
    Ok(if good { Status::Done } else { Status::Failed })
}

fn as_text(bundle: &Path, v: &Verdict) -> String {
    let name = v.submission.as_ref().map_or("unreadable", |s| s.name.as_str());
    let mut text = format!("{} · {name}\n", bundle.display());
    for p in &v.problems {
        text.push_str(&format!("  problem: {}: {}\n", p.place, p.what));
    }
    text.push_str(&format!("  {}\n", v.signature.line()));
    let state = if v.good() { "good" } else { "REFUSED" };
    let n = v.problems.len();
    text.push_str(&format!(
        "  {state}: {} results agree, {} numbers recomputed from the scores, {n} problem{}\n",
        v.runs.len(),
        v.numbers,
        if n == 1 { "" } else { "s" }
    ));
    text
}

fn as_json(bundle: &Path, v: &Verdict) -> serde_json::Value {
    let problems: Vec<_> = v.problems.iter().map(|p| json!({"place": p.place, "what": p.what})).collect();
    json!({
        "bundle": bundle.display().to_string(),
        "name": v.submission.as_ref().map(|s| s.name.clone()),
        "good": v.good(),
        "problems": problems,
        "signature": v.signature.line(),
        "results": v.runs.len(),
        "numbers": v.numbers,
    })
}

fn sited(args: &SiteArgs) -> Result<Status> {
    let signers = signers(args.signers.as_deref())?;
    let (listed, files) = site(&args.bundles, &args.out, &args.title, signers.as_ref())?;
    for l in listed.iter().filter(|l| !l.verdict.good()) {
        let n = l.verdict.problems.len();
        let first =
            l.verdict.problems.first().map(|p| format!("{}: {}", p.place, p.what)).unwrap_or_default();
        eprintln!("warning: {} is not ranked, {n} problem(s), the first: {first}", l.folder);
    }
    out::text(&files.iter().map(|f| format!("{}\n", f.display())).collect::<String>())?;
    Ok(Status::Done)
}

fn signers(file: Option<&Path>) -> Result<Option<Signers>> {
    let Some(file) = file else { return Ok(None) };
    std::fs::metadata(file).with_context(|| format!("--signers {}", file.display()))?;
    Ok(Some(Signers { file: file.to_owned() }))
}

fn boards() -> Result<Status> {
    let mut text = String::new();
    for b in &BOARDS {
        text.push_str(&format!("{:20} {} (.{})\n", b.id, b.title, b.extension()));
        if !b.note.is_empty() {
            text.push_str(&format!("{:20} {}\n", "", b.note));
        }
    }
    text.push_str(&format!(
        "{:20} YAML files for a model repository on the Hugging Face hub\n",
        "eval-results"
    ));
    out::text(&text)?;
    Ok(Status::Done)
}

fn exported(args: &ExportArgs) -> Result<Status> {
    if args.board == "eval-results" {
        return eval_results(args);
    }
    let board = Board::get(&args.board).ok_or_else(|| {
        let names: Vec<String> = BOARDS.iter().map(|b| b.id.to_owned()).collect();
        let hint = match nearest(&args.board, &names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("one of {}, eval-results", names.join(", ")),
        };
        anyhow!("--board {}: no such board\nhint: {hint}", args.board)
    })?;
    let need = |what: &Option<PathBuf>, flag: &str| -> Result<PathBuf> {
        what.clone().ok_or_else(|| anyhow!("board {} needs {flag}", board.id))
    };
    let (scores, list) = (need(&args.scores, "--scores CSV")?, need(&args.list, "--list FILE")?);
    let predictions: Vec<Prediction> = match &args.set {
        Some(set) => export::aggregated(&read_scores(&scores)?, set, &args.id)
            .with_context(|| scores.display().to_string())?,
        None => read_predictions(&scores).with_context(|| {
            format!("{}\nhint: for a score file of facebench say which set: --set NAME", scores.display())
        })?,
    };
    let names = export::list(&list)?;
    let request = Request {
        board,
        predictions: &predictions,
        names: &names,
        threshold: args.threshold,
        clip: args.clip,
        decimals: args.decimals.into(),
    };
    let inputs = BTreeMap::from([
        ("scores".to_owned(), export::digest(&scores)?),
        ("list".to_owned(), export::digest(&list)?),
    ]);
    let done = export::export(&request, &args.out, &inputs)?;
    let (s, note) = (if done.lines == 1 { "" } else { "s" }, board.note);
    let note = if note.is_empty() { String::new() } else { format!("; {note}") };
    eprintln!("{} line{s}{note}", done.lines);
    out::text(&format!("{}\n{}\n", done.file.display(), done.manifest.display()))?;
    Ok(Status::Done)
}

fn eval_results(args: &ExportArgs) -> Result<Status> {
    let dataset = args.dataset.clone().ok_or_else(|| anyhow!("eval-results needs --dataset owner/name"))?;
    let metric = Metric::from_id(&args.metric).ok_or_else(|| {
        anyhow!("--metric {}: no such metric\nhint: video-auc, frame-auc, hter-dev …", args.metric)
    })?;
    if args.runs.is_empty() {
        return Err(anyhow!("eval-results needs --runs DIR"));
    }
    let options = EvalOptions { dataset, metric, url: args.url.clone() };
    let files = export::eval_results(&load_all(&args.runs)?, &args.out, &options)?;
    out::text(&files.iter().map(|f| format!("{}\n", f.display())).collect::<String>())?;
    Ok(Status::Done)
}
