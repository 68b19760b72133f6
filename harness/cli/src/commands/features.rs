//! `facebench features`: any backbone, any checkpoint, any pictures → pooled features or tokens on disk.
//!
//! Memory does not grow with the number of pictures. An array given with `--images` goes in as it is, so that a
//! checkpoint can be compared with any other implementation on the same numbers.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, bail};
use facebench_data::readers;
use facebench_engine::{Device, Tensor, runtime};
use facebench_protocols::{Sample, Split, TestTransform};
use facebench_train::arrays::{ArrayFile, NpyRows};
use facebench_train::encoder::Encoder;
use facebench_train::frames::FrameReader;
use facebench_train::{Job, Progress, Silent};
use serde_json::{Value, json};

use super::features_plot::Plot;
use super::shared;
use crate::args::{FeaturesArgs, Fit};
use crate::fail::{Permanent, Status};
use crate::out;
use crate::run::{self, Screen};

/// Threads that read and decode pictures ahead.
const READERS: usize = 2;

/// Where the pictures come from.
enum Input {
    Array(NpyRows),
    Files(Vec<Sample>, Vec<String>),
}

/// Makes the encoder, streams, writes, prints what was written as JSON.
pub(crate) fn run(args: &FeaturesArgs) -> Result<Status> {
    let config = Value::Object(shared::plugin_config(&args.set)?);
    let plugins = shared::plugins(&args.plugins)?;
    let (device, _) = shared::device(&args.device)?;
    if args.plot.is_some() && args.manifest.is_empty() {
        bail!(
            "--plot needs --manifest, which says what is fake and where it comes from\n\
             hint: `facebench data index` writes one"
        );
    }
    let (input, synthetic) = open(args)?;
    let plot = match (&args.plot, &input) {
        (Some(file), Input::Files(samples, _)) => Some(Plot::new(file, &args.backbone, samples, synthetic)?),
        _ => None,
    };
    let encoder = Encoder::open(&plugins, &args.backbone, &config, args.checkpoint.as_deref(), &device, 0)?;
    for name in &encoder.fresh {
        eprintln!("note: `{name}` is not in the file and keeps its initial value, as the layout allows");
    }
    let info = encoder.info();
    if let Input::Array(rows) = &input
        && (rows.shape.len() != 4 || rows.shape[1..] != [3, info.image, info.image])
    {
        let (file, side) = (args.images.as_deref().unwrap_or(Path::new("")).display(), info.image);
        bail!(
            "{file}: shape {:?}, backbone `{}` takes (n, 3, {side}, {side})\nhint: `-s image=…` changes its input size",
            rows.shape,
            args.backbone
        );
    }
    let total = match &input {
        Input::Array(rows) => rows.shape[0],
        Input::Files(samples, _) => samples.len(),
    };
    if total == 0 {
        bail!("no images");
    }
    let (pool, tokens) = (args.pool || !args.tokens, args.tokens);
    let count = info.prefix_tokens + info.patches();
    let mut arrays = Vec::new();
    if pool {
        arrays.push(("pooled", vec![total, info.pooled_width()]));
    }
    if tokens {
        arrays.push(("tokens", vec![total, count, info.width]));
    }
    let ids = match &input {
        Input::Array(_) => None,
        Input::Files(_, ids) => Some(ids.as_slice()),
    };
    let file = ArrayFile::create(&args.out, &arrays, ids)?;
    let stop = run::hear_signals()?;
    let threads = runtime::thread_pool(args.threads.map_or(0, usize::from))?;
    let work = Work { args, encoder: &encoder, device: &device, pool, tokens, total, stop: &stop };
    let mut plot = plot;
    if !threads.install(|| work.stream(input, file, &mut plot)).context(Permanent("features"))? {
        eprintln!("interrupted: nothing was kept");
        return Ok(Status::Interrupted);
    }
    let figure = plot.map(|plot| threads.install(|| plot.finish())).transpose()?;
    let shapes: serde_json::Map<String, Value> =
        arrays.iter().map(|(name, shape)| ((*name).to_owned(), json!(shape))).collect();
    let mut said = json!({
        "file": args.out, "backbone": args.backbone, "layout": encoder.layout, "arrays": shapes,
    });
    if let Some(files) = figure {
        said["figure"] = json!(files);
    }
    out::json(&said)?;
    Ok(Status::Done)
}

