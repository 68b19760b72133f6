//! From a file to [`Rgb`]: PNG, JPEG, WebP, PGM and PPM, told apart by content and not by name.
//!
//! As Pillow's `convert("RGB")`: grey becomes three equal channels, alpha is dropped, 16-bit samples keep their high byte
//! (but for 16-bit grey, which Pillow clips at 255 so that nearly all of it is white: here it is cut like the others).
//! JPEG is libjpeg-turbo's decoding byte for byte (see `jpeg`). EXIF orientation and colour profiles are not applied, as in
//! Pillow. Sizes are read from the header and limited before anything is allocated.

use std::io::Cursor;
use std::path::Path;

use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader};

use super::Rgb;
use crate::Error;

/// What decodes here, for the provenance of a result: decoders differ by a level or two on JPEG.
pub const DECODER: &str =
    "mozjpeg 2.2.3 (libjpeg-turbo islow, fancy upsampling); image 0.25 (png, webp, pnm)";

/// Longest side accepted. Face crops are below 2,000; above this it is a wrong file or an attack.
pub const MAX_SIDE: usize = 20_000;

/// Most pixels accepted: 100 million are 300 MB decoded, already far beyond any face crop.
pub const MAX_PIXELS: usize = 100_000_000;

/// Largest file read into memory, in bytes.
const MAX_FILE: u64 = 512 << 20;

/// Endings that mark a file as an image for the readers, lower case.
const ENDINGS: [&str; 7] = ["png", "jpg", "jpeg", "jpe", "webp", "pgm", "ppm"];

/// Whether a file name ends like an image this crate decodes.
#[must_use]
pub fn is_image_name(name: &str) -> bool {
    ending(name).is_some_and(|e| ENDINGS.contains(&e.as_str()))
}

/// The part after the last dot, lower case.
pub(crate) fn ending(name: &str) -> Option<String> {
    name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()).map(|(_, e)| e.to_ascii_lowercase())
}

/// Reads and decodes the image at `path`: a file, or `<folder>/data.mdb/<key>` inside an LMDB.
///
/// # Errors
/// [`Error::Io`] where the file cannot be read, [`Error::Image`] where it is empty, truncated, of an
/// unsupported format or larger than [`MAX_SIDE`] or [`MAX_PIXELS`]. Both name the file.
pub fn decode(path: &Path) -> Result<Rgb, Error> {
    if let Some(bytes) = crate::readers::lmdb::read(path)? {
        return decode_bytes(&bytes, path);
    }
    let length = std::fs::metadata(path).map_err(Error::io("read", path))?.len();
    if length > MAX_FILE {
        return Err(Error::Image {
            path: path.to_path_buf(),
            what: format!("the file has {length} bytes, the limit is {MAX_FILE}"),
            hint: "this is not a face crop; remove it from the folder",
        });
    }
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    decode_bytes(&bytes, path)
}

