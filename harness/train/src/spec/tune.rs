//! Tuning a backbone with a head on one fold: where weights come from, and the recipe.

use facebench_protocols::TestTransform;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Augment, Component, Mixing, Optimiser, Precision, is_false};

/// Tuning one backbone and head on the training set of one fold of a protocol.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TuneSpec {
    /// The encoder
    pub backbone: Component,
    /// Where its weights come from
    pub init: WeightsFrom,
    /// The head; it also says which parameters are trained
    pub head: Component,
    /// Optimiser, schedule, augmentation
    #[serde(default)]
    pub recipe: TuneRecipe,
    /// Identifier of the protocol
    pub protocol: String,
    /// Name of the fold
    pub fold: String,
    /// Seed of every random stream
    #[serde(default)]
    pub seed: u64,
    /// Whether the test sets are scored after every epoch to find the `oracle` checkpoint. Changes no other number
    #[serde(default, skip_serializing_if = "is_false")]
    pub oracle: bool,
}

/// Where a backbone's weights come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum WeightsFrom {
    /// Fresh random weights
    Random,
    /// The checkpoint of a pre-training unit, given at run time
    Pretrain {
        /// The unit's name in the experiment
        name: String,
    },
    /// A file of published weights, given at run time
    Checkpoint {
        /// SHA-256 of the file
        sha256: String,
    },
}

/// Optimiser, schedule and augmentation of tuning (method.md §5, §6). Peak lr = `blr · frames in a batch / 256`,
/// or `lr` as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TuneRecipe {
    /// Rule of the update
    pub optimiser: Optimiser,
    /// Learning rate over time
    pub schedule: LrSchedule,
    /// Passes over the training set; the development set is scored after each
    #[schemars(range(min = 1))]
    pub epochs: usize,
    /// Batches in an epoch, with `sampling: per-source`; `null` = as many as the training set fills
    #[schemars(range(min = 1))]
    pub epoch_batches: Option<usize>,
    /// Epochs of linear warm-up from 0
    #[schemars(range(min = 0))]
    pub warmup_epochs: f64,
    /// Frames in a batch; with `sampling: per-source`, of each class of each data set
    #[schemars(range(min = 1))]
    pub batch: usize,
    /// Base learning rate, for 256 frames
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub blr: f64,
    /// Peak learning rate as it is; `null` = from `blr`
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub lr: Option<f64>,
    /// Learning rate at the end of the cosine
    #[schemars(range(min = 0))]
    pub min_lr: f64,
    /// Weight decay: of tensors with two or more dimensions (AdamW), of everything (Adam)
    #[schemars(range(min = 0))]
    pub weight_decay: f64,
    /// Decay rates of the moments; SGD and LARS take the first as their momentum
    #[schemars(extend("items" = {"type": "number", "minimum": 0, "exclusiveMaximum": 1}))]
    pub betas: [f64; 2],
    /// Layer-wise learning-rate decay; 1 = the same rate everywhere
    #[schemars(range(max = 1), extend("exclusiveMinimum" = 0))]
    pub layer_decay: f64,
    /// Label smoothing
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub smoothing: f64,
    /// Mixup and CutMix of each batch; `null` = none
    pub mixing: Option<Mixing>,
    /// Largest global gradient norm; `null` = no clipping
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub clip: Option<f64>,
    /// How batches are drawn
    pub sampling: Sampling,
    /// Random changes to training frames
    pub augment: Augment,
    /// How the development set is measured after an epoch
    pub validation: Validation,
    /// Its transform while tuning; `null` = as the protocol tests
    pub val_transform: Option<TestTransform>,
    /// Keep only the input of each transformer block and compute the rest again on the way back: same numbers, less
    /// memory, about a third more time. On the CPU
    #[serde(skip_serializing_if = "is_false")]
    pub activation_checkpointing: bool,
    /// Precision of activations in training steps; parameters, optimiser state, head, loss and scoring are always f32
    #[serde(skip_serializing_if = "Precision::is_f32")]
    pub precision: Precision,
}

impl Default for TuneRecipe {
    fn default() -> Self {
        // FS-VFM ViT-B on FF++ (method.md §5.1), without its augmentation
        Self {
            optimiser: Optimiser::AdamW,
            schedule: LrSchedule::Cosine,
            epochs: 10,
            epoch_batches: None,
            warmup_epochs: 5.0,
            batch: 64,
            blr: 2e-4,
            lr: None,
            min_lr: 1e-6,
            weight_decay: 0.03,
            betas: [0.9, 0.999],
            layer_decay: 0.6,
            smoothing: 0.1,
            mixing: None,
            clip: None,
            sampling: Sampling::Natural,
            augment: Augment::default(),
            validation: Validation::Whole,
            val_transform: None,
            activation_checkpointing: false,
            precision: Precision::F32,
        }
    }
}

/// Learning rate over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LrSchedule {
    /// Linear warm-up, then half a cosine to `min_lr`
    Cosine,
    /// The peak throughout
    Constant,
}

/// How the development set is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Validation {
    /// Mean loss over frames, AUC of the whole set
    Whole,
    /// As released: loss = unweighted mean over shuffled batches, AUC = mean over batches weighted by their size
    Batches,
}

/// How training batches are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Sampling {
    /// Every frame once an epoch, in random order
    Natural,
    /// The same number of frames from every (data set, class) in each batch, shorter ones repeated
    /// (the habit of cross-domain anti-spoofing, method.md §5.2)
    Balanced,
    /// `batch` frames from every (data set, class) in each batch, each from its own endless shuffled loader that drops
    /// what does not fill a batch, as released (method.md §5.2)
    PerSource,
}
