//! From files to one value: `extends:`, merging, `-s a.b=c`, and where each key came from.
//!
//! An experiment is a stack of layers: the files it extends (deepest first), itself, then the
//! overrides of the command line. Mappings merge key by key; anything else (lists too) replaces what
//! was there. `null` is a value like any other, since several settings use it to say "off".
//! The layers are kept, because a message must name the file and line that the user wrote, and a
//! relative path counts from the folder of the file that says it.

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::yaml::{self, YamlError};
use super::{check, presets};

/// One file (or preset) of the stack.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    /// As messages call it
    pub(crate) name: String,
    /// Where its relative paths count from
    pub(crate) folder: PathBuf,
    /// Its source
    pub(crate) text: String,
    /// Its content, without `extends`
    pub(crate) value: Value,
}

/// One `-s a.b=c`.
#[derive(Clone, Debug)]
pub(crate) struct Override {
    /// The argument as typed
    pub(crate) raw: String,
    /// `a`, `b`
    pub(crate) path: Vec<String>,
    /// What stands after `=`
    pub(crate) text: String,
}

/// The merged value and what it was made of.
#[derive(Clone, Debug)]
pub(crate) struct Layers {
    /// Deepest first
    pub(crate) files: Vec<Layer>,
    /// In the order of the command line
    pub(crate) overrides: Vec<Override>,
    /// All of them merged
    pub(crate) merged: Value,
}

/// Why the layers cannot be put together.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LayerError {
    /// A file is not a configuration
    #[error(transparent)]
    Yaml(#[from] YamlError),
    /// A file cannot be read
    #[error("{path}: {source}{hint}")]
    Read {
        /// The file
        path: String,
        /// What the system said
        source: std::io::Error,
        /// A line to add, or nothing
        hint: String,
    },
    /// `preset:NAME` that is not embedded
    #[error("no preset `{name}`\nhint: {hint}")]
    NoPreset {
        /// The name
        name: String,
        /// The nearest, or all
        hint: String,
    },
    /// The top of a file is not a mapping
    #[error(
        "{name}: expected a mapping of keys at the top\nhint: `facebench schema experiment` lists the keys"
    )]
    NotMapping {
        /// The file
        name: String,
    },
    /// `extends:` that is not a name or a list of names
    #[error("{name}:{line}: `extends` is neither a file name nor a list of them")]
    BadExtends {
        /// The file
        name: String,
        /// Its line
        line: usize,
    },
    /// A file extends itself, directly or through others
    #[error("{0}: the files extend each other in a circle")]
    Cycle(String),
    /// An override of a setting of something that is not there
    #[error("-s {raw}: no {what} is called `{name}`\nhint: {hint}")]
    NoName {
        /// The argument
        raw: String,
        /// What it is about
        what: &'static str,
        /// The name
        name: String,
        /// The nearest, or all
        hint: String,
    },
    /// An override that is not `path=value`, or whose path leads nowhere
    #[error("-s {raw}: {what}\nhint: write it like `-s pretrain.mae.optim.epochs=5` or `-s seeds=[0,1]`")]
    Override {
        /// The argument
        raw: String,
        /// What is wrong
        what: String,
    },
}

/// Reads `source` (a file, or `preset:NAME`), what it extends, and applies the overrides.
pub(crate) fn load(source: &str, overrides: &[String]) -> Result<Layers, LayerError> {
    let mut files = Vec::new();
    collect(source, Path::new(""), &mut Vec::new(), &mut files)?;
    let mut merged = Value::Object(Map::new());
    for layer in &files {
        merge_layer(&mut merged, &layer.value);
    }
    let overrides = overrides.iter().map(|raw| parse_override(raw)).collect::<Result<Vec<_>, _>>()?;
    for o in &overrides {
        // the text is tried as YAML first; `check` may find that plain text was meant
        let value = yaml::parse(&format!("-s {}", o.raw), &o.text)?;
        if o.path.len() > 2 && o.path[..2] == [EVERY.0, EVERY.1] {
            for_every(&mut merged, o, &value)?;
        } else {
            check_name(&merged, o)?;
            set(&mut merged, o, value)?;
        }
    }
    if let Some(Value::Object(runs)) = merged.get_mut(EVERY.0) {
        runs.remove(EVERY.1);
    }
    Ok(Layers { files, overrides, merged })
}

