//! [`Plugins`]: every component found on the search path, by kind and name.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
};

use facebench_abi::{
    BackboneDesc, HeadDesc, MaskingDesc, Meta, PluginError,
    abi_stable::std_types::{RResult, RString},
    text,
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    Backbone, BackboneInfo, FeatureSpec, Head, HostError, KeyMap, Masking, Purpose, Result, RunCtx,
    components::Who,
    loader::{self, Loaded},
};
use facebench_engine::ParamStore;

/// Kinds of component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Images → tokens → features.
    Backbone,
    /// Which patches an encoder sees.
    Masking,
    /// Features → logits.
    Head,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Backbone => "backbone",
            Self::Masking => "masking",
            Self::Head => "head",
        })
    }
}

/// A folder of plugins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginDir {
    /// The folder.
    pub path: PathBuf,
    /// Open only files called like ours, and report a file that cannot be opened only when something is missing, and a
    /// library of something else not at all; for
    /// folders that nobody asked for. In a folder the user named, such a file is an error.
    pub automatic: bool,
}

impl PluginDir {
    /// A folder the user named: every library in it is a plugin.
    pub fn named(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), automatic: false }
    }

    /// A folder nobody asked for: only libraries whose name starts with `facebench_` (after the platform's prefix).
    pub fn automatic(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), automatic: true }
    }
}

/// The search path: beside the program, then `FACEBENCH_PLUGINS` (separated as `PATH` is), then `extra`.
pub fn default_dirs(extra: &[PathBuf]) -> Vec<PluginDir> {
    let mut dirs = Vec::new();
    if let Some(folder) = std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_path_buf)) {
        dirs.push(PluginDir::automatic(&folder));
        // test programs and examples lie one level below the libraries
        if matches!(folder.file_name().and_then(|n| n.to_str()), Some("deps" | "examples")) {
            dirs.extend(folder.parent().map(PluginDir::automatic));
        }
    }
    if let Some(list) = std::env::var_os("FACEBENCH_PLUGINS") {
        let named = std::env::split_paths(&list).filter(|p| !p.as_os_str().is_empty());
        dirs.extend(named.map(PluginDir::named));
    }
    dirs.extend(extra.iter().map(PluginDir::named));
    dirs
}

/// Digests that plugin files must have, by file name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock(pub BTreeMap<String, String>);

impl Lock {
    /// The digest demanded of a file, if any.
    pub(crate) fn get(&self, path: &Path) -> Option<&String> {
        self.0.get(path.file_name()?.to_str()?)
    }
}

/// What a component says of itself, and where it comes from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PluginInfo {
    /// Kind of component.
    pub kind: Kind,
    /// What experiments write.
    pub name: String,
    /// Version of the plugin crate.
    pub version: String,
    /// One line.
    pub summary: String,
    /// JSON schema of the settings, with defaults.
    pub schema: Value,
    /// The file.
    pub path: PathBuf,
    /// SHA-256 of the file.
    pub sha256: String,
}

/// How a plugin that does not lie beside the program is found.
const OWN: &str = "plugins of your own are found with --plugins DIR or FACEBENCH_PLUGINS";

enum Desc {
    Backbone(BackboneDesc),
    Masking(MaskingDesc),
    Head(HeadDesc),
}

impl Desc {
    fn meta(&self) -> &Meta {
        match self {
            Self::Backbone(d) => &d.meta,
            Self::Masking(d) => &d.meta,
            Self::Head(d) => &d.meta,
        }
    }
}

struct Entry {
    info: PluginInfo,
    desc: Desc,
}

impl Entry {
    fn who(&self) -> Who {
        Who { kind: self.info.kind, name: self.info.name.clone(), path: self.info.path.clone() }
    }
}

/// Every component found, by kind and name.
#[derive(Default)]
pub struct Plugins {
    entries: BTreeMap<(Kind, String), Entry>,
    problems: Vec<HostError>,
}

impl Plugins {
    /// Opens every plugin in these folders.
    ///
    /// Errors: a named folder that cannot be read or holds a file that is no usable plugin; two different files with the
    /// same component. Unusable files in automatic folders are kept in [`Plugins::problems`].
    pub fn open(dirs: &[PluginDir]) -> Result<Self> {
        Self::open_locked(dirs, &Lock::default())
    }

