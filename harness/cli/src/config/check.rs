//! Does a value fit a JSON Schema? The messages behind "unknown key" and "wrong type".
//!
//! serde is the authority on what an experiment file may say, but it stops at the first mistake and
//! does not know where the value came from. This module reads the schema that schemars derives from
//! the same types (and the schema each plugin brings for its own settings), finds every mistake, says
//! what was expected and what is there, and names the nearest valid key. It knows the subset of JSON
//! Schema that those two produce: `$ref`, `type`, `properties`, `additionalProperties`, `required`,
//! `items`, `uniqueItems`, `enum`, `const`, `anyOf`/`oneOf`, `minimum`/`maximum` and their exclusive forms.
//! Anything else is left to serde.

use serde_json::{Map, Value, json};

/// One mistake, with the path of the value that has it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Problem {
    /// Keys and list positions from the top
    pub(crate) path: Vec<String>,
    /// What is wrong
    pub(crate) what: What,
}

/// The kinds of mistake.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum What {
    /// The last key of the path is not one of these
    UnknownKey {
        /// All keys that are
        valid: Vec<String>,
    },
    /// The last key of the path is required and absent
    Missing {
        /// What fits, in words
        expected: String,
    },
    /// The value is something else
    Type {
        /// What fits, in words
        expected: String,
        /// What is there, in words
        got: String,
    },
    /// The value is in its list already
    Twice {
        /// The value, in words
        got: String,
    },
}

impl Problem {
    /// The message without its place, e.g. ``unknown key `epoch` in `optim` ``.
    pub(crate) fn message(&self) -> String {
        let (last, parent) = match self.path.split_last() {
            Some((last, parent)) => (last.as_str(), parent.join(".")),
            None => ("", String::new()),
        };
        let inside = if parent.is_empty() { String::new() } else { format!(" in `{parent}`") };
        match &self.what {
            What::UnknownKey { valid } => match nearest(last, valid) {
                Some(near) => format!("unknown key `{last}`{inside}, did you mean `{near}`?"),
                None => format!("unknown key `{last}`{inside}"),
            },
            What::Missing { expected } => format!("key `{last}` is missing{inside}, expected {expected}"),
            What::Type { expected, got } if self.path.is_empty() => format!("expected {expected}, got {got}"),
            What::Type { expected, got } => {
                format!("`{}`: expected {expected}, got {got}", self.path.join("."))
            }
            What::Twice { got } => format!("`{parent}`: {got} is there twice"),
        }
    }

    /// What to do about it, where that is known.
    pub(crate) fn hint(&self) -> Option<String> {
        let What::UnknownKey { valid } = &self.what else { return None };
        let parent = &self.path[..self.path.len().saturating_sub(1)];
        let inside = if parent.is_empty() { String::new() } else { format!(" of `{}`", parent.join(".")) };
        Some(match valid.as_slice() {
            [] => "no keys are expected here".into(),
            keys => format!("the keys{inside} are {}", keys.join(", ")),
        })
    }
}

/// Every mistake of `value` against `schema`, in the order of the keys.
pub(crate) fn check(value: &Value, schema: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    Checker { root: schema }.value(value, schema, &mut Vec::new(), &mut problems);
    problems
}

/// A schema of objects with the keys and types of an example: for types that bring no schema of their own.
pub(crate) fn schema_like(example: &Value) -> Value {
    match example {
        Value::Object(map) => {
            let properties: Map<String, Value> =
                map.iter().map(|(k, v)| (k.clone(), schema_like(v))).collect();
            json!({"type": "object", "properties": properties, "additionalProperties": false})
        }
        Value::Array(items) => {
            json!({"type": "array", "items": items.first().map_or(json!(true), schema_like)})
        }
        Value::Bool(_) => json!({"type": "boolean"}),
        Value::String(_) => json!({"type": "string"}),
        Value::Number(n) if n.is_u64() => json!({"type": "integer", "minimum": 0}),
        Value::Number(n) if n.is_i64() => json!({"type": "integer"}),
        Value::Number(_) => json!({"type": "number"}),
        Value::Null => json!(true),
    }
}

