//! The data side of a plan: a root that exists, or one that a unit will make.
//!
//! A generated root is known by its settings, so units that read it depend on the digest of the unit that
//! makes it. A root of the user's own is known by its contents: for each data set a unit reads, the
//! identities, labels and file sizes are digested. Pictures themselves are not read (hundreds of
//! thousands of files), so pictures exchanged for
//! others of the same names and sizes go unnoticed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use facebench_data::readers;
use facebench_data::synth::{GENERATOR_VERSION, SynthSpec};
use facebench_protocols::{DataStamp, Dev, Fold};
use facebench_train::spec::PretrainData;
use serde_json::{Value, json};

use crate::config::{DataSource, Loaded};
use crate::store;

/// Where the faces come from.
#[derive(Clone, Debug)]
pub(crate) enum DataPlan {
    /// An existing folder
    Root(PathBuf),
    /// The unit of that index makes it
    Made(usize),
}

/// How a data root is made.
#[derive(Clone, Debug)]
pub(crate) enum Generate {
    /// Synthetic faces
    Synth(SynthSpec),
}

/// Identity and name of the unit that makes the data root; `None` for an existing one.
///
/// # Errors
/// Settings that the generator refuses, or a folder of faces that cannot be listed.
pub(crate) fn generation(loaded: &Loaded) -> Result<Option<(String, Value, Generate)>> {
    match &loaded.experiment.data {
        DataSource::Root(_) => Ok(None),
        DataSource::Synth(source) => {
            let place = || loaded.layers.whereis(&["data".into(), "synth".into()]);
            let spec = source.resolve().map_err(anyhow::Error::msg).with_context(place)?;
            spec.check().with_context(place)?;
            let identity = json!({"generator": "synth", "version": GENERATOR_VERSION, "spec": spec});
            let name = format!("synthetic faces, seed {}, {} px", spec.seed, spec.size);
            Ok(Some((name, identity, Generate::Synth(spec))))
        }
    }
}

/// An existing data root, whose data sets are read once each.
pub(crate) struct Root {
    path: PathBuf,
    sets: BTreeMap<String, Value>,
}

impl Root {
    /// A root that is there.
    ///
    /// # Errors
    /// The folder does not exist.
    pub(crate) fn open(path: PathBuf) -> Result<Self> {
        if !path.is_dir() {
            anyhow::bail!(
                "{}: no such data folder\nhint: set `data.root` to the folder that holds the data sets, or make one with `facebench data synth`",
                path.display()
            );
        }
        Ok(Self { path, sets: BTreeMap::new() })
    }

    /// What stands for the data sets of a fold in a unit's identity.
    ///
    /// # Errors
    /// A data set is missing or broken.
    pub(crate) fn fold(&mut self, fold: &Fold) -> Result<Value> {
        let mut identity = Vec::new();
        for id in datasets(fold) {
            if !self.sets.contains_key(&id) {
                let manifest = readers::load(&self.path, &id)?;
                let ids = DataStamp::of(&id, &manifest.samples, manifest.synthetic).sha256;
                let files = sizes(manifest.samples.iter().map(|s| (s.id(), s.path.as_path())));
                self.sets.insert(id.clone(), json!({"set": id, "ids": ids, "files": files}));
            }
            identity.push(self.sets[&id].clone());
        }
        Ok(Value::Array(identity))
    }

    /// The same for the faces of a pre-training run.
    ///
    /// # Errors
    /// A folder is missing or empty.
    pub(crate) fn pretrain(&self, data: &PretrainData) -> Result<Value> {
        let mut identity = Vec::new();
        for set in &data.sets {
            let folder = self.path.join(set);
            let items = readers::pretrain_folders(std::slice::from_ref(&folder))?.items;
            let ids = DataStamp::digest(items.iter().map(|i| (i.id.clone(), u8::from(i.parsing.is_some()))));
            let files = sizes(items.iter().map(|i| (i.id.clone(), i.image.as_path())));
            identity.push(json!({"set": set, "ids": ids, "files": files}));
        }
        Ok(Value::Array(identity))
    }
}

/// Digest of the sizes of files. A file that is gone counts as empty: reading it later will say so.
fn sizes<'p>(files: impl Iterator<Item = (String, &'p Path)>) -> String {
    let lines: Vec<String> = files
        .map(|(id, path)| format!("{id} {}", std::fs::metadata(path).map_or(0, |m| m.len())))
        .collect();
    store::digest(&json!(lines))
}

/// Identifiers of all data sets that a fold names.
pub(crate) fn datasets(fold: &Fold) -> BTreeSet<String> {
    let dev = match &fold.dev {
        Dev::Select(list) => list.as_slice(),
        Dev::HoldOut { .. } => &[],
    };
    let tests = fold.tests.iter().flat_map(|t| &t.select);
    fold.train.iter().chain(dev).chain(tests).map(|s| s.dataset.clone()).collect()
}
