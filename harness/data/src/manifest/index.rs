//! Writing a manifest, video by video.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use facebench_protocols::csv;
use rayon::prelude::*;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::tally::{Counts, Tally};
use crate::Error;
use crate::readers::{Clip, FRAMES_HINT, Marks, Media, Source, lmdb};

/// The columns. The first nine are those of `facebench_protocols::Manifest`, which reads such a file; `kind` is
/// `image` or `video`, `bytes` and `sha256` are of the file and may be empty.
pub const COLUMNS: [&str; 13] = [
    "dataset",
    "method",
    "video",
    "frame",
    "label",
    "split",
    "subjects",
    "path",
    "synthetic",
    "compression",
    "kind",
    "bytes",
    "sha256",
];

/// What was written.
#[derive(Clone, Debug, Serialize)]
pub struct Indexed {
    /// Lines without the head.
    pub samples: usize,
    /// Videos.
    pub videos: usize,
    /// Videos of which only the film is there.
    pub films: usize,
    /// Bytes of all files.
    pub bytes: u64,
    /// Whether the pictures are synthetic.
    pub synthetic: bool,
    /// Layout that was found.
    pub layout: String,
    /// Folder or file that was read.
    pub place: PathBuf,
    /// What to do about films; empty where there are none.
    pub hint: String,
    #[serde(skip)]
    /// Counts by split, label and method.
    pub counts: Counts,
}

/// Writes the manifest of `source` to `out`. Paths are relative to `folder` (where the list will lie) if they are below
/// it, else absolute. With `hash`, every file is read for its SHA-256.
///
/// # Errors
/// Whatever does not follow the layout, an empty file, a video twice or in two splits, and what the system refuses.
pub fn index(
    source: &Source,
    out: &mut dyn Write,
    folder: Option<&Path>,
    hash: bool,
) -> Result<Indexed, Error> {
    let mut out = BufWriter::with_capacity(1 << 20, out);
    let folder = folder.map(std::path::absolute).transpose().map_err(Error::io("read", &source.place))?;
    let mut line = String::new();
    csv::push_record(&mut line, COLUMNS);
    let written = Error::io("write", Path::new("the manifest"));
    out.write_all(line.as_bytes()).map_err(written)?;
    let (mut tally, mut marks) = (Tally::default(), Marks::new(source.root()));
    let (mut bytes, mut synthetic) = (0, false);
    let compression = source.info().and_then(|i| i.compression.clone()).unwrap_or_default();
    source.each(None, &mut |clip| {
        tally.add(&source.dataset, &clip)?;
        let (label, split, people) =
            (clip.label.to_string(), clip.split.to_string(), clip.subjects.join(";"));
        line.clear();
        let files = sizes(&clip, hash)?;
        for File { frame, path, size, sha256 } in &files {
            let marked = marks.see(path);
            synthetic |= marked;
            bytes += size.unwrap_or(0);
            let path = shown(path, folder.as_deref())?;
            let cells: [&str; 13] = [
                &source.dataset,
                &clip.method,
                &clip.video,
                &frame.to_string(),
                &label,
                &split,
                &people,
                &path,
                if marked { "1" } else { "0" },
                &compression,
                if matches!(clip.media, Media::Film(_)) { "video" } else { "image" },
                &size.map(|n| n.to_string()).unwrap_or_default(),
                sha256,
            ];
            csv::push_record(&mut line, cells);
        }
        out.write_all(line.as_bytes()).map_err(Error::io("write", Path::new("the manifest")))
    })?;
    out.flush().map_err(Error::io("write", Path::new("the manifest")))?;
    let total = tally.total();
    if total.videos == 0 {
        return Err(Error::Empty { path: source.place.clone() });
    }
    Ok(Indexed {
        samples: total.frames + total.films,
        videos: total.videos,
        films: total.films,
        bytes,
        synthetic,
        layout: source.layout.clone(),
        place: source.place.clone(),
        hint: if total.films > 0 { FRAMES_HINT.to_owned() } else { String::new() },
        counts: tally.counts,
    })
}

struct File<'c> {
    frame: u32,
    path: &'c Path,
    size: Option<u64>,
    sha256: String,
}

/// Sizes of a clip's files (unknown inside a database), and their digests if asked for.
fn sizes(clip: &Clip, hash: bool) -> Result<Vec<File<'_>>, Error> {
    let files: Vec<(u32, &Path)> = match &clip.media {
        Media::Frames(files) => files.iter().map(|(n, path)| (*n, path.as_path())).collect(),
        Media::Film(file) => vec![(0, file)],
    };
    let one = |(frame, path): (u32, &'_ Path)| -> Result<(u32, Option<u64>, String), Error> {
        let size = match std::fs::metadata(path) {
            Ok(meta) => Some(meta.len()),
            Err(_) if lmdb::split(path).is_some() => None,
            Err(e) => return Err(Error::io("read", path)(e)),
        };
        if size == Some(0) {
            return Err(empty(path));
        }
        Ok((frame, size, if hash { digest(path)? } else { String::new() }))
    };
    let measured: Vec<_> = match hash {
        true => files.par_iter().map(|f| one(*f)).collect::<Result<_, _>>()?,
        false => files.iter().map(|f| one(*f)).collect::<Result<_, _>>()?,
    };
    Ok(files
        .iter()
        .zip(measured)
        .map(|((_, path), (frame, size, sha256))| File { frame, path, size, sha256 })
        .collect())
}

/// The error for a file of no bytes.
pub(super) fn empty(path: &Path) -> Error {
    let (what, hint) = ("the file is empty (0 bytes)".into(), "copy or extract the file again, or remove it");
    Error::Image { path: path.to_path_buf(), what, hint }
}

/// SHA-256 of a file or of a database's entry, in hex.
pub(crate) fn digest(path: &Path) -> Result<String, Error> {
    let hex = |hash: Sha256| hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
    let mut hash = Sha256::new();
    if let Some(bytes) = lmdb::read(path)? {
        hash.update(&bytes);
        return Ok(hex(hash));
    }
    let mut file = std::fs::File::open(path).map_err(Error::io("read", path))?;
    let mut block = vec![0; 64 << 10];
    loop {
        match io::Read::read(&mut file, &mut block).map_err(Error::io("read", path))? {
            0 => return Ok(hex(hash)),
            n => hash.update(&block[..n]),
        }
    }
}

/// A path as the list says it.
fn shown(path: &Path, folder: Option<&Path>) -> Result<String, Error> {
    let whole = std::path::absolute(path).map_err(Error::io("read", path))?;
    let told = folder.and_then(|f| whole.strip_prefix(f).ok()).unwrap_or(&whole);
    match told.to_str() {
        Some(text) => Ok(text.to_owned()),
        None => Err(Error::layout(path, "the name is not UTF-8", "rename it; names become sample ids")),
    }
}
