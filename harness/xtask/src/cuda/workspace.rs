//! A workspace that is ours, with two crates replaced.
//!
//! cargo writes replaced crates into `Cargo.lock`. So that the committed file stays as it is, the CUDA build has its
//! own root folder: links to everything here, a manifest with the replacement, and a lock file in which the two
//! crates have no registry entry. All other versions are those of the CPU build, and `--locked` holds.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// The crates that come from `target/cuda/patched`.
const REPLACED: [&str; 2] = ["candle-core", "candle-kernels"];

/// Brings `place/workspace` up to date and returns it.
pub(super) fn mirror(root: &Path, place: &Path) -> Result<PathBuf> {
    let folder = place.join("workspace");
    std::fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let manifest = read(&root.join("Cargo.toml"))?;
    ensure!(!manifest.contains("[patch.crates-io]"), "Cargo.toml replaces crates already");
    let mut manifest = manifest + "\n[patch.crates-io]\n";
    for name in REPLACED {
        manifest += &format!("{name} = {{ path = \"../patched/{name}\" }}\n");
    }
    write(&folder.join("Cargo.toml"), &manifest)?;
    write(&folder.join("Cargo.lock"), &unlocked(&read(&root.join("Cargo.lock"))?)?)?;
    for name in ["harness", "plugins", "protocols", "reports", "tests", "docs", "README.md"] {
        link(&root.join(name), &folder.join(name))?;
    }
    Ok(folder)
}

/// The lock file with the replaced crates as local ones: without `source` and `checksum`.
fn unlocked(lock: &str) -> Result<String> {
    let mut out = String::new();
    let mut found = 0;
    let mut replaced = false;
    for line in lock.lines() {
        if line == "[[package]]" {
            replaced = false;
        }
        if let Some(name) = line.strip_prefix("name = ") {
            replaced = REPLACED.iter().any(|r| name.trim_matches('"') == *r);
            found += usize::from(replaced);
        }
        if !(replaced && (line.starts_with("source = ") || line.starts_with("checksum = "))) {
            out += line;
            out.push('\n');
        }
    }
    ensure!(found == REPLACED.len(), "Cargo.lock: expected {REPLACED:?} once each, found {found} of them");
    Ok(out)
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    if std::fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

/// Makes `link` lead to `target`.
pub(super) fn link(target: &Path, link: &Path) -> Result<()> {
    if std::fs::read_link(link).is_ok_and(|old| old == target) {
        return Ok(());
    }
    if link.symlink_metadata().is_ok() {
        std::fs::remove_file(link).with_context(|| format!("removing {}", link.display()))?;
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(target, link).with_context(|| format!("linking {}", link.display()))
    }
    #[cfg(not(unix))]
    {
        anyhow::bail!("{}: links are made on Unix only", link.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaced_crates_lose_their_registry_entry_and_no_other_does() {
        let entry = |name: &str| {
            format!("[[package]]\nname = \"{name}\"\nversion = \"1\"\nsource = \"r\"\nchecksum = \"c\"\n\n")
        };
        let lock = entry("anyhow") + &entry("candle-core") + &entry("candle-kernels") + &entry("zip");
        let out = unlocked(&lock).unwrap();
        assert_eq!(out.matches("checksum").count(), 2);
        assert_eq!(out.matches("source").count(), 2);
        assert!(out.starts_with(&entry("anyhow")) && out.ends_with(&entry("zip")));
        assert!(unlocked(&entry("anyhow")).is_err());
    }
}
