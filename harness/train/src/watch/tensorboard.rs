//! TensorBoard event files: scalars and pictures, written without TensorFlow.
//!
//! A file is a sequence of records (length, its checksum, bytes, their checksum; CRC-32C, masked), each holding one
//! `Event` message in protocol-buffer encoding. Fields used (tensorflow/core/util/event.proto, framework/summary.proto):
//! Event {wall_time 1 double, step 2 int64, file_version 3, summary 5}, Summary {value 1},
//! Value {tag 1, simple_value 2 float, image 4}, Image {height 1, width 2, colorspace 3, encoded_image_string 4}.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use facebench_data::shard::crc32c;

use crate::error::{Result, at};

/// Name of the file; TensorBoard looks for `tfevents` in it.
pub(crate) const EVENTS: &str = "events.out.tfevents.facebench";

/// An event file that is being written.
pub(crate) struct Events {
    path: PathBuf,
    file: File,
}

fn varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push((n & 0x7F) as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// A field of bytes: key with wire type 2, length, content.
fn field(out: &mut Vec<u8>, number: u8, content: &[u8]) {
    out.push(number << 3 | 2);
    varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

fn masked(bytes: &[u8]) -> [u8; 4] {
    crc32c(bytes).rotate_right(15).wrapping_add(0xA282_EAD8).to_le_bytes()
}

impl Events {
    /// Starts a new file in `folder`.
    pub(crate) fn create(folder: &Path, wall: f64) -> Result<Self> {
        let path = folder.join(EVENTS);
        let file = File::create(&path).map_err(at(&path))?;
        let mut events = Self { path, file };
        let mut head = Vec::new();
        field(&mut head, 3, b"brain.Event:2");
        events.event(wall, 0, &head)?;
        Ok(events)
    }

    fn event(&mut self, wall: f64, step: u64, rest: &[u8]) -> Result<()> {
        let mut event = vec![1 << 3 | 1];
        event.extend_from_slice(&wall.to_le_bytes());
        event.push(2 << 3);
        varint(&mut event, step);
        event.extend_from_slice(rest);
        let length = (event.len() as u64).to_le_bytes();
        let mut record = length.to_vec();
        record.extend_from_slice(&masked(&length));
        record.extend_from_slice(&event);
        record.extend_from_slice(&masked(&event));
        self.file.write_all(&record).map_err(at(&self.path))
    }

    /// Several values of one step.
    pub(crate) fn scalars(&mut self, wall: f64, step: u64, values: &[(String, f64)]) -> Result<()> {
        let mut summary = Vec::new();
        for (tag, value) in values {
            let mut one = Vec::new();
            field(&mut one, 1, tag.as_bytes());
            one.push(2 << 3 | 5);
            one.extend_from_slice(&(*value as f32).to_le_bytes());
            field(&mut summary, 1, &one);
        }
        self.summary(wall, step, &summary)
    }

    /// A picture, as PNG of that size.
    pub(crate) fn image(
        &mut self,
        wall: f64,
        step: u64,
        tag: &str,
        size: (usize, usize),
        png: &[u8],
    ) -> Result<()> {
        let mut image = vec![1 << 3];
        varint(&mut image, size.1 as u64);
        image.push(2 << 3);
        varint(&mut image, size.0 as u64);
        image.extend_from_slice(&[3 << 3, 3]); // RGB
        field(&mut image, 4, png);
        let (mut one, mut summary) = (Vec::new(), Vec::new());
        field(&mut one, 1, tag.as_bytes());
        field(&mut one, 4, &image);
        field(&mut summary, 1, &one);
        self.summary(wall, step, &summary)
    }

    fn summary(&mut self, wall: f64, step: u64, summary: &[u8]) -> Result<()> {
        let mut rest = Vec::new();
        field(&mut rest, 5, summary);
        self.event(wall, step, &rest)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A field's value: a number (varint, fixed) or bytes.
    enum Value<'a> {
        Number(u64),
        Bytes(&'a [u8]),
    }

    fn number(b: &mut &[u8]) -> u64 {
        let (mut n, mut shift) = (0, 0);
        loop {
            let (first, rest) = b.split_first().unwrap();
            *b = rest;
            n |= u64::from(first & 0x7F) << shift;
            shift += 7;
            if first & 0x80 == 0 {
                return n;
            }
        }
    }

    fn fields(mut b: &[u8]) -> Vec<(u64, Value<'_>)> {
        let mut out = Vec::new();
        while !b.is_empty() {
            let key = number(&mut b);
            let value = match key & 7 {
                0 => Value::Number(number(&mut b)),
                kind => {
                    let length = match kind {
                        1 => 8,
                        5 => 4,
                        _ => number(&mut b) as usize,
                    };
                    let (bytes, rest) = b.split_at(length);
                    b = rest;
                    Value::Bytes(bytes)
                }
            };
            out.push((key >> 3, value));
        }
        out
    }

    /// (step, tag, value) of every scalar; pictures count as the size of their PNG. Checks every checksum.
    pub(crate) fn read(path: &Path) -> Vec<(u64, String, f32)> {
        let bytes = std::fs::read(path).unwrap();
        let (mut at, mut out) = (0, Vec::new());
        while at < bytes.len() {
            let length = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
            assert_eq!(masked(&bytes[at..at + 8]), bytes[at + 8..at + 12]);
            let event = &bytes[at + 12..at + 12 + length];
            assert_eq!(masked(event), bytes[at + 12 + length..at + 16 + length]);
            at += 16 + length;
            let mut step = 0;
            for (number, value) in fields(event) {
                match (number, value) {
                    (2, Value::Number(n)) => step = n,
                    (3, Value::Bytes(b)) => assert_eq!(b, b"brain.Event:2"),
                    (5, Value::Bytes(summary)) => {
                        for (_, value) in fields(summary) {
                            let Value::Bytes(one) = value else { panic!("a value is a message") };
                            let (mut tag, mut found) = (String::new(), 0.0);
                            for (number, value) in fields(one) {
                                match (number, value) {
                                    (1, Value::Bytes(b)) => tag = String::from_utf8(b.to_vec()).unwrap(),
                                    (2, Value::Bytes(b)) => found = f32::from_le_bytes(b.try_into().unwrap()),
                                    (4, Value::Bytes(b)) => found = b.len() as f32,
                                    _ => {}
                                }
                            }
                            out.push((step, tag, found));
                        }
                    }
                    _ => {}
                }
            }
        }
        out
    }

    #[test]
    fn what_is_written_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut events = Events::create(dir.path(), 1.5).unwrap();
        events.scalars(2.0, 300, &[("train/loss".into(), 0.25), ("train/lr".into(), 1e-3)]).unwrap();
        events.image(3.0, 301, "picture", (7, 5), &[9; 200]).unwrap();
        let got = read(&dir.path().join(EVENTS));
        assert_eq!(got[..2], [(300, "train/loss".into(), 0.25), (300, "train/lr".into(), 1e-3)]);
        assert_eq!((got[2].0, got[2].1.as_str()), (301, "picture"));
    }
}