/// The input, and whether it is made of synthetic faces as far as manifests say so.
fn open(args: &FeaturesArgs) -> Result<(Input, bool)> {
    if let Some(file) = &args.images {
        return Ok((Input::Array(NpyRows::open(file)?), false));
    }
    if !args.manifest.is_empty() {
        let (mut samples, mut synthetic) = (Vec::new(), false);
        for file in &args.manifest {
            let manifest = readers::manifest(file)?;
            synthetic |= manifest.synthetic;
            samples.extend(manifest.samples);
        }
        let ids: Vec<String> = samples.iter().map(Sample::id).collect();
        let mut seen = BTreeSet::new();
        if let Some(id) = ids.iter().find(|id| !seen.insert(*id)) {
            bail!("{id} is in two manifests");
        }
        return Ok((Input::Files(samples, ids), synthetic));
    }
    let Some(folder) = &args.folder else { bail!("give --images, --manifest or --folder") };
    let files = readers::pictures(folder)?;
    let id = |path: &Path| path.strip_prefix(folder).unwrap_or(path).to_string_lossy().into_owned();
    let ids = files.iter().map(|f| id(f)).collect();
    let sample = |path| Sample {
        dataset: "pictures".into(),
        method: "any".into(),
        video: "any".into(),
        frame: 0,
        label: 0,
        split: Split::Test,
        subjects: Vec::new(),
        path,
    };
    Ok((Input::Files(files.into_iter().map(sample).collect(), ids), false))
}

/// Everything the loop needs.
struct Work<'a> {
    args: &'a FeaturesArgs,
    encoder: &'a Encoder,
    device: &'a Device,
    pool: bool,
    tokens: bool,
    total: usize,
    stop: &'a AtomicBool,
}

impl Work<'_> {
    /// False when interrupted.
    fn stream(&self, input: Input, mut file: ArrayFile, plot: &mut Option<Plot>) -> Result<bool> {
        let screen = Screen::new();
        let progress = screen.unit(&self.args.out.display().to_string());
        progress.phase("pictures", self.total as u64);
        let (batch, side) = (usize::from(self.args.batch), self.encoder.info().image);
        let mut done = 0;
        match input {
            Input::Array(mut rows) => {
                while done < self.total {
                    if self.stop.load(Ordering::Relaxed) {
                        return Ok(false);
                    }
                    let n = batch.min(self.total - done);
                    let images = Tensor::from_vec(rows.read(n)?, (n, 3, side, side), self.device)?;
                    self.write(&images, &mut file, None)?;
                    done += n;
                    progress.tick(done as u64, "");
                }
            }
            Input::Files(samples, _) => {
                let mode = match self.args.transform {
                    Fit::Direct => TestTransform::Direct,
                    Fit::CenterCrop => TestTransform::CenterCrop,
                };
                let reader = FrameReader::new(side, mode, self.encoder.normalise, 0);
                let order: Vec<usize> = (0..self.total).collect();
                let batches = order.chunks(batch).map(<[usize]>::to_vec).collect();
                let nowhere = Path::new("");
                let job = Job {
                    dir: nowhere,
                    state: nowhere,
                    plugins: &facebench_host::Plugins::default(),
                    device: self.device.clone(),
                    data_root: nowhere.into(),
                    weights: None,
                    tuned: None,
                    cache: None,
                    workers: READERS,
                    stop: self.stop,
                    progress: &Silent,
                };
                for frames in reader.stream(&samples, batches, None, &job) {
                    if self.stop.load(Ordering::Relaxed) {
                        return Ok(false);
                    }
                    let frames = frames?;
                    let plot = plot.as_mut().map(|plot| (done, plot));
                    self.write(&frames.tensor(self.device)?, &mut file, plot)?;
                    done += frames.indices.len();
                    progress.tick(done as u64, "");
                }
            }
        }
        file.finish()?;
        Ok(true)
    }

    /// Appends the features of `images`; `plot` with the number of the first of them.
    fn write(&self, images: &Tensor, file: &mut ArrayFile, plot: Option<(usize, &mut Plot)>) -> Result<()> {
        let tokens = self.encoder.tokens(images)?;
        let values = |tensor: &Tensor| -> Result<Vec<f32>> {
            let values: Vec<f32> = tensor.flatten_all()?.to_vec1()?;
            if let Some(bad) = values.iter().find(|v| !v.is_finite()) {
                bail!("a feature is {bad}\nhint: look at the images and at the file of weights");
            }
            Ok(values)
        };
        if self.pool || plot.is_some() {
            let pooled = values(&self.encoder.pooled(&tokens)?)?;
            if self.pool {
                file.append(0, &pooled)?;
            }
            if let Some((first, plot)) = plot {
                plot.take(first, &pooled, self.encoder.info().pooled_width());
            }
        }
        if self.tokens {
            file.append(usize::from(self.pool), &values(&tokens)?)?;
        }
        Ok(())
    }
}
