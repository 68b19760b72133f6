//! Everything at once: a folder of tables, figures and the page, from a folder of runs.
//!
//! `report.html`, `tables/<protocol>.<ext>`, `timings/efficiency.<ext>`, `figures/<name>.{svg,png,csv}`. Files are written beside their place and
//! renamed, so a reader never sees half a file; what was there before under the same name is replaced.

use crate::Error;
use crate::figures::{self, Place, slug};
use crate::grid::Grid;
use crate::page::{self, Content, Picture};
use crate::plot::Figure;
use crate::runs::{self, Run};
use crate::tables::{self, Study};
use crate::write::{self, Format, Style};
use facebench_protocols::Protocol;
use std::path::{Path, PathBuf};

/// What a report may consist of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Tables as text.
    Terminal,
    /// Tables as Markdown.
    Markdown,
    /// Tables as CSV, wide and long.
    Csv,
    /// Tables as JSON.
    Json,
    /// Tables as LaTeX.
    Latex,
    /// The page.
    Html,
    /// Figures as SVG, with their data.
    Svg,
    /// Figures as PNG, with their data, and picture grids.
    Png,
}

impl Output {
    /// All outputs with the names users type.
    pub const ALL: [(&'static str, Output); 8] = [
        ("term", Output::Terminal),
        ("md", Output::Markdown),
        ("csv", Output::Csv),
        ("json", Output::Json),
        ("tex", Output::Latex),
        ("html", Output::Html),
        ("svg", Output::Svg),
        ("png", Output::Png),
    ];

    /// The output called `name`.
    ///
    /// # Errors
    /// No output is called so.
    pub fn parse(name: &str) -> Result<Self, Error> {
        let found = Self::ALL.iter().find(|(n, _)| *n == name).map(|(_, output)| *output);
        found.ok_or_else(|| Error::UnknownFormat {
            name: name.to_owned(),
            expected: Self::ALL.map(|(n, _)| n).join(", "),
        })
    }

    /// Every output.
    pub fn all() -> Vec<Self> {
        Self::ALL.map(|(_, output)| output).to_vec()
    }

    fn tables(self) -> &'static [Format] {
        match self {
            Output::Terminal => &[Format::Terminal],
            Output::Markdown => &[Format::Markdown],
            Output::Csv => &[Format::Csv, Format::CsvLong],
            Output::Json => &[Format::Json],
            Output::Latex => &[Format::Latex],
            Output::Html | Output::Svg | Output::Png => &[],
        }
    }
}

/// What to write and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Outputs.
    pub outputs: Vec<Output>,
    /// Looks of the tables.
    pub style: Style,
    /// Protocols that do not ship.
    pub protocols: Vec<Protocol>,
    /// Show pictures of real people, too.
    pub with_images: bool,
    /// Put published rows below the measured ones.
    pub published: bool,
}

impl Options {
    /// These outputs, everything else as usual.
    pub fn new(outputs: &[Output]) -> Self {
        Options {
            outputs: outputs.to_vec(),
            style: Style::default(),
            protocols: Vec::new(),
            with_images: false,
            published: false,
        }
    }
}

/// What a page is called, and a section of its own.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    /// File name.
    pub(crate) file: String,
    /// Heading; the usual one if empty.
    pub(crate) title: String,
    /// Identifier, heading and HTML of a section after the results.
    pub(crate) section: Option<(String, String, String)>,
}

impl Default for Page {
    fn default() -> Self {
        Page { file: "report.html".into(), title: String::new(), section: None }
    }
}

/// Writes a report of the runs in folder `runs` to folder `out`; returns the files, sorted.
///
/// # Errors
/// A run cannot be read, a table or figure cannot be made, or a file cannot be written.
pub fn report(runs: &Path, out: &Path, outputs: &[Output]) -> Result<Vec<PathBuf>, Error> {
    report_of(&runs::load(runs)?, out, &Options::new(outputs))
}

/// Writes a report of `runs`, in their order, to folder `out`; returns the files, sorted.
///
/// # Errors
/// A table or figure cannot be made, or a file cannot be written.
pub fn report_of(runs: &[Run], out: &Path, options: &Options) -> Result<Vec<PathBuf>, Error> {
    report_page(runs, out, options, &Page::default())
}

