//! FRP: mask every facial region in proportion to its size, cover none (an ablation of FSFM, arXiv 2412.12032).
//!
//! No published code contains it; this is CRFR-P (method.md 2.2) without its first step, M_fr = ∅ (method.md 2.5). A patch
//! belongs to the first region in list order whose predicate it satisfies; of each such group S, rhe(|S|·ρ) patches are
//! masked with ρ = n / N, n the number to mask, then random patches are added or cleared until exactly n are. So each region
//! is masked to the same share, and the region mask is empty: there is no region loss.
#![cfg_attr(test, allow(clippy::unwrap_used))]

use facebench_plugin::{
    masks::{Choice, in_proportion, settle},
    prelude::*,
};

config! {
    /// Settings of FRP.
    pub struct FrpConfig {
        /// how patches of a group are chosen
        choice: Choice = Choice::Random,
    }
}

/// The strategy.
pub struct Frp {
    choice: Choice,
}

impl Component for Frp {
    const NAME: &'static str = "frp";
    const SUMMARY: &'static str = "masks every facial region in proportion to its size (ablation of FSFM)";
    type Config = FrpConfig;
}

impl Masking for Frp {
    fn create(config: FrpConfig) -> Result<Self> {
        Ok(Self { choice: config.choice })
    }

    fn needs_parsing(&self) -> bool {
        true
    }

    fn mask(&self, input: &MaskInput, mask: &mut [u8], region: &mut [u8]) -> Result<()> {
        let budget = input.count()?;
        let rho = budget as f32 / input.n() as f32; // ρ
        let rng = &mut input.patches();
        in_proportion(&input.predicates()?, rho, self.choice, rng, mask);
        settle(budget, self.choice, rng, mask, region);
        Ok(())
    }
}

export_plugin! { maskings: [Frp] }

#[cfg(test)]
mod tests {
    use super::*;
    use facebench_plugin::{face::patch_regions, masks::count, testing};

    #[test]
    fn masks_keep_every_promise() {
        testing::check_masking::<Frp>("").unwrap();
        testing::check_golden::<Frp>(include_str!("../tests/data/masks.json")).unwrap();
    }

    /// Each group of first-match patches is masked to the share `ratio`, up to rounding and the correction of the count.
    #[test]
    fn every_region_keeps_its_share() {
        let strategy = Frp { choice: Choice::Random };
        for (case, map) in testing::face_maps(224).iter().enumerate() {
            let view = ParsingView { labels: map, height: 224, width: 224 };
            let mut predicates = vec![0; 196];
            patch_regions(&view, (14, 14), &mut predicates).unwrap();
            for key in 0..40 {
                for ratio in [0.3, 0.5, 0.6, 0.75, 0.9] {
                    let input = testing::input(&view, (14, 14), ratio, key);
                    let (mask, region) = testing::run(&strategy, &input).unwrap();
                    assert_eq!(count(&region), 0);
                    let budget = input.count().unwrap();
                    let rho = budget as f64 / 196.0;
                    let of = |j| {
                        (0..196usize).filter(|p| predicates[*p].trailing_zeros() == j).collect::<Vec<_>>()
                    };
                    let mut before = 0.0; // masked before the correction
                    for j in 0..8 {
                        before += (of(j).len() as f32 * rho as f32).round_ties_even() as f64;
                    }
                    let correction = (before - budget as f64).abs();
                    for j in 0..8 {
                        let size = of(j).len() as f64;
                        let masked = of(j).iter().filter(|p| mask[**p] == 1).count() as f64;
                        assert!(
                            (masked - size * rho).abs() <= 0.5 + correction + 1e-4,
                            "map {case} region {j} ratio {ratio}: {masked} of {size}, correction {correction}"
                        );
                    }
                }
            }
        }
    }
}
