//! What a forged folder says of itself: `forge.json` (spec, people, what was left out) and `sources.csv` (which
//! photographs each picture was made from).

use serde::{Deserialize, Serialize};

use super::ForgeSpec;
use facebench_protocols::Split;

/// Name of the record.
pub const RECORD: &str = "forge.json";

/// Name of the table of sources.
pub const SOURCES: &str = "sources.csv";

/// The contents of [`RECORD`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Who made it.
    pub generator: String,
    /// Version of the forger.
    pub version: u32,
    /// How it was asked for.
    pub spec: ForgeSpec,
    /// Digest over names and sizes of the photographs.
    pub photographs: String,
    /// Whether the photographs were synthetic faces themselves.
    pub synthetic: bool,
    /// Files below the folder, this one included.
    pub files: usize,
    /// The people and their splits.
    pub people: Vec<RecordPerson>,
    /// Photographs left out, and why.
    pub unreadable: Vec<RecordUnreadable>,
}

/// One person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordPerson {
    /// Name in identities.
    pub name: String,
    /// Folder (or file) the photographs came from.
    pub folder: String,
    /// Split.
    pub split: Split,
    /// Photographs used.
    pub photographs: usize,
}

/// One photograph that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordUnreadable {
    /// The file, relative to the folder of photographs.
    pub file: String,
    /// What is wrong with it.
    pub reason: String,
}
