//! From selectors to samples, with the walls between training, development and test checked.
//!
//! The same sample, video or person (where people are known) on two sides of a wall stops the run. People are
//! compared within a data set and between sets of the same source (FF++ real videos are targets *and* sources of
//! fakes, so both ids of a fake count). Test sets may overlap each other. Near-duplicate images are not looked for.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::{Dev, Fold, Selector, TestSet};
use crate::dataset::{is_few_shot, source_of};
use crate::error::{Error, Result};
use crate::frames::spaced_at_most;
use crate::nearest::nearest;
use crate::sample::{Manifest, Sample};

/// The samples of a fold, each part sorted by identity.
#[derive(Clone, Debug, PartialEq)]
pub struct Assembled {
    /// To train on.
    pub train: Vec<Sample>,
    /// To choose checkpoints and thresholds on.
    pub dev: Vec<Sample>,
    /// To report.
    pub tests: Vec<(TestSet, Vec<Sample>)>,
    /// Whether any data set used is synthetic.
    pub synthetic: bool,
}

impl Selector {
    /// The samples that this selector names, in order of identity.
    pub fn select<'m>(&self, manifest: &'m Manifest) -> Vec<&'m Sample> {
        let wanted = |s: &Sample| {
            s.dataset == self.dataset
                && s.split == self.split
                && if s.label == 0 { self.reals } else { self.keeps_method(&s.method) }
        };
        let all: Vec<&Sample> = manifest.samples.iter().filter(|s| wanted(s)).collect();
        let Some(most) = self.frames else { return all };
        all.chunk_by(|a, b| (&a.method, &a.video) == (&b.method, &b.video))
            .flat_map(|frames| spaced_at_most(frames.len(), most).into_iter().map(|i| frames[i]))
            .collect()
    }

    fn keeps_method(&self, method: &str) -> bool {
        self.methods.is_empty() || self.methods.iter().any(|m| m.eq_ignore_ascii_case(method))
    }
}

impl Fold {
    /// The samples of each part, from the manifests of the data sets it names.
    ///
    /// # Errors
    /// A data set is missing; a method that the data set does not have; a part without samples or with one class;
    /// development people cannot be held out; a sample, video or person in two of training, development and tests.
    pub fn assemble(&self, sets: &BTreeMap<String, Manifest>) -> Result<Assembled> {
        let mut train = self.part("train", &self.train, sets)?;
        let dev = match &self.dev {
            Dev::Select(list) => self.part("dev", list, sets)?,
            Dev::HoldOut { fraction } => self.hold_out(&mut train, *fraction)?,
        };
        self.two_classes("train", &train)?;
        self.two_classes("dev", &dev)?;
        let mut tests = Vec::new();
        for test in &self.tests {
            let samples = self.part(&test.name, &test.select, sets)?;
            self.two_classes(&test.name, &samples)?;
            tests.push((test.clone(), samples));
        }
        self.no_leak(("train", &train), ("dev", &dev))?;
        for (test, samples) in &tests {
            self.no_leak(("train", &train), (&test.name, samples))?;
            self.no_leak(("dev", &dev), (&test.name, samples))?;
        }
        let synthetic = self.selectors().any(|s| sets.get(&s.dataset).is_some_and(|m| m.synthetic));
        Ok(Assembled { train, dev, tests, synthetic })
    }

    fn part(&self, part: &str, list: &[Selector], sets: &BTreeMap<String, Manifest>) -> Result<Vec<Sample>> {
        let mut picked: BTreeMap<_, &Sample> = BTreeMap::new();
        let mut found: BTreeMap<&str, (usize, &Selector)> = BTreeMap::new();
        for selector in list {
            let manifest = sets.get(&selector.dataset).ok_or_else(|| Error::MissingDataset {
                fold: self.name.clone(),
                dataset: selector.dataset.clone(),
                available: sets.keys().cloned().collect::<Vec<_>>().join(", "),
            })?;
            self.methods_exist(part, selector, manifest)?;
            let samples = selector.select(manifest);
            found.entry(&selector.dataset).or_insert((0, selector)).0 += samples.len();
            picked.extend(samples.into_iter().map(|s| (s.key(), s)));
        }
        match found.values().find(|(n, _)| *n == 0) {
            Some((_, selector)) => Err(Error::EmptySelection {
                fold: self.name.clone(),
                part: part.to_owned(),
                selector: selector.to_string(),
                hint: Some(splits_hint(&sets[&selector.dataset])),
            }),
            None => Ok(picked.into_values().cloned().collect()),
        }
    }

    fn methods_exist(&self, part: &str, selector: &Selector, manifest: &Manifest) -> Result<()> {
        let known: BTreeSet<&str> =
            manifest.samples.iter().filter(|s| s.label == 1).map(|s| s.method.as_str()).collect();
        match selector.methods.iter().find(|m| !known.iter().any(|k| k.eq_ignore_ascii_case(m))) {
            None => Ok(()),
            Some(missing) => Err(Error::EmptySelection {
                fold: self.name.clone(),
                part: part.to_owned(),
                selector: format!("method {missing:?} of {}", selector.dataset),
                hint: Some(match nearest(missing, known.iter().copied()) {
                    Some(near) => format!("did you mean {near:?}?"),
                    None => format!("its methods are {}", known.into_iter().collect::<Vec<_>>().join(", ")),
                }),
            }),
        }
    }

    fn two_classes(&self, part: &str, samples: &[Sample]) -> Result<()> {
        let fake = samples.iter().filter(|s| s.label == 1).count();
        let real = samples.len() - fake;
        if real == 0 || fake == 0 {
            return Err(Error::OneClassPart { fold: self.name.clone(), part: part.to_owned(), real, fake });
        }
        Ok(())
    }

