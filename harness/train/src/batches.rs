//! From samples to the order of work: which frame comes when, in which epoch, with which stream.
//!
//! An epoch's order is a function of (seed, epoch) alone, so a resumed run continues with the batch
//! at which it stopped. Augmentation streams belong to (seed, epoch, sample id), never to a thread.

use std::collections::BTreeMap;

use facebench_protocols::Sample;
use facebench_protocols::rng::Stream;

use crate::spec::Sampling;

/// The shuffled order of `count` items in an epoch.
pub fn order(purpose: &str, seed: u64, epoch: usize, count: usize) -> Vec<usize> {
    let mut items: Vec<usize> = (0..count).collect();
    Stream::new(purpose, seed, &[&epoch.to_string()]).shuffle(&mut items);
    items
}

/// Batches of an epoch that drop the incomplete last one (a single batch is kept whole).
pub fn full_batches(items: &[usize], batch: usize) -> Vec<Vec<usize>> {
    if items.len() <= batch {
        return vec![items.to_vec()];
    }
    items.chunks_exact(batch).map(<[usize]>::to_vec).collect()
}

/// Training batches of one epoch over `samples`.
///
/// `Natural` shuffles all frames. `Balanced` deals the positions of each batch to the groups
/// (data set, class) in turn; a group that runs out starts again with a new shuffle. An epoch has as
/// many frames as there are samples either way. `PerSource` gives `batches` batches (as many as the samples
/// fill, if absent) of `batch` frames of each group; see [`per_source`].
pub fn tuning_batches(
    samples: &[Sample],
    sampling: Sampling,
    seed: u64,
    epoch: usize,
    batch: usize,
    batches: Option<usize>,
) -> Vec<Vec<usize>> {
    if sampling == Sampling::PerSource {
        let frames = batch * groups(samples, 0..samples.len()).len();
        let count = batches.unwrap_or((samples.len() / frames).max(1));
        return (epoch * count..(epoch + 1) * count).map(|t| per_source(samples, seed, t, batch)).collect();
    }
    let natural = order("tune-order", seed, epoch, samples.len());
    match sampling {
        Sampling::Natural => full_batches(&natural, batch),
        Sampling::Balanced | Sampling::PerSource => {
            let mut groups = groups(samples, natural.iter().copied());
            let mut dealt = Vec::with_capacity(samples.len());
            for turn in 0..samples.len().div_ceil(groups.len()) {
                for ((dataset, label), group) in &mut groups {
                    if turn > 0 && turn % group.len() == 0 {
                        let parts = [&epoch.to_string(), *dataset, &label.to_string(), &turn.to_string()];
                        Stream::new("tune-repeat", seed, &parts).shuffle(group);
                    }
                    dealt.push(group[turn % group.len()]);
                }
            }
            dealt.truncate(samples.len());
            full_batches(&dealt, batch)
        }
    }
}

/// The (data set, class) groups of `indices`, in their order.
pub fn groups(
    samples: &[Sample],
    indices: impl IntoIterator<Item = usize>,
) -> BTreeMap<(&str, u8), Vec<usize>> {
    let mut groups: BTreeMap<(&str, u8), Vec<usize>> = BTreeMap::new();
    for i in indices {
        groups.entry((&samples[i].dataset, samples[i].label)).or_default().push(i);
    }
    groups
}

/// Batch number `t` of the run: `each` frames of every (data set, class).
///
/// A group's loader goes through its frames in shuffled passes of ⌊n / each⌋ batches and drops the rest of a pass,
/// as the released code does; a group smaller than `each` fills its place by starting over. Knows `t` alone, so a
/// resumed run needs no state.
pub fn per_source(samples: &[Sample], seed: u64, t: usize, each: usize) -> Vec<usize> {
    let mut batch = Vec::new();
    for ((dataset, label), group) in groups(samples, 0..samples.len()) {
        let length = (group.len() / each).max(1);
        let (pass, slot) = (t / length, t % length);
        let parts = [dataset, &label.to_string(), &pass.to_string()];
        let mut shuffled = group;
        Stream::new("tune-source", seed, &parts).shuffle(&mut shuffled);
        batch.extend(shuffled.iter().cycle().skip(slot * each).take(each));
    }
    batch
}

#[cfg(test)]
mod tests {
    use super::*;
    use facebench_protocols::Split;

    fn sample(dataset: &str, label: u8, frame: u32) -> Sample {
        Sample {
            dataset: dataset.into(),
            method: if label == 0 { "real" } else { "fake" }.into(),
            video: "v".into(),
            frame,
            label,
            split: Split::Train,
            subjects: vec![],
            path: "x.png".into(),
        }
    }

    #[test]
    fn natural_batches_use_each_frame_at_most_once() {
        let samples: Vec<Sample> = (0..103).map(|i| sample("a", u8::from(i % 5 != 0), i)).collect();
        let batches = tuning_batches(&samples, Sampling::Natural, 1, 0, 10, None);
        let mut seen: Vec<usize> = batches.concat();
        assert_eq!(seen.len(), 100);
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 100);
        assert_ne!(batches, tuning_batches(&samples, Sampling::Natural, 1, 1, 10, None));
        assert_eq!(batches, tuning_batches(&samples, Sampling::Natural, 1, 0, 10, None));
    }

    #[test]
    fn balanced_batches_hold_every_group_equally() {
        let mut samples: Vec<Sample> = (0..90).map(|i| sample("a", 1, i)).collect();
        samples.extend((0..6).map(|i| sample("a", 0, i)));
        samples.extend((0..4).map(|i| sample("b", 0, i)));
        samples.extend((0..20).map(|i| sample("b", 1, i)));
        for batch in tuning_batches(&samples, Sampling::Balanced, 3, 2, 12, None) {
            let real = batch.iter().filter(|&&i| samples[i].label == 0).count();
            assert_eq!((batch.len(), real), (12, 6));
        }
    }

    #[test]
    fn each_source_has_its_own_loader() {
        let mut samples: Vec<Sample> = (0..50).map(|i| sample("a", 1, i)).collect();
        samples.extend((0..24).map(|i| sample("a", 0, i)));
        samples.extend((0..5).map(|i| sample("b", 0, i)));
        samples.extend((0..36).map(|i| sample("b", 1, i)));
        let epochs: Vec<Vec<usize>> =
            (0..2).flat_map(|e| tuning_batches(&samples, Sampling::PerSource, 3, e, 12, Some(3))).collect();
        assert_eq!(epochs.len(), 6);
        for batch in &epochs {
            assert_eq!(batch.len(), 48);
            for ((dataset, label), of_group) in groups(&samples, batch.iter().copied()) {
                assert_eq!(of_group.len(), 12, "{dataset} {label}");
            }
        }
        // 24 frames fill two batches: a pass shows each once, across the border of epochs too
        let pass = |t: usize| {
            let all = epochs[t].iter().chain(&epochs[t + 1]).copied();
            let mut seen = groups(&samples, all).remove(&("a", 0)).unwrap();
            seen.sort_unstable();
            seen.dedup();
            seen.len()
        };
        assert_eq!((pass(0), pass(2), pass(4)), (24, 24, 24));
        assert_ne!(epochs[0], epochs[2]);
    }
}
