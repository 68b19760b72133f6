//! The numbers of a result, as they are stored and reported: fractions in [0, 1], each with its level.
//!
//! Every field says whether frames or videos were counted, and whose threshold was used. An HTER at the test set's
//! own threshold exists only under the name oracle.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::audit::Finding;

/// A 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// A number that can rank models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// AUC over frames.
    FrameAuc,
    /// AUC over videos.
    VideoAuc,
    /// EER over frames.
    FrameEer,
    /// EER over videos.
    VideoEer,
    /// HTER over videos at the development threshold.
    HterDev,
    /// HTER over videos at the test set's own threshold: an oracle, never called plain HTER.
    HterOracle,
    /// TPR at 1 % FPR over videos.
    TprAtFpr1,
    /// Balanced accuracy over videos at 0.5.
    BalancedAcc,
    /// APCER of the worst attack species at the development threshold; anti-spoofing only, as the next two.
    ApcerDev,
    /// BPCER at the development threshold.
    BpcerDev,
    /// ACER: the mean of the two.
    AcerDev,
}

/// Metrics with the names they have in files.
const METRICS: [(Metric, &str); 11] = [
    (Metric::FrameAuc, "frame-auc"),
    (Metric::VideoAuc, "video-auc"),
    (Metric::FrameEer, "frame-eer"),
    (Metric::VideoEer, "video-eer"),
    (Metric::HterDev, "hter-dev"),
    (Metric::HterOracle, "hter-oracle"),
    (Metric::TprAtFpr1, "tpr-at-fpr1"),
    (Metric::BalancedAcc, "balanced-acc"),
    (Metric::ApcerDev, "apcer-dev"),
    (Metric::BpcerDev, "bpcer-dev"),
    (Metric::AcerDev, "acer-dev"),
];

impl Metric {
    /// Name in protocol files, such as `video-auc`.
    pub fn id(self) -> &'static str {
        METRICS.iter().find(|(m, _)| *m == self).expect("every metric has a name; a test walks them").1
    }

    /// The metric called `id` in protocol files.
    pub fn from_id(id: &str) -> Option<Self> {
        METRICS.iter().find(|(_, name)| *name == id).map(|(m, _)| *m)
    }

    /// Whether larger is better.
    pub fn higher_is_better(self) -> bool {
        matches!(self, Self::FrameAuc | Self::VideoAuc | Self::TprAtFpr1 | Self::BalancedAcc)
    }

    /// Column heading; the unit is a fraction in [0, 1].
    pub fn label(self) -> &'static str {
        match self {
            Self::FrameAuc => "frame AUC",
            Self::VideoAuc => "video AUC",
            Self::FrameEer => "frame EER",
            Self::VideoEer => "video EER",
            Self::HterDev => "HTER (dev threshold)",
            Self::HterOracle => "HTER (oracle threshold)",
            Self::TprAtFpr1 => "TPR@FPR=1%",
            Self::BalancedAcc => "balanced accuracy",
            Self::ApcerDev => "APCER (worst species, dev threshold)",
            Self::BpcerDev => "BPCER (dev threshold)",
            Self::AcerDev => "ACER (dev threshold)",
        }
    }

    /// The metric's value; absent where a development set is needed and there was none.
    pub fn of(self, measures: &Measures) -> Option<f64> {
        let at_dev = || measures.pad.as_ref()?.at_dev.as_ref();
        match self {
            Self::FrameAuc => Some(measures.frame_auc),
            Self::VideoAuc => Some(measures.video_auc),
            Self::FrameEer => Some(measures.frame_eer),
            Self::VideoEer => Some(measures.video_eer),
            Self::HterDev => measures.hter_dev,
            Self::HterOracle => Some(measures.hter_oracle),
            Self::TprAtFpr1 => Some(measures.tpr_at_fpr1),
            Self::BalancedAcc => Some(measures.balanced_acc),
            Self::ApcerDev => at_dev().map(|p| p.apcer_worst),
            Self::BpcerDev => at_dev().map(|p| p.bpcer),
            Self::AcerDev => at_dev().map(|p| p.acer_worst),
        }
    }
}

