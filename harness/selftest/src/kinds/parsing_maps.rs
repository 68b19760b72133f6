//! Face-parsing maps on disk: valid ones read exactly, malformed ones are refused with their name.

use facebench_data::parsing::read_npy;
use serde_json::Value;

use crate::Context;
use crate::pictures::label_map;
use crate::rules::{flat, list, sha256, text};
use crate::sheet::{Must as _, Sheet};

/// Checks `valid` and `malformed`.
pub(crate) fn run(file: &Value, context: &Context<'_>, sheet: &mut Sheet) -> Result<(), String> {
    for at in list(file, "valid")? {
        sheet.case(at["file"].as_str().unwrap_or("?"), |case| {
            let path = context.folder.join(text(at, "file")?);
            case.same(
                "bytes of the file",
                sha256(&std::fs::read(&path).must("reading")?).as_str(),
                text(at, "sha256")?,
            );
            let map = read_npy(&path).must("reading")?;
            case.same("labels", sha256(&map.labels).as_str(), text(at, "data_sha256")?);
            if !at["rule"].is_null() {
                case.holds(map.labels == label_map(&at["rule"])?, || {
                    "the labels are not those of the rule".into()
                });
            }
            let want = flat(&at["label_histogram"]);
            let mut counts = vec![0.0; want.len()];
            for &l in &map.labels {
                *counts.get_mut(usize::from(l)).must("label in the histogram")? += 1.0;
            }
            case.near("histogram", &counts, &want, crate::sheet::Limit::EXACT);
            Ok(())
        });
    }
    for at in list(file, "malformed")? {
        sheet.case(at["file"].as_str().unwrap_or("?"), |case| {
            let path = context.folder.join(text(at, "file")?);
            case.same(
                "bytes of the file",
                sha256(&std::fs::read(&path).must("reading")?).as_str(),
                text(at, "sha256")?,
            );
            match read_npy(&path) {
                Err(error) => {
                    let message = error.to_string();
                    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    case.holds(message.contains(&name), || {
                        format!("the error does not name the file: {message}")
                    });
                }
                Ok(map) => {
                    let logical = at["logical_data_sha256"].as_str();
                    case.holds(logical == Some(sha256(&map.labels).as_str()), || {
                        format!("it was read ({})", at["fault"])
                    });
                }
            }
            Ok(())
        });
    }
    Ok(())
}
