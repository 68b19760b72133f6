//! Arguments of `facebench score`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum};
use facebench_protocols::Selection;
use facebench_train::Classes;

use super::{Fit, PluginDirs, SourceArgs};

/// `facebench score`
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("input").required(true)))]
#[command(
    after_help = "Example: facebench score tune-3f2a --data cdfv2 --root faces --split test --out scores.csv\n  \
    facebench score runs/tune-3f2a… --selection last --manifest mine.csv --out mine-scores.csv\n  \
    facebench score tune-3f2a --protocol dfd-cross --root faces --out scores.csv\n  \
    facebench score --backbone fsvfm -s size=base --head linear --weights tuned.pth --classes fake-real \\\n      \
    --folder pictures --out pictures.csv\n\n\
    The file has the columns of `facebench metrics --scores`: set,dataset,method,video,frame,label,score,raw,subjects,\n\
    with label 1 = fake and score = P(fake). With --folder, which has no labels: picture,score,raw. Beside it lies a\n\
    record (.json) of what scored what. After an interruption, SIGKILL too, the same command goes on.\n\n\
    Exit codes: 0 done; 2 usage, or something that does not fit; 42 a picture that cannot be read, a score that is no\n\
    number; 75 interrupted"
)]
pub(crate) struct ScoreArgs {
    /// A finished tuning or scoring unit: its folder, or the beginning of its digest
    #[arg(value_name = "UNIT", required_unless_present = "backbone", conflicts_with = "backbone")]
    pub(crate) unit: Option<String>,
    /// Folder of results in which UNIT is looked for
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub(crate) runs: PathBuf,
    /// Which checkpoint of UNIT; the scoring unit's own, or the protocol's, if absent
    #[arg(long, value_enum, value_name = "RULE", requires = "unit")]
    pub(crate) selection: Option<Rule>,
    /// Backbone plugin, in place of UNIT
    #[arg(long, value_name = "NAME", requires_all = ["head", "weights"])]
    pub(crate) backbone: Option<String>,
    /// A setting of the backbone, e.g. `-s size=base`
    #[arg(short = 's', long = "set", value_name = "A=B", requires = "backbone")]
    pub(crate) set: Vec<String>,
    /// Head plugin
    #[arg(long, value_name = "NAME", requires = "backbone")]
    pub(crate) head: Option<String>,
    /// A setting of the head, e.g. `--head-set norm=layer`
    #[arg(long, value_name = "A=B", requires = "backbone")]
    pub(crate) head_set: Vec<String>,
    /// What tuning left: an `epoch-….safetensors` of a unit, or any checkpoint with the head's tensors
    #[arg(long, value_name = "FILE", requires = "backbone")]
    pub(crate) weights: Option<PathBuf>,
    /// Weights the backbone started from, where UNIT or `--weights` do not hold all of them
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// Order of the network's outputs in `--weights`; `fake-real` for class folders sorted by name
    #[arg(long, value_enum, value_name = "ORDER", default_value_t = Order::RealFake, requires = "weights")]
    pub(crate) classes: Order,
    /// Score this manifest, as `facebench data index` writes it
    #[arg(long, value_name = "CSV", group = "input")]
    pub(crate) manifest: Option<PathBuf>,
    /// Score this data set: an identifier of `facebench data list`, or folder:NAME
    #[arg(long, value_name = "DATASET", group = "input", requires = "root")]
    pub(crate) data: Option<String>,
    /// Score the development and test sets of this protocol
    #[arg(long, value_name = "P", group = "input", requires = "root")]
    pub(crate) protocol: Option<String>,
    /// Score every picture of this folder; no labels, hence no metrics
    #[arg(long, value_name = "DIR", group = "input")]
    pub(crate) folder: Option<PathBuf>,
    /// Fold of `--protocol`; needed only if it has several
    #[arg(long, value_name = "NAME", requires = "protocol")]
    pub(crate) fold: Option<String>,
    /// Data root of `--data` and `--protocol`; the data set's own folder, or what else `data index` takes
    #[arg(long, value_name = "ROOT")]
    pub(crate) root: Option<PathBuf>,
    /// Only this split of `--manifest` or `--data`: train, val or test; may be given several times
    #[arg(long, value_name = "SPLIT", conflicts_with_all = ["protocol", "folder"])]
    pub(crate) split: Vec<SplitName>,
    /// Name of the set in the file; the data set's identifier if absent
    #[arg(long, value_name = "SET", conflicts_with_all = ["protocol", "folder"])]
    pub(crate) name: Option<String>,
    /// How `--data` is read
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// How pictures are brought to the input size; the protocol's way if absent, `direct` if there is none
    #[arg(long, value_enum)]
    pub(crate) transform: Option<Fit>,
    /// The file to write
    #[arg(long, value_name = "CSV", required = true)]
    pub(crate) out: PathBuf,
    /// Pictures at a time; changes no number
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) batch: u16,
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

/// Selection rules, as they are typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Rule {
    /// The last checkpoint
    Last,
    /// The lowest loss on the development set
    MinValLoss,
    /// The highest AUC on the development set
    MaxValAuc,
    /// The best on the test sets: a bound, not a result
    Oracle,
}

impl From<Rule> for Selection {
    fn from(rule: Rule) -> Self {
        match rule {
            Rule::Last => Self::Last,
            Rule::MinValLoss => Self::MinValLoss,
            Rule::MaxValAuc => Self::MaxValAuc,
            Rule::Oracle => Self::Oracle,
        }
    }
}

/// Orders of two outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Order {
    /// Output 1 is fake
    RealFake,
    /// Output 1 is real
    FakeReal,
}

impl From<Order> for Classes {
    fn from(order: Order) -> Self {
        match order {
            Order::RealFake => Self::RealFake,
            Order::FakeReal => Self::FakeReal,
        }
    }
}

/// Splits, as they are typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SplitName {
    /// Training
    Train,
    /// Development
    Val,
    /// Test
    Test,
}

impl From<SplitName> for facebench_protocols::Split {
    fn from(name: SplitName) -> Self {
        match name {
            SplitName::Train => Self::Train,
            SplitName::Val => Self::Val,
            SplitName::Test => Self::Test,
        }
    }
}
