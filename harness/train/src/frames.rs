//! Frames of a fold, read ahead of time by worker threads.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{Device, Tensor};
use facebench_data::loader::{self, Ordered};
use facebench_data::transform::{self, Normalise};
use facebench_data::{image, readers};
use facebench_protocols::rng::Stream;
use facebench_protocols::{Assembled, DataStamp, Fold, Manifest, Protocol, Sample, TestTransform};

use crate::error::{Error, Result, bad_spec};
use crate::job::Job;
use crate::spec::Augment;

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
}

/// A batch of frames as plain numbers.
pub struct Frames {
    /// Positions in the list the stream was made from
    pub indices: Vec<usize>,
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

impl FrameReader {
    /// Frames as `image` × `image` tensors.
    pub fn new(image: usize, mode: TestTransform, normalise: Normalise, seed: u64) -> Self {
        Self { image, mode, normalise, seed }
    }

    /// Reads `batches` of `samples`; `augment` with its epoch for training.
    pub fn stream(
        &self,
        samples: &[Sample],
        batches: Vec<Vec<usize>>,
        augment: Option<(Augment, usize)>,
        job: &Job,
    ) -> FrameStream {
        let files: Arc<Vec<(PathBuf, String)>> =
            Arc::new(samples.iter().map(|s| (s.path.clone(), s.id())).collect());
        let this = self.clone();
        let read = move |indices: Vec<usize>| -> Result<Frames> {
            let mut pixels = Vec::with_capacity(indices.len() * 3 * this.image * this.image);
            for &i in &indices {
                let (path, id) = &files[i];
                let picture = image::decode(path)?;
                pixels.extend(match augment {
                    Some((augment, epoch)) => {
                        let mut stream = Stream::new("augment", this.seed, &[&epoch.to_string(), id]);
                        let augment = of(augment);
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
            Ok(Frames { indices, pixels, image: this.image })
        };
        FrameStream(loader::ordered(batches, job.workers, 2 * job.workers.max(1), read))
    }
}

/// The data crate's form of the specification's augmentation.
fn of(spec: Augment) -> transform::Augment {
    let crop = transform::RandomCrop { area: [spec.crop, 1.0], aspect: [3.0 / 4.0, 4.0 / 3.0] };
    transform::Augment { flip: spec.flip, crop: (spec.crop < 1.0).then_some(crop), jitter: spec.colour }
}
