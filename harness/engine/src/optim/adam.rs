//! Adam (arXiv 1412.6980, weight decay coupled as L2) and AdamW (1711.05101, decoupled).
use super::inplace::{AdamOp, direct};
use crate::cuda::optim as cuda;
use crate::error::{Error, Result};
use crate::kernels::pointwise::AdamStep;
use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};
use std::collections::BTreeMap;
use std::sync::Mutex;

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

    /// Multiplies every group's weight decay from the next step on: for decays that follow a schedule. Not part of the
    /// saved state.
    pub fn set_decay_factor(&mut self, factor: f64) {
        self.0.decay_factor = factor;
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

    /// As [`AdamW::set_decay_factor`].
    pub fn set_decay_factor(&mut self, factor: f64) {
        self.0.decay_factor = factor;
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

/// First and second moment of one parameter.
enum Moments {
    /// f32 on the CPU: updated in place by the fused kernel.
    Direct(Vec<f32>, Vec<f32>),
    /// Any other dtype or device: updated by tensor operations.
    General(Tensor, Tensor),
}

struct Slot {
    name: String,
    var: Var,
    moments: Moments,
    step: u64,
    lr_scale: f64,
    weight_decay: f64,
}

struct State {
    slots: Vec<Slot>,
    config: AdamConfig,
    decoupled: bool,
    decay_factor: f64,
}

impl State {
    fn new(groups: Vec<Group>, config: AdamConfig, decoupled: bool) -> Result<Self> {
        let mut slots = Vec::new();
        for group in groups {
            for (name, var) in group.vars {
                let moments = if direct(&var) {
                    Moments::Direct(vec![0.0; var.elem_count()], vec![0.0; var.elem_count()])
                } else {
                    Moments::General(
                        var.as_tensor().zeros_like()?.detach(),
                        var.as_tensor().zeros_like()?.detach(),
                    )
                };
                let (lr_scale, weight_decay) = (group.lr_scale, group.weight_decay);
                slots.push(Slot { name, var, moments, step: 0, lr_scale, weight_decay });
            }
        }
        Ok(Self { slots, config, decoupled, decay_factor: 1.0 })
    }

    fn step(&mut self, grads: &GradStore, lr: f64) -> Result<()> {
        for slot in &mut self.slots {
            let Some(grad) = grads.get(&slot.var) else { continue };
            slot.step += 1;
            let decay = slot.weight_decay;
            slot.weight_decay = decay * self.decay_factor;
            let done = slot.update(grad, lr, self.config, self.decoupled);
            slot.weight_decay = decay;
            done?;
        }
        Ok(())
    }

    fn save(&self) -> Result<BTreeMap<String, Tensor>> {
        let mut out = BTreeMap::new();
        for slot in &self.slots {
            let (first, second) = match &slot.moments {
                Moments::Direct(m, v) => {
                    let shape = slot.var.shape();
                    (Tensor::from_slice(m, shape, &Device::Cpu)?, Tensor::from_slice(v, shape, &Device::Cpu)?)
                }
                // copies: on a GPU the moments are updated in place
                Moments::General(m, v) => (m.copy()?, v.copy()?),
            };
            out.insert(format!("{}.exp_avg", slot.name), first);
            out.insert(format!("{}.exp_avg_sq", slot.name), second);
            out.insert(format!("{}.step", slot.name), Tensor::new(&[slot.step as f64], &Device::Cpu)?);
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
                    let expected = format!("{} of shape {:?}", slot.name, slot.var.dims());
                    return Err(wrong(expected, format!("{:?}", moment.dims())));
                }
            }
            slot.step = step.to_dtype(DType::F64)?.flatten_all()?.get(0)?.to_scalar::<f64>()? as u64;
            let fit =
                |t: &Tensor| t.to_device(slot.var.device())?.to_dtype(slot.var.dtype())?.force_contiguous();
            slot.moments = match &slot.moments {
                Moments::Direct(..) => Moments::Direct(
                    fit(first)?.flatten_all()?.to_vec1()?,
                    fit(second)?.flatten_all()?.to_vec1()?,
                ),
                Moments::General(..) => Moments::General(fit(first)?, fit(second)?),
            };
        }
        Ok(())
    }
}

