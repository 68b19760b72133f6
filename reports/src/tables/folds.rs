//! Protocols whose folds ask one question several times (leave one camera out, cross-validation): mean ± standard
//! deviation over the folds, and nothing for a model that lacks one of them.

use facebench_protocols::{Family, Metric, Protocol};

use super::Part;
use super::shape::{Shape, sets};

/// What anti-spoofing prints: the errors of a threshold set on the development videos, and the ranking.
const SPOOFING: [(&str, Metric); 5] = [
    ("APCER", Metric::ApcerDev),
    ("BPCER", Metric::BpcerDev),
    ("ACER", Metric::AcerDev),
    ("HTER dev", Metric::HterDev),
    ("AUC", Metric::VideoAuc),
];
/// What the others print.
const FORGERY: [(&str, Metric); 3] =
    [("video AUC", Metric::VideoAuc), ("frame AUC", Metric::FrameAuc), ("video EER", Metric::VideoEer)];

/// Columns of the part.
pub(super) fn shape(part: &Part<'_>, protocol: &Protocol) -> Shape {
    let mut shape = Shape::new();
    let mut names: Vec<String> = Vec::new();
    for (_, set, _) in sets(part) {
        if !names.contains(&set) {
            names.push(set);
        }
    }
    let spoofing = protocol.family == Family::AntiSpoofing;
    let metrics: &[(&str, Metric)] = if spoofing { &SPOOFING } else { &FORGERY };
    for set in &names {
        let with = |f: &&facebench_protocols::Fold| f.tests.iter().any(|t| t.name == *set);
        let folds: Vec<String> = protocol.folds.iter().filter(with).map(|f| f.name.clone()).collect();
        for (name, metric) in metrics {
            shape.folds(name, (&folds, set), *metric);
        }
    }
    shape.caption.push(format!(
        "All in per cent, video level unless said otherwise; mean ± standard deviation (n − 1) over {} folds, each the mean \
         of its seeds.{}",
        protocol.folds.len(),
        match spoofing {
            true => " Thresholds are those of the development videos; APCER is that of the worst kind of attack.",
            false => "",
        }
    ));
    shape
}