    /// [`Plugins::open`], refusing to open files whose digest differs from the lock's.
    pub fn open_locked(dirs: &[PluginDir], lock: &Lock) -> Result<Self> {
        let mut plugins = Self::default();
        let mut seen = BTreeSet::new();
        for dir in dirs {
            for file in libraries(dir)? {
                match loader::inspect(&file, lock) {
                    // the same bytes under another path are the same plugin
                    Ok((_, sha256)) if seen.contains(&sha256) => {}
                    Ok((path, sha256)) => match loader::open(path, sha256.clone()) {
                        Ok(loaded) => {
                            seen.insert(sha256);
                            plugins.add(&loaded)?;
                        }
                        Err(e) if dir.automatic => plugins.problems.push(e),
                        Err(e) => return Err(e),
                    },
                    Err(e) if dir.automatic && !matches!(e, HostError::Locked { .. }) => {
                        plugins.problems.push(e);
                    }
                    Err(e) => return Err(e),
                }
            }
        }
        Ok(plugins)
    }

    fn add(&mut self, loaded: &Loaded) -> Result<()> {
        for entry in entries(loaded)? {
            let key = (entry.info.kind, entry.info.name.clone());
            if let Some(first) = self.entries.get(&key) {
                return Err(HostError::Duplicate {
                    kind: key.0,
                    name: key.1,
                    first: first.info.path.clone(),
                    second: entry.info.path,
                });
            }
            self.entries.insert(key, entry);
        }
        Ok(())
    }

    /// Every component, by kind and name.
    pub fn list(&self) -> Vec<PluginInfo> {
        self.entries.values().map(|e| e.info.clone()).collect()
    }

    /// Files in automatic folders that are called like plugins and could not be opened; libraries of something else
    /// too ([`HostError::is_foreign`]).
    pub fn problems(&self) -> &[HostError] {
        &self.problems
    }

    /// What one component says of itself.
    pub fn info(&self, kind: Kind, name: &str) -> Result<&PluginInfo> {
        Ok(&self.entry(kind, name)?.info)
    }

    /// Version and digest for the record of a run.
    pub fn stamp(&self, kind: Kind, name: &str) -> Result<(String, String)> {
        let info = self.info(kind, name)?;
        Ok((info.version.clone(), info.sha256.clone()))
    }

    /// Settings with every default filled in, or what is wrong with them. `Null` stands for all defaults.
    pub fn resolve(&self, kind: Kind, name: &str, config: &Value) -> Result<Value> {
        let entry = self.entry(kind, name)?;
        entry.who().json((entry.desc.meta().resolve)(config.to_string().as_str().into()))
    }

    /// What is known of a backbone before any weight exists.
    pub fn backbone_info(&self, name: &str, config: &Value) -> Result<BackboneInfo> {
        let (entry, desc) = self.backbone_desc(name)?;
        entry.who().json((desc.info)(config.to_string().as_str().into()))
    }

    /// Checkpoint layouts a backbone knows, most specific first.
    pub fn layouts(&self, name: &str, config: &Value) -> Result<Vec<KeyMap>> {
        let (entry, desc) = self.backbone_desc(name)?;
        entry.who().json((desc.layouts)(config.to_string().as_str().into()))
    }

    /// A backbone on the parameters of `store` whose names start with `prefix` (empty for none).
    pub fn backbone(
        &self,
        name: &str,
        config: &Value,
        purpose: Purpose,
        store: &ParamStore,
        prefix: &str,
        ctx: &RunCtx,
    ) -> Result<Backbone> {
        let (entry, desc) = self.backbone_desc(name)?;
        Backbone::create(entry.who(), desc.clone(), config, purpose, store, prefix, ctx)
    }

    /// A masking strategy.
    pub fn masking(&self, name: &str, config: &Value) -> Result<Masking> {
        match self.entry(Kind::Masking, name)? {
            entry @ Entry { desc: Desc::Masking(desc), .. } => Masking::create(entry.who(), desc, config),
            _ => unreachable!("entries are keyed by the kind of their description"),
        }
    }

    /// A head for these features on the parameters of `store` whose names start with `prefix`.
    pub fn head(
        &self,
        name: &str,
        config: &Value,
        features: &FeatureSpec,
        store: &ParamStore,
        prefix: &str,
        ctx: &RunCtx,
    ) -> Result<Head> {
        match self.entry(Kind::Head, name)? {
            entry @ Entry { desc: Desc::Head(desc), .. } => {
                Head::create(entry.who(), desc, config, features, store, prefix, ctx)
            }
            _ => unreachable!("entries are keyed by the kind of their description"),
        }
    }

