//! What can go wrong with plugins, with the file and the name in every message.

use std::path::PathBuf;

use crate::Kind;

/// Result of the host.
pub type Result<T> = std::result::Result<T, HostError>;

/// A plugin cannot be opened or failed at its work. Messages end with a `hint:` line where a fix is known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// The file or folder cannot be read.
    #[error("plugin {path}: {source}\nhint: give an existing file, or a folder with plugin libraries", path = .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is no shared library of this machine.
    #[error("plugin {path}: not a loadable library: {reason}\nhint: plugins are shared libraries, built with `cargo build --release` in the plugin's folder", path = .path.display())]
    NotALibrary {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A library, but not one of ours.
    #[error("plugin {path}: a library, but not a facebench plugin\nhint: a plugin crate has crate-type = [\"cdylib\"] and ends with `export_plugin!`", path = .path.display())]
    NotAPlugin {
        /// The file.
        path: PathBuf,
    },
    /// Built for another generation of the boundary.
    #[error("plugin {path}: built for plugin API {plugin} ({rustc}), this program has {host}\nhint: rebuild the plugin with the facebench-plugin crate of this release", path = .path.display())]
    Api {
        /// The file.
        path: PathBuf,
        /// The plugin's API version.
        plugin: String,
        /// The program's API version.
        host: String,
        /// The plugin's compiler.
        rustc: String,
    },
    /// Needs something this program does not offer.
    #[error("plugin {path}: needs {missing:?}, which this program does not offer\nhint: use a newer facebench; this one offers {offered:?}", path = .path.display())]
    Features {
        /// The file.
        path: PathBuf,
        /// What it needs.
        missing: Vec<String>,
        /// What there is.
        offered: Vec<String>,
    },
    /// The types of the boundary differ.
    #[error("plugin {path}: its boundary types differ from this program's: {report}\nhint: rebuild the plugin with the facebench-plugin crate of this release", path = .path.display())]
    Layout {
        /// The file.
        path: PathBuf,
        /// The first differences.
        report: String,
    },
    /// The plugin's own start failed.
    #[error("plugin {path}: failed to start: {reason}", path = .path.display())]
    Start {
        /// The file.
        path: PathBuf,
        /// What it said.
        reason: String,
    },
    /// Not the file the lock names.
    #[error("plugin {path}: sha256 {got}, the lock says {expected}\nhint: restore the recorded file, or update the lock", path = .path.display())]
    Locked {
        /// The file.
        path: PathBuf,
        /// Digest in the lock.
        expected: String,
        /// Digest of the file.
        got: String,
    },
    /// Two plugins bring the same component.
    #[error("{kind} {name:?} is provided by both {first} and {second}\nhint: remove one of the two files, or give it another name", first = .first.display(), second = .second.display())]
    Duplicate {
        /// Kind of the component.
        kind: Kind,
        /// Its name.
        name: String,
        /// One file.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// No plugin brings this component.
    #[error("no {kind} is called {name:?}{rest}")]
    Unknown {
        /// Kind asked for.
        kind: Kind,
        /// Name asked for.
        name: String,
        /// Files that could not be opened, and the hint with the nearest or all names.
        rest: String,
    },
    /// The settings of a component are wrong.
    #[error("{kind} {name:?} ({path}): {message}", path = .path.display())]
    Config {
        /// Kind of the component.
        kind: Kind,
        /// Its name.
        name: String,
        /// Its file.
        path: PathBuf,
        /// Which setting, and what was expected.
        message: String,
    },
    /// A component failed: an error of its own, a failed operation, a panic.
    #[error("{kind} {name:?} ({path}): {message}", path = .path.display())]
    Component {
        /// Kind of the component.
        kind: Kind,
        /// Its name.
        name: String,
        /// Its file.
        path: PathBuf,
        /// Where and what, outermost place first.
        message: String,
    },
}

impl HostError {
    /// Whether the file is a library of something else: no complaint where nobody called it a plugin.
    pub fn is_foreign(&self) -> bool {
        matches!(self, Self::NotAPlugin { .. })
    }
}
