//! What the audits found, worst first, equal findings once with the runs they concern.

use crate::runs::Run;
use crate::write::escape_html;
use facebench_protocols::Severity;
use std::collections::BTreeMap;

/// The findings as a table; a sentence if there are none.
pub(super) fn section(runs: &[Run]) -> String {
    let mut findings: BTreeMap<(Severity, &str, &str), Vec<String>> = BTreeMap::new();
    for run in runs {
        for f in run.record.evaluation.iter().flat_map(|e| &e.findings) {
            findings.entry((f.severity, &f.code, &f.message)).or_default().push(name(run));
        }
    }
    if findings.is_empty() {
        return "<p>No findings: polarity, coverage, class counts, constant and saturated scores were checked.</p>\n".into();
    }
    let mut out = String::from(
        "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"Audit findings\"><table>\n<thead><tr><th scope=\"col\">Severity</th>\
         <th scope=\"col\">Check</th><th scope=\"col\">Finding</th><th scope=\"col\">Runs</th></tr></thead>\n<tbody>\n",
    );
    for ((severity, code, message), runs) in findings {
        let (class, word) = match severity {
            Severity::Stop => ("stop", "stop"),
            Severity::Warn => ("warn", "warning"),
            Severity::Note => ("note", "note"),
        };
        let all = runs.iter().map(|n| escape_html(n)).collect::<Vec<_>>().join("<br>");
        let names = match runs.len() {
            1 => all,
            n => format!("<details><summary>{n} runs</summary>{all}</details>"),
        };
        out.push_str(&format!(
            "<tr><td class=\"{class}\">{word}</td><td class=\"short\"><code>{}</code></td><td>{}</td><td class=\"note\">{names}</td></tr>\n",
            escape_html(code),
            escape_html(message)
        ));
    }
    out + "</tbody></table></div>\n"
}

fn name(run: &Run) -> String {
    let name = if run.record.name.is_empty() { &run.record.kind } else { &run.record.name };
    format!("{name} ({})", run.short())
}
