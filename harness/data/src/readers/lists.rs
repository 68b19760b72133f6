//! Text and JSON lists as people have them: with or without a byte-order mark, any line ending, either slash.

use std::fmt;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer as _, MapAccess, Visitor};

use super::walk;
use crate::Error;

/// A whole list file as text.
pub(super) fn text(path: &Path, what: &str) -> Result<String, Error> {
    if !path.is_file() {
        return Err(walk::missing(path, what));
    }
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| Error::layout(path, "the list is not UTF-8 text", "save it as plain UTF-8 text"))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// Its lines that say something, numbered from 1, with forward slashes and without a leading `./`.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, String)> + '_ {
    text.lines().enumerate().filter_map(|(i, line)| {
        let line = slashes(line.trim());
        (!line.is_empty()).then_some((i + 1, line))
    })
}

/// Forward slashes, no leading `./`.
pub(super) fn slashes(path: &str) -> String {
    let path = path.replace('\\', "/");
    path.trim_start_matches("./").to_owned()
}

/// A small JSON file.
pub(super) fn json<T: DeserializeOwned>(path: &Path, what: &str) -> Result<T, Error> {
    let text = text(path, what)?;
    serde_json::from_str(&text).map_err(|e| broken(path, &e))
}

/// Goes through a JSON object entry by entry: these files have up to half a million of them.
pub(super) fn json_entries<V: for<'de> Deserialize<'de>>(
    path: &Path,
    what: &str,
    mut each: impl FnMut(String, V) -> Result<(), Error>,
) -> Result<(), Error> {
    struct Entries<'f, V> {
        each: &'f mut dyn FnMut(String, V) -> Result<(), Error>,
        failed: &'f mut Option<Error>,
    }
    impl<'de, V: Deserialize<'de>> Visitor<'de> for Entries<'_, V> {
        type Value = ();
        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("an object with one entry per file")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            while let Some((key, value)) = map.next_entry()? {
                if let Err(e) = (self.each)(key, value) {
                    *self.failed = Some(e);
                    return Err(serde::de::Error::custom("stopped"));
                }
            }
            Ok(())
        }
    }
    if !path.is_file() {
        return Err(walk::missing(path, what));
    }
    let mut file = BufReader::new(File::open(path).map_err(Error::io("read", path))?);
    if file.fill_buf().map_err(Error::io("read", path))?.starts_with("\u{feff}".as_bytes()) {
        file.consume(3);
    }
    let mut failed = None;
    let entries = Entries { each: &mut each, failed: &mut failed };
    let mut decoder = serde_json::Deserializer::from_reader(file);
    let read = decoder.deserialize_map(entries).and_then(|()| decoder.end());
    match (failed, read) {
        (Some(error), _) => Err(error),
        (None, Err(e)) => Err(broken(path, &e)),
        (None, Ok(())) => Ok(()),
    }
}

/// The error for a file that is no JSON, or other JSON.
pub(super) fn broken(path: &Path, error: &serde_json::Error) -> Error {
    Error::layout(
        path,
        format!("not the JSON of this layout: {error}"),
        "download or generate the file again",
    )
}
