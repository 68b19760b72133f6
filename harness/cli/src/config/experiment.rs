//! What a user writes: models × heads × protocols × seeds, and the data they meet.
//!
//! These types are the first of two levels. Everything has a default, so a file names only what it
//! is about; `plan` turns an [`Experiment`] into units in which nothing is left open. The stages'
//! own settings are the types of `facebench-train`, embedded as they are, so there is one list of
//! keys and one place for each default. The named parts keep the order of the file: it is the order
//! of rows in the tables.

use std::collections::BTreeMap;
use std::ops::Deref;

use facebench_data::synth::{SynthScale, SynthSpec};
use facebench_protocols::Selection;
use facebench_train::spec::{Component, PretrainSpec, TuneRecipe};
use schemars::JsonSchema;
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// An experiment: which models and heads meet which protocols, on which data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Experiment {
    /// Name, used in titles; the file's name if absent
    pub(crate) name: String,
    /// Seeds: every combination runs once with each
    pub(crate) seeds: Seeds,
    /// What a seed repeats
    pub(crate) repeat: Repeat,
    /// Where the faces come from
    pub(crate) data: DataSource,
    /// Pre-training runs by name
    pub(crate) pretrain: Named<PretrainSpec>,
    /// Rows of the tables: backbones with their initial weights
    pub(crate) models: Named<Model>,
    /// What is put on top of them and how it is tuned
    pub(crate) heads: Named<Head>,
    /// Protocols: identifiers of the built-in ones, or files
    pub(crate) protocols: Vec<String>,
    /// Changes to every head's recipe under one protocol, by the protocol's identifier
    pub(crate) recipes: BTreeMap<String, Map<String, Value>>,
    /// Which checkpoints are scored: a rule or a list of rules, side by side from the same runs; `null` = as the
    /// protocol says. `oracle` looks at the test sets: it is labelled everywhere and never ranked
    pub(crate) selection: Option<Rules>,
    /// If not empty, only the combinations that one of these describes
    pub(crate) only: Vec<Filter>,
    /// Combinations to leave out
    pub(crate) skip: Vec<Filter>,
}

/// One selection rule, or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Rules {
    /// One rule
    One(Selection),
    /// Several; the first is the main one
    Many(#[schemars(length(min = 1))] Vec<Selection>),
}

impl Rules {
    /// The rules, each once, in order.
    pub(crate) fn list(&self) -> Vec<Selection> {
        let all = match self {
            Self::One(rule) => std::slice::from_ref(rule),
            Self::Many(rules) => rules,
        };
        let mut out: Vec<Selection> = Vec::new();
        for rule in all {
            if !out.contains(rule) {
                out.push(*rule);
            }
        }
        out
    }
}

/// What is done again for each seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Repeat {
    /// Tuning; all seeds start from one pre-trained backbone
    #[default]
    Tuning,
    /// Pre-training and tuning: the seed is added to that of each pre-training run
    Everything,
}

/// Seeds; at least one, each once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct Seeds(#[schemars(length(min = 1), extend("uniqueItems" = true))] pub(crate) Vec<u64>);

impl Default for Seeds {
    fn default() -> Self {
        Self(vec![0])
    }
}

/// Where the data sets are, or how they are made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum DataSource {
    /// A folder with the data sets in their published layouts; relative to the file that says so
    Root(String),
    /// Synthetic faces, generated once and kept beside the results
    Synth(SynthSource),
    /// Forgeries of photographs, made once and kept beside the results (see `facebench data forge`)
    Forge(ForgeSource),
}

impl Default for DataSource {
    fn default() -> Self {
        Self::Synth(SynthSource::default())
    }
}

/// Settings of the synthetic faces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SynthSource {
    /// Seed of the generator
    pub(crate) seed: u64,
    /// Width and height of a picture
    pub(crate) size: usize,
    /// Strength of the forgeries' traces (1 = calibrated, 0 = hardly any)
    pub(crate) trace: f64,
    /// How much of everything
    pub(crate) scale: ScaleName,
    /// Single counts that differ from the scale's, e.g. `ffpp_train: 80`
    pub(crate) counts: BTreeMap<String, usize>,
}

