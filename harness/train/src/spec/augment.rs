//! What training does to frames and batches at random.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Mixup (arXiv 1710.09412) and CutMix (1905.04899) of a batch with its reverse (method.md §5.1). Needs batches of an
/// even number of frames.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Mixing {
    /// α of Mixup, λ ~ Beta(α, α); 0 = no Mixup
    #[schemars(range(min = 0))]
    pub mixup: f64,
    /// α of CutMix; 0 = no CutMix
    #[schemars(range(min = 0))]
    pub cutmix: f64,
    /// Share of the batches that are mixed
    #[schemars(range(min = 0, max = 1))]
    pub probability: f64,
    /// Share of these that get CutMix, when both are on
    #[schemars(range(min = 0, max = 1))]
    pub switch: f64,
}

impl Default for Mixing {
    fn default() -> Self {
        Self { mixup: 0.8, cutmix: 1.0, probability: 1.0, switch: 0.5 }
    }
}

/// Random changes to training frames, applied in this order: saturation, crop, flip, RandAugment, colour, erasing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// Mirror half of the frames
    pub flip: bool,
    /// Smallest area of a random crop (1 = no crop); aspect 3/4..4/3, bilinear
    #[schemars(range(max = 1), extend("exclusiveMinimum" = 0))]
    pub crop: f64,
    /// Strength of brightness, contrast and saturation changes (0 = none)
    #[schemars(range(min = 0, max = 1))]
    pub colour: f64,
    /// Saturation jitter of the anti-spoofing recipes (method.md §5.2); `null` = none
    pub saturation: Option<Saturation>,
    /// RandAugment (method.md §5.1); `null` = none
    pub rand_augment: Option<RandAugment>,
    /// Share of the frames that lose a box to noise after normalisation; published: 0.25
    #[schemars(range(min = 0, max = 1))]
    pub erase: f64,
}

impl Default for Augment {
    fn default() -> Self {
        Self { flip: true, crop: 1.0, colour: 0.0, saturation: None, rand_augment: None, erase: 0.0 }
    }
}

impl Augment {
    /// Whether two passes over a frame give the same tensor.
    pub fn is_none(&self) -> bool {
        *self == Self { flip: false, ..Self::default() }
    }
}

/// Arithmetic of the saturation jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Saturation {
    /// Negative values wrap around to bright specks, as in the released code
    Released,
    /// Saturation stops at 1
    Fixed,
}

/// RandAugment over the fifteen published operations.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RandAugment {
    /// Operations drawn for each frame, each applied with probability ½
    pub ops: usize,
    /// Mean magnitude, 0 to 10
    #[schemars(range(min = 0, max = 10))]
    pub magnitude: f64,
    /// Its standard deviation
    #[schemars(range(min = 0))]
    pub deviation: f64,
}

impl Default for RandAugment {
    fn default() -> Self {
        Self { ops: 2, magnitude: 9.0, deviation: 0.5 }
    }
}
