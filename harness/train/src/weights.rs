//! From a checkpoint file to a backbone's parameters, strict both ways.
//!
//! The backbone plugin says which layouts it reads (prefixes, renames, what may be missing or left
//! over). The file's layout is recognised from its keys; then every tensor must become a parameter
//! or be excused by the layout, and every parameter must come from the file or be excused. Position
//! tables of another grid are interpolated as published.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use facebench_data::transform::Normalise;
use facebench_engine::checkpoint::Checkpoint;
use facebench_engine::{ParamStore, checkpoint, nn};
use facebench_host::{BackboneInfo, KeyMap, Resize, Target};

use crate::error::{Error, Result};

/// Weights that were given to a store and must still be checked against what the backbone asked for.
#[derive(Debug)]
pub struct Given {
    path: PathBuf,
    backbone: String,
    /// The layout the file has
    pub layout: KeyMap,
    /// Channel statistics recorded with the weights
    pub normalise: Option<Normalise>,
}

/// The tensors of a file under a backbone's names.
pub struct Mapped {
    /// By the backbone's name, or by the stripped key for those that are no parameter.
    pub tensors: BTreeMap<String, Tensor>,
    /// The keys each of them came from.
    pub keys: BTreeMap<String, Vec<String>>,
    /// Names whose table of positions was resized, with the number of rows it had.
    pub resized: BTreeMap<String, usize>,
}

/// The first layout that recognises these keys.
pub fn recognise<'a>(layouts: &'a [KeyMap], read: &Checkpoint) -> Option<&'a KeyMap> {
    layouts.iter().find(|l| l.recognises(read.tensors.keys().map(String::as_str)))
}

/// Applies a layout: prefixes, renames, joins, transpositions, position tables.
///
/// Errors: a sentence when a part of a joined parameter is absent, two tensors become one name, or a table cannot be
/// resized.
pub fn map(read: &Checkpoint, layout: &KeyMap, info: &BackboneInfo) -> std::result::Result<Mapped, String> {
    let mut out = Mapped { tensors: BTreeMap::new(), keys: BTreeMap::new(), resized: BTreeMap::new() };
    let mut parts: BTreeMap<String, Vec<Option<(String, Tensor)>>> = BTreeMap::new();
    let mut all: Vec<(String, Vec<String>, Tensor)> = Vec::new();
    for (key, tensor) in &read.tensors {
        match layout.route(key) {
            Target::Name(name) => all.push((name, vec![key.clone()], tensor.clone())),
            Target::Names(names) => {
                all.extend(names.into_iter().map(|n| (n, vec![key.clone()], tensor.clone())));
            }
            Target::Part(name, at, of) => {
                parts.entry(name).or_insert_with(|| vec![None; of])[at] = Some((key.clone(), tensor.clone()));
            }
        }
    }
    for (name, found) in parts {
        let count = found.len();
        let found: Vec<(String, Tensor)> = found.into_iter().flatten().collect();
        let keys: Vec<String> = found.iter().map(|(k, _)| k.clone()).collect();
        if found.len() != count {
            let have = keys.join(", ");
            return Err(format!("`{name}` is made of {count} tensors, the file has only {have}"));
        }
        let tensors: Vec<&Tensor> = found.iter().map(|(_, t)| t).collect();
        let joined = Tensor::cat(&tensors, 0).map_err(|e| format!("joining {}: {e}", keys.join(", ")))?;
        all.push((name, keys, joined));
    }
    for (name, keys, tensor) in all {
        let before = tensor.dims().first().copied().unwrap_or_default();
        let shaped =
            shape(layout, info, &name, &tensor).map_err(|e| format!("`{}`: {e}", keys.join(", ")))?;
        if let Some((shaped, true)) = &shaped {
            let rows = if shaped.rank() == 3 && tensor.rank() == 3 { tensor.dims()[1] } else { before };
            out.resized.insert(name.clone(), rows);
        }
        let tensor = shaped.map_or(tensor, |(t, _)| t);
        if out.tensors.insert(name.clone(), tensor).is_some() {
            let (first, second) = (out.keys[&name].join(", "), keys.join(", "));
            return Err(format!("`{first}` and `{second}` both become `{name}`"));
        }
        out.keys.insert(name, keys);
    }
    Ok(out)
}

