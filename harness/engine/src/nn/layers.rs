//! Linear, layer norm and transformer block with their parameters.
use crate::error::Result;
use crate::ops::{self, BlockWeights, BranchScales};
use crate::params::{Init, ParamStore};
use candle_core::Tensor;

/// Affine map with parameters `{name}.weight` (O, I) and `{name}.bias` (O).
#[derive(Clone, Debug)]
pub struct Linear {
    /// (O, I)
    pub weight: Tensor,
    /// (O)
    pub bias: Option<Tensor>,
}

impl Linear {
    /// Weight by `init`, bias zero.
    pub fn new(p: &ParamStore, name: &str, input: usize, output: usize, init: &Init) -> Result<Self> {
        Ok(Self {
            weight: p.get(&format!("{name}.weight"), (output, input), init)?,
            bias: Some(p.get(&format!("{name}.bias"), output, &Init::ZEROS)?),
        })
    }

    /// `(…, I)` → `(…, O)`
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::linear(x, &self.weight, self.bias.as_ref())
    }
}

/// Layer norm with parameters `{name}.weight` and `{name}.bias` (D), starting at 1 and 0.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    /// (D)
    pub weight: Tensor,
    /// (D)
    pub bias: Tensor,
    /// Added to the variance.
    pub eps: f64,
}

impl LayerNorm {
    /// Creates the parameters.
    pub fn new(p: &ParamStore, name: &str, width: usize, eps: f64) -> Result<Self> {
        Ok(Self {
            weight: p.get(&format!("{name}.weight"), width, &Init::ONES)?,
            bias: p.get(&format!("{name}.bias"), width, &Init::ZEROS)?,
            eps,
        })
    }

    /// `(…, D)` → `(…, D)`
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::layer_norm(x, &self.weight, &self.bias, self.eps)
    }
}

/// One pre-norm transformer block, keys as in timm.
#[derive(Clone, Debug)]
pub struct Block {
    /// Its parameters.
    pub weights: BlockWeights,
    /// Number of attention heads.
    pub heads: usize,
    /// Added to the variance in both layer norms.
    pub eps: f64,
}

impl Block {
    /// Creates the parameters below `name`; linear weights by `init`, biases zero, norms 1 and 0.
    pub fn new(
        p: &ParamStore,
        name: &str,
        width: usize,
        heads: usize,
        mlp: usize,
        eps: f64,
        init: &Init,
    ) -> Result<Self> {
        let get = |key: &str, dims: &[usize], init: &Init| p.get(&format!("{name}.{key}"), dims, init);
        let weights = BlockWeights {
            norm1_weight: get("norm1.weight", &[width], &Init::ONES)?,
            norm1_bias: get("norm1.bias", &[width], &Init::ZEROS)?,
            qkv_weight: get("attn.qkv.weight", &[3 * width, width], init)?,
            qkv_bias: get("attn.qkv.bias", &[3 * width], &Init::ZEROS)?,
            proj_weight: get("attn.proj.weight", &[width, width], init)?,
            proj_bias: get("attn.proj.bias", &[width], &Init::ZEROS)?,
            norm2_weight: get("norm2.weight", &[width], &Init::ONES)?,
            norm2_bias: get("norm2.bias", &[width], &Init::ZEROS)?,
            fc1_weight: get("mlp.fc1.weight", &[mlp, width], init)?,
            fc1_bias: get("mlp.fc1.bias", &[mlp], &Init::ZEROS)?,
            fc2_weight: get("mlp.fc2.weight", &[width, mlp], init)?,
            fc2_bias: get("mlp.fc2.bias", &[width], &Init::ZEROS)?,
        };
        Ok(Self { weights, heads, eps })
    }

    /// `(B, N, D)` → `(B, N, D)`; `scales` are the stochastic-depth factors, if any.
    pub fn forward(&self, x: &Tensor, scales: Option<&BranchScales>) -> Result<Tensor> {
        ops::transformer_block_with(x, &self.weights, self.heads, self.eps, scales)
    }
}
