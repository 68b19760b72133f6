//! Numeric fixtures: anyone's folder of closed-form inputs and expected numbers, checked against this program.
//!
//! A fixture is a JSON file with an `about` block that says its kind, its configuration, how inputs are made
//! (formulas), and how much a result may deviate. [`check_folder`] runs each file it finds with the runner of its kind
//! and returns one [`Row`] per case. Dimensions, numbers of steps, formulas and tolerances are read from the files, so
//! another set of the same shape is checked by the same code. A kind without a runner is a row of its own
//! ([`Verdict::Unknown`]), never skipped; a file of published results is one too ([`Verdict::Nothing`]). Networks come from the shipped plugins, as in training.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod formula;
mod kinds;
mod pictures;
mod rules;
mod sheet;
mod tensors;

use std::path::{Path, PathBuf};

use facebench_host::Plugins;
use serde_json::Value;

pub use sheet::{Row, Verdict};

use sheet::{Must as _, Sheet};

/// A folder of fixtures that cannot be checked at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// The folder
        path: PathBuf,
        /// What the system said
        source: std::io::Error,
    },
    /// There is nothing to check.
    #[error(
        "{path}: no fixtures found\nhint: a fixture is a .json file with an `about` block, see docs/selftest.md"
    )]
    Empty {
        /// The folder
        path: PathBuf,
    },
}

/// Largest fixture read, in bytes.
const MAX_FILE: u64 = 256 << 20;

/// What runners need besides the file.
pub(crate) struct Context<'a> {
    /// Folder that paths inside the fixture refer to
    pub(crate) folder: &'a Path,
    /// The shipped plugins
    pub(crate) plugins: &'a Plugins,
}

/// Runs every `.json` file directly in `folder` (or the one file it names), in order of name. `seen` is called with each row as it is made.
///
/// # Errors
/// The folder cannot be read, or holds no JSON file. A file that is no fixture is a row, not an error.
pub fn check_folder(folder: &Path, plugins: &Plugins, mut seen: impl FnMut(&Row)) -> Result<Vec<Row>, Error> {
    let io = |source| Error::Io { path: folder.to_path_buf(), source };
    let mut files = Vec::new();
    if folder.is_file() {
        files.push(folder.to_path_buf());
    } else {
        for entry in std::fs::read_dir(folder).map_err(io)? {
            let path = entry.map_err(io)?.path();
            if path.extension().is_some_and(|e| e == "json") && path.is_file() {
                files.push(path);
            }
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(Error::Empty { path: folder.to_path_buf() });
    }
    let mut rows = Vec::new();
    for file in files {
        let found = check_file(&file, plugins);
        found.iter().for_each(&mut seen);
        rows.extend(found);
    }
    Ok(rows)
}

/// The rows of one file.
fn check_file(path: &Path, plugins: &Plugins) -> Vec<Row> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut sheet = Sheet { file: name, kind: String::new(), rows: Vec::new() };
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let file = match read(path) {
        Ok(file) => file,
        Err(reason) => {
            sheet.case("whole file", |_| Err(reason));
            return sheet.rows;
        }
    };
    let kind = kind(&file);
    sheet.kind = kind.unwrap_or("?").to_owned();
    let context = Context { folder, plugins };
    match kind.and_then(kinds::runner) {
        Some(run) => {
            if let Err(reason) = run(&file, &context, &mut sheet) {
                sheet.case("whole file", |_| Err(reason));
            }
            if sheet.rows.is_empty() {
                sheet.case("whole file", |_| Err("the file holds no case".into()));
            }
        }
        None => {
            let (verdict, reason) = match kind {
                Some("reference-rows") => (
                    Verdict::Nothing,
                    "published results with their sources: nothing in it is computed".into(),
                ),
                Some(kind) => (Verdict::Unknown, format!("no runner for fixtures of kind `{kind}`")),
                None => (Verdict::Unknown, "the file names no kind (`about.kind`)".into()),
            };
            sheet.not_run("whole file", verdict, reason);
        }
    }
    sheet.rows
}

fn read(path: &Path) -> Result<Value, String> {
    let length = std::fs::metadata(path).must("reading")?.len();
    if length > MAX_FILE {
        return Err(format!("the file has {length} bytes, the limit is {MAX_FILE}"));
    }
    serde_json::from_slice(&std::fs::read(path).must("reading")?).must("not JSON")
}

/// The kind a file says it is: `about.kind`, or the family of its `schema` (`golden-metrics/1`).
fn kind(file: &Value) -> Option<&str> {
    file["about"]["kind"]
        .as_str()
        .or_else(|| file["schema"].as_str().map(|s| s.split('/').next().unwrap_or(s)))
}
