//! Which parts of an image a tuned detector looked at: attention roll-out and class activation maps.
//!
//! Roll-out needs the attention of every block, which the host sees while it computes it ([`facebench_host::watch`]);
//! a backbone without attention is refused by name. Gradients need nothing of a plugin: they are taken at the last
//! layer's tokens (the last map of features of a convolutional network). Where the head reads nothing but a prefix
//! token, those have no gradient, and the input of the last block is used instead, if the plugin shows it.
//! Scoring weights, evaluation mode; nothing here changes a number of a result.

mod cam;
mod rollout;

use candle_core::{DType, Tensor, Var};
use facebench_data::image::Rgb;
use facebench_data::transform::Normalise;
use facebench_engine::{backward, no_grad};
use facebench_host::watch::{Watch, watch};
use facebench_protocols::Sample;

use crate::detector::{Detector, FeatureBatch, margins};
use crate::error::{Error, Result, bad_spec};
use crate::job::Job;
use crate::scorer::Scorer;

/// Images in a batch; changes no number that anybody can see.
const BATCH: usize = 8;

/// A way to make maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Attention roll-out; knows no class
    Rollout,
    /// Gradient times activation, position by position
    Gradient,
    /// Gradients averaged over positions, times activation
    GradCam,
}

impl Method {
    /// All of them with the words users type.
    pub const ALL: [(&'static str, Method); 3] =
        [("rollout", Method::Rollout), ("gradient", Method::Gradient), ("grad-cam", Method::GradCam)];

    /// The word users type.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, m)| *m == self).map_or("", |(word, _)| word)
    }
}

/// What gradient maps argue for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The logit margin fake − real
    Fake,
    /// real − fake
    Real,
}

/// Maps of one method.
#[derive(Clone, Debug)]
pub struct Maps {
    /// The method
    pub method: Method,
    /// Where they were taken, in words
    pub site: String,
    /// One per image: rows × columns numbers ≥ 0, row-major. Roll-out: share of the attention (sum below 1 by what prefix
    /// tokens keep). Gradients: in units of the logit margin
    pub values: Vec<Vec<f64>>,
}

/// Some images, as the network saw them, and maps of them.
#[derive(Clone, Debug)]
pub struct Explained {
    /// Rows and columns of the maps
    pub grid: (usize, usize),
    /// The network's input, as a picture
    pub pictures: Vec<Rgb>,
    /// Logit margins fake − real
    pub margins: Vec<f64>,
    /// One for each method
    pub maps: Vec<Maps>,
}

/// Explains `samples` in their order; `None` when the job was stopped.
///
/// # Errors
/// A method that this backbone or head has no maps for, with the one that it has.
pub fn explain(
    scorer: &Scorer,
    samples: &[Sample],
    methods: &[Method],
    evidence: Evidence,
    job: &Job,
) -> Result<Option<Explained>> {
    let detector = &scorer.detector;
    let start = |m: &Method| Maps { method: *m, site: String::new(), values: Vec::new() };
    let mut out = Explained {
        grid: detector.info.grid,
        pictures: Vec::new(),
        margins: Vec::new(),
        maps: methods.iter().map(start).collect(),
    };
    detector.eval()?;
    let indices: Vec<usize> = (0..samples.len()).collect();
    let chunks = indices.chunks(BATCH).map(<[usize]>::to_vec).collect();
    job.progress.phase("explain", samples.len() as u64);
    for frames in scorer.reader().stream(samples, chunks, None, job) {
        if job.stopped() {
            return Ok(None);
        }
        let images = frames?.tensor(&job.device)?;
        let logits = no_grad(|| detector.features(&images).and_then(|f| detector.logits(&f)))?;
        out.margins.extend(margins(&logits)?);
        out.pictures.extend(pictures(&images, &detector.normalise)?);
        for maps in &mut out.maps {
            let (values, site) = detector.explain(&images, maps.method, evidence)?;
            maps.values.extend(values);
            maps.site = site;
        }
        job.progress.tick(out.margins.len() as u64, "");
    }
    Ok(Some(out))
}

