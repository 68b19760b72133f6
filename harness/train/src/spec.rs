//! What a training or scoring unit is told to do: plain data, every default in one place.
//!
//! The experiment file embeds these types, the plan stores them fully resolved, and their canonical
//! JSON names the result folder. So nothing here may depend on the machine: no absolute path, no
//! thread count, no device. Odd values say where they come from (`method.md` = the published method
//! as restated for this project; FSFM is arXiv 2412.12032, FS-VFM is arXiv 2510.10663).
//! The shape of an experiment file (which model meets which head) is the command line's business.

use facebench_protocols::{Selection, TestTransform};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Result, bad_spec};

/// A plugin by name, with its configuration. The plugin's own schema checks the keys of `config`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// Name of the plugin's component, e.g. `fsvfm`
    pub plugin: String,
    /// Its settings; keys that are absent take the plugin's defaults
    #[serde(default)]
    pub config: Map<String, Value>,
}

impl Component {
    /// A component with default settings.
    pub fn named(plugin: &str) -> Self {
        Self { plugin: plugin.to_owned(), config: Map::new() }
    }

    /// The settings as the JSON object a plugin receives.
    pub fn json(&self) -> Value {
        Value::Object(self.config.clone())
    }
}

// ------------------------------------------------------------------------------ pre-training

/// Self-supervised pre-training of one backbone on unlabelled faces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PretrainSpec {
    /// The encoder to train
    pub backbone: Component,
    /// Which patches are hidden
    pub masking: MaskingSpec,
    /// What is asked of the network
    pub objective: ObjectiveSpec,
    /// Optimiser and schedule
    pub optim: PretrainOptim,
    /// Which faces
    pub data: PretrainData,
    /// What is shown on the way
    #[serde(skip_serializing_if = "WatchSpec::is_default")]
    pub watch: WatchSpec,
    /// Seed of every random stream: initial weights, order, masks
    pub seed: u64,
}

impl Default for PretrainSpec {
    fn default() -> Self {
        Self {
            backbone: Component::named("fsvfm"),
            masking: MaskingSpec::default(),
            objective: ObjectiveSpec::default(),
            optim: PretrainOptim::default(),
            data: PretrainData::default(),
            watch: WatchSpec::default(),
            seed: 0,
        }
    }
}

/// The masking strategy and the policy for images without a usable parsing map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MaskingSpec {
    /// Name of the masking plugin
    pub plugin: String,
    /// Its settings
    pub config: Map<String, Value>,
    /// Share of the patches that is hidden (0..1); 0.75 in MAE, FSFM and FS-VFM
    pub ratio: f64,
    /// Whether the covered facial region is drawn for each image or once for a batch
    pub region: RegionChoice,
    /// What happens to an image whose parsing map is missing while the strategy needs one
    pub on_missing: MissingParsing,
}

impl Default for MaskingSpec {
    fn default() -> Self {
        Self {
            plugin: "crfr-p".into(),
            config: Map::new(),
            ratio: 0.75,
            region: RegionChoice::PerImage,
            on_missing: MissingParsing::Fail,
        }
    }
}

/// How often the covered region is drawn (method.md §8.1 Q4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RegionChoice {
    /// As the papers describe it
    PerImage,
    /// As the released training code behaves
    PerBatch,
}

/// The policy for an image without a parsing map. What happened is counted in the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MissingParsing {
    /// Stop and name the image
    Fail,
    /// Mask this image's patches uniformly at random, with no covered region
    Random,
    /// Leave the image out
    Skip,
}

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
    pub reconstruction_weight: f64,
    /// Weight of the reconstruction of the covered region (method.md §3.9); 0 switches it off
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
    fn is_three_c(&self) -> bool {
        *self == Self::ThreeC
    }
}

