//! Reading zip archives: PyTorch checkpoints and NumPy's `.npz`.
//!
//! Only what those writers produce: stored or deflated members, zip64 sizes, no encryption, one
//! volume. Every offset is checked against the file before use.
use std::borrow::Cow;

/// One file in the archive.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) name: String,
    method: u16,
    start: usize,
    stored: usize,
    size: usize,
}

/// The table of contents of an archive.
pub(super) struct Archive<'a> {
    bytes: &'a [u8],
    pub(super) members: Vec<Member>,
}

/// A member may be at most this many times larger than its compressed form.
const MAX_RATIO: usize = 1100; // deflate cannot exceed 1032

impl<'a> Archive<'a> {
    /// Reads the central directory.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, String> {
        const END: &[u8] = b"PK\x05\x06";
        let from = bytes.len().saturating_sub(22 + 65_535);
        let end = (from..bytes.len().saturating_sub(21)).rev().find(|&i| bytes[i..].starts_with(END));
        let end = end.ok_or("no zip directory at the end: the file is cut off or not a zip archive")?;
        let mut count = word(bytes, end + 10, 2)?;
        let mut at = word(bytes, end + 16, 4)?;
        if count == 0xffff || at == 0xffff_ffff {
            let locator = end.checked_sub(20).filter(|&i| bytes[i..].starts_with(b"PK\x06\x07"));
            let record = word(bytes, locator.ok_or("the zip64 locator is missing")? + 8, 8)?;
            count = word(bytes, record.checked_add(32).ok_or("bad zip64 offset")?, 8)?;
            at = word(bytes, record.checked_add(48).ok_or("bad zip64 offset")?, 8)?;
        }
        let mut members = Vec::new();
        for _ in 0..count {
            let (member, next) = member(bytes, at)?;
            members.push(member);
            at = next;
        }
        Ok(Self { bytes, members })
    }

    /// The member called `name`, if any.
    pub(super) fn find(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|m| m.name == name)
    }

    /// The contents of a member.
    pub(super) fn read(&self, member: &Member) -> Result<Cow<'a, [u8]>, String> {
        let bad = || format!("zip member {} lies outside the file", member.name);
        let data = member.start.checked_add(member.stored).and_then(|end| self.bytes.get(member.start..end));
        let data = data.ok_or_else(bad)?;
        match member.method {
            0 if member.stored == member.size => Ok(Cow::Borrowed(data)),
            8 if member.size <= data.len().saturating_mul(MAX_RATIO) => {
                let out = miniz_oxide::inflate::decompress_to_vec_with_limit(data, member.size)
                    .map_err(|e| format!("zip member {}: {e}", member.name))?;
                if out.len() == member.size { Ok(Cow::Owned(out)) } else { Err(bad()) }
            }
            method => {
                Err(format!("zip member {}: method {method} or its sizes are not supported", member.name))
            }
        }
    }
}

/// Reads one directory entry; returns it and the position of the next.
fn member(bytes: &[u8], at: usize) -> Result<(Member, usize), String> {
    if bytes.get(at..at.saturating_add(4)) != Some(b"PK\x01\x02") {
        return Err("the zip directory is damaged".to_owned());
    }
    let (name, extra, comment) =
        (word(bytes, at + 28, 2)?, word(bytes, at + 30, 2)?, word(bytes, at + 32, 2)?);
    let text = bytes.get(at + 46..at + 46 + name).ok_or("the zip directory is damaged")?;
    let text = String::from_utf8(text.to_vec()).map_err(|_| "a zip member name is not UTF-8")?;
    let mut size = word(bytes, at + 24, 4)?;
    let mut stored = word(bytes, at + 20, 4)?;
    let mut header = word(bytes, at + 42, 4)?;
    // zip64: the fields that overflowed, in this order
    let (mut p, end) = (at + 46 + name, at + 46 + name + extra);
    while p + 4 <= end {
        let (id, len) = (word(bytes, p, 2)?, word(bytes, p + 2, 2)?);
        if id == 1 {
            let mut q = p + 4;
            for field in [&mut size, &mut stored, &mut header] {
                if *field == 0xffff_ffff {
                    *field = word(bytes, q, 8)?;
                    q += 8;
                }
            }
        }
        p += 4 + len;
    }
    if word(bytes, at + 8, 2)? & 1 != 0 {
        return Err(format!("zip member {text} is encrypted"));
    }
    let local = header.checked_add(26).ok_or("the zip directory is damaged")?;
    let start = header.saturating_add(30 + word(bytes, local, 2)? + word(bytes, local + 2, 2)?);
    let member = Member { name: text, method: word(bytes, at + 10, 2)? as u16, start, stored, size };
    Ok((member, end + comment))
}

/// A little-endian number of `n` bytes.
fn word(bytes: &[u8], at: usize, n: usize) -> Result<usize, String> {
    let part = at.checked_add(n).and_then(|end| bytes.get(at..end)).ok_or("the zip directory is cut off")?;
    let value = part.iter().rev().fold(0u64, |v, &b| v << 8 | u64::from(b));
    usize::try_from(value).map_err(|_| "a zip offset exceeds memory".to_owned())
}
