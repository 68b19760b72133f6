//! PyTorch checkpoints: the zip container and the older sequence of pickles.
//!
//! Both hold one pickle whose tensors refer to storages by key. What lies around the model's
//! tensors (epoch, optimiser, arguments) is kept by dotted path: tensors in `extra`, scalars and
//! texts in `metadata`.
use super::pickle::{self, Id, Node, Pickle};
use super::zip::Archive;
use super::{Checkpoint, Container};
use crate::error::{Error, Result};
use candle_core::{DType, Device, Tensor};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Keys under which training programs put the model's tensors, most likely first.
const ROOTS: [&str; 8] =
    ["model", "state_dict", "teacher", "model_state_dict", "model_state", "net", "network", "module"];

/// Nesting and number of values followed when a pickle is flattened; self-referring containers
/// would never end otherwise.
const MAX_DEPTH: usize = 32;
const MAX_VALUES: usize = 1 << 20;

/// First bytes of a legacy file: a pickled magic number.
pub(super) const LEGACY_MAGIC: &[u8] = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.";

/// Data of the storages by key.
type Storages<'a> = HashMap<String, Cow<'a, [u8]>>;

/// Reads the zip container.
pub(super) fn read_zip(path: &Path, archive: &Archive<'_>, root: Option<&str>) -> Result<Checkpoint> {
    let fail = |reason: String| Error::checkpoint(path, reason);
    let main = archive.members.iter().find(|m| m.name.ends_with("/data.pkl"));
    let main = main.ok_or_else(|| fail("a zip archive without data.pkl: not a PyTorch checkpoint".into()))?;
    let base = main.name.trim_end_matches("data.pkl").to_owned();
    if let Some(order) = archive.find(&format!("{base}byteorder"))
        && archive.read(order).map_err(fail)?.as_ref() != b"little"
    {
        return Err(fail("big-endian checkpoints are not supported".into()));
    }
    let pickle = pickle::decode(&archive.read(main).map_err(fail)?).map_err(fail)?;
    let mut storages = Storages::new();
    for member in &archive.members {
        if let Some(key) = member.name.strip_prefix(&base).and_then(|rest| rest.strip_prefix("data/")) {
            storages.insert(key.to_owned(), archive.read(member).map_err(fail)?);
        }
    }
    assemble(path, &pickle, &storages, Container::TorchZip, root)
}

/// Reads the legacy format: magic, version, system info, the object, storage keys, then for each
/// storage its length and data.
pub(super) fn read_legacy(path: &Path, bytes: &[u8], root: Option<&str>) -> Result<Checkpoint> {
    let fail = |reason: String| Error::checkpoint(path, reason);
    let mut at = 0;
    let mut next = || -> Result<Pickle> {
        let pickle = pickle::decode(bytes.get(at..).unwrap_or_default()).map_err(fail)?;
        at += pickle.used;
        Ok(pickle)
    };
    let (_magic, version, _system, object, keys) = (next()?, next()?, next()?, next()?, next()?);
    if !matches!(version.nodes[version.root], Node::Int(1001)) {
        return Err(fail("legacy checkpoint of an unknown protocol version".into()));
    }
    let elements = element_sizes(&object);
    let Node::List(keys_list) = &keys.nodes[keys.root] else {
        return Err(fail("legacy checkpoint without a list of storages".into()));
    };
    let mut storages = Storages::new();
    for &id in keys_list {
        let Node::Text(key) = &keys.nodes[id] else { return Err(fail("a storage key is no text".into())) };
        let count = bytes.get(at..at + 8).ok_or_else(|| fail(format!("cut off before storage {key}")))?;
        let count = count.iter().rev().fold(0u64, |v, &b| v << 8 | u64::from(b));
        let size =
            elements.get(key).copied().ok_or_else(|| fail(format!("storage {key} has no known type")))?;
        let len = usize::try_from(count).ok().and_then(|n| n.checked_mul(size));
        let data = len.and_then(|n| bytes.get(at + 8..(at + 8).checked_add(n)?));
        let data = data.ok_or_else(|| fail(format!("cut off inside storage {key}")))?;
        at += 8 + data.len();
        storages.insert(key.clone(), Cow::Borrowed(data));
    }
    assemble(path, &object, &storages, Container::TorchLegacy, root)
}

