//! What several tests share: closed-form pictures, hashes, the fixtures, and folders of tiny images.

use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::image::{Rgb, encode_png};

/// SHA-256 as lower-case hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// A fixture of `harness/data/fixtures`.
pub(crate) fn fixture(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A number of a fixture's object.
pub(crate) fn number(case: &Value, key: &str) -> usize {
    usize::try_from(case[key].as_u64().unwrap_or_else(|| panic!("{key} in {case}"))).unwrap()
}

/// The picture of a fixture's rule (`about.image_rules`).
pub(crate) fn picture(rule: &str, width: usize, height: usize) -> Rgb {
    let tri = |n: i64, p: i64| (n % (2 * p) - p).abs();
    let value = |x: i64, y: i64, c: i64| match rule {
        "T1" => (3 * tri(5 * x + 3 * y + 40 * c, 255) + (x * y + 31 * c) % 256) / 4,
        "T2" => (7 * x + 13 * y + 29 * c + 3 * ((x * y) / 16)) % 256,
        "T3" => {
            let v = (3 * tri(4 * x + 7 * y + 60 * c, 255) + (x * x + 3 * y + 17 * c) % 256) / 4;
            30 + (190 * v) / 255
        }
        "T4" => 255 * ((x / 7 + y / 5 + c) % 2),
        _ => panic!("no rule {rule}"),
    };
    Rgb::from_fn(width, height, |x, y| [0, 1, 2].map(|c| u8::try_from(value(x as i64, y as i64, c)).unwrap()))
}

/// Writes a 2×2 PNG, making its folders.
pub(crate) fn tiny_png(path: &Path) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    encode_png(path, &Rgb::new(2, 2)).unwrap();
}

/// Writes a text file, making its folders.
pub(crate) fn text_file(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}
