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
use facebench_data::forge::{FORGER_VERSION, ForgeSpec};
use facebench_data::readers;
use facebench_data::shard;
use facebench_data::synth::{GENERATOR_VERSION, SynthSpec};
use facebench_protocols::{DataStamp, Dev, Fold};
use facebench_train::spec::PretrainData;
use serde_json::{Value, json};

use crate::config::{self, DataSource, Loaded};
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
    /// Forgeries of the faces in a folder
    Forge {
        /// One folder per person
        faces: PathBuf,
        /// The settings
        spec: ForgeSpec,
    },
}

/// Identity and name of the unit that makes the data root; `None` for an existing one.
///
/// # Errors
/// Settings that the generator refuses, or a folder of faces that cannot be listed.
pub(crate) fn generation(loaded: &Loaded) -> Result<Option<(String, Value, Generate)>> {
    let layers = &loaded.layers;
    let place = |part: &str| layers.whereis(&["data".into(), part.into()]);
    match &loaded.experiment.data {
        DataSource::Root(_) => Ok(None),
        DataSource::Synth(source) => {
            let at = ["data", "synth", "counts"];
            let base = source.base();
            let counts = source.counts.iter().map(|(k, n)| (k.clone(), Value::from(*n))).collect();
            let spec = SynthSpec { scale: config::changed(&base.scale, &counts, layers, &at)?, ..base };
            spec.check().with_context(|| place("synth"))?;
            let identity = json!({"generator": "synth", "version": GENERATOR_VERSION, "spec": spec});
            let name = format!("synthetic faces, seed {}, {} px", spec.seed, spec.size);
            Ok(Some((name, identity, Generate::Synth(spec))))
        }
        DataSource::Forge(source) => {
            let at = ["data", "forge", "settings"];
            let spec = config::changed(&ForgeSpec::default(), &source.settings, layers, &at)?;
            spec.check().with_context(|| place("forge"))?;
            let faces = layers.folder(&["data", "forge", "faces"]).join(&source.faces);
            let photographs = listing(&faces).with_context(|| place("forge"))?;
            let identity = json!({
                "generator": "forge", "version": FORGER_VERSION, "spec": spec, "photographs": photographs,
            });
            let name = format!("forgeries of the faces in {}", source.faces);
            Ok(Some((name, identity, Generate::Forge { faces, spec })))
        }
    }
}

/// Digest of names and contents of all files under a folder.
fn listing(folder: &Path) -> Result<String> {
    let mut lines = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(dir) = open.pop() {
        let entries = std::fs::read_dir(&dir).with_context(|| {
            format!(
                "{}: cannot be listed\nhint: name a folder with one folder of pictures per person",
                dir.display()
            )
        })?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
                let content = store::file_digest(&path).with_context(|| path.display().to_string())?;
                lines.push(format!("{name} {content}"));
            }
        }
    }
    lines.sort();
    Ok(store::digest(&json!(lines)))
}

/// An existing data root, whose data sets are read once each.
pub(crate) struct Root {
    path: PathBuf,
    sets: BTreeMap<String, Value>,
    /// Faces to pre-train on, and how many of them have no parsing map
    faces: BTreeMap<String, (Value, usize)>,
}

/// What `data.synth` puts faces into, and `data.forge`.
const SYNTH_FACES: [&str; 4] =
    ["pretrain/synthfaces", "deepfakes_detection", "diffusion_facial_forgery", "MCIO"];
const FORGE_FACES: [&str; 2] = ["pretrain", "forge"];

/// Refuses sets of faces that the generated data root will not have.
///
/// # Errors
/// There is one.
pub(crate) fn made(data: &PretrainData, source: &DataSource) -> Result<()> {
    let (what, folders) = match source {
        DataSource::Root(_) => return Ok(()),
        DataSource::Synth(_) => ("synth", SYNTH_FACES.as_slice()),
        DataSource::Forge(_) => ("forge", FORGE_FACES.as_slice()),
    };
    let there = |set: &&String| folders.iter().any(|folder| Path::new(set).starts_with(folder));
    match data.sets.iter().find(|set| !there(set)) {
        None => Ok(()),
        Some(set) => anyhow::bail!(
            "`data.sets`: `data.{what}` makes no faces in `{set}`\nhint: it makes {}; other sets need `data.root`",
            folders[0]
        ),
    }
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
        Ok(Self { path, sets: BTreeMap::new(), faces: BTreeMap::new() })
    }

    /// Whether the folder is there and has nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        std::fs::read_dir(&self.path).is_ok_and(|mut entries| entries.next().is_none())
    }

    /// What stands for the data sets of a fold in a unit's identity.
    ///
    /// # Errors
    /// A data set is missing or broken.
    pub(crate) fn fold(&mut self, fold: &Fold) -> Result<Value> {
        datasets(fold).iter().map(|id| Ok(self.set(id)?.clone())).collect()
    }

    /// What stands for one data set.
    ///
    /// # Errors
    /// It is missing or broken.
    pub(crate) fn set(&mut self, id: &str) -> Result<&Value> {
        if !self.sets.contains_key(id) {
            let manifest = readers::load(&self.path, id)?;
            let ids = DataStamp::of(id, &manifest.samples, manifest.synthetic).sha256;
            let files = sizes(manifest.samples.iter().map(|s| (s.id(), s.path.as_path())));
            self.sets.insert(id.to_owned(), json!({"set": id, "ids": ids, "files": files}));
        }
        Ok(&self.sets[id])
    }

    /// The same for the faces of a pre-training run, and how many of them are known to have no parsing map.
    ///
    /// # Errors
    /// A folder is missing or empty.
    pub(crate) fn pretrain(&mut self, data: &PretrainData) -> Result<(Value, usize)> {
        let (mut identity, mut unmapped) = (Vec::new(), 0);
        for set in &data.sets {
            let (value, without) = self.faces(set)?;
            identity.push(value.clone());
            unmapped += without;
        }
        // the first images may be the mapped ones
        Ok((Value::Array(identity), if data.limit.is_some() { 0 } else { unmapped }))
    }

    /// What stands for one set of faces.
    ///
    /// # Errors
    /// It is missing or empty.
    pub(crate) fn faces(&mut self, set: &str) -> Result<&(Value, usize)> {
        if !self.faces.contains_key(set) {
            let folder = self.path.join(set);
            let found = if shard::is_shard(&folder) {
                let shard = shard::Shard::open(&folder)?;
                (json!({"set": set, "shard": shard.digest()}), 0)
            } else {
                let items = readers::pretrain_folders(std::slice::from_ref(&folder))?.items;
                let mapped = |i: &readers::PretrainItem| u8::from(i.parsing.is_some());
                let ids = DataStamp::digest(items.iter().map(|i| (i.id.clone(), mapped(i))));
                let files = sizes(items.iter().map(|i| (i.id.clone(), i.image.as_path())));
                let without = items.iter().filter(|i| i.parsing.is_none()).count();
                (json!({"set": set, "ids": ids, "files": files, "images": items.len()}), without)
            };
            self.faces.insert(set.to_owned(), found);
        }
        Ok(&self.faces[set])
    }
}

/// Digest of the sizes of files. A file that is gone counts as empty: reading it later will say so.
fn sizes<'p>(files: impl Iterator<Item = (String, &'p Path)>) -> String {
    let lines: Vec<String> =
        files.map(|(id, path)| format!("{id} {}", std::fs::metadata(path).map_or(0, |m| m.len()))).collect();
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
