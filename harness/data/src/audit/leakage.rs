//! What the parts of a fold, and what was pre-trained on, have in common.
//!
//! Stop: the same file, or a copy of it, in training and in development or test. Warn: pictures that look alike, copies in
//! a pre-training set (they came without labels), people of FaceForensics++ seen in pre-training or through another data
//! set made from it. Note: a few-shot list whose people are tested, which is what few-shot means.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use facebench_protocols::{Assembled, Finding, Sample, Severity, dataset};

use super::cache::{prints, shard_prints};
use super::near::Near;
use super::print::{NEAR_D, Print};
use crate::Error;
use crate::readers::{PretrainItem, pretrain_folders};
use crate::shard::{Shard, is_shard};

/// Which side of the walls a part is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// Seen without labels.
    Pretrain,
    /// Learned from.
    Train,
    /// Chosen on.
    Dev,
    /// Reported.
    Test,
}

/// Pictures on one side.
#[derive(Clone, Debug)]
pub struct Part {
    /// `train`, `dev`, a test set's name, or a pre-training folder.
    pub name: String,
    /// The side.
    pub side: Side,
    /// The pictures.
    pub items: Vec<Item>,
    /// The shard that holds them, in its order; none for files.
    pub shard: Option<PathBuf>,
}

/// A picture.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its identity, for messages.
    pub id: String,
    /// Data set or pre-training folder: prints are kept by it.
    pub set: String,
    /// The file.
    pub path: PathBuf,
    /// FaceForensics++ originals shown in it, by number.
    pub people: Vec<String>,
}

/// What a model was pre-trained on: a folder of faces or a packed shard.
#[derive(Clone, Debug)]
pub struct Seen {
    name: String,
    items: Vec<PretrainItem>,
    shard: Option<PathBuf>,
}

impl Seen {
    /// Lists the faces at `root`; `name` is what messages call it.
    ///
    /// # Errors
    /// As [`pretrain_folders`] and [`Shard::open`].
    pub fn open(name: &str, root: &Path) -> Result<Self, Error> {
        if !is_shard(root) {
            let items = pretrain_folders(&[root.to_path_buf()])?.items;
            return Ok(Self { name: name.to_owned(), items, shard: None });
        }
        let shard = Shard::open(root)?;
        let item = |i| PretrainItem { id: shard.id(i).to_owned(), image: shard.origin(i), parsing: None };
        let items = (0..shard.len()).map(item).collect();
        Ok(Self { name: name.to_owned(), items, shard: Some(root.to_path_buf()) })
    }
}

/// Sets that show people of FaceForensics++.
const FFPP: &str = "faceforensics";
/// Built on FF++ originals, with a split of its own.
const ON_FFPP: [&str; 1] = ["deeperforensics"];

/// The parts of an assembled fold and of pre-training sets.
#[must_use]
pub fn parts(assembled: &Assembled, pretrained: &[Seen]) -> Vec<Part> {
    let of = |name: &str, side, samples: &[Sample]| Part {
        name: name.to_owned(),
        side,
        items: samples.iter().map(item).collect(),
        shard: None,
    };
    let mut out: Vec<Part> = pretrained
        .iter()
        .map(|seen| Part {
            name: format!("pre-training on {}", seen.name),
            side: Side::Pretrain,
            items: seen.items.iter().map(|i| unlabelled(&seen.name, i)).collect(),
            shard: seen.shard.clone(),
        })
        .collect();
    out.push(of("train", Side::Train, &assembled.train));
    out.push(of("dev", Side::Dev, &assembled.dev));
    out.extend(assembled.tests.iter().map(|(test, samples)| of(&test.name, Side::Test, samples)));
    out
}

fn item(sample: &Sample) -> Item {
    let source = dataset(&sample.dataset).and_then(|d| d.source.as_deref());
    let on_ffpp = source == Some(FFPP) || ON_FFPP.contains(&sample.dataset.as_str());
    let numbers = sample.subjects.iter().filter(|p| p.len() == 3 && p.bytes().all(|b| b.is_ascii_digit()));
    let people = if on_ffpp { numbers.cloned().collect() } else { Vec::new() };
    Item { id: sample.id(), set: sample.dataset.clone(), path: sample.path.clone(), people }
}

