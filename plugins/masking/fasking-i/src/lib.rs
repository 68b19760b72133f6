//! Fasking-I: hide the components of a face before its skin and background; MARLIN's "Fasking" (arXiv 2211.06627) on images.
//!
//! The FSFM paper compares with it; no published code contains it for images, so this is our reading of MARLIN's published
//! video version (method.md 2.5). A queue [background, skin, then {right eye and brow, left eye and brow, nose, mouth, hair} in
//! random order] is walked; at each step all patches that touch one of the step's labels become visible, until at least
//! N − n are, n the number to mask. Random visible patches are then hidden until exactly n are hidden. A map without a face
//! is all background and so gives random masking, as in MARLIN when parsing failed. The region mask is empty: there is no
//! region loss.
#![cfg_attr(test, allow(clippy::unwrap_used))]

use facebench_plugin::{
    face::patch_labels,
    masks::{Choice, count, settle},
    prelude::*,
};

config! {
    /// Settings of Fasking-I.
    pub struct FaskingConfig {
        /// how visible patches are hidden again, and the order of the components
        choice: Choice = Choice::Random,
    }
}

/// Labels of the queue's two fixed steps: background, skin.
const FIRST: [u16; 2] = [1 << 0, 1 << 1];
/// Labels of its shuffled steps: right eye and brow, left eye and brow, nose, mouth, hair.
const COMPONENTS: [u16; 5] = [1 << 2 | 1 << 4, 1 << 3 | 1 << 5, 1 << 6, 1 << 7 | 1 << 8 | 1 << 9, 1 << 10];

/// The strategy.
pub struct FaskingI {
    choice: Choice,
}

impl Component for FaskingI {
    const NAME: &'static str = "fasking-i";
    const SUMMARY: &'static str = "hides facial components first (MARLIN's Fasking on images)";
    type Config = FaskingConfig;
}

impl Masking for FaskingI {
    fn create(config: FaskingConfig) -> Result<Self> {
        Ok(Self { choice: config.choice })
    }

    fn needs_parsing(&self) -> bool {
        true
    }

    fn mask(&self, input: &MaskInput, mask: &mut [u8], region: &mut [u8]) -> Result<()> {
        let (n, budget) = (input.n(), input.count()?);
        let Some(map) = &input.parsing else { bail!("fasking-i needs a face-parsing map") };
        let mut labels = vec![0; n];
        patch_labels(map, input.grid, &mut labels)?;
        let mut components = COMPONENTS;
        self.choice.front(&mut input.region(), &mut components, COMPONENTS.len());

        mask.fill(1);
        for step in FIRST.into_iter().chain(components) {
            if n - count(mask) >= n - budget {
                break;
            }
            for (m, present) in mask.iter_mut().zip(&labels) {
                *m &= u8::from(present & step == 0);
            }
        }
        settle(budget, self.choice, &mut input.patches(), mask, region);
        Ok(())
    }
}

export_plugin! { maskings: [FaskingI] }

#[cfg(test)]
mod tests {
    use super::*;
    use facebench_plugin::testing;

    #[test]
    fn masks_keep_every_promise() {
        testing::check_masking::<FaskingI>("").unwrap();
        testing::check_golden::<FaskingI>(include_str!("../tests/data/masks.json")).unwrap();
    }

    /// As long as skin and background suffice, no patch of a component alone is visible.
    #[test]
    fn components_are_hidden_first() {
        let map = testing::made_up_face(224);
        let view = ParsingView { labels: &map, height: 224, width: 224 };
        let mut labels = vec![0; 196];
        patch_labels(&view, (14, 14), &mut labels).unwrap();
        let enough = labels.iter().filter(|l| *l & 0b11 != 0).count();
        assert!(enough >= 49, "{enough} patches touch skin or background");
        for key in 0..200 {
            let input = testing::input(&view, (14, 14), 0.75, key);
            let (mask, region) = testing::run(&FaskingI { choice: Choice::Random }, &input).unwrap();
            assert_eq!((count(&mask), count(&region)), (147, 0));
            assert!((0..196).all(|p| mask[p] == 1 || labels[p] & 0b11 != 0));
        }
    }

    /// A ratio that skin and background cannot satisfy reveals components one by one, each first equally often.
    #[test]
    fn components_come_in_an_even_order() {
        // columns of a 10 x 10 grid: 2 skin, then the five components
        let mut map = vec![1u8; 100];
        for (p, label) in map.iter_mut().enumerate() {
            *label = [1, 1, 2, 5, 6, 6, 7, 8, 10, 10][p % 10];
        }
        let view = ParsingView { labels: &map, height: 10, width: 10 };
        let mut first = [0u32; 5];
        for key in 0..5000 {
            let input = testing::input(&view, (10, 10), 0.79, key); // one patch more than the skin has
            let (mask, _) = testing::run(&FaskingI { choice: Choice::Random }, &input).unwrap();
            let shown = (0..100).filter(|p| mask[*p] == 0 && map[*p] != 1).max();
            if let Some(p) = shown {
                let component = COMPONENTS.iter().position(|c| c >> map[p] & 1 == 1).unwrap();
                first[component] += 1;
            }
        }
        // 1000 expected; 5 standard deviations are 5 * sqrt(5000 * 1/5 * 4/5) = 141
        assert!(first.iter().all(|f| f.abs_diff(1000) < 141), "{first:?}");
    }

    #[test]
    fn without_a_face_it_is_random_masking() {
        let map = vec![0u8; 224 * 224];
        let view = ParsingView { labels: &map, height: 224, width: 224 };
        let mut hits = [0u32; 196];
        for key in 0..4000 {
            let input = testing::input(&view, (14, 14), 0.75, key);
            let (mask, _) = testing::run(&FaskingI { choice: Choice::Random }, &input).unwrap();
            hits.iter_mut().zip(mask).for_each(|(h, m)| *h += u32::from(m));
        }
        // 3000 expected; 5 standard deviations are 5 * sqrt(4000 * 0.75 * 0.25) = 137
        assert!(hits.iter().all(|h| h.abs_diff(3000) < 137), "{hits:?}");
    }
}
