//! Configuration: from files and `-s a.b=c` to a typed [`Experiment`] whose every key is known.
//!
//! `layers` reads and merges, `check` finds mistakes and says what was meant, `experiment` holds the
//! types, `yaml` is the only door to the YAML crate. A mistake is reported with the file and line that
//! the user wrote, all of them at once. What the experiment *means* (which units) is `plan`'s business.

mod check;
mod experiment;
mod layers;
mod presets;
mod yaml;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub(crate) use check::{Problem, check as check_schema, nearest};
pub(crate) use experiment::{DataSource, Experiment, Filter, Init, Model, Repeat, Rules};
pub(crate) use layers::{Layers, get, merge};
pub(crate) use yaml::{print as print_yaml, print_with as print_yaml_with};

/// At most this many mistakes are printed; the rest is counted.
const SHOWN: usize = 5;

/// A typed experiment and the files it came from.
pub(crate) struct Loaded {
    /// What it says
    pub(crate) experiment: Experiment,
    /// Where each key was written
    pub(crate) layers: Layers,
}

/// JSON Schema of experiment files.
pub(crate) fn experiment_schema() -> Value {
    schema_of::<Experiment>()
}

/// JSON Schema of a type, as editors and [`check_schema`] read it.
pub(crate) fn schema_of<T: schemars::JsonSchema>() -> Value {
    let settings = schemars::generate::SchemaSettings::draft2020_12();
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// Reads an experiment: a file or `preset:NAME`, with overrides.
///
/// # Errors
/// A file that cannot be read, or every mistake in it, each with its line.
pub(crate) fn load(source: &str, overrides: &[String]) -> Result<Loaded> {
    let mut layers = layers::load(source, overrides)?;
    drop_unnamed(&mut layers.merged);
    let mut schema = experiment_schema();
    // `extends` is spent by now; it belongs to the schema that editors see only
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.remove("extends");
    }
    let problems = layers.check(&schema);
    if !problems.is_empty() {
        return Err(report(&layers, &problems));
    }
    let mut experiment: Experiment =
        serde_json::from_value(layers.merged.clone()).map_err(|e| anyhow!("{}: {e}", layers.whereis(&[])))?;
    experiment.pretrain.reorder(&layers.key_order(&["pretrain"]));
    experiment.models.reorder(&layers.key_order(&["models"]));
    experiment.heads.reorder(&layers.key_order(&["heads"]));
    if experiment.name.is_empty() {
        let stem = Path::new(source.trim_start_matches("preset:")).file_stem();
        experiment.name = stem.map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    }
    Ok(Loaded { experiment, layers })
}

/// All mistakes as one error: a line each, then one hint (the first that has one).
pub(crate) fn report(layers: &Layers, problems: &[Problem]) -> anyhow::Error {
    let mut lines: Vec<String> = problems
        .iter()
        .take(SHOWN)
        .map(|p| format!("{}: {}", layers.whereis(&p.path), p.message()))
        .collect();
    if problems.len() > SHOWN {
        lines.push(format!("and {} more mistakes", problems.len() - SHOWN));
    }
    lines.extend(problems.iter().find_map(Problem::hint).map(|h| format!("hint: {h}")));
    anyhow!(lines.join("\n"))
}

/// Every mistake in a file of another kind, such as a protocol, against its schema.
///
/// # Errors
/// There is one, or the file cannot be read.
pub(crate) fn check_file(path: &Path, schema: &Value) -> Result<()> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(|| name.clone())?;
    let value = yaml::parse(&name, &text)?;
    let problems = check_schema(&value, schema);
    if problems.is_empty() {
        return Ok(());
    }
    let file = layers::Layer { name, folder: PathBuf::new(), text, value: value.clone() };
    Err(report(&Layers { files: vec![file], overrides: Vec::new(), merged: value }, &problems))
}

/// `base` with the changes of a mapping whose keys and types must be those of `base`; `at` is its place. For types
/// that bring no schema of their own.
///
/// # Errors
/// Keys or types that `base` does not have, with their lines.
pub(crate) fn changed<T: Serialize + DeserializeOwned>(
    base: &T,
    changes: &serde_json::Map<String, Value>,
    layers: &Layers,
    at: &[&str],
) -> Result<T> {
    changed_as(base, changes, &check::schema_like(&serde_json::to_value(base)?), layers, at)
}

/// The same for a type with a schema.
///
/// # Errors
/// Keys, types or bounds that do not fit `schema`, with their lines.
pub(crate) fn changed_as<T: Serialize + DeserializeOwned>(
    base: &T,
    changes: &serde_json::Map<String, Value>,
    schema: &Value,
    layers: &Layers,
    at: &[&str],
) -> Result<T> {
    let mut value = serde_json::to_value(base)?;
    let changes = Value::Object(changes.clone());
    let problems: Vec<Problem> = check_schema(&changes, schema)
        .into_iter()
        .map(|p| Problem { path: at.iter().map(|s| (*s).to_owned()).chain(p.path).collect(), what: p.what })
        .collect();
    if !problems.is_empty() {
        return Err(report(layers, &problems));
    }
    merge(&mut value, &changes);
    serde_json::from_value(value).with_context(|| format!("`{}`", at.join(".")))
}

/// Applies `a.b=c` settings to a value that has no schema of ours (a plugin checks its own).
///
/// # Errors
/// A setting that is not `path=value`.
pub(crate) fn apply(value: &mut Value, settings: &[String]) -> Result<()> {
    for raw in settings {
        let o = layers::parse_override(raw)?;
        let given = yaml::parse(&format!("-s {raw}"), &o.text)?;
        layers::set(value, &o, given)?;
    }
    Ok(())
}

/// `models: {MAE: null}` takes an inherited entry away.
fn drop_unnamed(merged: &mut Value) {
    for part in ["pretrain", "models", "heads", "recipes"] {
        if let Some(map) = merged.get_mut(part).and_then(Value::as_object_mut) {
            map.retain(|_, value| !value.is_null());
        }
    }
}
