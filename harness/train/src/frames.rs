//! Frames of a fold, read ahead of time by worker threads.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{Device, Tensor};
use facebench_data::loader::{self, Ordered};
use facebench_data::transform::{self, Corruption, Normalise};
use facebench_data::{image, readers};
use facebench_protocols::rng::Stream;
use facebench_protocols::{Assembled, DataStamp, Fold, Manifest, Protocol, Sample, TestTransform};

use crate::error::{Error, Result, bad_spec};
use crate::job::Job;
use crate::mix::Mix;
use crate::spec::{Augment, Mixing, Saturation};

/// The samples of one fold.
pub struct FoldData {
    /// The fold
    pub fold: Fold,
    /// Training, development and test samples
    pub assembled: Assembled,
    /// Whether any of them is synthetic
    pub synthetic: bool,
}

impl FoldData {
    /// Reads the manifests of every data set the fold names, below `root`.
    pub fn open(protocol: &Protocol, fold: &str, root: &Path) -> Result<Self> {
        let Some(fold) = protocol.folds.iter().find(|f| f.name == fold) else {
            let names: Vec<&str> = protocol.folds.iter().map(|f| f.name.as_str()).collect();
            return bad_spec!(
                "protocol `{}` has no fold `{fold}`; it has: {}",
                protocol.id,
                names.join(", ")
            );
        };
        let mut sets: BTreeMap<String, Manifest> = BTreeMap::new();
        for selector in fold.selectors() {
            if !sets.contains_key(&selector.dataset) {
                sets.insert(selector.dataset.clone(), readers::load(root, &selector.dataset)?);
            }
        }
        let synthetic = sets.values().any(|m| m.synthetic);
        Ok(Self { assembled: fold.assemble(&sets)?, fold: fold.clone(), synthetic })
    }

    /// Digests of the parts: `train`, `dev`, or the names of test sets; `tests` for all of them.
    pub fn stamps(&self, parts: &[&str]) -> Vec<DataStamp> {
        let stamp = |name: &str, samples: &[Sample]| DataStamp::of(name, samples, self.synthetic);
        let mut out = Vec::new();
        for part in parts {
            match *part {
                "train" => out.push(stamp("train", &self.assembled.train)),
                "dev" => out.push(stamp("dev", &self.assembled.dev)),
                _ => out.extend(self.assembled.tests.iter().map(|(set, s)| stamp(&set.name, s))),
            }
        }
        out
    }
}

/// How frames become tensors.
#[derive(Clone)]
pub struct FrameReader {
    image: usize,
    mode: TestTransform,
    normalise: Normalise,
    seed: u64,
    damage: Option<(Corruption, usize)>,
}

/// A batch of frames as plain numbers.
pub struct Frames {
    /// Positions in the list the stream was made from
    pub indices: Vec<usize>,
    /// How the batch was mixed
    pub mix: Mix,
    pixels: Vec<f32>,
    image: usize,
}

impl Frames {
    /// (B, 3, H, W)
    pub fn tensor(&self, device: &Device) -> Result<Tensor> {
        let shape = (self.indices.len(), 3, self.image, self.image);
        Ok(Tensor::from_slice(&self.pixels, shape, device)?)
    }
}

/// Batches in order.
pub struct FrameStream(Ordered<Frames, Error>);

impl FrameStream {
    /// Seconds spent waiting for data.
    pub fn waited(&self) -> f64 {
        self.0.waited().as_secs_f64()
    }
}

impl Iterator for FrameStream {
    type Item = Result<Frames>;
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}

/// What training does to frames.
#[derive(Clone, Copy, Debug)]
pub struct Training {
    /// Changes to single frames
    pub augment: Augment,
    /// Mixing of batches
    pub mixing: Option<Mixing>,
    /// The epoch, from 0
    pub epoch: usize,
    /// Number of the first batch of the stream, counted from the start of the run
    pub first: usize,
    /// Whether a frame may come several times in an epoch, so that streams belong to the batch and not the epoch
    pub repeats: bool,
}

impl FrameReader {
    /// Frames as `image` × `image` tensors.
    pub fn new(image: usize, mode: TestTransform, normalise: Normalise, seed: u64) -> Self {
        Self { image, mode, normalise, seed, damage: None }
    }

    /// The same, with every picture damaged before it is resized; severity 0 leaves it alone.
    #[must_use]
    pub fn with_damage(self, corruption: Corruption, severity: usize) -> Self {
        Self { damage: (severity > 0).then_some((corruption, severity)), ..self }
    }

    /// Transform, size and normalisation in words, for digests.
    pub fn describe(&self) -> String {
        let damage = self.damage.map(|(c, severity)| format!(" {c} {severity}")).unwrap_or_default();
        format!("{} {:?} {:?}{damage}", self.image, self.mode, self.normalise)
    }

    /// Reads `batches` of `samples`, as they are or as training sees them.
    pub fn stream(
        &self,
        samples: &[Sample],
        batches: Vec<Vec<usize>>,
        training: Option<Training>,
        job: &Job,
    ) -> FrameStream {
        let files: Arc<Vec<(PathBuf, String)>> =
            Arc::new(samples.iter().map(|s| (s.path.clone(), s.id())).collect());
        let this = self.clone();
        let numbered: Vec<(usize, Vec<usize>)> = batches.into_iter().enumerate().collect();
        let read = move |(number, indices): (usize, Vec<usize>)| -> Result<Frames> {
            let mut pixels = Vec::with_capacity(indices.len() * 3 * this.image * this.image);
            for &i in &indices {
                let (path, id) = &files[i];
                let mut picture = image::decode(path)?;
                if let Some((corruption, severity)) = this.damage {
                    picture = corruption.apply(&picture, severity, id)?;
                }
                pixels.extend(match &training {
                    Some(t) => {
                        let (purpose, when) = if t.repeats {
                            ("augment-batch", t.first + number)
                        } else {
                            ("augment", t.epoch)
                        };
                        let mut stream = Stream::new(purpose, this.seed, &[&when.to_string(), id]);
                        let augment = of(t.augment);
                        transform::to_tensor(
                            &picture,
                            this.image,
                            this.mode,
                            &this.normalise,
                            Some((&augment, &mut stream)),
                        )
                    }
                    None => transform::to_tensor(&picture, this.image, this.mode, &this.normalise, None),
                });
            }
            let mix = match training.and_then(|t| Some((t.mixing?, t.first))) {
                Some((mixing, first)) => Mix::draw(&mixing, this.image, this.seed, (first + number) as u64),
                None => Mix::NONE,
            };
            mix.apply(&mut pixels, this.image);
            Ok(Frames { indices, mix, pixels, image: this.image })
        };
        FrameStream(loader::ordered(numbered, job.workers, 2 * job.workers.max(1), read))
    }
}

/// The data crate's form of the specification's augmentation.
fn of(spec: Augment) -> transform::Augment {
    let crop = transform::RandomCrop { area: [spec.crop, 1.0], aspect: [3.0 / 4.0, 4.0 / 3.0] };
    transform::Augment {
        flip: spec.flip,
        crop: (spec.crop < 1.0).then_some(crop),
        jitter: spec.colour,
        saturation: spec.saturation.map(|s| match s {
            Saturation::Released => transform::Jitter::Released,
            Saturation::Fixed => transform::Jitter::Fixed,
        }),
        rand_augment: spec.rand_augment.map(|r| transform::RandAugment {
            ops: r.ops,
            magnitude: r.magnitude,
            deviation: r.deviation,
        }),
        erase: (spec.erase > 0.0)
            .then(|| transform::Erase { probability: spec.erase, ..transform::Erase::default() }),
    }
}
