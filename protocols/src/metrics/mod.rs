//! Metrics in f64 with stated tie rules, over plain slices: `scores` are P(fake), `labels` 1 = fake, 0 = real.
//!
//! | metric | definition |
//! |---|---|
//! | AUC | Mann-Whitney probability, half credit for ties |
//! | EER | crossing of the piecewise-linear full ROC with TPR = 1 − FPR; three compatibility modes in [`compat`] |
//! | TPR@FPR | step value on the full ROC (no vertex dropped) |
//! | AP | step-wise, no interpolation |
//! | decisions | **fake if score > threshold** (so `real` wins a tie, as in the field's three code families) |
//!
//! Counts are integers until one last division, so results are correctly rounded where that is possible.
//! An undefined metric is a [`MetricError`]. The definitions are pinned by `tests/golden/metrics.json`.

pub mod calibration;
pub mod compat;
pub mod counts;
pub mod pad;
mod radix;
mod roc;
pub mod video;

pub use calibration::{brier, ece, log_loss};
pub use compat::EerMode;
pub use counts::{Rates, accuracy, balanced_accuracy, hter_at, rates_at};
pub use pad::{PadRates, bpcer_at_apcer, pad_rates};
pub use roc::{Roc, auc, average_precision, eer, eer_mode, partial_auc, threshold_at_eer, tpr_at_fpr};
pub use video::aggregate;

/// Version of the metric definitions; part of every protocol fingerprint. Raised when any number could change.
pub const METRIC_VERSION: u32 = 1;

/// Why a metric has no value.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum MetricError {
    /// Nothing to measure.
    #[error("no samples")]
    Empty,
    /// Two slices that must be parallel are not.
    #[error("{scores} scores but {labels} labels")]
    Length {
        /// Number of scores.
        scores: usize,
        /// Number of labels.
        labels: usize,
    },
    /// A score that is NaN or infinite.
    #[error("score {value} at index {index}, expected a finite number")]
    NotFinite {
        /// Where.
        index: usize,
        /// What.
        value: f64,
    },
    /// A label other than 0 and 1.
    #[error(
        "label {value} at index {index}, expected 0 (real) or 1 (fake)\nhint: map the classes to real and fake first"
    )]
    Label {
        /// Where.
        index: usize,
        /// What.
        value: u8,
    },
    /// Only one class is there.
    #[error("undefined with {real} real and {fake} fake samples; both classes are needed")]
    OneClass {
        /// Real samples.
        real: usize,
        /// Fake samples.
        fake: usize,
    },
    /// A probability outside [0, 1].
    #[error("score {value} at index {index} is not a probability")]
    NotProbability {
        /// Where.
        index: usize,
        /// What.
        value: f64,
    },
    /// A rate asked for outside its range.
    #[error("{what} is {value}, expected a number in {range}")]
    Argument {
        /// Which argument.
        what: &'static str,
        /// The value given.
        value: f64,
        /// What is allowed.
        range: &'static str,
    },
}

/// Check parallel slices; returns the number of real and fake samples. One class alone passes.
pub(crate) fn check(scores: &[f64], labels: &[u8]) -> Result<[usize; 2], MetricError> {
    if scores.len() != labels.len() {
        return Err(MetricError::Length { scores: scores.len(), labels: labels.len() });
    }
    if scores.is_empty() {
        return Err(MetricError::Empty);
    }
    if let Some(index) = scores.iter().position(|s| !s.is_finite()) {
        return Err(MetricError::NotFinite { index, value: scores[index] });
    }
    if let Some(index) = labels.iter().position(|&l| l > 1) {
        return Err(MetricError::Label { index, value: labels[index] });
    }
    let fake = labels.iter().filter(|&&l| l == 1).count();
    Ok([labels.len() - fake, fake])
}

/// As [`check`], and both classes must be there.
pub(crate) fn check_two(scores: &[f64], labels: &[u8]) -> Result<[usize; 2], MetricError> {
    let counts = check(scores, labels)?;
    both_classes(counts)?;
    Ok(counts)
}

pub(crate) fn both_classes([real, fake]: [usize; 2]) -> Result<(), MetricError> {
    if real == 0 || fake == 0 { Err(MetricError::OneClass { real, fake }) } else { Ok(()) }
}
