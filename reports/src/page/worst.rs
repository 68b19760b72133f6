//! The most confident mistakes of the leading row of each table, by video.
//!
//! Names and scores only. A wrong label, a broken crop or a new kind of forgery is found by looking at these first.

use crate::Error;
use crate::runs::Run;
use crate::tables::{SetScores, Study};
use crate::write::escape_html;
use facebench_protocols::Metric;

/// Mistakes shown per direction.
const SHOWN: usize = 5;

/// One folded table per study that has scores.
pub(super) fn section(studies: &mut [Study<'_>]) -> Result<String, Error> {
    let mut out = String::new();
    for study in studies {
        let Some(leader) = leader(study) else { continue };
        let name = study.entries[leader].name();
        let runs: Vec<&Run> = study.entries[leader].runs.values().copied().collect();
        study.scores.fetch(&runs)?;
        let sets = runs.iter().flat_map(|run| study.scores.sets(run)).filter(|s| s.videos.set != "dev");
        let rows: Vec<Scored<'_>> = sets.flat_map(scored).collect();
        if rows.is_empty() {
            continue;
        }
        let title = escape_html(&format!("{} · {name}", study.table.headline()));
        out.push_str(&format!("<details><summary>{title}</summary>\n{}</details>\n", list(&rows)));
    }
    Ok(out)
}

/// The entry with the highest mean video AUC over all its sets.
fn leader(study: &Study<'_>) -> Option<usize> {
    let mean = |i: usize| {
        let sets =
            study.entries[i].runs.values().filter_map(|r| r.record.evaluation.as_ref()).flat_map(|e| &e.sets);
        let values: Vec<f64> = sets.filter_map(|m| Metric::VideoAuc.of(m)).collect();
        values.iter().sum::<f64>() / values.len().max(1) as f64
    };
    let candidates = (0..study.entries.len()).filter(|&i| !study.entries[i].oracle);
    candidates.rev().max_by(|&a, &b| mean(a).total_cmp(&mean(b)))
}

/// A video with its score.
struct Scored<'a> {
    set: &'a str,
    video: &'a str,
    label: u8,
    score: f64,
}

fn scored(own: &SetScores) -> impl Iterator<Item = Scored<'_>> {
    let videos = &own.videos;
    let rows = own.scores.iter().zip(&videos.ids).zip(&videos.labels);
    rows.map(|((&score, video), &label)| Scored { set: &videos.set, video, label, score })
}

fn list(rows: &[Scored<'_>]) -> String {
    let mut out = String::from(
        "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"Worst errors\"><table>\n<thead><tr><th scope=\"col\">Mistake</th>\
         <th scope=\"col\">Test set</th><th scope=\"col\">Video</th><th scope=\"col\" class=\"num\">P(fake)</th></tr></thead>\n",
    );
    for (label, word, sign) in [(0, "real called fake", -1.0), (1, "fake called real", 1.0)] {
        let mut wrong: Vec<&Scored<'_>> =
            rows.iter().filter(|r| r.label == label && (r.score > 0.5) == (label == 0)).collect();
        wrong
            .sort_by(|a, b| (a.score * sign).total_cmp(&(b.score * sign)).then_with(|| a.video.cmp(b.video)));
        out.push_str("<tbody>\n");
        for row in wrong.iter().take(SHOWN) {
            let (set, video) = (escape_html(row.set), escape_html(row.video));
            let score = crate::table::fixed(row.score, 0, 4);
            out.push_str(&format!("<tr><td>{word}</td><td>{set}</td><td><code>{video}</code></td><td class=\"num\">{score}</td></tr>\n"));
        }
        if wrong.is_empty() {
            out.push_str(&format!(
                "<tr><td>{word}</td><td colspan=\"3\" class=\"missing\">none at threshold 0.5</td></tr>\n"
            ));
        }
        out.push_str("</tbody>\n");
    }
    out + "</table></div>\n"
}
