//! `facebench score`: any tuned detector over any labelled set, or over a folder of pictures.
//!
//! The same loop as a scoring unit (`facebench_train::Scorer`). Work in progress lies in `OUT.partial/`: a key that
//! says what is being scored with what, and the rows so far, only ever appended to. When all is scored the rows become
//! OUT by one rename, after a record beside it that says what they are. What the numbers look like is audited before
//! anybody uses them; the command that turns them into a table is printed.

mod data;
mod model;
mod place;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use facebench_engine::runtime;
use facebench_protocols::evaluate::{Options, evaluate_with};
use facebench_protocols::{DataStamp, Finding, ScoreRow, Severity, TestTransform, csv, read_scores};
use facebench_train::{Job, Progress as _, RowLog, Scorer, Tuned};
use serde_json::{Value, json};

use self::data::Data;
use self::place::Place;
use super::shared;
use crate::args::{Fit, Order, ScoreArgs};
use crate::fail::{Permanent, Status};
use crate::plan::VERSION;
use crate::run::{self, Screen};
use crate::{out, store};

/// What `score` and `label` mean in every file this program writes.
const POLARITY: &str = "score = P(fake), raw = logit fake − logit real, label 1 = fake";

/// Opens, scores what is not scored yet, audits, publishes.
pub(crate) fn run(args: &ScoreArgs) -> Result<Status> {
    let plugins = shared::plugins(&args.plugins)?;
    let (device, _) = shared::device(&args.device)?;
    let model = model::open(args, &plugins)?;
    let data = data::open(args)?;
    let sets = data.sets();
    let synthetic = data.synthetic() || model.synthetic;
    let fit = args.transform.map(|f| match f {
        Fit::Direct => TestTransform::Direct,
        Fit::CenterCrop => TestTransform::CenterCrop,
    });
    let own = match &data {
        Data::Fold(both) => Some(both.0.test_transform),
        _ => model.transform,
    };
    let transform = fit.or(own).unwrap_or(TestTransform::Direct);
    let key = json!({
        "facebench": VERSION,
        "model": model.told,
        "classes": if args.classes == Order::RealFake { "real, fake" } else { "fake, real" },
        "transform": transform,
        "device": if device.is_cpu() { "cpu" } else { "gpu" },
        "sets": sets.iter().map(|(name, s)| DataStamp::of(*name, *s, data.synthetic())).collect::<Vec<_>>(),
    });
    let Some(place) = Place::open(&args.out, &key)? else {
        eprintln!("{}: scored already by the same model in the same way", args.out.display());
        return tell(args, &data, (&key, synthetic), audit(&data, &args.out)?);
    };
    let stop = run::hear_signals()?;
    let total: usize = sets.iter().map(|(_, s)| s.len()).sum();
    let screen = Screen::new();
    let progress = screen.unit(&format!("score {}", model.title));
    let threads = args.threads.map_or(0, usize::from);
    let nowhere = Path::new("");
    let job = Job {
        dir: nowhere,
        state: nowhere,
        plugins: &plugins,
        device: device.clone(),
        data_root: nowhere.into(),
        weights: model.start.clone(),
        tuned: None,
        cache: None,
        workers: args.threads.map_or_else(cores, usize::from),
        stop: &stop,
        progress: &progress,
    };
    let tuned = Tuned {
        tensors: &model.tuned,
        excused: &model.excused,
        samples: model.samples,
        seeded: model.seeded,
    };
    let pool = runtime::thread_pool(threads)?;
    let mut log = RowLog::open(&place.rows(), &sets)?;
    let work = || -> facebench_train::Result<_> {
        let scorer = Scorer::open(&model.spec, &tuned, &job)?;
        let scorer = scorer.with(transform, args.classes.into(), usize::from(args.batch));
        progress.phase("pictures", total as u64);
        if log.rows() > 0 {
            progress.note(&format!("goes on after {} of {total} pictures", log.rows()));
        }
        let whole = scorer.score(&sets, &mut log, &job);
        let (params, normalise) = (scorer.detector.count(), scorer.detector.normalise);
        Ok((whole, params, normalise))
    };
    let (whole, params, normalise) = pool.install(work)?;
    let whole = whole.context(Permanent("scoring"))?;
    let done = log.rows();
    log.close()?;
    drop(progress);
    if !whole {
        eprintln!("interrupted after {done} of {total} pictures: the same command goes on from here");
        return Ok(Status::Interrupted);
    }
    let mut rows = place.rows();
    let audited = audit(&data, &rows)?;
    if let Data::Pictures(_, names) = &data {
        rows = pictures(&rows, names)?;
    }
    place.publish(
        &rows,
        &json!({
            "key": store::digest(&key),
            "what": key,
            "polarity": POLARITY,
            "parameters": params,
            "normalise": {"mean": normalise.mean, "std": normalise.std},
            "synthetic": synthetic,
            "decoder": facebench_data::image::DECODER,
            "findings": audited.1,
        }),
    )?;
    tell(args, &data, (&key, synthetic), audited)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Numbers of each set, and what looks wrong about them.
fn audit(data: &Data, rows: &Path) -> Result<(Vec<Value>, Vec<Finding>)> {
    let Some((protocol, fold, expected)) = data.measure() else { return Ok((Vec::new(), Vec::new())) };
    let rows = read_scores(rows).with_context(|| rows.display().to_string())?;
    let one_class = |name: &str| {
        let mut of = rows.iter().filter(|r| r.set == name).map(|r: &ScoreRow| r.label);
        let first = of.next();
        first.filter(|f| of.all(|l| l == *f))
    };
    if let (Data::Set(_), Some(label)) = (data, one_class(&fold.tests[0].name)) {
        let what = ["real", "fake"][usize::from(label)];
        let name = &fold.tests[0].name;
        let message = format!("{name}: every sample is {what}; AUC and EER need both classes");
        let code = "one-class".to_owned();
        let found = Finding { severity: Severity::Warn, code, message };
        return Ok((vec![json!({"set": name, "frames": rows.len()})], vec![found]));
    }
    let options = Options { expected, synthetic: Some(data.synthetic()), ..Options::default() };
    let mut evaluation = evaluate_with(&protocol, &fold, &rows, &options)?;
    if matches!(data, Data::Set(_)) {
        evaluation.findings.retain(|f| f.code != "no-dev"); // nobody said there would be one
    }
    let sets = evaluation.dev.iter().chain(&evaluation.sets);
    let told = sets
        .map(|m| {
            json!({
                "set": m.set, "frames": m.frames, "videos": m.videos, "frame_auc": m.frame_auc,
                "video_auc": m.video_auc, "video_auc_interval": m.video_auc_ci,
            })
        })
        .collect();
    Ok((told, evaluation.findings))
}

/// What was written, on stdout; findings and the next command on stderr.
fn tell(
    args: &ScoreArgs,
    data: &Data,
    (key, synthetic): (&Value, bool),
    (sets, findings): (Vec<Value>, Vec<Finding>),
) -> Result<Status> {
    for finding in &findings {
        eprintln!("{}: {}", format!("{:?}", finding.severity).to_lowercase(), finding.message);
    }
    let file = args.out.display().to_string();
    let quote = |word: &str| match word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:".contains(c)) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    };
    let next = match data {
        Data::Fold(both) => {
            let (id, fold) = (args.protocol.as_deref().unwrap_or(&both.0.id), &both.1.fold.name);
            let fold =
                if both.0.folds.len() > 1 { format!(" --fold {}", quote(fold)) } else { String::new() };
            Some(format!("facebench metrics --protocol {}{fold} --scores {}", quote(id), quote(&file)))
        }
        Data::Set(_) if sets.iter().all(|s| s.get("frame_auc").is_none()) => None,
        Data::Set(_) => Some(format!("facebench metrics --scores {}", quote(&file))),
        Data::Pictures(..) => None,
    };
    let next = next.map(|next| if synthetic { next + " --synthetic" } else { next });
    let rows: usize = data.sets().iter().map(|(_, s)| s.len()).sum();
    out::json(&json!({
        "file": args.out, "record": place::record_of(&args.out), "rows": rows, "polarity": POLARITY,
        "transform": key["transform"], "sets": sets, "findings": findings, "next": next,
    }))?;
    if let Some(next) = next {
        eprintln!("next: {next}");
    }
    Ok(Status::Done)
}

/// Writes the scores of pictures without labels, `picture, score, raw`, beside the rows they come from.
fn pictures(rows: &Path, names: &[String]) -> Result<PathBuf> {
    let scored = read_scores(rows)?;
    if scored.len() != names.len() {
        bail!("{}: {} rows for {} pictures", rows.display(), scored.len(), names.len());
    }
    let mut text = String::from("picture,score,raw\n");
    for (name, row) in names.iter().zip(&scored) {
        csv::push_record(&mut text, [name.as_str(), &row.score.to_string(), &row.raw.to_string()]);
    }
    let file = rows.with_file_name("pictures.csv");
    place::replace(&file, &text)?;
    Ok(file)
}