fn collect(
    source: &str,
    folder: &Path,
    open: &mut Vec<String>,
    files: &mut Vec<Layer>,
) -> Result<(), LayerError> {
    let (name, here, text) = match source.strip_prefix("preset:") {
        Some(preset) => (source.to_owned(), PathBuf::new(), presets::experiment(preset)?.to_owned()),
        None => read(folder, source)?,
    };
    if open.contains(&name) {
        return Err(LayerError::Cycle(format!("{} -> {name}", open.join(" -> "))));
    }
    let mut value = yaml::parse(&name, &text)?;
    let Some(map) = value.as_object_mut() else { return Err(LayerError::NotMapping { name }) };
    let bad = || LayerError::BadExtends {
        name: name.clone(),
        line: yaml::locate(&text, &["extends".into()]).unwrap_or(1),
    };
    let bases: Vec<String> = match map.remove("extends") {
        None => Vec::new(),
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(list)) => {
            list.iter().map(|v| v.as_str().map(str::to_owned).ok_or_else(bad)).collect::<Result<_, _>>()?
        }
        Some(_) => return Err(bad()),
    };
    open.push(name.clone());
    for base in &bases {
        collect(base, &here, open, files)?;
    }
    open.pop();
    files.push(Layer { name, folder: here, text, value });
    Ok(())
}

fn read(folder: &Path, source: &str) -> Result<(String, PathBuf, String), LayerError> {
    let path = folder.join(source);
    let failed = |source: std::io::Error| {
        let hint = if source.kind() == std::io::ErrorKind::NotFound {
            format!("\nhint: embedded experiments are named {}", presets::list())
        } else {
            String::new()
        };
        LayerError::Read { path: path.display().to_string(), source, hint }
    };
    let meta = std::fs::metadata(&path).map_err(failed)?;
    if meta.is_dir() {
        return Err(failed(std::io::ErrorKind::IsADirectory.into()));
    }
    if meta.len() > yaml::MAX_BYTES as u64 {
        let bytes = usize::try_from(meta.len()).unwrap_or(usize::MAX);
        return Err(YamlError::TooLarge { name: path.display().to_string(), bytes }.into());
    }
    let text = std::fs::read_to_string(&path).map_err(failed)?;
    // `a/../b.yaml` and `b.yaml` are one file: needed to see circles
    let canonical = path.canonicalize().map_err(failed)?;
    let here = canonical.parent().map(Path::to_path_buf).unwrap_or_default();
    let shown = if source.contains("..") { canonical } else { path };
    Ok((shown.display().to_string(), here, text))
}

/// `pretrain: {"*": …}` speaks of every pre-training run, so that one preset can change them all.
const EVERY: (&str, &str) = ("pretrain", "*");

/// Merges a file over those before it. What it says of every run reaches runs that are there and, beneath their own
/// settings, runs that later files add; what a run has switched off with `null` stays off.
fn merge_layer(merged: &mut Value, layer: &Value) {
    let mut layer = layer.clone();
    let (section, star) = EVERY;
    let of_every = layer.get_mut(section).and_then(Value::as_object_mut).and_then(|runs| runs.remove(star));
    if let Some(of_every) = &of_every {
        let all = Value::Object(Map::from_iter([(star.to_owned(), of_every.clone())]));
        merge_at(merged, &Value::Object(Map::from_iter([(section.to_owned(), all)])), &mut Vec::new());
        if let Some(Value::Object(runs)) = merged.get_mut(section) {
            for (_, run) in runs.iter_mut().filter(|(name, _)| *name != star) {
                merge_switched_on(run, of_every);
            }
        }
    }
    let base = merged.get(section).and_then(|runs| runs.get(star)).cloned();
    if let (Some(base), Some(Value::Object(runs))) = (base, layer.get_mut(section)) {
        for (name, run) in runs.iter_mut() {
            if merged[section].get(name).is_none() {
                let own = std::mem::replace(run, base.clone());
                merge(run, &own);
            }
        }
    }
    merge(merged, &layer);
}

/// Like [`merge`], except that nothing is put where `base` says `null`.
fn merge_switched_on(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                match base.get_mut(key) {
                    Some(Value::Null) => {}
                    Some(there) => merge_switched_on(there, value),
                    None => {
                        base.insert(key.clone(), value.clone());
                    }
                }
            }
        }
        (base, over) => *base = over.clone(),
    }
}