impl Slot {
    /// One step at base rate `lr`; `self.step` counts it already.
    fn update(&mut self, grad: &Tensor, lr: f64, config: AdamConfig, decoupled: bool) -> Result<()> {
        let AdamConfig { beta1, beta2, eps } = config;
        let lr = lr * self.lr_scale;
        let steps = i32::try_from(self.step).unwrap_or(i32::MAX);
        let (c1, c2) = (1.0 - beta1.powi(steps), 1.0 - beta2.powi(steps));
        let keep = if decoupled { 1.0 - lr * self.weight_decay } else { 1.0 };
        let coupled = if decoupled { 0.0 } else { self.weight_decay };
        let step = AdamStep {
            beta1: beta1 as f32,
            beta2: beta2 as f32,
            eps: eps as f32,
            rate: (lr / c1) as f32,
            root: (1.0 / c2.sqrt()) as f32,
            keep: keep as f32,
            coupled: coupled as f32,
        };
        match &mut self.moments {
            Moments::Direct(m, v) => {
                let op = AdamOp { moments: Mutex::new((m, v)), step };
                self.var.inplace_op2(&grad.contiguous()?, &op)?;
            }
            Moments::General(m, v) if cuda::applies(&self.var) && cuda::reads(grad) => {
                cuda::adam(&self.var, grad, m, v, step)?;
            }
            Moments::General(m, v) => {
                let value = self.var.as_detached_tensor();
                let grad =
                    if coupled == 0.0 { grad.detach() } else { (grad + (&value * coupled)?)?.detach() };
                *m = ((&*m * beta1)? + (&grad * (1.0 - beta1))?)?;
                *v = ((&*v * beta2)? + (grad.sqr()? * (1.0 - beta2))?)?;
                let denominator = ((v.sqrt()? / c2.sqrt())? + eps)?;
                let update = (m.div(&denominator)? * (lr / c1))?;
                self.var.set(&((value * keep)? - update)?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gradient of Σ (x - target)²/2 at x, fed for `steps` steps.
    fn descend(dtype: DType, decoupled: bool, steps: usize, resume_at: Option<usize>) -> Vec<f64> {
        let start = Tensor::new(&[1.0f64, -2.0, 0.5], &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
        let var = Var::from_tensor(&start).unwrap();
        let group = || Group { vars: vec![("w".into(), var.clone())], lr_scale: 0.5, weight_decay: 0.1 };
        let mut state = State::new(vec![group()], AdamConfig::default(), decoupled).unwrap();
        for step in 0..steps {
            if resume_at == Some(step) {
                let saved = state.save().unwrap();
                state = State::new(vec![group()], AdamConfig::default(), decoupled).unwrap();
                state.load(&saved).unwrap();
            }
            let loss = (var.affine(1.0, -0.25).unwrap().sqr().unwrap().sum_all().unwrap() / 2.0).unwrap();
            state.step(&crate::backward(&loss).unwrap(), 0.02).unwrap();
        }
        var.to_dtype(DType::F64).unwrap().to_vec1().unwrap()
    }

    /// The update written out for one number.
    fn by_hand(mut x: f64, decoupled: bool, steps: i32) -> f64 {
        let (mut m, mut v, lr, wd) = (0.0, 0.0, 0.01, 0.1);
        for t in 1..=steps {
            let mut g = x - 0.25;
            if decoupled {
                x -= lr * wd * x;
            } else {
                g += wd * x;
            }
            m = 0.9 * m + 0.1 * g;
            v = 0.999 * v + 0.001 * g * g;
            x -= lr * (m / (1.0 - 0.9f64.powi(t))) / ((v / (1.0 - 0.999f64.powi(t))).sqrt() + 1e-8);
        }
        x
    }

    #[test]
    fn both_flavours_match_the_formulas() {
        for decoupled in [true, false] {
            let want: Vec<f64> = [1.0, -2.0, 0.5].iter().map(|&x| by_hand(x, decoupled, 20)).collect();
            for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 2e-6)] {
                let got = descend(dtype, decoupled, 20, None);
                assert!(
                    got.iter().zip(&want).all(|(g, w)| (g - w).abs() < tolerance),
                    "{got:?}, not {want:?}"
                );
            }
        }
    }

    #[test]
    fn a_resumed_run_has_the_same_bits() {
        for dtype in [DType::F32, DType::F64] {
            assert_eq!(descend(dtype, true, 9, None), descend(dtype, true, 9, Some(4)));
        }
    }

    #[test]
    fn foreign_state_is_refused() {
        let var = Var::zeros(2, DType::F32, &Device::Cpu).unwrap();
        let group = Group { vars: vec![("w".into(), var)], lr_scale: 1.0, weight_decay: 0.0 };
        let mut adam = AdamW::new(vec![group], AdamConfig::default()).unwrap();
        let mut state = adam.state().unwrap();
        state.insert("w.exp_avg".into(), Tensor::zeros(3, DType::F32, &Device::Cpu).unwrap());
        let message = adam.load_state(&state).unwrap_err().to_string();
        assert!(message.starts_with("optimiser state: expected w of shape [2], got [3]"), "{message}");
        state.remove("w.step");
        assert!(adam.load_state(&state).is_err());
    }
}