/// The numbers of one test set; fractions in [0, 1].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Measures {
    /// Test-set name.
    pub set: String,
    /// Whether training saw the same data set.
    pub in_domain: bool,
    /// Frames scored: `[real, fake]`.
    pub frames: [usize; 2],
    /// Videos scored: `[real, fake]`.
    pub videos: [usize; 2],
    /// AUC over frames.
    pub frame_auc: f64,
    /// AUC over videos.
    pub video_auc: f64,
    /// EER over frames, interpolated.
    pub frame_eer: f64,
    /// EER over videos, interpolated.
    pub video_eer: f64,
    /// HTER over videos at [`Measures::dev_threshold`].
    pub hter_dev: Option<f64>,
    /// HTER over videos at the test set's own EER threshold. An oracle; call it so.
    pub hter_oracle: f64,
    /// TPR at FPR ≤ 1 % over videos. Positive is fake; for anti-spoofing positive is *live*, as that field has it.
    pub tpr_at_fpr1: f64,
    /// Balanced accuracy over videos; fake if score > 0.5.
    pub balanced_acc: f64,
    /// EER threshold of the development videos.
    pub dev_threshold: Option<f64>,
    /// 95 % interval of `video_auc`: cluster bootstrap over videos.
    pub video_auc_ci: Option<Interval>,
    /// 95 % interval of `frame_auc`: cluster bootstrap over videos.
    pub frame_auc_ci: Option<Interval>,
    /// 95 % interval of `video_eer`: cluster bootstrap over videos.
    pub video_eer_ci: Option<Interval>,
    /// 95 % interval of `hter_dev`, the threshold held fixed: cluster bootstrap over videos.
    pub hter_dev_ci: Option<Interval>,
    /// Average precision over frames, fake positive.
    pub frame_ap: f64,
    /// Average precision over videos, fake positive.
    pub video_ap: f64,
    /// Log loss over frames, natural logarithm.
    pub log_loss: f64,
    /// Expected calibration error over frames, 15 bins.
    pub ece: f64,
    /// Brier score over frames.
    pub brier: f64,
    /// Partial AUC over videos for FPR ≤ 10 %, scaled to [0, 1] so that chance is 0.5 (McClish).
    pub video_pauc10: f64,
    /// The same at the level of people, where every row names its people.
    pub subjects: Option<SubjectMeasures>,
    /// Presentation-attack detection, for anti-spoofing.
    pub pad: Option<PadMeasures>,
}

/// Numbers in which a person counts once per class, however many videos show them.
///
/// A unit is the set of people shown, with its label; its score is the mean over its videos. Videos that share a person
/// are one cluster of the interval, because they are not independent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SubjectMeasures {
    /// Units: `[real, fake]`.
    pub units: [usize; 2],
    /// AUC over units.
    pub auc: f64,
    /// EER over units, interpolated.
    pub eer: f64,
    /// 95 % interval of `video_auc`: cluster bootstrap over groups of people who share videos. Absent where people are
    /// so entangled (each fake shows two) that fewer than ten groups remain.
    pub video_auc_ci: Option<Interval>,
    /// Groups of people who share no video with another group.
    pub groups: usize,
}

/// Rates of ISO/IEC 30107-3 over videos.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PadMeasures {
    /// At the development threshold, where there is one.
    pub at_dev: Option<PadAt>,
    /// BPCER where the pooled APCER is at most 10 %, 5 % and 1 %: BPCER10, BPCER20, BPCER100.
    pub bpcer: [f64; 3],
}

/// Rates at one threshold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PadAt {
    /// Attack species with the highest APCER.
    pub worst: String,
    /// Its APCER.
    pub apcer_worst: f64,
    /// APCER of all attacks together.
    pub apcer_pooled: f64,
    /// Live faces taken for attacks.
    pub bpcer: f64,
    /// Mean of BPCER and the worst APCER (ISO).
    pub acer_worst: f64,
    /// Mean of BPCER and the pooled APCER (most papers).
    pub acer_pooled: f64,
}

/// The numbers of a fold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Evaluation {
    /// Test sets, in the protocol's order.
    pub sets: Vec<Measures>,
    /// The development set, where there are scores of it. It chose the checkpoint, so it is no result.
    pub dev: Option<Measures>,
    /// What looks wrong, worst first.
    pub findings: Vec<Finding>,
}

#[cfg(test)]
mod tests {
    use super::{METRICS, Metric};

    #[test]
    fn names_are_those_of_the_files() {
        for (metric, name) in METRICS {
            assert_eq!(serde_json::to_value(metric).unwrap(), name);
            assert_eq!((metric.id(), Metric::from_id(name)), (name, Some(metric)));
        }
        assert_eq!(Metric::from_id("hter"), None, "an HTER says whose threshold it has");
    }
}
