//! Mixup and CutMix: each frame of a batch with the one at the same place from the other end (method.md §5.1).
//!
//! One draw per batch decides which of the two, λ ~ Beta(α, α), and where the box is; the stream belongs to (seed,
//! step). Targets are mixed with the λ that the clipped box really has. Pixels are mixed on the host, before they
//! become a tensor; a head's own loss still sees the unmixed labels, as released.

use candle_core::Tensor;
use facebench_data::image::Window;
use facebench_protocols::rng::Stream;

use crate::error::{Result, bad_spec};
use crate::spec::Mixing;

/// What is done to one batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mix {
    /// Share of the frame itself; 1 = unmixed
    pub lambda: f64,
    /// The box that comes from the partner (CutMix); else all pixels are averaged (Mixup)
    pub window: Option<Window>,
}

impl Mix {
    /// Nothing.
    pub const NONE: Self = Self { lambda: 1.0, window: None };

    /// Draws for batch number `step` of frames of `size` × `size`.
    pub fn draw(mixing: &Mixing, size: usize, seed: u64, step: u64) -> Self {
        let mut stream = Stream::new("mix", seed, &[&step.to_string()]);
        let (mixes, cuts) = (stream.uniform() < mixing.probability, stream.uniform() < mixing.switch);
        if !mixes || (mixing.mixup == 0.0 && mixing.cutmix == 0.0) {
            return Self::NONE;
        }
        if mixing.mixup == 0.0 || (mixing.cutmix > 0.0 && cuts) {
            let lambda = beta(mixing.cutmix, &mut stream);
            return Self::cut(size, size, lambda, stream.below(size), stream.below(size));
        }
        Self { lambda: beta(mixing.mixup, &mut stream), window: None }
    }

    /// The box of side ratio √(1 − λ) around (cy, cx), clipped; λ becomes the area that is left.
    pub fn cut(height: usize, width: usize, lambda: f64, cy: usize, cx: usize) -> Self {
        let ratio = (1.0 - lambda).sqrt();
        let span = |side: usize, centre: usize| {
            let half = (side as f64 * ratio) as usize / 2;
            (centre.saturating_sub(half), (centre + half).min(side))
        };
        let ((top, bottom), (left, right)) = (span(height, cy), span(width, cx));
        let window = Window { left, top, width: right - left, height: bottom - top };
        let area = (window.width * window.height) as f64;
        Self { lambda: 1.0 - area / (height * width) as f64, window: Some(window) }
    }

    /// Mixes (B, 3, size, size) pixels in place.
    pub fn apply(&self, pixels: &mut [f32], size: usize) {
        let frame = 3 * size * size;
        if *self == Self::NONE || pixels.is_empty() {
            return;
        }
        let last = pixels.len() / frame - 1;
        for row in 0..=last / 2 {
            let partner = last - row;
            if partner == row {
                continue; // the middle of an odd batch meets itself
            }
            let (front, back) = pixels.split_at_mut(partner * frame);
            let (a, b) = (&mut front[row * frame..(row + 1) * frame], &mut back[..frame]);
            match self.window {
                None => {
                    let (own, other) = (self.lambda as f32, (1.0 - self.lambda) as f32);
                    for (a, b) in a.iter_mut().zip(b) {
                        (*a, *b) = (*a * own + *b * other, *b * own + *a * other);
                    }
                }
                Some(w) => {
                    for channel in 0..3 {
                        for y in w.top..w.top + w.height {
                            let at = (channel * size + y) * size + w.left;
                            a[at..at + w.width].swap_with_slice(&mut b[at..at + w.width]);
                        }
                    }
                }
            }
        }
    }

    /// Soft targets (B, classes): smoothed one-hot rows, mixed with those of the partners.
    pub fn targets(&self, labels: &[u32], classes: usize, smoothing: f64, like: &Tensor) -> Result<Tensor> {
        let off = smoothing / classes as f64;
        let hot = |label: u32, class: usize| {
            if label as usize == class { 1.0 - smoothing + off } else { off }
        };
        let pairs = labels.iter().zip(labels.iter().rev());
        let rows: Vec<f64> = pairs
            .flat_map(|(&own, &other)| {
                (0..classes).map(move |c| hot(own, c) * self.lambda + hot(other, c) * (1.0 - self.lambda))
            })
            .collect();
        Ok(Tensor::from_vec(rows, (labels.len(), classes), like.device())?.to_dtype(like.dtype())?)
    }
}

/// Refuses batches that cannot be paired.
pub(crate) fn check(mixing: &Mixing, frames: usize) -> Result<()> {
    if [mixing.mixup, mixing.cutmix].iter().any(|a| !(0.0..).contains(a)) {
        return bad_spec!(
            "`recipe.mixing`: α must be 0 or larger, got {} and {}",
            mixing.mixup,
            mixing.cutmix
        );
    }
    if !(0.0..=1.0).contains(&mixing.probability) || !(0.0..=1.0).contains(&mixing.switch) {
        return bad_spec!("`recipe.mixing`: `probability` and `switch` are shares in 0..1");
    }
    if frames % 2 == 1 {
        return bad_spec!(
            "mixing pairs the frames of a batch, and a batch has {frames}, an odd number\nhint: choose an even \
             `recipe.batch` no larger than the training set, or `recipe.mixing: null`"
        );
    }
    Ok(())
}

