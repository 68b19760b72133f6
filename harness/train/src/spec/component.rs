//! A plugin with its settings, as specifications name it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A plugin by name, with its configuration. The plugin's own schema checks the keys of `config`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// Name of the plugin's component, e.g. `fsvfm`
    pub plugin: String,
    /// Its settings; keys that are absent take the plugin's defaults
    #[serde(default)]
    pub config: Map<String, Value>,
}

impl Component {
    /// A component with default settings.
    pub fn named(plugin: &str) -> Self {
        Self { plugin: plugin.to_owned(), config: Map::new() }
    }

    /// The settings as the JSON object a plugin receives.
    pub fn json(&self) -> Value {
        Value::Object(self.config.clone())
    }
}
