//! Adam (arXiv 1412.6980, weight decay coupled as L2) and AdamW (1711.05101, decoupled).
use crate::error::{Error, Result};
use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};
use std::collections::BTreeMap;

/// Constants of the update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamConfig {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the denominator.
    pub eps: f64,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-8 }
    }
}

/// Parameters that share a learning-rate factor and a weight decay.
#[derive(Clone, Debug)]
pub struct Group {
    /// The parameters, by name.
    pub vars: Vec<(String, Var)>,
    /// Factor on the learning rate given to `step`.
    pub lr_scale: f64,
    /// Weight decay.
    pub weight_decay: f64,
}

/// AdamW: weight decay applied to the parameter, scaled by the learning rate.
pub struct AdamW(State);

/// Adam: weight decay added to the gradient.
pub struct Adam(State);

impl AdamW {
    /// Fresh state for `groups`.
    pub fn new(groups: Vec<Group>, config: AdamConfig) -> Result<Self> {
        Ok(Self(State::new(groups, config, true)?))
    }

    /// One update. Parameters without a gradient keep their value and state.
    pub fn step(&mut self, grads: &GradStore, lr: f64) -> Result<()> {
        self.0.step(grads, lr)
    }

    /// State as named tensors: `{name}.exp_avg`, `{name}.exp_avg_sq`, and `{name}.step` (one f64).
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        self.0.save()
    }

    /// Restores [`AdamW::state`]. Every entry must be present, and no other.
    pub fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        self.0.load(state)
    }
}

impl Adam {
    /// Fresh state for `groups`.
    pub fn new(groups: Vec<Group>, config: AdamConfig) -> Result<Self> {
        Ok(Self(State::new(groups, config, false)?))
    }

    /// One update. Parameters without a gradient keep their value and state.
    pub fn step(&mut self, grads: &GradStore, lr: f64) -> Result<()> {
        self.0.step(grads, lr)
    }

    /// State as named tensors: `{name}.exp_avg`, `{name}.exp_avg_sq`, and `{name}.step` (one f64).
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        self.0.save()
    }

    /// Restores [`Adam::state`]. Every entry must be present, and no other.
    pub fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        self.0.load(state)
    }
}

struct Slot {
    name: String,
    var: Var,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    step: u64,
    lr_scale: f64,
    weight_decay: f64,
}

struct State {
    slots: Vec<Slot>,
    config: AdamConfig,
    decoupled: bool,
}

impl State {
    fn new(groups: Vec<Group>, config: AdamConfig, decoupled: bool) -> Result<Self> {
        let mut slots = Vec::new();
        for group in groups {
            for (name, var) in group.vars {
                let (exp_avg, exp_avg_sq) =
                    (var.as_tensor().zeros_like()?.detach(), var.as_tensor().zeros_like()?.detach());
                slots.push(Slot {
                    name,
                    var,
                    exp_avg,
                    exp_avg_sq,
                    step: 0,
                    lr_scale: group.lr_scale,
                    weight_decay: group.weight_decay,
                });
            }
        }
        Ok(Self { slots, config, decoupled })
    }

    fn step(&mut self, grads: &GradStore, lr: f64) -> Result<()> {
        let AdamConfig { beta1, beta2, eps } = self.config;
        for slot in &mut self.slots {
            let Some(grad) = grads.get(&slot.var) else { continue };
            slot.step += 1;
            let lr = lr * slot.lr_scale;
            let steps = i32::try_from(slot.step).unwrap_or(i32::MAX);
            let (c1, c2) = (1.0 - beta1.powi(steps), 1.0 - beta2.powi(steps));
            let value = slot.var.as_detached_tensor();
            let (grad, value) = if self.decoupled {
                (grad.clone(), (&value * (1.0 - lr * slot.weight_decay))?)
            } else {
                ((grad + (&value * slot.weight_decay)?)?, value)
            };
            slot.exp_avg = ((&slot.exp_avg * beta1)? + (&grad * (1.0 - beta1))?)?;
            slot.exp_avg_sq = ((&slot.exp_avg_sq * beta2)? + (grad.sqr()? * (1.0 - beta2))?)?;
            let denominator = ((slot.exp_avg_sq.sqrt()? / c2.sqrt())? + eps)?;
            let update = (slot.exp_avg.div(&denominator)? * (lr / c1))?;
            slot.var.set(&(value - update)?)?;
        }
        Ok(())
    }

    fn save(&self) -> Result<BTreeMap<String, Tensor>> {
        let mut out = BTreeMap::new();
        for slot in &self.slots {
            let step = Tensor::new(&[slot.step as f64], slot.var.device())?;
            out.insert(format!("{}.exp_avg", slot.name), slot.exp_avg.clone());
            out.insert(format!("{}.exp_avg_sq", slot.name), slot.exp_avg_sq.clone());
            out.insert(format!("{}.step", slot.name), step);
        }
        Ok(out)
    }

    fn load(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        let wrong = |expected: String, got: String| Error::OptimiserState { expected, got };
        if state.len() != 3 * self.slots.len() {
            return Err(wrong(format!("{} tensors", 3 * self.slots.len()), format!("{}", state.len())));
        }
        for slot in &mut self.slots {
            let find = |part: &str| {
                let key = format!("{}.{part}", slot.name);
                state.get(&key).ok_or_else(|| wrong(key.clone(), "nothing of that name".into()))
            };
            let (first, second, step) = (find("exp_avg")?, find("exp_avg_sq")?, find("step")?);
            for moment in [first, second] {
                if moment.shape() != slot.var.shape() {
                    return Err(wrong(
                        format!("{} of shape {:?}", slot.name, slot.var.dims()),
                        format!("{:?}", moment.dims()),
                    ));
                }
            }
            let fit = |t: &Tensor| -> Result<Tensor> {
                Ok(t.to_device(slot.var.device())?.to_dtype(slot.var.dtype())?.force_contiguous()?)
            };
            let (first, second) = (fit(first)?, fit(second)?);
            slot.exp_avg = first;
            slot.exp_avg_sq = second;
            slot.step =
                step.to_dtype(candle_core::DType::F64)?.flatten_all()?.get(0)?.to_scalar::<f64>()? as u64;
        }
        Ok(())
    }
}
