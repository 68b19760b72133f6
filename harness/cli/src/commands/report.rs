//! `facebench report`: tables and figures of finished runs.
//!
//! Rendering is `facebench-reports`' business. Here the runs are found; those of a plan get the names and
//! the order of the experiment at hand, since one unit may serve several experiments under other names.

use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use facebench_protocols::Protocol;
use facebench_reports::table::Table;
use facebench_reports::{Format, Options, Output, Run, Style, report_of, runs, tables, write};

use crate::args::ReportArgs;
use crate::config::nearest;
use crate::fail::Status;
use crate::out;
use crate::plan::Plan;
use crate::store::Store;

/// Forms that are text, and so can go to stdout.
const TEXT: [(&str, Format); 5] = [
    ("term", Format::Terminal),
    ("md", Format::Markdown),
    ("csv", Format::Csv),
    ("json", Format::Json),
    ("tex", Format::Latex),
];

/// Loads the runs; prints their tables, or writes a report and prints the names of its files.
pub(crate) fn run(args: &ReportArgs) -> Result<Status> {
    let all = load_all(&args.runs)?;
    let Some(out) = &args.out else {
        print(&tables_of(&all, &[], args.cite)?, format(&args.format, Files::Out)?)?;
        return Ok(Status::Done);
    };
    let outputs = match args.format.as_str() {
        "all" => Output::all(),
        list => list.split(',').map(|name| Output::parse(name.trim())).collect::<Result<_, _>>()?,
    };
    scored(&all)?;
    let options = Options { published: args.cite, with_images: args.with_images, ..Options::new(&outputs) };
    let files = report_of(&all, out, &options)?;
    out::text(&files.iter().map(|f| format!("{}\n", f.display())).collect::<String>())?;
    Ok(Status::Done)
}

/// The runs of several folders, each unit once.
pub(crate) fn load_all(folders: &[PathBuf]) -> Result<Vec<Run>> {
    let mut all: Vec<Run> = Vec::new();
    let mut seen = BTreeSet::new();
    for folder in folders {
        if !folder.exists() {
            return Err(anyhow!(
                "{}: no such folder of results\nhint: name the folder that `--runs` named; it is `runs` unless told otherwise",
                folder.display()
            ));
        }
        for run in runs::load(folder)? {
            if seen.insert(run.record.unit.clone()) {
                all.push(run);
            }
        }
    }
    Ok(all)
}

/// How a command gives what is no text: pages and pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Files {
    /// In the folder of `--out`
    Out,
    /// By way of `--save` and `report`
    Save,
    /// In the folder of `--out` whatever the format
    Always,
}

/// The text form of that name; `all` stands for the terminal's.
pub(crate) fn format(name: &str, files: Files) -> Result<Format> {
    let name = if name == "all" { "term" } else { name };
    if let Some((_, format)) = TEXT.iter().find(|(n, _)| *n == name) {
        return Ok(*format);
    }
    let names: Vec<String> = TEXT.iter().map(|(n, _)| (*n).to_owned()).collect();
    let text = names.join(", ");
    let hint = match (nearest(name, &names), files) {
        (_, Files::Out) if Output::parse(name).is_ok() => {
            format!("`{name}` needs a folder to go to: add `--out DIR`")
        }
        (_, Files::Save) if Output::parse(name).is_ok() => format!(
            "here one of {text}; for `{name}` keep the rows with `--save DIR`, then \
             `facebench report DIR --format {name} --out REPORT`"
        ),
        (_, Files::Always) if Output::parse(name).is_ok() => {
            format!("one of {text}; files go to the folder of `--out` whatever is printed")
        }
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, Files::Out) => format!("one of {text}; with `--out DIR` also html, svg, png"),
        (None, _) => format!("one of {text}"),
    };
    Err(anyhow!("--format {name}: not a text form\nhint: {hint}"))
}

/// Tables of a finished plan on stdout, and with `out` everything in a folder.
pub(crate) fn of_plan(plan: &Plan, store: &Store, out: Option<&Path>) -> Result<()> {
    if plan.cells.is_empty() {
        eprintln!("done; results are in {}", store.root().display());
        return Ok(());
    }
    let all = runs_of(plan, store)?;
    print(&tables_of(&all, &plan.protocols, false)?, Format::Terminal)?;
    match out {
        Some(out) => {
            let options = Options { protocols: plan.protocols.clone(), ..Options::new(&Output::all()) };
            let files = report_of(&all, out, &options)?;
            eprintln!(
                "{} files in {}: report.html, tables/, figures/; results in {}",
                files.len(),
                out.display(),
                store.root().display()
            );
        }
        None => eprintln!("results in {}; `--out DIR` writes tables and figures", store.root().display()),
    }
    Ok(())
}

/// The runs of a plan under the names of its experiment, in its order.
fn runs_of(plan: &Plan, store: &Store) -> Result<Vec<Run>> {
    let read = |index: usize| -> Result<Run> {
        let unit = &plan.units[index];
        let folder = store.folder(unit.task.kind(), &unit.digest);
        let file = folder.join(unit.task.marker().file());
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let record = serde_json::from_str(&text).with_context(|| file.display().to_string())?;
        Ok(Run { record, folder })
    };
    let mut list = Vec::new();
    for cell in &plan.cells {
        let mut run = read(cell.unit)?;
        run.record.name.clone_from(&plan.units[cell.unit].name);
        run.record.model.clone_from(&cell.labels.model);
        run.record.pretraining.clone_from(&cell.labels.pretraining);
        run.record.head.clone_from(&cell.labels.head);
        list.push(run);
    }
    // what scoring builds on: curves and pictures
    for (index, unit) in plan.units.iter().enumerate() {
        if matches!(unit.task.kind(), "pretrain" | "tune") {
            list.push(read(index)?);
        }
    }
    Ok(list)
}

/// Refuses runs that would make no table; cheaper than making the tables.
fn scored(all: &[Run]) -> Result<()> {
    if tables::protocols(all).is_empty() && tables::ablation(all, &[])?.is_none() {
        return Err(nothing());
    }
    Ok(())
}

fn nothing() -> anyhow::Error {
    anyhow!("none of the runs was scored\nhint: `facebench run` scores what it tunes")
}

/// All tables, protocol by protocol.
fn tables_of(all: &[Run], protocols: &[Protocol], cite: bool) -> Result<Vec<Table>> {
    let mut list = Vec::new();
    // an experiment's own order, else the names'
    let place = |id: &String| protocols.iter().position(|p| p.id == *id);
    let mut ids = tables::protocols(all);
    ids.sort_by_key(|id| place(id));
    for id in ids {
        let make = if cite { tables::with_published } else { tables::for_protocol };
        list.extend(make(&id, all, protocols)?);
    }
    list.extend(tables::ablation(all, protocols)?);
    if list.is_empty() {
        return Err(nothing());
    }
    Ok(list)
}

/// Tables on stdout; as JSON, one list of them.
pub(crate) fn print(list: &[Table], format: Format) -> Result<()> {
    let style = Style { width: terminal_width(), ..Style::default() };
    let texts: Vec<String> =
        list.iter().map(|t| write::write(t, format, &style)).collect::<Result<_, _>>()?;
    match format {
        Format::Json => out::text(&format!("[{}]", texts.join(","))),
        _ => out::text(&texts.join("\n")),
    }
}

/// Columns of the terminal, where stdout is one and says so.
fn terminal_width() -> Option<usize> {
    if !std::io::stdout().is_terminal() {
        return None;
    }
    std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok())
}
