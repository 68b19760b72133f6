//! Dynamic loss scaling for devices that compute gradients in fp16.
//!
//! Gradients below 6e-8 vanish in fp16, so the loss is multiplied by a large factor before the backward pass and the
//! gradients divided by it before the update (Micikevicius et al., arXiv 1710.03740). A step whose gradients overflow is
//! left out and the factor halved; after a run of good steps it is doubled. Constants are those of PyTorch's `GradScaler`.
//! Not needed in f32 and bf16.
use super::clip::{global_norm, scale_gradients};
use crate::error::{Error, Result};
use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};

/// How the factor moves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossScaleConfig {
    /// First factor.
    pub start: f64,
    /// Multiplied with the factor after `interval` good steps in a row.
    pub growth: f64,
    /// Multiplied with the factor after an overflow.
    pub backoff: f64,
    /// Good steps between growths.
    pub interval: u64,
}

impl Default for LossScaleConfig {
    fn default() -> Self {
        Self { start: 65_536.0, growth: 2.0, backoff: 0.5, interval: 2000 }
    }
}

/// The factor and how long it has held. Plain data: save both numbers to resume.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossScale {
    /// The present factor.
    pub factor: f64,
    /// Good steps since it last changed.
    pub good: u64,
    config: LossScaleConfig,
}

impl LossScale {
    /// A factor at its start. The growth must be at least 1, the backoff between 0 and 1.
    pub fn new(config: LossScaleConfig) -> Result<Self> {
        let LossScaleConfig { start, growth, backoff, interval } = config;
        let sound = start.is_finite() && start > 0.0 && growth >= 1.0 && backoff > 0.0 && backoff < 1.0;
        if !sound || interval == 0 {
            return Err(Error::argument(
                "LossScale::new",
                "start > 0, growth >= 1, 0 < backoff < 1, interval >= 1",
                format!("{config:?}"),
            ));
        }
        Ok(Self { factor: start, good: 0, config })
    }

    /// The loss to differentiate.
    pub fn scale(&self, loss: &Tensor) -> Result<Tensor> {
        Ok((loss * self.factor)?)
    }

    /// Divides the gradients by the factor and moves it. Returns the global norm of the true gradients, or nothing where
    /// they overflowed: then the update must be left out.
    pub fn unscale(&mut self, grads: &mut GradStore, params: &[(String, Var)]) -> Result<Option<f64>> {
        let norm = global_norm(grads, params)? / self.factor;
        if !norm.is_finite() {
            self.factor *= self.config.backoff;
            self.good = 0;
            return Ok(None);
        }
        scale_gradients(grads, params, 1.0 / self.factor)?;
        self.good += 1;
        if self.good == self.config.interval {
            self.factor *= self.config.growth;
            self.good = 0;
        }
        Ok(Some(norm))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn config() -> LossScaleConfig {
        LossScaleConfig { start: 1024.0, interval: 3, ..LossScaleConfig::default() }
    }

    /// Gradients of `c·Σ x` under the scale, and the parameter.
    fn gradients(scale: &LossScale, c: f64) -> (GradStore, Vec<(String, Var)>) {
        let var = Var::new(&[1.0f32, 2.0], &Device::Cpu).unwrap();
        let loss = scale.scale(&(var.sum_all().unwrap() * c).unwrap()).unwrap();
        (crate::backward(&loss).unwrap(), vec![("w".into(), var)])
    }

    #[test]
    fn good_steps_are_unscaled_and_the_factor_grows() {
        let mut scale = LossScale::new(config()).unwrap();
        for (step, factor) in [1024.0, 1024.0, 2048.0, 2048.0].into_iter().enumerate() {
            let (mut grads, params) = gradients(&scale, 3.0);
            let norm = scale.unscale(&mut grads, &params).unwrap().unwrap();
            assert!((norm - 18f64.sqrt()).abs() < 1e-6);
            assert_eq!(grads.get(&params[0].1).unwrap().to_vec1::<f32>().unwrap(), [3.0, 3.0]);
            assert_eq!((scale.factor, scale.good), (factor, (step as u64 + 1) % 3));
        }
    }

    #[test]
    fn an_overflow_is_skipped_and_the_factor_backs_off() {
        let mut scale = LossScale::new(config()).unwrap();
        let (mut grads, params) = gradients(&scale, 1.0);
        scale.unscale(&mut grads, &params).unwrap();
        for bad in [f64::INFINITY, f64::NAN, 1e38] {
            let before = scale.factor;
            let (mut grads, params) = gradients(&scale, bad);
            assert_eq!(scale.unscale(&mut grads, &params).unwrap(), None);
            assert_eq!((scale.factor, scale.good), (before / 2.0, 0), "{bad}");
        }
        let (mut grads, params) = gradients(&scale, 1.0);
        assert!(scale.unscale(&mut grads, &params).unwrap().is_some());
    }

    #[test]
    fn nonsense_is_refused() {
        for config in [
            LossScaleConfig { backoff: 1.0, ..config() },
            LossScaleConfig { growth: 0.5, ..config() },
            LossScaleConfig { interval: 0, ..config() },
        ] {
            assert!(LossScale::new(config).is_err(), "{config:?}");
        }
    }
}
