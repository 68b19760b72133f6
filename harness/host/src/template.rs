//! The crates that `facebench plugin new` writes.
//!
//! The files live with the SDK, so that a change there and the example of it are one commit; they are embedded here.

use std::path::{Path, PathBuf};

pub use crate::Kind;

macro_rules! files {
    ($kind:literal) => {
        [
            ("Cargo.toml", include_str!(concat!("../../../plugins/sdk/template/", $kind, "/Cargo.toml.in"))),
            ("src/lib.rs", include_str!(concat!("../../../plugins/sdk/template/", $kind, "/src/lib.rs.in"))),
            ("README.md", include_str!(concat!("../../../plugins/sdk/template/", $kind, "/README.md.in"))),
        ]
    };
}

/// The files of a new plugin crate: (path in the crate, text). `name` is the component's name, made of lower-case letters,
/// digits and `-`; `sdk_path` is the folder of the `facebench-plugin` crate.
///
/// Errors: a sentence saying what is wrong with the name.
pub fn render(kind: Kind, name: &str, sdk_path: &Path) -> Result<Vec<(PathBuf, String)>, String> {
    check_name(name)?;
    let files = match kind {
        Kind::Backbone => files!("backbone"),
        Kind::Masking => files!("masking"),
        Kind::Head => files!("head"),
    };
    // the crate name starts like ours, so that the library is found beside the program
    let crate_name = format!("facebench-{kind}-{name}");
    // a TOML basic string: backslashes and quotes of a path must be escaped
    let sdk_path = sdk_path.display().to_string().replace('\\', "\\\\").replace('"', "\\\"");
    let library = format!("{}{}", std::env::consts::DLL_PREFIX, crate_name.replace('-', "_"));
    let fill = |text: &str| {
        text.replace("{{name}}", name)
            .replace("{{crate}}", &crate_name)
            .replace("{{library}}", &format!("{library}{}", std::env::consts::DLL_SUFFIX))
            .replace("{{sdk_path}}", &sdk_path)
    };
    Ok(files.into_iter().map(|(path, text)| (PathBuf::from(path), fill(text))).collect())
}

fn check_name(name: &str) -> Result<(), String> {
    let ok = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
    if starts && !name.ends_with('-') && !name.contains("--") && name.chars().all(ok) {
        return Ok(());
    }
    Err(format!(
        "{name:?} is no name for a plugin\nhint: lower-case letters, digits and single -, such as my-vit"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_placeholder_is_filled() {
        for kind in [Kind::Backbone, Kind::Masking, Kind::Head] {
            for (path, text) in render(kind, "my-thing", Path::new("/some/sdk")).unwrap() {
                assert!(!text.contains("{{") || path.ends_with("lib.rs"), "{kind} {}", path.display());
                for word in ["name", "crate", "library", "sdk_path"] {
                    assert!(!text.contains(&format!("{{{{{word}}}}}")), "{kind} {}: {word}", path.display());
                }
            }
        }
    }

    #[test]
    fn names_that_are_no_crate_are_refused() {
        for name in ["", "My", "a b", "-a", "a-", "9a", "a--b", "a/b", "ä"] {
            assert!(render(Kind::Head, name, Path::new("x")).unwrap_err().contains("hint:"), "{name}");
        }
    }
}
