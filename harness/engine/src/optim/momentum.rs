//! SGD with momentum, and LARS.
//!
//! SGD follows PyTorch: `b ← μ·b + g`, `p ← p - lr·b`, with Nesterov's look-ahead `g + μ·b` in place of `b` if asked
//! for. Weight decay is added to the gradient (coupled), or shrinks the parameter by `1 - lr·λ` (decoupled, SGDW of
//! Loshchilov & Hutter, arXiv 1711.05101). LARS (You et al., arXiv 1708.03888) scales the gradient of each tensor of two
//! or more dimensions, decay included, by `η·‖p‖/‖g + λ·p‖` before the momentum, as MoCo v3 and MAE use it for linear
//! probes; vectors (biases, norms) are neither scaled nor decayed.
use super::adam::Group;
use super::inplace::{MomentumOp, direct, pair_square_sum};
use crate::error::{Error, Result};
use crate::kernels::pointwise::MomentumStep;
use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};
use std::collections::BTreeMap;
use std::sync::Mutex;

/// Constants of SGD.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SgdConfig {
    /// μ; 0 keeps no buffer.
    pub momentum: f64,
    /// Step along `g + μ·b` instead of `b`.
    pub nesterov: bool,
    /// Weight decay shrinks the parameter instead of being added to the gradient.
    pub decoupled: bool,
}

/// Constants of LARS.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LarsConfig {
    /// μ
    pub momentum: f64,
    /// η, the trust coefficient.
    pub trust: f64,
}

impl Default for LarsConfig {
    fn default() -> Self {
        Self { momentum: 0.9, trust: 0.001 }
    }
}

/// Stochastic gradient descent with momentum.
pub struct Sgd(State);

/// Layer-wise adaptive rate scaling.
pub struct Lars(State);

macro_rules! common {
    ($name:ident) => {
        impl $name {
            /// One update. Parameters without a gradient keep their value and state.
            pub fn step(&mut self, grads: &GradStore, lr: f64) -> Result<()> {
                self.0.step(grads, lr)
            }

            /// Multiplies every group's weight decay from the next step on: for decays that follow a schedule. Not part
            /// of the saved state.
            pub fn set_decay_factor(&mut self, factor: f64) {
                self.0.decay_factor = factor;
            }

            /// State as named tensors: `{name}.momentum_buffer`; nothing without momentum.
            pub fn state(&self) -> Result<BTreeMap<String, Tensor>> {
                self.0.save()
            }

            /// Restores what `state` gave. Every entry must be present, and no other.
            pub fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
                self.0.load(state)
            }
        }
    };
}
common!(Sgd);
common!(Lars);

impl Sgd {
    /// Fresh state for `groups`. Nesterov without momentum is refused, as in PyTorch.
    pub fn new(groups: Vec<Group>, config: SgdConfig) -> Result<Self> {
        if config.nesterov && config.momentum == 0.0 {
            return Err(Error::argument("Sgd::new", "a momentum for Nesterov's look-ahead", "0"));
        }
        Ok(Self(State::new(groups, config, None)?))
    }
}

impl Lars {
    /// Fresh state for `groups`.
    pub fn new(groups: Vec<Group>, config: LarsConfig) -> Result<Self> {
        let sgd = SgdConfig { momentum: config.momentum, nesterov: false, decoupled: false };
        Ok(Self(State::new(groups, sgd, Some(config.trust))?))
    }
}

/// The moving sum of gradients of one parameter.
enum Buffer {
    /// No momentum.
    Nothing,
    /// f32 on the CPU: updated in place by the fused kernel.
    Direct(Vec<f32>),
    /// Any other dtype or device.
    General(Tensor),
}

struct Slot {
    name: String,
    var: Var,
    buffer: Buffer,
    lr_scale: f64,
    weight_decay: f64,
}

struct State {
    slots: Vec<Slot>,
    config: SgdConfig,
    trust: Option<f64>,
    decay_factor: f64,
}

impl State {
    fn new(groups: Vec<Group>, config: SgdConfig, trust: Option<f64>) -> Result<Self> {
        let mut slots = Vec::new();
        for group in groups {
            for (name, var) in group.vars {
                let buffer = match (config.momentum == 0.0, direct(&var)) {
                    (true, _) => Buffer::Nothing,
                    (false, true) => Buffer::Direct(vec![0.0; var.elem_count()]),
                    (false, false) => Buffer::General(var.as_tensor().zeros_like()?.detach()),
                };
                let (lr_scale, weight_decay) = (group.lr_scale, group.weight_decay);
                slots.push(Slot { name, var, buffer, lr_scale, weight_decay });
            }
        }
        Ok(Self { slots, config, trust, decay_factor: 1.0 })
    }

    fn step(&mut self, grads: &GradStore, lr: f64) -> Result<()> {
        for slot in &mut self.slots {
            if let Some(grad) = grads.get(&slot.var) {
                slot.update(grad, lr, self.decay_factor, self.config, self.trust)?;
            }
        }
        Ok(())
    }

