//! Two crates derived from the sources in the registry.
//!
//! - `candle-core` asks its CUDA bindings to link the CUDA libraries; ours asks them to open the libraries at run
//!   time. One line of its manifest.
//! - `candle-kernels` compiles kernels of quantised language models, 5/6 of the compile time and the only ones that
//!   need `libcudart`; ours leaves them out, and their entry points panic with their name.
//!
//! Nothing is vendored: the sources are those of the registry cargo uses. Each change is checked against the text it
//! replaces, so another candle release stops here with a message instead of being changed by accident.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

/// The candle release the changes were written for.
const WRITTEN_FOR: &str = "0.11.1";

/// Kernels of quantised models, by path below the crate.
const LEFT_OUT: [&str; 4] = ["src/moe/", "src/mmq_gguf/", "src/mmvq_gguf.cu", "src/quantized.cu"];

/// Derives both crates into `place/patched`, writing only what differs, so that nothing is compiled twice.
pub(super) fn derive(root: &Path, place: &Path) -> Result<()> {
    let sources = registry_sources(root)?;
    let crates: [(&str, Change); 2] =
        [("candle-core", load_at_run_time), ("candle-kernels", without_quantised)];
    for (name, change) in crates {
        let (folder, version) =
            sources.get(name).with_context(|| format!("{name} is not among the dependencies"))?;
        let mut files = read(folder)?;
        change(&mut files).with_context(|| {
            format!(
                "{name} {version}: its source is not what the CUDA build changes (written for {WRITTEN_FOR})\n\
                 hint: pin candle to {WRITTEN_FOR} in Cargo.toml, or adapt harness/xtask/src/cuda/patch.rs"
            )
        })?;
        write(&place.join("patched").join(name), &files)?;
    }
    Ok(())
}

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// What is done to a crate.
type Change = fn(&mut Files) -> Result<()>;

/// Where cargo keeps the unpacked crates: name → (folder, version). Downloads what is missing.
fn registry_sources(root: &Path) -> Result<BTreeMap<String, (PathBuf, String)>> {
    let output = Command::new(crate::cargo())
        .args(["metadata", "--locked", "--format-version", "1", "--features", "facebench/cuda"])
        .current_dir(root)
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("starting cargo")?;
    ensure!(
        output.status.success(),
        "cargo cannot fetch the sources of the dependencies\nhint: this step needs the network once"
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).context("reading `cargo metadata`")?;
    let packages = metadata["packages"].as_array().context("`cargo metadata` names no packages")?;
    let mut sources = BTreeMap::new();
    for package in packages {
        if let (Some(name), Some(version), Some(manifest)) =
            (package["name"].as_str(), package["version"].as_str(), package["manifest_path"].as_str())
            && let Some(folder) = Path::new(manifest).parent()
        {
            sources.insert(name.to_owned(), (folder.to_owned(), version.to_owned()));
        }
    }
    Ok(sources)
}

/// `candle-core`: open the CUDA libraries when they are needed.
fn load_at_run_time(files: &mut Files) -> Result<()> {
    replace(files, "Cargo.toml", "    \"dynamic-linking\",\n", "    \"fallback-dynamic-loading\",\n")
}

/// `candle-kernels`: leave out what only quantised models use.
fn without_quantised(files: &mut Files) -> Result<()> {
    let before = files.len();
    files.retain(|path, _| {
        let path = path.to_string_lossy();
        !LEFT_OUT.iter().any(|out| path.starts_with(out))
    });
    ensure!(before >= files.len() + LEFT_OUT.len(), "some of {LEFT_OUT:?} are not there");
    let build = text(files, "build.rs")?;
    let (kept, dropped) =
        build.split_once("    let mut moe_sources = vec![").context("build.rs: no `moe_sources`")?;
    for expected in ["bindings.write(&ptx_path)?;", ".build_ptx()?;"] {
        ensure!(kept.contains(expected), "build.rs: no `{expected}` before the quantised kernels");
    }
    ensure!(dropped.contains("dylib=cudart"), "build.rs: libcudart is not linked where it was");
    let build = format!(
        "{kept}    let mut ptx = std::fs::read_to_string(&ptx_path)?;\n    \
         ptx.push_str(\"pub const QUANTIZED: &str = \\\"\\\";\\n\");\n    \
         std::fs::write(&ptx_path, ptx)?;\n    Ok(())\n}}\n"
    );
    let build = build.replace("const CUTILE_FEATURE: &str = \"CARGO_FEATURE_CUTILE\";\n", "");
    files.insert("build.rs".into(), build.into_bytes());
    let stubs = stubs(&text(files, "src/ffi.rs")?)?;
    files.insert("src/ffi.rs".into(), stubs.into_bytes());
    Ok(())
}

/// The foreign functions of `ffi`, each with a body that panics with its name.
fn stubs(ffi: &str) -> Result<String> {
    let (_, body) = ffi.split_once("extern \"C\" {").context("src/ffi.rs: no foreign functions")?;
    let body =
        body.trim_end().strip_suffix('}').context("src/ffi.rs: does not end with the foreign functions")?;
    let body: String = body
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default().trim_end().to_owned() + "\n")
        .collect();
    let mut out = String::from(
        "//! Kernels of quantised models are left out of this build.\n\
         #![allow(warnings)]\nuse core::ffi::c_void;\n",
    );
    for item in body.split(';').map(str::trim).filter(|item| !item.is_empty()) {
        let (attributes, signature) =
            item.split_once("pub fn ").with_context(|| format!("src/ffi.rs: not a function: {item}"))?;
        let (name, _) =
            signature.split_once('(').with_context(|| format!("src/ffi.rs: no name in {item}"))?;
        out += &format!(
            "{attributes}pub unsafe extern \"C\" fn {signature} {{\n    \
             panic!(\"{name}: kernels of quantised models are left out of this build\")\n}}\n"
        );
    }
    if !out.contains("pub unsafe") {
        bail!("src/ffi.rs: no foreign functions");
    }
    Ok(out)
}

