//! The pre-norm transformer block.
//!
//! `x ← x + s₁·Attn(LN₁(x))`, `x ← x + s₂·MLP(LN₂(x))`, with exact GELU in the MLP (Dosovitskiy et
//! al., 2021, as in timm). `s₁, s₂` are per-sample factors for stochastic depth, 1 by default.
//!
//! On the CPU the block is one operation with an explicit backward pass. Its parameters do not fit
//! candle's custom operations (three inputs), so their gradients are deposited, see
//! [`crate::backward`].
use super::{attention_qkv, attention_weights_qkv, fast, layer_norm, linear, linear_gelu};
use crate::error::{Error, Result};
use crate::grad;
use crate::kernels::block::{self, Dims, PARAMETERS, Problem, RowScales, Saved, spread};
use crate::kernels::level;
use crate::kernels::scratch::uninit;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Shape, Storage, Tensor, bail};
use std::sync::{Mutex, PoisonError};

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

impl BlockWeights {
    /// All parameters in timm's order.
    fn list(&self) -> [&Tensor; PARAMETERS] {
        [
            &self.norm1_weight,
            &self.norm1_bias,
            &self.qkv_weight,
            &self.qkv_bias,
            &self.proj_weight,
            &self.proj_bias,
            &self.norm2_weight,
            &self.norm2_bias,
            &self.fc1_weight,
            &self.fc1_bias,
            &self.fc2_weight,
            &self.fc2_bias,
        ]
    }

    fn check(&self, width: usize, heads: usize) -> Result<()> {
        let hidden = self.fc1_bias.elem_count();
        let (c, m) = (width, hidden);
        let expected: [&[usize]; PARAMETERS] =
            [&[c], &[c], &[3 * c, c], &[3 * c], &[c, c], &[c], &[c], &[c], &[m, c], &[m], &[c, m], &[c]];
        for (tensor, dims) in self.list().into_iter().zip(expected) {
            if tensor.dims() != dims {
                return Err(Error::argument(
                    "transformer_block",
                    format!("a parameter of shape {dims:?}"),
                    format!("{:?}", tensor.dims()),
                ));
            }
        }
        if heads == 0 || !width.is_multiple_of(heads) {
            return Err(Error::argument(
                "transformer_block",
                format!("heads that divide the width {width}"),
                heads.to_string(),
            ));
        }
        Ok(())
    }
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
    let (batch, tokens, width) = x.dims3()?;
    weights.check(width, heads)?;
    if let Some(s) = scales
        && (s.attention.len() != batch || s.mlp.len() != batch)
    {
        let got = format!("{} and {}", s.attention.len(), s.mlp.len());
        return Err(Error::argument("transformer_block", format!("{batch} factors per branch"), got));
    }
    let parameters = weights.list();
    let leaves = parameters.iter().all(|p| p.is_variable() || !p.track_op());
    let whole = parameters.iter().all(|p| p.is_contiguous());
    if !fast::applies(&parameters) || !fast::applies(&[x]) || !leaves || !whole || x.elem_count() == 0 {
        return composed(x, weights, heads, eps, scales);
    }
    let x = x.contiguous()?;
    let dims = Dims { batch, tokens, width, hidden: weights.fc1_bias.elem_count(), heads, eps: eps as f32 };
    let anchor = parameters.iter().find(|p| p.is_variable()).map(|&p| p.clone());
    let op = BlockOp {
        dims,
        scales: RowScales {
            attention: scales.map_or_else(Vec::new, |s| spread(&s.attention, tokens)),
            mlp: scales.map_or_else(Vec::new, |s| spread(&s.mlp, tokens)),
        },
        weights: weights.clone(),
        train: grad::records() && (x.track_op() || anchor.is_some()),
        recompute: grad::recomputes(),
        saved: Mutex::new(None),
    };
    Ok(match anchor {
        _ if !op.train => x.apply_op1_no_bwd(&op)?,
        _ if x.track_op() => x.apply_op1(op)?,
        // a variable in the graph makes candle call the backward pass
        Some(anchor) => x.apply_op2(&anchor, op)?,
        None => x.apply_op1_no_bwd(&op)?,
    })
}

