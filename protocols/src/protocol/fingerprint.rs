//! The fingerprint of a protocol: SHA-256 over everything that can change a number.
//!
//! Hashed is canonical JSON (keys sorted, no spaces) of the protocol without title and notes, together with
//! [`METRIC_VERSION`](crate::metrics::METRIC_VERSION), so that a change of a tie rule shows as a new fingerprint.
//! Tables refuse to mix fingerprints.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::Protocol;
use crate::metrics::METRIC_VERSION;

impl Protocol {
    /// `sha256:` and 64 hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        let mut value = serde_json::to_value(self).expect("a protocol holds only strings, numbers and lists");
        if let Value::Object(map) = &mut value {
            map.remove("title");
            map.remove("notes");
            map.insert("metric_version".into(), METRIC_VERSION.into());
        }
        let mut text = String::new();
        canonical(&value, &mut text);
        format!("sha256:{}", hex(&Sha256::digest(text.as_bytes())))
    }
}

/// JSON with sorted keys and no spaces, whatever `serde_json`'s features are in this build.
pub(crate) fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort_unstable();
            out.push('{');
            for (i, key) in keys.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&Value::String(key.clone()).to_string());
                out.push(':');
                canonical(&map[key], out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                canonical(item, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
