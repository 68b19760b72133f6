//! Random masking of MAE (arXiv 2111.06377): any patches, uniformly, without a covered region (method.md 2.5).
#![cfg_attr(test, allow(clippy::unwrap_used))]

use facebench_plugin::prelude::*;

config! {
    /// Random masking has nothing to set; the ratio belongs to the recipe.
    pub struct RandomConfig {}
}

/// The strategy.
pub struct RandomMasking;

impl Component for RandomMasking {
    const NAME: &'static str = "random";
    const SUMMARY: &'static str = "uniformly random patches (MAE)";
    type Config = RandomConfig;
}

impl Masking for RandomMasking {
    fn create(_: RandomConfig) -> Result<Self> {
        Ok(Self)
    }

    fn needs_parsing(&self) -> bool {
        false
    }

    fn mask(&self, input: &MaskInput, mask: &mut [u8], _region: &mut [u8]) -> Result<()> {
        let count = input.count()?;
        let mut order: Vec<usize> = (0..input.n()).collect();
        input.patches().choose_front(&mut order, count);
        for &p in &order[..count] {
            mask[p] = 1;
        }
        Ok(())
    }
}

export_plugin! { maskings: [RandomMasking] }

#[cfg(test)]
mod tests {
    use super::*;
    use facebench_plugin::testing;

    #[test]
    fn masks_keep_every_promise() {
        testing::check_masking::<RandomMasking>("").unwrap();
    }

    #[test]
    fn every_patch_is_removed_equally_often() {
        let mut hits = [0u32; 64];
        for key in 0..4000 {
            let (patches_key, region_key) = ([key, 0], [key, 1]);
            let input = MaskInput { parsing: None, grid: (8, 8), ratio: 0.75, patches_key, region_key };
            let (mask, region) = testing::run(&RandomMasking, &input).unwrap();
            assert!(region.iter().all(|r| *r == 0));
            hits.iter_mut().zip(mask).for_each(|(h, m)| *h += u32::from(m));
        }
        // 3000 expected; 5 standard deviations are 5 * sqrt(4000 * 0.75 * 0.25) = 137
        assert!(hits.iter().all(|h| h.abs_diff(3000) < 137), "{hits:?}");
    }
}
