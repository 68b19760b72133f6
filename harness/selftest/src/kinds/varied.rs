//! What training varies in pictures: `RandAugment`, crops, erasing, saturation, mixing of samples.
//!
//! Part of the `transforms` fixtures. Draws are given in the file; what is checked is what becomes of them.

use facebench_data::transform::{
    Erase, Jitter, Op, RandAugment, RandomCrop, centre_crop, saturate, saturated,
};
use facebench_engine::nn::regrid_positions;
use facebench_engine::{DType, Device, Tensor};
use facebench_train::mix::Mix;
use serde_json::Value;

use super::transforms::{array, floats};
use crate::Context;
use crate::pictures::Pictures;
use crate::rules::{after, between, flat, limit_of, list, number, section, sha256, size, sizes, text};
use crate::sheet::{Case, Limit, Must as _, Sheet, Verdict};
use crate::tensors::{tensor, values};

/// Checks one list of the file.
pub(crate) fn run(
    file: &Value,
    key: &str,
    pictures: &Pictures<'_>,
    context: &Context<'_>,
    sheet: &mut Sheet,
) -> Result<(), String> {
    let about = &file["about"];
    let each = |sheet: &mut Sheet, check: &dyn Fn(&mut Case, &Value) -> Result<(), String>| {
        for (i, at) in list(file, key)?.iter().enumerate() {
            let what = at["op"].as_str().map_or_else(|| i.to_string(), |op| format!("{op} {i}"));
            sheet.case(format!("{key} {what}"), |case| check(case, at));
        }
        Ok(())
    };
    match key {
        "short_side_geometry" => each(sheet, &short_side),
        "tensor_bicubic" => each(sheet, &|case, at| bicubic(case, at, about, pictures, context)),
        "random_resized_crop_geometry" => each(sheet, &crop),
        "random_erasing_geometry" => each(sheet, &erase),
        "randaug" => each(sheet, &|case, at| rand_augment(case, at, about, pictures, context)),
        "randaug_level_args_positive_sign" => each(sheet, &|case, at| levels(case, at, about)),
        "cutmix_boxes" => each(sheet, &|case, at| cutmix(case, at, about)),
        "mixup_targets" => each(sheet, &|case, at| targets(case, at, about)),
        "saturation_jitter" => each(sheet, &|case, at| saturation(case, at, about, pictures, context)),
        "mixup_pixels" => {
            sheet.case(key, |case| mixed(case, &file[key], about, pictures));
            Ok(())
        }
        other => {
            let reason = format!("no runner for transforms of kind `{other}`");
            sheet.not_run(other, Verdict::Unknown, reason);
            Ok(())
        }
    }
}

fn tolerance(about: &Value, key: &str) -> Result<Limit, String> {
    limit_of(text(&about["tolerance"], key)?)
}

/// Whole numbers: nothing but equality.
fn same(case: &mut Case, at: &Value, key: &str, got: usize) -> Result<(), String> {
    case.number(key, got as f64, number(at, key)?, Limit::EXACT);
    Ok(())
}

fn short_side(case: &mut Case, at: &Value) -> Result<(), String> {
    // the short side is 8/7 of what is cut out
    let short = size(at, "resized_w")?.min(size(at, "resized_h")?);
    let ((width, height), window) = centre_crop(size(at, "in_w")?, size(at, "in_h")?, short * 7 / 8);
    same(case, at, "resized_w", width)?;
    same(case, at, "resized_h", height)?;
    same(case, at, "crop_left", window.left)?;
    same(case, at, "crop_top", window.top)
}

/// The listed draws; the last one repeats.
fn draws(at: &Value) -> Result<impl Iterator<Item = [f64; 2]>, String> {
    let mut out = Vec::new();
    for pair in list(at, "draws_area_fraction_and_log_aspect")? {
        let pair: [f64; 2] = flat(pair).try_into().map_err(|_| "a draw is two numbers".to_owned())?;
        out.push(pair);
    }
    let last = *out.last().must("draw")?;
    Ok(out.into_iter().chain(std::iter::repeat(last)).take(10))
}

fn crop(case: &mut Case, at: &Value) -> Result<(), String> {
    let (width, height) = (size(at, "in_w")?, size(at, "in_h")?);
    let found = draws(at)?.find_map(|[share, aspect]| RandomCrop::fitting(width, height, share, aspect));
    let (left, top, (w, h)) = match found {
        Some(part) => (0, 0, part), // the lowest place
        None => {
            let part = RandomCrop::default().fallback(width, height);
            (part.left, part.top, (part.width, part.height))
        }
    };
    same(case, at, "left_with_lowest_draw", left)?;
    same(case, at, "top_with_lowest_draw", top)?;
    same(case, at, "crop_w", w)?;
    same(case, at, "crop_h", h)
}

