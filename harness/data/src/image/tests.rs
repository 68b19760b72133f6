//! Golden bytes, formats, and an attack corpus for the decoder.

use std::io::Cursor;
use std::path::Path;

use image::{DynamicImage, ImageBuffer, ImageFormat};
use proptest::prelude::*;

use super::*;
use crate::testing::{fixture, number, picture, sha256};

const NOWHERE: &str = "faces/a.png";

fn decode_ok(bytes: &[u8]) -> Rgb {
    decode_bytes(bytes, Path::new(NOWHERE)).unwrap()
}

fn decode_err(bytes: &[u8]) -> String {
    decode_bytes(bytes, Path::new(NOWHERE)).unwrap_err().to_string()
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    image.write_to(&mut out, format).unwrap();
    out.into_inner()
}

fn as_dynamic(image: &Rgb) -> DynamicImage {
    let (w, h) = (u32::try_from(image.width).unwrap(), u32::try_from(image.height).unwrap());
    DynamicImage::ImageRgb8(ImageBuffer::from_raw(w, h, image.pixels.clone()).unwrap())
}

#[test]
fn resizing_equals_pillow() {
    let cases = fixture("transforms.json");
    let mut checked = 0;
    for case in cases["resize"].as_array().unwrap() {
        if case["op"] != "pil_bicubic_resize" {
            continue; // short side and centre crop: tested with the transform
        }
        let image = picture(case["rule"].as_str().unwrap(), number(case, "in_w"), number(case, "in_h"));
        let out = resize(&image, number(case, "out_w"), number(case, "out_h"), Filter::Bicubic);
        assert_eq!(sha256(&out.pixels), case["sha256_of_data"], "{case}");
        checked += 1;
    }
    for case in cases["crop_then_bilinear"].as_array().unwrap() {
        let image = picture(case["rule"].as_str().unwrap(), number(case, "in_w"), number(case, "in_h"));
        let part = image.crop(
            number(case, "left"),
            number(case, "top"),
            number(case, "crop_w"),
            number(case, "crop_h"),
        );
        let out = resize(&part, number(case, "out"), number(case, "out"), Filter::Bilinear);
        assert_eq!(sha256(&out.pixels), case["sha256_of_data"], "{case}");
        checked += 1;
    }
    assert_eq!(checked, 8);
}

#[test]
fn box_filter_averages_whole_cells() {
    let image = Rgb::from_fn(4, 2, |x, y| [(x * 10 + y * 100) as u8, 0, 255]);
    let half = resize(&image, 2, 1, Filter::Box);
    // columns 0,1 of both rows: (0 + 10) / 2 = 5 and 105, then (5 + 105) / 2
    assert_eq!(half.pixels, [55, 0, 255, 75, 0, 255]);
}