fn text(files: &Files, name: &str) -> Result<String> {
    let bytes = files.get(Path::new(name)).with_context(|| format!("no {name}"))?;
    String::from_utf8(bytes.clone()).with_context(|| format!("{name} is not text"))
}

/// Replaces the one place where `from` stands.
fn replace(files: &mut Files, name: &str, from: &str, to: &str) -> Result<()> {
    let old = text(files, name)?;
    let count = old.matches(from).count();
    ensure!(count == 1, "{name}: expected `{}` once, found it {count} times", from.trim());
    files.insert(name.into(), old.replace(from, to).into_bytes());
    Ok(())
}

/// The manifest, `build.rs` and everything in `src`.
fn read(folder: &Path) -> Result<Files> {
    let mut files = Files::new();
    let mut open = vec![folder.join("src"), folder.join("Cargo.toml")];
    open.extend(Some(folder.join("build.rs")).filter(|build| build.is_file()));
    // named by the manifest's `readme` and licence; cargo does not need them to build
    while let Some(path) = open.pop() {
        if path.is_dir() {
            for entry in std::fs::read_dir(&path).with_context(|| format!("reading {}", path.display()))? {
                open.push(entry?.path());
            }
        } else {
            let bytes = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
            files.insert(path.strip_prefix(folder)?.to_owned(), bytes);
        }
    }
    // targets outside `src` are declared in the published manifest but not copied
    let manifest = text(&files, "Cargo.toml")?;
    files.insert("Cargo.toml".into(), without_other_targets(&manifest).into_bytes());
    Ok(files)
}

/// A manifest without `[[example]]`, `[[bench]]` and `[[test]]` tables.
fn without_other_targets(manifest: &str) -> String {
    let mut kept = String::new();
    let mut dropping = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            dropping = ["[[example]]", "[[bench]]", "[[test]]"].contains(&line.trim());
        }
        if !dropping {
            kept += line;
            kept.push('\n');
        }
    }
    kept
}

/// Makes `folder` hold exactly `files`; files that are right already keep their time stamp.
fn write(folder: &Path, files: &Files) -> Result<()> {
    for (name, bytes) in files {
        let path = folder.join(name);
        if std::fs::read(&path).is_ok_and(|old| old == *bytes) {
            continue;
        }
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
        }
        std::fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))?;
    }
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        for entry in std::fs::read_dir(&path).with_context(|| format!("reading {}", path.display()))? {
            let entry = entry?.path();
            if entry.is_dir() {
                open.push(entry);
            } else if !files.contains_key(entry.strip_prefix(folder)?) {
                std::fs::remove_file(&entry).with_context(|| format!("removing {}", entry.display()))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> Files {
        list.iter().map(|(name, text)| (PathBuf::from(name), text.as_bytes().to_vec())).collect()
    }

    #[test]
    fn one_line_of_the_manifest_changes() {
        let mut f = files(&[("Cargo.toml", "features = [\n    \"std\",\n    \"dynamic-linking\",\n]\n")]);
        load_at_run_time(&mut f).unwrap();
        assert!(text(&f, "Cargo.toml").unwrap().contains("\"fallback-dynamic-loading\""));
        let again = load_at_run_time(&mut f).unwrap_err().to_string();
        assert_eq!(again, "Cargo.toml: expected `\"dynamic-linking\",` once, found it 0 times");
    }

    #[test]
    fn foreign_functions_become_panics() {
        let ffi = "use core::ffi::c_void;\n#[allow(dead_code)]\nextern \"C\" {\n    #[cfg(feature = \"x\")]\n    \
                   pub fn one(a: *const c_void, // ptr; or null\n        n: i32) -> i32;\n    // a remark\n    pub fn two();\n}\n";
        let out = stubs(ffi).unwrap();
        assert!(
            out.contains("#[cfg(feature = \"x\")]\n    pub unsafe extern \"C\" fn one(a: *const c_void,")
        );
        assert!(
            out.contains("n: i32) -> i32 {") && out.contains("fn two() {") && out.contains("\"two: kernels")
        );
        assert!(stubs("extern \"C\" {\n static X: i32;\n}").is_err());
        assert!(stubs("fn main() {}").is_err());
    }

    #[test]
    fn another_build_script_is_refused() {
        let mut f = files(&[
            ("build.rs", "fn main() {}"),
            ("src/moe/a.cu", ""),
            ("src/mmq_gguf/a.cu", ""),
            ("src/mmvq_gguf.cu", ""),
            ("src/quantized.cu", ""),
        ]);
        assert_eq!(without_quantised(&mut f).unwrap_err().to_string(), "build.rs: no `moe_sources`");
    }

    #[test]
    fn examples_leave_the_manifest() {
        let manifest = "[package]\nname = \"a\"\n[[example]]\nname = \"b\"\n[dependencies]\nc = \"1\"\n";
        assert_eq!(without_other_targets(manifest), "[package]\nname = \"a\"\n[dependencies]\nc = \"1\"\n");
    }
}