/// Settings of DINO (arXiv 2104.14294 §3 and appendices). Weight decay rises from `optim.weight_decay` to
/// `weight_decay_end` along a cosine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DinoSpec {
    /// K, the number of patterns the head tells apart
    pub out: usize,
    /// Hidden width of the head
    pub hidden: usize,
    /// Width of the unit vector before its last layer
    pub bottleneck: usize,
    /// Keep the rows of the last layer at length 1
    pub norm_last_layer: bool,
    /// Epochs in which the last layer rests
    pub freeze_last_layer: f64,
    /// Small views of each face, besides the two large ones
    pub local_crops: usize,
    /// Their side in pixels; `null` = 3/7 of the backbone's, in whole patches (96 of 224)
    pub local_size: Option<usize>,
    /// Smallest and largest share of the picture in a large view
    pub global_area: [f64; 2],
    /// The same of a small view
    pub local_area: [f64; 2],
    /// Strength of the colour jitter, 1 = published
    pub colour: f64,
    /// τ of the student
    pub student_temp: f64,
    /// τ of the teacher after its warm-up
    pub teacher_temp: f64,
    /// τ of the teacher at the start
    pub warmup_teacher_temp: f64,
    /// Epochs between the two
    pub warmup_teacher_temp_epochs: f64,
    /// Momentum of the teacher at the first update; it rises to 1 along a cosine
    pub teacher_momentum: f64,
    /// Momentum of the centre
    pub center_momentum: f64,
    /// Weight decay at the end
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

/// What a run shows while it is going on, and what it does when a loss is not a number. Changes no weight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WatchSpec {
    /// Epochs between two pictures of reconstructions (3c) or views (dino); `null` = a fifth of the run
    pub pictures_every: Option<usize>,
    /// How often a loss that is not a number is tried again from the last checkpoint before the run stops
    pub retries: usize,
}

impl Default for WatchSpec {
    fn default() -> Self {
        Self { pictures_every: None, retries: 1 }
    }
}