    fn backbone_desc(&self, name: &str) -> Result<(&Entry, &BackboneDesc)> {
        match self.entry(Kind::Backbone, name)? {
            entry @ Entry { desc: Desc::Backbone(desc), .. } => Ok((entry, desc)),
            _ => unreachable!("entries are keyed by the kind of their description"),
        }
    }

    fn entry(&self, kind: Kind, name: &str) -> Result<&Entry> {
        self.entries.get(&(kind, name.to_string())).ok_or_else(|| {
            let known: Vec<&str> =
                self.entries.keys().filter(|(k, _)| *k == kind).map(|(_, n)| n.as_str()).collect();
            let mut rest: String = self
                .problems
                .iter()
                .filter(|p| !p.is_foreign())
                .map(|p| format!("\nnot opened: {}", p.to_string().lines().next().unwrap_or_default()))
                .collect();
            rest += &match (known.is_empty(), text::nearest(name, known.iter().copied()).first()) {
                (true, _) => "\nhint: no plugins found; build them with `cargo build --release`, or point --plugins or FACEBENCH_PLUGINS at their folder".to_string(),
                (_, Some(near)) => format!("\nhint: did you mean {near:?}? there are: {}; {OWN}", known.join(", ")),
                (_, None) => format!("\nhint: there are: {}; {OWN}", known.join(", ")),
            };
            HostError::Unknown { kind, name: name.to_string(), rest }
        })
    }
}

/// Opens one file with all checks and says what it brings.
pub fn check_file(path: &Path) -> Result<Vec<PluginInfo>> {
    let (path, sha256) = loader::inspect(path, &Lock::default())?;
    let loaded = loader::open(path, sha256)?;
    let mut plugins = Plugins::default();
    plugins.add(&loaded)?;
    Ok(plugins.list())
}

fn libraries(dir: &PluginDir) -> Result<Vec<PathBuf>> {
    use std::env::consts::{DLL_EXTENSION, DLL_PREFIX};
    let io = |source| HostError::Io { path: dir.path.clone(), source };
    let listing = match std::fs::read_dir(&dir.path) {
        Ok(listing) => listing,
        Err(_) if dir.automatic => return Ok(Vec::new()),
        Err(e) => return Err(io(e)),
    };
    let mut files = Vec::new();
    for item in listing {
        let path = item.map_err(io)?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        // not a plugin: attention by cuDNN, which the engine opens (`cargo xtask cuda --cudnn`)
        if name == format!("{DLL_PREFIX}facebench_cudnn.{DLL_EXTENSION}") {
            continue;
        }
        let ours = !dir.automatic || name.starts_with(&format!("{DLL_PREFIX}facebench_"));
        if ours && path.extension().is_some_and(|e| e == DLL_EXTENSION) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn entries(loaded: &Loaded) -> Result<Vec<Entry>> {
    let module = loaded.module;
    let backbones = (module.backbones())().into_iter().map(|d| (Kind::Backbone, Desc::Backbone(d)));
    let maskings = (module.maskings())().into_iter().map(|d| (Kind::Masking, Desc::Masking(d)));
    let heads = (module.heads())().into_iter().map(|d| (Kind::Head, Desc::Head(d)));
    backbones
        .chain(maskings)
        .chain(heads)
        .map(|(kind, desc)| {
            let meta = desc.meta();
            let who = Who { kind, name: meta.name.to_string(), path: loaded.path.clone() };
            let schema = who.json((meta.schema)())?;
            let info = PluginInfo {
                kind,
                name: meta.name.to_string(),
                version: meta.version.to_string(),
                summary: meta.summary.to_string(),
                schema,
                path: loaded.path.clone(),
                sha256: loaded.sha256.clone(),
            };
            Ok(Entry { info, desc })
        })
        .collect()
}

impl Who {
    /// Reads a JSON answer.
    pub(crate) fn json<T: serde::de::DeserializeOwned>(
        &self,
        answer: RResult<RString, PluginError>,
    ) -> Result<T> {
        let text = self.check(answer)?;
        serde_json::from_str(text.as_str()).map_err(|e| self.fail(format!("its answer cannot be read: {e}")))
    }
}
