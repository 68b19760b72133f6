//! A tuned detector at work: frames in, rows of a score file out, one batch at a time.
//!
//! Used by scoring units and by `facebench score`. Frames are read ahead by a few batches and rows go straight to the
//! file, so memory does not grow with the number of frames, the list of their names apart. Scores are computed in f64
//! from the logit margin, so that a confident network does not saturate at 1 (the margin is written too).

use std::collections::BTreeMap;

use candle_core::Tensor;
use facebench_data::transform::Corruption;
use facebench_engine::no_grad;
use facebench_protocols::{Sample, ScoreRow, TestTransform};

use crate::detector::{Detector, margins};
use crate::error::{Result, bad_spec};
use crate::frames::FrameReader;
use crate::job::Job;
use crate::rows::{NamedSet, RowLog};
use crate::spec::{TuneSpec, WeightsFrom};

/// Frames whose names are handed to the readers at a time.
const BLOCK: usize = 4096;

/// The order of a network's two outputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Classes {
    /// Output 1 is fake: what heads tuned here give
    #[default]
    RealFake,
    /// Output 1 is real, as with folders sorted by name (`fake` before `real`) and in most anti-spoofing code
    FakeReal,
}

/// What tuning left of a detector.
#[derive(Clone, Copy)]
pub struct Tuned<'a> {
    /// By parameter
    pub tensors: &'a BTreeMap<String, Tensor>,
    /// Names among them that the detector need not have
    pub excused: &'a [String],
    /// Number of frames that were trained on; only heads that keep them ask
    pub samples: usize,
    /// Whether parameters that are not among them, of a backbone that began with random weights, come from the seed
    pub seeded: bool,
}

/// A detector with its tuned weights.
pub struct Scorer<'p> {
    /// The network
    pub detector: Detector<'p>,
    reader: FrameReader,
    classes: Classes,
    batch: usize,
}

impl<'p> Scorer<'p> {
    /// Builds what `spec` describes and gives it the tuned tensors.
    ///
    /// # Errors
    /// A plugin that is not there, weights that do not fit; a tensor that the detector does not have, or lacks.
    pub fn open(spec: &TuneSpec, tuned: &Tuned, job: &Job<'p>) -> Result<Self> {
        let detector = Detector::build(spec, job, tuned.samples)?;
        let names = detector.store.names();
        let listed = |names: &[&String]| {
            let shown: Vec<&str> = names.iter().take(6).map(|n| n.as_str()).collect();
            format!("{} ({} in all)", shown.join(", "), names.len())
        };
        let (used, left): (Vec<&String>, Vec<&String>) =
            tuned.tensors.keys().partition(|n| names.contains(n));
        let unknown: Vec<&String> = left.into_iter().filter(|n| !tuned.excused.contains(n)).collect();
        if !unknown.is_empty() {
            return bad_spec!(
                "the tuned weights have tensors that `{}` with head `{}` does not: {}\n\
                 hint: name the backbone, its settings and the head they were tuned with",
                spec.backbone.plugin,
                spec.head.plugin,
                listed(&unknown)
            );
        }
        let whole = spec.init == WeightsFrom::Random && !tuned.seeded;
        let trained = detector.trained();
        let wanted = |n: &&String| !tuned.tensors.contains_key(*n) && (whole || trained.contains_key(*n));
        let missing: Vec<&String> = names.iter().filter(wanted).collect();
        if !missing.is_empty() {
            return bad_spec!(
                "the tuned weights lack {}\nhint: {}",
                listed(&missing),
                match whole {
                    true => "give the backbone's weights too, with `--checkpoint FILE`",
                    false => "they are of another head, or of a head that trains less",
                }
            );
        }
        let used = used.into_iter().map(|n| (n.clone(), tuned.tensors[n].clone())).collect();
        detector.store.set_all(&used)?;
        detector.eval()?;
        let reader =
            FrameReader::new(detector.info.image, TestTransform::Direct, detector.normalise, spec.seed);
        Ok(Self { detector, reader, classes: Classes::RealFake, batch: 64 })
    }

    /// The same with another transform, order of classes and batch. The batch changes no number.
    #[must_use]
    pub fn with(self, transform: TestTransform, classes: Classes, batch: usize) -> Self {
        let (info, normalise) = (&self.detector.info, self.detector.normalise);
        let reader = FrameReader::new(info.image, transform, normalise, 0);
        Self { reader, classes, batch: batch.max(1), ..self }
    }

    /// From now on every picture is damaged before it is resized; severity 0 ends it. Nothing else changes: the same
    /// network meets worse pictures.
    pub fn damage(&mut self, corruption: Corruption, severity: usize) {
        self.reader = self.reader.clone().with_damage(corruption, severity);
    }

    /// How frames are brought to the network.
    pub fn reader(&self) -> &FrameReader {
        &self.reader
    }

    /// Scores what `log` does not have yet of `sets`; false when the job was stopped (what is done is in the file).
    ///
    /// # Errors
    /// A picture that cannot be read; a score that is not a number; a full disk.
    pub fn score(&self, sets: &[NamedSet], log: &mut RowLog, job: &Job) -> Result<bool> {
        let mut before = 0;
        for (name, samples) in sets {
            let from = log.rows().saturating_sub(before).min(samples.len());
            if !self.score_set((name, &samples[from..]), log, job)? {
                return Ok(false);
            }
            before += samples.len();
        }
        Ok(true)
    }

    /// One set, or what is left of it.
    pub(crate) fn score_set(&self, (name, samples): NamedSet, log: &mut RowLog, job: &Job) -> Result<bool> {
        for block in samples.chunks(BLOCK) {
            let order: Vec<usize> = (0..block.len()).collect();
            let batches = order.chunks(self.batch).map(<[usize]>::to_vec).collect();
            for frames in self.reader.stream(block, batches, None, job) {
                if job.stopped() {
                    return Ok(false);
                }
                let frames = frames?;
                let images = frames.tensor(&job.device)?;
                let logits =
                    no_grad(|| self.detector.features(&images).and_then(|f| self.detector.logits(&f)))?;
                let scored: Vec<&Sample> = frames.indices.iter().map(|&i| &block[i]).collect();
                self.put(name, &scored, &margins(&logits)?, log)?;
                job.progress.tick(log.rows() as u64, name);
            }
        }
        Ok(true)
    }

    /// Adds rows for margins (fake − real of a network whose output 1 is fake).
    pub(crate) fn put(
        &self,
        name: &str,
        samples: &[&Sample],
        margins: &[f64],
        log: &mut RowLog,
    ) -> Result<()> {
        let sign = if self.classes == Classes::FakeReal { -1.0 } else { 1.0 };
        let rows: Vec<ScoreRow> = samples.iter().zip(margins).map(|(s, m)| row(name, s, sign * m)).collect();
        log.append(&rows)
    }
}

/// A sample with its score.
pub(crate) fn row(set: &str, sample: &Sample, margin: f64) -> ScoreRow {
    ScoreRow::of(set, sample, 1.0 / (1.0 + (-margin).exp()), margin)
}
