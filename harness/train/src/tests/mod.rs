//! Tests that need real plugins: golden trajectories and whole runs on tiny synthetic faces.

mod cnn;
mod dino;
mod explain;
mod golden;
mod gradients;
mod heads;
mod objectives;
mod precision;
mod robust;
mod runs;
mod tuning;

use std::path::PathBuf;
use std::sync::OnceLock;

use facebench_host::{PluginDir, Plugins};

/// The shipped plugins, built once in this profile.
pub(crate) fn plugins() -> &'static Plugins {
    static PLUGINS: OnceLock<Plugins> = OnceLock::new();
    PLUGINS.get_or_init(|| {
        // the same command as the set-up, so that nothing is compiled twice with other features
        let mut cargo = std::process::Command::new(env!("CARGO"));
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        cargo.args(["build", "--release", "--quiet"]).current_dir(root);
        assert!(cargo.status().unwrap().success(), "the plugins must build");
        // target/release/deps/<test> -> target/release
        let beside: PathBuf = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().into();
        Plugins::open(&[PluginDir::automatic(beside)]).unwrap()
    })
}
