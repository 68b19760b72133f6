//! Arguments of the commands that work on single files, data sets and plugins.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use super::{PluginDirs, Rule};

/// `facebench mask`
#[derive(Debug, Args)]
#[command(after_help = "Example: facebench mask --strategy random --grid 14 --seed 3 --out mask.png")]
pub(crate) struct MaskArgs {
    /// Masking plugin
    #[arg(long, value_name = "NAME", default_value = "crfr-p")]
    pub(crate) strategy: String,
    /// A setting of the plugin, e.g. `-s key=value`
    #[arg(short = 's', long = "set", value_name = "A=B")]
    pub(crate) set: Vec<String>,
    /// Face-parsing map (int8, labels 0 to 10), for strategies that need one
    #[arg(long, value_name = "MAP.npy")]
    pub(crate) parsing: Option<PathBuf>,
    /// Picture to draw the mask on
    #[arg(long, value_name = "FILE")]
    pub(crate) image: Option<PathBuf>,
    /// Patches along each side
    #[arg(long, value_name = "N", default_value_t = 14)]
    pub(crate) grid: usize,
    /// Share of hidden patches
    #[arg(long, value_name = "R", default_value_t = 0.75)]
    pub(crate) ratio: f64,
    /// Seed
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Write `.png` (a picture), `.npy` (u8, 2 × N × N: hidden, covered region) or `.json`; text on stdout if absent
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Plugins
    #[command(flatten)]
    pub(crate) plugins: PluginDirs,
}

/// `facebench metrics`
#[derive(Debug, Args)]
#[command(
    after_help = "Example: facebench metrics --protocol dfd-cross --scores scores.csv --format json\n\n\
    The CSV has the columns set,dataset,method,video,frame,label,score,raw,subjects: `set` is `dev` or the name of a \
    test set of the protocol, label 1 = fake, score = P(fake); raw and subjects may be absent. A .npz has one array of \
    each name (np.savez). Files that count the other way round: --positive real\n\n\
    Two models, paired tests: facebench metrics --scores a.csv --scores b.csv --name A --name B"
)]
pub(crate) struct MetricsArgs {
    /// Protocol: an identifier, or a file. Without one, every set of the file is measured as it is
    #[arg(long, value_name = "P")]
    pub(crate) protocol: Option<String>,
    /// Fold of the protocol; needed only if it has several
    #[arg(long, value_name = "NAME", requires = "protocol")]
    pub(crate) fold: Option<String>,
    /// The scores, `.csv` or `.npz`; again for another model or seed, which is compared on the same videos
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) scores: Vec<PathBuf>,
    /// What label 1 and a high score mean in the file: `fake` or `real`
    #[arg(long, value_name = "CLASS", default_value = "fake", value_parser = ["fake", "real"])]
    pub(crate) positive: String,
    /// Name of the row, one for each file in the same order; files of one name are seeds. Default: the model's that
    /// `facebench score` recorded beside the file, else the file's
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Vec<String>,
    /// The faces are synthetic: the tables say so, and real results are kept apart
    #[arg(long)]
    pub(crate) synthetic: bool,
    /// How the checkpoint was chosen, as the authors say; not stated if absent. `oracle` is never ranked
    #[arg(long, value_enum, value_name = "RULE")]
    pub(crate) selection: Option<Rule>,
    /// Keep each row as a finished run below this folder, for `facebench report` and `leaderboard pack`
    #[arg(long, value_name = "DIR", requires = "protocol")]
    pub(crate) save: Option<PathBuf>,
    /// `term`, `md`, `csv`, `json` or `tex`
    #[arg(long, value_name = "F", default_value = "term")]
    pub(crate) format: String,
}

/// `facebench report`
#[derive(Debug, Args)]
#[command(after_help = "Example: facebench report runs --format md")]
pub(crate) struct ReportArgs {
    /// Folders of finished units, or folders that hold such folders
    #[arg(value_name = "RUNS", default_value = "runs")]
    pub(crate) runs: Vec<PathBuf>,
    /// `term`, `md`, `csv`, `json` or `tex` on stdout; with `--out` also `html`, `svg`, `png`, or several: `md,svg`
    #[arg(long, value_name = "F", default_value = "all", hide_default_value = true)]
    pub(crate) format: String,
    /// Write the report here, everything if no format is given
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Put published rows below the measured ones: greyed, unranked, with what differs as footnotes
    #[arg(long)]
    pub(crate) cite: bool,
    /// Show face pictures of real people in the page; those of synthetic ones are always shown
    #[arg(long)]
    pub(crate) with_images: bool,
}

