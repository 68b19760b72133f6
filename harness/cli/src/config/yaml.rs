//! YAML in, plain JSON values out: the only module that names `serde_yaml`.
//!
//! Everything behind this door (merging, checking, digests) works on `serde_json::Value`, so the
//! YAML crate can be exchanged by editing one file. What JSON cannot say (tags, keys that are not
//! text, infinities) is refused here rather than guessed at. Files are small by nature: a cap keeps a
//! mistaken path (`-x scores.csv`) from being parsed for minutes.
//!
//! The parser keeps no positions, but its errors carry one. [`locate`] uses that: it walks the text
//! again to a given path and raises an error there. Exact, and only paid for when a message needs it.

use serde::de::{DeserializeSeed, EnumAccess};
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_yaml as yaml;
use serde_yaml::with::singleton_map_recursive;
use std::collections::BTreeSet;
use std::fmt;

/// Largest accepted file: the biggest experiment one would write by hand is a few kilobytes.
pub(crate) const MAX_BYTES: usize = 256 * 1024;

/// Why a text is not a configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum YamlError {
    /// Not YAML, or more than one document
    #[error("{name}: {message}")]
    Syntax {
        /// File name, as the user knows it
        name: String,
        /// The parser's words, with line and column
        message: String,
    },
    /// Over the cap
    #[error("{name}: {bytes} bytes, at most {MAX_BYTES} expected\nhint: is this the right file?")]
    TooLarge {
        /// File name
        name: String,
        /// Its size
        bytes: usize,
    },
    /// YAML that has no JSON counterpart
    #[error("{name}: {what}{}\nhint: {hint}", at(.path))]
    Unsupported {
        /// File name
        name: String,
        /// What it is
        what: String,
        /// Where
        path: String,
        /// What to write instead
        hint: &'static str,
    },
}

/// The place of a value, for messages; nothing for the top.
fn at(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!(" at `{path}`") }
}

/// One document as a JSON value. An empty text gives `null`.
pub(crate) fn parse(name: &str, text: &str) -> Result<Value, YamlError> {
    if text.len() > MAX_BYTES {
        return Err(YamlError::TooLarge { name: name.into(), bytes: text.len() });
    }
    let syntax = |e: yaml::Error| {
        let message = e.to_string();
        // the parser notices a repeated key too late to know where it was
        let line = if message.contains("duplicate entry") { repeated(text) } else { None };
        let name = line.map_or(name.to_owned(), |line| format!("{name}:{line}"));
        YamlError::Syntax { name, message }
    };
    let mut value: yaml::Value = yaml::from_str(text).map_err(syntax)?;
    value.apply_merge().map_err(syntax)?;
    convert(name, &value, &mut Vec::new())
}

/// Names of the keys of the mapping at `path`, in the order in which the text has them.
pub(crate) fn key_order(text: &str, path: &[&str]) -> Vec<String> {
    let Ok(mut value) = yaml::from_str::<yaml::Value>(text) else { return Vec::new() };
    if value.apply_merge().is_err() {
        return Vec::new();
    }
    let mut at = &value;
    for key in path {
        match at.get(key) {
            Some(next) => at = next,
            None => return Vec::new(),
        }
    }
    let Some(map) = at.as_mapping() else { return Vec::new() };
    map.keys().filter_map(|k| k.as_str().map(str::to_owned)).collect()
}

/// A value as YAML text that [`parse`] reads back: alternatives are mappings (`data: {root: …}`), not tags.
pub(crate) fn print(value: &impl serde::Serialize) -> String {
    let mut text = Vec::new();
    let written = singleton_map_recursive::serialize(value, &mut yaml::Serializer::new(&mut text));
    match written {
        Ok(()) => String::from_utf8_lossy(&text).into_owned(),
        Err(e) => format!("# cannot be shown: {e}\n"),
    }
}

/// [`print()`] with keys that types leave out while they have their defaults, put back: `(path, key, value)`, where `*` in
/// a path stands for every key.
pub(crate) fn print_with(value: &impl serde::Serialize, left_out: &[(&[&str], &str, Value)]) -> String {
    let Ok(mut whole) = singleton_map_recursive::serialize(value, yaml::value::Serializer) else {
        return print(value);
    };
    for (path, key, value) in left_out {
        if let Ok(value) = yaml::to_value(value) {
            put_back(&mut whole, path, key, &value);
        }
    }
    print(&whole)
}