/// The nearest of `names` to `word`, if any is near enough to be a slip.
pub(crate) fn nearest<'n>(word: &str, names: impl IntoIterator<Item = &'n String>) -> Option<&'n str> {
    let fold = |s: &str| s.to_lowercase().replace(['_', ' '], "-");
    let folded = fold(word);
    names
        .into_iter()
        .map(|name| (distance(&folded, &fold(name)), name))
        .filter(|(d, name)| *d <= 1 + name.chars().count().min(word.chars().count()) / 3)
        .min_by_key(|(d, _)| *d)
        .map(|(_, name)| name.as_str())
}

/// Edits (insert, delete, exchange, swap of neighbours) between two words.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let exchange = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let mut best = exchange.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    best = best.min(rows[i - 2][j - 2] + 1);
                }
                best
            };
        }
    }
    rows[a.len()][b.len()]
}

struct Checker<'s> {
    root: &'s Value,
}

impl<'s> Checker<'s> {
    fn resolve(&self, mut schema: &'s Value) -> &'s Value {
        // a chain of references longer than this is a loop
        for _ in 0..32 {
            let Some(target) = schema.get("$ref").and_then(Value::as_str) else { return schema };
            let Some(found) = target.strip_prefix('#').and_then(|p| self.root.pointer(p)) else {
                return schema;
            };
            schema = found;
        }
        schema
    }

    fn value(&self, value: &Value, schema: &'s Value, path: &mut Vec<String>, out: &mut Vec<Problem>) {
        let schema = self.resolve(schema);
        if let Some(branches) = schema.get("anyOf").or(schema.get("oneOf")).and_then(Value::as_array) {
            return self.branches(value, branches, path, out);
        }
        if !self.fits_here(value, schema) {
            let what = What::Type { expected: self.describe(schema), got: describe_value(value) };
            return out.push(Problem { path: path.clone(), what });
        }
        match value {
            Value::Object(map) => self.object(map, schema, path, out),
            Value::Array(items) => {
                let unique = schema.get("uniqueItems") == Some(&Value::Bool(true));
                for (i, item) in items.iter().enumerate() {
                    if unique && items[..i].contains(item) {
                        let path = path.iter().cloned().chain([i.to_string()]).collect();
                        out.push(Problem { path, what: What::Twice { got: describe_value(item) } });
                    }
                    let prefix = schema.get("prefixItems").and_then(|p| p.get(i));
                    let Some(sub) = prefix.or(schema.get("items")) else { continue };
                    path.push(i.to_string());
                    self.value(item, sub, path, out);
                    path.pop();
                }
            }
            _ => {}
        }
    }

    fn object(
        &self,
        map: &Map<String, Value>,
        schema: &'s Value,
        path: &mut Vec<String>,
        out: &mut Vec<Problem>,
    ) {
        let properties = schema.get("properties").and_then(Value::as_object);
        let others = schema.get("additionalProperties");
        for (key, item) in map {
            path.push(key.clone());
            match (properties.and_then(|p| p.get(key)), others) {
                (Some(sub), _) => self.value(item, sub, path, out),
                (None, Some(Value::Bool(false))) => {
                    let valid = properties.map(|p| p.keys().cloned().collect()).unwrap_or_default();
                    out.push(Problem { path: path.clone(), what: What::UnknownKey { valid } });
                }
                (None, Some(sub)) => self.value(item, sub, path, out),
                (None, None) => {}
            }
            path.pop();
        }
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        for key in required.filter_map(Value::as_str).filter(|k| !map.contains_key(*k)) {
            let mut at = path.clone();
            at.push(key.to_owned());
            let sub = properties.and_then(|p| p.get(key));
            let expected = sub.map_or("a value".to_owned(), |sub| self.describe(self.resolve(sub)));
            out.push(Problem { path: at, what: What::Missing { expected } });
        }
    }

    /// Alternatives: one must fit. If none does, the mistakes of the nearest branch of the same kind are
    /// reported, and if there is no such branch, all alternatives are named.
    fn branches(&self, value: &Value, branches: &'s [Value], path: &mut Vec<String>, out: &mut Vec<Problem>) {
        let mut best: Option<Vec<Problem>> = None;
        for branch in branches {
            let mut found = Vec::new();
            self.value(value, branch, path, &mut found);
            if found.is_empty() {
                return;
            }
            let same_kind = !found.iter().any(|p| p.path == *path);
            if same_kind && best.as_ref().is_none_or(|b| found.len() < b.len()) {
                best = Some(found);
            }
        }
        if let Some(unknown) = self.no_branch_has(value, branches, path) {
            return out.push(unknown);
        }
        out.extend(best.unwrap_or_else(|| {
            let words: Vec<String> = branches.iter().map(|b| self.describe(self.resolve(b))).collect();
            let what = What::Type { expected: alternatives(words), got: describe_value(value) };
            vec![Problem { path: path.clone(), what }]
        }));
    }

    /// Of alternatives that are mappings (`{root: …}`, `{synth: …}`), the first key that is in none of them: the
    /// keys of all are valid there, and none is missing.
    fn no_branch_has(&self, value: &Value, branches: &'s [Value], path: &[String]) -> Option<Problem> {
        let keys = |branch| self.resolve(branch).get("properties")?.as_object().map(|p| p.keys().cloned());
        let mappings: Vec<_> = branches.iter().filter_map(keys).collect();
        if mappings.len() < 2 {
            return None;
        }
        let valid: Vec<String> = mappings.into_iter().flatten().collect();
        let unknown = value.as_object()?.keys().find(|key| !valid.contains(key))?;
        let path = path.iter().chain([unknown]).cloned().collect();
        Some(Problem { path, what: What::UnknownKey { valid } })
    }

    /// Type, constants and bounds of the value itself, not of what it contains.
    fn fits_here(&self, value: &Value, schema: &Value) -> bool {
        if let Some(constant) = schema.get("const") {
            return value == constant;
        }
        if let Some(options) = schema.get("enum").and_then(Value::as_array) {
            return options.contains(value);
        }
        let types: Vec<&str> = match schema.get("type") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
            _ => return true,
        };
        let kind_fits = types.iter().any(|t| match *t {
            "null" => value.is_null(),
            "boolean" => value.is_boolean(),
            "string" => value.is_string(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            "number" => value.is_number(),
            "integer" => value.is_u64() || value.is_i64(),
            _ => true,
        });
        let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
        let within = value.as_f64().is_none_or(|x| {
            bound("minimum").is_none_or(|low| x >= low)
                && bound("maximum").is_none_or(|high| x <= high)
                && bound("exclusiveMinimum").is_none_or(|low| x > low)
                && bound("exclusiveMaximum").is_none_or(|high| x < high)
        });
        let count = |key: &str| schema.get(key).and_then(Value::as_u64);
        let length = value.as_array().is_none_or(|a| {
            let n = a.len() as u64;
            count("minItems").is_none_or(|low| n >= low) && count("maxItems").is_none_or(|high| n <= high)
        });
        kind_fits && within && length
    }

    /// A schema in a few words.
    fn describe(&self, schema: &'s Value) -> String {
        if let Some(constant) = schema.get("const") {
            return format!("`{}`", bare(constant));
        }
        if let Some(options) = schema.get("enum").and_then(Value::as_array) {
            return alternatives(options.iter().map(|o| format!("`{}`", bare(o))).collect());
        }
        if let Some(list) = schema.get("anyOf").or(schema.get("oneOf")).and_then(Value::as_array) {
            return alternatives(list.iter().map(|b| self.describe(self.resolve(b))).collect());
        }
        let one = |t: &str| match t {
            "null" => "`null`".to_owned(),
            "boolean" => "`true` or `false`".to_owned(),
            "string" => "text".to_owned(),
            "array" => {
                let low = schema.get("minItems").and_then(Value::as_u64);
                match (low, schema.get("maxItems").and_then(Value::as_u64)) {
                    (Some(a), Some(b)) if a == b => format!("a list of {a}"),
                    (Some(a), _) if a > 0 => format!("a list of at least {a}"),
                    _ => "a list".to_owned(),
                }
            }
            "object" => match schema.get("required").and_then(Value::as_array).map(Vec::as_slice) {
                Some([Value::String(key)]) => format!("`{{{key}: …}}`"),
                _ => "a mapping".to_owned(),
            },
            "integer" | "number" => {
                let noun = if t == "integer" { "a whole number" } else { "a number" };
                // uint64's own maximum tells the reader nothing
                let bound = |key: &str| schema.get(key).and_then(Value::as_f64).filter(|x| *x < 1e9);
                let words = [
                    bound("minimum").map(|x| format!("of at least {x}")),
                    bound("exclusiveMinimum").map(|x| format!("above {x}")),
                    bound("maximum").map(|x| format!("of at most {x}")),
                    bound("exclusiveMaximum").map(|x| format!("below {x}")),
                ];
                let words: Vec<String> = words.into_iter().flatten().collect();
                format!("{noun} {}", words.join(" and ")).trim_end().to_owned()
            }
            other => other.to_owned(),
        };
        match schema.get("type") {
            Some(Value::String(t)) => one(t),
            Some(Value::Array(list)) => {
                alternatives(list.iter().filter_map(Value::as_str).map(one).collect())
            }
            _ => "something else".to_owned(),
        }
    }
}

fn alternatives(mut words: Vec<String>) -> String {
    words.dedup();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => "nothing".to_owned(),
    }
}

