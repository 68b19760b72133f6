//! `facebench data list | index | check`: what data sets there are, what is in one, and whether it is what it should be.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use facebench_data::manifest::{self, Report};
use facebench_data::readers::{Columns, Source};
use facebench_protocols::{DatasetInfo, Protocol, Split, Unit, datasets};
use serde_json::json;

use crate::args::SourceArgs;
use crate::fail::{Permanent, Status};
use crate::out;
use crate::run::Screen;

/// At most this many problems are listed.
const SHOWN: usize = 20;

/// `facebench data list`
pub(crate) fn list(only: &[String], json: bool) -> Result<Status> {
    let uses = uses()?;
    let wanted =
        |info: &&DatasetInfo| only.is_empty() || only.iter().any(|o| info.id.starts_with(o.as_str()));
    let chosen: Vec<&DatasetInfo> = datasets().iter().filter(wanted).collect();
    if let Some(typo) = only.iter().find(|o| !datasets().iter().any(|d| d.id.starts_with(o.as_str()))) {
        let near = facebench_protocols::nearest(typo, datasets().iter().map(|d| d.id.as_str()));
        let hint =
            near.map_or("`facebench data list` shows all".to_owned(), |n| format!("did you mean `{n}`?"));
        return Err(anyhow!("no data set begins with `{typo}`\nhint: {hint}"));
    }
    let none = Vec::new();
    if json {
        let rows: Vec<_> = chosen
            .iter()
            .map(|d| json!({"data_set": d, "protocols": uses.get(d.id.as_str()).unwrap_or(&none)}))
            .collect();
        out::json(&rows)?;
        return Ok(Status::Done);
    }
    let mut text = String::new();
    let width = chosen.iter().map(|d| d.id.len()).max().unwrap_or(0);
    for info in chosen {
        let _ = writeln!(text, "{:width$}  {}", info.id, info.title);
        for layout in &info.layouts {
            let place = if layout.path.is_empty() { "ROOT" } else { &layout.path };
            let _ = writeln!(text, "{:width$}    {place}  ({})", "", layout.reader);
        }
        let _ = writeln!(text, "{:width$}    licence: {}; from: {}", "", info.licence, info.access);
        if let Some(protocols) = uses.get(info.id.as_str()) {
            let _ = writeln!(text, "{:width$}    protocols: {}", "", protocols.join(", "));
        }
        if !only.is_empty() {
            let _ = writeln!(text, "{:width$}    polarity: {}", "", info.polarity);
            for c in &info.counts {
                let _ = writeln!(text, "{:width$}    published: {} ({})", "", published(c), c.source);
            }
            for line in info.notes.lines() {
                let _ = writeln!(text, "{:width$}    {line}", "");
            }
        }
    }
    out::text(&text)?;
    Ok(Status::Done)
}

/// Which built-in protocols name a data set.
fn uses() -> Result<BTreeMap<String, Vec<String>>> {
    let mut uses: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for id in Protocol::builtin_ids() {
        let protocol = Protocol::builtin(id).ok_or_else(|| anyhow!("no protocol {id}"))??;
        for selector in protocol.folds.iter().flat_map(facebench_protocols::Fold::selectors) {
            let list = uses.entry(selector.dataset.clone()).or_default();
            if !list.iter().any(|p| p == id) {
                list.push((*id).to_owned());
            }
        }
    }
    Ok(uses)
}

/// `facebench data index`
pub(crate) fn index(
    dataset: &str,
    root: &Path,
    file: Option<&Path>,
    hash: bool,
    args: &SourceArgs,
) -> Result<Status> {
    let source = source(dataset, root, args)?;
    let indexed = match file {
        None => {
            // a list on stdout cannot be taken back, so everything is looked at once before its first line
            manifest::index(&source, &mut std::io::sink(), None, false)?;
            let stdout = &mut std::io::stdout().lock();
            manifest::index(&source, stdout, None, hash).context("the list on stdout is not whole")?
        }
        Some(file) => {
            // written beside and renamed: a manifest is whole or absent
            let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
            let mut partial = file.as_os_str().to_owned();
            partial.push(format!(".partial-{}", std::process::id()));
            let partial = std::path::PathBuf::from(partial);
            let mut out = File::create(&partial).with_context(|| partial.display().to_string())?;
            let done = manifest::index(&source, &mut out, Some(folder), hash).map_err(anyhow::Error::from);
            let done = done.and_then(|i| std::fs::rename(&partial, file).map(|()| i).context("renaming"));
            if done.is_err() {
                let _ = std::fs::remove_file(&partial); // what is left of a failed list must not stay
            }
            // the output is named only where it is at fault
            match done {
                Err(e) if is_write(&e) => return Err(e.context(file.display().to_string())),
                done => done?,
            }
        }
    };
    let name = file.map_or("stdout".to_owned(), |f| f.display().to_string());
    let (samples, videos) = (indexed.samples, indexed.videos);
    let said = format!("{name}: {samples} samples of {videos} videos ({})", indexed.layout);
    let screen = Screen::new();
    match file {
        Some(_) => out::text(&said)?,
        None => screen.line(&said),
    }
    if indexed.films > 0 {
        screen.line(&format!("{} of them are films without frames\nhint: {}", indexed.films, indexed.hint));
    }
    Ok(Status::Done)
}

