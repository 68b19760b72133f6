//! Which figures a report has, and from which runs.
//!
//! Per protocol: bars per head, paired differences, a heat map of all rows and sets, ROC curves and score histograms at
//! video level. Per pre-training: its loss curves. Everything that needs scores is left out where there are none, and a
//! figure with more series than a reader can tell apart shows the first [`CURVES`] or is left to the tables.

use crate::Error;
use crate::plot::{
    Bar, Bars, Bubble, Bubbles, Calibration, Curves, Det, Difference, Figure, Forest, Heat, Histogram, Line,
    Plot as _, Radar, Reliability, Roc, RocCurve, Scored, Threshold, render,
};
use crate::runs::Run;
use crate::scaling;
use crate::tables::{self, Entry, SetScores, Study};
use facebench_protocols::Metric;

/// Curves with bands side by side before the bands hide each other.
const BANDS: usize = 4;
/// Curves in one figure.
const CURVES: usize = 12;
/// Rows above which bars, differences and heat maps are walls; the tables hold the numbers.
const ROWS: usize = 60;
/// Outlines in a radar, and series in a reliability diagram, before they hide each other.
const RADAR: usize = 6;
/// Bins of a reliability diagram.
const BINS: usize = 10;
/// Resamples of a band.
const RESAMPLES: usize = 400;

/// Section of the report a figure belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Summaries, shown open.
    Main,
    /// ROC curves.
    Roc,
    /// DET curves.
    Det,
    /// Reliability diagrams.
    Reliability,
    /// Score histograms.
    Scores,
    /// Training curves.
    Training,
}

/// The figures of a study.
pub(crate) fn of_study(
    study: &mut Study<'_>,
    runs: &[Run],
    png: bool,
) -> Result<Vec<(Place, Figure)>, Error> {
    let mut figures = Vec::new();
    for bars in bars(study) {
        figures.push((Place::Main, render(&bars, png)?));
    }
    if let Some(forest) = forest(study) {
        figures.push((Place::Main, render(&forest, png)?));
    }
    if let Some(heat) = heat(study) {
        figures.push((Place::Main, render(&heat, png)?));
    }
    for radar in radars(study) {
        figures.push((Place::Main, render(&radar, png)?));
    }
    if let Some(bubbles) = bubbles(study) {
        figures.push((Place::Main, render(&bubbles, png)?));
    }
    for curves in scaling::curves(study, runs) {
        figures.push((Place::Main, render(&curves, png)?));
    }
    for (fold, set) in sets(study) {
        for roc in rocs(study, &fold, &set)? {
            if !roc.log_x {
                let id = roc.id.replacen("roc", "det", 1);
                let det = Det { id, title: roc.title.replacen("ROC", "DET", 1), curves: roc.curves.clone() };
                // rows that separate the set perfectly have no error rates to draw
                if det.check().is_ok() {
                    figures.push((Place::Det, render(&det, png)?));
                }
            }
            figures.push((Place::Roc, render(&roc, png)?));
        }
        if let Some(diagram) = reliability(study, &fold, &set)? {
            figures.push((Place::Reliability, render(&diagram, png)?));
        }
    }
    for i in 0..study.entries.len().min(CURVES) {
        if let Some(histogram) = histogram(study, i)? {
            figures.push((Place::Scores, render(&histogram, png)?));
        }
    }
    Ok(figures)
}

