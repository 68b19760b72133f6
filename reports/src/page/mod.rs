//! The HTML report: one file that opens from disk, prints, and works without JavaScript.
//!
//! Everything is inside: style, script, font, figures. A content security policy forbids every request, so a report can
//! be mailed and opened without talking to anybody. Faces are personal data: pictures appear only if they are synthetic
//! or the caller says so.

mod audits;
mod detail;
mod provenance;
mod verdict;
mod worst;

use crate::Error;
use crate::figures::Place;
use crate::plot::{Figure, base64, font_faces, inline};
use crate::report::Page;
use crate::runs::Run;
use crate::table::Table;
use crate::tables::{Study, primary_column};
use crate::write::{Format, Style, escape_html, write};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");
const POLICY: &str = "default-src 'none'; img-src data:; font-src data:; style-src 'unsafe-inline'; \
                      script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// A picture for the page.
pub(crate) struct Picture {
    pub(crate) caption: String,
    pub(crate) png: Vec<u8>,
}

/// Everything a page shows.
pub(crate) struct Content<'c, 'r> {
    pub(crate) runs: &'r [Run],
    pub(crate) studies: &'c mut [Study<'r>],
    pub(crate) figures: &'c [Vec<(Place, Figure)>],
    pub(crate) training: &'c [(Place, Figure)],
    pub(crate) pictures: &'c [Picture],
    pub(crate) efficiency: Option<&'c Table>,
    pub(crate) page: &'c Page,
}

/// The page.
///
/// # Errors
/// A table breaks a rule of the model, or a score file is broken.
pub(crate) fn page(content: &mut Content<'_, '_>) -> Result<String, Error> {
    let synthetic = content.runs.iter().any(|r| r.record.synthetic);
    let real = content.runs.iter().any(|r| !r.record.synthetic);
    let title = if content.page.title.is_empty() { "facebench report" } else { &content.page.title };
    let title = escape_html(title) + if synthetic && !real { " · synthetic" } else { "" };
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>\n{}\n{STYLE}</style>\n</head>\n\
         <body>\n<a class=\"skip\" href=\"#results\">Skip to results</a>\n<header>\n<h1>{title}</h1>\n",
        font_faces()
    );
    out.push_str(&verdict::section(content, synthetic));
    let mut sections: Vec<(&str, &str, String)> = vec![("results", "Results", results(content)?)];
    let page = content.page;
    sections
        .extend(page.section.iter().map(|(id, heading, body)| (id.as_str(), heading.as_str(), body.clone())));
    for (id, heading, body) in [
        ("figures", "Figures", figures(content)),
        ("training", "Pre-training", training(content)),
        ("audits", "Audits", audits::section(content.runs)),
        ("detail", "Every test set", detail::section(content.studies)?),
        ("worst", "Worst errors", worst::section(content.studies)?),
        ("provenance", "Provenance", provenance::section(content.runs)),
    ] {
        if !body.is_empty() {
            sections.push((id, heading, body));
        }
    }
    let links = sections.iter().map(|(id, heading, _)| format!("<li><a href=\"#{id}\">{heading}</a></li>"));
    out.push_str(&format!(
        "<nav aria-label=\"Sections\"><ul>{}</ul></nav>\n</header>\n<main>\n",
        links.collect::<String>()
    ));
    for (id, heading, body) in &sections {
        out.push_str(&format!("<section id=\"{id}\" aria-labelledby=\"h-{id}\">\n<h2 id=\"h-{id}\">{heading}</h2>\n{body}</section>\n"));
    }
    out.push_str("</main>\n<footer class=\"meta\">Made by facebench from run records. Nothing on this page loads anything from anywhere.</footer>\n");
    out.push_str(&format!("<div id=\"live\" class=\"vh\" role=\"status\" aria-live=\"polite\"></div>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n"));
    Ok(out)
}

fn results(content: &Content<'_, '_>) -> Result<String, Error> {
    let ablation = crate::tables::ablation(content.runs, &[])?;
    // a wide table is read from the left: what ranks comes first
    let main: Vec<Table> = content
        .studies
        .iter()
        .map(|s| match primary_column(s) {
            Some(c) => s.table.with_first(&s.table.columns[c].group.clone()),
            None => s.table.clone(),
        })
        .collect();
    let tables = main.iter().chain(&ablation).chain(content.efficiency);
    let tables = tables.map(|table| write(table, Format::Html, &Style::default()));
    tables.collect::<Result<String, Error>>()
}

fn figures(content: &Content<'_, '_>) -> String {
    let mut out = String::new();
    for (study, figures) in content.studies.iter().zip(content.figures) {
        let of = |place: Place| {
            figures.iter().filter(move |(p, _)| *p == place).map(|(_, f)| f).collect::<Vec<_>>()
        };
        if figures.is_empty() {
            continue;
        }
        out.push_str(&format!(
            "<h3>{}{}</h3>\n{}",
            escape_html(&study.table.headline()),
            if study.table.synthetic { " · synthetic" } else { "" },
            plots(&of(Place::Main))
        ));
        for (place, summary) in [
            (Place::Roc, "ROC curves"),
            (Place::Det, "DET curves"),
            (Place::Reliability, "Calibration"),
            (Place::Scores, "Score histograms"),
        ] {
            let figures = of(place);
            if !figures.is_empty() {
                out.push_str(&format!(
                    "<details><summary>{summary} ({})</summary>\n{}</details>\n",
                    figures.len(),
                    plots(&figures)
                ));
            }
        }
    }
    out
}

fn training(content: &Content<'_, '_>) -> String {
    let mut out = plots(&content.training.iter().map(|(_, f)| f).collect::<Vec<_>>());
    for picture in content.pictures {
        let (caption, data) = (escape_html(&picture.caption), base64(&picture.png));
        let width = png_width(&picture.png) / crate::grid::SCALE;
        out.push_str(&format!("<figure><img alt=\"{caption}\" width=\"{width}\" src=\"data:image/png;base64,{data}\"><figcaption>{caption}</figcaption></figure>\n"));
    }
    out
}

/// Width in pixels, from the header chunk.
fn png_width(png: &[u8]) -> u32 {
    png.get(16..20).and_then(|b| b.try_into().ok()).map_or(0, u32::from_be_bytes)
}

fn plots(figures: &[&Figure]) -> String {
    if figures.is_empty() {
        return String::new();
    }
    let list: String =
        figures.iter().map(|f| format!("<figure>{}</figure>\n", inline(&f.svg, &f.id))).collect();
    format!("<div class=\"plots\">\n{list}</div>\n")
}
