//! Cross-domain anti-spoofing: per fold HTER at the development threshold, HTER at the oracle threshold, AUC; averages.
//!
//! Both HTERs are printed because the field prints only the second, whose threshold is taken from the test set. They
//! are never called by one name.

use super::Part;
use super::shape::{Shape, sets};
use facebench_protocols::Metric;

const METRICS: [(&str, Metric); 3] =
    [("HTER dev", Metric::HterDev), ("HTER oracle", Metric::HterOracle), ("AUC", Metric::VideoAuc)];

/// Columns of the part.
pub(super) fn shape(part: &Part<'_>) -> Shape {
    let mut shape = Shape::new();
    let mut of = [Vec::new(), Vec::new(), Vec::new()];
    let sets = sets(part);
    for (fold, set, _) in &sets {
        let alone = sets.iter().filter(|(f, _, _)| f == fold).count() == 1;
        let group = if alone { fold.clone() } else { format!("{fold} · {set}") };
        for ((name, metric), of) in METRICS.iter().zip(&mut of) {
            let index = shape.measure(&group, name, (fold, set), *metric);
            if !alone {
                shape.columns[index].set.clone_from(&group);
            }
            of.push(index);
        }
    }
    for ((name, metric), of) in METRICS.iter().zip(of) {
        shape.average("Avg", name, of, *metric);
    }
    shape.caption.push(
        "All in per cent, video level. HTER dev: threshold at the EER of the development set; HTER oracle: threshold \
         taken from the test set."
            .into(),
    );
    shape
}