/// Loss curves of every pre-training.
pub(crate) fn of_training(runs: &[Run], png: bool) -> Result<Vec<(Place, Figure)>, Error> {
    let mut figures = Vec::new();
    for run in runs.iter().filter(|r| r.record.kind == "pretrain") {
        let series = run.curves()?;
        // A loss term that is switched off is zero throughout; drawing it would only flatten the others.
        let shown = series.into_iter().filter(|s| s.name != "lr" && s.points.iter().any(|p| p.1 != 0.0));
        let lines: Vec<Line> = shown.map(|s| Line { name: s.name, points: s.points }).collect();
        if lines.is_empty() {
            continue;
        }
        let name = if run.record.name.is_empty() { run.short() } else { run.record.name.clone() };
        let curves = Curves {
            id: slug(&["training", &name, &run.short()]),
            title: marked(&format!("Pre-training {name}, seed {}", run.record.seed), run.record.synthetic),
            x: "epoch".into(),
            y: "mean over the epoch".into(),
            log_x: false,
            lines,
            whiskers: Vec::new(),
        };
        figures.push((Place::Training, render(&curves, png)?));
    }
    Ok(figures)
}

pub(crate) fn marked(title: &str, synthetic: bool) -> String {
    if synthetic { format!("{title} · synthetic") } else { title.to_owned() }
}

/// Parts joined by hyphens, only lower-case letters, digits and hyphens.
pub(crate) fn slug(parts: &[&str]) -> String {
    let mut out = String::new();
    for c in parts.join("-").chars() {
        if c.is_ascii_alphanumeric() {
            out.push(c.to_ascii_lowercase());
        } else if c == '+' {
            out.push('p'); // FF++ is not FF
        } else if !out.ends_with('-') && !out.is_empty() {
            out.push('-');
        }
    }
    out.trim_end_matches('-').to_owned()
}

/// `(fold, set)` in the order of the protocol.
fn sets(study: &Study<'_>) -> Vec<(String, String)> {
    let measured = |(fold, set): &(String, String)| {
        study.entries.iter().any(|e| e.seeds().iter().any(|&s| e.measures(fold, set, s).is_some()))
    };
    tables::sets(&study.part).into_iter().map(|(fold, set, _)| (fold, set)).filter(measured).collect()
}

/// Name of a set for people: the fold where there are several.
fn set_name(study: &Study<'_>, fold: &str, set: &str) -> String {
    let several = study.entries.iter().flat_map(|e| e.runs.keys()).any(|(f, _)| f != fold);
    if several { fold.to_owned() } else { set.to_owned() }
}

/// The run of an entry in a fold with its lowest seed.
fn first<'a>(entry: &Entry<'a>, fold: &str) -> Option<&'a Run> {
    entry.runs.iter().find(|((f, _), _)| f == fold).map(|(_, run)| *run)
}

/// Which seed of several a run of `entry` is; nothing where there is one.
fn seed_of(entry: &Entry<'_>, fold: &str, run: &Run) -> Option<String> {
    let seeds = entry.runs.keys().filter(|(f, _)| f == fold).count();
    (seeds > 1).then(|| format!("seed {}, one of {seeds}", run.record.seed))
}

