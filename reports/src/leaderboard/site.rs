//! A leaderboard as one static page: every bundle of a folder, checked, in the tables of a report.
//!
//! Only runs of bundles without any problem are ranked. The others are listed with what is wrong, because a board that
//! drops submissions without a word is not one people trust. The page is made by the same code as a report, so ranks,
//! intervals, paired tests and fingerprints mean the same; row labels start with the submission's name.

use super::{Error, Result, Signers, Verdict, verify};
use crate::report::{Options, Output, Page, report_page};
use crate::write::escape_html;
use facebench_protocols::Protocol;
use std::path::{Path, PathBuf};

/// One bundle of a board.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its folder's name.
    pub folder: String,
    /// What was found.
    pub verdict: Verdict,
}

/// Checks every bundle (a folder with a `submission.json`) below `bundles` and writes the board to `out`; returns the
/// bundles in the order of their names, and the files.
///
/// # Errors
/// There is no bundle, none of them is good, or a file cannot be written.
pub fn site(
    bundles: &Path,
    out: &Path,
    title: &str,
    signers: Option<&Signers>,
) -> Result<(Vec<Listed>, Vec<PathBuf>)> {
    let mut listed = Vec::new();
    for folder in folders(bundles)? {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        listed.push(Listed { folder: name, verdict: verify(&folder, signers)? });
    }
    if listed.is_empty() {
        let message = "no bundle in it; a bundle is a folder with a submission.json".to_owned();
        return Err(Error::Malformed { path: bundles.to_owned(), message });
    }
    let mut runs = Vec::new();
    let mut protocols: Vec<Protocol> = Vec::new();
    for l in listed.iter().filter(|l| l.verdict.good()) {
        let Some(submission) = &l.verdict.submission else { continue };
        for run in &l.verdict.runs {
            if runs.iter().any(|r: &crate::Run| r.record.unit == run.record.unit) {
                continue; // the same unit in two bundles is one result
            }
            let mut run = run.clone();
            let model = std::mem::take(&mut run.record.model);
            run.record.model = match model.is_empty() || model == submission.name {
                true => submission.name.clone(),
                false => format!("{}: {model}", submission.name),
            };
            runs.push(run);
        }
        for p in &l.verdict.protocols {
            if !protocols.iter().any(|q| q.fingerprint() == p.fingerprint()) {
                protocols.push(p.clone());
            }
        }
    }
    if runs.is_empty() {
        let message = "no bundle of it passes `facebench leaderboard verify`".to_owned();
        return Err(Error::Malformed { path: bundles.to_owned(), message });
    }
    crate::tables::by_result(&mut runs, &protocols)?;
    let options = Options { protocols, ..Options::new(&[Output::Html, Output::Csv, Output::Json]) };
    let page = Page {
        file: "index.html".to_owned(),
        title: title.to_owned(),
        section: Some(("submissions".to_owned(), "Submissions".to_owned(), submissions(&listed))),
    };
    let files = report_page(&runs, out, &options, &page)?;
    Ok((listed, files))
}

fn folders(root: &Path) -> Result<Vec<PathBuf>> {
    if root.join(super::bundle::FILE).is_file() {
        return Ok(vec![root.to_owned()]);
    }
    let mut out = Vec::new();
    for entry in std::fs::read_dir(root).map_err(|e| Error::io(root, e))? {
        let path = entry.map_err(|e| Error::io(root, e))?.path();
        if path.join(super::bundle::FILE).is_file() {
            out.push(path);
        }
    }
    out.sort();
    Ok(out)
}

fn submissions(listed: &[Listed]) -> String {
    let mut out = String::from(
        "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"Submissions\"><table>\n<thead><tr><th scope=\"col\">Submission</th>\
         <th scope=\"col\">Authors</th><th scope=\"col\">State</th><th scope=\"col\">Signature</th></tr></thead>\n<tbody>\n",
    );
    for l in listed {
        let v = &l.verdict;
        let (name, authors) = match &v.submission {
            Some(s) => (s.name.as_str(), s.authors.as_str()),
            None => (l.folder.as_str(), ""),
        };
        let state = if v.good() {
            format!("verified: {} results, {} numbers recomputed", v.runs.len(), v.numbers)
        } else {
            let list: String = v
                .problems
                .iter()
                .map(|p| format!("<li>{}: {}</li>", escape_html(&p.place), escape_html(&p.what)))
                .collect();
            format!("<strong class=\"stop\">refused</strong><ul>{list}</ul>")
        };
        out.push_str(&format!(
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{state}</td><td>{}</td></tr>\n",
            escape_html(name),
            escape_html(authors),
            escape_html(&v.signature.line())
        ));
    }
    out + "</tbody></table></div>\n"
}
