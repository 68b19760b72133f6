//! PNG out: deterministic bytes, written to a temporary name and renamed.
//!
//! Text chunks (`tEXt`) ride along so that a synthetic face says so by itself, even when it is copied
//! out of its folder. The encoder of the `image` crate writes none, so they are spliced in after the
//! header here (PNG 1.2 §4.2.3.1: keyword, zero byte, Latin-1 text).

use std::path::Path;

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

use super::Rgb;
use crate::Error;

/// Bytes before the first chunk after the header: signature 8, length 4, `IHDR` 4, data 13, CRC 4.
const AFTER_HEADER: usize = 33;

/// Writes `image` to `path` as PNG. The parent folder must exist.
///
/// # Errors
/// [`Error::Io`] with the path; nothing half-written is left under the final name.
pub fn encode_png(path: &Path, image: &Rgb) -> Result<(), Error> {
    encode_png_with_text(path, image, &[])
}

/// As [`encode_png`], with `tEXt` chunks of (keyword, text), ASCII only.
///
/// # Errors
/// [`Error::Io`] with the path; [`Error::Request`] for a keyword or text PNG cannot hold.
pub fn encode_png_with_text(path: &Path, image: &Rgb, text: &[(&str, &str)]) -> Result<(), Error> {
    let bytes = encode_png_bytes(image, text)?;
    write_atomic(path, &bytes)
}

/// The PNG file as bytes.
///
/// # Errors
/// [`Error::Request`] where the image has no pixels or does not match its size, or a text is not ASCII.
pub fn encode_png_bytes(image: &Rgb, text: &[(&str, &str)]) -> Result<Vec<u8>, Error> {
    let refuse = |what: String| Error::Request { what, hint: "" };
    let (width, height) = (image.width, image.height);
    if width == 0 || height == 0 || image.pixels.len() != width * height * 3 {
        return Err(refuse(format!(
            "cannot encode an image of {width}x{height} with {} bytes",
            image.pixels.len()
        )));
    }
    let side = |n: usize| u32::try_from(n).map_err(|_| refuse(format!("side {n} is too long for PNG")));
    let mut png = Vec::new();
    PngEncoder::new_with_quality(&mut png, CompressionType::Fast, FilterType::Adaptive)
        .write_image(&image.pixels, side(width)?, side(height)?, ExtendedColorType::Rgb8)
        .map_err(|e| refuse(format!("cannot encode PNG: {e}")))?;
    let mut chunks = Vec::new();
    for (keyword, value) in text {
        let fits = (1..=79).contains(&keyword.len()) && !keyword.contains('\0') && !value.contains('\0');
        if !(fits && keyword.is_ascii() && value.is_ascii()) {
            return Err(refuse(format!("`{keyword}` cannot be a PNG text chunk (ASCII, 1 to 79 bytes)")));
        }
        let mut body = b"tEXt".to_vec();
        body.extend_from_slice(keyword.as_bytes());
        body.push(0);
        body.extend_from_slice(value.as_bytes());
        let length = u32::try_from(body.len() - 4).map_err(|_| refuse("PNG text is too long".into()))?;
        chunks.extend_from_slice(&length.to_be_bytes());
        chunks.extend_from_slice(&body);
        chunks.extend_from_slice(&crc32(&body).to_be_bytes());
    }
    png.splice(AFTER_HEADER..AFTER_HEADER, chunks);
    Ok(png)
}

/// The `tEXt` chunks of a PNG held in memory, in file order; empty for other formats and damaged files.
#[must_use]
pub fn png_text(bytes: &[u8]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    if !bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        return found;
    }
    let mut at = 8;
    while let Some(head) = bytes.get(at..at + 8) {
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let Some(body) = bytes.get(at + 8..).and_then(|rest| rest.get(..length)) else { break };
        if &head[4..8] == b"tEXt"
            && let Some(zero) = body.iter().position(|b| *b == 0)
        {
            let latin1 = |part: &[u8]| part.iter().map(|b| char::from(*b)).collect::<String>();
            found.push((latin1(&body[..zero]), latin1(&body[zero + 1..])));
        }
        at += 12 + length;
    }
    found
}

/// Writes to `<path>.part`, then renames: a reader sees the whole file or none.
pub(crate) fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".part");
    let part = path.with_file_name(name);
    let done = std::fs::write(&part, bytes).and_then(|()| std::fs::rename(&part, path));
    if done.is_err() {
        drop(std::fs::remove_file(&part));
    }
    done.map_err(Error::io("write", path))
}

/// CRC-32 of the PNG specification (polynomial EDB88320), bit by bit: the chunks are a few bytes long.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| if c & 1 == 1 { (c >> 1) ^ 0xEDB8_8320 } else { c >> 1 })
    })
}
