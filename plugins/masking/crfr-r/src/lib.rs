//! CRFR-R: cover a random facial region, mask the rest at random (an ablation of FSFM, arXiv 2412.12032).
//!
//! No published code contains it; this is CRFR-P (method.md 2.2) with another second step (method.md 2.5). One region c of
//! R1..R6 is covered whole, then patches chosen uniformly among all the others are masked until exactly r·N are: no share per
//! region is kept. If c alone exceeds the budget, random patches of c are cleared instead and the others stay visible.
#![cfg_attr(test, allow(clippy::unwrap_used))]

use facebench_plugin::{
    masks::{Choice, Covered, cover, settle},
    prelude::*,
};

config! {
    /// Settings of CRFR-R.
    pub struct CrfrRConfig {
        /// which region is covered
        covered: Covered = Covered::Random,
        /// how patches are chosen
        choice: Choice = Choice::Random,
    }
}

/// The strategy.
pub struct CrfrR {
    config: CrfrRConfig,
}

impl Component for CrfrR {
    const NAME: &'static str = "crfr-r";
    const SUMMARY: &'static str = "covers one facial region, masks the rest at random (ablation of FSFM)";
    type Config = CrfrRConfig;
}

impl Masking for CrfrR {
    fn create(config: CrfrRConfig) -> Result<Self> {
        Ok(Self { config })
    }

    fn needs_parsing(&self) -> bool {
        true
    }

    fn mask(&self, input: &MaskInput, mask: &mut [u8], region: &mut [u8]) -> Result<()> {
        let (budget, CrfrRConfig { covered, choice }) = (input.count()?, self.config.clone());
        let rng = &mut input.patches();
        let c = covered.region(input);
        cover(&input.predicates()?, c, budget, choice, rng, mask, region);
        settle(budget, choice, rng, mask, region);
        Ok(())
    }
}

export_plugin! { maskings: [CrfrR] }

#[cfg(test)]
mod tests {
    use super::*;
    use facebench_plugin::testing;

    #[test]
    fn masks_keep_every_promise() {
        testing::check_masking::<CrfrR>("").unwrap();
        testing::check_covering::<CrfrR>().unwrap();
        testing::check_golden::<CrfrR>(include_str!("../tests/data/masks.json")).unwrap();
    }

    /// Outside the covered region every patch is masked with the same probability, whatever region it is in.
    #[test]
    fn the_rest_is_masked_evenly() {
        let map = testing::made_up_face(224);
        let view = ParsingView { labels: &map, height: 224, width: 224 };
        let strategy = CrfrR { config: CrfrRConfig { covered: Covered::Nose, choice: Choice::Random } };
        let (mut hits, mut expected, draws) = ([0u32; 196], 0.0, 4000u32);
        for key in 0..u64::from(draws) {
            let input = testing::input(&view, (14, 14), 0.75, key);
            let (mask, region) = testing::run(&strategy, &input).unwrap();
            let size = masks::count(&region);
            expected = f64::from(draws) * (147 - size) as f64 / (196 - size) as f64;
            for p in (0..196).filter(|p| region[*p] == 0) {
                hits[p] += u32::from(mask[p]);
            }
        }
        // 5 standard deviations of a binomial count
        let sigma = (expected * (1.0 - expected / f64::from(draws))).sqrt();
        let outside: Vec<u32> = hits.into_iter().filter(|h| *h > 0).collect();
        assert!(
            outside.iter().all(|h| (f64::from(*h) - expected).abs() < 5.0 * sigma),
            "{expected} {outside:?}"
        );
    }
}
