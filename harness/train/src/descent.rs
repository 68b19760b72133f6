//! One optimiser for both training loops: groups, accumulation, clipping, update.
//!
//! Weight decay falls on tensors with two or more dimensions whose name does not end in `.bias`
//! (method.md §4; cls and mask tokens are decayed while pre-training, §8.1 Q8); tuning also spares
//! the position table and the cls token (§5.1). Learning rates of layers are scaled by their depth. The published
//! anti-spoofing networks use Adam with L2-coupled decay on everything (§5.2). SGD (decay added to the gradient) and LARS
//! take the first of `betas` as their momentum.

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};
use facebench_engine::optim::{
    Adam, AdamConfig, AdamW, Group, Lars, LarsConfig, Sgd, SgdConfig, accumulate_gradients, clip_global_norm,
};
use facebench_engine::{GradStore, ParamStore, backward};

use crate::error::{Result, bad_spec};
use crate::job::Job;
use crate::spec::{Optimiser, Precision};

/// The rule of the update, with its state.
enum Rule {
    AdamW(AdamW),
    Adam(Adam),
    Sgd(Sgd),
    Lars(Lars),
}

/// Calls the rule, whichever it is.
macro_rules! rule {
    ($self:ident, $rule:ident => $call:expr) => {
        match $self {
            Rule::AdamW($rule) => $call,
            Rule::Adam($rule) => $call,
            Rule::Sgd($rule) => $call,
            Rule::Lars($rule) => $call,
        }
    };
}

/// How a parameter is treated.
pub(crate) struct Treatment {
    /// Factor on the learning rate
    pub(crate) lr_scale: f64,
    /// Whether weight decay applies
    pub(crate) decays: bool,
}

/// An optimiser over the trainable parameters of a store.
pub(crate) struct Descent {
    params: Vec<(String, Var)>,
    rule: Rule,
    clip: Option<f64>,
    gathered: Option<GradStore>,
}

/// Whether a tensor is decayed by the rule "not 1-D, not a bias".
pub(crate) fn is_matrix(name: &str, rank: usize) -> bool {
    rank > 1 && !name.ends_with(".bias")
}

/// What the device does not do, or only slowly. Activation checkpointing is built into the fused block of the CPU; elsewhere it
/// would silently do nothing.
pub(crate) fn check_device(
    checkpointing: bool,
    precision: Precision,
    section: &str,
    job: &Job,
) -> Result<()> {
    if checkpointing && !job.device.is_cpu() {
        return bad_spec!(
            "`{section}.activation_checkpointing` works on the CPU only\nhint: lower `{section}.batch` on this device"
        );
    }
    if precision.half() && job.device.is_cpu() {
        job.progress.note(&format!(
            "`{section}.precision: bf16` on a CPU: computed in f32 and rounded, slower than f32"
        ));
    }
    Ok(())
}

impl Descent {
    /// An optimiser for everything in `store` that trains.
    pub(crate) fn new(
        store: &ParamStore,
        optimiser: Optimiser,
        betas: [f64; 2],
        weight_decay: f64,
        clip: Option<f64>,
        treat: impl Fn(&str, usize) -> Result<Treatment>,
    ) -> Result<Self> {
        let params = store.trainable();
        // one group per (scale, decay), in a fixed order
        let mut groups: BTreeMap<(u64, bool), Group> = BTreeMap::new();
        for (name, var) in &params {
            let Treatment { lr_scale, decays } = treat(name, var.rank())?;
            let weight_decay = if decays { weight_decay } else { 0.0 };
            let group = groups.entry((lr_scale.to_bits(), decays)).or_insert(Group {
                vars: Vec::new(),
                lr_scale,
                weight_decay,
            });
            group.vars.push((name.clone(), var.clone()));
        }
        let config = AdamConfig { beta1: betas[0], beta2: betas[1], eps: 1e-8 };
        let groups = groups.into_values().collect();
        let rule = match optimiser {
            Optimiser::AdamW => Rule::AdamW(AdamW::new(groups, config)?),
            Optimiser::Adam => Rule::Adam(Adam::new(groups, config)?),
            Optimiser::Sgd => {
                Rule::Sgd(Sgd::new(groups, SgdConfig { momentum: betas[0], ..SgdConfig::default() })?)
            }
            Optimiser::Lars => {
                Rule::Lars(Lars::new(groups, LarsConfig { momentum: betas[0], ..LarsConfig::default() })?)
            }
        };
        Ok(Self { params, rule, clip, gathered: None })
    }

    /// Adds the gradients of `loss / parts`.
    pub(crate) fn gather(&mut self, loss: &Tensor, parts: usize) -> Result<()> {
        let loss = if parts == 1 { loss.clone() } else { (loss / parts as f64)? };
        let mut grads = backward(&loss)?;
        if let Some(mut sum) = self.gathered.take() {
            accumulate_gradients(&mut sum, &mut grads, &self.params)?;
            grads = sum;
        }
        self.gathered = Some(grads);
        Ok(())
    }

    /// Updates the parameters with the gathered gradients; returns their norm before clipping when
    /// clipping is on.
    pub(crate) fn step(&mut self, lr: f64) -> Result<Option<f64>> {
        let Some(mut grads) = self.gathered.take() else { return Ok(None) };
        let norm = match self.clip {
            Some(max) => Some(clip_global_norm(&mut grads, &self.params, max)?),
            None => None,
        };
        let rule = &mut self.rule;
        rule!(rule, rule => rule.step(&grads, lr))?;
        Ok(norm)
    }

    /// Weight decay of the next steps, as a multiple of the one this was made with.
    pub(crate) fn set_decay_factor(&mut self, factor: f64) {
        let rule = &mut self.rule;
        rule!(rule, rule => rule.set_decay_factor(factor));
    }

    /// Parameters whose names begin so rest in the next step: value, moments and decay.
    pub(crate) fn rest(&mut self, prefix: &str) {
        if let Some(grads) = &mut self.gathered {
            for (_, var) in self.params.iter().filter(|(name, _)| name.starts_with(prefix)) {
                grads.remove(var);
            }
        }
    }

    /// Whether there is nothing to train.
    pub(crate) fn is_empty(&self) -> bool {
        self.params.is_empty()
    }

    /// Forgets gathered gradients.
    pub(crate) fn drop_gathered(&mut self) {
        self.gathered = None;
    }

    /// The optimiser's state, by name.
    pub(crate) fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        let rule = &self.rule;
        Ok(rule!(rule, rule => rule.state())?)
    }

    /// Restores [`Descent::state`].
    pub(crate) fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        let rule = &mut self.rule;
        Ok(rule!(rule, rule => rule.load_state(state))?)
    }
}