/// `facebench data …`
#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// The data sets that readers know: where they are expected, licence, where to get them, which protocols use them
    #[command(after_help = "Example: facebench data list cdfv2")]
    List {
        /// Only these: identifiers, or the beginning of them
        #[arg(value_name = "DATASET")]
        only: Vec<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make synthetic faces in the layouts of the real data sets
    #[command(after_help = "Example: facebench data synth faces --scale tiny --seed 7")]
    Synth {
        /// Folder to make; must be absent, empty, or made with the same settings
        out: PathBuf,
        /// Seed
        #[arg(long, value_name = "S", default_value_t = 0)]
        seed: u64,
        /// Width and height of a picture
        #[arg(long, value_name = "PIXELS", default_value_t = 64)]
        size: usize,
        /// How much of everything
        #[arg(long, value_enum, default_value_t = Scale::Demo)]
        scale: Scale,
    },
    /// Make a detection data set from photographs: one folder per person
    #[command(after_help = "Example: facebench data forge people forged -s seed=7")]
    Forge {
        /// Folder with one folder of face pictures per person
        faces: PathBuf,
        /// Folder to fill; must be absent or empty
        out: PathBuf,
        /// Change a setting, e.g. `-s seed=7`
        #[arg(short = 's', long = "set", value_name = "A=B")]
        set: Vec<String>,
    },
    /// Write a data set's manifest as CSV: one picture (or film) per line, with its identity and label
    #[command(after_help = "Example: facebench data index ffpp-c23 faces --out ffpp.csv\n\n\
        ROOT is a data root, the data set's own folder in a layout of `facebench data list`, a data-set JSON of\n\
        DeepfakeBench, a manifest, or any CSV whose columns are named:\n\
        facebench data index folder:mine list.csv --path-column file --label-column target --fake 1 --real 0\n\n\
        A manifest at ROOT/manifests/DATASET.csv is read in place of the data set's folder")]
    Index {
        /// Data-set identifier, as in `facebench data list`, or folder:NAME
        dataset: String,
        /// Data root, or what else holds the data set
        root: PathBuf,
        /// The file to write; stdout if absent
        #[arg(long, value_name = "CSV")]
        out: Option<PathBuf>,
        /// Read every file for its SHA-256
        #[arg(long)]
        hash: bool,
        /// Where it is and how it is read
        #[command(flatten)]
        source: SourceArgs,
    },
    /// Pack folders of faces and parsing maps into one file for pre-training; the same command goes on after an interruption
    #[command(after_help = "Example: facebench data pack faces/pretrain/synthfaces synthfaces.fbshard\n\n\
        A folder holds `images/` and, where there are any, `parsing_maps/` (or images at any depth). Name the shard\n\
        in an experiment like a folder: `data: {sets: [pretrain/synthfaces.fbshard]}`")]
    Pack {
        /// Folders, then the shard to write (`.fbshard`)
        #[arg(value_name = "ROOT… OUT", required = true, num_args = 2..)]
        paths: Vec<PathBuf>,
        /// Threads that read and check pictures; all cores if absent
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
        threads: Option<u16>,
    },
    /// Look for pictures and people that a protocol trains on and tests too
    Audit(AuditArgs),
    /// Compare a data set with what is published: counts, missing, empty and unreadable files, two files of one identity;
    /// or read every record of a shard
    #[command(after_help = "Example: facebench data check ffpp-c23 faces\n\n\
        Copies under another name are no fault of a data set: `facebench data audit` looks for those that training and\n\
        testing share.\n\
        Exit code 42 if a file cannot be used, or the number of videos is not the published one")]
    Check {
        /// Data-set identifier, as in `facebench data list`, folder:NAME, or a packed shard (`.fbshard`)
        dataset: String,
        /// Data root, the data set's own folder, or a manifest; not needed for a shard
        root: Option<PathBuf>,
        /// Names, lists and sizes only: decode no picture
        #[arg(long)]
        quick: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Where it is and how it is read
        #[command(flatten)]
        source: SourceArgs,
    },
}

/// `facebench data audit`
#[derive(Debug, Args)]
#[command(after_help = "Example: facebench data audit own-faces forged --cache prints\n\n\
    Every run does this for itself; exit code 42 if training holds files or copies of what is tested")]
