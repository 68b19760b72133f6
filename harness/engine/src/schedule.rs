//! Learning-rate, momentum and layer-decay schedules of the published recipes.
//!
//! Pure functions of the fractional epoch or iteration, in f64. Values are those *before* the
//! update of the step they name (the very first warm-up step has learning rate 0).
//! Sources: MAE / FSFM recipe (arXiv 2111.06377, 2412.12032), BYOL momentum (arXiv 2006.07733),
//! BEiT layer-wise decay (arXiv 2106.08254).
use std::f64::consts::PI;

/// Learning rate at fractional epoch `e`: linear warm-up from 0 to `peak`, then half a cosine
/// down to `min` at `epochs`.
pub fn warmup_cosine(e: f64, epochs: f64, warmup: f64, peak: f64, min: f64) -> f64 {
    if e < warmup {
        peak * e / warmup
    } else {
        min + (peak - min) * 0.5 * (1.0 + (PI * (e - warmup) / (epochs - warmup)).cos())
    }
}

/// Momentum of the target network at iteration `i` of `total`: `base` rising to 1 by a cosine.
pub fn ema_momentum(i: u64, total: u64, base: f64) -> f64 {
    1.0 + 0.5 * (base - 1.0) * (1.0 + (PI * i as f64 / total as f64).cos())
}

/// Learning-rate factor of layer `id` in a model of `layers` blocks: `decay^(layers + 1 - id)`.
/// Ids: 0 = embedding, `i + 1` = block `i`, `layers + 1` = everything after the blocks.
pub fn layer_scale(id: usize, layers: usize, decay: f64) -> f64 {
    let steps = (layers + 1).saturating_sub(id);
    decay.powi(i32::try_from(steps).unwrap_or(i32::MAX))
}

/// Absolute learning rate from the base rate, quoted for an effective batch of 256 images.
pub fn scaled_lr(base_lr: f64, effective_batch: usize) -> f64 {
    base_lr * effective_batch as f64 / 256.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, want: f64, relative: f64) {
        assert!((got - want).abs() <= relative * want.abs(), "{got} is not {want}");
    }

    #[test]
    fn published_learning_rates() {
        let lr = |e| warmup_cosine(e, 600.0, 40.0, 2.4e-3, 0.0);
        close(lr(0.5), 3e-5, 1e-12);
        close(lr(20.25), 1.215e-3, 1e-12);
        close(lr(39.75), 2.385e-3, 1e-12);
        close(lr(40.0), 2.4e-3, 1e-12);
        close(lr(100.0), 2.33266e-3, 1e-5);
        close(lr(320.0), 1.2e-3, 1e-12);
        close(lr(599.5), 4.72079e-9, 1e-5);
        close(scaled_lr(1.5e-4, 4096), 2.4e-3, 1e-12);
    }

    #[test]
    fn published_momenta() {
        let m = |i| ema_momentum(i, 1_740_000, 0.996);
        close(m(0), 0.996, 1e-15);
        close(m(2900), 0.996_000_027, 1e-9);
        close(m(870_000), 0.998, 1e-12);
        close(m(1_740_000), 1.0, 1e-15);
    }

    #[test]
    fn published_layer_scales() {
        close(layer_scale(0, 12, 0.65), 0.003_697, 1e-3);
        close(layer_scale(12, 12, 0.65), 0.65, 1e-12);
        close(layer_scale(13, 12, 0.65), 1.0, 1e-15);
    }
}
