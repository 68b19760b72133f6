//! Xception (Chollet, arXiv 1610.02357) in the layout of its PyTorch port, the baseline of FaceForensics++.
//!
//! Depthwise-separable convolutions; pixels in [−1, 1], 299 of them on a side. Files hold the classifier as `fc` or
//! `last_linear`; the oldest ones hold pointwise filters as matrices.
#![cfg_attr(test, allow(clippy::unwrap_used))]

use facebench_plugin::nn::keys::layout;
use facebench_plugin::nn::tower::HALF;
use facebench_plugin::nn::{BatchNorm, Conv, Pad};
use facebench_plugin::prelude::*;

/// Input, output, separable convolutions, stride, whether an activation comes first, whether the first one widens.
const BLOCKS: [(usize, usize, usize, usize, bool, bool); 12] = [
    (64, 128, 2, 2, false, true),
    (128, 256, 2, 2, true, true),
    (256, 728, 2, 2, true, true),
    (728, 728, 3, 1, true, true),
    (728, 728, 3, 1, true, true),
    (728, 728, 3, 1, true, true),
    (728, 728, 3, 1, true, true),
    (728, 728, 3, 1, true, true),
    (728, 728, 3, 1, true, true),
    (728, 728, 3, 1, true, true),
    (728, 728, 3, 1, true, true),
    (728, 1024, 2, 2, true, false),
];
/// Channels of the last map.
const WIDTH: usize = 2048;

config! {
    /// Settings of Xception.
    pub struct XceptionConfig {
        /// input side in pixels
        image: usize = 299,
    }
}

/// One filter per channel, then a mixture of channels; keys `conv1.weight, pointwise.weight`.
struct Separable {
    depthwise: Conv,
    pointwise: Conv,
}

