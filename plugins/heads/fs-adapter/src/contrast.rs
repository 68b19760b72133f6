//! The contrastive losses of the adapter on unit vectors z (B, d) (method.md 6.2; arXiv 2510.10663).
//!
//! s_ij = z_i·z_j / T. *Real-anchored*: reals attract each other and push all fakes away; fakes are never anchors.
//! *pos-only* leaves the fakes out of the denominator, *pos-neg-only* only pushes: mean softplus(s) over pairs of a
//! real and a fake. Reals are label 0 here.

use facebench_plugin::prelude::*;

choice! {
    /// Which loss.
    pub enum Contrast {
        /// real-anchored, as published
        Rac = "rac",
        /// reals attract reals, fakes play no part
        PosOnly = "pos-only",
        /// reals and fakes repel, reals do not attract
        PosNegOnly = "pos-neg-only",
        /// no contrastive loss
        None = "none",
    }
}

/// Temperature the published loss is scaled to.
const BASE_TEMPERATURE: f64 = 0.07;
/// Added inside the logarithm, as published.
const LOG_EPS: f64 = 1e-6;

impl Contrast {
    /// The loss of `z` (B, d) with `labels` (B,), a scalar; nothing for `none`.
    ///
    /// The attracting losses are means over *all* samples, fakes counting 0, so their size grows with the share of
    /// reals. A batch without pairs gives a constant: 1e-6 for the published loss, 0 for the ablations.
    pub fn of(self, z: &Tensor, labels: &Tensor, temperature: f64, ctx: &Ctx) -> Result<Option<Tensor>> {
        let b = z.dim(0)?;
        let real: Vec<bool> = labels.to_vec_i64()?.iter().map(|y| *y == 0).collect();
        let reals = real.iter().filter(|r| **r).count();
        let constant = |value: f64| ctx.full(value, ())?.cast_like(z).map(Some);
        let pairs = |f: &dyn Fn(usize, usize) -> bool| -> Result<Tensor> {
            let values: Vec<f32> = (0..b * b).map(|at| f32::from(u8::from(f(at / b, at % b)))).collect();
            ctx.from_f32(&values, [b, b])?.cast_like(z)
        };
        let together = |i: usize, j: usize| i != j && real[i] && real[j];
        match self {
            Self::None => return Ok(None),
            Self::Rac if reals == 0 => return constant(1e-6),
            Self::PosOnly if reals < 2 => return constant(0.0),
            Self::PosNegOnly if reals == 0 || reals == b => return constant(0.0),
            _ => {}
        }
        let s = (z.matmul(&z.t()?)? / temperature)?; // (B, B)
        if self == Self::PosNegOnly {
            let apart = pairs(&|i, j| real[i] && !real[j])?;
            // softplus(x) = max(x, 0) + log(1 + e^-|x|)
            let softplus = (s.relu()? + (s.abs()?.neg()?.exp()? + 1.0)?.log()?)?;
            let count = (reals * (b - reals)) as f64;
            return Ok(Some(((softplus * &apart)?.sum_all()? / count)?));
        }
        let positives = pairs(&together)?;
        let s = (&s - s.max_keep(1)?.detach())?;
        let others = if self == Self::Rac { pairs(&|i, j| i != j)? } else { positives.clone() };
        let total = ((s.exp()? * &others)?.sum_keep(1)? + LOG_EPS)?; // (B, 1)
        let log_p = (&s - total.log()?)?; // (B, B)
        let partners = (reals as f64 - 1.0).max(1.0); // |P(i)|, the same for every real
        let sum = (log_p * &positives)?.sum_all()?;
        Ok(Some((sum * (-temperature / BASE_TEMPERATURE / partners / b as f64))?))
    }
}
