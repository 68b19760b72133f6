//! What pre-training asks of the network: masked reconstruction with self-distillation, or DINO.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The terms of the pre-training loss: `w·L_rec + w_fr·L_rec^fr + w_cl·L_sim` (method.md §3.9).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ObjectiveSpec {
    /// `3c` (masked reconstruction and self-distillation; with parts switched off also MAE) or `dino`, which has its
    /// own settings under `dino` and uses neither `masking` nor the other settings here
    #[serde(skip_serializing_if = "ObjectiveKind::is_three_c")]
    pub kind: ObjectiveKind,
    /// Settings of DINO
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dino: Option<DinoSpec>,
    /// Weight of the reconstruction of all hidden patches; 0 leaves only the other terms
    #[schemars(range(min = 0))]
    pub reconstruction_weight: f64,
    /// Weight of the reconstruction of the covered region (method.md §3.9); 0 switches it off
    #[schemars(range(min = 0))]
    pub region_weight: f64,
    /// Reconstruct patches normalised by their own mean and deviation
    pub norm_pix: bool,
    /// The pixel decoder
    pub decoder: DecoderSpec,
    /// Self-distillation between the masked and the full view; `null` switches it off (= MAE)
    pub similarity: Option<SimilaritySpec>,
}

impl Default for ObjectiveSpec {
    fn default() -> Self {
        Self {
            kind: ObjectiveKind::ThreeC,
            dino: None,
            reconstruction_weight: 1.0,
            region_weight: 0.007,
            norm_pix: true,
            decoder: DecoderSpec::default(),
            similarity: Some(SimilaritySpec::default()),
        }
    }
}

/// What a backbone is pre-trained with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ObjectiveKind {
    /// Masked reconstruction and self-distillation of FSFM and FS-VFM, or parts of it
    #[default]
    #[serde(rename = "3c")]
    ThreeC,
    /// Self-distillation between random views (arXiv 2104.14294)
    #[serde(rename = "dino")]
    Dino,
}

impl ObjectiveKind {
    pub(super) fn is_three_c(&self) -> bool {
        *self == Self::ThreeC
    }
}

/// Settings of DINO (arXiv 2104.14294 §3 and appendices). Weight decay rises from `optim.weight_decay` to
/// `weight_decay_end` along a cosine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DinoSpec {
    /// K, the number of patterns the head tells apart
    #[schemars(range(min = 2))]
    pub out: usize,
    /// Hidden width of the head
    #[schemars(range(min = 1))]
    pub hidden: usize,
    /// Width of the unit vector before its last layer
    #[schemars(range(min = 1))]
    pub bottleneck: usize,
    /// Keep the rows of the last layer at length 1
    pub norm_last_layer: bool,
    /// Epochs in which the last layer rests
    #[schemars(range(min = 0))]
    pub freeze_last_layer: f64,
    /// Small views of each face, besides the two large ones
    pub local_crops: usize,
    /// Their side in pixels; `null` = 3/7 of the backbone's, in whole patches (96 of 224)
    #[schemars(range(min = 1))]
    pub local_size: Option<usize>,
    /// Smallest and largest share of the picture in a large view
    #[schemars(extend("items" = {"type": "number", "exclusiveMinimum": 0, "maximum": 1}))]
    pub global_area: [f64; 2],
    /// The same of a small view
    #[schemars(extend("items" = {"type": "number", "exclusiveMinimum": 0, "maximum": 1}))]
    pub local_area: [f64; 2],
    /// Strength of the colour jitter, 1 = published
    #[schemars(range(min = 0))]
    pub colour: f64,
    /// τ of the student
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub student_temp: f64,
    /// τ of the teacher after its warm-up
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub teacher_temp: f64,
    /// τ of the teacher at the start
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub warmup_teacher_temp: f64,
    /// Epochs between the two
    #[schemars(range(min = 0))]
    pub warmup_teacher_temp_epochs: f64,
    /// Momentum of the teacher at the first update; it rises to 1 along a cosine
    #[schemars(range(min = 0, max = 1))]
    pub teacher_momentum: f64,
    /// Momentum of the centre
    #[schemars(range(min = 0, max = 1))]
    pub center_momentum: f64,
    /// Weight decay at the end
    #[schemars(range(min = 0))]
    pub weight_decay_end: f64,
}

