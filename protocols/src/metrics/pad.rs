//! Presentation-attack-detection rates of ISO/IEC 30107-3: APCER per attack species, BPCER, ACER.
//!
//! APCER is the share of attacks taken for bona fide, BPCER the share of bona fide faces taken for attacks. The
//! standard reports the *worst* species; most papers pool all attacks, which hides a weak one. Both are here, named.
//! Polarity as everywhere: score = P(attack), attack if score > threshold.

use std::collections::BTreeMap;

use super::{MetricError, both_classes};

/// APCER, BPCER and ACER at one threshold.
#[derive(Clone, Debug, PartialEq)]
pub struct PadRates {
    /// APCER of each attack species.
    pub apcer: BTreeMap<String, f64>,
    /// APCER of the worst species (ISO).
    pub apcer_worst: f64,
    /// APCER of all attacks together.
    pub apcer_pooled: f64,
    /// Bona fide faces taken for attacks.
    pub bpcer: f64,
    /// Mean of BPCER and the worst species' APCER (ISO).
    pub acer_worst: f64,
    /// Mean of BPCER and the pooled APCER (most papers).
    pub acer_pooled: f64,
}

/// Rates at `threshold`; `attacks` maps a species (print, replay …) to its scores.
///
/// # Errors
/// No bona fide or no attack scores, an empty species, a score that is not finite.
pub fn pad_rates(
    attacks: &BTreeMap<String, Vec<f64>>,
    bona_fide: &[f64],
    threshold: f64,
) -> Result<PadRates, MetricError> {
    let total: usize = attacks.values().map(Vec::len).sum();
    both_classes([bona_fide.len(), total])?;
    finite(bona_fide)?;
    let mut apcer = BTreeMap::new();
    let mut missed = 0;
    for (species, scores) in attacks {
        if scores.is_empty() {
            return Err(MetricError::Empty);
        }
        finite(scores)?;
        let accepted = scores.iter().filter(|&&s| s <= threshold).count();
        missed += accepted;
        apcer.insert(species.clone(), accepted as f64 / scores.len() as f64);
    }
    let bpcer = bona_fide.iter().filter(|&&s| s > threshold).count() as f64 / bona_fide.len() as f64;
    let apcer_worst = apcer.values().copied().fold(0.0, f64::max);
    let apcer_pooled = missed as f64 / total as f64;
    Ok(PadRates {
        apcer,
        apcer_worst,
        apcer_pooled,
        bpcer,
        acer_worst: f64::midpoint(apcer_worst, bpcer),
        acer_pooled: f64::midpoint(apcer_pooled, bpcer),
    })
}

/// BPCER at the loosest observed threshold with pooled APCER ≤ `max_apcer`; returns (threshold, BPCER).
///
/// BPCER10, 20 and 100 are `max_apcer` = 0.1, 0.05 and 0.01. A face is an attack if its score is *above* the
/// threshold, and the threshold is one of the observed scores.
///
/// # Errors
/// No bona fide or no attack scores, a score that is not finite, `max_apcer` outside [0, 1].
pub fn bpcer_at_apcer(attacks: &[f64], bona_fide: &[f64], max_apcer: f64) -> Result<(f64, f64), MetricError> {
    both_classes([bona_fide.len(), attacks.len()])?;
    finite(attacks)?;
    finite(bona_fide)?;
    if !(0.0..=1.0).contains(&max_apcer) {
        return Err(MetricError::Argument { what: "max_apcer", value: max_apcer, range: "[0, 1]" });
    }
    let ascending = |values: &[f64]| {
        let mut v = values.to_vec();
        v.sort_unstable_by(f64::total_cmp);
        v
    };
    let (attacks, bona_fide) = (ascending(attacks), ascending(bona_fide));
    let apcer = |t: f64| attacks.partition_point(|&s| s <= t) as f64 / attacks.len() as f64;
    let best =
        attacks.iter().chain(&bona_fide).copied().filter(|&t| apcer(t) <= max_apcer).max_by(f64::total_cmp);
    // below every score nothing is accepted: APCER 0, BPCER 1
    let threshold = best.unwrap_or_else(|| attacks[0].min(bona_fide[0]).next_down());
    let rejected = bona_fide.len() - bona_fide.partition_point(|&s| s <= threshold);
    Ok((threshold, rejected as f64 / bona_fide.len() as f64))
}

fn finite(scores: &[f64]) -> Result<(), MetricError> {
    match scores.iter().position(|s| !s.is_finite()) {
        Some(index) => Err(MetricError::NotFinite { index, value: scores[index] }),
        None => Ok(()),
    }
}