/// An override of every run.
fn for_every(merged: &mut Value, o: &Override, value: &Value) -> Result<(), LayerError> {
    let names: Vec<String> = merged
        .get(EVERY.0)
        .and_then(Value::as_object)
        .map(|runs| runs.keys().filter(|name| *name != EVERY.1).cloned().collect())
        .unwrap_or_default();
    if names.is_empty() {
        return Err(LayerError::Override { raw: o.raw.clone(), what: "there is no pre-training run".into() });
    }
    for name in names {
        let mut path = o.path.clone();
        path[1] = name;
        set(merged, &Override { path, ..o.clone() }, value.clone())?;
    }
    Ok(())
}

/// A setting inside a named part needs that part: a slip in its name would add another one, with all defaults. A
/// whole part (`-s heads.mine={plugin: linear}`) may be new.
fn check_name(merged: &Value, o: &Override) -> Result<(), LayerError> {
    let [section, name, _, ..] = o.path.as_slice() else { return Ok(()) };
    let what = match section.as_str() {
        "pretrain" => "pre-training run",
        "models" => "model",
        "heads" => "head",
        _ => return Ok(()),
    };
    let part = merged.get(section).and_then(Value::as_object);
    if part.is_some_and(|map| map.contains_key(name)) {
        return Ok(());
    }
    let names: Vec<String> =
        part.into_iter().flat_map(Map::keys).filter(|name| *name != EVERY.1).cloned().collect();
    let hint = match check::nearest(name, &names) {
        Some(near) => format!("did you mean `{near}`?"),
        None if names.is_empty() => format!("there is none; `-s {section}.{name}={{…}}` adds one"),
        None => format!("there are {}; `-s {section}.{name}={{…}}` adds one", names.join(", ")),
    };
    Err(LayerError::NoName { raw: o.raw.clone(), what, name: name.clone(), hint })
}

/// Mappings merge key by key; anything else replaces.
pub(crate) fn merge(base: &mut Value, over: &Value) {
    merge_at(base, over, &mut Vec::new());
}

fn merge_at(base: &mut Value, over: &Value, path: &mut Vec<String>) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            if one_of(path) && over.keys().any(|k| !base.contains_key(k)) {
                base.clear();
            }
            for (key, value) in over {
                path.push(key.clone());
                merge_at(base.entry(key.clone()).or_insert(Value::Null), value, path);
                path.pop();
            }
        }
        (base, over) => *base = over.clone(),
    }
}

/// Mappings that hold one of several alternatives: another one replaces what was there, so that
/// `-s data.root=DIR` turns an experiment on synthetic faces into one on real ones.
fn one_of(path: &[String]) -> bool {
    match path {
        [data] => data == "data",
        [models, _, init] => models == "models" && init == "init",
        _ => false,
    }
}

/// Reads `a.b=c`.
pub(crate) fn parse_override(raw: &str) -> Result<Override, LayerError> {
    let fail = |what: &str| LayerError::Override { raw: raw.into(), what: what.into() };
    let (path, text) = raw.split_once('=').ok_or_else(|| fail("there is no `=`"))?;
    let path: Vec<String> = path.trim().split('.').map(str::to_owned).collect();
    if path.iter().any(String::is_empty) {
        return Err(fail("the path has an empty part"));
    }
    Ok(Override { raw: raw.into(), path, text: text.into() })
}

/// Puts `value` at the override's path, making mappings on the way.
pub(crate) fn set(root: &mut Value, o: &Override, value: Value) -> Result<(), LayerError> {
    let fail = |what: String| LayerError::Override { raw: o.raw.clone(), what };
    let mut at = root;
    for (depth, key) in o.path.iter().enumerate() {
        let shown = o.path[..depth].join(".");
        if at.is_null() {
            *at = Value::Object(Map::new());
        }
        if let Value::Object(map) = at
            && one_of(&o.path[..depth])
            && !map.contains_key(key)
        {
            map.clear();
        }
        if at.is_string() && one_of(&o.path[..depth]) {
            *at = Value::Object(Map::new());
        }
        at = match at {
            Value::Object(map) => map.entry(key.clone()).or_insert(Value::Null),
            Value::Array(list) => {
                let n = list.len();
                let item = key.parse::<usize>().ok().and_then(|i| list.get_mut(i));
                item.ok_or_else(|| fail(format!("`{shown}` is a list of {n}, `{key}` is not in it")))?
            }
            _ => return Err(fail(format!("`{shown}` is a single value, so there is no `{key}` in it"))),
        };
    }
    *at = value;
    Ok(())
}

