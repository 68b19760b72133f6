//! Scoring: P(fake) for every frame of a fold's development and test sets.
//!
//! Streams frames in manifest order with constant memory; every half minute, and when asked to stop,
//! the rows so far are in the resume state. Features of a backbone that did not train come from the cache, if they fit. Scores are computed in f64 from the logit margin, so
//! that a confident network does not saturate at 1 (the margin is written too).

use std::path::Path;

use facebench_engine::no_grad;
use facebench_protocols::evaluate::{Options, evaluate_with};
use facebench_protocols::{Protocol, Sample, ScoreRow, Selection, read_scores, write_scores};

use crate::cache;
use crate::detector::{Detector, margins};
use crate::error::{Result, at};
use crate::frames::{FoldData, FrameReader};
use crate::job::{Done, Job, Outcome};
use crate::select::chosen_tensors;
use crate::spec::ScoreSpec;

/// Name of the table of scores in the unit's folder.
pub const SCORES: &str = "scores.csv";

/// Runs `spec` to its end or until the job is stopped. `job.tuned` is the published tuning unit.
pub fn score(spec: &ScoreSpec, protocol: &Protocol, job: &Job) -> Result<Outcome> {
    let data = FoldData::open(protocol, &spec.tune.fold, &job.data_root)?;
    let detector = Detector::build(&spec.tune, job, data.assembled.train.len())?;
    let unit = job.tuned.as_deref().expect("the caller gives the tuning unit");
    let (chosen, tensors) = chosen_tensors(unit, spec.selection)?;
    detector.store.set_all(&tensors)?;
    detector.eval()?;
    let reader =
        FrameReader::new(detector.info.image, protocol.test_transform, detector.normalise, spec.tune.seed);

    let mut sets: Vec<(&str, &[Sample])> = vec![("dev", &data.assembled.dev)];
    sets.extend(data.assembled.tests.iter().map(|(set, samples)| (set.name.as_str(), samples.as_slice())));
    let total: usize = sets.iter().map(|(_, s)| s.len()).sum();
    job.progress.phase("score", total as u64);

    let began = std::time::Instant::now();
    let partial = job.state.join(SCORES);
    let mut rows = if partial.exists() { read_scores(&partial)? } else { Vec::new() };
    let resumed = rows.len();
    let mut skip = resumed;
    let mut done = resumed as u64;
    let mut saved = std::time::Instant::now();
    for (name, samples) in sets {
        let from = skip.min(samples.len());
        skip -= from;
        if from < samples.len() && detector.fixed_features() && cache::fits(&detector, samples.len()) {
            let Some(features) = cache::features(&detector, &spec.tune, &reader, samples, job, done)? else {
                keep(&partial, &rows)?;
                return Ok(Outcome::Interrupted);
            };
            let margins = detector.score_features(&features, spec.batch)?;
            let scored = samples.iter().zip(margins).skip(from);
            rows.extend(scored.map(|(sample, margin)| row(name, sample, margin)));
            done += (samples.len() - from) as u64;
            job.progress.tick(done, name);
            continue;
        }
        let left: Vec<usize> = (from..samples.len()).collect();
        let chunks: Vec<Vec<usize>> = left.chunks(spec.batch.max(1)).map(<[usize]>::to_vec).collect();
        for frames in reader.stream(samples, chunks, None, job) {
            if job.stopped() {
                keep(&partial, &rows)?;
                return Ok(Outcome::Interrupted);
            }
            if saved.elapsed() >= crate::state::EVERY {
                keep(&partial, &rows)?;
                saved = std::time::Instant::now();
            }
            let frames = frames?;
            let images = frames.tensor(&job.device)?;
            let logits = no_grad(|| detector.features(&images).and_then(|f| detector.logits(&f)))?;
            let margins = margins(&logits)?;
            rows.extend(
                frames.indices.iter().zip(margins).map(|(&i, margin)| row(name, &samples[i], margin)),
            );
            done += frames.indices.len() as u64;
            job.progress.tick(done, name);
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    write_scores(&job.dir.join(SCORES), &rows)?;
    let options =
        Options { expected: Some(&data.assembled), synthetic: Some(data.synthetic), ..Options::default() };
    let evaluation = evaluate_with(protocol, &data.fold, &rows, &options)?;
    let params = detector.count();
    Ok(Outcome::Done(Box::new(Done {
        params,
        data: data.stamps(&["dev", "tests"]),
        synthetic: data.synthetic,
        images: (rows.len() - resumed) as u64,
        loop_s: seconds,
        data_wait: 0.0,
        notes: vec![
            format!(
                "weights of epoch {} chosen by {}{}",
                chosen.epoch,
                spec.selection,
                match spec.selection {
                    Selection::Oracle => " (on the test sets: a bound, not a result)",
                    _ => "",
                }
            ),
            format!("{} of {} parameters trained", params.trained, params.total),
        ],
        evaluation: Some(evaluation),
    })))
}

/// A sample with its score.
pub(crate) fn row(set: &str, sample: &Sample, margin: f64) -> ScoreRow {
    ScoreRow {
        set: set.to_owned(),
        dataset: sample.dataset.clone(),
        method: sample.method.clone(),
        video: sample.video.clone(),
        frame: sample.frame,
        label: sample.label,
        score: 1.0 / (1.0 + (-margin).exp()),
        raw: margin,
        subjects: sample.subjects.clone(),
    }
}

fn keep(path: &Path, rows: &[ScoreRow]) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(at(dir))?;
    }
    // beside and renamed, so that a kill leaves the last good table
    let beside = path.with_extension("tmp");
    write_scores(&beside, rows)?;
    std::fs::rename(&beside, path).map_err(at(path))
}