/// Whether a list could not be written, as opposed to made.
fn is_write(error: &anyhow::Error) -> bool {
    use facebench_data::Error::Io;
    let data = error.downcast_ref::<facebench_data::Error>();
    data.is_none_or(|e| matches!(e, Io { action: "write", .. }))
}

/// `facebench data check`
pub(crate) fn check(
    dataset: &str,
    root: &Path,
    quick: bool,
    json: bool,
    args: &SourceArgs,
) -> Result<Status> {
    let source = source(dataset, root, args)?;
    let mut report = manifest::check(&source)?;
    if !json {
        out::text(&shown(&report))?;
    }
    if !quick {
        let screen = Screen::new();
        let progress = screen.unit(dataset);
        let total: usize = report.counts.values().map(|c| c.frames).sum();
        facebench_train::Progress::phase(&progress, "pictures", total as u64);
        let broken =
            manifest::unreadable(&source, &|n| facebench_train::Progress::tick(&progress, n as u64, ""))?;
        drop(progress);
        if broken.is_empty() && total > 0 && !json {
            out::text(&format!("all {total} pictures can be read"))?;
        }
        // an empty file was said already
        report.problems.extend(broken.into_iter().filter(|b| !b.contains("(0 bytes)")));
    }
    if json {
        let mut value = serde_json::to_value(&report)?;
        value["good"] = json!(report.is_good());
        out::json(&value)?;
    }
    if report.is_good() {
        return Ok(Status::Done);
    }
    let mut lines: Vec<String> = report.problems.iter().take(SHOWN).cloned().collect();
    if report.problems.len() > SHOWN {
        lines.push(format!("and {} more", report.problems.len() - SHOWN));
    }
    let problem = match report.problems.len() {
        0 => {
            let hint = "download what is missing, or say in your results which list you used";
            anyhow!("the number of videos is not the published one\nhint: {hint}")
        }
        _ => anyhow!(lines.join("\n")).context(format!("{} problems", report.problems.len())),
    };
    Err(problem.context(Permanent("the data set is not what it should be")))
}

/// Where the data set is, from what was typed.
pub(crate) fn source(dataset: &str, root: &Path, args: &SourceArgs) -> Result<Source> {
    let (Some(path), Some(label)) = (&args.path_column, &args.label_column) else {
        return Ok(Source::find(root, dataset, args.layout.as_deref(), args.frames.as_deref())?);
    };
    let columns = Columns {
        path: path.clone(),
        label: label.clone(),
        video: args.video_column.clone(),
        frame: args.frame_column.clone(),
        split: args.split_column.clone(),
        method: args.method_column.clone(),
        subjects: args.subject_column.clone(),
        real: args.real.clone(),
        fake: args.fake.clone(),
    };
    Ok(Source::table(root, dataset, columns)?)
}

/// What is there, and what is published.
fn shown(report: &Report) -> String {
    let mut text = format!("{} as {}\n", report.place.display(), report.layout);
    for split in [Split::Train, Split::Val, Split::Test] {
        for (label, what) in [(0, "real"), (1, "fake")] {
            let all = report.count(Some(split), label);
            if all.videos == 0 {
                continue;
            }
            let films = if all.films > 0 { format!(", {} of them films", all.films) } else { String::new() };
            let _ = writeln!(text, "{split:5} {what}: {} frames of {} videos{films}", all.frames, all.videos);
            let methods = report.methods(split, label);
            if methods.len() > 1 {
                for (method, count) in methods {
                    let _ = writeln!(text, "            {method}: {} videos", count.videos);
                }
            }
        }
    }
    for c in &report.published {
        let unit = if c.unit == Unit::Videos { "videos" } else { "images" };
        let split = c.split.map_or("all".to_owned(), |s| s.to_string());
        let parts = [(c.real, "real"), (c.fake, "fake"), (c.total, "in all")];
        let of = |(here, published): (usize, Option<usize>), what: &str| {
            published.map(|p| match p == here {
                true => format!("{p} {what}"),
                false if p > here => format!("{p} {what} (here {here}, {} missing)", p - here),
                false => format!("{p} {what} (here {here}, {} more)", here - p),
            })
        };
        let parts: Vec<String> = parts.into_iter().filter_map(|(n, what)| of(n, what)).collect();
        let verdict = if c.agrees() { "same" } else { "differs" };
        let _ = writeln!(text, "published {split} {unit}: {}: {verdict}", parts.join(", "));
    }
    if report.synthetic {
        text += "synthetic faces: not a published benchmark\n";
    }
    text
}

fn published(c: &facebench_protocols::Count) -> String {
    let part = |n: Option<usize>, what: &str| n.map(|n| format!("{n} {what}"));
    let parts = [part(c.real, "real"), part(c.fake, "fake"), part(c.total, "in all")];
    let unit = if c.unit == Unit::Videos { "videos" } else { "images" };
    let split = c.split.map_or("all".to_owned(), |s| s.to_string());
    format!("{split} {unit}, {}", parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}