impl Default for DinoSpec {
    fn default() -> Self {
        Self {
            out: 65_536,
            hidden: 2048,
            bottleneck: 256,
            norm_last_layer: true,
            freeze_last_layer: 1.0,
            local_crops: 8,
            local_size: None,
            global_area: [0.4, 1.0],
            local_area: [0.05, 0.4],
            colour: 1.0,
            student_temp: 0.1,
            teacher_temp: 0.07,
            warmup_teacher_temp: 0.04,
            warmup_teacher_temp_epochs: 30.0,
            teacher_momentum: 0.996,
            center_momentum: 0.9,
            weight_decay_end: 0.4,
        }
    }
}

/// The pixel decoder (method.md §3.6).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DecoderSpec {
    /// Width of its tokens
    #[schemars(range(min = 1))]
    pub width: usize,
    /// Number of blocks
    pub depth: usize,
    /// Attention heads
    #[schemars(range(min = 1))]
    pub heads: usize,
    /// Where hidden positions are filled with the mask token
    pub mask_token: MaskToken,
}

impl Default for DecoderSpec {
    fn default() -> Self {
        Self { width: 512, depth: 8, heads: 16, mask_token: MaskToken::BeforeEmbed }
    }
}

/// Where the mask token enters the pixel decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MaskToken {
    /// In the encoder's width, shared with the representation decoder (FSFM, FS-VFM)
    BeforeEmbed,
    /// In the decoder's width, after the linear embedding (MAE)
    AfterEmbed,
}

/// The self-distillation branch (method.md §3.5–§3.9).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SimilaritySpec {
    /// Weight in the total loss
    #[schemars(range(min = 0))]
    pub weight: f64,
    /// The loss between online prediction and target projection
    pub loss: SimilarityLoss,
    /// Temperature of the contrastive losses
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub temperature: f64,
    /// How the target network follows
    pub target: TargetUpdate,
    /// Momentum of the EMA at the first iteration; it rises to 1 along a cosine
    #[schemars(range(min = 0, max = 1))]
    pub momentum: f64,
    /// Blocks of the representation decoder
    pub depth: usize,
    /// Its attention heads
    #[schemars(range(min = 1))]
    pub heads: usize,
    /// Its position table
    pub rep_pos_embed: RepPosEmbed,
    /// Hidden width of projector and predictor
    #[schemars(range(min = 1))]
    pub hidden: usize,
    /// Width of the compared vectors
    #[schemars(range(min = 1))]
    pub out: usize,
}

impl Default for SimilaritySpec {
    fn default() -> Self {
        Self {
            weight: 0.1,
            loss: SimilarityLoss::Simsiam,
            temperature: 0.1,
            target: TargetUpdate::Ema,
            momentum: 0.996,
            depth: 2,
            heads: 16,
            rep_pos_embed: RepPosEmbed::Zero,
            hidden: 4096,
            out: 256,
        }
    }
}

/// The similarity losses of method.md §3.9.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SimilarityLoss {
    /// −½ mean cosine
    Simsiam,
    /// mean(2 − 2 cos)
    Byol,
    /// Cross entropy over the batch, other images as negatives
    InfoNce,
    /// The same with the negatives' logits set to zero
    InfoNcePositive,
    /// `InfoNce` on vectors normalised again
    MocoV3,
    /// Cross entropy over both views of the batch, the other view as the positive (NT-Xent)
    SimClr,
}

/// What happens to the target network after a step (method.md §8.1 Q1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TargetUpdate {
    /// Exponential moving average of the online network, as the papers describe it
    Ema,
    /// Never updated, as the released multi-GPU recipe behaves
    Frozen,
}

/// The representation decoder's position table (method.md §8.1 Q3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RepPosEmbed {
    /// All zeros, as released
    Zero,
    /// Sine-cosine, like the other two tables
    Sincos,
}
