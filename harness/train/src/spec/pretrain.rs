//! Self-supervised pre-training: backbone, masking, data, what is shown on the way.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Component, ObjectiveSpec, PretrainOptim};

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
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
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
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The faces a backbone is pre-trained on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PretrainData {
    /// Folders with `images/` and, where there are any, `parsing_maps/`; relative to the data root
    #[schemars(length(min = 1))]
    pub sets: Vec<String>,
    /// Use only the first images, in the order of their names
    #[schemars(range(min = 1))]
    pub limit: Option<usize>,
}

impl Default for PretrainData {
    fn default() -> Self {
        Self { sets: vec!["pretrain/synthfaces".into()], limit: None }
    }
}
