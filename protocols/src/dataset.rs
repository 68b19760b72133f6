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
    /// Which reader understands its layout.
    pub reader: String,
    /// Folder under the data root, with forward slashes; empty where the user names the folder.
    pub path: String,
    /// Sets with the same tag show the same people and videos: nothing may leak between them.
    #[serde(default)]
    pub source: Option<String>,
    /// Published sizes.
    #[serde(default)]
    pub counts: Vec<Count>,
    /// Which way round its own labels or folders are, and where that is converted.
    pub polarity: String,
    /// Lists, access, and what else a user must know.
    #[serde(default)]
    pub notes: String,
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

const FILES: [(&str, &str); 15] = [
    ("ffpp-c23", include_str!("../datasets/ffpp-c23.yaml")),
    ("cdfv2", include_str!("../datasets/cdfv2.yaml")),
    ("cdfv2-noyt", include_str!("../datasets/cdfv2-noyt.yaml")),
    ("dfdc", include_str!("../datasets/dfdc.yaml")),
    ("dfdcp", include_str!("../datasets/dfdcp.yaml")),
    ("wdf", include_str!("../datasets/wdf.yaml")),
    ("diff-t2i", include_str!("../datasets/diff-t2i.yaml")),
    ("diff-i2i", include_str!("../datasets/diff-i2i.yaml")),
    ("diff-fs", include_str!("../datasets/diff-fs.yaml")),
    ("diff-fe", include_str!("../datasets/diff-fe.yaml")),
    ("fas-msu", include_str!("../datasets/fas-msu.yaml")),
    ("fas-casia", include_str!("../datasets/fas-casia.yaml")),
    ("fas-replay", include_str!("../datasets/fas-replay.yaml")),
    ("fas-oulu", include_str!("../datasets/fas-oulu.yaml")),
    ("own", include_str!("../datasets/own.yaml")),
];

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

#[cfg(test)]
mod tests {
    use super::{Unit, dataset, datasets};

    #[test]
    fn every_embedded_file_is_valid() {
        assert_eq!(datasets().len(), super::FILES.len());
        for info in datasets() {
            assert!(
                !info.title.is_empty() && !info.reader.is_empty() && !info.polarity.is_empty(),
                "{}",
                info.id
            );
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