fn filters() -> impl Strategy<Value = Filter> {
    prop_oneof![Just(Filter::Box), Just(Filter::Bilinear), Just(Filter::Bicubic)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_constant_image_stays_constant(
        colour: [u8; 3], from in (1usize..90, 1usize..90), to in (1usize..90, 1usize..90), filter in filters()
    ) {
        let out = resize(&Rgb::from_fn(from.0, from.1, |_, _| colour), to.0, to.1, filter);
        prop_assert_eq!(out, Rgb::from_fn(to.0, to.1, |_, _| colour));
    }

    #[test]
    fn a_window_is_a_crop_of_the_whole(
        from in (1usize..60, 1usize..60), to in (1usize..60, 1usize..60),
        cut in (0.0f64..1.0, 0.0f64..1.0, 0.0f64..1.0, 0.0f64..1.0), filter in filters()
    ) {
        let image = picture("T1", from.0, from.1);
        let part = |n: usize, share: f64| (n as f64 * share) as usize;
        let (left, top) = (part(to.0, cut.0), part(to.1, cut.1));
        let (width, height) = (1 + part(to.0 - left - 1, cut.2), 1 + part(to.1 - top - 1, cut.3));
        let window = Window { left, top, width, height };
        let whole = resize(&image, to.0, to.1, filter);
        prop_assert_eq!(
            resize_window(&image, to.0, to.1, filter, window),
            whole.crop(left, top, width, height)
        );
    }

    #[test]
    fn vector_code_gives_the_bytes_of_portable_code(
        from in (1usize..120, 1usize..90), to in (1usize..120, 1usize..90), filter in filters(), rule in 0usize..3
    ) {
        let image = picture(["T1", "T2", "T4"][rule], from.0, from.1);
        prop_assert_eq!(
            resize(&image, to.0, to.1, filter),
            super::resize::resize_portable(&image, to.0, to.1, filter)
        );
    }

    #[test]
    fn colours_too(width in 5usize..80, height in 1usize..40, kind in 0usize..3, seed: u64) {
        let (h, v) = [(1, 1), (2, 1), (2, 2)][kind];
        let mut state = seed | 1;
        let mut plane = |w: usize, h: usize| super::jpeg::Plane {
            stride: w,
            data: (0..w * h).map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state as u8
            }).collect(),
        };
        let (cw, ch) = (width.div_ceil(h), height.div_ceil(v));
        let planes = [plane(width, height), plane(cw, ch), plane(cw, ch)];
        let (mut a, mut b) = (vec![0; width * height * 3], vec![1; width * height * 3]);
        super::colour::to_rgb(&planes, width, height, h, v, &mut a);
        super::colour::to_rgb_portable(&planes, width, height, h, v, &mut b);
        prop_assert_eq!(a, b);
    }

    #[test]
    fn png_round_trips(width in 1usize..20, height in 1usize..20, seed: u8) {
        let image = Rgb::from_fn(width, height, |x, y| [x as u8 ^ seed, y as u8, seed]);
        prop_assert_eq!(decode_ok(&encode_png_bytes(&image, &[]).unwrap()), image);
    }

    #[test]
    fn noise_is_an_error_and_not_a_panic(mut bytes: Vec<u8>, kind in 0usize..5) {
        let magic: [&[u8]; 5] = [b"\x89PNG\r\n\x1a\n", b"\xFF\xD8\xFF\xE0", b"RIFF\x40\0\0\0WEBPVP8 ", b"P5 ", b"P6\n"];
        bytes.splice(0..0, magic[kind].iter().copied());
        drop(decode_bytes(&bytes, Path::new(NOWHERE)));
    }

    /// Whatever happens to some bytes of a file, decoding ends with a picture of sane size or an error.
    #[test]
    fn damage_is_survived(damage in prop::collection::vec((0.0f64..1.0, any::<u8>()), 1..6), kind in 0usize..4) {
        let format = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP, ImageFormat::Pnm][kind];
        let mut bytes = encoded(&as_dynamic(&picture("T1", 24, 24)), format);
        for (place, value) in damage {
            let at = (bytes.len() as f64 * place) as usize;
            bytes[at] = value;
        }
        if let Ok(image) = decode_bytes(&bytes, Path::new(NOWHERE)) {
            prop_assert_eq!(image.pixels.len(), image.width * image.height * 3);
        }
    }
}

#[test]
fn same_size_is_the_same_image() {
    let image = picture("T4", 31, 17);
    assert_eq!(resize(&image, 31, 17, Filter::Bicubic), image);
}

#[test]
fn flipping_twice_is_nothing() {
    let image = picture("T2", 5, 3);
    assert_eq!(image.flipped().get(0, 1), image.get(4, 1));
    assert_eq!(image.flipped().flipped(), image);
}

#[test]
fn every_format_decodes_whatever_the_name_says() {
    let image = picture("T1", 9, 7);
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Pnm] {
        assert_eq!(decode_ok(&encoded(&as_dynamic(&image), format)), image, "{format:?}");
    }
    let grey = Rgb::from_fn(16, 16, |_, _| [120; 3]);
    let jpeg = decode_ok(&encoded(&as_dynamic(&grey), ImageFormat::Jpeg));
    assert!(jpeg.pixels.iter().all(|v| v.abs_diff(120) <= 1), "{:?}", jpeg.get(0, 0));
}

