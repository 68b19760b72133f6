//! What a pre-training run costs, before it runs: parameters, steps, tokens, operations, memory, time.
//!
//! Counted from shapes. Parameters are exact (tested against the published counts). Operations are those of matrix
//! products (2 per multiply-add): a block of width D over T tokens takes 24 T D² + 4 T² D; a trained part counts three
//! times (forward, both gradients), the target once. Memory is weights, gradients, optimiser moments and target, plus what the
//! engine keeps of each block until its gradient is computed; overheads of the allocator and decoding are a fixed share.
//! Time is operations over the speed of one block measured here for a third of a second, so it is an estimate for this
//! machine; other costs (element-wise work, reading images) are not in it, and they are a large part of micro networks.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::Result;
use facebench_engine::{DType, Device, Init, ParamStore, Tensor, backward, nn};
use facebench_host::BackboneInfo;
use facebench_train::spec::{MaskToken, PretrainSpec};

/// Floats per token and unit of width that a block keeps for its backward pass: input, q, k, v, attention, first sum, and
/// the four-fold hidden layer after GELU and its slope.
const KEPT: f64 = 14.0;
/// What the allocator and temporaries add to activations.
const SLACK: f64 = 1.3;
/// Program, plugins and decoding, bytes.
const BASE: f64 = 60e6;

/// The cost of one pre-training run.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub(crate) struct Estimate {
    /// Parameters of the online network
    pub(crate) online: u64,
    /// Those of them that are trained
    pub(crate) trained: u64,
    /// Parameters of the target network
    pub(crate) target: u64,
    /// Images in an epoch, where they are known
    pub(crate) images: Option<u64>,
    /// Updates, where images are known
    pub(crate) updates: Option<u64>,
    /// Images per update
    pub(crate) effective_batch: u64,
    /// Tokens of an image that pass through the online encoder
    pub(crate) tokens: u64,
    /// Floating-point operations per image, forward and backward, target included
    pub(crate) flop_per_image: f64,
    /// Peak memory, bytes
    pub(crate) memory: f64,
    /// Epochs
    pub(crate) epochs: u64,
    #[serde(skip)]
    shape: (usize, usize, usize),
}

/// A stack of blocks: tokens, width, number.
#[derive(Clone, Copy)]
struct Stack(f64, f64, f64);

impl Stack {
    fn flop(self) -> f64 {
        let Stack(t, d, n) = self;
        n * (24.0 * t * d * d + 4.0 * t * t * d)
    }
    fn kept(self) -> f64 {
        let Stack(t, d, n) = self;
        n * t * d * KEPT
    }
    /// qkv, proj, two norms, two linear layers of the MLP, with biases
    fn parameters(self) -> f64 {
        let Stack(_, d, n) = self;
        n * (12.0 * d * d + 13.0 * d)
    }
}