pub(crate) struct AuditArgs {
    /// Protocol: an identifier, or a file
    pub(crate) protocol: String,
    /// Data root
    pub(crate) root: PathBuf,
    /// Only this fold
    #[arg(long, value_name = "NAME")]
    pub(crate) fold: Option<String>,
    /// Folder or packed shard under the data root that is pre-trained on; may be given several times
    #[arg(long, value_name = "DIR")]
    pub(crate) pretrain: Vec<String>,
    /// Keep the pictures' prints here, so that they are read once; for a run's, RUNS/.prints
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// How a data set is found and read.
#[derive(Debug, Args)]
pub(crate) struct SourceArgs {
    /// Read it in this layout only, e.g. `ffpp-official`
    #[arg(long, value_name = "NAME")]
    pub(crate) layout: Option<String>,
    /// Folder of the pictures that a DeepfakeBench JSON lists (datasets/rgb), or of its LMDB
    #[arg(long, value_name = "DIR")]
    pub(crate) frames: Option<PathBuf>,
    /// Any CSV: the column of the file names
    #[arg(long, value_name = "COLUMN", requires = "label_column")]
    pub(crate) path_column: Option<String>,
    /// … of the labels
    #[arg(long, value_name = "COLUMN", requires = "path_column")]
    pub(crate) label_column: Option<String>,
    /// … of the videos
    #[arg(long, value_name = "COLUMN", requires = "path_column")]
    pub(crate) video_column: Option<String>,
    /// … of the frame numbers
    #[arg(long, value_name = "COLUMN", requires = "path_column")]
    pub(crate) frame_column: Option<String>,
    /// … of the splits (train, val, test)
    #[arg(long, value_name = "COLUMN", requires = "path_column")]
    pub(crate) split_column: Option<String>,
    /// … of the methods
    #[arg(long, value_name = "COLUMN", requires = "path_column")]
    pub(crate) method_column: Option<String>,
    /// … of the people shown, separated by `;`
    #[arg(long, value_name = "COLUMN", requires = "path_column")]
    pub(crate) subject_column: Option<String>,
    /// A value of the label that means real (usual: 0, real, live, bonafide, genuine)
    #[arg(long, value_name = "VALUE", requires = "fake")]
    pub(crate) real: Vec<String>,
    /// A value of the label that means fake (usual: 1, fake, spoof, attack, synthetic)
    #[arg(long, value_name = "VALUE", requires = "real")]
    pub(crate) fake: Vec<String>,
}

/// Amounts of synthetic faces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scale {
    /// Thousands of pictures
    Demo,
    /// A few of everything
    Tiny,
}

/// `facebench plugin …`
#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// All plugins found
    #[command(after_help = "Example: facebench plugin list")]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Name the libraries beside the program that are no plugins, too
        #[arg(long)]
        verbose: bool,
        /// Plugins
        #[command(flatten)]
        plugins: PluginDirs,
    },
    /// A plugin's settings with their defaults
    #[command(after_help = "Example: facebench plugin show fsvfm")]
    Show {
        /// Its name
        name: String,
        /// Print its JSON Schema
        #[arg(long)]
        json: bool,
        /// Plugins
        #[command(flatten)]
        plugins: PluginDirs,
    },
    /// Load one file and say what is in it, or why it cannot be used
    #[command(after_help = "Example: facebench plugin check target/release/libfacebench_head_linear.so")]
    Check {
        /// The file
        file: PathBuf,
    },
    /// Write a crate with a working plugin of your own
    #[command(after_help = "Example: facebench plugin new my-head --kind head")]
    New {
        /// Name of the plugin and of the folder
        name: String,
        /// What it is
        #[arg(long, value_enum)]
        kind: PluginKind,
        /// Folder to write into; ./NAME if absent
        #[arg(long, value_name = "DIR")]
        path: Option<PathBuf>,
        /// Folder of the crate `facebench-plugin`; found beside the program if absent
        #[arg(long, value_name = "DIR")]
        sdk: Option<PathBuf>,
    },
}

/// Kinds of plugins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PluginKind {
    /// An encoder: pictures to tokens
    Backbone,
    /// Which patches are hidden in pre-training
    Masking,
    /// Features to a decision
    Head,
}

