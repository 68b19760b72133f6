//! Features of every published layout equal those of the public packages; wrong files are told apart.
//!
//! The fixtures and the program that makes them are in `tests/fixtures/backbones`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use facebench_tests::{Bench, workspace};
use serde_json::{Value, json};

/// Largest difference, relative to the largest value, that f32 may make.
const TOLERANCE: f64 = 1e-5;

fn folder() -> PathBuf {
    workspace().join("tests/fixtures/backbones")
}

fn cases() -> Vec<(String, Value)> {
    let text = std::fs::read_to_string(folder().join("index.json")).expect("index");
    let index: Value = serde_json::from_str(&text).expect("JSON");
    index["cases"].as_object().expect("cases").iter().map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// The images of the fixtures' generator as an `.npy` file.
fn write_images(path: &Path, side: usize) {
    let head = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3, {side}, {side}), }}");
    let head = format!("{head:<117}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(head.len()).expect("short").to_le_bytes());
    bytes.extend(head.as_bytes());
    for b in 0..2 {
        for c in 0..3 {
            for y in 0..side {
                for x in 0..side {
                    let (b, c, y, x) = (f64::from(b), f64::from(c), y as f64, x as f64);
                    let v = 0.9 * (0.7 * x * (c + 1.0) + 0.31 * y + 0.5 * b).sin()
                        + 0.3 * (0.17 * x * y + c).cos();
                    bytes.extend((v as f32).to_le_bytes());
                }
            }
        }
    }
    std::fs::write(path, bytes).expect("file");
}

/// The generator's rule: uniform on [-1, 1) from SplitMix64 of (j << 40) + i.
fn hashed(count: usize, j: usize) -> impl Iterator<Item = f32> {
    (0..count as u64).map(move |i| {
        let mut z = (i + ((j as u64) << 40)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        ((z >> 40) as f64 / f64::from(1 << 23) - 1.0) as f32
    })
}

/// A file of weights for the keys of a case, by the generator's rule.
fn write_closed_form(path: &Path, keys: &Value) {
    let (mut header, mut body) = (serde_json::Map::new(), Vec::<u8>::new());
    for (j, key) in keys.as_array().expect("keys").iter().enumerate() {
        let name = key[0].as_str().expect("a name");
        let shape: Vec<usize> = serde_json::from_value(key[1].clone()).expect("a shape");
        if name.ends_with("num_batches_tracked") {
            continue;
        }
        let count: usize = shape.iter().product();
        let fan: usize = shape.iter().skip(1).product();
        let start = body.len();
        for u in hashed(count, j) {
            let v = if shape.len() > 1 {
                u * ((6.0 / fan as f64).sqrt() as f32)
            } else if name.ends_with("running_var") {
                1.0 + 0.5 * u
            } else if name.ends_with("running_mean") || name.ends_with("bias") {
                0.1 * u
            } else {
                0.7 + 0.2 * u
            };
            body.extend(v.to_le_bytes());
        }
        header.insert(
            name.into(),
            json!({"dtype": "F32", "shape": shape, "data_offsets": [start, body.len()]}),
        );
    }
    let header = Value::Object(header).to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(body);
    std::fs::write(path, bytes).expect("file");
}

/// An f32 array of a `.safetensors` file.
fn array(path: &Path, name: &str) -> (Vec<usize>, Vec<f64>) {
    let bytes = std::fs::read(path).expect("file");
    let len = u64::from_le_bytes(bytes[..8].try_into().expect("eight")) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + len]).expect("header");
    let entry = &header[name];
    let shape: Vec<usize> = serde_json::from_value(entry["shape"].clone()).expect("shape");
    let at: Vec<usize> = serde_json::from_value(entry["data_offsets"].clone()).expect("offsets");
    let values = bytes[8 + len + at[0]..8 + len + at[1]].chunks_exact(4);
    (shape, values.map(|b| f64::from(f32::from_le_bytes(b.try_into().expect("four")))).collect())
}

