//! Arguments of the self-test.

use std::path::PathBuf;

use clap::Args;

use super::PluginDirs;

/// `facebench selftest`
#[derive(Debug, Args)]
#[command(after_help = "Example: facebench selftest --device cpu\n\n\
    With `--device` every operation runs forward and backward on that device and is compared with its definition in\n\
    f64; with `--golden` every fixture in a folder is checked. Exit code 1 if anything fails")]
pub(crate) struct SelftestArgs {
    /// Folder with fixtures (`*.json` with an `about` block), or one such file
    #[arg(long, value_name = "DIR")]
    pub(crate) golden: Option<PathBuf>,
    /// Compare the operations of this device, `cpu`, `cuda:N` or `auto`, with their definition
    #[arg(long, value_name = "DEVICE", conflicts_with = "golden")]
    pub(crate) device: Option<String>,
    /// Also measure inference and training steps of a ViT-B-sized stack on the device
    #[arg(long, requires = "device")]
    pub(crate) bench: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Plugins
    #[command(flatten)]
    pub(crate) plugins: PluginDirs,
}
