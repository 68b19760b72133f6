//! What is left of a step whose loss is not a number: its inputs and where it was, to look at or to run again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use facebench_engine::checkpoint;
use serde_json::Value;

use crate::error::{Result, at};

/// Folder below the unit's state.
pub(crate) const FOLDER: &str = "failed-step";

/// Writes `inputs.safetensors` and `step.json`; returns their folder.
pub(crate) fn write(state: &Path, inputs: &BTreeMap<String, Tensor>, step: &Value) -> Result<PathBuf> {
    let folder = state.join(FOLDER);
    std::fs::create_dir_all(&folder).map_err(at(&folder))?;
    checkpoint::write_safetensors(&folder.join("inputs.safetensors"), inputs, &BTreeMap::new())?;
    let path = folder.join("step.json");
    let text = serde_json::to_string_pretty(step).expect("plain data");
    std::fs::write(&path, text + "\n").map_err(at(&path))?;
    Ok(folder)
}
