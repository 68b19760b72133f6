//! EfficientNet-B4 (Tan & Le, arXiv 1905.11946), the convolutional baseline of forgery detection.
//!
//! Two releases: TensorFlow's weights (timm's `tf_efficientnet_b4`, the package `efficientnet_pytorch`) need SAME padding and
//! eps 1e-3; PyTorch's own (timm's `efficientnet_b4`, torchvision) symmetric padding and eps 1e-5. The setting `padding`
//! chooses both. Names are timm's.
#![cfg_attr(test, allow(clippy::unwrap_used))]

use facebench_plugin::nn::keys::layout;
use facebench_plugin::nn::tower::IMAGENET;
use facebench_plugin::nn::{BatchNorm, Conv, ConvNorm, Pad};
use facebench_plugin::prelude::*;

/// Filter, stride, expansion, output channels, blocks.
const STAGES: [(usize, usize, usize, usize, usize); 7] = [
    (3, 1, 1, 24, 2),
    (3, 2, 6, 32, 4),
    (5, 2, 6, 56, 4),
    (3, 2, 6, 112, 6),
    (5, 1, 6, 160, 6),
    (5, 2, 6, 272, 8),
    (3, 1, 6, 448, 2),
];
/// Channels after the first convolution.
const STEM: usize = 48;
/// Channels after the last convolution.
const HEAD: usize = 1792;

choice! {
    /// Where zeros go around a convolution's input.
    pub enum Padding {
        /// TensorFlow's SAME, with eps 1e-3
        Same = "same",
        /// the same on every side, with eps 1e-5
        Symmetric = "symmetric",
    }
}

config! {
    /// Settings of EfficientNet-B4.
    pub struct EfficientNetConfig {
        /// input side in pixels
        image: usize = 380,
        /// padding and eps of the release the weights come from
        padding: Padding = Padding::Same,
        /// stochastic depth of the last block while tuning
        drop_path: f64 = 0.0,
    }
}

/// Makes convolutions and norms of one release.
#[derive(Clone, Copy)]
struct Release(Padding);

impl Release {
    fn pad(self, size: usize) -> Pad {
        match self.0 {
            Padding::Same => Pad::Same,
            Padding::Symmetric => Pad::Each(size / 2),
        }
    }

    fn conv_norm(
        self,
        channels: (usize, usize),
        shape: (usize, usize, usize),
        names: (&str, &str),
        p: &Params,
    ) -> Result<ConvNorm> {
        let (size, stride, groups) = shape;
        let (eps, momentum) = match self.0 {
            Padding::Same => (1e-3, 0.01),
            Padding::Symmetric => (1e-5, 0.1),
        };
        let conv = Conv::new(channels, size, stride, groups, self.pad(size), &p.pp(names.0))?;
        Ok(ConvNorm::new(conv, BatchNorm::with(channels.1, eps, momentum, &p.pp(names.1))?))
    }
}

/// Expansion, depthwise convolution, squeeze and excitation, projection.
struct Block {
    expand: Option<ConvNorm>,
    depthwise: ConvNorm,
    reduce: Conv,
    excite: Conv,
    project: ConvNorm,
    shortcut: bool,
    drop_path: f64,
}

impl Block {
    fn new(
        release: Release,
        io: (usize, usize),
        shape: (usize, usize, usize),
        drop_path: f64,
        p: &Params,
    ) -> Result<Self> {
        let ((input, output), (size, stride, expansion)) = (io, shape);
        let wide = input * expansion;
        let plain = expansion == 1;
        let conv = |channels, shape, names| release.conv_norm(channels, shape, names, p);
        let squeezed = input / 4;
        Ok(Self {
            expand: (!plain).then(|| conv((input, wide), (1, 1, 1), ("conv_pw", "bn1"))).transpose()?,
            depthwise: conv(
                (wide, wide),
                (size, stride, wide),
                ("conv_dw", if plain { "bn1" } else { "bn2" }),
            )?,
            reduce: Conv::with_bias((wide, squeezed), 1, Pad::Each(0), &p.pp("se.conv_reduce"))?,
            excite: Conv::with_bias((squeezed, wide), 1, Pad::Each(0), &p.pp("se.conv_expand"))?,
            project: conv(
                (wide, output),
                (1, 1, 1),
                if plain { ("conv_pw", "bn2") } else { ("conv_pwl", "bn3") },
            )?,
            shortcut: stride == 1 && input == output,
            drop_path,
        })
    }

