//! Scoring: P(fake) for every frame of a fold's development and test sets.
//!
//! Streams frames in manifest order; rows are appended to the resume state as they are made. Features of a backbone
//! that did not train come from the cache, if they fit.

use facebench_protocols::evaluate::{Options, evaluate_with};
use facebench_protocols::{Protocol, Sample, Selection, read_scores};

use crate::cache;
use crate::error::{Result, at};
use crate::frames::FoldData;
use crate::job::{Done, Job, Outcome};
use crate::rows::{NamedSet, RowLog};
use crate::scorer::{Classes, Scorer, Tuned};
use crate::select::{Chosen, chosen_tensors};
use crate::spec::ScoreSpec;

/// Name of the table of scores in the unit's folder.
pub const SCORES: &str = "scores.csv";

/// A tuned detector with the samples of its fold, as scoring uses them.
pub struct Finished<'p> {
    /// The samples
    pub data: FoldData,
    /// The network, with the weights that the rule chose
    pub scorer: Scorer<'p>,
    /// The checkpoint that the rule chose
    pub chosen: Chosen,
}

impl<'p> Finished<'p> {
    /// Opens what `spec` describes. `job.tuned` is the published tuning unit.
    ///
    /// # Errors
    /// Data, weights or plugins that cannot be read or do not fit.
    pub fn open(spec: &ScoreSpec, protocol: &Protocol, job: &Job<'p>) -> Result<Self> {
        let data = FoldData::open(protocol, &spec.tune.fold, &job.data_root)?;
        let unit = job.tuned.as_deref().expect("the caller gives the tuning unit");
        let (chosen, tensors) = chosen_tensors(unit, spec.selection)?;
        // weights that nothing changed are not in the unit: the seed makes them again
        let samples = data.assembled.train.len();
        let tuned = Tuned { tensors: &tensors, excused: &[], samples, seeded: true };
        let scorer = Scorer::open(&spec.tune, &tuned, job)?;
        let scorer = scorer.with(protocol.test_transform, Classes::RealFake, spec.batch);
        Ok(Self { data, scorer, chosen })
    }
}

/// Runs `spec` to its end or until the job is stopped. `job.tuned` is the published tuning unit.
pub fn score(spec: &ScoreSpec, protocol: &Protocol, job: &Job) -> Result<Outcome> {
    let Finished { data, scorer, chosen } = Finished::open(spec, protocol, job)?;
    let detector = &scorer.detector;

    let sets = data.sets();
    let total: usize = sets.iter().map(|(_, s)| s.len()).sum();
    job.progress.phase("score", total as u64);
    let partial = job.state.join(SCORES);
    let mut log = RowLog::open(&partial, &sets)?;
    let resumed = log.rows();
    let mut skip = resumed;
    let (mut images, mut seconds) = (0, 0.0); // of the sets whose pictures passed through the network
    for (name, samples) in &sets {
        let from = skip.min(samples.len());
        skip -= from;
        if from == samples.len() {
            continue;
        }
        let began = std::time::Instant::now();
        let mut passed = true;
        let whole = if detector.fixed_features() && cache::fits(detector, samples.len()) {
            let before = log.rows() as u64;
            match cache::features(detector, &spec.tune, scorer.reader(), samples, job, before)? {
                Some((features, computed)) => {
                    passed = computed;
                    let margins = detector.score_features(&features, spec.batch)?;
                    let left: Vec<&Sample> = samples[from..].iter().collect();
                    scorer.put(name, &left, &margins[from..], &mut log)?;
                    job.progress.tick(log.rows() as u64, name);
                    true
                }
                None => false,
            }
        } else {
            scorer.score_set((name, &samples[from..]), &mut log, job)?
        };
        if !whole {
            return Ok(Outcome::Interrupted);
        }
        if passed {
            images += (samples.len() - from) as u64;
            seconds += began.elapsed().as_secs_f64();
        }
    }
    let path = job.dir.join(SCORES);
    log.close()?;
    // a copy: should the audit that follows be interrupted, the scores are still in the resume state
    std::fs::copy(&partial, &path).map_err(at(&path))?;
    let rows = read_scores(&path)?;
    let options =
        Options { expected: Some(&data.assembled), synthetic: Some(data.synthetic), ..Options::default() };
    let evaluation = evaluate_with(protocol, &data.fold, &rows, &options)?;
    let params = detector.count();
    Ok(Outcome::Done(Box::new(Done {
        params,
        data: data.stamps(&["dev", "tests"]),
        synthetic: data.synthetic,
        images,
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

impl FoldData {
    /// Everything that is scored: the development set and the test sets, in order, by name.
    pub fn sets(&self) -> Vec<NamedSet<'_>> {
        let tests = self.assembled.tests.iter().map(|(set, samples)| (set.name.as_str(), samples.as_slice()));
        std::iter::once(("dev", self.assembled.dev.as_slice())).chain(tests).collect()
    }
}
