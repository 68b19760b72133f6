//! The protocols that come with the program, in the order in which they are listed.

use super::{Protocol, yaml};
use crate::error::Result;

const BUILTIN: [(&str, &str); 18] = [
    ("dfd-cross", include_str!("../../protocols/dfd-cross.yaml")),
    ("fas-mcio", include_str!("../../protocols/fas-mcio.yaml")),
    ("diff-unseen", include_str!("../../protocols/diff-unseen.yaml")),
    ("own-faces", include_str!("../../protocols/own-faces.yaml")),
    ("dfd-cross-fsvfm", include_str!("../../protocols/dfd-cross-fsvfm.yaml")),
    ("dfb-protocol-1", include_str!("../../protocols/dfb-protocol-1.yaml")),
    ("ffpp-cross", include_str!("../../protocols/ffpp-cross.yaml")),
    ("diff-unseen-fsfm", include_str!("../../protocols/diff-unseen-fsfm.yaml")),
    ("fas-mcio-celeba", include_str!("../../protocols/fas-mcio-celeba.yaml")),
    ("fas-mcio-5shot", include_str!("../../protocols/fas-mcio-5shot.yaml")),
    ("fas-limited", include_str!("../../protocols/fas-limited.yaml")),
    ("fas-single", include_str!("../../protocols/fas-single.yaml")),
    ("fas-wcs", include_str!("../../protocols/fas-wcs.yaml")),
    ("fas-wcs-5shot", include_str!("../../protocols/fas-wcs-5shot.yaml")),
    ("oulu-p1", include_str!("../../protocols/oulu-p1.yaml")),
    ("oulu-p2", include_str!("../../protocols/oulu-p2.yaml")),
    ("oulu-p3", include_str!("../../protocols/oulu-p3.yaml")),
    ("oulu-p4", include_str!("../../protocols/oulu-p4.yaml")),
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
