//! Random erasing: with some probability one box of the normalised tensor becomes noise (arXiv 1708.04896).
//!
//! Area uniform in `area`, aspect log-uniform in `aspect`, the first of ten draws whose box is smaller than the
//! picture in both directions; every value of it becomes N(0, 1). After normalisation, as published.

use facebench_protocols::Stream;
use serde::{Deserialize, Serialize};

use crate::image::Window;

/// How often and how much is erased.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Erase {
    /// Share of the images that lose a box.
    pub probability: f64,
    /// Smallest and largest share of the area.
    pub area: [f64; 2],
    /// Smallest and largest height by width.
    pub aspect: [f64; 2],
}

impl Default for Erase {
    /// The published fine-tuning: p = 0.25, area 0.02 to 1/3, aspect 0.3 to 1/0.3.
    fn default() -> Self {
        Self { probability: 0.25, area: [0.02, 1.0 / 3.0], aspect: [0.3, 1.0 / 0.3] }
    }
}

impl Erase {
    /// Erases in a `(3, size, size)` tensor.
    pub(super) fn apply(&self, tensor: &mut [f32], size: usize, stream: &mut Stream) {
        if stream.uniform() >= self.probability {
            return;
        }
        let Some(part) = self.draw(size, size, stream) else { return };
        for channel in tensor.chunks_exact_mut(size * size) {
            for row in channel.chunks_exact_mut(size).skip(part.top).take(part.height) {
                for v in &mut row[part.left..part.left + part.width] {
                    *v = stream.normal() as f32;
                }
            }
        }
    }

    fn draw(&self, width: usize, height: usize, stream: &mut Stream) -> Option<Window> {
        let log = self.aspect.map(f64::ln);
        for _ in 0..10 {
            let between = |range: [f64; 2], u: f64| range[0] + (range[1] - range[0]) * u;
            let share = between(self.area, stream.uniform());
            let log_aspect = between(log, stream.uniform());
            if let Some((w, h)) = Self::fitting(width, height, share, log_aspect) {
                let top = stream.below(height - h + 1);
                let left = stream.below(width - w + 1);
                return Some(Window { left, top, width: w, height: h });
            }
        }
        None
    }

    /// Columns and rows of a box with this share of the area and this aspect, if it is smaller than the picture.
    #[must_use]
    pub fn fitting(width: usize, height: usize, share: f64, log_aspect: f64) -> Option<(usize, usize)> {
        let area = share * (width * height) as f64;
        let aspect = log_aspect.exp();
        let h = (area * aspect).sqrt().round_ties_even() as usize;
        let w = (area / aspect).sqrt().round_ties_even() as usize;
        (w < width && h < height).then_some((w, h))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{fixture, number};

    #[test]
    fn boxes_equal_the_published_ones() {
        let cases = fixture("transforms.json");
        for case in cases["random_erasing_geometry"].as_array().unwrap() {
            let (width, height) = (number(case, "w"), number(case, "h"));
            let draws: Vec<[f64; 2]> =
                serde_json::from_value(case["draws_area_fraction_and_log_aspect"].clone()).unwrap();
            let got = draws.iter().find_map(|d| Erase::fitting(width, height, d[0], d[1]));
            assert_eq!(got, Some((number(case, "erase_w"), number(case, "erase_h"))), "{case}");
        }
        assert_eq!(cases["random_erasing_geometry"].as_array().unwrap().len(), 4);
    }

    #[test]
    fn a_quarter_loses_a_box_of_unit_noise() {
        let (size, draws) = (64, 400);
        let (mut hit, mut count, mut sum, mut square) = (0, 0usize, 0.0, 0.0);
        for i in 0..draws {
            let mut tensor = vec![9.0f32; 3 * size * size];
            Erase::default().apply(&mut tensor, size, &mut Stream::new("erase", 0, &[&i.to_string()]));
            let noise: Vec<f64> = tensor.iter().filter(|v| **v != 9.0).map(|v| f64::from(*v)).collect();
            hit += usize::from(!noise.is_empty());
            count += noise.len();
            sum += noise.iter().sum::<f64>();
            square += noise.iter().map(|v| v * v).sum::<f64>();
            assert!(noise.len() <= 3 * size * size * 35 / 100, "{}", noise.len());
        }
        assert!((75..130).contains(&hit), "{hit} of {draws}");
        let n = count as f64;
        assert!((sum / n).abs() < 0.02 && (square / n - 1.0).abs() < 0.03, "{} {}", sum / n, square / n);
    }
}