/// Storage type and key of a persistent reference `("storage", type, key, location, elements, …)`.
fn storage_of(pickle: &Pickle, id: Id) -> Option<(&str, &str)> {
    let Node::Persistent(tuple) = pickle.nodes[id] else { return None };
    let Node::Tuple(parts) = &pickle.nodes[tuple] else { return None };
    match (pickle.nodes.get(*parts.first()?)?, &pickle.nodes[*parts.get(1)?], &pickle.nodes[*parts.get(2)?]) {
        (Node::Text(tag), Node::Global(kind), Node::Text(key)) if tag == "storage" => Some((kind, key)),
        _ => None,
    }
}

/// Bytes per element of each storage.
fn element_sizes(pickle: &Pickle) -> HashMap<String, usize> {
    let storages = (0..pickle.nodes.len()).filter_map(|id| storage_of(pickle, id));
    storages.filter_map(|(kind, key)| Some((key.to_owned(), element(kind)?.size()))).collect()
}

/// Element types of storages.
#[derive(Clone, Copy)]
enum Element {
    Plain(DType),
    I8,
    Bool,
}

impl Element {
    fn size(self) -> usize {
        match self {
            Self::Plain(dtype) => dtype.size_in_bytes(),
            Self::I8 | Self::Bool => 1,
        }
    }
}

fn element(kind: &str) -> Option<Element> {
    Some(match kind.rsplit('.').next()? {
        "FloatStorage" => Element::Plain(DType::F32),
        "DoubleStorage" => Element::Plain(DType::F64),
        "HalfStorage" => Element::Plain(DType::F16),
        "BFloat16Storage" => Element::Plain(DType::BF16),
        "LongStorage" => Element::Plain(DType::I64),
        "IntStorage" => Element::Plain(DType::I32),
        "ShortStorage" => Element::Plain(DType::I16),
        "ByteStorage" => Element::Plain(DType::U8),
        "CharStorage" => Element::I8,
        "BoolStorage" => Element::Bool,
        _ => return None,
    })
}

fn tensor(pickle: &Pickle, storages: &Storages<'_>, id: Id) -> std::result::Result<Tensor, String> {
    let Node::Tensor { storage, offset, size, stride } = &pickle.nodes[id] else {
        return Err("not a tensor".into());
    };
    let (kind, key) = storage_of(pickle, *storage).ok_or("its storage reference is malformed")?;
    let element = element(kind).ok_or_else(|| format!("storage type {kind} is not supported"))?;
    let data = storages.get(key).ok_or_else(|| format!("storage {key} is missing from the file"))?;
    let values = gather(data, element.size(), *offset, size, stride)
        .ok_or_else(|| format!("shape {size:?} with strides {stride:?} exceeds storage {key}"))?;
    let made = match element {
        Element::Plain(dtype) => Tensor::from_raw_buffer(&values, dtype, size, &Device::Cpu),
        Element::Bool => Tensor::from_raw_buffer(&values, DType::U8, size, &Device::Cpu),
        Element::I8 => {
            let wide: Vec<i64> = values.iter().map(|&b| i64::from(b as i8)).collect();
            Tensor::from_vec(wide, size.as_slice(), &Device::Cpu)
        }
    };
    made.map_err(|e| e.to_string())
}

/// The elements of a strided view in row-major order; nothing if it leaves the storage.
fn gather<'a>(
    data: &'a [u8],
    width: usize,
    offset: usize,
    size: &[usize],
    stride: &[usize],
) -> Option<Cow<'a, [u8]>> {
    if size.len() != stride.len() {
        return None;
    }
    let count = size.iter().try_fold(1usize, |n, &s| n.checked_mul(s))?;
    if count == 0 {
        return Some(Cow::Borrowed(&[]));
    }
    let last =
        size.iter().zip(stride).try_fold(offset, |at, (&s, &t)| at.checked_add((s - 1).checked_mul(t)?))?;
    let end = last.checked_add(1)?.checked_mul(width)?;
    if end > data.len() || count.checked_mul(width)? > data.len().checked_mul(64)? {
        return None; // an expanded view may repeat elements, but not without bound
    }
    let mut expected = 1;
    let contiguous = size.iter().zip(stride).rev().all(|(&s, &t)| {
        let fits = s == 1 || t == expected;
        expected *= s;
        fits
    });
    if contiguous {
        return Some(Cow::Borrowed(&data[offset * width..(offset + count) * width]));
    }
    let mut out = Vec::with_capacity(count * width);
    let mut index = vec![0usize; size.len()];
    for _ in 0..count {
        let at = offset + index.iter().zip(stride).map(|(i, t)| i * t).sum::<usize>();
        out.extend_from_slice(&data[at * width..(at + 1) * width]);
        for d in (0..size.len()).rev() {
            index[d] += 1;
            if index[d] < size[d] {
                break;
            }
            index[d] = 0;
        }
    }
    Some(Cow::Owned(out))
}

