//! From finished runs to a bundle.
//!
//! The bundle is written beside its place and renamed, so that there is a whole one or none. A result that an audit
//! stopped is refused here rather than on the board; one chosen on the test set (`oracle`) may be packed, since it can
//! never enter a ranking.

use super::bundle::{self, Entry, Submission, Weights};
use super::{Error, Result, card, sign, sums};
use crate::runs::Run;
use facebench_protocols::{Protocol, Severity};
use std::path::{Path, PathBuf};

/// Files of a training unit that hold weights.
const WEIGHTS: [&str; 2] = ["safetensors", "pth"];

/// What people say of a submission.
#[derive(Clone, Debug, Default)]
pub struct PackOptions {
    /// Name on the leaderboard.
    pub name: String,
    /// Who submits.
    pub authors: String,
    /// Paper or code.
    pub url: String,
    /// Licence of the weights.
    pub license: String,
    /// One paragraph.
    pub description: String,
    /// Protocols that do not ship.
    pub protocols: Vec<Protocol>,
    /// Private SSH key to sign with.
    pub key: Option<PathBuf>,
    /// Version of the program.
    pub facebench: String,
}

/// A finished bundle.
#[derive(Clone, Debug)]
pub struct Packed {
    /// Its contents.
    pub submission: Submission,
    /// Training units whose weights were not among the runs, so that their digests are missing.
    pub without_weights: Vec<String>,
}

/// Writes the scored ones of `runs` as a bundle to the new folder `out`. Training runs among them give the digests of
/// the weights.
///
/// # Errors
/// No run is scored, a run was stopped by an audit or its protocol is not known, `out` exists, signing fails, or a file
/// cannot be written.
pub fn pack(runs: &[Run], out: &Path, options: &PackOptions) -> Result<Packed> {
    if options.name.trim().is_empty() {
        let (path, message) = (PathBuf::from(bundle::FILE), "a submission needs a name".to_owned());
        return Err(Error::Malformed { path, message });
    }
    let mut scored: Vec<Run> = runs.iter().filter(|r| is_scored(r)).cloned().collect();
    scored.sort_by(|a, b| a.record.unit.cmp(&b.record.unit));
    scored.dedup_by(|a, b| a.record.unit == b.record.unit);
    if scored.is_empty() {
        return Err(Error::NothingScored);
    }
    scored.iter().try_for_each(fit)?;
    if std::fs::symlink_metadata(out).is_ok() {
        return Err(Error::Exists { path: out.to_owned() });
    }
    let mut without_weights = Vec::new();
    let mut results = Vec::new();
    for run in &scored {
        let weights = weights_of(run, runs)?;
        without_weights.extend(weights.is_empty().then(|| named(run)));
        results.push(Entry::of(run, weights));
    }
    let submission = Submission {
        format: bundle::FORMAT,
        name: options.name.trim().to_owned(),
        authors: options.authors.clone(),
        url: options.url.clone(),
        license: options.license.clone(),
        description: options.description.clone(),
        facebench: options.facebench.clone(),
        synthetic: scored.iter().any(|r| r.record.synthetic),
        results,
    };
    let parent = out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = out.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let beside = parent.join(format!(".{name}.{}.part", std::process::id()));
    let written = write(&beside, &submission, &scored, options);
    let done = written.and_then(|()| std::fs::rename(&beside, out).map_err(|e| Error::io(out, e)));
    if let Err(error) = done {
        // what is half written helps nobody; the first error is the one to tell
        let _ = std::fs::remove_dir_all(&beside);
        return Err(error);
    }
    Ok(Packed { submission, without_weights })
}

fn is_scored(run: &Run) -> bool {
    run.record.kind == "score" && run.record.evaluation.is_some() && run.record.protocol.is_some()
}

fn named(run: &Run) -> String {
    format!("{} ({})", run.record.name, run.short())
}