/// Every file of `fixtures/decode`: what Pillow's `convert("RGB")` gives, byte for byte.
#[test]
fn decoding_equals_pillow() {
    let known = fixture("decode/pillow.json");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/decode");
    let mut wrong = Vec::new();
    for (name, want) in known["files"].as_object().unwrap() {
        let got = decode(&folder.join(name)).unwrap();
        let size: [usize; 2] = serde_json::from_value(want["size"].clone()).unwrap();
        if [got.width, got.height] != size || sha256(&got.pixels) != want["sha256"].as_str().unwrap() {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "not as Pillow: {wrong:?}");
    assert!(known["files"].as_object().unwrap().len() > 40);
}

/// Bytes within the scan that break the code are an error that names the file, not a half-grey face.
#[test]
fn a_damaged_scan_is_refused() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/decode");
    for name in ["64x48-420.jpg", "progressive-420.jpg", "restart-420.jpg"] {
        let mut bytes = std::fs::read(folder.join(name)).unwrap();
        let scan = bytes.windows(2).position(|w| w == [0xFF, 0xDA]).unwrap();
        bytes[scan + 30..scan + 34].copy_from_slice(&[0xFF, 0xD9, 0xFF, 0xD9]); // the end, too early
        let message = decode_err(&bytes);
        assert!(message.starts_with("cannot decode image faces/a.png: the JPEG"), "{name}: {message}");
    }
}

#[test]
fn grey_is_tripled_alpha_dropped_and_sixteen_bits_cut() {
    assert_eq!(decode_ok(b"P5 2 1 255\n\x00\x80").pixels, [0, 0, 0, 128, 128, 128]);
    assert_eq!(decode_ok(b"P2\n# ascii\n2 1\n255\n7 255\n").pixels, [7, 7, 7, 255, 255, 255]);
    let sixteen =
        DynamicImage::ImageLuma16(ImageBuffer::from_raw(4, 1, vec![0, 257, 65535, 128 * 257 + 200]).unwrap());
    let bytes = encoded(&sixteen, ImageFormat::Png);
    assert_eq!(decode_ok(&bytes).pixels, [0, 0, 0, 1, 1, 1, 255, 255, 255, 129, 129, 129]); // the high byte
    let alpha = DynamicImage::ImageRgba8(ImageBuffer::from_raw(1, 1, vec![10, 20, 30, 0]).unwrap());
    assert_eq!(decode_ok(&encoded(&alpha, ImageFormat::Png)).pixels, [10, 20, 30]);
}

#[test]
fn a_pgm_of_another_range_is_stretched_to_the_byte() {
    assert_eq!(decode_ok(b"P5 3 1 100\n\x00\x32\x64").get(2, 0), [255; 3]);
    assert_eq!(decode_ok(b"P5 2 1 65535\n\x00\x00\xff\xff").get(1, 0), [255; 3]);
}

/// A shortened file is refused, or (where only the trailer is missing) shows the same picture: never another.
#[test]
fn no_prefix_of_an_image_shows_another_picture() {
    let image = picture("T1", 24, 24);
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP, ImageFormat::Pnm] {
        let bytes = encoded(&as_dynamic(&image), format);
        let whole = decode_ok(&bytes);
        for length in 0..bytes.len() {
            if let Ok(picture) = decode_bytes(&bytes[..length], Path::new(NOWHERE)) {
                assert_eq!(picture, whole, "{format:?} cut to {length} of {} bytes", bytes.len());
            }
        }
    }
}

#[test]
fn truncated_files_say_so() {
    let image = as_dynamic(&picture("T1", 64, 64));
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP, ImageFormat::Pnm] {
        let bytes = encoded(&image, format);
        let message = decode_err(&bytes[..bytes.len() / 2]);
        assert!(message.starts_with("cannot decode image faces/a.png: the "), "{message}");
        assert!(message.ends_with("\nhint: copy or extract the file again, or remove it"), "{message}");
    }
}

