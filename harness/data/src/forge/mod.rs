//! Real photographs in, a detection data set out: self-blends and swaps, people kept apart.
//!
//! `FACES` is one folder per person, grey or colour. `OUT` gets `{train,val,test}/{real,fake}` with files
//! `{method}__{subject}__{stem}_frame_{n}.png`, a list of samples, the sources of every picture, and
//! `pretrain/images` (training people only, no parsing maps). Reals pass through the same processing, scaling and
//! compression as fakes, so that the blend is the only cue. This measures whether a set-up learns to see blends in
//! your kind of pictures; it says nothing about other forgeries.
//!
//! Deterministic: each picture has its own random stream, keyed by its name. `OUT` appears only when complete.

mod blend;
mod check;
mod error;
mod look;
mod people;
pub mod reader;
mod record;
mod spec;
#[cfg(test)]
mod tests;
mod write;

use std::path::Path;

pub use error::Error;
pub use record::{RECORD, Record, RecordPerson, RecordUnreadable, SOURCES};
pub use spec::{FORGER_VERSION, ForgeSpec};

use crate::synth::partial::{Partial, count_files, is_free};

/// What [`forge`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForgeSummary {
    /// People in train, val and test.
    pub people: [usize; 3],
    /// Real pictures in the folder.
    pub real: usize,
    /// Fake pictures in the folder.
    pub fake: usize,
    /// Pictures for pre-training.
    pub pretrain: usize,
    /// Photographs left out because they cannot be read.
    pub unreadable: Vec<RecordUnreadable>,
    /// Whether a complete folder of the same spec and photographs was found and left alone.
    pub reused: bool,
}

/// Makes a detection data set in `out` from the photographs in `faces`, in parallel on the current rayon pool.
///
/// `progress(done, total)` is called after each photograph, from any thread.
///
/// # Errors
/// A spec that makes no data set, photographs without people or too few people, an unreadable photograph (unless
/// `skip_unreadable`), another folder at `out`, or a file that cannot be written.
pub fn forge(
    faces: &Path,
    out: &Path,
    spec: &ForgeSpec,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<ForgeSummary, Error> {
    spec.check()?;
    let people = people::find(faces, spec)?;
    let photographs = people::fingerprint(faces, &people)?;
    if let Some(record) = existing(out, spec, &photographs)? {
        return Ok(summary(&record, true));
    }
    refuse_nested(faces, out)?;
    let partial = Partial::begin(out)?;
    let record = write::write_all(&partial.root, faces, people, spec, photographs, progress)
        .inspect_err(|_| partial.discard())?;
    partial.publish(out)?;
    Ok(summary(&record, false))
}

/// The record of a complete folder of the same spec and photographs; `None` where `out` is free.
fn existing(out: &Path, spec: &ForgeSpec, photographs: &str) -> Result<Option<Record>, Error> {
    if is_free(out)? {
        return Ok(None);
    }
    let other = |what: &str| Err(Error::Other { out: out.into(), what: what.into() });
    let path = out.join(RECORD);
    let Ok(text) = std::fs::read_to_string(&path) else {
        return other("it holds no record of a forged data set");
    };
    let Ok(record) = serde_json::from_str::<Record>(&text) else { return other("its record cannot be read") };
    if record.version != FORGER_VERSION {
        return other("it was made by another version");
    }
    if record.spec != *spec {
        return other("it was made with another spec");
    }
    if record.photographs != photographs {
        return other("it was made from other photographs");
    }
    let found = count_files(out)?;
    if found != record.files {
        return other(&format!("its record says {} files, there are {found}", record.files));
    }
    Ok(Some(record))
}

fn refuse_nested(faces: &Path, out: &Path) -> Result<(), Error> {
    let whole = |p: &Path| std::path::absolute(p).unwrap_or_else(|_| p.to_path_buf());
    let (a, b) = (whole(faces), whole(out));
    if a.starts_with(&b) || b.starts_with(&a) {
        return Err(Error::Nested { out: out.into(), faces: faces.into() });
    }
    Ok(())
}

fn summary(record: &Record, reused: bool) -> ForgeSummary {
    use facebench_protocols::Split;
    let count = |s: Split| record.people.iter().filter(|p| p.split == s).count();
    let photos: usize = record.people.iter().map(|p| p.photographs).sum();
    let training = record.people.iter().filter(|p| p.split == Split::Train).map(|p| p.photographs).sum();
    ForgeSummary {
        people: [count(Split::Train), count(Split::Val), count(Split::Test)],
        real: photos * record.spec.reals,
        fake: photos * (record.spec.self_blends + record.spec.swaps),
        pretrain: training,
        unreadable: record.unreadable.clone(),
        reused,
    }
}
