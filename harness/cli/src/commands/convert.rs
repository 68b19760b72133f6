//! `facebench checkpoint convert`: the weights of any readable file as `.pth` or `.safetensors`.
//!
//! Weights keep their names, order and dtype; optimiser state is left behind. What a file says besides (`epoch`, …) goes
//! along into `.safetensors`, which has a place for it.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use facebench_engine::checkpoint::{self, write_safetensors, write_torch};

use crate::args::TorchLayout;
use crate::fail::Status;

/// Reads, writes, and says what was written.
pub(crate) fn run(input: &Path, output: &Path, layout: TorchLayout, root: Option<&str>) -> Result<Status> {
    let ending = output.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    if !["pth", "pt", "safetensors"].contains(&ending.as_str()) {
        return Err(anyhow!(
            "{}: unknown kind of file\nhint: end the name in .pth or .safetensors",
            output.display()
        ));
    }
    let hint = match input.is_file() {
        true => "hint: `facebench checkpoint show FILE` says what is in a file",
        false => "hint: name a file of weights that is there",
    };
    let found = checkpoint::read_at(input, root).context(hint)?;
    if ending == "safetensors" {
        write_safetensors(output, &found.tensors, &found.metadata)?;
    } else {
        let root = (layout == TorchLayout::Model).then_some("model");
        write_torch(output, &found.tensors, &found.order, root)?;
    }
    eprintln!("{}: {} tensors", output.display(), found.tensors.len());
    if !found.extra.is_empty() {
        eprintln!(
            "left behind: {} tensors outside the model (optimiser state and the like)",
            found.extra.len()
        );
    }
    Ok(Status::Done)
}
