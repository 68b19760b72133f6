//! What is known about each data set: where it lies under a data root, who reads it, how large it should be.
//!
//! One YAML file per data set in `protocols/datasets`, embedded in the program. The published counts carry their
//! source, and a set that came from another list has another id: `cdfv2` (518 videos) and `cdfv2-noyt` (448) never
//! share a column silently.

use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::protocol::{Family, decode};
use crate::sample::Split;

/// A data set's description.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatasetInfo {
    /// Id used in selectors and in sample identities.
    pub id: String,
    /// Name for people, with the list it stands for.
    pub title: String,
    /// Which task.
    pub family: Family,
    /// Forms in which it is read; the first is the one the program itself writes and looks for first.
    pub layouts: Vec<Layout>,
    /// Sets with the same tag show the same people and videos: nothing may leak between them.
    #[serde(default)]
    pub source: Option<String>,
    /// Compression of its videos, where it comes in several: `raw`, `c23` or `c40`.
    #[serde(default)]
    pub compression: Option<String>,
    /// Whether it is a few-shot list: its people are among the people tested, by design of the protocol.
    #[serde(default)]
    pub few_shot: bool,
    /// What one may do with it.
    pub licence: String,
    /// Where to get it.
    pub access: String,
    /// Published sizes.
    #[serde(default)]
    pub counts: Vec<Count>,
    /// Which way round its own labels or folders are, and where that is converted.
    pub polarity: String,
    /// Lists, and what else a user must know.
    #[serde(default)]
    pub notes: String,
}

/// A form in which a data set is found on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// Which reader understands it.
    pub reader: String,
    /// Folder or file under the data root, with forward slashes; empty where the user names the folder.
    pub path: String,
    /// Which list, part or method of the layout is meant, where it has several.
    #[serde(default)]
    pub list: Option<String>,
    /// Splits to read; all where empty.
    #[serde(default)]
    pub splits: Vec<Split>,
}

impl DatasetInfo {
    /// The layout that the program looks for first.
    pub fn main_layout(&self) -> &Layout {
        &self.layouts[0] // a test checks that every embedded description has one
    }
}

/// A published size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// Of which split; absent = all splits together.
    #[serde(default)]
    pub split: Option<Split>,
    /// What is counted.
    pub unit: Unit,
    /// Real ones, where known.
    #[serde(default)]
    pub real: Option<usize>,
    /// Fake ones, where known.
    #[serde(default)]
    pub fake: Option<usize>,
    /// All, where only the sum is known.
    #[serde(default)]
    pub total: Option<usize>,
    /// Where the figure comes from.
    pub source: String,
}

/// What a [`Count`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Videos (sequences of WildDeepfake).
    Videos,
    /// Images after face detection.
    Images,
}

/// Name and text of each embedded file.
macro_rules! files {
    ($($id:literal)*) => { &[$(($id, include_str!(concat!("../datasets/", $id, ".yaml")))),*] };
}

const FILES: &[(&str, &str)] = files! {
    "ffpp-c23" "ffpp-c40" "ffpp-raw" "faceshifter-c23" "dfd-raw" "dfd-c23" "cdfv1" "cdfv1-noyt" "cdfv2"
    "cdfv2-noyt" "cdfpp" "cdfpp-noyt" "dfdc" "dfdcp" "wdf" "deeperforensics" "uadfv" "diff-t2i" "diff-i2i"
    "diff-fs" "diff-fe" "fas-msu" "fas-casia" "fas-replay" "fas-oulu" "fas-msu-shot5" "fas-casia-shot5"
    "fas-replay-shot5" "fas-oulu-shot5" "fas-celeb" "fas-wmca" "fas-cefa" "fas-surf" "fas-wmca-shot5"
    "fas-cefa-shot5" "fas-surf-shot5" "msu" "casia" "replay" "oulu" "oulu-p1" "oulu-p2" "oulu-p3-1" "oulu-p3-2" "oulu-p3-3"
    "oulu-p3-4" "oulu-p3-5" "oulu-p3-6" "oulu-p4-1" "oulu-p4-2" "oulu-p4-3" "oulu-p4-4" "oulu-p4-5" "oulu-p4-6"
    "celeba-spoof" "own"
};

static DATASETS: LazyLock<Vec<DatasetInfo>> = LazyLock::new(|| {
    FILES
        .iter()
        .map(|(id, text)| {
            let info: DatasetInfo =
                decode(&format!("built-in data set {id}"), text).expect("embedded files are read by a test");
            assert_eq!(info.id, *id, "the file name is the id");
            info
        })
        .collect()
});

/// The description of a built-in data set.
pub fn dataset(id: &str) -> Option<&'static DatasetInfo> {
    DATASETS.iter().find(|d| d.id == id)
}

/// All built-in data sets, in listing order.
pub fn datasets() -> &'static [DatasetInfo] {
    &DATASETS
}

/// Sets with the same answer show the same people: the `source` tag, else the id itself.
pub(crate) fn source_of(id: &str) -> &str {
    dataset(id).and_then(|d| d.source.as_deref()).unwrap_or(id)
}

/// Whether a set is a few-shot list of people who are tested.
pub(crate) fn is_few_shot(id: &str) -> bool {
    dataset(id).is_some_and(|d| d.few_shot)
}

#[cfg(test)]
mod tests {
    use super::{Unit, dataset, datasets};

    #[test]
    fn every_embedded_file_is_valid() {
        assert_eq!(datasets().len(), super::FILES.len());
        for info in datasets() {
            assert!(
                !info.title.is_empty() && !info.layouts.is_empty() && !info.polarity.is_empty(),
                "{}",
                info.id
            );
            assert!(!info.licence.is_empty() && !info.access.is_empty(), "{}", info.id);
            for count in &info.counts {
                let known = count.total.is_some() || (count.real.is_some() && count.fake.is_some());
                assert!(known && !count.source.is_empty(), "{}: {count:?}", info.id);
            }
        }
    }

    #[test]
    fn the_two_celeb_df_lists_are_different_sets() {
        let videos = |id: &str| {
            let count = dataset(id).unwrap().counts.iter().find(|c| c.unit == Unit::Videos).unwrap().clone();
            (count.real.unwrap(), count.fake.unwrap())
        };
        assert_eq!(videos("cdfv2"), (178, 340));
        assert_eq!(videos("cdfv2-noyt"), (108, 340));
        assert_eq!(dataset("cdfv2").unwrap().source, dataset("cdfv2-noyt").unwrap().source);
    }
}
