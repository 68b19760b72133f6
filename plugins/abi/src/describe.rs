//! Descriptions that cross the boundary as JSON: what a backbone is, which checkpoints it reads, what a head sees.
//!
//! JSON and not `repr(C)`: these are read once per run, and a new optional field must not invalidate a plugin.

use serde::{Deserialize, Serialize};

use crate::text::{captures, fill, glob};

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
    /// Width of what `pool` makes; D when absent. Other than D after a published projection.
    #[serde(default)]
    pub pooled: Option<usize>,
}

impl BackboneInfo {
    /// N, the number of patches.
    pub fn patches(&self) -> usize {
        self.grid.0 * self.grid.1
    }

    /// Width of what `pool` makes.
    pub fn pooled_width(&self) -> usize {
        self.pooled.unwrap_or(self.width)
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
    /// Frames in the training set, for heads that keep it; 0 where there is none.
    #[serde(default)]
    pub samples: usize,
}

/// Which parameters train when this head is used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Backbone and head.
    All,
    /// Only the head's own parameters.
    HeadOnly,
    /// The head's own parameters and those whose full name starts with one of these prefixes.
    Matching(Vec<String>),
    /// The head's own parameters and those whose full name matches one of these patterns (`*` only).
    Named(Vec<String>),
    /// The head's own parameters and a low-rank update of the backbone's weights, which the program keeps beside
    /// them (LoRA, arXiv 2106.09685).
    LowRank(LowRank),
}

/// W + (alpha / rank) · B A on some weights of every block; A (rank, in) starts random, B (out, rank) at zero.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LowRank {
    /// Rows of A.
    pub rank: usize,
    /// Numerator of the update's scale.
    pub alpha: f64,
    /// `q`, `k`, `v` (thirds of the fused weight), `proj`, `fc1`, `fc2`.
    pub targets: Vec<String>,
}

/// What the program must know of a head.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeadTraits {
    /// Which parameters train.
    pub scope: Scope,
    /// Whether `forward` looks at the tokens; they are not kept for heads that do not.
    pub tokens: bool,
    /// Own parameters (out, in) whose columns the program scales to unit length before every forward pass.
    pub unit_columns: Vec<String>,
}

impl Default for HeadTraits {
    fn default() -> Self {
        Self { scope: Scope::All, tokens: true, unit_columns: Vec::new() }
    }
}

/// How a position table is resized when the grid differs. Unknown words are refused by the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resize {
    /// Bicubic (A = −0.75), half-pixel centres: MAE, DeiT, CLIP.
    #[default]
    Bicubic,
    /// The same with the scale (new + 0.1) / old instead of new / old: DINO and DINOv2.
    BicubicOffset,
    /// Bicubic (A = −0.5) with antialiasing: DINOv2 with registers.
    BicubicAntialias,
}

/// Tensors that become one parameter, joined along their first dimension.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    /// Patterns of the stripped keys, in order.
    pub parts: Vec<String>,
    /// The parameter; its stars take what the patterns' stars matched.
    pub to: String,
}

/// How the tensors of one published checkpoint layout map onto a backbone's parameters.
///
/// A key is stripped of the prefixes; if it is a part of a `join` or the source of a `spread`, that decides, else the
/// first `rewrite` whose pattern matches, else the first `rename`. The result must be one of the backbone's names, or
/// match `unused`. A name of the backbone without a tensor must match `missing`. Patterns know `*` only.
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
    /// (pattern of the stripped key, name): the name's stars take what the pattern's stars matched.
    pub rewrite: Vec<(String, String)>,
    /// Tensors that are parts of one parameter (separate query, key and value).
    pub join: Vec<Join>,
    /// One tensor that is several parameters: (stripped key, names).
    pub spread: Vec<(String, Vec<String>)>,
    /// Names (patterns) of matrices that the file holds transposed.
    pub transpose: Vec<String>,
    /// (pattern of a name, dimensions of length 1 to put in front).
    pub lead: Vec<(String, usize)>,
    /// Backbone names that may be absent (they keep their initial values).
    pub missing: Vec<String>,
    /// Checkpoint keys that may be left over (stripped form).
    pub unused: Vec<String>,
    /// (pattern of a left-over key, why it is not needed), for people.
    pub reasons: Vec<(String, String)>,
    /// The position table to interpolate when the grid differs: (1, rows + N, D).
    pub positions: Option<String>,
    /// Rows of the position table that belong to no patch; the backbone's prefix tokens when absent.
    pub position_rows: Option<usize>,
    /// Rows of zeros to put in front of the position table: for files that added them to the tokens already.
    pub pad_positions: usize,
    /// (pattern of a name, dimensions of length 1 to add at the end of a matrix).
    pub trail: Vec<(String, usize)>,
    /// How the position table is interpolated.
    pub resize: Resize,
    /// Tables of relative positions, (2g−1)² + 3 rows, to interpolate bicubically when the grid differs (pattern).
    pub relative: Option<String>,
}

