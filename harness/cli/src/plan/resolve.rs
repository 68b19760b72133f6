//! Plugins and protocols by name: found, checked, every default of their settings filled in.
//!
//! A plugin's settings are checked against the schema it brings, with the same messages as the
//! experiment's own keys. Unknown names are answered with the nearest known one and the line that has them.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use facebench_host::{Kind, Plugins};
use facebench_protocols::{PluginStamp, Protocol};
use facebench_train::spec::{Component, TuneRecipe};
use serde_json::{Map, Value};

use crate::config::{self, Layers, Problem, nearest};

/// A plugin's settings with every default, and its stamp. `at` is the place of the component in the file.
///
/// # Errors
/// No such plugin, or settings it does not have, with the line.
pub(crate) fn component(
    plugins: &Plugins,
    layers: &Layers,
    kind: Kind,
    (name, config): (&str, &Map<String, Value>),
    at: &[&str],
) -> Result<(Component, PluginStamp)> {
    let path = |last: &str| -> Vec<String> { at.iter().chain([&last]).map(|s| (*s).to_owned()).collect() };
    let info = plugins.info(kind, name).with_context(|| layers.whereis(&path("plugin")))?;
    let given = Value::Object(config.clone());
    let problems: Vec<Problem> = config::check_schema(&given, &info.schema)
        .into_iter()
        .map(|p| Problem { path: path("config").into_iter().chain(p.path).collect(), what: p.what })
        .collect();
    if !problems.is_empty() {
        return Err(config::report(layers, &problems));
    }
    let resolved = plugins.resolve(kind, name, &given).with_context(|| layers.whereis(&path("config")))?;
    let Value::Object(config) = resolved else {
        return Err(anyhow!(
            "the {kind} plugin `{name}` resolves its settings to something that is no mapping"
        ));
    };
    Ok((Component { plugin: name.to_owned(), config }, stamp(plugins, kind, name)?))
}

/// A plugin for the record.
///
/// # Errors
/// No such plugin.
pub(crate) fn stamp(plugins: &Plugins, kind: Kind, name: &str) -> Result<PluginStamp> {
    let info = plugins.info(kind, name)?;
    Ok(PluginStamp {
        kind: kind.to_string(),
        name: info.name.clone(),
        version: info.version.clone(),
        sha256: info.sha256.clone(),
    })
}

/// A protocol by identifier, or from a file.
///
/// # Errors
/// Neither, or a file that is not a protocol.
pub(crate) fn protocol(name: &str, folder: &Path) -> Result<Protocol> {
    if let Some(builtin) = Protocol::builtin(name) {
        return Ok(builtin?);
    }
    let path = folder.join(name);
    if path.extension().is_some_and(|e| e == "yaml" || e == "yml") || path.exists() {
        return Protocol::load(&path).or_else(|error| {
            // the parser stops at the first mistake; the schema knows all of them, and what is allowed
            config::check_file(&path, &config::schema_of::<Protocol>())?;
            Err(error.into())
        });
    }
    let names: Vec<String> = Protocol::builtin_ids().iter().map(|s| (*s).to_owned()).collect();
    let hint = suggest(name, &names, "give the path of a protocol file");
    Err(anyhow!("no protocol is called `{name}`\nhint: {hint}"))
}

/// A recipe with one protocol's changes.
///
/// # Errors
/// Keys or types that a recipe does not have.
pub(crate) fn recipe(
    base: &TuneRecipe,
    changes: Option<&Map<String, Value>>,
    protocol: &str,
    layers: &Layers,
) -> Result<TuneRecipe> {
    match changes {
        None => Ok(base.clone()),
        Some(changes) => {
            let schema = config::schema_of::<TuneRecipe>();
            config::changed_as(base, changes, &schema, layers, &["recipes", protocol])
        }
    }
}

/// "did you mean …" or the whole list, with another way out.
pub(crate) fn suggest(word: &str, names: &[String], otherwise: &str) -> String {
    match nearest(word, names) {
        Some(near) => format!("did you mean `{near}`?"),
        None if names.is_empty() => format!("none is known; {otherwise}"),
        None => format!("known: {}; or {otherwise}", names.join(", ")),
    }
}
