//! The anti-spoofing sets as their owners distribute them: official parts, one file per set.

pub(super) mod casia;
pub(super) mod celeba_spoof;
pub(super) mod msu;
pub(super) mod oulu;
pub(super) mod replay;