/// FF++ originals are the pre-training set of FSFM's ablations; their files begin with the video's number.
fn unlabelled(set: &str, picture: &PretrainItem) -> Item {
    let set_name = set.to_ascii_lowercase();
    let is_ffpp = ["ff++", "ffpp", "faceforensics"].iter().any(|n| set_name.contains(n));
    let name = picture.id.rsplit('/').next().unwrap_or_default().trim_start_matches("youtube_");
    let number: String = name.chars().take_while(char::is_ascii_digit).collect();
    let people = if is_ffpp && number.len() == 3 { vec![number] } else { Vec::new() };
    Item { id: picture.id.clone(), set: set.to_owned(), path: picture.image.clone(), people }
}

/// Compares the parts, and says in one sentence what was compared. `None` if `stop` was raised.
///
/// # Errors
/// The cache of prints cannot be written, or a shard not be opened.
pub fn leakage(
    parts: &[Part],
    cache: Option<&Path>,
    stop: &AtomicBool,
    tick: &(dyn Fn(u64) + Sync),
) -> Result<Option<(Vec<Finding>, String)>, Error> {
    let mut sets: BTreeMap<&str, BTreeSet<&Path>> = BTreeMap::new();
    for item in parts.iter().filter(|p| p.shard.is_none()).flat_map(|p| &p.items) {
        sets.entry(&item.set).or_default().insert(&item.path);
    }
    let mut known: HashMap<&Path, Print> = HashMap::new();
    for pictures in sets.values() {
        let pictures: Vec<&Path> = pictures.iter().copied().collect();
        let Some(made) = prints(&pictures, cache, stop, tick)? else { return Ok(None) };
        known.extend(pictures.into_iter().zip(made).filter_map(|(path, print)| Some((path, print?))));
    }
    for part in parts {
        let Some(file) = &part.shard else { continue };
        let Some(made) = shard_prints(&Shard::open(file)?, cache, stop, tick)? else { return Ok(None) };
        let paths = part.items.iter().map(|i| i.path.as_path());
        known.extend(paths.zip(made).filter_map(|(path, print)| Some((path, print?))));
    }
    let mut findings = few_shot(parts);
    for seen in parts.iter().filter(|p| p.side < Side::Test) {
        let index = Index::new(seen, &known);
        for tested in parts.iter().filter(|p| p.side > seen.side && p.side >= Side::Dev) {
            findings.extend(compare(&index, seen, tested, &known));
        }
    }
    findings.sort_by_key(|f| f.severity);
    let count = |side: Side| parts.iter().filter(|p| p.side == side).map(|p| p.items.len()).sum::<usize>();
    let said = format!(
        "leakage audit: {} pre-training, {} training, {} development and {} test pictures compared by path, bytes, \
         likeness and people: {}",
        count(Side::Pretrain),
        count(Side::Train),
        count(Side::Dev),
        count(Side::Test),
        if findings.is_empty() { "nothing in common" } else { "see the findings" },
    );
    Ok(Some((findings, said)))
}

/// One side's pictures, to be looked up.
struct Index<'p> {
    paths: HashMap<PathBuf, &'p str>,
    bytes: HashMap<[u8; 16], &'p str>,
    near: Near,
    looks: Vec<(Print, &'p str)>,
    people: BTreeSet<&'p str>,
}

impl<'p> Index<'p> {
    fn new(part: &'p Part, known: &HashMap<&Path, Print>) -> Self {
        let (mut paths, mut bytes, mut looks) = (HashMap::new(), HashMap::new(), Vec::new());
        let mut unique = BTreeSet::new();
        for item in &part.items {
            paths.entry(whole(&item.path)).or_insert(item.id.as_str());
            let Some(print) = known.get(item.path.as_path()) else { continue };
            bytes.entry(print.bytes).or_insert(item.id.as_str());
            // frames of a still video repeat: one of them is enough
            if !print.blank && unique.insert((print.difference, print.frequency)) {
                looks.push((*print, item.id.as_str()));
            }
        }
        let near = Near::new(looks.iter().map(|(print, _)| print.difference).collect());
        let people = part.items.iter().flat_map(|i| &i.people).map(String::as_str).collect();
        Self { paths, bytes, near, looks, people }
    }