/// Transposes, adds leading dimensions, resizes tables of positions; `None` when nothing is to be done, true when the
/// number of positions changed.
fn shape(
    layout: &KeyMap,
    info: &BackboneInfo,
    name: &str,
    tensor: &Tensor,
) -> Result<Option<(Tensor, bool)>> {
    let matches = |pattern: &str| facebench_host::glob(pattern, name);
    let mut changed = None;
    if layout.transpose.iter().any(|p| matches(p)) && tensor.rank() == 2 {
        changed = Some(tensor.t()?.contiguous()?);
    }
    if let Some((_, count)) = layout.lead.iter().find(|(p, _)| matches(p)) {
        let mut dims = vec![1; *count];
        dims.extend(tensor.dims());
        changed = Some(changed.as_ref().unwrap_or(tensor).reshape(dims)?);
    }
    if let Some((_, count)) = layout.trail.iter().find(|(p, _)| matches(p))
        && tensor.rank() == 2
    {
        let mut dims = tensor.dims().to_vec();
        dims.extend(vec![1; *count]);
        changed = Some(changed.as_ref().unwrap_or(tensor).reshape(dims)?);
    }
    let now = changed.as_ref().unwrap_or(tensor);
    let how = match layout.resize {
        Resize::Bicubic => nn::Resize::Bicubic,
        Resize::BicubicOffset => nn::Resize::BicubicOffset,
        Resize::BicubicAntialias => nn::Resize::BicubicAntialias,
    };
    if layout.positions.as_deref() == Some(name) && now.rank() == 3 {
        let rows = layout.position_rows.unwrap_or(info.prefix_tokens);
        let other = now.dim(1)? != rows + info.patches();
        let mut table = if other { nn::resize_positions(now, rows, info.grid, how)? } else { now.clone() };
        if layout.pad_positions > 0 {
            table = table.pad_with_zeros(1, layout.pad_positions, 0)?;
        }
        return Ok(Some((table, other)));
    }
    if layout.relative.as_deref().is_some_and(matches) && now.rank() == 2 {
        let (total, heads) = now.dims2()?;
        let (want, pairs) = ((2 * info.grid.0 - 1, 2 * info.grid.1 - 1), total.saturating_sub(3));
        if pairs != want.0 * want.1 && pairs > 0 {
            let grid = now.narrow(0, 0, pairs)?.unsqueeze(0)?;
            let grid = nn::resize_positions(&grid, 0, want, how)?.squeeze(0)?;
            let rest = now.narrow(0, pairs, 3)?.to_dtype(grid.dtype())?;
            let table = Tensor::cat(&[&grid, &rest], 0)?;
            debug_assert_eq!(table.dims(), [want.0 * want.1 + 3, heads]);
            return Ok(Some((table, true)));
        }
    }
    Ok(changed.map(|t| (t, false)))
}

/// Reads `path` and gives its tensors to `store` under the backbone's names.
pub fn give(
    path: &Path,
    backbone: &str,
    info: &BackboneInfo,
    layouts: &[KeyMap],
    store: &ParamStore,
) -> Result<Given> {
    let read = checkpoint::read(path)?;
    let wrong =
        |what: String| Error::Checkpoint { path: path.to_owned(), backbone: backbone.to_owned(), what };
    let Some(layout) = recognise(layouts, &read) else {
        let known: Vec<&str> = layouts.iter().map(|l| l.name.as_str()).collect();
        let first: Vec<&str> = read.tensors.keys().take(4).map(String::as_str).collect();
        return Err(wrong(format!(
            "its keys ({} …) match no layout this backbone reads ({})\nhint: `facebench checkpoint show {}` says which backbone reads it",
            first.join(", "),
            known.join(", "),
            path.display()
        )));
    };
    store.provide(map(&read, layout, info).map_err(wrong)?.tensors);
    let normalise = match read.metadata.get("normalise") {
        Some(text) => {
            let (mean, std) =
                serde_json::from_str(text).map_err(|e| wrong(format!("metadata `normalise`: {e}")))?;
            Some(Normalise { mean, std })
        }
        None => None,
    };
    Ok(Given { path: path.to_owned(), backbone: backbone.to_owned(), layout: layout.clone(), normalise })
}

impl Given {
    /// Checks that nothing was left over and nothing is missing; `others` are parameters that do not
    /// belong to the backbone.
    pub fn check(&self, store: &ParamStore, others: &BTreeSet<String>) -> Result<()> {
        let left: Vec<String> = store.unused().into_iter().filter(|n| !self.layout.may_leave(n)).collect();
        let missing: Vec<String> = store
            .initialised()
            .into_iter()
            .filter(|n| !others.contains(n) && !self.layout.may_miss(n))
            .collect();
        if left.is_empty() && missing.is_empty() {
            store.drop_unused();
            return Ok(());
        }
        let list = |what: &str, names: &[String]| match names {
            [] => String::new(),
            _ => format!("; {what} ({}): {}", names.len(), names[..names.len().min(6)].join(", ")),
        };
        Err(Error::Checkpoint {
            path: self.path.clone(),
            backbone: self.backbone.clone(),
            what: format!(
                "read as layout `{}`{}{}\nhint: check the plugin and its size; `facebench checkpoint show {}` compares",
                self.layout.name,
                list("missing", &missing),
                list("not used", &left),
                self.path.display()
            ),
        })
    }
}
