//! Arguments of `facebench robustness`.

use std::path::PathBuf;

use clap::Args;

use super::FinishedArgs;

/// `facebench robustness`
#[derive(Debug, Args)]
#[command(
    after_help = "Example: facebench robustness facebench-demo/runs --protocol dfd-cross --head \"linear probe\"\n\n\
    Scores the test sets again with damaged pictures, at five severities, without training anything. Each damage and\n\
    severity is a result of its own in RUNS/robustness: a second call goes on where the first stopped"
)]
pub(crate) struct RobustnessArgs {
    /// Finished runs
    #[command(flatten)]
    pub(crate) finished: FinishedArgs,
    /// `jpeg`, `blur`, `noise`, `resize`, `gamma`: some of them with commas, or `all`
    #[arg(long, value_name = "LIST", default_value = "all")]
    pub(crate) corruptions: String,
    /// How the table is printed: `term`, `md`, `csv`, `json` or `tex`
    #[arg(long, value_name = "F", default_value = "term")]
    pub(crate) format: String,
    /// Folder for tables and curves; `reports/robustness` beside the runs if absent
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}
