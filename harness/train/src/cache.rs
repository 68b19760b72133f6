//! Features of a backbone that does not train, kept on disk and shared by every unit that needs them.
//!
//! A file is named by the digest of all that features depend on: the backbone plugin (file and settings), every one of
//! its weights, the transform, and the frames (identity, file size and time of change). So probing ten heads costs one
//! forward pass, and a changed weight or a rewritten frame is another file. Deleting the folder costs time only;
//! nothing in it can change a number, since f32 features are kept as they were computed.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Tensor};
use facebench_engine::{checkpoint, no_grad};
use facebench_host::Kind;
use facebench_protocols::Sample;
use sha2::{Digest, Sha256};

use crate::detector::{Detector, Features};
use crate::error::{Result, at};
use crate::frames::FrameReader;
use crate::job::Job;
use crate::spec::TuneSpec;

/// Frames in a batch of feature extraction; changes no number.
const BATCH: usize = 64;
/// Sets whose features would take more are streamed instead: memory stays bounded.
const LARGEST: usize = 2 << 30;

/// Whether the features of `count` frames are worth keeping in memory.
pub(crate) fn fits(detector: &Detector, count: usize) -> bool {
    let info = &detector.info;
    let tokens = if detector.reads_tokens() { info.prefix_tokens + info.patches() } else { 0 };
    count * (info.pooled_width() + tokens * info.width) * 4 <= LARGEST
}

/// Features of `samples` in their order, from the cache or computed (and put there), and whether the pictures passed through
/// the network for it; `None` when the job was stopped.
/// `before` frames of the phase are done already.
pub(crate) fn features(
    detector: &Detector,
    spec: &TuneSpec,
    reader: &FrameReader,
    samples: &[Sample],
    job: &Job,
    before: u64,
) -> Result<Option<(Features, bool)>> {
    let file = match &job.cache {
        Some(folder) if detector.fixed_features() => {
            Some(folder.join(format!("{}.safetensors", key(detector, spec, reader, samples, job)?)))
        }
        _ => None,
    };
    if let Some(file) = file.as_ref().filter(|f| f.exists()) {
        match read(file, samples.len(), job) {
            Some(features) => return Ok(Some((features, false))),
            None => job.progress.note(&format!("{}: not whole, computed again", file.display())),
        }
    }
    let Some(features) = compute(detector, reader, samples, job, before)? else { return Ok(None) };
    if let Some(file) = &file {
        let folder = file.parent().expect("the file is in a folder");
        std::fs::create_dir_all(folder).map_err(at(folder))?;
        let mut tensors = BTreeMap::from([("pooled".to_owned(), features.pooled.clone())]);
        tensors.extend(features.tokens.clone().map(|t| ("tokens".to_owned(), t)));
        // beside and renamed: another unit may be writing the same features
        let beside = file.with_extension(format!("{}.tmp", std::process::id()));
        if let Err(error) = checkpoint::write_safetensors(&beside, &tensors, &BTreeMap::new()) {
            let _ = std::fs::remove_file(&beside); // half a file helps nobody; the first error is the one to tell
            return Err(error.into());
        }
        std::fs::rename(&beside, file).map_err(at(file))?;
    }
    Ok(Some((features, true)))
}

fn read(file: &Path, count: usize, job: &Job) -> Option<Features> {
    let mut tensors = checkpoint::read(file).ok()?.tensors;
    let mut take = |name: &str| Some(tensors.remove(name)?.to_device(&job.device));
    let pooled = take("pooled")?.ok()?;
    let tokens = take("tokens").transpose().ok()?;
    (pooled.dim(0).ok()? == count).then_some(Features { pooled, tokens })
}

fn compute(
    detector: &Detector,
    reader: &FrameReader,
    samples: &[Sample],
    job: &Job,
    before: u64,
) -> Result<Option<Features>> {
    detector.eval()?;
    let indices: Vec<usize> = (0..samples.len()).collect();
    let chunks: Vec<Vec<usize>> = indices.chunks(BATCH).map(<[usize]>::to_vec).collect();
    let mut parts = Vec::with_capacity(chunks.len());
    let mut done = before;
    for frames in reader.stream(samples, chunks, None, job) {
        if job.stopped() {
            return Ok(None);
        }
        let frames = frames?;
        let images = frames.tensor(&job.device)?;
        let features = no_grad(|| detector.features(&images))?;
        let tokens = features.tokens.map(|t| t.detach());
        parts.push(Features { pooled: features.pooled.detach(), tokens });
        done += frames.indices.len() as u64;
        job.progress.tick(done, "");
    }
    Ok(Some(Features::join(&parts)?))
}

/// The digest of everything that the features depend on.
fn key(
    detector: &Detector,
    spec: &TuneSpec,
    reader: &FrameReader,
    samples: &[Sample],
    job: &Job,
) -> Result<String> {
    let mut hash = Sha256::new();
    let mut text = |s: &str| {
        hash.update((s.len() as u64).to_le_bytes());
        hash.update(s.as_bytes());
    };
    text("features 1");
    text(env!("CARGO_PKG_VERSION"));
    text(&job.plugins.info(Kind::Backbone, &spec.backbone.plugin)?.sha256);
    text(&spec.backbone.json().to_string());
    text(if job.device.is_cpu() { "cpu" } else { "gpu" });
    text(&reader.describe());
    text(if detector.reads_tokens() { "tokens" } else { "pooled" });
    for sample in samples {
        let file = std::fs::metadata(&sample.path).map_err(at(&sample.path))?;
        let changed = file.modified().ok().and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
        text(&format!("{} {} {:?}", sample.id(), file.len(), changed));
    }
    for (name, tensor) in detector.backbone_tensors() {
        text(&format!("{name} {:?}", tensor.dims()));
        text(&digest(&tensor)?);
    }
    Ok(hex(&hash.finalize()))
}

fn digest(tensor: &Tensor) -> Result<String> {
    let values: Vec<f32> = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
    let mut hash = Sha256::new();
    for chunk in values.chunks(16 * 1024) {
        let bytes: Vec<u8> = chunk.iter().flat_map(|v| v.to_le_bytes()).collect();
        hash.update(&bytes);
    }
    Ok(hex(&hash.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