fn erase(case: &mut Case, at: &Value) -> Result<(), String> {
    let (width, height) = (size(at, "w")?, size(at, "h")?);
    let found = draws(at)?.find_map(|[share, aspect]| Erase::fitting(width, height, share, aspect));
    let (w, h) = found.unwrap_or((0, 0));
    same(case, at, "erase_w", w)?;
    same(case, at, "erase_h", h)
}

fn bicubic(
    case: &mut Case,
    at: &Value,
    about: &Value,
    pictures: &Pictures<'_>,
    context: &Context<'_>,
) -> Result<(), String> {
    let limit = tolerance(about, "tensor_bicubic")?;
    let stored = array(case, at, context, "f4")?;
    let image = pictures.picture(text(at, "rule")?, size(at, "in_w")?, size(at, "in_h")?)?;
    let (from, to) = ((image.height, image.width), (size(at, "out_h")?, size(at, "out_w")?));
    let pixels: Vec<f32> = image.pixels.iter().map(|&v| f32::from(v) / 255.0).collect();
    // a picture is a table of positions with three channels
    let table = tensor(pixels, &[1, from.0 * from.1, 3], DType::F64)?;
    let out = regrid_positions(&table, from, to).must("resizing")?;
    let planes = out.transpose(1, 2).and_then(|t| t.contiguous()).must("planes")?;
    case.same("shape", &[3, to.0, to.1][..], &stored.shape);
    let got = values(&planes)?;
    case.near("values", &got, &floats(&stored.data), limit);
    let ends = got.iter().fold([f64::MAX, f64::MIN], |[low, high], &v| [low.min(v), high.max(v)]);
    case.number("min", ends[0], number(at, "min")?, limit);
    case.number("max", ends[1], number(at, "max")?, limit);
    Ok(())
}

fn rand_augment(
    case: &mut Case,
    at: &Value,
    about: &Value,
    pictures: &Pictures<'_>,
    context: &Context<'_>,
) -> Result<(), String> {
    let limit = tolerance(about, "randaug")?;
    let rule = text(about, "randaug")?;
    let (name, shape) = between(rule, "rule ", " (w x h)")?.split_once(", ").must("`RULE, WxH`")?;
    let (w, h) = shape.split_once('x').must("`WxH`")?;
    let side = |v: &str| v.trim().parse::<usize>().must("side");
    let image = pictures.picture(name, side(w)?, side(h)?)?;
    let fill = after::<3>(rule, "filled with")?.map(|v| v as u8);
    let stored = array(case, at, context, "u1")?;
    let length = image.pixels.len();
    let op = text(at, "op")?;
    for (i, one) in list(at, "cases")?.iter().enumerate() {
        let start = size(one, "slice")? * length;
        let want = stored.data.get(start..start + length).must("slice of the array")?;
        if let Some(digest) = one["sha256_of_slice"].as_str() {
            case.same("bytes of the slice", sha256(want).as_str(), digest);
        }
        let arg = flat(&one["arg"]);
        let arg = arg.first().copied();
        let made = Op::named(op, arg.unwrap_or(0.0)).must("operation this program has")?;
        case.holds(made.argument().is_some() == arg.is_some(), || format!("{op} with argument {arg:?}"));
        // what the policy makes of the magnitude
        let resolved = operation(op, number(one, "magnitude")?, arg.is_some_and(|a| negative(op, a)))?;
        case.near(
            &format!("argument {i}"),
            resolved.argument().as_slice(),
            arg.as_slice(),
            after::<1>(text(&about["tolerance"], LEVELS)?, "args ").map(|[v]| Limit::absolute(v))?,
        );
        let got = made.apply(&image, fill);
        super::transforms::same_picture(case, &format!("{op} {i}"), &got.pixels, want, limit);
    }
    Ok(())
}

/// Under which name the tolerance of levels is.
const LEVELS: &str = "geometry, boxes, level args";

/// The policy's operation of this name.
fn operation(name: &str, magnitude: f64, negative: bool) -> Result<Op, String> {
    let probe = Op::named(name, 0.0).must("operation this program has")?;
    (0..RandAugment::KINDS)
        .map(|kind| RandAugment::operation(kind, magnitude, negative))
        .find(|op| std::mem::discriminant(op) == std::mem::discriminant(&probe))
        .must(&format!("operation `{name}` in the policy"))
}

/// Whether an argument was drawn with the negative sign: factors turn around 1, the others around 0.
fn negative(name: &str, arg: f64) -> bool {
    match Op::named(name, arg) {
        Some(Op::Color(v) | Op::Contrast(v) | Op::Brightness(v) | Op::Sharpness(v)) => v < 1.0,
        _ => arg < 0.0,
    }
}

fn levels(case: &mut Case, at: &Value, about: &Value) -> Result<(), String> {
    let [limit] = after(text(&about["tolerance"], LEVELS)?, "args ")?;
    let magnitude = number(at, "magnitude")?;
    for (name, want) in at.as_object().must("object")?.iter().filter(|(k, _)| *k != "magnitude") {
        let got = operation(name, magnitude, false)?.argument().must("argument")?;
        let want = want.as_f64().must("number")?;
        case.number(&format!("{name} at {magnitude}"), got, want, Limit::absolute(limit));
    }
    Ok(())
}

