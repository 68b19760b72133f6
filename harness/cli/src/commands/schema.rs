//! `facebench schema`: JSON Schema of the files a user writes, for editors.

use anyhow::Result;
use facebench_protocols::Protocol;
use serde_json::json;

use crate::args::{SchemaArgs, SchemaOf};
use crate::config;
use crate::fail::Status;
use crate::out;

/// Prints the schema.
pub(crate) fn run(args: &SchemaArgs) -> Result<Status> {
    let schema = match args.of {
        SchemaOf::Experiment => {
            let mut schema = config::experiment_schema();
            // read before the typed part, see `config::layers`
            schema["properties"]["extends"] = json!({
                "description": "Files (relative to this one) or `preset:NAME` that this one builds on",
                "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]
            });
            schema
        }
        SchemaOf::Protocol => config::schema_of::<Protocol>(),
    };
    out::json(&schema)?;
    Ok(Status::Done)
}
