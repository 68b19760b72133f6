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
    face::{COVERABLE, REGIONS, patch_regions},
    prelude::*,
};

choice! {
    /// Which region is covered.
    pub enum Covered {
        /// one of the six, drawn from the region stream
        Random = "random",
        /// always the eyebrows
        Eyebrows = "eyebrows",
        /// always the eyes
        Eyes = "eyes",
        /// always the nose
        Nose = "nose",
        /// always the mouth
        Mouth = "mouth",
        /// always the face boundary
        Boundary = "boundary",
        /// always the hair
        Hair = "hair",
    }
}

choice! {
    /// How k patches of a group are chosen.
    pub enum Choice {
        /// uniformly, from the patch stream
        Random = "random",
        /// the first k in ascending order: for comparing with published vectors, not for training
        Identity = "identity",
    }
}

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

impl CrfrP {
    /// Index into the regions of the one to cover.
    fn region(&self, input: &MaskInput) -> usize {
        let word = self.config.covered.word();
        REGIONS.iter().position(|r| *r == word).unwrap_or_else(|| input.region().below(COVERABLE))
    }

    /// Moves k chosen patches to the front.
    fn choose(&self, rng: &mut Rng, patches: &mut [usize], k: usize) {
        if self.config.choice == Choice::Random {
            rng.choose_front(patches, k);
        }
    }
}

impl Masking for CrfrP {
    fn create(config: CrfrConfig) -> Result<Self> {
        Ok(Self { config })
    }

    fn needs_parsing(&self) -> bool {
        true
    }

    fn mask(&self, input: &MaskInput, mask: &mut [u8], region: &mut [u8]) -> Result<()> {
        let Some(map) = &input.parsing else { bail!("crfr-p needs a face-parsing map") };
        let (n, budget) = (input.n(), input.count()?);
        let mut predicates = vec![0; n]; // bit j: predicate of region j
        patch_regions(map, input.grid, &mut predicates)?;
        let covered = self.region(input); // c
        let rng = &mut input.patches();

        for (p, &bits) in predicates.iter().enumerate() {
            region[p] = bits >> covered & 1;
        }
        let size = region.iter().filter(|r| **r == 1).count(); // |M_fr|
        if size >= budget {
            let mut patches = ones(region);
            self.choose(rng, &mut patches, size - budget);
            for &p in &patches[..size - budget] {
                region[p] = 0;
            }
            mask.copy_from_slice(region);
            return Ok(());
        }

        mask.copy_from_slice(region);
        let rho = (budget - size) as f32 / (n - size) as f32; // ρ
        let mut owned = region.to_vec(); // 1: attributed to a region already
        let mut group = Vec::with_capacity(n); // S
        for j in (0..REGIONS.len()).filter(|j| *j != covered) {
            group.clear();
            group.extend((0..n).filter(|&p| owned[p] == 0 && predicates[p] >> j & 1 == 1));
            let k = (group.len() as f32 * rho).round_ties_even() as usize;
            for &p in &group {
                owned[p] = 1;
            }
            self.choose(rng, &mut group, k);
            for &p in &group[..k] {
                mask[p] = 1;
            }
        }
        correct(self, rng, budget, mask, region);
        Ok(())
    }
}

/// Adds or clears random patches until exactly `budget` are masked; the covered region stays.
fn correct(strategy: &CrfrP, rng: &mut Rng, budget: usize, mask: &mut [u8], region: &[u8]) {
    let masked = mask.iter().filter(|m| **m == 1).count();
    let (mut patches, value): (Vec<usize>, u8) = if masked < budget {
        ((0..mask.len()).filter(|&p| mask[p] == 0).collect(), 1)
    } else {
        ((0..mask.len()).filter(|&p| mask[p] == 1 && region[p] == 0).collect(), 0)
    };
    let count = masked.abs_diff(budget);
    strategy.choose(rng, &mut patches, count);
    for &p in &patches[..count] {
        mask[p] = value;
    }
}

fn ones(bits: &[u8]) -> Vec<usize> {
    (0..bits.len()).filter(|&p| bits[p] == 1).collect()
}

export_plugin! { maskings: [CrfrP] }