/// Works out the cost of `spec`; `images` is how many an epoch has.
pub(crate) fn estimate(spec: &PretrainSpec, info: &BackboneInfo, images: Option<u64>) -> Estimate {
    let n = info.patches() as f64;
    let hidden = (spec.masking.ratio * n).round();
    let (seen, all) = (1.0 + n - hidden, 1.0 + n);
    let (d, pixels) = (info.width as f64, (info.patch * info.patch * 3) as f64);
    let linear = |i: f64, o: f64| i * o + o;
    let table = |width: f64| all * width;

    // ---- encoder
    let encoder = Stack(seen, d, info.depth as f64);
    let encoder_parameters = linear(pixels, d) + d + encoder.parameters() + 2.0 * d; // patches, cls, blocks, norm
    let (mut flop, mut kept) = (2.0 * seen * pixels * d + encoder.flop(), encoder.kept());
    let (mut trained, mut fixed) = (encoder_parameters, table(d));

    // ---- pixel decoder
    let o = &spec.objective;
    let (w, before) = (o.decoder.width as f64, o.decoder.mask_token == MaskToken::BeforeEmbed);
    let decoder = Stack(all, w, o.decoder.depth as f64);
    trained += if before { d } else { w };
    trained += linear(d, w) + decoder.parameters() + 2.0 * w + linear(w, pixels);
    fixed += table(w);
    if o.reconstruction_weight != 0.0 || o.region_weight != 0.0 {
        flop += 2.0 * (if before { all } else { seen }) * d * w + decoder.flop() + 2.0 * n * w * pixels;
        kept += decoder.kept() + n * pixels * 2.0;
    }

    // ---- similarity branch and target
    let (mut target, mut target_flop, mut target_kept) = (0.0, 0.0, 0.0);
    if let Some(s) = &o.similarity {
        let rep = Stack(all, d, s.depth as f64);
        let (h, z) = (s.hidden as f64, s.out as f64);
        let projection = |i: f64| linear(i, h) + 2.0 * h + linear(h, z);
        let branch = linear(d, d) + rep.parameters() + 2.0 * d + linear(d, d) + projection(d);
        trained += branch + projection(z);
        fixed += table(d);
        flop += 2.0 * (seen + all) * d * d + rep.flop() + 2.0 * (d * h + h * z + z * h + h * z);
        kept += rep.kept();
        target = encoder_parameters + 2.0 * table(d) + branch + d;
        let full = Stack(all, d, info.depth as f64);
        target_flop =
            2.0 * n * pixels * d + full.flop() + 4.0 * all * d * d + rep.flop() + 2.0 * (d * h + h * z);
        target_kept = 8.0 * all * d; // one block at a time
    }

    let optim = &spec.optim;
    let batch = images.map_or(optim.batch, |i| optim.batch.min(usize::try_from(i).unwrap_or(usize::MAX)));
    let online = trained + fixed;
    let accumulated = if optim.accum > 1 { 1.0 } else { 0.0 };
    // weights, gradients, two moments; the loop keeps a twin of the online network whether or not it has a target
    let held = 4.0 * (online + trained * (3.0 + accumulated) + online);
    let input = 3.0 * (info.image * info.image) as f64 * 4.0; // read ahead and moved
    let memory = BASE + held + 4.0 * SLACK * batch as f64 * (kept + target_kept + input);
    let micro = images.map(|i| i / batch.max(1) as u64);
    Estimate {
        online: online as u64,
        trained: trained as u64,
        target: target as u64,
        images,
        updates: micro.map(|m| m / optim.accum.max(1) as u64 * optim.epochs as u64),
        effective_batch: (batch * optim.accum) as u64,
        tokens: seen as u64,
        flop_per_image: 3.0 * flop + target_flop,
        memory,
        epochs: optim.epochs as u64,
        shape: (info.width, info.heads, seen as usize),
    }
}

impl Estimate {
    /// What decides the speed: width, heads, tokens.
    pub(crate) fn shape(&self) -> &(usize, usize, usize) {
        &self.shape
    }

    /// Operations of the whole run.
    pub(crate) fn flop(&self) -> Option<f64> {
        let (updates, batch) = (self.updates? as f64, self.effective_batch as f64);
        Some(updates * batch * self.flop_per_image)
    }

    /// Two lines for people. `speed` is operations per second.
    pub(crate) fn lines(&self, speed: Option<f64>) -> String {
        let mut text = format!(
            "parameters {} ({} trained){}, {} images per update, {} tokens per image, {} per image, about {} of memory\n",
            si(self.online as f64),
            si(self.trained as f64),
            if self.target > 0 { format!(" + target {}", si(self.target as f64)) } else { String::new() },
            self.effective_batch,
            self.tokens,
            unit(self.flop_per_image, "FLOP"),
            unit(self.memory, "B")
        );
        match (self.images, self.updates, self.flop()) {
            (Some(images), Some(updates), Some(flop)) => {
                let _ = write!(
                    text,
                    "{} epochs of {images} images: {updates} updates, {} tokens, {}",
                    self.epochs,
                    si(updates as f64 * self.effective_batch as f64 * self.tokens as f64),
                    unit(flop, "FLOP")
                );
                if updates == 0 {
                    text += "; too few images for one update: lower `optim.effective_batch`";
                } else if let Some(speed) = speed {
                    let _ = write!(text, ", about {}", time(flop / speed));
                }
            }
            _ => {
                let _ = write!(text, "{} epochs of images that are not there yet", self.epochs);
                if let Some(speed) = speed {
                    let _ = write!(text, ": about {} for a million", time(1e6 * self.flop_per_image / speed));
                }
            }
        }
        if let Some(speed) = speed {
            let _ = write!(text, " (estimate at {}, measured here just now)", unit(speed, "FLOP/s"));
        }
        text + "\n"
    }