    fn forward(&self, x: &Tensor, ctx: &Ctx) -> Result<Tensor> {
        let y = match &self.expand {
            Some(expand) => expand.forward(x, ctx)?.silu()?,
            None => x.clone(),
        };
        let y = self.depthwise.forward(&y, ctx)?.silu()?;
        let mean = y.mean_keep(3)?.mean_keep(2)?; // (B, C, 1, 1)
        let gate = self.excite.forward(&self.reduce.forward(&mean)?.silu()?)?.sigmoid()?;
        let y = self.project.forward(&(&y * gate)?, ctx)?;
        if self.shortcut { x + y.drop_path(self.drop_path, ctx) } else { Ok(y) }
    }
}

/// The network without its classifier.
pub struct EfficientNet {
    stem: ConvNorm,
    blocks: Vec<Block>,
    head: ConvNorm,
    image: usize,
}

impl Component for EfficientNet {
    const NAME: &'static str = "efficientnet-b4";
    const SUMMARY: &'static str = "EfficientNet-B4, the convolutional baseline of forgery detection";
    type Config = EfficientNetConfig;
}

impl Backbone for EfficientNet {
    fn info(cfg: &EfficientNetConfig) -> Result<BackboneInfo> {
        if cfg.image < 32 {
            bail!("image {} is smaller than 32", cfg.image);
        }
        Ok(nn::cnn_info(cfg.image, cfg.image.div_ceil(32), HEAD, STAGES.len(), IMAGENET))
    }

    fn create(cfg: EfficientNetConfig, p: &Params, _: &Ctx) -> Result<Self> {
        if !(0.0..1.0).contains(&cfg.drop_path) {
            bail!("drop_path {} is not in [0, 1)", cfg.drop_path);
        }
        let release = Release(cfg.padding);
        let last = STAGES.iter().map(|s| s.4).sum::<usize>() as f64 - 1.0;
        let (mut input, mut blocks) = (STEM, Vec::new());
        for (stage, (size, stride, expansion, output, count)) in STAGES.into_iter().enumerate() {
            for i in 0..count {
                let stride = if i == 0 { stride } else { 1 };
                let drop = cfg.drop_path * blocks.len() as f64 / last;
                let p = p.pp("blocks").pp(stage).pp(i);
                blocks.push(Block::new(release, (input, output), (size, stride, expansion), drop, &p)?);
                input = output;
            }
        }
        Ok(Self {
            stem: release.conv_norm((3, STEM), (3, 2, 1), ("conv_stem", "bn1"), p)?,
            blocks,
            head: release.conv_norm((input, HEAD), (1, 1, 1), ("conv_head", "bn2"), p)?,
            image: cfg.image,
        })
    }

    fn embed(&self, images: &Tensor, keep: Option<&Tensor>, ctx: &Ctx) -> Result<Tensor> {
        nn::whole_images(images, keep, self.image)?;
        let mut x = self.stem.forward(images, ctx)?.silu()?;
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.forward(&x, ctx).context(format_args!("block {i}"))?;
        }
        nn::positions_of(&self.head.forward(&x, ctx)?.silu()?)
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

    fn layer_id(_: &EfficientNetConfig, name: &str) -> Result<usize> {
        let stage = name.strip_prefix("blocks.").and_then(|rest| rest.split('.').next());
        let stem = ["conv_stem.", "bn1."].iter().any(|p| name.starts_with(p));
        let stage = stage.and_then(|s| s.parse::<usize>().ok()).map(|s| s + 1);
        Ok(stage.unwrap_or(if stem { 0 } else { STAGES.len() + 1 }))
    }