/// `facebench checkpoint …`
#[derive(Debug, Subcommand)]
pub(crate) enum CheckpointCommand {
    /// Which backbone reads a file with weights, what of it loads, what is ignored and why, what does not fit
    #[command(after_help = "Example: facebench checkpoint show model.safetensors --backbone fsvfm")]
    Show {
        /// `.safetensors`, `.pth`, `.pt` or `.npz`; nothing in it is executed
        file: PathBuf,
        /// Backbone plugin to compare with; all of them in all sizes if absent
        #[arg(long, value_name = "NAME")]
        backbone: Option<String>,
        /// A setting of the backbone, e.g. `-s size=base`
        #[arg(short = 's', long = "set", value_name = "A=B")]
        set: Vec<String>,
        /// List every key with its shape
        #[arg(long)]
        keys: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Plugins
        #[command(flatten)]
        plugins: PluginDirs,
    },
    /// Write the weights of any file read here as `.pth` (for `torch.load`) or `.safetensors`
    #[command(
        after_help = "Example: facebench checkpoint convert model.safetensors model.pth --layout model"
    )]
    Convert {
        /// `.safetensors`, `.pth`, `.pt`, `.pth.tar` or `.npz`; nothing in it is executed
        input: PathBuf,
        /// The file to write; its ending says the format
        output: PathBuf,
        /// Of a `.pth`: `model` for `{"model": {…}}`, `bare` for the state dict alone
        #[arg(long, value_enum, default_value_t = TorchLayout::Model)]
        layout: TorchLayout,
        /// Key of the input that holds the weights, if it is not one of the usual ones
        #[arg(long, value_name = "KEY")]
        root: Option<String>,
    },
}

/// Where the weights lie in a `.pth` that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TorchLayout {
    /// Below the key `model`
    Model,
    /// At the top
    Bare,
}

/// `facebench features`
#[derive(Debug, Args)]
#[command(
    after_help = "Example: facebench features --backbone dino -s size=micro --random-weights --folder faces --out features.npz\n\
    Example: facebench features --backbone dino -s size=micro --random-weights --manifest ffpp.csv --out f.npz --plot tsne.svg\n\n\
    Arrays of the file: `pooled` (n, D), `tokens` (n, 1 + N, D), both f32, and `ids`, one name per picture. With\n\
    `--images` the values are used as they are: no resizing, no normalisation"
)]
#[command(group(ArgGroup::new("input").required(true)))]
pub(crate) struct FeaturesArgs {
    /// Backbone plugin
    #[arg(long, value_name = "NAME")]
    pub(crate) backbone: String,
    /// Its weights: `.safetensors`, `.pth`, `.pt` or `.npz`
    #[arg(long, value_name = "FILE", required_unless_present = "random_weights")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// Random weights instead of a file, from this program's seed 0
    #[arg(long, conflicts_with = "checkpoint")]
    pub(crate) random_weights: bool,
    /// A setting of the backbone, e.g. `-s size=base`
    #[arg(short = 's', long = "set", value_name = "A=B")]
    pub(crate) set: Vec<String>,
    /// Images as an array (n, 3, H, W) of f32, used as they are
    #[arg(long, value_name = "X.npy", group = "input")]
    pub(crate) images: Option<PathBuf>,
    /// Manifest, as `facebench data index` writes it; may be given several times
    #[arg(long, value_name = "CSV", group = "input")]
    pub(crate) manifest: Vec<PathBuf>,
    /// Folder with pictures, at any depth
    #[arg(long, value_name = "DIR", group = "input")]
    pub(crate) folder: Option<PathBuf>,
    /// Write the pooled features; the default
    #[arg(long)]
    pub(crate) pool: bool,
    /// Write the tokens of the last block; with `--pool`, both
    #[arg(long)]
    pub(crate) tokens: bool,
    /// The file to write: `.npz` or `.safetensors`
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) out: PathBuf,
    /// Draw the pooled features of `--manifest`, laid out by t-SNE: `.svg` or `.png`, with a CSV beside it
    #[arg(long, value_name = "FIGURE")]
    pub(crate) plot: Option<PathBuf>,
    /// How pictures are brought to the input size
    #[arg(long, value_enum, default_value_t = Fit::Direct)]
    pub(crate) transform: Fit,
    /// Pictures at a time
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
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

/// How a picture becomes square.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fit {
    /// Resized to the input size
    Direct,
    /// Short side to 8/7 of the input size, then the centre
    CenterCrop,
}

/// `facebench schema`
#[derive(Debug, Args)]
#[command(after_help = "Example: facebench schema experiment > experiment.schema.json")]
pub(crate) struct SchemaArgs {
    /// Of which files
    #[arg(value_enum, default_value_t = SchemaOf::Experiment)]
    pub(crate) of: SchemaOf,
}

/// Files that have a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaOf {
    /// Experiment files
    Experiment,
    /// Protocol files
    Protocol,
}