fn put_back(at: &mut yaml::Value, path: &[&str], key: &str, value: &yaml::Value) {
    let Some(map) = at.as_mapping_mut() else { return };
    match path.split_first() {
        None => {
            map.entry(key.into()).or_insert_with(|| value.clone());
        }
        Some((&"*", rest)) => map.values_mut().for_each(|below| put_back(below, rest, key, value)),
        Some((head, rest)) => {
            if let Some(below) = map.get_mut(*head) {
                put_back(below, rest, key, value);
            }
        }
    }
}

fn convert(name: &str, value: &yaml::Value, path: &mut Vec<String>) -> Result<Value, YamlError> {
    let refuse = |what: String, path: &[String], hint| {
        Err(YamlError::Unsupported { name: name.into(), what, path: path.join("."), hint })
    };
    Ok(match value {
        yaml::Value::Null => Value::Null,
        yaml::Value::Bool(b) => Value::Bool(*b),
        yaml::Value::String(s) => Value::String(s.clone()),
        yaml::Value::Number(n) => match (n.as_u64(), n.as_i64(), n.as_f64().and_then(Number::from_f64)) {
            (Some(u), _, _) => Value::Number(u.into()),
            (_, Some(i), _) => Value::Number(i.into()),
            (_, _, Some(f)) => Value::Number(f),
            _ => return refuse(format!("the number {n}"), path, "write a finite number"),
        },
        yaml::Value::Sequence(items) => {
            let mut list = Vec::with_capacity(items.len());
            for (i, item) in items.iter().enumerate() {
                path.push(i.to_string());
                list.push(convert(name, item, path)?);
                path.pop();
            }
            Value::Array(list)
        }
        yaml::Value::Mapping(entries) => {
            let mut map = Map::new();
            for (key, item) in entries {
                let Some(key) = key.as_str() else {
                    let shown = print(key);
                    let what = format!("a key that is not text ({})", shown.trim());
                    return refuse(what, path, "put the key in quotes");
                };
                path.push(key.to_owned());
                map.insert(key.to_owned(), convert(name, item, path)?);
                path.pop();
            }
            Value::Object(map)
        }
        yaml::Value::Tagged(t) => return refuse(format!("the tag {}", t.tag), path, "leave the tag out"),
    })
}

/// Line (from 1) of the key, or the list item, at `path`; `None` where the text has no such thing.
pub(crate) fn locate(text: &str, path: &[String]) -> Option<usize> {
    let error = At { path }.deserialize(yaml::Deserializer::from_str(text)).err()?;
    if !error.to_string().contains(FOUND) {
        return None;
    }
    error.location().map(|l| l.line())
}

/// Line (from 1) of the first key that its mapping has already.
fn repeated(text: &str) -> Option<usize> {
    let error = Once.deserialize(yaml::Deserializer::from_str(text)).err()?;
    if !error.to_string().contains(REPEATED) {
        return None;
    }
    error.location().map(|l| l.line())
}

const REPEATED: &str = "facebench: again";

/// Walks everything and fails with [`REPEATED`] at the second of two equal keys of a mapping.
struct Once;

impl<'de> DeserializeSeed<'de> for Once {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Once {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("anything")
    }
    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Once)?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = BTreeSet::new();
        while map.next_key_seed(Fresh(&mut seen))?.is_some() {
            map.next_value_seed(Once)?;
        }
        Ok(())
    }
}

/// Takes note of one key; fails with [`REPEATED`] on one that was there.
struct Fresh<'s>(&'s mut BTreeSet<String>);

impl<'de> DeserializeSeed<'de> for Fresh<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_str(self)
    }
}

impl Visitor<'_> for Fresh<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a key")
    }
    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<(), E> {
        if self.0.insert(key.to_owned()) { Ok(()) } else { Err(E::custom(REPEATED)) }
    }
}

const FOUND: &str = "facebench: here";

/// Walks down to `path` and fails there with [`FOUND`].
struct At<'p> {
    path: &'p [String],
}

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_any(self)
    }
}

