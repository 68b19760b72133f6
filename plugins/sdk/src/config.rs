//! Settings of a component: one declaration gives defaults, parsing, a JSON schema and messages that name the key.
//!
//! Parsing goes key by key instead of through serde's derive, so that a wrong value is reported with its key and an
//! unknown key with the nearest known one. Everything is resolved here; a component never sees a missing value.

use serde_json::{Map, Value, json};

use facebench_abi::{ErrKind, text};

use crate::{Error, Result};

/// A declared set of settings; made by [`config!`](macro@crate::config).
pub trait Config: Clone + Default + Send + Sync + 'static {
    /// JSON schema of the object.
    fn schema() -> Value;
    /// Reads an object; absent keys take their defaults, unknown ones are errors.
    fn from_value(value: &Value) -> Result<Self>;
    /// The object with every key.
    fn to_value(&self) -> Value;
}

/// A type a setting may have.
pub trait Field: Sized {
    /// Its JSON schema, without description and default.
    fn schema() -> Value;
    /// Reads it; the error says what was expected.
    fn read(value: &Value) -> std::result::Result<Self, String>;
    /// Writes it.
    fn write(&self) -> Value;
}

/// What `got` looks like in a message.
fn describe(got: &Value) -> String {
    let text = got.to_string();
    if text.chars().count() > 40 { format!("{}…", text.chars().take(40).collect::<String>()) } else { text }
}

macro_rules! integers {
    ($($t:ty),*) => {$(
        impl Field for $t {
            fn schema() -> Value {
                if <$t>::MIN == 0 { json!({"type": "integer", "minimum": 0}) } else { json!({"type": "integer"}) }
            }
            fn read(value: &Value) -> std::result::Result<Self, String> {
                serde_json::from_value(value.clone()).map_err(|_| {
                    let sign = if <$t>::MIN == 0 { "a whole number ≥ 0" } else { "a whole number" };
                    format!("expected {sign}, got {}", describe(value))
                })
            }
            fn write(&self) -> Value {
                json!(self)
            }
        }
    )*};
}
integers!(usize, u64, u32, i64, i32);

macro_rules! simple {
    ($($t:ty, $schema:literal, $what:literal);*) => {$(
        impl Field for $t {
            fn schema() -> Value {
                json!({"type": $schema})
            }
            fn read(value: &Value) -> std::result::Result<Self, String> {
                serde_json::from_value(value.clone())
                    .map_err(|_| format!(concat!("expected ", $what, ", got {}"), describe(value)))
            }
            fn write(&self) -> Value {
                json!(self)
            }
        }
    )*};
}
simple!(f64, "number", "a number"; f32, "number", "a number"; bool, "boolean", "true or false"; String, "string", "text");

impl<T: Field> Field for Option<T> {
    fn schema() -> Value {
        json!({"anyOf": [T::schema(), {"type": "null"}]})
    }
    fn read(value: &Value) -> std::result::Result<Self, String> {
        if value.is_null() { Ok(None) } else { T::read(value).map(Some) }
    }
    fn write(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::write)
    }
}

impl<T: Field> Field for Vec<T> {
    fn schema() -> Value {
        json!({"type": "array", "items": T::schema()})
    }
    fn read(value: &Value) -> std::result::Result<Self, String> {
        let Value::Array(items) = value else {
            return Err(format!("expected a list, got {}", describe(value)));
        };
        items.iter().map(T::read).collect()
    }
    fn write(&self) -> Value {
        self.iter().map(T::write).collect()
    }
}

/// A key and its value in a message about the wrong one of a closed set.
#[doc(hidden)]
pub fn unknown(what: &str, got: &str, known: &[&str]) -> String {
    let list = known.join(", ");
    match text::nearest(got, known.iter().copied()).first() {
        Some(near) => format!("unknown {what} {got:?}, known: {list}\nhint: did you mean {near:?}?"),
        None => format!("unknown {what} {got:?}\nhint: known: {list}"),
    }
}