    fn save(&self) -> Result<BTreeMap<String, Tensor>> {
        let mut out = BTreeMap::new();
        for slot in &self.slots {
            let buffer = match &slot.buffer {
                Buffer::Nothing => continue,
                Buffer::Direct(b) => Tensor::from_slice(b, slot.var.shape(), &Device::Cpu)?,
                Buffer::General(b) => b.clone(),
            };
            out.insert(format!("{}.momentum_buffer", slot.name), buffer);
        }
        Ok(out)
    }

    fn load(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        let wrong = |expected: String, got: String| Error::OptimiserState { expected, got };
        let wanted = self.slots.iter().filter(|s| !matches!(s.buffer, Buffer::Nothing)).count();
        if state.len() != wanted {
            return Err(wrong(format!("{wanted} tensors"), format!("{}", state.len())));
        }
        for slot in self.slots.iter_mut().filter(|s| !matches!(s.buffer, Buffer::Nothing)) {
            let key = format!("{}.momentum_buffer", slot.name);
            let given = state.get(&key).ok_or_else(|| wrong(key.clone(), "nothing of that name".into()))?;
            if given.shape() != slot.var.shape() {
                let expected = format!("{} of shape {:?}", slot.name, slot.var.dims());
                return Err(wrong(expected, format!("{:?}", given.dims())));
            }
            let fit = given.to_device(slot.var.device())?.to_dtype(slot.var.dtype())?.force_contiguous()?;
            slot.buffer = match &slot.buffer {
                Buffer::Direct(_) => Buffer::Direct(fit.flatten_all()?.to_vec1()?),
                _ => Buffer::General(fit),
            };
        }
        Ok(())
    }
}

impl Slot {
    fn update(
        &mut self,
        grad: &Tensor,
        lr: f64,
        factor: f64,
        config: SgdConfig,
        trust: Option<f64>,
    ) -> Result<()> {
        let SgdConfig { momentum, nesterov, decoupled } = config;
        let lr = lr * self.lr_scale;
        let adapted = trust.filter(|_| self.var.rank() > 1);
        // LARS leaves vectors alone
        let decay = if trust.is_some() && adapted.is_none() { 0.0 } else { factor * self.weight_decay };
        let (coupled, keep) = if decoupled { (0.0, 1.0 - lr * decay) } else { (decay, 1.0) };
        let grad = grad.contiguous()?.detach();
        let scale = match adapted {
            Some(trust) => {
                let (parameter, update) = self.norms(&grad, coupled)?;
                if parameter > 0.0 && update > 0.0 { trust * parameter / update } else { 1.0 }
            }
            None => 1.0,
        };
        if direct(&self.var) && direct(&grad) {
            let buffer: &mut [f32] = match &mut self.buffer {
                Buffer::Direct(b) => b,
                _ => &mut [],
            };
            let step = MomentumStep {
                scale: scale as f32,
                coupled: coupled as f32,
                momentum: momentum as f32,
                nesterov,
                rate: lr as f32,
                keep: keep as f32,
            };
            self.var.inplace_op2(&grad, &MomentumOp { buffer: Mutex::new(buffer), step })?;
            return Ok(());
        }
        let value = self.var.as_detached_tensor();
        let grad = if coupled == 0.0 { grad } else { (grad + (&value * coupled)?)? };
        let grad = if scale == 1.0 { grad } else { (grad * scale)? };
        let update = match &mut self.buffer {
            Buffer::General(b) => {
                *b = ((&*b * momentum)? + &grad)?.detach();
                if nesterov { (grad + (&*b * momentum)?)? } else { b.clone() }
            }
            _ => grad,
        };
        Ok(self.var.set(&((value * keep)? - (update * lr)?)?)?)
    }

