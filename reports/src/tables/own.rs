//! One test set, such as a user's own faces: AUC with its 95 % interval and EER.
//!
//! With one small test set the interval is the message, so it is printed without being asked for.

use super::Part;
use super::shape::{Shape, sets};
use facebench_protocols::Metric;

/// Columns of the part.
pub(super) fn shape(part: &Part<'_>) -> Shape {
    let mut shape = Shape::new();
    let sets = sets(part);
    for (fold, set, _) in &sets {
        let group = if sets.len() > 1 { format!("{fold} · {set}") } else { String::new() };
        for (name, metric) in [
            ("Video AUC %", Metric::VideoAuc),
            ("Frame AUC %", Metric::FrameAuc),
            ("Video EER %", Metric::VideoEer),
        ] {
            let index = shape.measure(&group, name, (fold, set), metric);
            shape.columns[index].set = if sets.len() > 1 { format!("{fold}/{set}") } else { set.clone() };
        }
    }
    for (_, set, _) in &sets {
        if let Some(line) = size(part, set) {
            shape.caption.push(line);
        }
    }
    shape.intervals = true;
    shape
}

/// How many people judged the number: videos and frames per class.
fn size(part: &Part<'_>, set: &str) -> Option<String> {
    let measures = part.runs.iter().filter_map(|r| r.record.evaluation.as_ref()).flat_map(|e| &e.sets);
    let m = measures.into_iter().find(|m| m.set == set)?;
    Some(format!(
        "{set}: {} real and {} fake videos, {} and {} frames.",
        m.videos[0], m.videos[1], m.frames[0], m.frames[1]
    ))
}