    fn look_alike(&self, print: &Print) -> Option<&'p str> {
        let mut found = None;
        self.near.within(print.difference, NEAR_D, |i| {
            let (other, id) = &self.looks[i];
            let alike = other.alike(print);
            if alike {
                found = Some(*id);
            }
            alike
        });
        found
    }
}

fn compare(index: &Index, seen: &Part, tested: &Part, known: &HashMap<&Path, Print>) -> Vec<Finding> {
    let mut same = Kind::new(Severity::Stop, "leak-path", "the same file");
    let mut copies = Kind::new(Severity::Stop, "leak-bytes", "the same bytes");
    let mut alike = Kind::new(Severity::Warn, "leak-near", "pictures that look alike");
    if seen.side == Side::Pretrain {
        (same.severity, copies.severity) = (Severity::Warn, Severity::Warn);
    }
    let mut people: BTreeSet<&str> = BTreeSet::new();
    for item in &tested.items {
        people.extend(item.people.iter().map(String::as_str).filter(|p| index.people.contains(p)));
        if let Some(other) = index.paths.get(&whole(&item.path)) {
            same.add(other, &item.id);
            continue;
        }
        let Some(print) = known.get(item.path.as_path()) else { continue };
        if let Some(other) = index.bytes.get(&print.bytes) {
            copies.add(other, &item.id);
        } else if !print.blank
            && let Some(other) = index.look_alike(print)
        {
            alike.add(other, &item.id);
        }
    }
    let mut out: Vec<Finding> =
        [same, copies, alike].into_iter().filter_map(|k| k.finding(seen, tested)).collect();
    if let Some(first) = people.first() {
        let message = format!(
            "{} and {}: {} FaceForensics++ videos are the source or target in both, such as {first}",
            seen.name,
            tested.name,
            people.len()
        );
        out.push(Finding { severity: Severity::Warn, code: "leak-people".into(), message });
    }
    out
}

/// Pictures in common, of one kind.
struct Kind {
    severity: Severity,
    code: &'static str,
    what: &'static str,
    count: usize,
    example: Option<(String, String)>,
}

impl Kind {
    fn new(severity: Severity, code: &'static str, what: &'static str) -> Self {
        Self { severity, code, what, count: 0, example: None }
    }

    fn add(&mut self, seen: &str, tested: &str) {
        self.count += 1;
        self.example.get_or_insert_with(|| (seen.to_owned(), tested.to_owned()));
    }

    fn finding(self, seen: &Part, tested: &Part) -> Option<Finding> {
        let (a, b) = self.example?;
        let (count, all, what) = (self.count, tested.items.len(), self.what);
        let message =
            format!("{} and {}: {what} for {count} of {all}, such as {a} and {b}", seen.name, tested.name);
        Some(Finding { severity: self.severity, code: self.code.to_owned(), message })
    }
}

fn few_shot(parts: &[Part]) -> Vec<Finding> {
    let train = parts.iter().filter(|p| p.side == Side::Train).flat_map(|p| &p.items);
    let sets: BTreeSet<&str> =
        train.map(|i| i.set.as_str()).filter(|s| dataset(s).is_some_and(|d| d.few_shot)).collect();
    let say = |set| {
        format!("{set} is trained on: a few videos of the set that is tested, whose people may be tested too")
    };
    sets.into_iter()
        .map(|set| Finding { severity: Severity::Note, code: "few-shot".into(), message: say(set) })
        .collect()
}

/// A file by whatever name: links followed where they can be.
fn whole(path: &Path) -> PathBuf {
    path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_path_buf())
}
