//! One file → one checked plugin.
//!
//! read → SHA-256 → lock → file check → open → handshake → layout check → root module → table check. Not through
//! `RootModule::load_from_file`: that caches one module per type, so a second path would silently return the first
//! plugin. The library is leaked on purpose: abi_stable keeps `'static` references into it.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use facebench_abi::{
    API_MAJOR, API_MINOR, FEATURES, HANDSHAKE_SYMBOL, Handshake, HostOpsRef, MAGIC, PluginModuleRef,
    ROOT_SYMBOL,
    abi_stable::{
        StableAbi,
        abi_stability::abi_checking::check_layout_compatibility,
        library::{AbiHeaderRef, LibraryError, RootModule},
        sabi_types::VersionNumber,
    },
};
use sha2::{Digest, Sha256};

use crate::{
    HostError, Lock, Result,
    elf::{self, Refusal},
    report::{brief, short},
};

/// An opened plugin file.
pub(crate) struct Loaded {
    /// Absolute path.
    pub(crate) path: PathBuf,
    /// Of the file's bytes, hexadecimal.
    pub(crate) sha256: String,
    /// Its components.
    pub(crate) module: PluginModuleRef,
}

/// SHA-256 in hexadecimal, as `sha256sum` prints it.
fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut out, b| {
        // writing to a String cannot fail
        let _ = write!(out, "{b:02x}");
        out
    })
}

/// Absolute path and digest of a file that passed the checks made before opening.
pub(crate) fn inspect(path: &Path, lock: &Lock) -> Result<(PathBuf, String)> {
    let io = |source| HostError::Io { path: path.to_path_buf(), source };
    // a bare name would be looked up in the dynamic linker's search path
    let path = path.canonicalize().map_err(io)?;
    if path.is_dir() {
        return Err(HostError::NotALibrary { path, reason: "a folder, not a file".into() });
    }
    let bytes = std::fs::read(&path).map_err(io)?;
    let sha256 = digest(&bytes);
    if let Some(expected) = lock.get(&path).filter(|e| **e != sha256) {
        return Err(HostError::Locked { expected: expected.clone(), got: sha256, path });
    }
    match elf::check(&bytes) {
        Ok(()) => Ok((path, sha256)),
        Err(Refusal::NotALibrary(reason)) => Err(HostError::NotALibrary { path, reason }),
        Err(Refusal::NotAPlugin) => Err(HostError::NotAPlugin { path }),
    }
}

/// Opens a file that passed [`inspect`].
pub(crate) fn open(path: PathBuf, sha256: String) -> Result<Loaded> {
    let library: &'static libloading::Library = Box::leak(Box::new(open_library(&path)?));
    handshake(library, &path)?;

    // SAFETY: the symbol, if present, was written by `export_plugin!` as a LibHeader; the handshake's magic and API
    // version vouch for that, and `upgrade` checks the header's own magic string and layout version.
    let header = unsafe { library.get::<AbiHeaderRef>(ROOT_SYMBOL.as_bytes()) };
    let header = *header.map_err(|_| HostError::NotAPlugin { path: path.clone() })?;
    let layout = |report: String| HostError::Layout { path: path.clone(), report };
    let header = header.upgrade().map_err(|e| layout(short(&e.to_string())))?;
    let version = |strings| VersionNumber::new(strings).map_err(|e| layout(e.to_string()));
    let (host, plugin) =
        (version(<PluginModuleRef as RootModule>::VERSION_STRINGS)?, version(header.version_strings())?);
    if (host.major, host.minor) != (plugin.major, plugin.minor) {
        return Err(layout(format!("facebench-abi {plugin} instead of {host}")));
    }
    let theirs = header.layout().ok_or_else(|| layout("the plugin carries no type layout".into()))?;
    check_layout_compatibility(<PluginModuleRef as StableAbi>::LAYOUT, theirs)
        .map_err(|e| layout(brief(&e)))?;
    let module = header.init_root_module::<PluginModuleRef>().map_err(|e| match e {
        LibraryError::RootModule { err, .. } => {
            HostError::Start { path: path.clone(), reason: short(&err.to_string()) }
        }
        other => layout(short(&other.to_string())),
    })?;
    // the plugin *uses* the table and the host provides it, so here the plugin's view is the smaller one
    check_layout_compatibility(module.host_ops_layout(), <HostOpsRef as StableAbi>::LAYOUT)
        .map_err(|e| layout(format!("table of operations {}", brief(&e))))?;
    Ok(Loaded { path, sha256, module })
}

#[cfg(unix)]
fn open_library(path: &Path) -> Result<libloading::Library> {
    use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
    // SAFETY: opening runs the library's initialisers; the file was found to carry a plugin's symbols, and running
    // plugin code is what the user asked for. RTLD_NOW makes an undefined symbol an error here instead of an abort later.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) };
    library.map(Into::into).map_err(|e| not_loadable(path, &e))
}

#[cfg(not(unix))]
fn open_library(path: &Path) -> Result<libloading::Library> {
    // SAFETY: as on unix: the file carries a plugin's symbols and the user asked for it.
    unsafe { libloading::Library::new(path) }.map_err(|e| not_loadable(path, &e))
}

fn not_loadable(path: &Path, error: &libloading::Error) -> HostError {
    let reason = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    HostError::NotALibrary { path: path.to_path_buf(), reason }
}

fn handshake(library: &'static libloading::Library, path: &Path) -> Result<()> {
    let not_a_plugin = || HostError::NotAPlugin { path: path.to_path_buf() };
    // SAFETY: the symbol is a static of type Handshake if its first bytes are our magic; only they are read first.
    let magic = unsafe { library.get::<*const [u8; 8]>(HANDSHAKE_SYMBOL.as_bytes()) };
    let magic = *magic.map_err(|_| not_a_plugin())?;
    // SAFETY: a static symbol of at least a few bytes, in a mapped segment of a library that stays open.
    if magic.is_null() || unsafe { *magic } != MAGIC {
        return Err(not_a_plugin());
    }
    let shake = magic.cast::<Handshake>();
    // SAFETY: after the magic come two u32 in every version of the handshake.
    let (major, minor) = unsafe { ((*shake).api_major, (*shake).api_minor) };
    if major != API_MAJOR {
        // the rest of the struct may have changed with the major version, so it is not read
        return Err(HostError::Api {
            path: path.to_path_buf(),
            plugin: format!("{major}.{minor}"),
            host: format!("{API_MAJOR}.{API_MINOR}"),
            rustc: "compiler not read".into(),
        });
    }
    // SAFETY: same major version, so the whole struct has this layout; the library stays open for good.
    let shake: &'static Handshake = unsafe { &*shake };
    let missing: Vec<String> =
        shake.requires.iter().map(ToString::to_string).filter(|f| !FEATURES.contains(&f.as_str())).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let offered = FEATURES.iter().map(ToString::to_string).collect();
    Err(HostError::Features { path: path.to_path_buf(), missing, offered })
}
