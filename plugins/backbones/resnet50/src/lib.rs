//! ResNet-50 (He et al., arXiv 1512.03385) as torchvision and timm have it: the stride is in the 3 × 3 convolution.
//!
//! The tokens are the last map of features, their mean is the feature. Batch norm uses the batch's statistics while it
//! trains and the running ones otherwise.
#![cfg_attr(test, allow(clippy::unwrap_used))]

use facebench_plugin::nn::keys::layout;
use facebench_plugin::nn::tower::IMAGENET;
use facebench_plugin::nn::{BatchNorm, Conv, ConvNorm, Pad};
use facebench_plugin::prelude::*;

/// Blocks of the four stages; each has twice the inner width of the one before.
const STAGES: [usize; 4] = [3, 4, 6, 3];
/// Outer width over inner width.
const EXPANSION: usize = 4;

config! {
    /// Settings of ResNet-50.
    pub struct ResNetConfig {
        /// input side in pixels
        image: usize = 224,
        /// channels after the first convolution; other than 64 for comparisons with other implementations
        width: usize = 64,
    }
}

fn conv_norm(
    channels: (usize, usize),
    size: usize,
    stride: usize,
    names: (&str, &str),
    p: &Params,
) -> Result<ConvNorm> {
    let conv = Conv::new(channels, size, stride, 1, Pad::Each(size / 2), &p.pp(names.0))?;
    Ok(ConvNorm::new(conv, BatchNorm::new(channels.1, &p.pp(names.1))?))
}

/// 1 × 1, 3 × 3, 1 × 1 beside a shortcut.
struct Bottleneck {
    first: ConvNorm,
    second: ConvNorm,
    third: ConvNorm,
    shortcut: Option<ConvNorm>,
}

impl Bottleneck {
    fn new(input: usize, inner: usize, stride: usize, p: &Params) -> Result<Self> {
        let output = inner * EXPANSION;
        Ok(Self {
            first: conv_norm((input, inner), 1, 1, ("conv1", "bn1"), p)?,
            second: conv_norm((inner, inner), 3, stride, ("conv2", "bn2"), p)?,
            third: conv_norm((inner, output), 1, 1, ("conv3", "bn3"), p)?,
            shortcut: (stride != 1 || input != output)
                .then(|| conv_norm((input, output), 1, stride, ("downsample.0", "downsample.1"), p))
                .transpose()?,
        })
    }

    fn forward(&self, x: &Tensor, ctx: &Ctx) -> Result<Tensor> {
        let y = self.first.forward(x, ctx)?.relu()?;
        let y = self.third.forward(&self.second.forward(&y, ctx)?.relu()?, ctx)?;
        match &self.shortcut {
            Some(shortcut) => (y + shortcut.forward(x, ctx)?)?.relu(),
            None => (&y + x)?.relu(),
        }
    }
}

/// The network without its classifier.
pub struct ResNet {
    stem: ConvNorm,
    blocks: Vec<Bottleneck>,
    image: usize,
}

impl Component for ResNet {
    const NAME: &'static str = "resnet50";
    const SUMMARY: &'static str = "ResNet-50, the convolutional baseline";
    type Config = ResNetConfig;
}

impl Backbone for ResNet {
    fn info(cfg: &ResNetConfig) -> Result<BackboneInfo> {
        if cfg.image < 32 {
            bail!("image {} is smaller than 32", cfg.image);
        }
        if cfg.width == 0 {
            bail!("width is 0, expected at least 1");
        }
        let width = (cfg.width << (STAGES.len() - 1)) * EXPANSION;
        Ok(nn::cnn_info(cfg.image, cfg.image.div_ceil(32), width, STAGES.len(), IMAGENET))
    }

    fn create(cfg: ResNetConfig, p: &Params, _: &Ctx) -> Result<Self> {
        let (mut input, mut blocks) = (cfg.width, Vec::new());
        for (stage, count) in STAGES.into_iter().enumerate() {
            let inner = cfg.width << stage;
            for i in 0..count {
                let stride = if stage > 0 && i == 0 { 2 } else { 1 };
                blocks.push(Bottleneck::new(
                    input,
                    inner,
                    stride,
                    &p.pp(format!("layer{}", stage + 1)).pp(i),
                )?);
                input = inner * EXPANSION;
            }
        }
        Ok(Self { stem: conv_norm((3, cfg.width), 7, 2, ("conv1", "bn1"), p)?, blocks, image: cfg.image })
    }

    fn embed(&self, images: &Tensor, keep: Option<&Tensor>, ctx: &Ctx) -> Result<Tensor> {
        nn::whole_images(images, keep, self.image)?;
        let mut x = nn::max_pool(&self.stem.forward(images, ctx)?.relu()?, 3, 2, 1)?;
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.forward(&x, ctx).context(format_args!("block {i}"))?;
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

    fn layer_id(_: &ResNetConfig, name: &str) -> Result<usize> {
        let stage = name.strip_prefix("layer").and_then(|rest| rest.split('.').next());
        let stem = ["conv1.", "bn1."].iter().any(|p| name.starts_with(p));
        Ok(stage.and_then(|s| s.parse().ok()).unwrap_or(if stem { 0 } else { STAGES.len() + 1 }))
    }

    fn layouts(_: &ResNetConfig) -> Result<Vec<KeyMap>> {
        let marks = ["*conv1.weight", "*layer4.2.bn3.running_var", "*layer1.0.downsample.0.weight"];
        let strip = ["module.", "model.", "backbone.", "encoder."];
        let left = ["fc.*", "*num_batches_tracked"];
        Ok(vec![KeyMap { positions: None, ..layout("resnet50", &marks, &strip, &left) }])
    }
}

export_plugin! { requires: ["convolution", "state-param"], backbones: [ResNet] }

#[cfg(test)]
mod tests {
    use super::*;
    use facebench_plugin::testing;

    #[test]
    fn the_description_is_consistent() {
        testing::check_backbone::<ResNet>("").unwrap();
        testing::check_backbone::<ResNet>(r#"{"image": 100}"#).unwrap();
        testing::check_backbone::<ResNet>(r#"{"image": 32, "width": 4}"#).unwrap();
        assert_eq!(ResNet::layer_id(&ResNetConfig::default(), "layer3.5.bn1.weight").unwrap(), 3);
        assert_eq!(ResNet::layer_id(&ResNetConfig::default(), "bn1.weight").unwrap(), 0);
    }
}