/// Decodes an image held in memory; `path` is only named in errors.
///
/// # Errors
/// [`Error::Image`], as [`decode`].
pub fn decode_bytes(bytes: &[u8], path: &Path) -> Result<Rgb, Error> {
    let fail = |what: String, hint: &'static str| Error::Image { path: path.to_path_buf(), what, hint };
    if bytes.is_empty() {
        return Err(fail("the file is empty (0 bytes)".into(), "copy or extract the file again"));
    }
    let format = image::guess_format(bytes)
        .ok()
        .filter(|f| matches!(f, ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::WebP | ImageFormat::Pnm));
    let Some(format) = format else {
        return Err(fail(
            "the content is not PNG, JPEG, WebP, PGM or PPM".into(),
            "convert it, or remove it if it is no image; the name's ending does not matter",
        ));
    };
    if format == ImageFormat::Jpeg {
        if !jpeg_is_whole(bytes) {
            return Err(fail("the JPEG is truncated (no end-of-image marker)".into(), BROKEN));
        }
        return match super::jpeg::decode(bytes) {
            Ok((width, height, pixels)) => Ok(Rgb { width, height, pixels }),
            Err(what) if what.contains("limits") => Err(fail(what, "store face crops, not whole pictures")),
            Err(what) => Err(fail(format!("the JPEG is damaged or not supported ({what})"), BROKEN)),
        };
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.no_limits(); // ours are stricter and come first
    let decoder = reader.into_decoder().map_err(|e| image_error(path, format, &e))?;
    let (width, height) = decoder.dimensions();
    let (width, height) = (width as usize, height as usize);
    if width == 0 || height == 0 {
        return Err(fail(format!("the image has no pixels ({width}x{height})"), BROKEN));
    }
    if width > MAX_SIDE || height > MAX_SIDE || width * height > MAX_PIXELS {
        return Err(fail(
            format!(
                "the image is {width}x{height}, the limits are {MAX_SIDE} a side and {MAX_PIXELS} pixels"
            ),
            "store face crops, not whole pictures",
        ));
    }
    let image = DynamicImage::from_decoder(decoder).map_err(|e| image_error(path, format, &e))?;
    Ok(Rgb { width, height, pixels: to_rgb8(image) })
}

/// Three bytes a pixel. 16-bit samples keep their high byte, as in Pillow.
fn to_rgb8(image: DynamicImage) -> Vec<u8> {
    let high = |v: &u16| (v >> 8) as u8;
    match image {
        DynamicImage::ImageLuma16(i) => i.iter().flat_map(|v| [high(v); 3]).collect(),
        DynamicImage::ImageLumaA16(i) => i.as_raw().chunks_exact(2).flat_map(|p| [high(&p[0]); 3]).collect(),
        DynamicImage::ImageRgb16(i) => i.iter().map(high).collect(),
        DynamicImage::ImageRgba16(i) => {
            i.as_raw().chunks_exact(4).flat_map(|p| [high(&p[0]), high(&p[1]), high(&p[2])]).collect()
        }
        other => other.into_rgb8().into_raw(),
    }
}

const BROKEN: &str = "copy or extract the file again, or remove it";

fn image_error(path: &Path, format: ImageFormat, error: &ImageError) -> Error {
    let (what, hint) = match error {
        ImageError::IoError(e) => (format!("the {format:?} is truncated ({e})"), BROKEN),
        ImageError::Unsupported(e) => (format!("unsupported: {e}"), "convert it to 8-bit RGB PNG"),
        other => (format!("the {format:?} is damaged ({other})"), BROKEN),
    };
    Error::Image { path: path.to_path_buf(), what, hint }
}

/// Whether the file runs on to its end-of-image marker, with at least one scan before it.
///
/// Segments are walked by their lengths, since a thumbnail inside one has an end marker of its own; within the data
/// of a scan every `FF` is followed by `00` or a restart marker, so the next other marker ends it. Bytes after the
/// end are ignored, as everywhere.
fn jpeg_is_whole(bytes: &[u8]) -> bool {
    let mut at = 2; // past FF D8
    let mut scans = 0;
    while let Some(&[lead, marker]) = bytes.get(at..at + 2) {
        match (lead, marker) {
            (0xFF, 0xD9) => return scans > 0,
            (0xFF, 0xFF) => at += 1,               // fill byte
            (0xFF, 0x01 | 0xD0..=0xD8) => at += 2, // markers without a length
            (0xFF, _) => {
                let Some(&[high, low]) = bytes.get(at + 2..at + 4) else { return false };
                at += 2 + usize::from(u16::from_be_bytes([high, low]));
                if marker == 0xDA {
                    scans += 1;
                    let rest = bytes.get(at..).unwrap_or_default();
                    let end = rest.windows(2).position(|p| p[0] == 0xFF && !matches!(p[1], 0 | 0xD0..=0xD7));
                    let Some(end) = end else { return false };
                    at += end;
                }
            }
            _ => return false,
        }
    }
    false
}