/// Photographs and what is made of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ForgeSource {
    /// Folder with one folder of face pictures per person; relative to the file that says so
    pub(crate) faces: String,
    /// Settings that differ from the forger's, e.g. `size: 64`
    #[serde(default)]
    pub(crate) settings: Map<String, Value>,
}

/// Amounts of synthetic faces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ScaleName {
    /// Thousands of pictures, for figures that mean something
    Demo,
    /// A few of everything, for tests
    Tiny,
}

impl Default for SynthSource {
    fn default() -> Self {
        let SynthSpec { seed, size, trace, .. } = SynthSpec::default();
        Self { seed, size, trace, scale: ScaleName::Demo, counts: BTreeMap::new() }
    }
}

impl SynthSource {
    /// The settings of the scale, before single counts.
    pub(crate) fn base(&self) -> SynthSpec {
        let scale = match self.scale {
            ScaleName::Demo => SynthScale::demo(),
            ScaleName::Tiny => SynthScale::tiny(),
        };
        SynthSpec { seed: self.seed, size: self.size, trace: self.trace, scale }
    }
}

/// A backbone with its initial weights: a row of the tables.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Model {
    /// The encoder; that of the pre-training run if absent
    #[serde(default)]
    pub(crate) backbone: Option<Component>,
    /// Where the weights come from
    pub(crate) init: Init,
}

/// Initial weights of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Init {
    /// None: fresh random weights
    Random,
    /// The result of a pre-training run of this experiment, by name
    Pretrain(String),
    /// A file of published weights; relative to the file that says so
    Checkpoint(String),
}

/// A head and the recipe that tunes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Head {
    /// Name of the head plugin
    pub(crate) plugin: String,
    /// Its settings; they also say which parameters are trained
    #[serde(default)]
    pub(crate) config: Map<String, Value>,
    /// Optimiser, schedule, augmentation
    #[serde(default)]
    pub(crate) recipe: TuneRecipe,
}

/// Describes combinations: every given field must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Filter {
    /// Name of the model
    pub(crate) model: Option<String>,
    /// Name of the head
    pub(crate) head: Option<String>,
    /// Identifier of the protocol
    pub(crate) protocol: Option<String>,
    /// Name of the fold
    pub(crate) fold: Option<String>,
    /// The seed
    pub(crate) seed: Option<u64>,
}

impl Filter {
    /// Whether a combination fits.
    pub(crate) fn fits(&self, model: &str, head: &str, protocol: &str, fold: &str, seed: u64) -> bool {
        let same = |wanted: &Option<String>, got: &str| wanted.as_deref().is_none_or(|w| w == got);
        same(&self.model, model)
            && same(&self.head, head)
            && same(&self.protocol, protocol)
            && same(&self.fold, fold)
            && self.seed.is_none_or(|s| s == seed)
    }
}

/// A mapping from names to things that keeps the order in which the user wrote it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Named<T>(Vec<(String, T)>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Deref for Named<T> {
    type Target = [(String, T)];
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<T> Named<T> {
    /// The thing of that name.
    pub(crate) fn find(&self, name: &str) -> Option<&T> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, thing)| thing)
    }

    /// All names, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.iter().map(|(n, _)| n.clone()).collect()
    }

    /// Keeps the entries whose names pass.
    pub(crate) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.0.retain(|(name, _)| keep(name));
    }

    /// Puts the entries into the order of `names`; others stay behind them.
    pub(crate) fn reorder(&mut self, names: &[String]) {
        let place = |name: &String| names.iter().position(|n| n == name).unwrap_or(names.len());
        self.0.sort_by_key(|(name, _)| place(name));
    }
}

impl<T: Serialize> Serialize for Named<T> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(Some(self.0.len()))?;
        for (name, thing) in &self.0 {
            map.serialize_entry(name, thing)?;
        }
        map.end()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Entries<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Named<T>;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a mapping of names")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named<T>, A::Error> {
                let mut list = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    list.push(entry);
                }
                Ok(Named(list))
            }
        }
        d.deserialize_map(Entries(std::marker::PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Named<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Named_{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "object", "additionalProperties": generator.subschema_for::<T>()})
    }
}