impl At<'_> {
    /// A scalar: found if the path ends here, else this is not the place.
    fn scalar<E: serde::de::Error>(&self) -> Result<(), E> {
        if self.path.is_empty() { Err(E::custom(FOUND)) } else { Ok(()) }
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("anything")
    }
    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        self.scalar()
    }
    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        self.scalar()
    }
    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        self.scalar()
    }
    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        self.scalar()
    }
    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
        self.scalar()
    }
    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.scalar()
    }
    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Some((head, rest)) = self.path.split_first() else { return Err(A::Error::custom(FOUND)) };
        let wanted: Option<usize> = head.parse().ok();
        let mut i = 0;
        loop {
            let more = if wanted == Some(i) {
                seq.next_element_seed(At { path: rest })?.is_some()
            } else {
                seq.next_element::<IgnoredAny>()?.is_some()
            };
            if !more {
                return Ok(());
            }
            i += 1;
        }
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((head, rest)) = self.path.split_first() else { return Err(A::Error::custom(FOUND)) };
        while let Some(hit) = map.next_key_seed(Key { wanted: head, last: rest.is_empty() })? {
            if hit {
                map.next_value_seed(At { path: rest })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// Compares one key; fails with [`FOUND`] on the last one of the path.
struct Key<'p> {
    wanted: &'p str,
    last: bool,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = bool;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<bool, D::Error> {
        d.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = bool;
    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a key")
    }
    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<bool, E> {
        match (key == self.wanted, self.last) {
            (true, true) => Err(E::custom(FOUND)),
            (hit, _) => Ok(hit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# a comment\nname: x\npretrain:\n  mae:\n    optim: {epochs: 3,\n      blr: 1.0}\nseeds:\n  - 0\n  - 7\nonly: [{head: a},\n  {head: b}]\n";

    fn line(path: &str) -> Option<usize> {
        locate(TEXT, &path.split('.').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn every_key_and_item_is_found_on_its_line() {
        for (path, expected) in [
            ("name", Some(2)),
            ("pretrain", Some(3)),
            ("pretrain.mae", Some(4)),
            ("pretrain.mae.optim.epochs", Some(5)),
            ("pretrain.mae.optim.blr", Some(6)),
            ("seeds.1", Some(9)),
            ("only.1.head", Some(11)),
            ("only.1", Some(11)),
            ("pretrain.mae.optim.nothing", None),
            ("seeds.7", None),
        ] {
            assert_eq!(line(path), expected, "{path}");
        }
    }

    #[test]
    fn what_json_cannot_say_is_refused_with_its_path() {
        for (text, needle) in [
            ("a: .inf", "the number .inf at `a`"),
            ("a: {1: x}", "not text (1) at `a`"),
            ("a: [!tag x]", "the tag !tag at `a.0`"),
            ("a: 1\n---\nb: 2", "more than one document"),
            ("a: 1\na: 2", "duplicate entry"),
            (".nan", "f.yaml: the number .nan\nhint"),
            ("a: [", "line 2"),
        ] {
            let message = parse("f.yaml", text).unwrap_err().to_string();
            assert!(message.contains(needle) && message.starts_with("f.yaml:"), "{text}: {message}");
        }
        let twice = "a: 1\nm:\n  k: 1\n  l: [{x: 1}]\n  k: 2\n";
        assert!(parse("f.yaml", twice).unwrap_err().to_string().starts_with("f.yaml:5: "));
        let big = format!("a: {}", "x".repeat(MAX_BYTES));
        assert!(parse("f.yaml", &big).unwrap_err().to_string().contains("at most 262144"));
    }

    #[test]
    fn numbers_keep_their_kind_and_words_stay_words() {
        let v = parse("f", "i: 3\nf: 1e-4\nn: -2\nno: no\noctal: 0755\nyes: 'true'").unwrap();
        assert_eq!(
            v,
            serde_json::json!({"i": 3, "f": 1e-4, "n": -2, "no": "no", "octal": "0755", "yes": "true"})
        );
    }

    #[test]
    fn what_types_leave_out_is_printed_where_it_belongs() {
        let value = serde_json::json!({"runs": {"b": {"x": 1}, "c": {"p": 7, "x": 2}}});
        let text = print_with(&value, &[(&["runs", "*"], "p", 3.into()), (&["heads", "*"], "p", 3.into())]);
        assert_eq!(
            parse("f", &text).unwrap(),
            serde_json::json!({"runs": {"b": {"p": 3, "x": 1}, "c": {"p": 7, "x": 2}}})
        );
    }

    #[test]
    fn keys_come_in_the_order_of_the_text() {
        assert_eq!(key_order("m: {z: 1, a: 2}\n", &["m"]), ["z", "a"]);
        assert!(key_order("m: 3", &["m"]).is_empty());
    }
}
