//! Experiments that come inside the binary, so that `facebench demo` needs no file.
//!
//! They are ordinary experiment files under `presets/`; `facebench plan preset:demo` shows one, and
//! `extends: preset:demo` builds on it.

use super::check::nearest;
use super::layers::LayerError;

/// Name and text of each.
const EXPERIMENTS: &[(&str, &str)] = &[
    ("demo", include_str!("../../presets/demo.yaml")),
    ("dino-micro", include_str!("../../presets/dino-micro.yaml")),
    ("dino-vit-s", include_str!("../../presets/dino-vit-s.yaml")),
    ("dino-vit-b", include_str!("../../presets/dino-vit-b.yaml")),
];

/// The text of an embedded experiment.
pub(crate) fn experiment(name: &str) -> Result<&'static str, LayerError> {
    let found = EXPERIMENTS.iter().find(|(n, _)| *n == name).map(|(_, text)| *text);
    found.ok_or_else(|| {
        let names: Vec<String> = EXPERIMENTS.iter().map(|(n, _)| (*n).to_owned()).collect();
        let hint = match nearest(name, &names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("embedded experiments are named {}", list()),
        };
        LayerError::NoPreset { name: name.to_owned(), hint }
    })
}

/// All names as they are typed, e.g. `preset:demo`.
pub(crate) fn list() -> String {
    EXPERIMENTS.iter().map(|(n, _)| format!("`preset:{n}`")).collect::<Vec<_>>().join(", ")
}