impl Detector<'_> {
    /// Maps of images (B, 3, H, W) and where they were taken; call [`Detector::eval`] before.
    ///
    /// # Errors
    /// No attention to roll out, or no gradient to take.
    pub fn explain(
        &self,
        images: &Tensor,
        method: Method,
        evidence: Evidence,
    ) -> Result<(Vec<Vec<f64>>, String)> {
        match method {
            Method::Rollout => self.rollout(images),
            Method::Gradient => self.activation(images, evidence, false),
            Method::GradCam => self.activation(images, evidence, true),
        }
    }

    fn rollout(&self, images: &Tensor) -> Result<(Vec<Vec<f64>>, String)> {
        let (info, name) = (&self.info, self.backbone_name());
        let (n, depth) = (info.prefix_tokens + info.patches(), info.depth);
        let (tokens, seen) = watch(Watch::Attention, || no_grad(|| self.encode(images)));
        let tokens = tokens?;
        let batch = tokens.dim(0)?;
        let hint = "hint: `--method gradient` works with any backbone";
        if seen.attention.is_empty() {
            return bad_spec!("backbone `{name}` has no attention that could be rolled out\n{hint}");
        }
        if seen.attention.len() != depth || seen.attention.iter().any(|a| a.dims() != [batch, n, n]) {
            let got: Vec<String> = seen.attention.iter().map(|a| format!("{:?}", a.dims())).collect();
            return bad_spec!(
                "backbone `{name}`: roll-out needs the attention of {depth} blocks over {n} tokens, shape {:?}; got {} ({})\n{hint}",
                [batch, n, n],
                seen.attention.len(),
                got.join(", ")
            );
        }
        let rows = self.rows_read(&tokens)?;
        let site = rollout::site(&rows, n, info.prefix_tokens);
        let mut maps = Vec::with_capacity(batch);
        for image in 0..batch {
            let layer = |a: &Tensor| -> Result<Vec<f64>> {
                Ok(a.get(image)?.flatten_all()?.to_dtype(DType::F64)?.to_vec1()?)
            };
            let layers: Vec<Vec<f64>> = seen.attention.iter().map(layer).collect::<Result<_>>()?;
            maps.push(rollout::patches(&rollout::rollout(&layers, n), n, info.prefix_tokens, &rows));
        }
        Ok((maps, site))
    }

    /// The tokens (B, n, D) that pooling reads: those that its output changes with. The patches if none does.
    fn rows_read(&self, tokens: &Tensor) -> Result<Vec<usize>> {
        let leaf = Var::from_tensor(&tokens.detach().contiguous()?)?;
        let pooled = self.pool(leaf.as_tensor())?;
        // a fixed direction: the length of a normed vector would not change with anything
        let width = pooled.dim(1)?;
        let wave: Vec<f32> = (0..width).map(|i| (i as f32 + 1.0).sin()).collect();
        let wave = Tensor::from_vec(wave, (1, width), pooled.device())?.to_dtype(pooled.dtype())?;
        let gradients = backward(&pooled.broadcast_mul(&wave)?.sum_all()?)?;
        let n = leaf.dim(1)?;
        let lengths: Vec<f64> = match gradients.get(&leaf) {
            Some(gradient) => gradient.to_dtype(DType::F64)?.sqr()?.sum(2)?.sum(0)?.to_vec1()?,
            None => vec![0.0; n],
        };
        let read: Vec<usize> = (0..n).filter(|i| lengths[*i] > 0.0).collect();
        Ok(if read.is_empty() { (self.info.prefix_tokens..n).collect() } else { read })
    }

    fn activation(
        &self,
        images: &Tensor,
        evidence: Evidence,
        average: bool,
    ) -> Result<(Vec<Vec<f64>>, String)> {
        let tokens = no_grad(|| self.encode(images))?;
        let last = Var::from_tensor(&tokens.detach().contiguous()?)?;
        if let Some(gradient) = self.gradient(last.as_tensor(), &last, evidence)? {
            let site = match self.info.prefix_tokens {
                0 => "last map of features",
                _ => "tokens after the last block",
            };
            return Ok((self.maps(&last, &gradient, average)?, site.into()));
        }
        // the head reads no patch token after the last block: look one block earlier
        let (tokens, seen) = watch(Watch::Blocks, || self.encode(images));
        let tokens = tokens?;
        if let Some(input) = seen.blocks.last()
            && input.dims() == tokens.dims()
            && let Some(gradient) = self.gradient(&tokens, input, evidence)?
        {
            return Ok((self.maps(input, &gradient, average)?, "tokens before the last block".into()));
        }
        bad_spec!(
            "backbone `{}` with pooling `{}`, head `{}`: the score has no gradient with respect to any patch token\n\
             hint: `--method rollout` needs no gradient; a backbone plugin built on the kit's blocks shows their inputs",
            self.backbone_name(),
            self.info.pooling,
            self.head_name()
        )
    }

    /// d margin / d `site` where `tokens` depend on it; `None` if no patch token has one.
    fn gradient(&self, tokens: &Tensor, site: &Var, evidence: Evidence) -> Result<Option<Tensor>> {
        let pooled = self.pool(tokens)?;
        let features = FeatureBatch { pooled, tokens: self.reads_tokens().then(|| tokens.clone()) };
        let logits = self.logits(&features)?;
        let (real, fake) = (logits.narrow(1, 0, 1)?, logits.narrow(1, 1, 1)?);
        let margin = match evidence {
            Evidence::Fake => (fake - real)?,
            Evidence::Real => (real - fake)?,
        };
        // images do not see each other, so the sum over the batch has every image's own gradient
        let gradients = backward(&margin.sum_all()?)?;
        let Some(gradient) = gradients.get(site) else { return Ok(None) };
        let prefix = self.info.prefix_tokens;
        let patches = gradient.narrow(1, prefix, gradient.dim(1)? - prefix)?;
        let any: f64 = patches.abs()?.max_all()?.to_dtype(DType::F64)?.to_scalar()?;
        if !any.is_finite() {
            return Err(Error::Spec(format!("a gradient of the score is {any}")));
        }
        Ok((any > 0.0).then(|| gradient.clone()))
    }

    fn maps(&self, site: &Var, gradient: &Tensor, average: bool) -> Result<Vec<Vec<f64>>> {
        let (_, n, width) = site.dims3()?;
        let values = |t: &Tensor| -> Result<Vec<f32>> {
            Ok(t.detach().to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
        };
        let (tokens, gradient) = (values(site.as_tensor())?, values(gradient)?);
        Ok(cam::class_activation(&tokens, &gradient, (n, width), self.info.prefix_tokens, average))
    }
}

/// Network inputs (B, 3, H, W) as pictures.
fn pictures(images: &Tensor, normalise: &Normalise) -> Result<Vec<Rgb>> {
    let (count, _, height, width) = images.dims4()?;
    let values: Vec<f32> = images.flatten_all()?.to_vec1()?;
    let pixel = |b: usize, x: usize, y: usize| {
        std::array::from_fn(|c| {
            let v = values[((b * 3 + c) * height + y) * width + x] * normalise.std[c] + normalise.mean[c];
            (v * 255.0).round().clamp(0.0, 255.0) as u8
        })
    };
    Ok((0..count).map(|b| Rgb::from_fn(width, height, |x, y| pixel(b, x, y))).collect())
}
