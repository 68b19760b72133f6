//! Descriptions that cross the boundary as JSON: what a backbone is, which checkpoints it reads, what a head sees.
//!
//! JSON and not `repr(C)`: these are read once per run, and a new optional field must not invalidate a plugin.

use serde::{Deserialize, Serialize};

use crate::text::glob;

/// What the program must know of a backbone before any weight exists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackboneInfo {
    /// Input side in pixels.
    pub image: usize,
    /// Patch side in pixels.
    pub patch: usize,
    /// Patch rows and columns.
    pub grid: (usize, usize),
    /// D.
    pub width: usize,
    /// Blocks; layer ids run to depth + 1.
    pub depth: usize,
    /// Attention heads.
    pub heads: usize,
    /// Tokens before the patch tokens (1: cls).
    pub prefix_tokens: usize,
    /// Channel means the published weights expect, of images in [0, 1].
    pub mean: [f32; 3],
    /// Channel standard deviations the published weights expect.
    pub std: [f32; 3],
    /// How `pool` makes one vector: a word for tables.
    pub pooling: String,
}

impl BackboneInfo {
    /// N, the number of patches.
    pub fn patches(&self) -> usize {
        self.grid.0 * self.grid.1
    }
}

/// What a head is built on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureSpec {
    /// D of `pooled` and `tokens`.
    pub width: usize,
    /// Tokens per image, cls included.
    pub tokens: usize,
    /// Classes; 2 here: [real, fake].
    pub classes: usize,
}

/// Which parameters train when this head is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Backbone and head.
    All,
    /// Only the head's own parameters.
    HeadOnly,
    /// The head's own parameters and those whose full name starts with one of these prefixes.
    Matching(Vec<String>),
}

/// How the tensors of one published checkpoint layout map onto a backbone's parameters.
///
/// A key is stripped of the first matching prefix, renamed, and must then be one of the backbone's names, or match
/// `unused`. A name of the backbone without a tensor must match `missing`. Patterns know `*` only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyMap {
    /// What to call the layout in messages.
    pub name: String,
    /// The dictionary inside the file to prefer, when it has several (`teacher` over `student`).
    pub dictionary: Option<String>,
    /// Keys that must all be there for the file to be of this layout (patterns, before stripping).
    pub marks: Vec<String>,
    /// Prefixes to strip, tried in order; several may apply one after the other.
    pub strip: Vec<String>,
    /// (old start of the stripped key, new start).
    pub rename: Vec<(String, String)>,
    /// Backbone names that may be absent (they keep their initial values).
    pub missing: Vec<String>,
    /// Checkpoint keys that may be left over (stripped form).
    pub unused: Vec<String>,
    /// The position table to interpolate when the grid differs: (1, prefix + N, D).
    pub positions: Option<String>,
}

impl KeyMap {
    /// Whether these keys look like this layout: every mark matches some key.
    #[allow(clippy::needless_pass_by_value)] // an iterator is handed over, as everywhere
    pub fn recognises<'a>(&self, keys: impl Iterator<Item = &'a str> + Clone) -> bool {
        self.marks.iter().all(|m| keys.clone().any(|k| glob(m, k)))
    }

    /// The backbone's name for a checkpoint key (which may turn out to be unused).
    pub fn target(&self, key: &str) -> String {
        let mut name = key;
        for prefix in &self.strip {
            name = name.strip_prefix(prefix.as_str()).unwrap_or(name);
        }
        for (from, to) in &self.rename {
            if let Some(rest) = name.strip_prefix(from.as_str()) {
                return format!("{to}{rest}");
            }
        }
        name.to_string()
    }

    /// Whether a backbone name may be absent.
    pub fn may_miss(&self, name: &str) -> bool {
        self.missing.iter().any(|p| glob(p, name))
    }

    /// Whether a stripped key may be left over.
    pub fn may_leave(&self, name: &str) -> bool {
        self.unused.iter().any(|p| glob(p, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_stripped_then_renamed() {
        let map = KeyMap {
            strip: vec!["module.".into(), "backbone.".into()],
            rename: vec![("encoder.".into(), "blocks.".into())],
            unused: vec!["head.*".into()],
            ..KeyMap::default()
        };
        assert_eq!(map.target("module.backbone.encoder.0.w"), "blocks.0.w");
        assert_eq!(map.target("cls_token"), "cls_token");
        assert!(map.may_leave("head.mlp.0.weight") && !map.may_leave("norm.weight"));
    }

    #[test]
    fn a_description_from_a_newer_plugin_is_still_read() {
        let map: KeyMap = serde_json::from_str(r#"{"name": "x", "a_later_field": 1}"#).unwrap();
        assert_eq!(map.name, "x");
    }
}
