//! Image transforms: resizing, crops, normalisation, augmentations.
//!
//! Byte results are compared with the stored arrays, element by element, so that a deviation has a size and a place.

use facebench_data::image::{Filter, Rgb, resize};
use facebench_data::transform::{Normalise, to_square};
use facebench_protocols::TestTransform;
use serde_json::Value;

use crate::Context;
use crate::pictures::Pictures;
use crate::rules::{flat, limit_of, list, sha256, size, sizes, text};
use crate::sheet::{Case, Limit, Must as _, Sheet};

/// Checks each list the file holds.
pub(crate) fn run(file: &Value, context: &Context<'_>, sheet: &mut Sheet) -> Result<(), String> {
    let pictures = Pictures::read(&file["about"]["image_rules"])?;
    for (key, cases) in file.as_object().must("object")? {
        match key.as_str() {
            "about" => {}
            "pil_resize" => {
                for at in list(file, key)? {
                    sheet.case(name(at), |case| resized(case, at, &pictures, context));
                }
            }
            "crop_then_bilinear" => {
                for at in list(file, key)? {
                    sheet.case(name(at), |case| cropped(case, at, &pictures, context));
                }
            }
            "normalise" => sheet.case(key, |case| normalised(case, file, cases, &pictures)),
            other => super::varied::run(file, other, &pictures, context, sheet)?,
        }
    }
    Ok(())
}

fn name(at: &Value) -> String {
    format!(
        "{} {} {}x{}",
        at["op"].as_str().unwrap_or("?"),
        at["rule"].as_str().unwrap_or("?"),
        at["in_w"],
        at["in_h"]
    )
}

/// The `.npy` array of a case: its shape and bytes, checked against the digest.
pub(crate) struct Array {
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Vec<u8>,
}

pub(crate) fn array(
    case: &mut Case,
    at: &Value,
    context: &Context<'_>,
    dtype: &str,
) -> Result<Array, String> {
    let bytes = std::fs::read(context.folder.join(text(at, "file")?)).must("reading")?;
    // numpy.lib.format: magic, version, length of a header that is a Python dictionary, data
    let (start, len) = match bytes.get(..12).must("array header")? {
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _, a, b, ..] => {
            (10, usize::from(u16::from_le_bytes([*a, *b])))
        }
        [0x93, b'N', b'U', b'M', b'P', b'Y', 2, _, a, b, c, d] => {
            (12, u32::from_le_bytes([*a, *b, *c, *d]) as usize)
        }
        _ => return Err("not a .npy array of version 1 or 2".into()),
    };
    let header = String::from_utf8_lossy(bytes.get(start..start + len).must("array header")?).into_owned();
    if !header.contains(dtype) || header.contains("'fortran_order': True") {
        return Err(format!("expected {dtype} in C order, the array says {header}"));
    }
    let data = bytes[start + len..].to_vec();
    if let Some(want) = at["sha256_of_data"].as_str() {
        case.same("bytes of the stored array", sha256(&data).as_str(), want);
    }
    Ok(Array { shape: sizes(&at["shape"])?, data })
}

/// The numbers of an array of f32.
pub(crate) fn floats(data: &[u8]) -> Vec<f64> {
    data.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]]))).collect()
}

/// Compares pictures: the largest difference of levels has to be within the limit.
pub(crate) fn same_picture(case: &mut Case, what: &str, got: &[u8], want: &[u8], limit: Limit) {
    if got.len() != want.len() {
        return case.fail(&format!("{what}: {} bytes, expected {}", got.len(), want.len()));
    }
    let worst = got.iter().zip(want).enumerate().max_by_key(|(_, (g, w))| g.abs_diff(**w));
    if let Some((at, (g, w))) = worst {
        case.number(&format!("{what}, byte {at}"), f64::from(*g), f64::from(*w), limit);
    }
}

fn picture(at: &Value, pictures: &Pictures<'_>) -> Result<Rgb, String> {
    pictures.picture(text(at, "rule")?, size(at, "in_w")?, size(at, "in_h")?)
}

fn resized(
    case: &mut Case,
    at: &Value,
    pictures: &Pictures<'_>,
    context: &Context<'_>,
) -> Result<(), String> {
    let want = array(case, at, context, "u1")?;
    let [height, width, 3] = want.shape[..] else { return Err("the array is no picture".into()) };
    let image = picture(at, pictures)?;
    let op = text(at, "op")?;
    let got = if op.contains("short_side") {
        // short side to S, then the centre of C x C: our transform has S = 8/7 C
        let numbers: Vec<usize> = op.split('_').filter_map(|w| w.parse().ok()).collect();
        let [short, crop] = numbers[..] else { return Err(format!("sizes of `{op}` are not understood")) };
        if short != crop * 256 / 224 || (width, height) != (crop, crop) {
            return Err(format!(
                "a short side of {short} with a crop of {crop} is not a transform of this program"
            ));
        }
        to_square(&image, crop, TestTransform::CenterCrop)
    } else if op.contains("bicubic") {
        resize(&image, width, height, Filter::Bicubic)
    } else if op.contains("bilinear") {
        resize(&image, width, height, Filter::Bilinear)
    } else if op.contains("box") {
        resize(&image, width, height, Filter::Box)
    } else {
        return Err(format!("filter of `{op}` is not known"));
    };
    same_picture(case, "picture", &got.pixels, &want.data, Limit::EXACT);
    Ok(())
}

fn cropped(
    case: &mut Case,
    at: &Value,
    pictures: &Pictures<'_>,
    context: &Context<'_>,
) -> Result<(), String> {
    let want = array(case, at, context, "u1")?;
    let image = picture(at, pictures)?;
    let (left, top, width, height) =
        (size(at, "left")?, size(at, "top")?, size(at, "crop_w")?, size(at, "crop_h")?);
    if left + width > image.width || top + height > image.height {
        return Err("the crop leaves the picture".into());
    }
    let out = size(at, "out")?;
    let got = resize(&image.crop(left, top, width, height), out, out, Filter::Bilinear);
    same_picture(case, "picture", &got.pixels, &want.data, Limit::EXACT);
    Ok(())
}

fn normalised(case: &mut Case, file: &Value, at: &Value, pictures: &Pictures<'_>) -> Result<(), String> {
    let image = pictures.picture(text(at, "rule")?, size(at, "w")?, size(at, "h")?)?;
    let three = |key: &str| -> Result<[f32; 3], String> {
        let v: Vec<f32> = flat(&at[key]).into_iter().map(|v| v as f32).collect();
        v.try_into().map_err(|_| format!("{key}: expected 3 numbers"))
    };
    let normalise = Normalise { mean: three("mean")?, std: three("std")? };
    let limit = limit_of(text(&file["about"]["tolerance"], "normalise")?)?;
    let got: Vec<f64> = normalise.apply(&image).into_iter().map(f64::from).collect();
    case.near("values", &got, &flat(&at["f32"]), limit);
    Ok(())
}
