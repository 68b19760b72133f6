//! `facebench plugin new`: a crate with a working plugin, ready to build.
//!
//! The files come from the host's templates, which are compiled and tested with the shipped plugins. The
//! crate names the SDK by path: the one beside the program that will load it, so that both sides of the
//! boundary agree. The workspace's lock file goes along, so that it builds offline with the same versions.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use facebench_host::{Kind, template};

use super::shared;
use crate::args::{PluginDirs, PluginKind};
use crate::fail::Status;
use crate::out;

/// Writes the crate.
pub(crate) fn run(name: &str, kind: PluginKind, path: Option<&Path>, sdk: Option<&Path>) -> Result<Status> {
    let kind = match kind {
        PluginKind::Backbone => Kind::Backbone,
        PluginKind::Masking => Kind::Masking,
        PluginKind::Head => Kind::Head,
    };
    // what cannot be opened is no reason not to write a new one
    let taken = shared::plugins(&PluginDirs::default())
        .ok()
        .and_then(|p| Some(p.info(kind, name).ok()?.path.clone()));
    let sdk = find_sdk(sdk)?;
    let files = template::render(kind, name, &sdk).map_err(anyhow::Error::msg)?;
    let folder = path.map_or_else(|| PathBuf::from(name), Path::to_path_buf);
    if std::fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(anyhow!(
            "{}: is not empty\nhint: choose another folder with `--path DIR`",
            folder.display()
        ));
    }
    for (file, text) in &files {
        let file = folder.join(file);
        if let Some(parent) = file.parent() {
            std::fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
        }
        std::fs::write(&file, text).with_context(|| file.display().to_string())?;
    }
    let lock = sdk.ancestors().map(|a| a.join("Cargo.lock")).find(|l| l.is_file());
    if let Some(lock) = lock {
        let copy = folder.join("Cargo.lock");
        std::fs::copy(&lock, &copy).with_context(|| copy.display().to_string())?;
    }
    out::text(&folder.display().to_string())?;
    if let Some(path) = taken {
        eprintln!(
            "warn: {} is a {kind} `{name}` already, and two of one name are not loaded together\nhint: choose another name",
            path.display()
        );
    }
    eprintln!("next: cd {} && cargo test --release && cargo build --release", folder.display());
    Ok(Status::Done)
}

/// The SDK's folder: as given, or in the source tree that this program was built in.
fn find_sdk(given: Option<&Path>) -> Result<PathBuf> {
    let is_sdk = |p: &Path| p.join("Cargo.toml").is_file() && p.join("src/lib.rs").is_file();
    let hint = "give the folder `plugins/sdk` of facebench's source with `--sdk DIR`";
    if let Some(given) = given {
        if !is_sdk(given) {
            return Err(anyhow!("{}: no crate here\nhint: {hint}", given.display()));
        }
        return given.canonicalize().with_context(|| given.display().to_string());
    }
    let exe = std::env::current_exe().context("where this program is")?;
    let exe = exe.canonicalize().unwrap_or(exe);
    let found = exe.ancestors().map(|a| a.join("plugins/sdk")).find(|p| is_sdk(p));
    found.ok_or_else(|| anyhow!("the plugin SDK is not beside this program\nhint: {hint}"))
}
