//! Unseen diffusion forgeries: image AUC per family and their average.
//!
//! Every image is its own video, so frame and video level are the same; the set the model was trained on stands first
//! and is left out of the average.

use super::Part;
use super::shape::{Shape, sets};
use facebench_protocols::Metric;

/// Columns of the part.
pub(super) fn shape(part: &Part<'_>) -> Shape {
    let mut shape = Shape::new();
    let mut unseen = Vec::new();
    for (fold, set, in_domain) in sets(part) {
        let name = if in_domain { format!("{set} (seen)") } else { set.clone() };
        let index = shape.measure("Image AUC %", &name, (&fold, &set), Metric::FrameAuc);
        shape.columns[index].set = set;
        if !in_domain {
            unseen.push(index);
        }
    }
    shape.average("Image AUC %", part.average_name(), unseen, Metric::FrameAuc);
    shape
}
