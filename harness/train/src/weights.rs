//! From a checkpoint file to a backbone's parameters, strict both ways.
//!
//! The backbone plugin says which layouts it reads (prefixes, renames, what may be missing or left
//! over). The file's layout is recognised from its keys; then every tensor must become a parameter
//! or be excused by the layout, and every parameter must come from the file or be excused. Position
//! tables of another grid are interpolated bicubically, as published.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use candle_core::{DType, Tensor};
use facebench_data::transform::Normalise;
use facebench_engine::{ParamStore, checkpoint, nn};
use facebench_host::{BackboneInfo, KeyMap};

use crate::error::{Error, Result};

/// Weights that were given to a store and must still be checked against what the backbone asked for.
#[derive(Debug)]
pub struct Given {
    path: PathBuf,
    backbone: String,
    layout: KeyMap,
    /// Channel statistics recorded with the weights
    pub normalise: Option<Normalise>,
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
    let Some(layout) = layouts.iter().find(|l| l.recognises(read.tensors.keys().map(String::as_str))) else {
        let known: Vec<&str> = layouts.iter().map(|l| l.name.as_str()).collect();
        let first: Vec<&str> = read.tensors.keys().take(4).map(String::as_str).collect();
        return Err(wrong(format!(
            "its keys ({} …) match no layout this backbone reads ({})\nhint: `facebench checkpoint show {}` lists the keys",
            first.join(", "),
            known.join(", "),
            path.display()
        )));
    };
    let mut tensors: BTreeMap<String, Tensor> = BTreeMap::new();
    for (key, tensor) in &read.tensors {
        let name = layout.target(key);
        let mut tensor = tensor.clone();
        if layout.positions.as_deref() == Some(name.as_str()) && tensor.rank() == 3 {
            let want = info.prefix_tokens + info.patches();
            if tensor.dim(1)? != want {
                tensor = nn::interpolate_pos_embed(&tensor, info.grid.0)?;
            }
        }
        if tensor.dtype().is_float()
            && !tensor.to_dtype(DType::F64)?.sum_all()?.to_scalar::<f64>()?.is_finite()
        {
            return Err(wrong(format!("tensor `{key}` holds values that are not finite")));
        }
        if tensors.insert(name.clone(), tensor).is_some() {
            return Err(wrong(format!("two tensors become `{name}`")));
        }
    }
    store.provide(tensors);
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
                "read as layout `{}`{}{}\nhint: check the plugin and its size",
                self.layout.name,
                list("missing", &missing),
                list("not used", &left)
            ),
        })
    }
}
