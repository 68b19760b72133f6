//! What region-guided masking strategies share: covering a region, masking the others in proportion, exact counts.
//!
//! Each part is one step of CRFR-P as published (FSFM, arXiv 2412.12032; method.md 2.2), so that strategies which differ in
//! one step differ in one line. ρ and |S|·ρ are float32 with halves rounded to even: in exact arithmetic some masks differ
//! from the published code's. Patch indices ascend before every choice, and a choice takes the front of a shuffle, so
//! [`Choice::Identity`] gives the masks of published vectors.

use crate::face::{COVERABLE, REGIONS};
use crate::{MaskInput, Rng, choice};

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

impl Covered {
    /// Index into [`REGIONS`] of the region to cover.
    pub fn region(self, input: &MaskInput) -> usize {
        match REGIONS.iter().position(|r| *r == self.word()) {
            Some(named) => named,
            None => input.region().below(COVERABLE),
        }
    }
}

impl Choice {
    /// Moves k chosen elements to the front.
    pub fn front<T>(self, rng: &mut Rng, items: &mut [T], k: usize) {
        if self == Self::Random {
            rng.choose_front(items, k);
        }
    }
}

/// Marks the patches of region `c` in `mask` and `region`; if they exceed `budget`, clears random ones of them.
/// Returns their number, |M_fr|.
///
/// `predicates` are those of [`patch_regions`](crate::face::patch_regions). When the result equals `budget`, nothing is left
/// to mask and the other regions stay visible.
pub fn cover(
    predicates: &[u8],
    c: usize,
    budget: usize,
    choice: Choice,
    rng: &mut Rng,
    mask: &mut [u8],
    region: &mut [u8],
) -> usize {
    for (r, bits) in region.iter_mut().zip(predicates) {
        *r = bits >> c & 1;
    }
    let size = count(region);
    if size > budget {
        let mut patches = indices(region, 1);
        choice.front(rng, &mut patches, size - budget);
        clear(region, &patches[..size - budget]);
    }
    mask.copy_from_slice(region);
    size.min(budget)
}

/// Masks rhe(|S|·ρ) patches of each group S, where a patch belongs to the first region in list order whose predicate it
/// satisfies. Patches masked already belong to no group (they are the covered region).
pub fn in_proportion(predicates: &[u8], rho: f32, choice: Choice, rng: &mut Rng, mask: &mut [u8]) {
    // groups as ranges of one list: count, then place
    let owner = |p: usize| if mask[p] == 1 { 8 } else { predicates[p].trailing_zeros().min(8) as usize };
    let mut ends = [0usize; 9];
    for p in 0..mask.len() {
        ends[owner(p)] += 1;
    }
    let sizes = ends;
    let mut start = 0;
    for end in &mut ends {
        start += std::mem::replace(end, start);
    }
    let mut patches = vec![0u32; mask.len()];
    for p in 0..mask.len() {
        let place = &mut ends[owner(p)];
        patches[*place] = p as u32;
        *place += 1;
    }
    for j in 0..REGIONS.len() {
        let group = &mut patches[ends[j] - sizes[j]..ends[j]]; // S, ascending
        let k = (group.len() as f32 * rho).round_ties_even() as usize;
        choice.front(rng, group, k);
        for &p in &group[..k.min(group.len())] {
            mask[p as usize] = 1;
        }
    }
}

/// Masks or unmasks random patches until exactly `budget` are masked; the covered region stays masked.
pub fn settle(budget: usize, choice: Choice, rng: &mut Rng, mask: &mut [u8], region: &[u8]) {
    let masked = count(mask);
    let missing = budget.saturating_sub(masked);
    if missing > 0 {
        let mut patches = indices(mask, 0);
        choice.front(rng, &mut patches, missing);
        for &p in &patches[..missing] {
            mask[p as usize] = 1;
        }
    } else if masked > budget {
        let free = |p: &u32| region[*p as usize] == 0;
        let mut patches: Vec<u32> = indices(mask, 1).into_iter().filter(free).collect();
        choice.front(rng, &mut patches, masked - budget);
        clear(mask, &patches[..masked - budget]);
    }
}

/// How many patches are marked.
pub fn count(bits: &[u8]) -> usize {
    bits.iter().map(|b| usize::from(*b)).sum()
}

/// Patches whose bit is `value`, ascending.
fn indices(bits: &[u8], value: u8) -> Vec<u32> {
    (0u32..).zip(bits).filter(|(_, b)| **b == value).map(|(p, _)| p).collect()
}

fn clear(bits: &mut [u8], patches: &[u32]) {
    for &p in patches {
        bits[p as usize] = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_take_their_share_and_the_first_region_wins() {
        // four patches of the eyes (two of them hair as well), six of hair alone
        let predicates = [0b10, 0b10, 0b10_0010, 0b10_0010, 0b10_0000, 0b10_0000, 32, 32, 32, 32];
        let mut mask = [0; 10];
        in_proportion(&predicates, 0.5, Choice::Identity, &mut Rng::new([0, 0]), &mut mask);
        assert_eq!(mask, [1, 1, 0, 0, 1, 1, 1, 0, 0, 0]);
        // a masked patch belongs to no group
        let mut mask = [1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        in_proportion(&predicates, 0.5, Choice::Identity, &mut Rng::new([0, 0]), &mut mask);
        assert_eq!(mask, [1, 1, 1, 0, 1, 1, 1, 0, 0, 0], "rhe(1.5) = 2");
    }

    #[test]
    fn settling_adds_or_clears_and_spares_the_region() {
        let mut rng = Rng::new([1, 2]);
        let region = [0, 1, 0, 0];
        let mut mask = [0, 1, 0, 0];
        settle(3, Choice::Identity, &mut rng, &mut mask, &region);
        assert_eq!(mask, [1, 1, 1, 0]);
        settle(1, Choice::Random, &mut rng, &mut mask, &region);
        assert_eq!(mask, region);
    }

    #[test]
    fn a_region_beyond_the_budget_is_thinned() {
        let (mut mask, mut region) = ([0; 6], [0; 6]);
        let size =
            cover(&[1, 1, 1, 1, 2, 2], 0, 3, Choice::Identity, &mut Rng::new([0, 0]), &mut mask, &mut region);
        assert_eq!((size, mask, region), (3, [0, 1, 1, 1, 0, 0], [0, 1, 1, 1, 0, 0]));
    }
}