fn cutmix(case: &mut Case, at: &Value, about: &Value) -> Result<(), String> {
    let sentence = section(text(&about["tolerance"], LEVELS)?, "(lam_corrected", &[")"]);
    let [limit] = after(sentence, "args ")?;
    let mix = Mix::cut(size(at, "h")?, size(at, "w")?, number(at, "lam")?, size(at, "cy")?, size(at, "cx")?);
    let part = mix.window.must("box")?;
    same(case, at, "y0", part.top)?;
    same(case, at, "y1", part.top + part.height)?;
    same(case, at, "x0", part.left)?;
    same(case, at, "x1", part.left + part.width)?;
    case.number("lam_corrected", mix.lambda, number(at, "lam_corrected")?, Limit::absolute(limit));
    Ok(())
}

fn targets(case: &mut Case, at: &Value, about: &Value) -> Result<(), String> {
    let labels: Vec<u32> = sizes(&at["labels"])?.into_iter().map(|y| y as u32).collect();
    let like = Tensor::zeros(1, DType::F32, &Device::Cpu).must("tensor")?;
    let mix = Mix { lambda: number(at, "lam")?, window: None };
    let got = mix.targets(&labels, size(at, "classes")?, number(at, "smoothing")?, &like).must("targets")?;
    case.near("targets", &values(&got)?, &flat(&at["targets_f32"]), tolerance(about, "mixup_targets")?);
    Ok(())
}

/// "sample 0: first N channels of RULE WxH …, sample 1: …, layout (B,C,H,W)": mixing is by element, so the shape of a
/// frame does not matter; the samples are laid into larger ones.
fn mixed(case: &mut Case, at: &Value, about: &Value, pictures: &Pictures<'_>) -> Result<(), String> {
    let rule = text(at, "rule")?;
    let [batch, channels, height, width] = after::<4>(rule, "layout ")?.map(|v| v as usize);
    let mut samples = Vec::new();
    for b in 0..batch {
        let name =
            between(section(rule, &format!("sample {b}:"), &["sample", "layout"]), "channels of ", " ")?;
        let image = pictures.picture(name, width, height)?;
        let plane = |c: usize| image.pixels.iter().skip(c).step_by(3).map(|&v| f32::from(v) / 255.0);
        samples.push((0..channels).flat_map(plane).collect::<Vec<f32>>());
    }
    let length = channels * height * width;
    let side = (1..).find(|s| 3 * s * s >= length).must("frame")?;
    let frame = 3 * side * side;
    let mut pixels = vec![0.0; batch * frame];
    for (row, sample) in pixels.chunks_exact_mut(frame).zip(&samples) {
        row[..length].copy_from_slice(sample);
    }
    Mix { lambda: number(at, "lam")?, window: None }.apply(&mut pixels, side);
    let got: Vec<f64> =
        pixels.chunks_exact(frame).flat_map(|row| row[..length].iter().map(|&v| f64::from(v))).collect();
    case.near("pixels", &got, &flat(&at["f32"]), tolerance(about, "mixup_pixels")?);
    Ok(())
}

fn saturation(
    case: &mut Case,
    at: &Value,
    about: &Value,
    pictures: &Pictures<'_>,
    context: &Context<'_>,
) -> Result<(), String> {
    let [edge] = after(text(about, "saturation_jitter")?, "lies within ")?;
    let stored = array(case, at, context, "u1")?;
    let image = pictures.picture(text(at, "rule")?, size(at, "w")?, size(at, "h")?)?;
    let factor = number(at, "factor")? as f32;
    let got = saturate(&image, factor, Jitter::Released);
    if got.pixels.len() != stored.data.len() {
        return Err(format!("{} bytes, expected {}", got.pixels.len(), stored.data.len()));
    }
    let mut outside = 0;
    for (i, from) in image.pixels.chunks_exact(3).enumerate() {
        let floats = saturated([from[0], from[1], from[2]], factor, Jitter::Released);
        for (c, value) in floats.into_iter().map(f64::from).enumerate() {
            outside += usize::from(!(0.0..256.0).contains(&value));
            let (got, want) = (got.pixels[3 * i + c], stored.data[3 * i + c]);
            // the distance around the circle of 256 values
            let off = got.wrapping_sub(want).min(want.wrapping_sub(got));
            let allowed = if (value - value.round()).abs() < edge { 1.0 } else { 0.0 };
            case.number(&format!("byte {}", 3 * i + c), f64::from(off), 0.0, Limit::absolute(allowed));
        }
    }
    let want = size(at, "values_outside_0_255_before_cast")?;
    case.holds(outside == want, || format!("{outside} values outside 0..255, expected {want}"));
    Ok(())
}
