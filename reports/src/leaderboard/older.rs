//! Bundles that another version of the program packed: which numbers they lack or have beyond ours.
//!
//! A record read into our types cannot tell a number that is zero from one that was never written. So the file itself
//! is asked. A number that is not there is no wrong number, but it cannot be verified either.

use facebench_protocols::Evaluation;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// Numbers to name before counting the rest.
const NAMED: usize = 5;

/// Numbers of the test sets that only one side knows, by name.
#[derive(Default)]
pub(super) struct Unknown {
    /// We compute them, the file has no place for them.
    pub(super) lacking: BTreeSet<String>,
    /// The file has them, we do not know them.
    beyond: BTreeSet<String>,
}

impl Unknown {
    /// What `run.json` in `folder` and the recomputed numbers do not share.
    pub(super) fn of(folder: &Path, computed: &Evaluation) -> Self {
        let mut unknown = Self::default();
        let text = std::fs::read_to_string(folder.join("run.json")).unwrap_or_default();
        let record: Value = serde_json::from_str(&text).unwrap_or_default();
        let said = &record["evaluation"];
        let list = said["sets"].as_array().into_iter().flatten().chain(Some(&said["dev"]));
        for set in list.filter(|s| s.is_object()) {
            let mut ours = computed.sets.iter().chain(&computed.dev);
            if let Some(ours) = ours.find(|m| set["set"] == m.set.as_str()) {
                unknown.walk("", set, &serde_json::to_value(ours).unwrap_or_default());
            }
        }
        unknown
    }

    fn walk(&mut self, path: &str, said: &Value, ours: &Value) {
        let (Value::Object(said), Value::Object(ours)) = (said, ours) else { return };
        let at = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        for (key, value) in ours {
            match said.get(key) {
                None if value.is_null() => {}
                None => drop(self.lacking.insert(at(key))),
                Some(theirs) => self.walk(&at(key), theirs, value),
            }
        }
        self.beyond.extend(said.keys().filter(|k| !ours.contains_key(*k)).map(|k| at(k)));
    }

    /// What to say and do about it; `None` if both sides know the same numbers.
    pub(super) fn problem(&self, packed_by: &str) -> Option<String> {
        let ours = env!("CARGO_PKG_VERSION");
        let by = match packed_by {
            "" => "a facebench that does not say its version".to_owned(),
            same if same == ours => format!("another build of facebench {ours}"),
            other => format!("facebench {other}"),
        };
        if !self.lacking.is_empty() {
            return Some(format!(
                "was packed by {by}: run.json lacks {}, which this program (facebench {ours}) recomputes\n\
                 hint: score these runs again with this program and pack them, or verify the bundle with the program that packed it",
                names(&self.lacking)
            ));
        }
        (!self.beyond.is_empty()).then(|| {
            format!(
                "was packed by {by}: run.json has {}, which this program (facebench {ours}) does not know and cannot verify\n\
                 hint: verify the bundle with the program that packed it, or a later one",
                names(&self.beyond)
            )
        })
    }
}

fn names(all: &BTreeSet<String>) -> String {
    let mut text = all.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if all.len() > NAMED {
        text.push_str(&format!(" and {} more numbers", all.len() - NAMED));
    }
    text
}