/// The object in `value`, checked for unknown keys.
#[doc(hidden)]
pub fn object<'a>(value: &'a Value, known: &[&str]) -> Result<std::borrow::Cow<'a, Map<String, Value>>> {
    let fail = |m: String| Error::new(ErrKind::CONFIG, m);
    let map = match value {
        Value::Null => return Ok(std::borrow::Cow::Owned(Map::new())),
        Value::Object(map) => map,
        other => return Err(fail(format!("expected settings as key: value, got {}", describe(other)))),
    };
    match map.keys().find(|k| !known.contains(&k.as_str())) {
        Some(key) => Err(fail(unknown("setting", key, known))),
        None => Ok(std::borrow::Cow::Borrowed(map)),
    }
}

/// One setting of the object, or its default.
#[doc(hidden)]
pub fn field<T: Field>(map: &Map<String, Value>, key: &str, default: impl FnOnce() -> T) -> Result<T> {
    map.get(key).map_or_else(
        || Ok(default()),
        |v| T::read(v).map_err(|m| Error::new(ErrKind::CONFIG, format!("setting `{key}`: {m}"))),
    )
}

/// The schema of one setting.
#[doc(hidden)]
pub fn field_schema<T: Field>(doc: &str, default: &T) -> Value {
    let mut schema = T::schema();
    if let Value::Object(map) = &mut schema {
        let doc = doc.split_whitespace().collect::<Vec<_>>().join(" ");
        map.insert("description".into(), Value::String(doc));
        map.insert("default".into(), default.write());
    }
    schema
}

/// Reads the JSON text the host sends; nothing means all defaults.
pub(crate) fn parse<C: Config>(json: &str) -> Result<C> {
    let value = if json.trim().is_empty() {
        Value::Null
    } else {
        serde_json::from_str(json)
            .map_err(|e| Error::new(ErrKind::CONFIG, format!("settings are not JSON: {e}")))?
    };
    C::from_value(&value)
}

