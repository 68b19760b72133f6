//! What the user may type: every command and flag, once; parser, help and completions come from here.
//!
//! This is the first of two levels. Nothing is opened or decided here; `commands` turns these into what
//! the program needs. Each command's help ends with an example that works as it stands.

mod finished;
mod leaderboard;
mod robustness;
mod score;
mod selftest;
mod tools;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use finished::{ExplainArgs, FinishedArgs, Side};
pub(crate) use leaderboard::{ExportArgs, LeaderboardCommand, PackArgs, SiteArgs, VerifyArgs};
pub(crate) use robustness::RobustnessArgs;
pub(crate) use score::{Order, Rule, ScoreArgs};
pub(crate) use selftest::SelftestArgs;
pub(crate) use tools::{
    AuditArgs, CheckpointCommand, DataCommand, FeaturesArgs, Fit, MaskArgs, MetricsArgs, PluginCommand,
    PluginKind, ReportArgs, Scale, SchemaArgs, SchemaOf, SourceArgs, TorchLayout,
};

/// A benchmark harness for face security: pre-train, tune and compare detectors of forged faces
#[derive(Debug, Parser)]
#[command(name = "facebench", version, max_term_width = 100)]
#[command(after_help = "Example: facebench demo\n\n\
    Exit codes: 0 done; 1 a check found something wrong; 2 usage or configuration; 42 permanent failure; 75 interrupted, run again to go on")]
pub(crate) struct Cli {
    /// What to do
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The whole story on synthetic faces, in minutes, on a laptop: pre-train, tune, three protocols, tables
    Demo(DemoArgs),
    /// Show what an experiment would run, what is finished already, and every default
    Plan(PlanArgs),
    /// Run an experiment: finished units are skipped, interrupted ones go on
    Run(RunArgs),
    /// Score pictures, a data set or a protocol's sets with a tuned detector
    Score(Box<ScoreArgs>),
    /// Features of pictures or arrays from any backbone with any checkpoint
    Features(Box<FeaturesArgs>),
    /// Show which patches a masking strategy hides
    Mask(MaskArgs),
    /// Compute a protocol's metrics for scores from anywhere
    Metrics(MetricsArgs),
    /// Tables and figures of finished runs
    Report(ReportArgs),
    /// The worst mistakes of a finished run, and what the network looked at
    Explain(Box<ExplainArgs>),
    /// The test sets of finished runs again, with damaged pictures: what JPEG, blur, noise, scaling and gamma cost
    Robustness(Box<RobustnessArgs>),
    /// Leaderboards: bundles that prove their numbers, a page of them, files for outside boards
    #[command(subcommand)]
    Leaderboard(LeaderboardCommand),
    /// Data sets: list, synthesise, forge, index, check
    #[command(subcommand)]
    Data(DataCommand),
    /// Plugins: list, show, check, write a new one
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Checkpoints: what is in a file, and what would load
    #[command(subcommand)]
    Checkpoint(CheckpointCommand),
    /// JSON Schema of experiment or protocol files, for editors
    Schema(SchemaArgs),
    /// Compare this program with numeric fixtures: inputs, expected numbers and tolerances come from the files
    Selftest(SelftestArgs),
    /// Completions for a shell
    #[command(
        after_help = "Example: facebench completions bash > ~/.local/share/bash-completion/completions/facebench"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Where plugins are looked for.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct PluginDirs {
    /// Another folder with plugins (`*.so`), besides the program's own and those in FACEBENCH_PLUGINS
    #[arg(long = "plugins", value_name = "DIR")]
    pub(crate) plugins: Vec<PathBuf>,
}

/// An experiment and where its results are.
#[derive(Clone, Debug, Args)]
pub(crate) struct ExperimentArgs {
    /// Experiment file, or `preset:demo`
    #[arg(value_name = "EXPERIMENT")]
    pub(crate) experiment: String,
    /// Change a setting, e.g. `-s seeds=[0,1,2]`; may be given several times
    #[arg(short = 's', long = "set", value_name = "A.B=C")]
    pub(crate) set: Vec<String>,
    /// Folder of results, shared by all experiments
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub(crate) runs: PathBuf,
    /// Plugins
    #[command(flatten)]
    pub(crate) plugins: PluginDirs,
}

/// How much of the machine is used. Changes no result.
#[derive(Clone, Debug, Args)]
pub(crate) struct MachineArgs {
    /// Units that run at the same time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) jobs: Option<u16>,
    /// Threads of each unit; all cores shared among the jobs if absent
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// `cpu`, `cuda:N`, or `auto`
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub(crate) device: String,
}

/// `facebench demo`
#[derive(Debug, Args)]
#[command(after_help = "Example: facebench demo --out facebench-demo")]
pub(crate) struct DemoArgs {
    /// Folder for tables, figures and runs
    #[arg(long, value_name = "DIR", default_value = "facebench-demo")]
    pub(crate) out: PathBuf,
    /// Folder of results; OUT/runs if absent
    #[arg(long, value_name = "DIR")]
    pub(crate) runs: Option<PathBuf>,
    /// Change a setting of the demo's experiment, e.g. `-s data.synth.seed=7`
    #[arg(short = 's', long = "set", value_name = "A.B=C")]
    pub(crate) set: Vec<String>,
    /// Machine
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
    /// Plugins
    #[command(flatten)]
    pub(crate) plugins: PluginDirs,
}

/// `facebench plan`
#[derive(Debug, Args)]
#[command(after_help = "Example: facebench plan preset:demo -s seeds=[0,1] --full")]
pub(crate) struct PlanArgs {
    /// Experiment
    #[command(flatten)]
    pub(crate) experiment: ExperimentArgs,
    /// How to print it; `sh` is one command per unit that is not finished
    #[arg(long, value_enum, default_value_t = PlanFormat::Term)]
    pub(crate) format: PlanFormat,
    /// Print every resolved setting too
    #[arg(long)]
    pub(crate) full: bool,
}

/// Forms of a printed plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PlanFormat {
    /// For people
    Term,
    /// For programs; holds everything
    Json,
    /// For shells and job arrays
    Sh,
}

/// `facebench run`
#[derive(Debug, Args)]
#[command(after_help = "Example: facebench run preset:demo -s seeds=[0,1,2] --jobs 2 --out report\n\n\
    Exit codes: 0 done; 1 done, but the audit says stop of a result (it is kept); 2 usage or configuration; \
    42 a unit failed; 75 interrupted, run again to go on")]
pub(crate) struct RunArgs {
    /// Experiment
    #[command(flatten)]
    pub(crate) experiment: ExperimentArgs,
    /// Only this unit and what it needs: its digest, or the beginning of it
    #[arg(long, value_name = "DIGEST")]
    pub(crate) unit: Option<String>,
    /// Write tables and figures here when everything is done
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Machine
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_is_consistent_and_every_command_shows_an_example() {
        let command = Cli::command();
        command.clone().debug_assert();
        let mut open = vec![command];
        while let Some(c) = open.pop() {
            let leaf = c.get_subcommands().next().is_none();
            let help = c.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(!leaf || help.contains("Example: facebench "), "{} has no example", c.get_name());
            open.extend(c.get_subcommands().cloned());
        }
    }
}