/// A value in a few words: its kind and, for small ones, itself.
fn describe_value(value: &Value) -> String {
    match value {
        Value::Null => "`null`".to_owned(),
        Value::Bool(b) => format!("`{b}`"),
        Value::Number(n) => format!("the number {n}"),
        Value::String(s) if s.chars().count() > 60 => "a long text".to_owned(),
        Value::String(s) => format!("the text \"{s}\""),
        Value::Array(a) => format!("a list of {}", a.len()),
        Value::Object(_) => "a mapping".to_owned(),
    }
}

fn bare(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemars::JsonSchema;

    #[derive(JsonSchema, serde::Deserialize)]
    #[serde(deny_unknown_fields, default)]
    #[allow(dead_code)] // read through its schema only
    struct Recipe {
        epochs: usize,
        betas: [f64; 2],
        clip: Option<f64>,
        kind: Kind,
        init: From,
        data: Data,
        #[schemars(extend("exclusiveMinimum" = 0))]
        blr: f64,
        #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
        share: f64,
        #[schemars(extend("uniqueItems" = true))]
        seeds: Vec<u64>,
    }

    impl Default for Recipe {
        fn default() -> Self {
            Self {
                epochs: 1,
                betas: [0.9, 0.95],
                clip: None,
                kind: Kind::Ema,
                init: From::Random,
                data: Data::Root(String::new()),
                blr: 1.0,
                share: 0.0,
                seeds: Vec::new(),
            }
        }
    }

    #[derive(JsonSchema, serde::Deserialize, serde::Serialize)]
    #[serde(rename_all = "kebab-case")]
    #[allow(dead_code)]
    enum Kind {
        /// one
        Ema,
        /// two
        Frozen,
    }

    #[derive(JsonSchema, serde::Deserialize, serde::Serialize)]
    #[serde(rename_all = "kebab-case", deny_unknown_fields)]
    #[allow(dead_code)]
    enum From {
        Random,
        Pretrain { name: String },
    }

    #[derive(JsonSchema, serde::Deserialize, serde::Serialize)]
    #[serde(rename_all = "kebab-case", deny_unknown_fields)]
    #[allow(dead_code)]
    enum Data {
        Root(String),
        Synth { size: usize },
    }

    fn messages(value: &Value) -> Vec<String> {
        let schema = schemars::generate::SchemaSettings::draft2020_12()
            .into_generator()
            .into_root_schema_for::<Recipe>()
            .to_value();
        check(value, &schema)
            .iter()
            .map(|p| format!("{}|{}", p.message(), p.hint().unwrap_or_default()))
            .collect()
    }

    #[test]
    fn each_mistake_says_expected_and_got() {
        for (value, expected) in [
            (json!({"epochs": 3, "clip": null, "kind": "ema", "init": "random"}), vec![]),
            (json!({"init": {"pretrain": {"name": "x"}}, "clip": 1, "betas": [0.1, 1]}), vec![]),
            (
                json!({"epoch": 3}),
                vec![
                    "unknown key `epoch`, did you mean `epochs`?|the keys are betas, blr, clip, data, epochs, init, kind, seeds, share",
                ],
            ),
            (
                json!({"epochs": "three"}),
                vec!["`epochs`: expected a whole number of at least 0, got the text \"three\"|"],
            ),
            (
                json!({"epochs": -3}),
                vec!["`epochs`: expected a whole number of at least 0, got the number -3|"],
            ),
            (json!({"betas": [1]}), vec!["`betas`: expected a list of 2, got a list of 1|"]),
            (json!({"betas": [1, "x"]}), vec!["`betas.1`: expected a number, got the text \"x\"|"]),
            (
                json!({"kind": "em", "clip": true}),
                vec![
                    "`clip`: expected a number or `null`, got `true`|",
                    "`kind`: expected `ema` or `frozen`, got the text \"em\"|",
                ],
            ),
            (
                json!({"init": {"pretrain": {"nam": "x"}}}),
                vec![
                    "unknown key `nam` in `init.pretrain`, did you mean `name`?|the keys of `init.pretrain` are name",
                    "key `name` is missing in `init.pretrain`, expected text|",
                ],
            ),
            (
                json!({"blr": 0, "share": 1, "seeds": [0, 1, 0]}),
                vec![
                    "`blr`: expected a number above 0, got the number 0|",
                    "`seeds`: the number 0 is there twice|",
                    "`share`: expected a number of at least 0 and below 1, got the number 1|",
                ],
            ),
            (
                json!({"data": {"rot": "x"}}),
                vec!["unknown key `rot` in `data`, did you mean `root`?|the keys of `data` are root, synth"],
            ),
            (json!({"init": 3}), vec!["`init`: expected `random` or `{pretrain: …}`, got the number 3|"]),
        ] {
            assert_eq!(messages(&value), expected, "{value}");
        }
    }

    #[test]
    fn an_example_is_schema_enough() {
        let schema = schema_like(&json!({"seed": 0, "trace": 1.0, "flat": false, "quality": [70, 95]}));
        let found = check(&json!({"sed": 1, "trace": 2, "flat": 1, "quality": [1, "x"]}), &schema);
        let paths: Vec<String> = found.iter().map(|p| p.path.join(".")).collect();
        assert_eq!(paths, ["flat", "quality.1", "sed"]);
    }

    #[test]
    fn slips_are_recognised_and_strangers_are_not() {
        let names: Vec<String> = ["fsvfm", "mae", "dino"].map(str::to_owned).into();
        assert_eq!(nearest("fsfvm", &names), Some("fsvfm"));
        assert_eq!(nearest("MAE", &names), Some("mae"));
        assert_eq!(nearest("resnet", &names), None);
    }
}