/// `-s key=value` for every setting of a case.
fn settings(case: &Value) -> Vec<String> {
    let map = case["settings"].as_object().expect("settings");
    let text = |v: &Value| v.as_str().map_or(v.to_string(), str::to_owned);
    map.iter().flat_map(|(k, v)| ["-s".to_owned(), format!("{k}={}", text(v))]).collect()
}

fn compare(name: &str, case: &Value, file: &Path, problems: &mut String) {
    for (what, step) in [("pooled", 1), ("tokens", 5)] {
        let (shape, got) = array(file, what);
        let step = case[format!("{what}_step")].as_u64().map_or(step, |s| s as usize);
        let want: Vec<f64> = serde_json::from_value(case[what].clone()).expect("numbers");
        if json!(shape) != case[format!("{what}_shape")] {
            let _ =
                writeln!(problems, "{name}: {what} {shape:?}, expected {}", case[format!("{what}_shape")]);
            continue;
        }
        let got: Vec<f64> = got.into_iter().step_by(step).collect();
        assert_eq!(got.len(), want.len(), "{name}: {what}");
        let largest = want.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        let worst = got.iter().zip(&want).fold(0.0f64, |m, (a, b)| m.max((a - b).abs())) / largest;
        assert!(largest > 0.01, "{name}: {what}: a fixture of zeros tests nothing");
        if worst > TOLERANCE {
            let _ = writeln!(
                problems,
                "{name}: {what} differ by {worst:e}: {:?}, expected {:?}",
                &got[..4],
                &want[..4]
            );
        }
    }
}

#[test]
fn features_of_every_layout_equal_the_public_packages() {
    let b = Bench::new();
    let mut problems = String::new();
    let all = cases();
    assert!(all.len() >= 25, "{}", all.len());
    for (name, case) in all {
        let side = case["image"].as_u64().or(case["settings"]["image"].as_u64()).expect("a side") as usize;
        let images = b.path(&format!("x{side}.npy"));
        if !images.is_file() {
            write_images(&images, side);
        }
        let mut weights = folder().join(format!("{name}.safetensors"));
        if !case["keys"].is_null() {
            weights = b.path(&format!("{name}-weights.safetensors"));
            write_closed_form(&weights, &case["keys"]);
        }
        let out = b.path(&format!("{name}.safetensors"));
        let mut args = vec!["features", "--backbone", case["backbone"].as_str().expect("a name")];
        args.extend([
            "--checkpoint",
            weights.to_str().expect("UTF-8"),
            "--images",
            images.to_str().expect("UTF-8"),
        ]);
        args.extend(["--pool", "--tokens", "--device", "cpu", "--out", out.to_str().expect("UTF-8")]);
        let settings = settings(&case);
        args.extend(settings.iter().map(String::as_str));
        let said = b.run(&args).ok().json();
        assert_eq!(said["layout"], case["layout"], "{name}");
        compare(&name, &case, &out, &mut problems);
    }
    assert!(problems.is_empty(), "{problems}");
}

#[test]
fn a_file_is_recognised_and_what_is_ignored_has_a_reason() {
    let b = Bench::new();
    let dims = ["-s", "width=24", "-s", "depth=2", "-s", "heads=2", "-s", "patch=4", "-s", "image=16"];
    let show = |name: &str, more: &[&str]| {
        let file = folder().join(format!("{name}.safetensors"));
        let args = [&["checkpoint", "show", file.to_str().expect("UTF-8")], &dims[..], more].concat();
        b.run(&args)
    };
    show("dinov2-registers", &[])
        .ok()
        .stdout_has("--backbone dinov2")
        .stdout_has("variant=registers -s width=24: loads completely");
    show("clip-openai", &["-s", "projection=16", "--backbone", "clip"])
        .ok()
        .stdout_has("layout `clip`")
        .stdout_has("ignored, the text tower: ln_final.weight");
    let said = show("beit-pretrain", &["--json", "--backbone", "beit-v2", "-s", "pooling=cls"]).ok().json();
    assert_eq!(said["backbones"][0]["fits"], true, "{said}");
    // the right family, the wrong size
    show("vit", &["--backbone", "vit-supervised", "-s", "width=48"])
        .code(42)
        .stdout_has("shape differs: blocks.0.attn.proj.bias: [24] in the file, [48] in the backbone")
        .stderr_has("would not load");
    // the wrong family
    show("siglip-hf", &["--backbone", "dinov2"])
        .code(42)
        .stderr_has("match no layout of it")
        .stderr_has("hint:");
    // registers do not disappear silently
    show("dinov2-registers", &["--backbone", "dinov2", "-s", "variant=plain"])
        .code(42)
        .stdout_has("not known to the backbone: register_tokens → reg_token");
}

