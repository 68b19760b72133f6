//! RandAugment as the published fine-tuning uses it: which operations, how strong (timm's `rand-m9-mstd0.5-inc1`).
//!
//! `ops` operations are drawn uniformly with replacement from fifteen; each is applied with probability ½, at
//! magnitude m ~ N(magnitude, deviation²) clipped to [0, 10]. "Increasing" means that a larger m always changes
//! more. Draws, in order: for each of the `ops` places the operation, whether, magnitude, sign.

use facebench_protocols::Stream;
use serde::{Deserialize, Serialize};

use super::ops::Op;
use crate::image::Rgb;

/// How many operations, how strong.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RandAugment {
    /// Operations drawn for each image.
    pub ops: usize,
    /// Mean magnitude, 0 to 10.
    pub magnitude: f64,
    /// Standard deviation of the magnitude.
    pub deviation: f64,
}

impl Default for RandAugment {
    /// The published setting.
    fn default() -> Self {
        Self { ops: 2, magnitude: 9.0, deviation: 0.5 }
    }
}

/// Probability that a drawn operation is applied.
const APPLY: f64 = 0.5;
/// The largest magnitude.
const MOST: f64 = 10.0;

impl RandAugment {
    /// Number of operations.
    pub const KINDS: usize = 15;

    /// Draws and applies.
    pub(super) fn apply(&self, mut image: Rgb, fill: [u8; 3], stream: &mut Stream) -> Rgb {
        for _ in 0..self.ops {
            let kind = stream.below(Self::KINDS);
            // all four are drawn whether used or not, so that one place does not shift the next
            let (applied, m, negative) = (stream.uniform() < APPLY, stream.normal(), stream.uniform() < 0.5);
            if applied {
                let magnitude = (self.magnitude + self.deviation * m).clamp(0.0, MOST);
                image = Self::operation(kind, magnitude, negative).apply(&image, fill);
            }
        }
        image
    }

    /// The operation of number `kind` (0 to 14) at a magnitude (0 to 10) and a sign.
    #[must_use]
    pub fn operation(kind: usize, magnitude: f64, negative: bool) -> Op {
        let level = magnitude / MOST;
        let sign = if negative { -1.0 } else { 1.0 };
        let factor = 1.0 + sign * (level * 0.9);
        match kind {
            0 => Op::AutoContrast,
            1 => Op::Equalize,
            2 => Op::Invert,
            3 => Op::Rotate(sign * (level * 30.0)),
            4 => Op::Posterize(4 - (level * 4.0) as u32),
            5 => Op::Solarize(256 - (level * 256.0) as u32),
            6 => Op::SolarizeAdd(((level * 110.0) as u32).min(128)),
            7 => Op::Color(factor),
            8 => Op::Contrast(factor),
            9 => Op::Brightness(factor),
            10 => Op::Sharpness(factor),
            11 => Op::ShearX(sign * (level * 0.3)),
            12 => Op::ShearY(sign * (level * 0.3)),
            13 => Op::TranslateX(sign * (level * 0.45)),
            _ => Op::TranslateY(sign * (level * 0.45)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{fixture, picture};

    #[test]
    fn levels_equal_the_published_ones() {
        let cases = fixture("transforms.json");
        for case in cases["randaug_levels"].as_array().unwrap() {
            let n = |key: &str| case[key].as_f64().unwrap();
            let m = n("magnitude");
            let near = |got: f64, key: &str| assert!((got - n(key)).abs() < 1e-12, "{key} at {m}: {got}");
            for kind in 3..RandAugment::KINDS {
                match RandAugment::operation(kind, m, false) {
                    Op::Rotate(v) => near(v, "Rotate"),
                    Op::Posterize(v) => near(f64::from(v), "PosterizeIncreasing"),
                    Op::Solarize(v) => near(f64::from(v), "SolarizeIncreasing"),
                    Op::SolarizeAdd(v) => near(f64::from(v), "SolarizeAdd"),
                    Op::Color(v) | Op::Contrast(v) | Op::Brightness(v) | Op::Sharpness(v) => {
                        near(v, "ColorIncreasing");
                    }
                    Op::ShearX(v) | Op::ShearY(v) => near(v, "ShearX"),
                    Op::TranslateX(v) | Op::TranslateY(v) => near(v, "TranslateXRel"),
                    other => panic!("{other:?}"),
                }
            }
        }
        assert_eq!(cases["randaug_levels"].as_array().unwrap().len(), 9);
    }

    #[test]
    fn every_operation_is_drawn_and_a_quarter_of_the_images_stay() {
        let image = picture("T1", 24, 24);
        let policy = RandAugment::default();
        let draws = 600;
        let same = (0..draws)
            .filter(|i| {
                let mut stream = Stream::new("randaug", 0, &[&i.to_string()]);
                policy.apply(image.clone(), [0; 3], &mut stream) == image
            })
            .count();
        // both places skipped: 1/4, and a few operations that change nothing
        assert!((draws / 5..draws * 2 / 5).contains(&same), "{same} of {draws}");
        let mut stream = Stream::new("randaug", 1, &[]);
        let kinds: std::collections::BTreeSet<usize> =
            (0..400).map(|_| stream.below(RandAugment::KINDS)).collect();
        assert_eq!(kinds.len(), RandAugment::KINDS);
    }
}
