//! The official layouts, each in miniature with names and lists as published, and each broken in the ways they break.
//!
//! A case is the files of a root: pictures by name, lists with their text. Broken cases change one thing and expect an
//! error that names the file and the fix.

mod deepfakebench;
mod deepfakes;
mod ffpp;
mod spoofing;
mod tables;

use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::testing::{text_file, tiny_png};

/// A root: `(path, text)`; pictures and films need no text.
type Files = Vec<(String, String)>;

fn file(path: &str, text: &str) -> (String, String) {
    (path.to_owned(), text.to_owned())
}

fn pictures(paths: &[&str]) -> Files {
    paths.iter().map(|p| file(p, "")).collect()
}

fn build(files: &Files) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        match path.extension().and_then(|e| e.to_str()) {
            Some("png" | "jpg") if text.is_empty() => tiny_png(&path),
            _ => text_file(&path, text),
        }
    }
    root
}

/// Every sample as `method/video/frame label split [people]`.
fn found(root: &Path, id: &str) -> Result<Vec<String>, Error> {
    let source = Source::find(root, id, None, None)?;
    let mut samples = Vec::new();
    source.each(None, &mut |clip| {
        samples.extend(clip.samples(id));
        Ok(())
    })?;
    samples.sort_by(Sample::cmp_id);
    let line = |s: &Sample| {
        let (m, v, f) = (&s.method, &s.video, s.frame);
        format!("{m}/{v}/{f} {} {} [{}]", s.label, s.split, s.subjects.join(" "))
    };
    Ok(samples.iter().map(line).collect())
}

fn good(id: &str, files: &Files, expected: &[&str]) {
    let root = build(files);
    assert_eq!(found(root.path(), id).unwrap_or_else(|e| panic!("{id}: {e}")), expected, "{id}");
}

/// One thing is changed: `+path` with its text is added or replaced, `-path` is removed.
fn bad(id: &str, files: &Files, change: &str, text: &str, expected: &[&str]) {
    let mut files = files.clone();
    match change.split_at(1) {
        ("-", path) => {
            let before = files.len();
            files.retain(|(p, _)| !p.starts_with(path));
            assert!(files.len() < before, "{path} is not there to be removed");
        }
        (_, path) => {
            files.retain(|(p, _)| p != path);
            files.push(file(path, text));
        }
    }
    let root = build(&files);
    let error = match load(root.path(), id) {
        Err(error) => error.to_string(),
        Ok(manifest) => panic!("{id}, {change}: read as {} samples", manifest.samples.len()),
    };
    for part in expected.iter().chain(&["\nhint: "]) {
        assert!(error.contains(part), "{id}, {change}: lacks {part:?}:\n{error}");
    }
}
