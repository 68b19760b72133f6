//! `facebench data`: list, synthesise, forge, index, check. Packing is in `data_pack`.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, anyhow};
use facebench_data::forge::ForgeSpec;
use facebench_data::synth::{SynthScale, SynthSpec};
use facebench_data::{image, readers, shard};
use facebench_protocols::{Split, datasets};
use rayon::prelude::*;

use crate::args::{DataCommand, Scale};
use crate::fail::{Permanent, Status};
use crate::plan::Generate;
use crate::run::{self, Screen};
use crate::{config, out};

/// At most this many broken pictures are listed.
const SHOWN: usize = 20;

/// Dispatches.
pub(crate) fn run(command: DataCommand) -> Result<Status> {
    match command {
        DataCommand::List => list(),
        DataCommand::Synth { out, seed, size, scale } => {
            let scale = match scale {
                Scale::Demo => SynthScale::demo(),
                Scale::Tiny => SynthScale::tiny(),
            };
            let spec = SynthSpec { seed, size, scale, ..SynthSpec::default() };
            spec.check()?;
            generate(&out, &Generate::Synth(spec))
        }
        DataCommand::Forge { faces, out, set } => {
            let mut value = serde_json::to_value(ForgeSpec::default())?;
            config::apply(&mut value, &set)?;
            let spec = serde_json::from_value(value).context("-s")?;
            generate(&out, &Generate::Forge { faces, spec })
        }
        DataCommand::Index { dataset, root, out } => index(&dataset, &root, &out),
        DataCommand::Pack { paths, threads } => super::data_pack::pack(&paths, threads),
        DataCommand::Check { dataset, root } => match root {
            _ if shard::is_shard(Path::new(&dataset)) => super::data_pack::check(Path::new(&dataset)),
            Some(root) => check(&dataset, &root),
            None => Err(anyhow!(
                "which folder holds the data set `{dataset}`?\nhint: `facebench data check {dataset} ROOT`, or name a shard"
            )),
        },
    }
}

fn list() -> Result<Status> {
    let mut text = String::new();
    let width = datasets().iter().map(|d| d.id.len()).max().unwrap_or(0);
    for info in datasets() {
        let place = if info.path.is_empty() { "ROOT" } else { &info.path };
        let _ = writeln!(text, "{:width$}  {}\n{:width$}  in {place}", info.id, info.title, "");
    }
    out::text(&text)?;
    Ok(Status::Done)
}

/// Makes a data root. The generators publish it whole or not at all.
fn generate(out: &Path, how: &Generate) -> Result<Status> {
    let stop = run::hear_signals()?;
    let screen = Screen::new();
    let progress = screen.unit(&out.display().to_string());
    let made = run::generate_data(how, out, &stop, &progress).context(Permanent("making the data"))?;
    drop(progress);
    match made {
        Some(summary) => {
            out::json(&summary)?;
            Ok(Status::Done)
        }
        None => {
            screen.line("interrupted: nothing was kept");
            Ok(Status::Interrupted)
        }
    }
}

fn index(dataset: &str, root: &Path, file: &Path) -> Result<Status> {
    let manifest = readers::load(root, dataset)?;
    manifest.write_csv(file)?;
    let (samples, videos) = (manifest.samples.len(), manifest.videos());
    out::text(&format!("{}: {samples} samples of {videos} videos", file.display()))?;
    Ok(Status::Done)
}

fn check(dataset: &str, root: &Path) -> Result<Status> {
    let manifest = readers::load(root, dataset)?;
    let mut text = String::new();
    for split in [Split::Train, Split::Val, Split::Test] {
        for (label, what) in [(0, "real"), (1, "fake")] {
            let frames: Vec<_> =
                manifest.samples.iter().filter(|s| s.split == split && s.label == label).collect();
            let mut videos: Vec<String> = frames.iter().map(|s| s.video_id()).collect();
            videos.dedup();
            if !frames.is_empty() {
                let split = split.to_string();
                let _ =
                    writeln!(text, "{split:5} {what}: {} frames of {} videos", frames.len(), videos.len());
            }
        }
    }
    if let Some(info) = facebench_protocols::dataset(dataset) {
        for c in &info.counts {
            let split = c.split.map_or("all".to_owned(), |s| s.to_string());
            let unit = serde_json::to_value(c.unit)?;
            let _ = writeln!(
                text,
                "published: {split} {}: {}",
                unit.as_str().unwrap_or_default(),
                published(c.real, c.fake, c.total)
            );
        }
    }
    if manifest.synthetic {
        text += "synthetic faces: not a published benchmark\n";
    }
    out::text(&text)?;
    let screen = Screen::new();
    let progress = screen.unit(dataset);
    let done = AtomicUsize::new(0);
    facebench_train::Progress::phase(&progress, "pictures", manifest.samples.len() as u64);
    let broken: Vec<String> = manifest
        .samples
        .par_iter()
        .filter_map(|s| {
            let error = image::decode(&s.path).err().map(|e| e.to_string());
            let n = done.fetch_add(1, Ordering::Relaxed) + 1;
            facebench_train::Progress::tick(&progress, n as u64, "");
            error
        })
        .collect();
    drop(progress);
    if broken.is_empty() {
        out::text(&format!("all {} pictures can be read", manifest.samples.len()))?;
        return Ok(Status::Done);
    }
    let mut lines = broken.iter().take(SHOWN).cloned().collect::<Vec<_>>();
    if broken.len() > SHOWN {
        lines.push(format!("and {} more", broken.len() - SHOWN));
    }
    Err(anyhow!(lines.join("\n")).context(Permanent("some pictures cannot be read")))
}

fn published(real: Option<usize>, fake: Option<usize>, total: Option<usize>) -> String {
    let part = |n: Option<usize>, what: &str| n.map(|n| format!("{n} {what}"));
    let parts: Vec<String> =
        [part(real, "real"), part(fake, "fake"), part(total, "in all")].into_iter().flatten().collect();
    parts.join(", ")
}
