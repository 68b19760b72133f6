//! Writing a data root so that nobody ever sees half of one.
//!
//! Everything goes to `OUT.partial-<host>-<process>` beside the target and is renamed at the end, marker first, so a
//! folder with a marker is whole. A second run recognises the folder by the spec in the marker and counts its files.
//! Leftovers of killed runs on this machine are removed. Every picture says "synthetic" in its own metadata.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::spec::GENERATOR_VERSION;
use super::{Error, SynthSpec};
use crate::image::{Rgb, encode_png_bytes};
use crate::parsing::{ParsingMap, write_npy};

/// Name of the marker in the root and in every data-set folder.
pub const MARKER: &str = "SYNTHETIC.json";

/// What a marker says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Marker {
    /// Always true.
    pub synthetic: bool,
    /// Who made it.
    pub generator: String,
    /// Version of the generator.
    pub version: u32,
    /// What it was asked for.
    pub spec: SynthSpec,
    /// A sentence for whoever finds the folder.
    pub note: String,
    /// Files below the root, markers included; only in the root's marker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<usize>,
}

impl Marker {
    pub(crate) fn new(spec: &SynthSpec) -> Self {
        Self {
            synthetic: true,
            generator: "facebench synth".into(),
            version: GENERATOR_VERSION,
            spec: spec.clone(),
            note: "rendered faces of people who do not exist, with simulated forgeries; not a published benchmark".into(),
            files: None,
        }
    }

    fn write(&self, folder: &Path) -> Result<(), Error> {
        let path = folder.join(MARKER);
        let mut text = serde_json::to_string_pretty(self).expect("plain numbers and strings serialise");
        text.push('\n');
        std::fs::write(&path, text).map_err(Error::io(&path))
    }
}

/// A data root under construction.
pub(crate) struct Store {
    root: PathBuf,
    note: String,
}

/// What was found at the place asked for.
pub(crate) enum Existing {
    /// Nothing, or an empty folder.
    Nothing,
    /// The same root, complete, with so many files.
    Same(usize),
}

impl Store {
    /// Looks at `out`.
    pub(crate) fn existing(out: &Path, spec: &SynthSpec) -> Result<Existing, Error> {
        if !out.exists() {
            return Ok(Existing::Nothing);
        }
        let marker = out.join(MARKER);
        if !marker.exists() {
            let empty = out.is_dir() && std::fs::read_dir(out).map_err(Error::io(out))?.next().is_none();
            return if empty { Ok(Existing::Nothing) } else { Err(Error::Foreign { out: out.into() }) };
        }
        let text = std::fs::read_to_string(&marker).map_err(Error::io(&marker))?;
        let json = |s: &SynthSpec, v: u32| {
            format!("version {v}, {}", serde_json::to_string(s).expect("plain numbers serialise"))
        };
        let other = |there: String| Error::OtherSpec { out: out.into(), there, asked: json(spec, GENERATOR_VERSION) };
        let Ok(found) = serde_json::from_str::<Marker>(&text) else {
            return Err(other(text.split_whitespace().collect::<Vec<_>>().join(" ")));
        };
        if found.spec != *spec || found.version != GENERATOR_VERSION {
            return Err(other(json(&found.spec, found.version)));
        }
        let (expected, files) = (found.files.unwrap_or(0), count_files(out)?);
        if expected != files {
            return Err(Error::Damaged { out: out.into(), expected, found: files });
        }
        Ok(Existing::Same(files))
    }

    /// Starts an empty root beside `out`, after removing what killed runs left there.
    pub(crate) fn begin(out: &Path, spec: &SynthSpec) -> Result<Self, Error> {
        let parent = match out.parent() {
            Some(p) if !p.as_os_str().is_empty() => p.to_path_buf(),
            _ => PathBuf::from("."),
        };
        std::fs::create_dir_all(&parent).map_err(Error::io(&parent))?;
        let name = out.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let host = host_name();
        remove_leftovers(&parent, &format!("{name}.partial-{host}-"));
        let root = parent.join(format!("{name}.partial-{host}-{}", std::process::id()));
        std::fs::create_dir(&root).map_err(Error::io(&root))?;
        Ok(Self { root, note: format!("facebench synth {GENERATOR_VERSION} seed {}", spec.seed) })
    }

    /// Creates a folder for a data set, with its own marker.
    pub(crate) fn data_set(&self, folder: &str, spec: &SynthSpec) -> Result<(), Error> {
        self.folder(folder)?;
        Marker::new(spec).write(&self.root.join(folder))
    }

    /// Creates a folder.
    pub(crate) fn folder(&self, folder: &str) -> Result<(), Error> {
        let path = self.root.join(folder);
        std::fs::create_dir_all(&path).map_err(Error::io(&path))
    }

    /// The picture as a PNG file's bytes.
    pub(crate) fn encode(&self, file: &str, picture: &Rgb) -> Result<Vec<u8>, Error> {
        encode_png_bytes(picture, &[("synthetic", &self.note)])
            .map_err(|e| Error::Encode { path: self.root.join(file), reason: e.to_string() })
    }

    /// Writes a picture.
    pub(crate) fn picture(&self, file: &str, picture: &Rgb) -> Result<(), Error> {
        self.bytes(file, &self.encode(file, picture)?)
    }

    /// Writes a parsing map.
    pub(crate) fn map(&self, file: &str, map: &ParsingMap) -> Result<(), Error> {
        let path = self.root.join(file);
        write_npy(&path, map).map_err(|e| Error::Encode { path, reason: e.to_string() })
    }

    /// Writes anything.
    pub(crate) fn bytes(&self, file: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = self.root.join(file);
        std::fs::write(&path, bytes).map_err(Error::io(&path))
    }

    /// Writes the root's marker and puts the root in its place. Returns the number of files.
    pub(crate) fn publish(&self, out: &Path, spec: &SynthSpec) -> Result<usize, Error> {
        let files = count_files(&self.root)? + 1;
        Marker { files: Some(files), ..Marker::new(spec) }.write(&self.root)?;
        if out.is_dir() {
            // only an empty folder gets here; another process may have been faster, then this fails
            let _ = std::fs::remove_dir(out);
        }
        match std::fs::rename(&self.root, out) {
            Ok(()) => Ok(files),
            Err(e) => {
                self.discard();
                match Self::existing(out, spec) {
                    Ok(Existing::Same(files)) => Ok(files),
                    _ => Err(Error::Io { path: out.into(), source: e }),
                }
            }
        }
    }

    /// Removes what was written so far.
    pub(crate) fn discard(&self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

fn count_files(folder: &Path) -> Result<usize, Error> {
    let mut count = 0;
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let entry = entry.map_err(Error::io(folder))?;
        let kind = entry.file_type().map_err(Error::io(folder))?;
        count += if kind.is_dir() { count_files(&entry.path())? } else { 1 };
    }
    Ok(count)
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name.trim().chars().filter(|c| c.is_ascii_alphanumeric()).take(24).collect();
    if name.is_empty() { "here".into() } else { name }
}

/// Removes partial roots of processes that no longer run on this machine. Failures do not matter: they only cost disk.
fn remove_leftovers(parent: &Path, prefix: &str) {
    let (true, Ok(entries)) = (Path::new("/proc/self").exists(), std::fs::read_dir(parent)) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(pid) = name.strip_prefix(prefix).and_then(|p| p.parse::<u32>().ok()) else { continue };
        if !Path::new(&format!("/proc/{pid}")).exists() || pid == std::process::id() {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