/// Where a tensor of a file goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// One parameter (which may turn out to be unused).
    Name(String),
    /// A part of a parameter: its name, which part, of how many.
    Part(String, usize, usize),
    /// Several parameters.
    Names(Vec<String>),
}

impl KeyMap {
    /// Whether these keys look like this layout: every mark matches some key.
    #[allow(clippy::needless_pass_by_value)] // an iterator is handed over, as everywhere
    pub fn recognises<'a>(&self, keys: impl Iterator<Item = &'a str> + Clone) -> bool {
        self.marks.iter().all(|m| keys.clone().any(|k| glob(m, k)))
    }

    /// The key without the layout's prefixes.
    pub fn stripped<'a>(&self, key: &'a str) -> &'a str {
        self.strip.iter().fold(key, |name, prefix| name.strip_prefix(prefix.as_str()).unwrap_or(name))
    }

    /// Where a checkpoint key goes.
    pub fn route(&self, key: &str) -> Target {
        let name = self.stripped(key);
        for Join { parts, to } in &self.join {
            for (i, part) in parts.iter().enumerate() {
                if let Some(found) = captures(part, name) {
                    return Target::Part(fill(to, &found), i, parts.len());
                }
            }
        }
        if let Some((_, names)) = self.spread.iter().find(|(from, _)| from == name) {
            return Target::Names(names.clone());
        }
        for (pattern, to) in &self.rewrite {
            if let Some(found) = captures(pattern, name) {
                return Target::Name(fill(to, &found));
            }
        }
        for (from, to) in &self.rename {
            if let Some(rest) = name.strip_prefix(from.as_str()) {
                return Target::Name(format!("{to}{rest}"));
            }
        }
        Target::Name(name.to_string())
    }

    /// The backbone's name for a checkpoint key (which may turn out to be unused); the first of several.
    pub fn target(&self, key: &str) -> String {
        match self.route(key) {
            Target::Name(name) | Target::Part(name, ..) => name,
            Target::Names(names) => names.into_iter().next().unwrap_or_default(),
        }
    }

    /// Why a left-over key is not needed.
    pub fn reason(&self, name: &str) -> &str {
        let found = self.reasons.iter().find(|(pattern, _)| glob(pattern, name));
        found.map_or("not part of the encoder", |(_, why)| why.as_str())
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
    fn keys_are_joined_spread_and_rewritten() {
        let pair = |a: &str, b: &str| (a.to_string(), b.to_string());
        let qkv = ["q", "k", "v"].map(|x| format!("layers.*.{x}.weight")).to_vec();
        let map = KeyMap {
            join: vec![Join { parts: qkv, to: "blocks.*.qkv.weight".into() }],
            rewrite: vec![pair("layers.*.ln_1.*", "blocks.*.norm1.*")],
            spread: vec![("shared".into(), vec!["blocks.0.t".into(), "blocks.1.t".into()])],
            reasons: vec![pair("text.*", "the text tower")],
            ..KeyMap::default()
        };
        assert_eq!(map.route("layers.3.k.weight"), Target::Part("blocks.3.qkv.weight".into(), 1, 3));
        assert_eq!(map.route("layers.3.ln_1.bias"), Target::Name("blocks.3.norm1.bias".into()));
        assert_eq!(map.route("shared"), Target::Names(vec!["blocks.0.t".into(), "blocks.1.t".into()]));
        assert_eq!(map.reason("text.x"), "the text tower");
        assert_eq!(map.reason("x"), "not part of the encoder");
    }

    #[test]
    fn a_description_from_a_newer_plugin_is_still_read() {
        let map: KeyMap = serde_json::from_str(r#"{"name": "x", "a_later_field": 1}"#).unwrap();
        assert_eq!(map.name, "x");
    }
}
