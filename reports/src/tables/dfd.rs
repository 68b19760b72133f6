//! Cross-dataset deepfake detection: frame AUC ‖ video AUC per test set, with the average over unseen sets.
//!
//! The set the model was trained on stands first and is left out of the average.

use super::Part;
use super::shape::{Shape, sets};
use facebench_protocols::Metric;

/// Columns of the part.
pub(super) fn shape(part: &Part<'_>) -> Shape {
    let mut shape = Shape::new();
    let sets = sets(part);
    let several_folds = sets.windows(2).any(|w| w[0].0 != w[1].0);
    for (group, metric) in [("Frame AUC %", Metric::FrameAuc), ("Video AUC %", Metric::VideoAuc)] {
        let mut unseen = Vec::new();
        for (fold, set, in_domain) in &sets {
            let name = if several_folds { format!("{fold} · {set}") } else { set.clone() };
            let name = if *in_domain { format!("{name} (seen)") } else { name };
            let index = shape.measure(group, &name, (fold, set), metric);
            if !several_folds {
                shape.columns[index].set.clone_from(set);
            }
            if !in_domain {
                unseen.push(index);
            }
        }
        shape.average(group, part.average_name(), unseen, metric);
    }
    shape
}