/// Declares the settings of a component:
/// `config! { pub struct MyConfig { /// side in pixels
/// image: usize = 224, } }`.
#[macro_export]
macro_rules! config {
    ($(#[$meta:meta])* $vis:vis struct $Name:ident {
        $( $(#[doc = $doc:literal])* $field:ident : $ty:ty = $default:expr ),* $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug)]
        $vis struct $Name { $( $(#[doc = $doc])* pub $field: $ty ),* }

        impl Default for $Name {
            fn default() -> Self {
                Self { $( $field: $default ),* }
            }
        }

        impl $crate::config::Config for $Name {
            fn schema() -> $crate::serde_json::Value {
                #[allow(unused_variables)]
                let default = Self::default();
                #[allow(unused_mut)]
                let mut properties = $crate::serde_json::Map::new();
                $( properties.insert(
                    stringify!($field).to_string(),
                    $crate::config::field_schema::<$ty>(concat!("" $(, $doc)*), &default.$field),
                ); )*
                $crate::serde_json::json!({
                    "type": "object", "additionalProperties": false, "properties": properties,
                })
            }
            fn from_value(value: &$crate::serde_json::Value) -> $crate::Result<Self> {
                #[allow(unused_variables)]
                let map = $crate::config::object(value, &[$( stringify!($field) ),*])?;
                Ok(Self { $( $field: $crate::config::field(&map, stringify!($field), || $default)? ),* })
            }
            fn to_value(&self) -> $crate::serde_json::Value {
                #[allow(unused_mut)]
                let mut map = $crate::serde_json::Map::new();
                $( map.insert(stringify!($field).to_string(), $crate::config::Field::write(&self.$field)); )*
                $crate::serde_json::Value::Object(map)
            }
        }
    };
}

/// Declares a setting with a closed set of words:
/// `choice! { pub enum Pooling { /// mean of the patch tokens
/// Mean = "mean", } }`.
#[macro_export]
macro_rules! choice {
    ($(#[$meta:meta])* $vis:vis enum $Name:ident {
        $( $(#[$vmeta:meta])* $Variant:ident = $word:literal ),* $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $vis enum $Name { $( $(#[$vmeta])* $Variant ),* }

        #[allow(dead_code)]
        impl $Name {
            /// Every choice, in order.
            $vis const ALL: &'static [Self] = &[$( Self::$Variant ),*];

            /// The word written in settings.
            $vis fn word(self) -> &'static str {
                match self { $( Self::$Variant => $word ),* }
            }
        }

        impl std::fmt::Display for $Name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.word())
            }
        }

        impl $crate::config::Field for $Name {
            fn schema() -> $crate::serde_json::Value {
                $crate::serde_json::json!({"type": "string", "enum": [$( $word ),*]})
            }
            fn read(value: &$crate::serde_json::Value) -> std::result::Result<Self, String> {
                let words = [$( $word ),*];
                match value.as_str() {
                    $( Some($word) => Ok(Self::$Variant), )*
                    Some(other) => Err($crate::config::unknown("choice", other, &words)),
                    None => Err(format!("expected one of {}, got {value}", words.join(", "))),
                }
            }
            fn write(&self) -> $crate::serde_json::Value {
                $crate::serde_json::Value::String(self.word().to_string())
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    choice! {
        /// How to pool.
        enum Pool {
            /// mean
            Mean = "mean",
            /// cls
            Cls = "cls",
        }
    }

    config! {
        /// A test.
        struct Settings {
            /// side in
            /// pixels
            image: usize = 224,
            pool: Pool = Pool::Cls,
            width: Option<usize> = None,
            std: Vec<f64> = vec![1.0, 2.0],
        }
    }

    fn error(v: &Value) -> String {
        Settings::from_value(v).err().unwrap().to_string()
    }

    #[test]
    fn absent_keys_take_defaults_and_all_are_written() {
        let s = Settings::from_value(&json!({"width": 96, "pool": "mean"})).unwrap();
        assert_eq!(s.to_value(), json!({"image": 224, "pool": "mean", "width": 96, "std": [1.0, 2.0]}));
        assert_eq!(parse::<Settings>("").unwrap().to_value()["pool"], "cls");
    }

    #[test]
    fn the_schema_has_types_choices_defaults_and_docs() {
        let schema = Settings::schema();
        let p = &schema["properties"];
        let image = json!({"type": "integer", "minimum": 0, "default": 224, "description": "side in pixels"});
        assert_eq!(p["image"], image);
        assert_eq!(p["pool"]["enum"], json!(["mean", "cls"]));
        assert_eq!(p["width"]["default"], Value::Null);
        assert_eq!(schema["additionalProperties"], false);
    }

    #[test]
    fn mistakes_are_named_with_their_key() {
        for (value, expect) in [
            (
                json!({"imgae": 3}),
                "unknown setting \"imgae\", known: image, pool, width, std\nhint: did you mean \"image\"?",
            ),
            (json!({"zzzzzzzzz": 3}), "unknown setting \"zzzzzzzzz\"\nhint: known: image, pool, width, std"),
            (json!({"image": -3}), "setting `image`: expected a whole number ≥ 0, got -3"),
            (json!({"image": "big"}), "setting `image`: expected a whole number ≥ 0, got \"big\""),
            (
                json!({"pool": "means"}),
                "setting `pool`: unknown choice \"means\", known: mean, cls\nhint: did you mean \"mean\"?",
            ),
            (json!({"pool": 1}), "setting `pool`: expected one of mean, cls, got 1"),
            (json!({"std": 1}), "setting `std`: expected a list, got 1"),
            (json!([1]), "expected settings as key: value, got [1]"),
        ] {
            assert_eq!(error(&value), expect);
        }
    }
}
