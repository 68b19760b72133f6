//! Layers of convolutional networks: convolution, batch norm, max pooling. Keys are PyTorch's.
//!
//! They are operations the host knows by name (`conv2d`, `batch_norm`, `max_pool2d`); a plugin that uses them requires
//! the feature `convolution` and, for batch norm, `state-param`.

use crate::{BackboneInfo, Ctx, Init, Params, Result, Tensor, bail};

/// Zeros around the input of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pad {
    /// That many on every side.
    Each(usize),
    /// TensorFlow's SAME: the output has ⌈input / stride⌉ rows; an odd zero goes below and to the right.
    Same,
}

/// A convolution without dilation, keys `weight` (O, I/groups, k, k) and, where there is one, `bias` (O).
pub struct Conv {
    weight: Tensor,
    bias: Option<Tensor>,
    size: usize,
    stride: usize,
    groups: usize,
    pad: Pad,
}

impl Conv {
    /// Without a bias; starts from N(0, 2 / (k² · output channels per group)).
    pub fn new(
        channels: (usize, usize),
        size: usize,
        stride: usize,
        groups: usize,
        pad: Pad,
        p: &Params,
    ) -> Result<Self> {
        let (input, output) = channels;
        let std = (2.0 / (size * size * output / groups) as f64).sqrt();
        let weight = p.get("weight", [output, input / groups, size, size], Init::normal(std))?;
        Ok(Self { weight, bias: None, size, stride, groups, pad })
    }

    /// With a bias that starts at 0.
    pub fn with_bias(channels: (usize, usize), size: usize, pad: Pad, p: &Params) -> Result<Self> {
        let bias = Some(p.get("bias", channels.1, Init::ZEROS)?);
        Ok(Self { bias, ..Self::new(channels, size, 1, 1, pad, p)? })
    }

    /// (B, I, H, W) → (B, O, H', W').
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (_, _, h, w) = x.dims4()?;
        let [top, bottom, left, right] = match self.pad {
            Pad::Each(n) => [n; 4],
            Pad::Same => {
                let (a, b) = (same(h, self.size, self.stride), same(w, self.size, self.stride));
                [a / 2, a - a / 2, b / 2, b - b / 2]
            }
        };
        let attributes = [self.stride, 1, self.groups, top, bottom, left, right].map(|v| v as f64);
        match &self.bias {
            Some(bias) => Tensor::call("conv2d", &[x, &self.weight, bias], &attributes),
            None => Tensor::call("conv2d", &[x, &self.weight], &attributes),
        }
    }
}

/// Zeros that SAME adds along a side of length `n`.
fn same(n: usize, size: usize, stride: usize) -> usize {
    ((n.div_ceil(stride) - 1) * stride + size).saturating_sub(n)
}

/// Batch norm per channel, keys `weight, bias, running_mean, running_var`.
pub struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    var: Tensor,
    eps: f64,
    momentum: f64,
}

impl BatchNorm {
    /// PyTorch's eps 1e-5 and momentum 0.1.
    pub fn new(channels: usize, p: &Params) -> Result<Self> {
        Self::with(channels, 1e-5, 0.1, p)
    }

    /// `momentum` is the weight of the new statistics, as in PyTorch.
    pub fn with(channels: usize, eps: f64, momentum: f64, p: &Params) -> Result<Self> {
        Ok(Self {
            weight: p.get("weight", channels, Init::ONES)?,
            bias: p.get("bias", channels, Init::ZEROS)?,
            mean: p.get("running_mean", channels, Init::state(0.0))?,
            var: p.get("running_var", channels, Init::state(1.0))?,
            eps,
            momentum,
        })
    }

    /// With the batch's statistics while it trains, with the running ones otherwise and when it is frozen.
    pub fn forward(&self, x: &Tensor, ctx: &Ctx) -> Result<Tensor> {
        let train = if ctx.train() { 1.0 } else { 0.0 };
        let inputs = [x, &self.weight, &self.bias, &self.mean, &self.var];
        Tensor::call("batch_norm", &inputs, &[self.eps, self.momentum, train])
    }
}

/// A convolution and its batch norm, under two names.
pub struct ConvNorm {
    conv: Conv,
    norm: BatchNorm,
}

impl ConvNorm {
    /// Both made already.
    pub fn new(conv: Conv, norm: BatchNorm) -> Self {
        Self { conv, norm }
    }

    /// No activation.
    pub fn forward(&self, x: &Tensor, ctx: &Ctx) -> Result<Tensor> {
        self.norm.forward(&self.conv.forward(x)?, ctx)
    }
}

/// Largest value of each window, `pad` rows and columns of −∞ around the image.
pub fn max_pool(x: &Tensor, size: usize, stride: usize, pad: usize) -> Result<Tensor> {
    Tensor::call("max_pool2d", &[x], &[size as f64, stride as f64, pad as f64])
}

/// What the program must know of a convolutional network: its map of features is a grid of `side` × `side` tokens of
/// `width` channels, their mean the feature. `stages` is the number of groups for layer-wise decay.
pub fn cnn_info(
    image: usize,
    side: usize,
    width: usize,
    stages: usize,
    statistics: ([f32; 3], [f32; 3]),
) -> BackboneInfo {
    BackboneInfo {
        image,
        patch: image.div_ceil(side),
        grid: (side, side),
        width,
        depth: stages,
        heads: 1,
        prefix_tokens: 0,
        mean: statistics.0,
        std: statistics.1,
        pooling: "mean".into(),
        pooled: None,
    }
}

/// Images a convolutional network can take: no masks, the size it was made for.
pub fn whole_images(images: &Tensor, keep: Option<&Tensor>, side: usize) -> Result<()> {
    let (_, _, h, w) = images.dims4()?;
    if keep.is_some() {
        bail!(
            "a convolutional network sees whole images only\nhint: choose a vision transformer for masked pre-training"
        );
    }
    if (h, w) != (side, side) {
        bail!("images of {h}x{w}, expected {side}x{side}\nhint: set `image` of the backbone or of the data");
    }
    Ok(())
}

/// A map of features as tokens, row-major: (B, C, h, w) → (B, h·w, C).
pub fn positions_of(x: &Tensor) -> Result<Tensor> {
    let (b, c, h, w) = x.dims4()?;
    x.reshape((b, c, h * w))?.transpose(1, 2)?.contiguous()
}

#[cfg(test)]
mod tests {
    use super::same;

    /// TensorFlow's rule: 224 with stride 2 and filter 3 adds one zero, 225 adds two, filter 1 none.
    #[test]
    fn same_padding_depends_on_the_size() {
        assert_eq!([same(224, 3, 2), same(225, 3, 2), same(7, 5, 1), same(9, 1, 2)], [1, 2, 4, 0]);
    }
}