/// What a pickle holds, flattened to dotted paths.
#[derive(Default)]
struct Flat {
    tensors: Vec<(String, Id)>,
    scalars: BTreeMap<String, String>,
    seen: usize,
}

impl Flat {
    fn walk(&mut self, pickle: &Pickle, id: Id, path: &str, depth: usize) -> std::result::Result<(), String> {
        self.seen += 1;
        if depth > MAX_DEPTH || self.seen > MAX_VALUES {
            return Err(format!("{path} is nested too deeply or refers to itself"));
        }
        let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        let mut scalar = |value: String| drop(self.scalars.insert(path.to_owned(), value));
        match &pickle.nodes[id] {
            Node::Tensor { .. } => self.tensors.push((path.to_owned(), id)),
            Node::None => scalar("none".into()),
            Node::Bool(v) => scalar(v.to_string()),
            Node::Int(v) => scalar(v.to_string()),
            Node::Float(v) => scalar(v.to_string()),
            Node::Text(v) => scalar(v.clone()),
            Node::Dict(pairs) => {
                for &(key, value) in pairs {
                    let key = match &pickle.nodes[key] {
                        Node::Text(key) => key.clone(),
                        Node::Int(key) => key.to_string(),
                        _ => continue,
                    };
                    self.walk(pickle, value, &below(&key), depth + 1)?;
                }
            }
            Node::List(items) | Node::Tuple(items) => {
                for (i, &item) in items.iter().enumerate() {
                    self.walk(pickle, item, &below(&i.to_string()), depth + 1)?;
                }
            }
            Node::Object { state: Some(state), .. } => self.walk(pickle, *state, path, depth + 1)?,
            Node::Object { class, state: None } => scalar(format!("<{class}>")),
            Node::Bytes(_) | Node::Global(_) | Node::Persistent(_) => {}
        }
        Ok(())
    }
}

/// Whether a value is a dictionary with at least one tensor directly below.
fn holds_tensors(pickle: &Pickle, id: Id) -> bool {
    let Node::Dict(pairs) = &pickle.nodes[id] else { return false };
    pairs.iter().any(|&(_, value)| matches!(pickle.nodes[value], Node::Tensor { .. }))
}

fn assemble(
    path: &Path,
    pickle: &Pickle,
    storages: &Storages<'_>,
    container: Container,
    root: Option<&str>,
) -> Result<Checkpoint> {
    let fail = |reason: String| Error::checkpoint(path, reason);
    let Node::Dict(top) = &pickle.nodes[pickle.root] else {
        return Err(fail("the file holds no dictionary of tensors".into()));
    };
    let child = |name: &str| {
        top.iter()
            .rev()
            .find(|(key, _)| matches!(&pickle.nodes[*key], Node::Text(k) if k == name))
            .map(|&(_, v)| v)
    };
    let chosen = match root {
        Some(name) => Some(name).filter(|name| child(name).is_some_and(|id| holds_tensors(pickle, id))),
        None if holds_tensors(pickle, pickle.root) => Some(""),
        None => ROOTS.into_iter().find(|name| child(name).is_some_and(|id| holds_tensors(pickle, id))),
    };
    let Some(chosen) = chosen else {
        let keys: Vec<&str> = top
            .iter()
            .filter_map(|(key, _)| match &pickle.nodes[*key] {
                Node::Text(key) => Some(key.as_str()),
                _ => None,
            })
            .take(20)
            .collect();
        let hint = "\nhint: name the key that holds the model's tensors";
        return Err(fail(format!("no model found; the top level has the keys {}{hint}", keys.join(", "))));
    };
    let mut flat = Flat::default();
    flat.walk(pickle, pickle.root, "", 0).map_err(fail)?;
    let (mut tensors, mut extra, mut order) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    for (name, id) in flat.tensors {
        let inside = if chosen.is_empty() {
            Some(name.as_str())
        } else {
            name.strip_prefix(chosen).and_then(|n| n.strip_prefix('.'))
        };
        let made = tensor(pickle, storages, id).map_err(|e| fail(format!("tensor {name}: {e}")))?;
        match inside {
            Some(key) => {
                order.push(key.to_owned());
                tensors.insert(key.to_owned(), made);
            }
            None => drop(extra.insert(name, made)),
        }
    }
    let metadata = flat.scalars;
    Ok(Checkpoint { tensors, order, container, root: chosen.to_owned(), metadata, extra })
}
