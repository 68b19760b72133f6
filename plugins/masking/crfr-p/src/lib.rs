//! CRFR-P: cover a random facial region, mask the others in proportion (FSFM, arXiv 2412.12032; method.md 2.2).
//!
//! One region c of R1..R6 is covered whole. Every other patch belongs to the first region in list order whose predicate
//! it satisfies; of each such group S, rhe(|S|·ρ) patches are masked with ρ = Δ / (N − |M_fr|), then random patches are added
//! or cleared until exactly r·N are masked. ρ and |S|·ρ are float32 with halves rounded to even: in exact arithmetic some
//! masks differ from the published code's. If c alone exceeds the budget, random patches of c are cleared instead and the
//! others stay visible.
#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(test)]
mod tests;

use facebench_plugin::{
    masks::{Choice, Covered, cover, in_proportion, settle},
    prelude::*,
};

config! {
    /// Settings of CRFR-P.
    pub struct CrfrConfig {
        /// which region is covered
        covered: Covered = Covered::Random,
        /// how patches of a group are chosen
        choice: Choice = Choice::Random,
    }
}

/// The strategy.
pub struct CrfrP {
    config: CrfrConfig,
}

impl Component for CrfrP {
    const NAME: &'static str = "crfr-p";
    const SUMMARY: &'static str = "covers one facial region, masks the others in proportion (FSFM)";
    type Config = CrfrConfig;
}

impl Masking for CrfrP {
    fn create(config: CrfrConfig) -> Result<Self> {
        Ok(Self { config })
    }

    fn needs_parsing(&self) -> bool {
        true
    }

    fn mask(&self, input: &MaskInput, mask: &mut [u8], region: &mut [u8]) -> Result<()> {
        let (n, budget, CrfrConfig { covered, choice }) = (input.n(), input.count()?, self.config.clone());
        let predicates = input.predicates()?;
        let rng = &mut input.patches();

        let c = covered.region(input);
        let size = cover(&predicates, c, budget, choice, rng, mask, region); // |M_fr|
        if size < budget {
            let rho = (budget - size) as f32 / (n - size) as f32; // ρ
            in_proportion(&predicates, rho, choice, rng, mask);
            settle(budget, choice, rng, mask, region);
        }
        Ok(())
    }
}

export_plugin! { maskings: [CrfrP] }
