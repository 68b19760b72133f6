//! Multi-head attention over short sequences.
use super::composite;
use crate::error::{Error, Result};
use candle_core::Tensor;

/// `softmax(q kᵀ · scale) v`. All of shape `(B, H, N, d)` (keys and values may have another
/// length) → `(B, H, N, d)`.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, scale: f64) -> Result<Tensor> {
    composite::attention(q, k, v, scale)
}

/// Self-attention on the packed projection `qkv: (B, N, 3D)`, its last dimension ordered
/// `(3, heads, d)`, scores scaled by `d^-½` → `(B, N, D)`.
pub fn attention_qkv(qkv: &Tensor, heads: usize) -> Result<Tensor> {
    let (_, _, c3) = qkv.dims3()?;
    if heads == 0 || c3 % (3 * heads) != 0 {
        return Err(Error::argument(
            "attention_qkv",
            format!("a last dimension divisible by 3 x {heads} heads"),
            format!("{c3}"),
        ));
    }
    composite::attention_qkv(qkv, heads)
}
