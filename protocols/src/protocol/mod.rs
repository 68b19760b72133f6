//! A protocol: what is trained on, what checkpoints are chosen on, what is tested, and how numbers are made.
//!
//! Protocols are YAML files beside the code (`protocols/protocols/*.yaml`, embedded in the program) or files of a
//! user's own in the same form. Everything that changes a number is in the [`Protocol::fingerprint`]; the title and
//! the notes are not. The choice of checkpoints is part of the protocol, because the field's largest hidden gain
//! comes from choosing on the test set (HTER 4.81 against 10.99 in the same runs).

mod assemble;
mod builtin;
mod check;
mod fingerprint;
pub(crate) use fingerprint::hex;
#[cfg(test)]
mod tests;
mod yaml;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::evaluate::Metric;
use crate::sample::Split;
pub use assemble::Assembled;
pub(crate) use yaml::decode;

/// Which of the three tasks a protocol belongs to. It decides wording (spoof or fake) and which class is
/// "positive" for a true-positive rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Real videos against face swaps and reenactments (DfD).
    DeepfakeDetection,
    /// Live faces against prints, replays and masks (FAS).
    AntiSpoofing,
    /// Photographs against diffusion-made faces (DiFF).
    DiffusionForgery,
}

/// Some samples of one data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Selector {
    /// Data-set id: a built-in one, or `folder:NAME` or `forge:NAME` for a folder of the user's own.
    pub dataset: String,
    /// Official split.
    pub split: Split,
    /// Methods of fakes to keep; empty keeps all. Upper and lower case do not matter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// Whether real samples are selected too, whatever their method is called.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub reals: bool,
    /// At most so many frames of each video, evenly spaced; all where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames: Option<usize>,
}

fn yes() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the signature serde asks for
fn is_yes(value: &bool) -> bool {
    *value
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the signature serde asks for
fn is_no(value: &bool) -> bool {
    !*value
}

impl Selector {
    /// All samples of one split.
    pub fn all(dataset: impl Into<String>, split: Split) -> Self {
        Self { dataset: dataset.into(), split, methods: Vec::new(), reals: true, frames: None }
    }
}

/// One column of a result table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestSet {
    /// Column name, unique in the fold, such as `CDFv2-noYT`.
    pub name: String,
    /// What is tested.
    pub select: Vec<Selector>,
    /// Whether training saw the same data set (then the number says little about new forgeries).
    #[serde(default)]
    pub in_domain: bool,
}

/// What checkpoints and thresholds are chosen on. In YAML: `select: [...]` or `hold_out: 0.2`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "DevText", into = "DevText")]
pub enum Dev {
    /// Named samples.
    Select(Vec<Selector>),
    /// A part of the training people (videos where people are unknown), chosen by hash, taken out of training.
    HoldOut {
        /// Share of the people, in (0, 0.5].
        fraction: f64,
    },
}

/// How [`Dev`] is written down: exactly one of the two.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DevText {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    select: Option<Vec<Selector>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hold_out: Option<f64>,
}

impl TryFrom<DevText> for Dev {
    type Error = String;

    fn try_from(text: DevText) -> Result<Self, String> {
        match (text.select, text.hold_out) {
            (Some(select), None) => Ok(Self::Select(select)),
            (None, Some(fraction)) => Ok(Self::HoldOut { fraction }),
            _ => Err("dev needs exactly one of `select` and `hold_out`".into()),
        }
    }
}

impl From<Dev> for DevText {
    fn from(dev: Dev) -> Self {
        match dev {
            Dev::Select(select) => Self { select: Some(select), hold_out: None },
            Dev::HoldOut { fraction } => Self { select: None, hold_out: Some(fraction) },
        }
    }
}

/// One training set with its development and test sets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fold {
    /// Name, unique in the protocol, such as `O&C&I→M`.
    pub name: String,
    /// What is trained on.
    pub train: Vec<Selector>,
    /// What checkpoints and thresholds are chosen on.
    pub dev: Dev,
    /// What is reported.
    pub tests: Vec<TestSet>,
}

/// Which checkpoint of a training run is scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Selection {
    /// The last one.
    Last,
    /// The lowest loss on the development set.
    MinValLoss,
    /// The highest AUC on the development set.
    MaxValAuc,
    /// The best on the test set itself: not a result but a bound. Labelled everywhere, barred from main tables.
    Oracle,
}

impl std::fmt::Display for Selection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Last => "last",
            Self::MinValLoss => "min-val-loss",
            Self::MaxValAuc => "max-val-auc",
            Self::Oracle => "oracle",
        })
    }
}

/// How the frames of a video become one score. In YAML: `mean`, `max` or `top-5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(into = "String")]
#[schemars(with = "String")]
pub enum Aggregation {
    /// Arithmetic mean of P(fake).
    Mean,
    /// The most suspicious frame.
    Max,
    /// Mean of the so many most suspicious frames (of all, where there are fewer).
    TopK(usize),
}

impl TryFrom<String> for Aggregation {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "mean" => Ok(Self::Mean),
            "max" => Ok(Self::Max),
            other => match other.strip_prefix("top-").map(str::parse) {
                Some(Ok(k)) if k > 0 => Ok(Self::TopK(k)),
                _ => Err(format!(
                    "unknown aggregation `{other}`, expected `mean`, `max` or `top-K` such as `top-5`"
                )),
            },
        }
    }
}

/// By hand, so that an error carries the value's own line.
impl<'de> Deserialize<'de> for Aggregation {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl serde::de::Visitor<'_> for Name {
            type Value = Aggregation;

            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("`mean`, `max` or `top-K`")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Aggregation, E> {
                Aggregation::try_from(text.to_owned()).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Name)
    }
}

impl From<Aggregation> for String {
    fn from(aggregation: Aggregation) -> Self {
        match aggregation {
            Aggregation::Mean => "mean".into(),
            Aggregation::Max => "max".into(),
            Aggregation::TopK(k) => format!("top-{k}"),
        }
    }
}

/// How a test image becomes the network's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TestTransform {
    /// Resize to the input size, whatever the aspect ratio (the published runs).
    Direct,
    /// Resize the short side to 256/224 of the input size, then crop the centre.
    CenterCrop,
}

/// A complete protocol.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Protocol {
    /// Short id, such as `dfd-cross`.
    pub id: String,
    /// Raised whenever a number could change.
    pub version: u32,
    /// One line for people.
    pub title: String,
    /// Which task.
    pub family: Family,
    /// Training sets with their tests.
    pub folds: Vec<Fold>,
    /// Frames to video.
    pub aggregation: Aggregation,
    /// Which checkpoint.
    pub selection: Selection,
    /// The number that ranks.
    pub primary: Metric,
    /// Image to input.
    pub test_transform: TestTransform,
    /// Whether the folds ask one question several times (leave one out, cross-validation), so that the result is their
    /// mean and standard deviation.
    #[serde(default, skip_serializing_if = "is_no")]
    pub over_folds: bool,
    /// Sources and remarks.
    #[serde(default)]
    pub notes: String,
}