impl Separable {
    fn new(input: usize, output: usize, p: &Params) -> Result<Self> {
        Ok(Self {
            depthwise: Conv::new((input, input), 3, 1, input, Pad::Each(1), &p.pp("conv1"))?,
            pointwise: Conv::new((input, output), 1, 1, 1, Pad::Each(0), &p.pp("pointwise"))?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.pointwise.forward(&self.depthwise.forward(x)?)
    }
}

/// Separable convolutions and a pooling beside a shortcut.
struct Block {
    steps: Vec<(Separable, BatchNorm)>,
    shortcut: Option<(Conv, BatchNorm)>,
    stride: usize,
    activate: bool,
}

impl Block {
    fn new(at: usize, p: &Params) -> Result<Self> {
        let (input, output, count, stride, activate, widens) = BLOCKS[at];
        let p = p.pp(format!("block{}", at + 1));
        let mut steps = Vec::new();
        for i in 0..count {
            // the layers are numbered with their activations: [relu,] separable, norm, relu, separable, norm …
            let number = 3 * i + usize::from(activate);
            let from = if i == 0 || (!widens) { input } else { output };
            let to = if widens || i + 1 == count { output } else { input };
            let rep = p.pp("rep");
            steps
                .push((Separable::new(from, to, &rep.pp(number))?, BatchNorm::new(to, &rep.pp(number + 1))?));
        }
        let shortcut = (input != output || stride != 1)
            .then(|| {
                let conv = Conv::new((input, output), 1, stride, 1, Pad::Each(0), &p.pp("skip"))?;
                Ok((conv, BatchNorm::new(output, &p.pp("skipbn"))?))
            })
            .transpose()?;
        Ok(Self { steps, shortcut, stride, activate })
    }

    fn forward(&self, x: &Tensor, ctx: &Ctx) -> Result<Tensor> {
        let mut y = x.clone();
        for (i, (conv, norm)) in self.steps.iter().enumerate() {
            if i > 0 || self.activate {
                y = y.relu()?;
            }
            y = norm.forward(&conv.forward(&y)?, ctx)?;
        }
        if self.stride != 1 {
            y = nn::max_pool(&y, 3, self.stride, 1)?;
        }
        match &self.shortcut {
            Some((conv, norm)) => y + norm.forward(&conv.forward(x)?, ctx)?,
            None => &y + x,
        }
    }
}

/// The network without its classifier.
pub struct Xception {
    first: (Conv, BatchNorm),
    second: (Conv, BatchNorm),
    blocks: Vec<Block>,
    third: (Separable, BatchNorm),
    fourth: (Separable, BatchNorm),
    image: usize,
}

impl Component for Xception {
    const NAME: &'static str = "xception";
    const SUMMARY: &'static str = "Xception, the baseline of FaceForensics++";
    type Config = XceptionConfig;
}

impl Backbone for Xception {
    fn info(cfg: &XceptionConfig) -> Result<BackboneInfo> {
        if cfg.image < 71 {
            bail!("image {} is smaller than 71, the least the network can take", cfg.image);
        }
        // two convolutions without padding, the first with stride 2; then four halvings, rounded up
        let side = (0..4).fold((cfg.image - 3) / 2 + 1 - 2, |n, _| n.div_ceil(2));
        Ok(nn::cnn_info(cfg.image, side, WIDTH, BLOCKS.len(), HALF))
    }

    fn create(cfg: XceptionConfig, p: &Params, _: &Ctx) -> Result<Self> {
        let bn = |channels, name: &str| BatchNorm::new(channels, &p.pp(name));
        let conv = |io, stride, name: &str| Conv::new(io, 3, stride, 1, Pad::Each(0), &p.pp(name));
        Ok(Self {
            first: (conv((3, 32), 2, "conv1")?, bn(32, "bn1")?),
            second: (conv((32, 64), 1, "conv2")?, bn(64, "bn2")?),
            blocks: (0..BLOCKS.len()).map(|i| Block::new(i, p)).collect::<Result<_>>()?,
            third: (Separable::new(1024, 1536, &p.pp("conv3"))?, bn(1536, "bn3")?),
            fourth: (Separable::new(1536, WIDTH, &p.pp("conv4"))?, bn(WIDTH, "bn4")?),
            image: cfg.image,
        })
    }

    fn embed(&self, images: &Tensor, keep: Option<&Tensor>, ctx: &Ctx) -> Result<Tensor> {
        nn::whole_images(images, keep, self.image)?;
        let mut x = images.clone();
        for (conv, norm) in [&self.first, &self.second] {
            x = norm.forward(&conv.forward(&x)?, ctx)?.relu()?;
        }
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.forward(&x, ctx).context(format_args!("block {}", i + 1))?;
        }
        for (conv, norm) in [&self.third, &self.fourth] {
            x = norm.forward(&conv.forward(&x)?, ctx)?.relu()?;
        }
        nn::positions_of(&x)
    }

    fn encode(&self, tokens: &Tensor, _: &Ctx) -> Result<Tensor> {
        Ok(tokens.clone())
    }

    fn norm(&self, _: &Tensor) -> Result<Tensor> {
        bail!("a convolutional network has no final norm: it cannot be pre-trained by masking")
    }

    fn pool(&self, tokens: &Tensor) -> Result<Tensor> {
        tokens.mean(1)
    }

    fn layer_id(_: &XceptionConfig, name: &str) -> Result<usize> {
        let block = name.strip_prefix("block").and_then(|rest| rest.split('.').next());
        let stem = ["conv1.", "bn1.", "conv2.", "bn2."].iter().any(|p| name.starts_with(p));
        Ok(block.and_then(|b| b.parse().ok()).unwrap_or(if stem { 0 } else { BLOCKS.len() + 1 }))
    }

    fn layouts(_: &XceptionConfig) -> Result<Vec<KeyMap>> {
        let marks = ["*block1.rep.0.conv1.weight", "*conv4.pointwise.weight"];
        let strip = ["module.", "model.", "backbone."];
        let left = ["fc.*", "last_linear.*", "*num_batches_tracked"];
        let mut map = layout("xception", &marks, &strip, &left);
        map.reasons.push(("last_linear.*".into(), "a head of another task".into()));
        Ok(vec![KeyMap { positions: None, trail: vec![("*pointwise.weight".into(), 2)], ..map }])
    }
}

export_plugin! { requires: ["convolution", "state-param"], backbones: [Xception] }

#[cfg(test)]
mod tests {
    use super::*;
    use facebench_plugin::testing;

    #[test]
    fn the_description_is_consistent() {
        testing::check_backbone::<Xception>("").unwrap();
        assert_eq!(Xception::info(&XceptionConfig::default()).unwrap().grid, (10, 10));
        assert_eq!(Xception::layer_id(&XceptionConfig::default(), "block12.skip.weight").unwrap(), 12);
    }
}
