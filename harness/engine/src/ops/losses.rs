//! Loss functions: classification and agreement of two views.
//!
//! Vectors `z` are `(B, D)` and already of unit length unless said otherwise. Sources: SimSiam (arXiv
//! 2011.10566), BYOL (2006.07733), InfoNCE / MoCo v3 (2104.02057), SimCLR (2002.05709), and the
//! real-anchored supervised contrastive loss of the FS-Adapter (2510.10663).
use super::composite::log_softmax;
use super::normalise;
use crate::cuda;
use crate::error::{Error, Result};
use candle_core::{DType, Tensor};

/// Mean over the batch of `-Σ target·log softmax(logits)`. Both `(B, C)`; targets may be soft.
pub fn cross_entropy(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    let (b, _) = logits.dims2()?;
    if logits.dims() != targets.dims() {
        return Err(Error::argument(
            "cross_entropy",
            format!("targets of shape {:?}", logits.dims()),
            format!("{:?}", targets.dims()),
        ));
    }
    if cuda::applies(logits, &[targets]) && !targets.track_op() {
        return cuda::cross_entropy(logits, targets);
    }
    let log_p = log_softmax(logits, 1)?;
    Ok((log_p.mul(&targets.to_dtype(logits.dtype())?)?.sum_all()? / -(b as f64))?)
}

/// One-hot rows `(B, classes)` for `(B)` integer labels, with label smoothing: the true class gets
/// `1 - s + s/classes`, the others `s/classes`.
pub fn one_hot(labels: &[u32], classes: usize, smoothing: f64, like: &Tensor) -> Result<Tensor> {
    let off = smoothing / classes as f64;
    let mut rows = vec![off; labels.len() * classes];
    for (row, &label) in rows.chunks_exact_mut(classes).zip(labels) {
        let slot = row.get_mut(label as usize).ok_or_else(|| {
            Error::argument("one_hot", format!("labels below {classes}"), label.to_string())
        })?;
        *slot = 1.0 - smoothing + off;
    }
    Ok(Tensor::from_vec(rows, (labels.len(), classes), like.device())?.to_dtype(like.dtype())?)
}

/// SimSiam: `-½ · mean cos(z_o, z_t)`; the cosine divides by both norms, which shows in the gradient
/// even for unit vectors.
pub fn simsiam(online: &Tensor, target: &Tensor) -> Result<Tensor> {
    let (online, target) = (normalise(online, 1, 1e-8)?, normalise(target, 1, 1e-8)?);
    Ok((online.mul(&target)?.sum(1)?.mean_all()? * -0.5)?)
}

/// BYOL: `mean(2 - 2 z_o·z_t)`.
pub fn byol(online: &Tensor, target: &Tensor) -> Result<Tensor> {
    Ok(online.mul(target)?.sum(1)?.mean_all()?.affine(-2.0, 2.0)?)
}

/// InfoNCE over the batch: `2T · CE(z_o z_tᵀ / T, diagonal)`. With `positive_only` the logit matrix
/// is multiplied by the identity first, as one published variant does (its negatives become 0).
pub fn info_nce(online: &Tensor, target: &Tensor, temperature: f64, positive_only: bool) -> Result<Tensor> {
    let b = online.dim(0)?;
    let mut logits = (online.matmul(&target.t()?.contiguous()?)? / temperature)?;
    let eye = Tensor::eye(b, logits.dtype(), logits.device())?;
    if positive_only {
        logits = logits.mul(&eye)?;
    }
    Ok((cross_entropy(&logits, &eye)? * (2.0 * temperature))?)
}

/// MoCo v3: both sides normalised again, then [`info_nce`].
pub fn moco_v3(online: &Tensor, target: &Tensor, temperature: f64) -> Result<Tensor> {
    info_nce(&normalise(online, 1, 1e-12)?, &normalise(target, 1, 1e-12)?, temperature, false)
}

/// SimCLR's NT-Xent (arXiv 2002.05709, eq. 1) over the `2B` vectors of both views: each vector's positive is the same image's
/// other view, all others are negatives. Equals the supervised contrastive loss with one positive and equal temperatures.
pub fn sim_clr(online: &Tensor, target: &Tensor, temperature: f64) -> Result<Tensor> {
    let b = online.dim(0)?;
    let both = Tensor::cat(&[online, target], 0)?; // (2B, D)
    let logits = (both.matmul(&both.t()?.contiguous()?)? / temperature)?;
    // a vector is no candidate for itself; unit vectors keep |logit| ≤ 1/T, far from this
    let itself = mask(&logits, 2 * b, |i, j| if i == j { -1e9 } else { 0.0 })?;
    let partner = mask(&logits, 2 * b, |i, j| f64::from(j == (i + b) % (2 * b)))?;
    cross_entropy(&(logits + itself)?, &partner)
}