impl Layers {
    /// Where the value at `path` (or the nearest thing above it) was written: `file:line` or `-s …`.
    pub(crate) fn whereis(&self, path: &[String]) -> String {
        let reaches = |o: &&Override| {
            let same = |(i, key): (usize, &String)| {
                *key == o.path[i] || (i == 1 && o.path[0] == EVERY.0 && o.path[1] == EVERY.1)
            };
            path.len() >= o.path.len() && path[..o.path.len()].iter().enumerate().all(same)
        };
        if let Some(o) = self.overrides.iter().rev().find(reaches) {
            return format!("-s {}", o.raw);
        }
        let mut of_every = path.to_vec();
        if path.len() > 2 && path[0] == EVERY.0 {
            of_every[1] = EVERY.1.to_owned();
        }
        for end in (1..=path.len()).rev() {
            for layer in self.files.iter().rev() {
                for at in [&path[..end], &of_every[..end]] {
                    if get(&layer.value, at).is_some() {
                        return match yaml::locate(&layer.text, at) {
                            Some(line) => format!("{}:{line}", layer.name),
                            None => layer.name.clone(),
                        };
                    }
                }
            }
        }
        self.files.last().map_or_else(String::new, |l| l.name.clone())
    }

    /// Like [`Layers::whereis`] for a mistake somewhere in the value at `path`: the override that reaches into it, if
    /// just one does.
    pub(crate) fn whereabouts(&self, path: &[String]) -> String {
        let every = |i: usize| i == 1 && path[0] == EVERY.0;
        let within = |o: &&Override| {
            let same = |(i, key): (usize, &String)| *key == o.path[i] || (every(i) && o.path[i] == EVERY.1);
            o.path.len() > path.len() && path.iter().enumerate().all(same)
        };
        let mut inside = self.overrides.iter().filter(within);
        match (inside.next(), inside.next()) {
            (Some(o), None) => format!("-s {}", o.raw),
            _ => self.whereis(path),
        }
    }

    /// The folder from which a relative file name at `path` counts: that of the file which says it, or
    /// the current one for an override or a preset.
    pub(crate) fn folder(&self, path: &[&str]) -> PathBuf {
        let path: Vec<String> = path.iter().map(|s| (*s).to_owned()).collect();
        if self.overrides.iter().any(|o| path.starts_with(&o.path)) {
            return PathBuf::new();
        }
        let says = self.files.iter().rev().find(|l| get(&l.value, &path).is_some());
        says.map(|l| l.folder.clone()).unwrap_or_default()
    }

    /// Keys of the mapping at `path` in the order in which they were first written.
    pub(crate) fn key_order(&self, path: &[&str]) -> Vec<String> {
        let mut order: Vec<String> = Vec::new();
        for layer in &self.files {
            for key in yaml::key_order(&layer.text, path) {
                if !order.contains(&key) {
                    order.push(key);
                }
            }
        }
        order
    }

    /// All mistakes against `schema`. An override that was read as another type although text is
    /// wanted (`-s name=7`) is put right first.
    pub(crate) fn check(&mut self, schema: &Value) -> Vec<check::Problem> {
        let problems = check::check(&self.merged, schema);
        let mut again = false;
        for o in self.overrides.clone() {
            let wants_text = problems.iter().any(|p| p.path == o.path);
            let is_text = get(&self.merged, &o.path).is_some_and(Value::is_string);
            if wants_text && !is_text {
                let before = self.merged.clone();
                if set(&mut self.merged, &o, Value::String(o.text.clone())).is_err()
                    || check::check(&self.merged, schema).len() >= problems.len()
                {
                    self.merged = before;
                }
                again = true;
            }
        }
        if again { check::check(&self.merged, schema) } else { problems }
    }
}

/// The value at a path of keys and list positions.
pub(crate) fn get<'v>(value: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(value, |at, key| match at {
        Value::Object(map) => map.get(key),
        Value::Array(list) => key.parse::<usize>().ok().and_then(|i| list.get(i)),
        _ => None,
    })
}