/// As [`report_of`], with a page of another name.
pub(crate) fn report_page(
    runs: &[Run],
    out: &Path,
    options: &Options,
    page: &Page,
) -> Result<Vec<PathBuf>, Error> {
    let mut files = Files { root: out.to_owned(), written: Vec::new() };
    let wants = |output: Output| options.outputs.contains(&output);
    let mut studies: Vec<Study<'_>> = Vec::new();
    for id in tables::protocols(runs) {
        studies.extend(tables::studies(&id, runs, &options.protocols)?);
    }
    let efficiency = tables::efficiency::table(&studies, runs);
    if options.published {
        studies.iter_mut().for_each(tables::cite);
    }
    // timings differ from run to run: apart from the tables, which do not
    let ablation = tables::ablation(runs, &options.protocols)?;
    let timed = efficiency.iter().map(|t| ("timings", t));
    let kinds = studies.iter().map(|s| &s.table).chain(&ablation).map(|t| ("tables", t)).chain(timed);
    for (folder, table) in kinds {
        for format in options.outputs.iter().flat_map(|o| o.tables()) {
            let text = write::write(table, *format, &options.style)?;
            files.write(&format!("{folder}/{}.{}", table.id, format.extension()), text.as_bytes())?;
        }
    }
    if !(wants(Output::Html) || wants(Output::Svg) || wants(Output::Png)) {
        return Ok(files.finish());
    }
    let figures: Vec<Vec<(Place, Figure)>> = studies
        .iter_mut()
        .map(|s| figures::of_study(s, runs, wants(Output::Png)))
        .collect::<Result<_, _>>()?;
    let training = figures::of_training(runs, wants(Output::Png))?;
    let pictures = pictures(runs, options.with_images)?;
    for (_, figure) in figures.iter().flatten().chain(&training) {
        files.figure(figure, wants(Output::Svg))?;
    }
    if wants(Output::Png) {
        for (name, picture) in &pictures {
            files.write(&format!("figures/{name}.png"), &picture.png)?;
        }
    }
    if wants(Output::Html) {
        let pictures: Vec<Picture> = pictures.into_iter().map(|(_, p)| p).collect();
        let mut content = Content {
            runs,
            studies: &mut studies,
            figures: &figures,
            training: &training,
            pictures: &pictures,
            efficiency: efficiency.as_ref(),
            page,
        };
        let html = page::page(&mut content)?;
        files.write(&page.file, html.as_bytes())?;
    }
    Ok(files.finish())
}

/// Mask-and-reconstruction grids of the pre-trainings, synthetic ones or all.
fn pictures(runs: &[Run], real_too: bool) -> Result<Vec<(String, Picture)>, Error> {
    let mut pictures = Vec::new();
    for run in runs.iter().filter(|r| r.record.kind == "pretrain" && (real_too || r.record.synthetic)) {
        let mark = if run.record.synthetic { " · synthetic" } else { "" };
        let title = format!("Masks and reconstructions, pre-training {}{mark}", run.record.name);
        let id = slug(&["masks", &run.record.name, &run.short()]);
        if let Some(grid) = Grid::reconstructions(&id, &title, &run.folder.join("pictures"))? {
            pictures.push((id, Picture { caption: title, png: grid.png()? }));
        }
    }
    Ok(pictures)
}

/// The files of a report.
struct Files {
    root: PathBuf,
    written: Vec<PathBuf>,
}

impl Files {
    fn figure(&mut self, figure: &Figure, svg: bool) -> Result<(), Error> {
        if !svg && figure.png.is_none() {
            return Ok(());
        }
        self.write(&format!("figures/{}.csv", figure.id), figure.csv.as_bytes())?;
        if svg {
            self.write(&format!("figures/{}.svg", figure.id), figure.svg.as_bytes())?;
        }
        match &figure.png {
            Some(png) => self.write(&format!("figures/{}.png", figure.id), png),
            None => Ok(()),
        }
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = self.root.join(name);
        let folder = path.parent().unwrap_or(&self.root);
        std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
        let beside = folder.join(format!(".{}.part", path.file_name().unwrap_or_default().to_string_lossy()));
        std::fs::write(&beside, bytes).map_err(|e| Error::io(&beside, e))?;
        std::fs::rename(&beside, &path).map_err(|e| Error::io(&path, e))?;
        self.written.push(path);
        Ok(())
    }

    fn finish(mut self) -> Vec<PathBuf> {
        self.written.sort();
        self.written
    }
}
