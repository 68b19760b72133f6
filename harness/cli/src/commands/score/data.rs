//! What is scored: a protocol's sets, one data set or manifest, or a folder of pictures without labels.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use facebench_data::readers;
use facebench_protocols::{Assembled, Family, Fold, Protocol, Sample, Split, dataset};
use facebench_train::NamedSet;
use facebench_train::frames::FoldData;

use crate::args::ScoreArgs;
use crate::commands::{data_sets, metrics};
use crate::plan;

/// The samples, in the order in which they are scored.
pub(crate) enum Data {
    /// Development and test sets of a fold
    Fold(Box<(Protocol, FoldData)>),
    /// One set
    Set(Set),
    /// Pictures whose labels nobody said; with their names
    Pictures(Vec<Sample>, Vec<String>),
}

/// One labelled set.
pub(crate) struct Set {
    name: String,
    samples: Vec<Sample>,
    synthetic: bool,
    family: Family,
}

/// Reads what was asked for: names and lists, no picture.
///
/// # Errors
/// A data set, protocol, fold, column or file that is not there; nothing left of a split.
pub(crate) fn open(args: &ScoreArgs) -> Result<Data> {
    let root = args.root.as_deref().unwrap_or(Path::new(""));
    if let Some(id) = &args.protocol {
        let protocol = plan::protocol(id, Path::new(""))?;
        let fold = metrics::fold(&protocol, args.fold.as_deref())?.name.clone();
        let data = FoldData::open(&protocol, &fold, root)?;
        return Ok(Data::Fold(Box::new((protocol, data))));
    }
    if let Some(folder) = &args.folder {
        let files = readers::pictures(folder)?;
        let name = |path: &Path| path.strip_prefix(folder).unwrap_or(path).display().to_string();
        let names = files.iter().map(|f| name(f)).collect();
        let sample = |(i, path): (usize, _)| Sample {
            dataset: "pictures".into(),
            method: "unlabelled".into(),
            video: i.to_string(),
            frame: 0,
            label: 0,
            split: Split::Test,
            subjects: Vec::new(),
            path,
        };
        return Ok(Data::Pictures(files.into_iter().enumerate().map(sample).collect(), names));
    }
    let manifest = match (&args.manifest, &args.data) {
        (Some(_), _) if args.source.path_column.is_some() => bail!(
            "--path-column: a manifest has its own columns\nhint: name the table with `--data folder:NAME --root TABLE.csv`"
        ),
        (Some(file), _) => readers::manifest(file)?,
        (_, Some(id)) => data_sets::source(id, root, &args.source)?.load()?,
        _ => bail!("give --manifest, --data, --protocol or --folder"),
    };
    let mut samples = manifest.samples;
    let splits: Vec<Split> = args.split.iter().map(|s| Split::from(*s)).collect();
    if !splits.is_empty() {
        let there: std::collections::BTreeSet<String> = samples.iter().map(|s| s.split.to_string()).collect();
        samples.retain(|s| splits.contains(&s.split));
        if samples.is_empty() {
            let there: Vec<String> = there.into_iter().collect();
            return Err(anyhow!("{}: no sample of that split", manifest.dataset))
                .context(format!("--split\nhint: it has: {}", there.join(", ")));
        }
    }
    let name = args.name.clone().unwrap_or_else(|| manifest.dataset.clone());
    if name.trim().is_empty() || name.chars().any(char::is_control) || name == "dev" {
        bail!("--name `{name}`: a set needs a name, and `dev` is the development set of a protocol");
    }
    let family = dataset(&manifest.dataset).map_or(Family::DeepfakeDetection, |d| d.family);
    Ok(Data::Set(Set { name, samples, synthetic: manifest.synthetic, family }))
}

impl Data {
    /// Name and samples of each set.
    pub(crate) fn sets(&self) -> Vec<NamedSet<'_>> {
        match self {
            Self::Fold(both) => both.1.sets(),
            Self::Set(set) => vec![(&set.name, &set.samples)],
            Self::Pictures(samples, _) => vec![("pictures", samples)],
        }
    }

    /// Whether any picture is synthetic, as far as marks say.
    pub(crate) fn synthetic(&self) -> bool {
        match self {
            Self::Fold(both) => both.1.synthetic,
            Self::Set(set) => set.synthetic,
            Self::Pictures(..) => false,
        }
    }

    /// What numbers are made by: the protocol, or one without training for sets as they are; none without labels.
    pub(crate) fn measure(&self) -> Option<(Protocol, Fold, Option<&Assembled>)> {
        match self {
            Self::Fold(both) => Some((both.0.clone(), both.1.fold.clone(), Some(&both.1.assembled))),
            Self::Set(set) => {
                let protocol = metrics::as_given(std::slice::from_ref(&set.name), set.family);
                let fold = protocol.folds[0].clone();
                Some((protocol, fold, None))
            }
            Self::Pictures(..) => None,
        }
    }
}