impl WatchSpec {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The pixel decoder (method.md §3.6).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DecoderSpec {
    /// Width of its tokens
    pub width: usize,
    /// Number of blocks
    pub depth: usize,
    /// Attention heads
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
    pub weight: f64,
    /// The loss between online prediction and target projection
    pub loss: SimilarityLoss,
    /// Temperature of the contrastive losses
    pub temperature: f64,
    /// How the target network follows
    pub target: TargetUpdate,
    /// Momentum of the EMA at the first iteration; it rises to 1 along a cosine
    pub momentum: f64,
    /// Blocks of the representation decoder
    pub depth: usize,
    /// Its attention heads
    pub heads: usize,
    /// Its position table
    pub rep_pos_embed: RepPosEmbed,
    /// Hidden width of projector and predictor
    pub hidden: usize,
    /// Width of the compared vectors
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

/// Optimiser and schedule of pre-training (method.md §4). Peak lr = `blr · batch · accum / 256`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PretrainOptim {
    /// Rule of the update
    #[serde(skip_serializing_if = "Optimiser::is_adam_w")]
    pub optimiser: Optimiser,
    /// Passes over the data
    pub epochs: usize,
    /// Epochs of linear warm-up from 0
    pub warmup_epochs: f64,
    /// Images in a micro-batch: as many as fit into memory
    pub batch: usize,
    /// Micro-batches per update; worked out from `effective_batch` if that is given
    pub accum: usize,
    /// Images per update. Kept whatever `batch` is: `accum` becomes `effective_batch / batch`. `null` = `batch · accum`
    pub effective_batch: Option<usize>,
    /// Base learning rate, for 256 images
    pub blr: f64,
    /// Learning rate at the end of the cosine
    pub min_lr: f64,
    /// Weight decay of tensors with two or more dimensions
    pub weight_decay: f64,
    /// Decay rates of the moments; SGD and LARS take the first as their momentum
    pub betas: [f64; 2],
    /// Largest global gradient norm; `null` = no clipping
    pub clip: Option<f64>,
    /// Keep only the input of each transformer block and compute the rest again on the way back: same numbers, less
    /// memory, about a third more time. On the CPU
    #[serde(skip_serializing_if = "is_false")]
    pub activation_checkpointing: bool,
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

/// The faces a backbone is pre-trained on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PretrainData {
    /// Folders with `images/` and, where there are any, `parsing_maps/`; relative to the data root
    pub sets: Vec<String>,
    /// Use only the first images, in the order of their names
    pub limit: Option<usize>,
}

impl Default for PretrainData {
    fn default() -> Self {
        Self { sets: vec!["pretrain/synthfaces".into()], limit: None }
    }
}

// ------------------------------------------------------------------------------ tuning, scoring

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

#[allow(clippy::trivially_copy_pass_by_ref)] // the signature serde asks for
fn is_false(value: &bool) -> bool {
    !*value
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
    pub epochs: usize,
    /// Batches in an epoch, with `sampling: per-source`; `null` = as many as the training set fills
    pub epoch_batches: Option<usize>,
    /// Epochs of linear warm-up from 0
    pub warmup_epochs: f64,
    /// Frames in a batch; with `sampling: per-source`, of each class of each data set
    pub batch: usize,
    /// Base learning rate, for 256 frames
    pub blr: f64,
    /// Peak learning rate as it is; `null` = from `blr`
    pub lr: Option<f64>,
    /// Learning rate at the end of the cosine
    pub min_lr: f64,
    /// Weight decay: of tensors with two or more dimensions (AdamW), of everything (Adam)
    pub weight_decay: f64,
    /// Decay rates of the moments; SGD and LARS take the first as their momentum
    pub betas: [f64; 2],
    /// Layer-wise learning-rate decay; 1 = the same rate everywhere
    pub layer_decay: f64,
    /// Label smoothing
    pub smoothing: f64,
    /// Mixup and CutMix of each batch; `null` = none
    pub mixing: Option<Mixing>,
    /// Largest global gradient norm; `null` = no clipping
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
        }
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
    fn is_adam_w(&self) -> bool {
        *self == Self::AdamW
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

/// Mixup (arXiv 1710.09412) and CutMix (1905.04899) of a batch with its reverse (method.md §5.1). Needs batches of an
/// even number of frames.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Mixing {
    /// α of Mixup, λ ~ Beta(α, α); 0 = no Mixup
    pub mixup: f64,
    /// α of CutMix; 0 = no CutMix
    pub cutmix: f64,
    /// Share of the batches that are mixed
    pub probability: f64,
    /// Share of these that get CutMix, when both are on
    pub switch: f64,
}

impl Default for Mixing {
    fn default() -> Self {
        Self { mixup: 0.8, cutmix: 1.0, probability: 1.0, switch: 0.5 }
    }
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

/// Random changes to training frames, applied in this order: saturation, crop, flip, RandAugment, colour, erasing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// Mirror half of the frames
    pub flip: bool,
    /// Smallest area of a random crop (1 = no crop); aspect 3/4..4/3, bilinear
    pub crop: f64,
    /// Strength of brightness, contrast and saturation changes (0 = none)
    pub colour: f64,
    /// Saturation jitter of the anti-spoofing recipes (method.md §5.2); `null` = none
    pub saturation: Option<Saturation>,
    /// RandAugment (method.md §5.1); `null` = none
    pub rand_augment: Option<RandAugment>,
    /// Share of the frames that lose a box to noise after normalisation; published: 0.25
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
    pub magnitude: f64,
    /// Its standard deviation
    pub deviation: f64,
}

impl Default for RandAugment {
    fn default() -> Self {
        Self { ops: 2, magnitude: 9.0, deviation: 0.5 }
    }
}

/// Scoring every frame of a fold's development and test sets with a tuned detector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScoreSpec {
    /// The unit whose weights are used: its specification rebuilds the model
    pub tune: TuneSpec,
    /// Which of its checkpoints
    pub selection: Selection,
    /// Frames in a batch; does not change any number
    #[serde(default = "score_batch")]
    pub batch: usize,
}

fn score_batch() -> usize {
    64
}