/// Whether a run may be submitted at all.
fn fit(run: &Run) -> Result<()> {
    let unfit = |why: String, hint: Option<&str>| Error::Unfit {
        run: named(run),
        why,
        hint: hint.map(str::to_owned),
    };
    let findings = run.record.evaluation.iter().flat_map(|e| &e.findings);
    if let Some(stop) =
        findings.into_iter().find(|f| f.severity == Severity::Stop && f.code != "oracle-selection")
    {
        return Err(unfit(format!("an audit stopped it: {}", stop.message), None));
    }
    if !run.folder.join("scores.csv").is_file() {
        let hint = "the numbers of a bundle are recomputed from it; run the unit again";
        return Err(unfit(format!("{} is missing", run.folder.join("scores.csv").display()), Some(hint)));
    }
    Ok(())
}

/// Digests of the weights that the run's inputs left behind.
fn weights_of(run: &Run, all: &[Run]) -> Result<Vec<Weights>> {
    let mut weights = Vec::new();
    for input in all.iter().filter(|r| run.record.inputs.contains(&r.record.unit)) {
        let mut files: Vec<PathBuf> = std::fs::read_dir(&input.folder)
            .map_err(|e| Error::io(&input.folder, e))?
            .filter_map(|e| Some(e.ok()?.path()))
            .filter(|p| p.extension().is_some_and(|e| WEIGHTS.iter().any(|w| e == *w)))
            .collect();
        files.sort();
        for file in files {
            weights.push(Weights {
                unit: input.record.unit.clone(),
                file: file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                sha256: sums::of_file(&file)?,
            });
        }
    }
    Ok(weights)
}

fn write(to: &Path, submission: &Submission, runs: &[Run], options: &PackOptions) -> Result<()> {
    let make = |folder: &Path| std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e));
    let put = |path: &Path, bytes: &[u8]| std::fs::write(path, bytes).map_err(|e| Error::io(path, e));
    make(to)?;
    for run in runs {
        let folder = to.join(bundle::folder_of(&run.record.unit));
        make(&folder)?;
        for file in ["run.json", "scores.csv"] {
            let from = run.folder.join(file);
            std::fs::copy(&from, folder.join(file)).map_err(|e| Error::io(from, e))?;
        }
    }
    for protocol in foreign(runs, options)? {
        let folder = to.join("protocols");
        make(&folder)?;
        let name = format!("{}@{}.json", protocol.id, protocol.version);
        put(&folder.join(name), json(protocol).as_bytes())?;
    }
    put(&to.join(bundle::FILE), json(submission).as_bytes())?;
    put(&to.join("README.md"), card::card(submission, runs, &options.protocols)?.as_bytes())?;
    let list = sums::of_folder(to)?;
    put(&to.join(sums::FILE), sums::text(&list).as_bytes())?;
    match &options.key {
        Some(key) => sign::sign(to, key),
        None => Ok(()),
    }
}

/// The protocols of the runs that do not ship with the program.
fn foreign<'p>(runs: &[Run], options: &'p PackOptions) -> Result<Vec<&'p Protocol>> {
    let mut list: Vec<&Protocol> = Vec::new();
    for run in runs {
        let Some(stamp) = &run.record.protocol else { continue };
        let shipped = Protocol::builtin(&stamp.id).and_then(std::result::Result::ok);
        if shipped.is_some_and(|p| p.fingerprint() == stamp.fingerprint) {
            continue;
        }
        let found = options.protocols.iter().find(|p| p.fingerprint() == stamp.fingerprint);
        let protocol = found.ok_or_else(|| Error::Unfit {
            run: named(run),
            why: format!(
                "its protocol {}@{} with fingerprint {:.12} does not ship with this program",
                stamp.id, stamp.version, stamp.fingerprint
            ),
            hint: Some("give the protocol's file with --protocol".to_owned()),
        })?;
        if !list.iter().any(|p| p.fingerprint() == protocol.fingerprint()) {
            list.push(protocol);
        }
    }
    Ok(list)
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).expect("plain structs with text keys always serialise") + "\n"
}