    fn layouts(_: &EfficientNetConfig) -> Result<Vec<KeyMap>> {
        let strip = ["module.", "model.", "backbone.", "efficientnet.", "encoder."];
        let counter = "*num_batches_tracked";
        let with = |map: KeyMap, rewrite: Vec<(String, String)>| KeyMap { positions: None, rewrite, ..map };
        let marks = ["*conv_stem.weight", "*blocks.6.0.conv_pwl.weight"];
        let timm = with(layout("efficientnet-timm", &marks, &strip, &["classifier.*", counter]), vec![]);
        let marks = ["*_conv_stem.weight", "*_blocks.0._se_reduce.weight"];
        let package =
            with(layout("efficientnet-pytorch", &marks, &strip, &["_fc.*", counter]), package_names());
        let marks = ["*features.0.0.weight", "*features.1.0.block.1.fc1.weight"];
        let torchvision = with(
            layout("efficientnet-torchvision", &marks, &["module."], &["classifier.*", counter]),
            torchvision_names(),
        );
        Ok(vec![timm, package, torchvision])
    }
}

/// (stage, block within it, whether it expands) of every block, in order.
fn numbered() -> Vec<(usize, usize, bool)> {
    let stages = STAGES.iter().enumerate();
    stages.flat_map(|(s, stage)| (0..stage.4).map(move |i| (s, i, stage.2 != 1))).collect()
}

/// The package numbers its blocks through and calls its layers by other names.
fn package_names() -> Vec<(String, String)> {
    let mut names = Vec::new();
    for (n, (stage, i, expands)) in numbered().into_iter().enumerate() {
        let parts: &[(&str, &str)] = if expands {
            &[
                ("_expand_conv", "conv_pw"),
                ("_bn0", "bn1"),
                ("_depthwise_conv", "conv_dw"),
                ("_bn1", "bn2"),
                ("_project_conv", "conv_pwl"),
                ("_bn2", "bn3"),
            ]
        } else {
            &[("_depthwise_conv", "conv_dw"), ("_bn1", "bn1"), ("_project_conv", "conv_pw"), ("_bn2", "bn2")]
        };
        let se = [("_se_reduce", "se.conv_reduce"), ("_se_expand", "se.conv_expand")];
        for (from, to) in parts.iter().chain(&se) {
            names.push((format!("_blocks.{n}.{from}.*"), format!("blocks.{stage}.{i}.{to}.*")));
        }
    }
    let around = [
        ("_conv_stem.*", "conv_stem.*"),
        ("_bn0.*", "bn1.*"),
        ("_conv_head.*", "conv_head.*"),
        ("_bn1.*", "bn2.*"),
    ];
    names.extend(around.iter().map(|(a, b)| ((*a).to_string(), (*b).to_string())));
    names
}

/// torchvision numbers layers: convolution and norm are 0 and 1 of each, stages start at 1.
fn torchvision_names() -> Vec<(String, String)> {
    let mut names = Vec::new();
    for (stage, i, expands) in numbered() {
        let (parts, se): (&[(&str, &str, &str)], usize) = if expands {
            (&[("0", "conv_pw", "bn1"), ("1", "conv_dw", "bn2"), ("3", "conv_pwl", "bn3")], 2)
        } else {
            (&[("0", "conv_dw", "bn1"), ("2", "conv_pw", "bn2")], 1)
        };
        let (from, to) = (format!("features.{}.{i}.block", stage + 1), format!("blocks.{stage}.{i}"));
        for (at, conv, norm) in parts {
            names.push((format!("{from}.{at}.0.*"), format!("{to}.{conv}.*")));
            names.push((format!("{from}.{at}.1.*"), format!("{to}.{norm}.*")));
        }
        names.push((format!("{from}.{se}.fc1.*"), format!("{to}.se.conv_reduce.*")));
        names.push((format!("{from}.{se}.fc2.*"), format!("{to}.se.conv_expand.*")));
    }
    for (from, to) in [("0.0", "conv_stem"), ("0.1", "bn1"), ("8.0", "conv_head"), ("8.1", "bn2")] {
        names.push((format!("features.{from}.*"), format!("{to}.*")));
    }
    names
}

export_plugin! { requires: ["convolution", "state-param"], backbones: [EfficientNet] }

#[cfg(test)]
mod tests {
    use super::*;
    use facebench_plugin::testing;

    #[test]
    fn the_description_is_consistent() {
        testing::check_backbone::<EfficientNet>("").unwrap();
        assert_eq!(EfficientNet::info(&EfficientNetConfig::default()).unwrap().grid, (12, 12));
        assert_eq!(numbered().len(), 32);
        assert_eq!(EfficientNet::layer_id(&EfficientNetConfig::default(), "blocks.6.1.bn1.bias").unwrap(), 7);
    }
}