/// Beta(α, α), from two gamma draws (Marsaglia and Tsang 2000).
fn beta(alpha: f64, stream: &mut Stream) -> f64 {
    let (a, b) = (gamma(alpha, stream), gamma(alpha, stream));
    if a + b > 0.0 { a / (a + b) } else { 0.5 }
}

fn gamma(alpha: f64, stream: &mut Stream) -> f64 {
    if alpha < 1.0 {
        let u = 1.0 - stream.uniform(); // in (0, 1]
        return gamma(alpha + 1.0, stream) * u.powf(1.0 / alpha);
    }
    let d = alpha - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = stream.normal();
        let v = (1.0 + c * x).powi(3);
        let u = 1.0 - stream.uniform();
        if v > 0.0 && u.ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return d * v;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};
    use serde_json::Value;

    fn fixture() -> Value {
        serde_json::from_str(include_str!("tests/mixing.json")).unwrap()
    }

    fn n(case: &Value, key: &str) -> usize {
        usize::try_from(case[key].as_u64().unwrap()).unwrap()
    }

    #[test]
    fn boxes_equal_the_published_ones() {
        let fixture = fixture();
        for case in fixture["cutmix_boxes"].as_array().unwrap() {
            let lambda = case["lam"].as_f64().unwrap();
            let mix = Mix::cut(n(case, "h"), n(case, "w"), lambda, n(case, "cy"), n(case, "cx"));
            let w = mix.window.unwrap();
            let got = [w.top, w.top + w.height, w.left, w.left + w.width];
            assert_eq!(got, ["y0", "y1", "x0", "x1"].map(|k| n(case, k)), "{case}");
            assert!((mix.lambda - case["lam_corrected"].as_f64().unwrap()).abs() < 1e-12, "{case}");
        }
    }

    #[test]
    fn targets_equal_the_published_ones() {
        let like = Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap();
        for case in fixture()["mixup_targets"].as_array().unwrap() {
            let labels: Vec<u32> = serde_json::from_value(case["labels"].clone()).unwrap();
            let mix = Mix { lambda: case["lam"].as_f64().unwrap(), window: None };
            let got = mix.targets(&labels, n(case, "classes"), case["smoothing"].as_f64().unwrap(), &like);
            let got: Vec<Vec<f32>> = got.unwrap().to_vec2().unwrap();
            let want: Vec<Vec<f32>> = serde_json::from_value(case["targets_f32"].clone()).unwrap();
            for (got, want) in got.concat().iter().zip(want.concat()) {
                assert!((got - want).abs() < 1e-7, "{case}");
            }
        }
    }

    #[test]
    fn pixels_meet_their_partners() {
        let size = 4;
        let frame = 3 * size * size;
        let fresh = || (0..4 * frame).map(|i| (i / frame) as f32).collect::<Vec<f32>>();
        let mut mixed = fresh();
        Mix { lambda: 0.75, window: None }.apply(&mut mixed, size);
        let firsts: Vec<f32> = mixed.chunks(frame).map(|f| f[0]).collect();
        assert_eq!(firsts, [0.75, 1.25, 1.75, 2.25]);
        let mut cut = fresh();
        let mix = Mix::cut(size, size, 0.75, 0, 2);
        mix.apply(&mut cut, size);
        let foreign: usize = cut[..frame].iter().filter(|v| **v == 3.0).count();
        let w = mix.window.unwrap();
        assert_eq!(foreign, 3 * w.width * w.height);
        assert_eq!((w.left, w.width, w.top, w.height), (1, 2, 0, 1));
    }

    #[test]
    fn lambda_follows_its_beta_distribution() {
        for alpha in [0.8, 1.0, 2.5] {
            let mut stream = Stream::new("beta", 0, &[]);
            let draws: Vec<f64> = (0..20_000).map(|_| beta(alpha, &mut stream)).collect();
            let mean = draws.iter().sum::<f64>() / 20_000.0;
            let variance = draws.iter().map(|x| (x - 0.5) * (x - 0.5)).sum::<f64>() / 20_000.0;
            let expected = 0.25 / (2.0 * alpha + 1.0);
            assert!(
                (mean - 0.5).abs() < 0.01 && (variance / expected - 1.0).abs() < 0.05,
                "{alpha}: {variance}"
            );
        }
    }

    #[test]
    fn both_kinds_are_drawn_and_a_step_is_a_draw() {
        let mixing = Mixing::default();
        let draws: Vec<Mix> = (0..200).map(|t| Mix::draw(&mixing, 32, 7, t)).collect();
        let cuts = draws.iter().filter(|m| m.window.is_some()).count();
        assert!((70..130).contains(&cuts), "{cuts} of 200");
        assert_eq!(draws[5], Mix::draw(&mixing, 32, 7, 5));
        assert_ne!(draws[5], draws[6]);
    }

    #[test]
    fn an_odd_batch_is_refused() {
        let message = check(&Mixing::default(), 33).unwrap_err().to_string();
        assert!(message.contains("33, an odd number\nhint: choose an even `recipe.batch`"), "{message}");
        check(&Mixing::default(), 32).unwrap();
    }
}
