//! The model card: `README.md` of a bundle, generated from what the records say.

use super::bundle::Submission;
use crate::runs::Run;
use crate::tables;
use crate::write::{Format, Style, write};
use facebench_protocols::Protocol;
use std::collections::BTreeSet;

/// The card as Markdown.
pub(super) fn card(
    submission: &Submission,
    runs: &[Run],
    protocols: &[Protocol],
) -> Result<String, crate::Error> {
    let mut out = format!("# {}\n\n", one_line(&submission.name));
    if !submission.description.is_empty() {
        out.push_str(&format!("{}\n\n", submission.description.trim()));
    }
    if submission.synthetic {
        out.push_str(
            "**Made with synthetic faces: shows that the machinery works, compares with nothing.**\n\n",
        );
    }
    for (what, text) in [
        ("Authors", &submission.authors),
        ("Link", &submission.url),
        ("Licence of the weights", &submission.license),
    ] {
        if !text.is_empty() {
            out.push_str(&format!("- {what}: {}\n", one_line(text)));
        }
    }
    let set = |f: &dyn Fn(&Run) -> Vec<String>| -> String {
        let all: BTreeSet<String> = runs.iter().flat_map(f).collect();
        all.into_iter().collect::<Vec<_>>().join(", ")
    };
    let params = set(&|r| match r.record.params {
        p if p.total == 0 => vec!["not recorded".to_owned()],
        p => vec![format!("{} of {}", p.trained, p.total)],
    });
    out.push_str(&format!("- Parameters trained: {params}\n"));
    let selection = set(&|r| vec![r.record.selection.map_or("not stated".to_owned(), |s| s.to_string())]);
    out.push_str(&format!("- Checkpoint rule: {selection}\n"));
    out.push_str(&format!("- Seeds: {}\n", set(&|r| vec![r.record.seed.to_string()])));
    let plugins = set(&|r| {
        r.record.plugins.iter().map(|p| format!("{} {} `{:.12}`", p.name, p.version, p.sha256)).collect()
    });
    let plugins = if plugins.is_empty() { "none; the scores were made elsewhere" } else { &plugins };
    out.push_str(&format!("- Plugins: {plugins}\n"));
    out.push_str(&format!("- Packed by facebench {}\n\n", submission.facebench));
    let mut ranked = runs.to_vec();
    tables::by_result(&mut ranked, protocols)?;
    for id in tables::protocols(&ranked) {
        for table in tables::for_protocol(&id, &ranked, protocols)? {
            out.push_str(&write(&table, Format::Markdown, &Style::default())?);
            out.push('\n');
        }
    }
    out.push_str("Check it: `facebench leaderboard verify .`\n");
    Ok(out)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