    /// Operations per second of one block of this width on this machine, forward and backward.
    ///
    /// # Errors
    /// The engine fails on a block it makes itself.
    pub(crate) fn measure(&self) -> Result<f64> {
        const TIME: Duration = Duration::from_millis(300);
        let (width, heads, tokens) = self.shape;
        // some thousand tokens, as in a batch
        let batch = (2048 / tokens.max(1)).clamp(1, 64);
        let store = ParamStore::new(&Device::Cpu, DType::F32, 0);
        let block = nn::Block::new(&store, "b", width, heads, 4 * width, 1e-6, &Init::XavierUniform)?;
        let x = Tensor::ones((batch, tokens, width), DType::F32, &Device::Cpu)?;
        let step = || -> Result<()> {
            backward(&block.forward(&x, None)?.sum_all()?)?;
            Ok(())
        };
        step()?; // the first one touches memory
        let (start, mut count) = (Instant::now(), 0.0);
        while start.elapsed() < TIME {
            step()?;
            count += 1.0;
        }
        let flop = 3.0 * batch as f64 * Stack(tokens as f64, width as f64, 1.0).flop();
        Ok(count * flop / start.elapsed().as_secs_f64())
    }
}

/// `86.4 M`: three digits and a prefix; `272` needs none.
fn si(x: f64) -> String {
    unit(x, "").trim_end().to_owned()
}

/// `86.4 MB`: three digits, a prefix and a unit.
fn unit(x: f64, unit: &str) -> String {
    const PREFIXES: [(f64, &str); 7] =
        [(1e18, " E"), (1e15, " P"), (1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k"), (0.0, " ")];
    let (scale, prefix) = PREFIXES.into_iter().find(|(least, _)| x >= *least).unwrap_or((1.0, " "));
    let value = if scale > 0.0 { x / scale } else { x };
    let decimals = if value >= 100.0 || scale == 0.0 { 0 } else { 1 };
    format!("{value:.decimals$}{prefix}{unit}")
}

/// `3 h`, `12 days`.
fn time(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3600.0),
        s if s < 730.0 * 86_400.0 => format!("{:.0} days", s / 86_400.0),
        s => format!("{:.0} years", s / (365.25 * 86_400.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn info(width: usize, depth: usize, heads: usize, image: usize, patch: usize) -> BackboneInfo {
        BackboneInfo {
            image,
            patch,
            grid: (image / patch, image / patch),
            width,
            depth,
            heads,
            prefix_tokens: 1,
            mean: [0.5; 3],
            std: [0.5; 3],
            pooling: String::new(),
            pooled: None,
        }
    }

    /// Counts of the published models (online, trained, target).
    #[test]
    fn parameters_are_the_published_ones() {
        let spec = PretrainSpec::default();
        for (width, depth, heads, online, trained, target) in [
            (384, 12, 12, 56_242_816, 55_990_656, 28_221_056),
            (768, 12, 12, 133_734_400, 133_330_944, 105_516_032),
            (1024, 24, 16, 364_402_944, 363_898_624, 336_053_504),
        ] {
            let e = estimate(&spec, &info(width, depth, heads, 224, 16), None);
            assert_eq!((e.online, e.trained, e.target), (online, trained, target));
        }
    }

    #[test]
    fn updates_follow_the_effective_batch() {
        let spec: PretrainSpec =
            serde_json::from_value(json!({"optim": {"batch": 64, "accum": 64, "epochs": 600}})).unwrap();
        let e = estimate(&spec, &info(768, 12, 12, 224, 16), Some(2_974_000));
        // 46468 batches of 64 an epoch, of which 64 make an update
        assert_eq!((e.updates, e.effective_batch), (Some(726 * 600), 4096));
        // encoder on 50 tokens, twice the decoders, the target on 197: between 1 and 3 full ViT-B training steps
        assert!((5e10..2e11).contains(&e.flop_per_image), "{}", e.flop_per_image);
        assert!(e.lines(Some(1e12)).contains("4096 images per update"));
        assert_eq!(time(1e6), "12 days");
        assert_eq!((si(133_734_400.0), si(12.0)), ("134 M".into(), "12".into()));
        assert_eq!((unit(36e9, "FLOP/s"), unit(12.0, "B")), ("36.0 GFLOP/s".into(), "12 B".into()));
    }
}
