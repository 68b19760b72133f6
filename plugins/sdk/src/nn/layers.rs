//! Linear, LayerNorm, and the pre-norm transformer block of timm 0.4.5 (method.md 3.2).

use facebench_abi::RawBlock;

use crate::{Ctx, Init, Params, Result, Tensor, tensor::wrap};

/// x Wᵀ + b with `weight` (out, in) and `bias` (out).
pub struct Linear {
    /// (out, in)
    pub weight: Tensor,
    /// (out)
    pub bias: Option<Tensor>,
}

impl Linear {
    /// Xavier-uniform weight, zero bias: the start of FS-VFM and MAE (method.md 3.10).
    pub fn new(input: usize, output: usize, p: &Params) -> Result<Self> {
        Self::with_init(input, output, Init::XAVIER, p)
    }

    /// A weight start of one's own, zero bias.
    pub fn with_init(input: usize, output: usize, weight: Init, p: &Params) -> Result<Self> {
        Ok(Self {
            weight: p.get("weight", [output, input], weight)?,
            bias: Some(p.get("bias", output, Init::ZEROS)?),
        })
    }

    /// PyTorch's default start for weight and bias: U(±1/√in).
    pub fn torch_default(input: usize, output: usize, p: &Params) -> Result<Self> {
        let init = Init::torch_default(input);
        Ok(Self { weight: p.get("weight", [output, input], init)?, bias: Some(p.get("bias", output, init)?) })
    }

    /// Without a bias.
    pub fn no_bias(input: usize, output: usize, weight: Init, p: &Params) -> Result<Self> {
        Ok(Self { weight: p.get("weight", [output, input], weight)?, bias: None })
    }

    /// (…, in) → (…, out).
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.linear(&self.weight, self.bias.as_ref())
    }

    /// (…, in) → gelu of (…, out), in one operation.
    pub fn forward_gelu(&self, x: &Tensor) -> Result<Tensor> {
        x.linear_gelu(&self.weight, self.bias.as_ref())
    }
}

/// Layer norm over the last dimension with `weight` and `bias`.
pub struct LayerNorm {
    /// (D)
    pub weight: Tensor,
    /// (D)
    pub bias: Tensor,
    /// Added to the variance.
    pub eps: f64,
}

impl LayerNorm {
    /// Weight 1, bias 0, eps 1e-6 (that of every vision transformer here).
    pub fn new(width: usize, p: &Params) -> Result<Self> {
        Self::with_eps(width, 1e-6, p)
    }

    /// Weight 1, bias 0.
    pub fn with_eps(width: usize, eps: f64, p: &Params) -> Result<Self> {
        Ok(Self {
            weight: p.get("weight", width, Init::ONES)?,
            bias: p.get("bias", width, Init::ZEROS)?,
            eps,
        })
    }

    /// Any shape (…, D).
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.layer_norm(&self.weight, &self.bias, self.eps)
    }
}

/// `x += attn(norm1(x)); x += mlp(norm2(x))`, keys `norm1, attn.qkv, attn.proj, norm2, mlp.fc1, mlp.fc2`.
pub struct Block {
    norm1: LayerNorm,
    qkv: Linear,
    proj: Linear,
    norm2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    heads: usize,
    drop_path: f64,
}

impl Block {
    /// A block of the given width; `init` starts the linear weights, `drop_path` is active while training.
    pub fn new(
        width: usize,
        hidden: usize,
        heads: usize,
        drop_path: f64,
        init: Init,
        p: &Params,
    ) -> Result<Self> {
        Ok(Self {
            norm1: LayerNorm::new(width, &p.pp("norm1"))?,
            qkv: Linear::with_init(width, 3 * width, init, &p.pp("attn.qkv"))?,
            proj: Linear::with_init(width, width, init, &p.pp("attn.proj"))?,
            norm2: LayerNorm::new(width, &p.pp("norm2"))?,
            fc1: Linear::with_init(width, hidden, init, &p.pp("mlp.fc1"))?,
            fc2: Linear::with_init(hidden, width, init, &p.pp("mlp.fc2"))?,
            heads,
            drop_path,
        })
    }

    /// Another value than 1e-6 added to the variances.
    #[must_use]
    pub fn with_eps(mut self, eps: f64) -> Self {
        (self.norm1.eps, self.norm2.eps) = (eps, eps);
        self
    }

    /// (B, N, D) → (B, N, D), in one operation of the host.
    pub fn forward(&self, x: &Tensor, ctx: &Ctx) -> Result<Tensor> {
        let biases = [&self.qkv, &self.proj, &self.fc1, &self.fc2].map(|l| l.bias.as_ref());
        let [Some(qkv), Some(proj), Some(fc1), Some(fc2)] = biases else {
            unreachable!("a block's linear layers are made with biases")
        };
        let block = RawBlock {
            norm1_weight: &self.norm1.weight.0,
            norm1_bias: &self.norm1.bias.0,
            qkv_weight: &self.qkv.weight.0,
            qkv_bias: &qkv.0,
            proj_weight: &self.proj.weight.0,
            proj_bias: &proj.0,
            norm2_weight: &self.norm2.weight.0,
            norm2_bias: &self.norm2.bias.0,
            fc1_weight: &self.fc1.weight.0,
            fc1_bias: &fc1.0,
            fc2_weight: &self.fc2.weight.0,
            fc2_bias: &fc2.0,
        };
        let run = x.0.ops.transformer_block();
        wrap(run(&x.0, &block, self.heads, self.norm1.eps, self.drop_path, &ctx.0))
    }
}
