//! Arguments of `facebench leaderboard …`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `facebench leaderboard …`
#[derive(Debug, Subcommand)]
pub(crate) enum LeaderboardCommand {
    /// Make a bundle of finished runs: records, per-sample scores, digests, a model card
    #[command(after_help = "Example: facebench leaderboard pack runs --name my-model --out my-model")]
    Pack(PackArgs),
    /// Recompute every number of a bundle from its scores; check digests, samples, protocol and signature
    #[command(after_help = "Example: facebench leaderboard verify my-model")]
    Verify(VerifyArgs),
    /// Make a leaderboard page from a folder of bundles; bundles with problems are listed, not ranked
    #[command(after_help = "Example: facebench leaderboard site bundles --out site")]
    Site(SiteArgs),
    /// Write the file that an outside board wants, checked against its rules
    #[command(
        after_help = "Example: facebench leaderboard export --board lines-live --scores scores.csv --list names.txt --out submission.txt\n\n\
        Boards: `facebench leaderboard boards`; `eval-results` writes YAML for model repositories from --runs"
    )]
    Export(ExportArgs),
    /// The outside boards that `export` knows, with their rules
    #[command(after_help = "Example: facebench leaderboard boards")]
    Boards,
}

/// `facebench leaderboard pack`
#[derive(Debug, Args)]
pub(crate) struct PackArgs {
    /// Folders of finished units, or folders that hold such folders; training units give the digests of the weights
    #[arg(value_name = "RUNS", required = true)]
    pub(crate) runs: Vec<PathBuf>,
    /// Name on the leaderboard
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,
    /// New folder to write
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Only rows of this model, pre-training and head, as the table names them: `model=A`, `head=B`, `pretraining=C`
    #[arg(long = "only", value_name = "KEY=VALUE")]
    pub(crate) only: Vec<String>,
    /// Who submits
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) authors: String,
    /// Paper or code
    #[arg(long, value_name = "URL", default_value = "")]
    pub(crate) url: String,
    /// Licence of the weights
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) license: String,
    /// One paragraph for the model card
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) description: String,
    /// Files of protocols that do not ship with the program
    #[arg(long = "protocol", value_name = "FILE")]
    pub(crate) protocols: Vec<PathBuf>,
    /// Private SSH key to sign with
    #[arg(long, value_name = "FILE")]
    pub(crate) sign: Option<PathBuf>,
}

/// `facebench leaderboard verify`
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Bundles
    #[arg(value_name = "BUNDLE", required = true)]
    pub(crate) bundles: Vec<PathBuf>,
    /// Who may sign, as in `man ssh-keygen`: lines `name@example.org ssh-ed25519 AAAA…`; then a signature is required
    #[arg(long, value_name = "FILE")]
    pub(crate) signers: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `facebench leaderboard site`
#[derive(Debug, Args)]
pub(crate) struct SiteArgs {
    /// Folder of bundles
    pub(crate) bundles: PathBuf,
    /// Folder to write
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Heading of the page
    #[arg(long, value_name = "TEXT", default_value = "facebench leaderboard")]
    pub(crate) title: String,
    /// Who may sign; then only signed bundles are ranked
    #[arg(long, value_name = "FILE")]
    pub(crate) signers: Option<PathBuf>,
}

/// `facebench leaderboard export`
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The board
    #[arg(long, value_name = "BOARD")]
    pub(crate) board: String,
    /// A score file of ours (with --set), or a CSV with the columns name,score where score = P(fake)
    #[arg(long, value_name = "CSV")]
    pub(crate) scores: Option<PathBuf>,
    /// Set within a score file of ours
    #[arg(long, value_name = "NAME")]
    pub(crate) set: Option<String>,
    /// How names are made from a score file of ours: {dataset}, {method}, {video}, {frame}; equal names are averaged
    #[arg(long, value_name = "TEMPLATE", default_value = "{video}")]
    pub(crate) id: String,
    /// The board's list of names, in its order
    #[arg(long, value_name = "FILE")]
    pub(crate) list: Option<PathBuf>,
    /// P(fake) from which on a file is called fake, for boards that want words
    #[arg(long, value_name = "T")]
    pub(crate) threshold: Option<f64>,
    /// Keep scores this far from 0 and 1
    #[arg(long, value_name = "C")]
    pub(crate) clip: Option<f64>,
    /// Decimals of scores
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u8).range(1..=17))]
    pub(crate) decimals: u8,
    /// File to write; for eval-results the folder of the model repository
    #[arg(long, value_name = "PATH")]
    pub(crate) out: PathBuf,
    /// Finished units, for eval-results
    #[arg(long, value_name = "DIR")]
    pub(crate) runs: Vec<PathBuf>,
    /// Identifier of the benchmark on the hub, for eval-results: owner/name
    #[arg(long, value_name = "ID")]
    pub(crate) dataset: Option<String>,
    /// Metric, for eval-results
    #[arg(long, value_name = "METRIC", default_value = "video-auc")]
    pub(crate) metric: String,
    /// Where the results can be looked up, for eval-results
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
}