/// The runs that stand for the first `most` entries in a fold, with their names; and what the title must say. A figure of
/// single runs says which seed it shows: once in the title where that is the same for all, else beside the name.
fn stand_ins<'a>(study: &Study<'a>, fold: &str, most: usize) -> (Vec<(String, &'a Run)>, String) {
    let shown: Vec<(&Entry<'a>, &'a Run)> = study
        .entries
        .iter()
        .filter(|e| !e.oracle)
        .filter_map(|e| Some((e, first(e, fold)?)))
        .take(most)
        .collect();
    let seeds: Vec<Option<String>> = shown.iter().map(|(e, run)| seed_of(e, fold, run)).collect();
    let common = seeds.first().cloned().flatten().filter(|s| seeds.iter().all(|t| t.as_ref() == Some(s)));
    let name = |(e, seed): (&Entry<'_>, &Option<String>)| match seed {
        Some(seed) if common.is_none() => format!("{}, {seed}", e.name()),
        _ => e.name(),
    };
    let runs = shown.iter().zip(&seeds).map(|((e, run), seed)| (name((e, seed)), *run)).collect();
    (runs, common.map(|seed| format!(", {seed}")).unwrap_or_default())
}

/// Mean over seeds of a metric, with the mean interval.
fn mean(entry: &Entry<'_>, fold: &str, set: &str, metric: Metric) -> Option<(f64, Option<(f64, f64)>)> {
    let seeds = entry.seeds();
    let measures: Vec<_> = seeds.iter().filter_map(|&s| entry.measures(fold, set, s)).collect();
    let values: Option<Vec<f64>> = measures.iter().map(|m| metric.of(m)).collect();
    let values = values.filter(|v| !v.is_empty())?;
    let n = values.len() as f64;
    let limits: Option<Vec<_>> = measures.iter().map(|m| m.video_auc_ci).collect();
    let ends =
        limits.map(|l| (l.iter().map(|i| i.low).sum::<f64>() / n, l.iter().map(|i| i.high).sum::<f64>() / n));
    Some((values.iter().sum::<f64>() / n, ends))
}

fn heads<'s>(study: &'s Study<'_>) -> Vec<&'s str> {
    let mut heads: Vec<&str> = Vec::new();
    for entry in study.entries.iter().filter(|e| !e.oracle) {
        if !heads.contains(&entry.head.as_str()) {
            heads.push(&entry.head);
        }
    }
    heads
}

fn bars(study: &Study<'_>) -> Vec<Bars> {
    let mut figures = Vec::new();
    for head in heads(study) {
        let entries: Vec<&Entry<'_>> = study.entries.iter().filter(|e| !e.oracle && e.head == head).collect();
        let mut bars = Vec::new();
        for (fold, set) in sets(study) {
            for entry in &entries {
                if let Some((value, interval)) = mean(entry, &fold, &set, Metric::VideoAuc) {
                    bars.push(Bar {
                        category: set_name(study, &fold, &set),
                        series: entry.name().trim_end_matches(&format!(", {head}")).to_owned(),
                        value: value * 100.0,
                        interval: interval.map(|(l, h)| (l * 100.0, h * 100.0)),
                    });
                }
            }
        }
        if !bars.is_empty() && entries.len() <= CURVES {
            figures.push(Bars {
                id: slug(&["bars", &study.table.id, head]),
                title: marked(
                    &format!("Video AUC with head {head} · {}", study.part.stamp.id),
                    study.part.synthetic,
                ),
                y: "Video AUC (%), 95 % interval".into(),
                base: 50.0,
                bars,
            });
        }
    }
    figures
}

fn forest(study: &Study<'_>) -> Option<Forest> {
    let row = |c: &crate::tables::Compared| Difference {
        name: study.entries[c.entry].name(),
        group: format!("{} · best: {}", c.set, study.entries[c.best].name()),
        delta: c.difference * 100.0,
        interval: (c.interval.low * 100.0, c.interval.high * 100.0),
        p: c.p,
        different: c.different(),
    };
    let rows: Vec<Difference> = study.compared.iter().map(row).collect();
    (1..=ROWS).contains(&rows.len()).then(|| Forest {
        id: slug(&["differences", &study.table.id]),
        title: marked(&format!("Difference to the best row · {}", study.part.stamp.id), study.part.synthetic),
        x: "Δ video AUC (points), 95 % interval".into(),
        rows,
    })
}

fn heat(study: &Study<'_>) -> Option<Heat> {
    let sets = sets(study);
    let entries: Vec<&Entry<'_>> = study.entries.iter().filter(|e| !e.oracle).collect();
    if sets.len() < 2 || !(2..=ROWS).contains(&entries.len()) {
        return None;
    }
    let value =
        |e: &Entry<'_>, (fold, set): &(String, String)| mean(e, fold, set, Metric::VideoAuc).map(|v| v.0);
    Some(Heat {
        id: slug(&["heat", &study.table.id]),
        title: marked(
            &format!("Video AUC (%) of all rows and test sets · {}", study.part.stamp.id),
            study.part.synthetic,
        ),
        row_axis: "model, head".into(),
        column_axis: "tested on".into(),
        rows: entries.iter().map(|e| e.name()).collect(),
        columns: sets.iter().map(|(f, s)| set_name(study, f, s)).collect(),
        values: entries.iter().map(|e| sets.iter().map(|s| value(e, s)).collect()).collect(),
        range: (0.5, 1.0),
        shift: 2,
        decimals: 1,
    })
}

fn rocs(study: &mut Study<'_>, fold: &str, set: &str) -> Result<Vec<Roc>, Error> {
    let (shown, seed) = stand_ins(study, fold, CURVES);
    let resamples = if shown.len() <= BANDS { RESAMPLES } else { 0 };
    let name = set_name(study, fold, set);
    let mut curves = Vec::new();
    for (name, run) in shown {
        let samples = scored(study.scores.of(run)?, set);
        if !samples.is_empty() {
            curves.push(RocCurve::of(&name, &samples, resamples)?);
        }
    }
    if curves.is_empty() {
        return Ok(Vec::new());
    }
    let title = |kind: &str| {
        marked(&format!("ROC on {name}, videos{seed}{kind} · {}", study.part.stamp.id), study.part.synthetic)
    };
    let base = slug(&["roc", &study.table.id, &name]);
    Ok(vec![
        Roc { id: base.clone(), title: title(""), log_x: false, curves: curves.clone() },
        Roc { id: format!("{base}-log"), title: title(", low false positive rates"), log_x: true, curves },
    ])
}

/// Videos of a set as ROC samples.
fn scored(sets: Option<&[SetScores]>, set: &str) -> Vec<Scored> {
    let Some(own) = sets.unwrap_or_default().iter().find(|s| s.videos.set == set) else { return Vec::new() };
    let pairs = own.scores.iter().zip(&own.videos.labels).enumerate();
    pairs.map(|(video, (&score, &label))| Scored { score, fake: label == 1, video }).collect()
}

fn histogram(study: &mut Study<'_>, index: usize) -> Result<Option<Histogram>, Error> {
    let (name, oracle) = (study.entries[index].name(), study.entries[index].oracle);
    let entry = &study.entries[index];
    let seeds: Vec<Option<String>> =
        sets(study).iter().filter_map(|(fold, _)| Some(seed_of(entry, fold, first(entry, fold)?))).collect();
    let common = seeds.first().cloned().flatten().filter(|s| seeds.iter().all(|t| t.as_ref() == Some(s)));
    let seed = common.as_ref().map(|seed| format!(", {seed}")).unwrap_or_default();
    let mut histogram = Histogram::new(
        &slug(&["scores", &study.table.id, &name]),
        &marked(&format!("P(fake) of videos, {name}{seed} · {}", study.part.stamp.id), study.part.synthetic),
    );
    for (fold, set) in sets(study) {
        let Some(run) = first(&study.entries[index], &fold).filter(|_| !oracle) else { continue };
        let measures = run.record.evaluation.iter().flat_map(|e| &e.sets).find(|m| m.set == set);
        let dev = measures.and_then(|m| m.dev_threshold);
        let mut name = set_name(study, &fold, &set);
        if let Some(seed) = seed_of(&study.entries[index], &fold, run).filter(|_| common.is_none()) {
            name = format!("{name}, {seed}");
        }
        let scores: Vec<(f64, bool)> =
            scored(study.scores.of(run)?, &set).into_iter().map(|s| (s.score, s.fake)).collect();
        if !scores.is_empty() {
            let thresholds =
                dev.map(|at| Threshold { name: "threshold at the EER of the development set".into(), at });
            histogram.add(&name, scores.into_iter(), thresholds.into_iter().collect());
        }
    }
    Ok((!histogram.panels.is_empty()).then_some(histogram))
}

/// One radar per head over three to eight test sets, of rows that have all of them.
fn radars(study: &Study<'_>) -> Vec<Radar> {
    let sets = sets(study);
    let mut figures = Vec::new();
    for head in heads(study) {
        let row = |e: &&Entry<'_>| {
            let value = |(f, s): &(String, String)| mean(e, f, s, Metric::VideoAuc).map(|v| v.0 * 100.0);
            let values: Option<Vec<f64>> = sets.iter().map(value).collect();
            let points = values?.into_iter().enumerate().map(|(i, v)| (i as f64, v)).collect();
            Some(Line { name: e.name().trim_end_matches(&format!(", {head}")).to_owned(), points })
        };
        let rows: Vec<Line> =
            study.entries.iter().filter(|e| !e.oracle && e.head == head).filter_map(|e| row(&e)).collect();
        if !(3..=8).contains(&sets.len()) || !(2..=RADAR).contains(&rows.len()) {
            continue;
        }
        let lowest = rows.iter().flat_map(|r| &r.points).map(|p| p.1).fold(50.0, f64::min);
        figures.push(Radar {
            id: slug(&["radar", &study.table.id, head]),
            title: marked(
                &format!("Video AUC with head {head} · {}", study.part.stamp.id),
                study.part.synthetic,
            ),
            what: "Video AUC (%)".into(),
            rays: sets.iter().map(|(f, s)| set_name(study, f, s)).collect(),
            origin: (lowest / 10.0).floor() * 10.0, // chance, or below what any row reaches
            rim: 100.0,
            rows,
        });
    }
    figures
}