/// The attention probabilities inside [`transformer_block`]: `x: (B, N, D)` → `(B, H, N, N)`, rows of sum 1. The fused
/// block never holds them; this computes them again, for looking at.
pub fn block_attention_weights(x: &Tensor, weights: &BlockWeights, heads: usize, eps: f64) -> Result<Tensor> {
    weights.check(x.dims3()?.2, heads)?;
    let y = layer_norm(x, &weights.norm1_weight, &weights.norm1_bias, eps)?;
    attention_weights_qkv(&linear(&y, &weights.qkv_weight, Some(&weights.qkv_bias))?, heads)
}

/// The block as a composition of smaller operations.
fn composed(
    x: &Tensor,
    w: &BlockWeights,
    heads: usize,
    eps: f64,
    scales: Option<&BranchScales>,
) -> Result<Tensor> {
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

struct BlockOp {
    dims: Dims,
    scales: RowScales,
    weights: BlockWeights,
    train: bool,
    /// Keep only the input, see [`grad::recompute`]
    recompute: bool,
    saved: Mutex<Option<Saved>>,
}

impl BlockOp {
    /// Calls `f` with the values of all parameters.
    fn with_weights<R>(&self, f: impl FnOnce(&[&[f32]; PARAMETERS]) -> R) -> candle_core::Result<R> {
        let guards = self.weights.list().map(Tensor::storage_and_layout);
        let mut slices: [&[f32]; PARAMETERS] = [&[]; PARAMETERS];
        for (slot, (storage, layout)) in slices.iter_mut().zip(&guards) {
            let Storage::Cpu(cpu) = &**storage else {
                bail!("transformer block: expected parameters on the CPU")
            };
            *slot = fast::values(cpu, layout)?;
        }
        Ok(f(&slices))
    }

    fn problem<'a>(&'a self, w: &'a [&'a [f32]; PARAMETERS]) -> Problem<'a> {
        Problem { level: level(), d: &self.dims, w, scales: &self.scales }
    }

    fn forward(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let x = fast::values(x, layout)?;
        let mut y = uninit(x.len());
        let mut saved = self.train.then(|| Saved::new(&self.dims));
        self.with_weights(|w| {
            block::forward(&self.problem(w), x, &mut y, saved.as_mut());
        })?;
        // the same code computed both, so that the bits are the same; what is dropped here is reused by the next block
        *self.saved.lock().unwrap_or_else(PoisonError::into_inner) = saved.filter(|_| !self.recompute);
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn backward(&self, x: &Tensor, g: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let parameters = self.weights.list();
        let need = parameters.map(Tensor::is_variable);
        if need.contains(&true) && !grad::collecting() {
            bail!(
                "transformer block: gradients were taken with Tensor::backward, which would lose those of the parameters\nhint: call facebench_engine::backward(&loss)"
            );
        }
        let saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner).take();
        let gradients = fast::with(x, |xs| {
            fast::with(g, |g| {
                self.with_weights(|w| {
                    let saved = saved.unwrap_or_else(|| {
                        // not kept, or used up by an earlier backward pass over the same graph: compute it again
                        let (mut saved, mut y) = (Saved::new(&self.dims), uninit(xs.len()));
                        block::forward(&self.problem(w), xs, &mut y, Some(&mut saved));
                        saved
                    });
                    block::backward(&self.problem(w), xs, saved, g, (need, x.track_op()))
                })
            })
        })?;
        for (parameter, gradient) in parameters.into_iter().zip(gradients.weights) {
            if let Some(gradient) = gradient {
                fast::parameter(parameter, gradient)?;
            }
        }
        gradients.x.map(|dx| fast::tensor(dx, x.shape())).transpose()
    }
}

impl CustomOp1 for BlockOp {
    fn name(&self) -> &'static str {
        "transformer-block"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        self.forward(x, layout)
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, g: &Tensor) -> candle_core::Result<Option<Tensor>> {
        self.backward(x, g)
    }
}

impl CustomOp2 for BlockOp {
    fn name(&self) -> &'static str {
        "transformer-block"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        self.forward(x, layout)
    }

    fn bwd(
        &self,
        x: &Tensor,
        _anchor: &Tensor,
        _y: &Tensor,
        g: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((self.backward(x, g)?, None))
    }
}