/// Real-anchored contrastive loss (method of the FS-Adapter). Anchors and positives are samples
/// with label `real`; all others are negatives. `z: (B, D)` unit rows. Scale `T/0.07`, averaged
/// over **all** samples. A batch without real samples gives the constant 1e-6.
pub fn real_anchored(z: &Tensor, labels: &[u32], real: u32, temperature: f64) -> Result<Tensor> {
    let b = check_labels("real_anchored", z, labels)?;
    if !labels.contains(&real) {
        return constant(z, 1e-6);
    }
    let logits = (z.matmul(&z.t()?.contiguous()?)? / temperature)?;
    let logits = logits.broadcast_sub(&logits.max_keepdim(1)?.detach())?;
    let others = mask(z, b, |i, j| f64::from(i != j))?;
    let log_sum = (logits.exp()?.mul(&others)?.sum_keepdim(1)? + 1e-6)?.log()?;
    let log_p = logits.broadcast_sub(&log_sum)?;
    let reals = labels.iter().filter(|&&y| y == real).count();
    let weight = (temperature / BASE_TEMPERATURE) / (reals.saturating_sub(1).max(1) as f64) / b as f64;
    let positives = mask(z, b, |i, j| f64::from(i != j && labels[i] == real && labels[j] == real))?;
    Ok((log_p.mul(&positives)?.sum_all()? * -weight)?)
}

/// Ablation of [`real_anchored`] whose denominator runs over real samples only. 0 without reals.
pub fn real_pairs_only(z: &Tensor, labels: &[u32], real: u32, temperature: f64) -> Result<Tensor> {
    let b = check_labels("real_pairs_only", z, labels)?;
    let reals = labels.iter().filter(|&&y| y == real).count();
    if reals < 2 {
        return constant(z, 0.0);
    }
    let logits = (z.matmul(&z.t()?.contiguous()?)? / temperature)?;
    let logits = logits.broadcast_sub(&logits.max_keepdim(1)?.detach())?;
    let pairs = mask(z, b, |i, j| f64::from(i != j && labels[i] == real && labels[j] == real))?;
    let log_sum = (logits.exp()?.mul(&pairs)?.sum_keepdim(1)? + 1e-6)?.log()?;
    let log_p = logits.broadcast_sub(&log_sum)?;
    let weight = (temperature / BASE_TEMPERATURE) / (reals - 1) as f64 / b as f64;
    Ok((log_p.mul(&pairs)?.sum_all()? * -weight)?)
}

/// Ablation that only pushes: mean of `log(1 + exp(z_i·z_j / T))` over pairs of a real and a fake
/// sample. 0 without such pairs.
pub fn real_fake_pairs_only(z: &Tensor, labels: &[u32], real: u32, temperature: f64) -> Result<Tensor> {
    let b = check_labels("real_fake_pairs_only", z, labels)?;
    let reals = labels.iter().filter(|&&y| y == real).count();
    let count = reals * (b - reals);
    if count == 0 {
        return constant(z, 0.0);
    }
    let logits = (z.matmul(&z.t()?.contiguous()?)? / temperature)?;
    let pairs = mask(z, b, |i, j| f64::from(labels[i] == real && labels[j] != real))?;
    // softplus(x) = max(x, 0) + log(1 + exp(-|x|))
    let softplus = (logits.relu()? + (logits.abs()?.neg()?.exp()? + 1.0)?.log()?)?;
    Ok((softplus.mul(&pairs)?.sum_all()? / count as f64)?)
}

/// Temperature the contrastive losses are scaled against.
const BASE_TEMPERATURE: f64 = 0.07;

fn check_labels(op: &'static str, z: &Tensor, labels: &[u32]) -> Result<usize> {
    let (b, _) = z.dims2()?;
    if labels.len() != b {
        return Err(Error::argument(op, format!("{b} labels"), labels.len().to_string()));
    }
    Ok(b)
}

fn constant(like: &Tensor, value: f64) -> Result<Tensor> {
    Ok(Tensor::new(value, like.device())?.to_dtype(like.dtype())?)
}

fn mask(like: &Tensor, b: usize, f: impl Fn(usize, usize) -> f64) -> Result<Tensor> {
    let values: Vec<f64> = (0..b * b).map(|at| f(at / b, at % b)).collect();
    Ok(Tensor::from_vec(values, (b, b), like.device())?.to_dtype(like.dtype())?)
}

/// Hard labels as targets of [`cross_entropy`]: one-hot rows without smoothing.
pub fn hard_targets(labels: &Tensor, classes: usize, dtype: DType) -> Result<Tensor> {
    let device = labels.device();
    let labels: Vec<u32> = labels.to_dtype(DType::U32)?.to_vec1()?;
    one_hot(&labels, classes, 0.0, &Tensor::zeros(1, dtype, device)?)
}
