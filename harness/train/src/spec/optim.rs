//! Optimiser and schedule of pre-training, and the rules of the update that tuning shares.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::is_false;
use crate::error::{Result, bad_spec};

/// Optimiser and schedule of pre-training (method.md §4). Peak lr = `blr · batch · accum / 256`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PretrainOptim {
    /// Rule of the update
    #[serde(skip_serializing_if = "Optimiser::is_adam_w")]
    pub optimiser: Optimiser,
    /// Passes over the data
    #[schemars(range(min = 1))]
    pub epochs: usize,
    /// Epochs of linear warm-up from 0
    #[schemars(range(min = 0))]
    pub warmup_epochs: f64,
    /// Images in a micro-batch: as many as fit into memory
    #[schemars(range(min = 1))]
    pub batch: usize,
    /// Micro-batches per update; worked out from `effective_batch` if that is given
    #[schemars(range(min = 1))]
    pub accum: usize,
    /// Images per update. Kept whatever `batch` is: `accum` becomes `effective_batch / batch`. `null` = `batch · accum`
    #[schemars(range(min = 1))]
    pub effective_batch: Option<usize>,
    /// Base learning rate, for 256 images
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub blr: f64,
    /// Learning rate at the end of the cosine
    #[schemars(range(min = 0))]
    pub min_lr: f64,
    /// Weight decay of tensors with two or more dimensions
    #[schemars(range(min = 0))]
    pub weight_decay: f64,
    /// Decay rates of the moments; SGD and LARS take the first as their momentum
    #[schemars(extend("items" = {"type": "number", "minimum": 0, "exclusiveMaximum": 1}))]
    pub betas: [f64; 2],
    /// Largest global gradient norm; `null` = no clipping
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub clip: Option<f64>,
    /// Keep only the input of each transformer block and compute the rest again on the way back: same numbers, less
    /// memory, about a third more time. On the CPU
    #[serde(skip_serializing_if = "is_false")]
    pub activation_checkpointing: bool,
    /// Precision of activations in training steps; parameters, optimiser state, losses and scoring are always f32
    #[serde(skip_serializing_if = "Precision::is_f32")]
    pub precision: Precision,
}

/// Precision of activations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits
    #[default]
    F32,
    /// bfloat16: 8 bits of mantissa; for GPUs, a CPU computes in f32 and rounds
    Bf16,
}

impl Precision {
    pub(super) fn is_f32(&self) -> bool {
        *self == Self::F32
    }

    /// Whether activations are bf16.
    pub(crate) fn half(self) -> bool {
        self == Self::Bf16
    }
}

impl Default for PretrainOptim {
    fn default() -> Self {
        // FS-VFM ViT-B: 4096 images per update
        Self {
            optimiser: Optimiser::AdamW,
            epochs: 600,
            warmup_epochs: 40.0,
            batch: 256,
            accum: 16,
            effective_batch: None,
            blr: 1.5e-4,
            min_lr: 0.0,
            weight_decay: 0.05,
            betas: [0.9, 0.95],
            clip: Some(1.0),
            activation_checkpointing: false,
            precision: Precision::F32,
        }
    }
}

impl PretrainOptim {
    /// The same with `accum` worked out from `effective_batch`, and that filled in.
    ///
    /// # Errors
    /// `effective_batch` is no multiple of `batch`; the message says which batches fit.
    pub fn resolved(&self) -> Result<Self> {
        let Some(wanted) = self.effective_batch else {
            return Ok(Self { effective_batch: Some(self.batch * self.accum), ..self.clone() });
        };
        if self.batch == 0 || wanted == 0 || !wanted.is_multiple_of(self.batch) {
            let below = (1..=self.batch.min(wanted)).rev().find(|b| wanted.is_multiple_of(*b)).unwrap_or(1);
            return bad_spec!(
                "`optim.effective_batch: {wanted}` is no multiple of `optim.batch: {}`\n\
                 hint: the next smaller batch that fits is {below}",
                self.batch
            );
        }
        Ok(Self { accum: wanted / self.batch, ..self.clone() })
    }
}

/// Rule of the update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Optimiser {
    /// Weight decay applied to the weights; biases, norms, position table and cls token are spared
    AdamW,
    /// Weight decay added to the gradient of every parameter (published anti-spoofing, method.md §5.2)
    Adam,
    /// SGD with momentum `betas[0]`; weight decay added to the gradient, spares what `adam-w` spares
    Sgd,
    /// LARS with momentum `betas[0]` and trust coefficient 0.001 (arXiv 1708.03888): rates scaled by the norms of each
    /// tensor of two or more dimensions; vectors are neither scaled nor decayed
    Lars,
}

impl Optimiser {
    pub(super) fn is_adam_w(&self) -> bool {
        *self == Self::AdamW
    }
}