/// Mean video AUC in per cent over all unseen test sets; `None` for a row that lacks one.
pub(crate) fn unseen_mean(study: &Study<'_>, entry: &Entry<'_>) -> Option<f64> {
    let sets = tables::sets(&study.part);
    let unseen = sets.iter().filter(|(_, _, seen)| !seen);
    let values: Option<Vec<f64>> =
        unseen.map(|(f, s, _)| mean(entry, f, s, Metric::VideoAuc).map(|v| v.0)).collect();
    let values = values.filter(|v| !v.is_empty())?;
    Some(100.0 * values.iter().sum::<f64>() / values.len() as f64)
}

/// Parameters against the mean video AUC over all unseen test sets, of rows that have all of them.
fn bubbles(study: &Study<'_>) -> Option<Bubbles> {
    let row = |e: &Entry<'_>| {
        let value = unseen_mean(study, e)?;
        let params = e.runs.values().next()?.record.params;
        (params.total > 0).then(|| Bubble {
            name: e.name(),
            family: format!("{} {}", e.pretraining, e.head),
            total: params.total as f64,
            trained: params.trained as f64,
            value,
        })
    };
    let rows: Vec<Bubble> = study.entries.iter().filter(|e| !e.oracle).filter_map(row).collect();
    // rows of one size say nothing about size
    let several = rows.windows(2).any(|w| w[0].total != w[1].total);
    (several && rows.len() <= CURVES).then(|| Bubbles {
        id: slug(&["parameters", &study.table.id]),
        title: marked(&format!("Parameters and quality · {}", study.part.stamp.id), study.part.synthetic),
        y: "Mean video AUC, unseen sets (%)".into(),
        lower_is_better: false,
        rows,
    })
}

/// How well the scores of the first seeds are calibrated on a set, at video level.
fn reliability(study: &mut Study<'_>, fold: &str, set: &str) -> Result<Option<Reliability>, Error> {
    let (runs, seed) = stand_ins(study, fold, RADAR);
    let mut series = Vec::new();
    for (name, run) in runs {
        let samples = scored(study.scores.of(run)?, set);
        if !samples.is_empty() {
            series.push(Calibration::of(&name, &samples, BINS));
        }
    }
    if series.is_empty() {
        return Ok(None);
    }
    let name = set_name(study, fold, set);
    Ok(Some(Reliability {
        id: slug(&["reliability", &study.table.id, &name]),
        title: marked(
            &format!("Calibration on {name}, videos{seed} · {}", study.part.stamp.id),
            study.part.synthetic,
        ),
        series,
    }))
}