    /// ‖p‖ and ‖g + λ·p‖.
    fn norms(&self, grad: &Tensor, decay: f64) -> Result<(f64, f64)> {
        let value = self.var.as_detached_tensor();
        if direct(&value) && direct(grad) {
            let (p, u) = pair_square_sum(&value, grad, decay as f32)?;
            return Ok((p.sqrt(), u.sqrt()));
        }
        let norm = |x: &Tensor| -> Result<f64> {
            Ok(x.to_dtype(DType::F64)?.sqr()?.sum_all()?.to_scalar::<f64>()?.sqrt())
        };
        Ok((norm(&value)?, norm(&(grad + (&value * decay)?)?)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: [f64; 4] = [1.0, -2.0, 0.5, 3.0];

    /// Gradient of Σ (x - ¼)²/2 at x, fed for `steps` steps to a (2, 2) parameter and to its first two values as a vector.
    fn descend(
        dtype: DType,
        make: impl Fn(Vec<Group>) -> State,
        steps: usize,
        resume_at: Option<usize>,
    ) -> Vec<f64> {
        let var = |shape: &[usize]| {
            let n = shape.iter().product();
            let start = Tensor::from_slice(&START[..n], shape, &Device::Cpu).unwrap();
            Var::from_tensor(&start.to_dtype(dtype).unwrap()).unwrap()
        };
        let (matrix, vector) = (var(&[2, 2]), var(&[2]));
        let groups = || {
            let vars = vec![("w".to_owned(), matrix.clone()), ("b".to_owned(), vector.clone())];
            vec![Group { vars, lr_scale: 0.5, weight_decay: 0.1 }]
        };
        let mut state = make(groups());
        let loss = |v: &Var| (v.affine(1.0, -0.25).unwrap().sqr().unwrap().sum_all().unwrap() / 2.0).unwrap();
        for step in 0..steps {
            if resume_at == Some(step) {
                let saved = state.save().unwrap();
                state = make(groups());
                state.load(&saved).unwrap();
            }
            let total = (loss(&matrix) + loss(&vector)).unwrap();
            state.step(&crate::backward(&total).unwrap(), 0.2).unwrap();
        }
        let values = |v: &Var| v.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        [values(&matrix), values(&vector)].concat()
    }

    /// The update written out for the values of one tensor.
    fn by_hand(start: &[f64], config: SgdConfig, trust: Option<f64>, steps: usize) -> Vec<f64> {
        let (mut x, mut b) = (start.to_vec(), vec![0.0; start.len()]);
        let matrix = start.len() == 4;
        let (lr, wd) = (0.1, if trust.is_some() && !matrix { 0.0 } else { 0.1 });
        for _ in 0..steps {
            let mut g: Vec<f64> = x.iter().map(|x| x - 0.25).collect();
            if config.decoupled {
                x.iter_mut().for_each(|x| *x -= lr * wd * *x);
            } else {
                g.iter_mut().zip(&x).for_each(|(g, x)| *g += wd * x);
            }
            if let Some(trust) = trust.filter(|_| matrix) {
                let norm = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>().sqrt();
                let q = trust * norm(&x) / norm(&g);
                g.iter_mut().for_each(|g| *g *= q);
            }
            for ((x, b), g) in x.iter_mut().zip(&mut b).zip(&g) {
                *b = config.momentum * *b + g;
                *x -= lr * if config.nesterov { g + config.momentum * *b } else { *b };
            }
        }
        x
    }

    fn check(config: SgdConfig, trust: Option<f64>) {
        let make = |groups| State::new(groups, config, trust).unwrap();
        let want = [by_hand(&START, config, trust, 15), by_hand(&START[..2], config, trust, 15)].concat();
        for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 3e-6)] {
            let got = descend(dtype, make, 15, None);
            let near = got.iter().zip(&want).all(|(g, w)| (g - w).abs() < tolerance);
            assert!(near, "{config:?} {trust:?} {dtype:?}: {got:?}, not {want:?}");
            assert_eq!(got, descend(dtype, make, 15, Some(6)), "resumed");
        }
    }

    #[test]
    fn sgd_matches_the_formulas() {
        for momentum in [0.0, 0.9] {
            for nesterov in [false, momentum > 0.0] {
                for decoupled in [false, true] {
                    check(SgdConfig { momentum, nesterov, decoupled }, None);
                }
            }
        }
    }

    #[test]
    fn lars_matches_the_formulas() {
        check(SgdConfig { momentum: 0.9, ..SgdConfig::default() }, Some(0.02));
    }

    /// PyTorch 2.15: `p = [1, -2, 0.5]`, gradient `p - 0.25`, SGD(lr 0.1, momentum 0.9, nesterov, weight_decay 0.1), 5 steps.
    #[test]
    fn sgd_gives_pytorchs_numbers() {
        let var = Var::new(&[1.0f64, -2.0, 0.5], &Device::Cpu).unwrap();
        let group = Group { vars: vec![("w".into(), var.clone())], lr_scale: 1.0, weight_decay: 0.1 };
        let config = SgdConfig { momentum: 0.9, nesterov: true, decoupled: false };
        let mut sgd = Sgd::new(vec![group], config).unwrap();
        for _ in 0..5 {
            let loss = (var.affine(1.0, -0.25).unwrap().sqr().unwrap().sum_all().unwrap() / 2.0).unwrap();
            sgd.step(&crate::backward(&loss).unwrap(), 0.1).unwrap();
        }
        let want = PYTORCH;
        let got: Vec<f64> = var.to_vec1().unwrap();
        assert!(got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-12), "{got:?}, not {want:?}");
    }

    const PYTORCH: [f64; 3] = [0.10112577442769853, 0.5908727678260457, 0.18275027332742297];

    #[test]
    fn nonsense_is_refused() {
        let config = SgdConfig { nesterov: true, ..SgdConfig::default() };
        assert!(Sgd::new(Vec::new(), config).is_err());
        let var = Var::zeros((2, 2), DType::F32, &Device::Cpu).unwrap();
        let group = Group { vars: vec![("w".into(), var)], lr_scale: 1.0, weight_decay: 0.0 };
        let mut lars = Lars::new(vec![group], LarsConfig::default()).unwrap();
        let other = Tensor::zeros(3, DType::F32, &Device::Cpu).unwrap();
        let message =
            lars.load_state(&[("w.momentum_buffer".to_owned(), other)].into()).unwrap_err().to_string();
        assert!(message.starts_with("optimiser state: expected w of shape [2, 2], got [3]"), "{message}");
        assert!(lars.load_state(&BTreeMap::new()).is_err());
    }
}
