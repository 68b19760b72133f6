//! Writing a data root so that nobody ever sees half of one.
//!
//! Everything goes to a [`Partial`] folder and is renamed at the end, so a folder with a marker is whole. A second run
//! recognises the folder by the spec in the marker and counts its files. Every picture says "synthetic" in its own
//! metadata, and every data-set folder has a marker of its own: they survive being copied apart.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::partial::{Partial, count_files, is_free};
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
    partial: Partial,
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
        if is_free(out)? {
            return Ok(Existing::Nothing);
        }
        let marker = out.join(MARKER);
        if !marker.exists() {
            return Err(Error::Foreign { out: out.into() });
        }
        let text = std::fs::read_to_string(&marker).map_err(Error::io(&marker))?;
        let json = |s: &SynthSpec, v: u32| {
            format!("version {v}, {}", serde_json::to_string(s).expect("plain numbers serialise"))
        };
        let other =
            |there: String| Error::OtherSpec { out: out.into(), there, asked: json(spec, GENERATOR_VERSION) };
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

    /// Starts an empty root beside `out`.
    pub(crate) fn begin(out: &Path, spec: &SynthSpec) -> Result<Self, Error> {
        Ok(Self {
            partial: Partial::begin(out)?,
            note: format!("facebench synth {GENERATOR_VERSION} seed {}", spec.seed),
        })
    }

    /// Creates a folder for a data set, with its own marker.
    pub(crate) fn data_set(&self, folder: &str, spec: &SynthSpec) -> Result<(), Error> {
        self.folder(folder)?;
        Marker::new(spec).write(&self.partial.root.join(folder))
    }

    /// Creates a folder.
    pub(crate) fn folder(&self, folder: &str) -> Result<(), Error> {
        let path = self.partial.root.join(folder);
        std::fs::create_dir_all(&path).map_err(Error::io(&path))
    }

    /// The picture as a PNG file's bytes.
    pub(crate) fn encode(&self, file: &str, picture: &Rgb) -> Result<Vec<u8>, Error> {
        encode_png_bytes(picture, &[("synthetic", &self.note)])
            .map_err(|e| Error::Encode { path: self.partial.root.join(file), reason: e.to_string() })
    }

    /// Writes a picture.
    pub(crate) fn picture(&self, file: &str, picture: &Rgb) -> Result<(), Error> {
        self.bytes(file, &self.encode(file, picture)?)
    }

    /// Writes a parsing map.
    pub(crate) fn map(&self, file: &str, map: &ParsingMap) -> Result<(), Error> {
        let path = self.partial.root.join(file);
        write_npy(&path, map).map_err(|e| Error::Encode { path, reason: e.to_string() })
    }

    /// Writes anything.
    pub(crate) fn bytes(&self, file: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = self.partial.root.join(file);
        std::fs::write(&path, bytes).map_err(Error::io(&path))
    }

    /// Writes the root's marker and puts the root in its place. Returns the number of files.
    pub(crate) fn publish(&self, out: &Path, spec: &SynthSpec) -> Result<usize, Error> {
        let files = count_files(&self.partial.root)? + 1;
        Marker { files: Some(files), ..Marker::new(spec) }.write(&self.partial.root)?;
        match self.partial.publish(out) {
            Ok(()) => Ok(files),
            // another process may have been faster with the same
            Err(failed) => match Self::existing(out, spec) {
                Ok(Existing::Same(files)) => Ok(files),
                _ => Err(failed.into()),
            },
        }
    }

    /// Removes what was written so far.
    pub(crate) fn discard(&self) {
        self.partial.discard();
    }
}
