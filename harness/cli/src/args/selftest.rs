//! Arguments of the self-test.

use std::path::PathBuf;

use clap::Args;

use super::PluginDirs;

/// `facebench selftest`
#[derive(Debug, Args)]
#[command(after_help = "Example: facebench selftest --golden harness/selftest/tests/golden")]
pub(crate) struct SelftestArgs {
    /// Folder with fixtures (`*.json` with an `about` block), or one such file
    #[arg(long, value_name = "DIR")]
    pub(crate) golden: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Plugins
    #[command(flatten)]
    pub(crate) plugins: PluginDirs,
}