#[test]
fn empty_foreign_and_huge_files_are_refused() {
    assert!(decode_err(b"").contains("0 bytes"));
    assert!(decode_err(b"hello, I am a text file\n").contains("not PNG, JPEG, WebP, PGM or PPM"));
    assert!(decode_err(b"GIF89a\x01\x00\x01\x00\x00\x00\x00").contains("not PNG"));
    assert!(decode_err(b"P5 1000000 1000000 255\n").contains("limits"));
    assert!(decode_err(b"P5 19999 19999 255\n").contains("limits"));
    assert!(!decode_err(b"P5 0 4 255\n").is_empty());
    let missing = decode(Path::new("/nonexistent/face.png")).unwrap_err().to_string();
    assert!(missing.starts_with("cannot read /nonexistent/face.png"), "{missing}");
}

#[test]
fn a_thumbnail_does_not_hide_a_truncated_jpeg() {
    let whole = encoded(&as_dynamic(&picture("T1", 32, 32)), ImageFormat::Jpeg);
    // an APP1 segment that carries a whole small JPEG, as cameras write
    let mut bytes = whole[..2].to_vec();
    bytes.extend_from_slice(&[0xFF, 0xE1]);
    bytes.extend_from_slice(&u16::try_from(whole.len() + 2).unwrap().to_be_bytes());
    bytes.extend_from_slice(&whole);
    bytes.extend_from_slice(&whole[2..]);
    assert_eq!(decode_ok(&bytes), decode_ok(&whole));
    assert!(decode_err(&bytes[..bytes.len() - 40]).contains("truncated"));
}

#[test]
fn an_end_marker_within_a_later_segment_is_not_the_end() {
    let mut bytes = encoded(&as_dynamic(&picture("T1", 32, 32)), ImageFormat::Jpeg);
    bytes.truncate(bytes.len() - 2);
    bytes.extend_from_slice(&[0xFF, 0xFE, 0, 4, 0xFF, 0xD9]); // a comment between scans; then nothing
    assert!(decode_err(&bytes).contains("truncated"));
}

#[test]
fn bytes_after_the_end_do_no_harm() {
    let image = as_dynamic(&picture("T1", 20, 20));
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP] {
        let mut bytes = encoded(&image, format);
        let whole = decode_ok(&bytes);
        bytes.extend_from_slice(b"appended by a messenger");
        assert_eq!(decode_ok(&bytes), whole, "{format:?}");
    }
}

#[test]
fn text_chunks_ride_along() {
    let image = picture("T2", 6, 4);
    let text = [("synthetic", "facebench 0.1.0"), ("seed", "7")];
    let bytes = encode_png_bytes(&image, &text).unwrap();
    assert_eq!(decode_ok(&bytes), image);
    let found = png_text(&bytes);
    assert_eq!(found, text.map(|(k, v)| (k.to_string(), v.to_string())));
    assert!(png_text(&bytes[..40]).is_empty());
    assert!(png_text(b"no png").is_empty());
    assert!(encode_png_bytes(&image, &[("", "x")]).is_err());
    assert!(encode_png_bytes(&image, &[("k", "größe")]).is_err());
}

#[test]
fn writing_is_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    encode_png(&path, &picture("T1", 3, 3)).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let error = encode_png(&folder.path().join("no/b.png"), &Rgb::new(1, 1)).unwrap_err().to_string();
    assert!(error.starts_with("cannot write "), "{error}");
    assert!(encode_png(&path, &Rgb::new(0, 1)).is_err());
}

#[test]
fn image_names_are_told_by_their_ending() {
    assert!(is_image_name("a.PNG") && is_image_name("x.y.jpeg") && is_image_name("1.pgm"));
    assert!(!is_image_name("a.txt") && !is_image_name("png") && !is_image_name(".png"));
}