#[test]
fn broken_weights_and_inputs_are_named() {
    let b = Bench::new();
    write_images(&b.path("x.npy"), 16);
    let good = std::fs::read(folder().join("vit.safetensors")).expect("file");
    b.file("short.safetensors", &good[..good.len() / 2]);
    let mut nan = good.clone();
    let len = u64::from_le_bytes(nan[..8].try_into().expect("eight")) as usize;
    nan[8 + len..8 + len + 2].copy_from_slice(&[0, 0x7e]); // a half-precision NaN
    b.file("nan.safetensors", nan);
    b.file("good.safetensors", good);
    let run = |file: &str, more: &[&str]| {
        let dims = ["-s", "width=24", "-s", "depth=2", "-s", "heads=2", "-s", "patch=4"];
        let args = ["features", "--backbone", "vit-supervised", "--checkpoint", file, "--out", "f.npz"];
        b.run(&[&args[..], &dims, more].concat())
    };
    let x = ["--images", "x.npy", "-s", "image=16"];
    run("good.safetensors", &x).ok();
    run("short.safetensors", &x).code(2).stderr_has("short.safetensors");
    run("nan.safetensors", &x).code(2).stderr_has("is not finite at element");
    run("nowhere.safetensors", &x).code(2).stderr_has("nowhere.safetensors");
    run("good.safetensors", &["--images", "x.npy", "-s", "image=32"])
        .code(2)
        .stderr_has("takes (n, 3, 32, 32)")
        .stderr_has("hint:");
    run("good.safetensors", &["--images", "good.safetensors", "-s", "image=16"])
        .code(2)
        .stderr_has("not an .npy file");
    run("good.safetensors", &["--folder", "nowhere", "-s", "image=16"]).code(2).stderr_has("nowhere");
    run("good.safetensors", &["-s", "image=16"]).code(2).stderr_has("--images");
    run("good.safetensors", &[&x[..], &["--out", "f.txt"]].concat()).code(2);
    let args = ["features", "--backbone", "vit-supervised", "--images", "x.npy", "--out", "f.npz"];
    b.run(&args).code(2).stderr_has("--checkpoint");
    // another grid: the table of positions is resized
    write_images(&b.path("y.npy"), 24);
    run("good.safetensors", &["--images", "y.npy", "-s", "image=24", "--tokens"]).ok().stdout_has("37");
}

/// The array written for a folder has one row and one name per picture.
#[test]
fn a_folder_becomes_rows_with_names() {
    let b = Bench::new();
    for (i, name) in ["a/1.ppm", "a/2.ppm", "b.ppm"].iter().enumerate() {
        let pixels: Vec<u8> = (0..12).map(|p| (p * 20 + i) as u8).collect();
        b.file(name, [b"P6 2 2 255\n".as_slice(), &pixels].concat());
    }
    let args =
        ["--random-weights", "-s", "size=micro", "--batch", "2", "--folder", ".", "--out", "f.safetensors"];
    b.run(&[&["features", "--backbone", "dino"], &args[..]].concat()).ok();
    let (shape, values) = array(&b.path("f.safetensors"), "pooled");
    assert_eq!(shape, [3, 96]);
    assert!(values.iter().all(|v| v.is_finite()));
    let text = std::fs::read(b.path("f.safetensors")).expect("file");
    let text = String::from_utf8_lossy(&text[..400]).into_owned();
    assert!(text.contains("1.ppm") && text.contains("b.ppm"), "{text}");
}
