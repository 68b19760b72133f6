//! Where the numbers come from: units, plugins, data, machines, and the commands that make them again.

use crate::runs::Run;
use crate::table::fixed;
use crate::write::escape_html;
use std::collections::BTreeMap;

/// Commands, plugins, and a folded list per run.
pub(super) fn section(runs: &[Run]) -> String {
    let mut out = String::from("<h3>Commands</h3>\n");
    out.push_str(&command("facebench report RUNS --format html --out REPORT"));
    out.push_str(&command("facebench run EXPERIMENT.yaml"));
    out.push_str(&plugins(runs));
    out.push_str(&format!("<h3>Runs</h3>\n<details><summary>All {} runs</summary>\n", runs.len()));
    runs.iter().for_each(|r| out.push_str(&run(r)));
    out + "</details>\n"
}

fn command(text: &str) -> String {
    format!("<div class=\"command\"><code>{}</code></div>\n", escape_html(text))
}

fn plugins(runs: &[Run]) -> String {
    let mut seen: BTreeMap<(&str, &str, &str, &str), usize> = BTreeMap::new();
    for p in runs.iter().flat_map(|r| &r.record.plugins) {
        *seen.entry((&p.kind, &p.name, &p.version, &p.sha256)).or_default() += 1;
    }
    if seen.is_empty() {
        return String::new();
    }
    let mut out = String::from(
        "<h3>Plugins</h3>\n<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"Plugins\"><table>\n<thead><tr><th scope=\"col\">Kind</th>\
         <th scope=\"col\">Name</th><th scope=\"col\">Version</th><th scope=\"col\">SHA-256</th><th scope=\"col\" class=\"num\">Runs</th></tr></thead>\n<tbody>\n",
    );
    for ((kind, name, version, sha256), count) in seen {
        let [kind, name, version, sha256] = [kind, name, version, sha256].map(escape_html);
        out.push_str(&format!(
            "<tr><td>{kind}</td><td>{name}</td><td>{version}</td><td><code>{sha256}</code></td><td class=\"num\">{count}</td></tr>\n"
        ));
    }
    out + "</tbody></table></div>\n"
}

fn run(run: &Run) -> String {
    let r = &run.record;
    let title = format!("{} {} · {}", r.kind, r.name, run.short());
    let mut pairs: Vec<(&str, String)> =
        vec![("unit", r.unit.clone()), ("program", format!("facebench {}", r.facebench))];
    if let Some(commit) = &r.git {
        pairs.push(("commit", commit.clone()));
    }
    if let Some(p) = &r.protocol {
        pairs.push(("protocol", format!("{}@{} {}, fold {}", p.id, p.version, p.fingerprint, p.fold)));
    }
    let m = &r.machine;
    pairs.push((
        "machine",
        format!(
            "{}, {}, {} cores, {} GiB, {}, {} threads",
            m.os,
            m.cpu,
            m.cores,
            m.memory_bytes >> 30,
            m.device,
            m.threads
        ),
    ));
    pairs.push((
        "time",
        format!(
            "{} s, {} images, {} images/s",
            fixed(r.timings.wall_s, 0, 1),
            r.timings.images,
            fixed(r.timings.images_per_s, 0, 1)
        ),
    ));
    if let Some(decoder) = &r.decoder {
        pairs.push(("pictures decoded by", decoder.clone()));
    }
    if r.params.total > 0 {
        pairs.push(("parameters", format!("{} of {} trained", r.params.trained, r.params.total)));
    }
    for input in &r.inputs {
        pairs.push(("uses unit", input.clone()));
    }
    for d in &r.data {
        let mark = if d.synthetic { ", synthetic" } else { "" };
        let short: String = d.sha256.chars().take(16).collect();
        pairs.push((
            "data",
            format!("{}: {} samples, {} videos, sha256 {short}{mark}", d.dataset, d.samples, d.videos),
        ));
    }
    let list: String =
        pairs.iter().map(|(k, v)| format!("<dt>{k}</dt><dd>{}</dd>", escape_html(v))).collect();
    let again = command(&format!("facebench run EXPERIMENT.yaml --unit {}", r.unit));
    format!("<details><summary>{}</summary>\n<dl>{list}</dl>\n{again}</details>\n", escape_html(&title))
}
