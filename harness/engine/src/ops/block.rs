//! The pre-norm transformer block.
//!
//! `x ← x + s₁·Attn(LN₁(x))`, `x ← x + s₂·MLP(LN₂(x))`, with exact GELU in the MLP (Dosovitskiy et
//! al., 2021, as in timm). `s₁, s₂` are per-sample factors for stochastic depth, 1 by default.
use super::{attention_qkv, layer_norm, linear, linear_gelu};
use crate::error::Result;
use candle_core::Tensor;

/// Parameters of one block, named as in timm checkpoints. Width `D`, hidden width `M`.
#[derive(Clone, Debug)]
pub struct BlockWeights {
    /// `norm1.weight` (D)
    pub norm1_weight: Tensor,
    /// `norm1.bias` (D)
    pub norm1_bias: Tensor,
    /// `attn.qkv.weight` (3D, D)
    pub qkv_weight: Tensor,
    /// `attn.qkv.bias` (3D)
    pub qkv_bias: Tensor,
    /// `attn.proj.weight` (D, D)
    pub proj_weight: Tensor,
    /// `attn.proj.bias` (D)
    pub proj_bias: Tensor,
    /// `norm2.weight` (D)
    pub norm2_weight: Tensor,
    /// `norm2.bias` (D)
    pub norm2_bias: Tensor,
    /// `mlp.fc1.weight` (M, D)
    pub fc1_weight: Tensor,
    /// `mlp.fc1.bias` (M)
    pub fc1_bias: Tensor,
    /// `mlp.fc2.weight` (D, M)
    pub fc2_weight: Tensor,
    /// `mlp.fc2.bias` (D)
    pub fc2_bias: Tensor,
}

/// Per-sample factors of the two residual branches, each `(B)`; how stochastic depth enters.
#[derive(Clone, Debug)]
pub struct BranchScales {
    /// Factors of the attention branch.
    pub attention: Vec<f32>,
    /// Factors of the MLP branch.
    pub mlp: Vec<f32>,
}

/// One block with no stochastic depth. `x: (B, N, D)` → `(B, N, D)`.
pub fn transformer_block(x: &Tensor, weights: &BlockWeights, heads: usize, eps: f64) -> Result<Tensor> {
    transformer_block_with(x, weights, heads, eps, None)
}

/// One block; `scales` are the per-sample factors of the residual branches.
pub fn transformer_block_with(
    x: &Tensor,
    weights: &BlockWeights,
    heads: usize,
    eps: f64,
    scales: Option<&BranchScales>,
) -> Result<Tensor> {
    let w = weights;
    let y = layer_norm(x, &w.norm1_weight, &w.norm1_bias, eps)?;
    let y = attention_qkv(&linear(&y, &w.qkv_weight, Some(&w.qkv_bias))?, heads)?;
    let y = linear(&y, &w.proj_weight, Some(&w.proj_bias))?;
    let x = (x + scaled(&y, scales.map(|s| s.attention.as_slice()))?)?;
    let y = layer_norm(&x, &w.norm2_weight, &w.norm2_bias, eps)?;
    let y = linear_gelu(&y, &w.fc1_weight, Some(&w.fc1_bias))?;
    let y = linear(&y, &w.fc2_weight, Some(&w.fc2_bias))?;
    Ok((x + scaled(&y, scales.map(|s| s.mlp.as_slice()))?)?)
}

fn scaled(branch: &Tensor, factors: Option<&[f32]>) -> Result<Tensor> {
    let Some(factors) = factors else { return Ok(branch.clone()) };
    let factors =
        Tensor::from_slice(factors, (factors.len(), 1, 1), branch.device())?.to_dtype(branch.dtype())?;
    Ok(branch.broadcast_mul(&factors)?)
}
