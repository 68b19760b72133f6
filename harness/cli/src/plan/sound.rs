//! Whether units could run at all: settings that contradict each other, and networks that cannot be made.
//!
//! Everything here would come up anyway, but only when the unit's turn comes, which may be days later. `facebench-train`
//! knows what is wrong; this module asks it once per combination and finds the line or `-s` that says so.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result, anyhow};
use facebench_host::{BackboneInfo, Plugins, Purpose};
use facebench_train::dry;
use facebench_train::spec::{Component, Fault, MissingParsing, PretrainSpec};
use serde_json::json;

use crate::config::{Layers, get};

/// What was found out about combinations, by their settings.
#[derive(Default)]
pub(crate) struct Known {
    backbones: BTreeMap<String, BackboneInfo>,
    heads: BTreeMap<String, bool>,
}

/// A path as the layers want it.
fn path(parts: &[&str]) -> Vec<String> {
    parts.iter().map(|s| (*s).to_owned()).collect()
}

impl Known {
    /// Whether a backbone can be made; `at` is its place in the file.
    ///
    /// # Errors
    /// What the plugin says, with the line.
    pub(crate) fn backbone(
        &mut self,
        component: &Component,
        purpose: Purpose,
        plugins: &Plugins,
        layers: &Layers,
        at: &[&str],
    ) -> Result<&BackboneInfo> {
        let key = json!([component, purpose == Purpose::Pretrain]).to_string();
        if !self.backbones.contains_key(&key) {
            let info =
                dry::backbone(component, purpose, plugins).with_context(|| layers.whereabouts(&path(at)))?;
            self.backbones.insert(key.clone(), info);
        }
        Ok(&self.backbones[&key])
    }

    /// Whether a head can be made on a backbone; true if anything trains with it.
    ///
    /// # Errors
    /// What the plugin says, with the line.
    pub(crate) fn head(
        &mut self,
        (name, component): (&str, &Component),
        on: &Component,
        plugins: &Plugins,
        layers: &Layers,
    ) -> Result<bool> {
        let key = json!([component, on]).to_string();
        if let Some(trains) = self.heads.get(&key) {
            return Ok(*trains);
        }
        let trains = dry::head(component, on, plugins)
            .with_context(|| layers.whereabouts(&path(&["heads", name, "config"])))?;
        self.heads.insert(key, trains);
        Ok(trains)
    }
}

/// Whether everything around the backbone of a pre-training run can be made; `unmapped` of its images are known to have
/// no parsing map.
///
/// # Errors
/// What does not fit, with the line.
pub(crate) fn pretraining(
    spec: &PretrainSpec,
    info: &BackboneInfo,
    masked: bool,
    unmapped: usize,
    plugins: &Plugins,
    (layers, name): (&Layers, &str),
) -> Result<()> {
    let place = |part: &str| layers.whereabouts(&path(&["pretrain", name, part]));
    if masked {
        let needs = dry::masking(spec, info, plugins).with_context(|| place("masking"))?;
        if needs && unmapped > 0 && spec.masking.on_missing == MissingParsing::Fail {
            return Err(anyhow!(
                "{}: masking `{}` needs a parsing map, and {unmapped} images have none\n\
                 hint: put maps into `parsing_maps/`, use `masking.plugin: random`, or set `masking.on_missing` to \
                 `random` or `skip`",
                place("masking"),
                spec.masking.plugin
            ));
        }
    }
    dry::objective(spec, plugins).with_context(|| place("objective"))
}

/// Whether an epoch fills one update; `images` of it are known.
///
/// # Errors
/// It does not.
pub(crate) fn updates(spec: &PretrainSpec, images: Option<u64>) -> Result<()> {
    let (batch, accum) = (spec.optim.batch as u64, spec.optim.accum as u64);
    let Some(images) = images else { return Ok(()) };
    let batches = images / batch.min(images).max(1);
    if batches < accum {
        return Err(anyhow!(
            "an epoch of {images} images has {batches} batches of {}, fewer than the {accum} of one update\n\
             hint: lower `optim.effective_batch`, or `optim.batch` and `optim.accum`",
            batch.min(images)
        ));
    }
    Ok(())
}

/// All contradictions as one error. `at` gives the place of a key in the file.
///
/// # Errors
/// There is one.
pub(crate) fn faults(faults: &[Fault], layers: &Layers, at: impl Fn(&str) -> Vec<String>) -> Result<()> {
    let mut text = String::new();
    for fault in faults {
        let (own, other) = (at(fault.key), at(fault.with));
        // of two settings that clash, the one on the command line is news
        let mut written: Vec<String> = [&own, &other]
            .into_iter()
            .filter(|path| get(&layers.merged, path).is_some())
            .map(|path| layers.whereis(path))
            .collect();
        written.sort_by_key(|place| !place.starts_with("-s "));
        let place = written.into_iter().next().unwrap_or_else(|| layers.whereis(&own));
        let _ =
            writeln!(text, "{place}: `{}`: expected {}, got {}", own.join("."), fault.expected, fault.got);
    }
    match faults.first() {
        None => Ok(()),
        Some(f) => Err(anyhow!("{text}hint: change `{}` or `{}`", at(f.key).join("."), at(f.with).join("."))),
    }
}