    /// Take a share of the people of each data set out of `train`.
    ///
    /// People who appear in one sample together (the two of a swap) stay together. Videos without known people are
    /// groups of their own, drawn per class. Which groups go is decided by a hash of their names, so it does not
    /// depend on order, platform or how many other groups there are beyond the share.
    fn hold_out(&self, train: &mut Vec<Sample>, fraction: f64) -> Result<Vec<Sample>> {
        // few-shot videos are too few to share: they stay in training
        let datasets: BTreeSet<String> =
            train.iter().map(|s| s.dataset.clone()).filter(|d| !is_few_shot(d)).collect();
        let mut chosen = vec![false; train.len()];
        for dataset in &datasets {
            let members: Vec<usize> = (0..train.len()).filter(|&i| train[i].dataset == *dataset).collect();
            let mut strata: BTreeMap<u8, Vec<(String, Vec<usize>)>> = BTreeMap::new();
            for (stratum, name, group) in groups(train, &members) {
                strata.entry(stratum).or_default().push((name, group));
            }
            for list in strata.values_mut() {
                if list.len() < 2 {
                    return Err(Error::HoldOut {
                        fold: self.name.clone(),
                        fraction,
                        dataset: dataset.clone(),
                        why:
                            "all its samples hang together through shared people, or there is only one video"
                                .into(),
                    });
                }
                list.sort_by_cached_key(|(name, _)| hash(dataset, name));
                let take = ((fraction * list.len() as f64).round() as usize).clamp(1, list.len() - 1);
                list[..take].iter().flat_map(|(_, group)| group).for_each(|&i| chosen[i] = true);
            }
        }
        let mut keep = chosen.iter();
        let (dev, rest) =
            std::mem::take(train).into_iter().partition(|_| *keep.next().expect("one flag for each sample"));
        *train = rest;
        Ok(dev)
    }

    fn no_leak(&self, (first, a): (&str, &[Sample]), (second, b): (&str, &[Sample])) -> Result<()> {
        let leak = |kind, names: Vec<String>, hint| match names.first() {
            None => Ok(()),
            Some(name) => Err(Error::Leak {
                fold: self.name.as_str().into(),
                kind,
                name: name.as_str().into(),
                first: first.into(),
                second: second.into(),
                count: names.len(),
                hint,
            }),
        };
        let common = |name: fn(&Sample) -> Vec<String>| -> Vec<String> {
            let all = |samples: &[Sample]| samples.iter().flat_map(name).collect::<BTreeSet<String>>();
            all(a).intersection(&all(b)).cloned().collect()
        };
        leak("sample", common(|s| vec![s.id()]), "the selectors overlap; give each part its own split")?;
        leak("video", common(|s| vec![s.video_id()]), "frames of one video must stay on one side")?;
        leak(
            "subject",
            common(|s| match is_few_shot(&s.dataset) {
                true => Vec::new(), // that its people are tested too is what the protocol is about
                false => s.subjects.iter().map(|p| format!("{}/{p}", source_of(&s.dataset))).collect(),
            }),
            "a person on both sides makes the test easier than it looks; split by person",
        )
    }
}

/// Groups that must stay together, as (stratum, name, members): connected people are stratum 2; videos of unknown
/// people are strata 0 (real) and 1 (fake).
fn groups(samples: &[Sample], members: &[usize]) -> Vec<(u8, String, Vec<usize>)> {
    let mut ids: BTreeMap<&str, usize> = BTreeMap::new();
    for person in members.iter().flat_map(|&i| &samples[i].subjects) {
        let next = ids.len();
        ids.entry(person).or_insert(next);
    }
    let mut parent: Vec<usize> = (0..ids.len()).collect();
    for &i in members {
        for pair in samples[i].subjects.windows(2) {
            let (a, b) = (root(&mut parent, ids[pair[0].as_str()]), root(&mut parent, ids[pair[1].as_str()]));
            parent[a.max(b)] = a.min(b);
        }
    }
    let mut name_of: BTreeMap<usize, &str> = BTreeMap::new(); // the first name in order names the group
    for (&person, &id) in &ids {
        name_of.entry(root(&mut parent, id)).or_insert(person);
    }
    let mut out: BTreeMap<(u8, String), Vec<usize>> = BTreeMap::new();
    for &i in members {
        let key = match samples[i].subjects.first() {
            Some(person) => (2, name_of[&root(&mut parent, ids[person.as_str()])].to_owned()),
            None => (samples[i].label, format!("{}/{}", samples[i].method, samples[i].video)),
        };
        out.entry(key).or_default().push(i);
    }
    out.into_iter().map(|((stratum, name), group)| (stratum, name, group)).collect()
}

fn root(parent: &mut [usize], mut i: usize) -> usize {
    while parent[i] != i {
        parent[i] = parent[parent[i]];
        i = parent[i];
    }
    i
}

fn hash(dataset: &str, name: &str) -> [u8; 32] {
    Sha256::digest(format!("facebench\0hold-out\0{dataset}\0{name}")).into()
}

fn splits_hint(manifest: &Manifest) -> String {
    let mut counts: BTreeMap<_, [usize; 2]> = BTreeMap::new();
    for s in &manifest.samples {
        counts.entry(s.split).or_default()[usize::from(s.label == 1)] += 1;
    }
    let parts: Vec<String> =
        counts.iter().map(|(split, [real, fake])| format!("{split} {real} real + {fake} fake")).collect();
    format!("the manifest has {}", parts.join(", "))
}
