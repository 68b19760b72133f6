//! The protocols that come with the program, in the order in which they are listed.

use super::{Protocol, yaml};
use crate::error::Result;

const BUILTIN: [(&str, &str); 4] = [
    ("dfd-cross", include_str!("../../protocols/dfd-cross.yaml")),
    ("fas-mcio", include_str!("../../protocols/fas-mcio.yaml")),
    ("diff-unseen", include_str!("../../protocols/diff-unseen.yaml")),
    ("own-faces", include_str!("../../protocols/own-faces.yaml")),
];

const IDS: [&str; BUILTIN.len()] = {
    let mut ids = [""; BUILTIN.len()];
    let mut i = 0;
    while i < ids.len() {
        ids[i] = BUILTIN[i].0;
        i += 1;
    }
    ids
};

impl Protocol {
    /// The built-in protocol called `id`, parsed and checked.
    pub fn builtin(id: &str) -> Option<Result<Self>> {
        let (name, text) = BUILTIN.iter().find(|(name, _)| *name == id)?;
        Some(yaml::parse(&format!("built-in protocol {name}"), text))
    }

    /// Ids of the built-in protocols.
    pub fn builtin_ids() -> &'static [&'static str] {
        &IDS
    }
}
