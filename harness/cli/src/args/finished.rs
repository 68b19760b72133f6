//! Arguments of the commands that go back to finished runs: `explain` and `robustness`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::PluginDirs;

/// Finished scoring units, and what opening them again needs.
#[derive(Clone, Debug, Args)]
pub(crate) struct FinishedArgs {
    /// Folder of results, or the folder of one scoring unit
    #[arg(value_name = "RUNS")]
    pub(crate) runs: PathBuf,
    /// Only this unit: its digest, the beginning of it, or its folder's name
    #[arg(long, value_name = "DIGEST")]
    pub(crate) unit: Option<String>,
    /// Only this model, as tables call it
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// Only this head, as tables call it
    #[arg(long, value_name = "NAME")]
    pub(crate) head: Option<String>,
    /// Only this protocol; the file of one that does not ship
    #[arg(long, value_name = "P")]
    pub(crate) protocol: Option<String>,
    /// Only this fold of the protocol
    #[arg(long, value_name = "NAME")]
    pub(crate) fold: Option<String>,
    /// Only this seed
    #[arg(long, value_name = "S")]
    pub(crate) seed: Option<u64>,
    /// The data root, if the run did not make its data itself
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// The file of published weights that the model started from, if it did
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// Threads; all cores if absent
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// `cpu`, `cuda:N`, or `auto`
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub(crate) device: String,
    /// Plugins
    #[command(flatten)]
    pub(crate) plugins: PluginDirs,
}

/// `facebench explain`
#[derive(Debug, Args)]
#[command(
    after_help = "Example: facebench explain facebench-demo/runs --protocol dfd-cross --model FS-VFM --top 6\n\n\
    Prints the worst mistakes and writes them as CSV; draws the frames with maps of what the network looked at. The\n\
    pictures show faces of the test sets: they are written because you asked for them, look where they go.\n\n\
    A false accept is a fake with a score at or below the threshold, a false reject a real face above it. The threshold\n\
    is the one of the report: that of the development set, or 0.5 where there is none"
)]
pub(crate) struct ExplainArgs {
    /// Finished runs
    #[command(flatten)]
    pub(crate) finished: FinishedArgs,
    /// Only this test set
    #[arg(long, value_name = "NAME")]
    pub(crate) set: Option<String>,
    /// Mistakes of each kind and test set; pictures show the first 8
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) top: u16,
    /// `auto` (the report's), or a score between 0 and 1
    #[arg(long, value_name = "T", default_value = "auto")]
    pub(crate) threshold: String,
    /// `rollout`, `gradient`, `grad-cam`, several with commas; `auto`: roll-out where there is attention, and gradient
    #[arg(long, value_name = "M", default_value = "auto")]
    pub(crate) method: String,
    /// What gradient maps argue for
    #[arg(long, value_enum, default_value_t = Side::Fake)]
    pub(crate) evidence: Side,
    /// Only the list, no pictures
    #[arg(long)]
    pub(crate) no_pictures: bool,
    /// How the list is printed: `term`, `md`, `csv`, `json` or `tex`
    #[arg(long, value_name = "F", default_value = "term")]
    pub(crate) format: String,
    /// Folder for the CSV and the pictures; `reports/explain` beside the runs if absent
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// A class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Side {
    /// Places that make the score higher
    Fake,
    /// Places that make it lower
    Real,
}
