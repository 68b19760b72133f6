//! One optimiser for both training loops: groups, accumulation, clipping, update.
//!
//! Weight decay falls on tensors with two or more dimensions whose name does not end in `.bias`
//! (method.md §4; cls and mask tokens are decayed while pre-training, §8.1 Q8); tuning also spares
//! the position table and the cls token (§5.1). Learning rates of layers are scaled by their depth. The published
//! anti-spoofing networks use Adam with L2-coupled decay on everything (§5.2).

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};
use facebench_engine::optim::{Adam, AdamConfig, AdamW, Group, accumulate_gradients, clip_global_norm};
use facebench_engine::{GradStore, ParamStore, backward};

use crate::error::Result;
use crate::spec::Optimiser;

/// The rule of the update, with its state.
enum Rule {
    AdamW(AdamW),
    Adam(Adam),
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
        match &mut self.rule {
            Rule::AdamW(rule) => rule.step(&grads, lr)?,
            Rule::Adam(rule) => rule.step(&grads, lr)?,
        }
        Ok(norm)
    }

    /// Weight decay of the next steps, as a multiple of the one this was made with.
    pub(crate) fn set_decay_factor(&mut self, factor: f64) {
        match &mut self.rule {
            Rule::AdamW(rule) => rule.set_decay_factor(factor),
            Rule::Adam(rule) => rule.set_decay_factor(factor),
        }
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
        Ok(match &self.rule {
            Rule::AdamW(rule) => rule.state()?,
            Rule::Adam(rule) => rule.state()?,
        })
    }

    /// Restores [`Descent::state`].
    pub(crate) fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        match &mut self.rule {
            Rule::AdamW(rule) => rule.load_state(state)?,
            Rule::Adam(rule) => rule.load_state(state)?,
        }
        Ok(())
    }
}
