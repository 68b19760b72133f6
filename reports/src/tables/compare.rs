//! Which rows a paired test cannot tell from the best of their column.
//!
//! For every AUC column at video level: each ranked row against the ranked row with the highest mean, seed by seed on
//! the same videos, by DeLong's test with a bootstrap interval. Over several seeds the p-value is twice the median
//! (valid whatever the dependence between seeds). All p-values of a table are Holm-corrected together.

use super::scores::Videos;
use super::shape::{Shape, Source};
use super::{Entry, Scores};
use crate::Error;
use crate::runs::Run;
use crate::table::{Cell, Row, Table};
use facebench_protocols::stats::compare::{Comparison, compare_videos};
use facebench_protocols::stats::holm::holm;
use facebench_protocols::{Interval, Metric};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Bootstrap resamples of the interval.
const RESAMPLES: usize = 1000;
/// Level of the tests.
const LEVEL: f64 = 0.05;

/// One row against the best of one column.
pub(crate) struct Compared {
    pub(crate) column: usize,
    /// Name of the test set for people.
    pub(crate) set: String,
    pub(crate) entry: usize,
    pub(crate) best: usize,
    /// Row minus best, a fraction.
    pub(crate) difference: f64,
    pub(crate) interval: Interval,
    /// Holm-corrected.
    pub(crate) p: f64,
}

impl Compared {
    pub(crate) fn different(&self) -> bool {
        self.p < LEVEL
    }
}

/// All comparisons that score files allow.
pub(super) fn compare_rows(
    shape: &Shape,
    entries: &[Entry<'_>],
    scores: &mut Scores,
) -> Result<Vec<Compared>, Error> {
    let mut all = Vec::new();
    for (column, source) in shape.sources.iter().enumerate() {
        let Source::Measure { fold, set, metric } = source else { continue };
        let also_video =
            *metric == Metric::FrameAuc && shape.sources.iter().any(|s| s.is_video_auc_of(fold, set));
        if also_video {
            continue;
        }
        let ranked: Vec<usize> = (0..entries.len()).filter(|&i| !entries[i].oracle).collect();
        if !ranked.iter().all(|&i| at_video_level(&entries[i], fold, set, *metric)) {
            continue;
        }
        let mean = |i: usize| {
            let seeds = entries[i].seeds();
            let values: Vec<f64> =
                seeds.iter().filter_map(|&s| Some(entries[i].measures(fold, set, s)?.video_auc)).collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        };
        let means: Vec<(usize, f64)> = ranked.iter().filter_map(|&i| Some((i, mean(i)?))).collect();
        let Some(&(best, _)) = means.iter().rev().max_by(|a, b| a.1.total_cmp(&b.1)) else { continue };
        let others: Vec<usize> = means.iter().map(|m| m.0).filter(|&i| i != best).collect();
        let found = compare_column(entries, best, &others, (fold, set), scores)?;
        for (entry, found) in others.into_iter().zip(found) {
            if let Some((difference, interval, p)) = over_seeds(&found) {
                let set = if shape.columns[column].group.contains(fold.as_str()) { fold } else { set };
                all.push(Compared { column, set: set.clone(), entry, best, difference, interval, p });
            }
        }
    }
    let corrected = holm(&all.iter().map(|c| c.p).collect::<Vec<f64>>());
    all.iter_mut().zip(corrected).for_each(|(c, p)| c.p = p);
    Ok(all)
}

/// Video AUC, or frame AUC where every frame is its own video.
fn at_video_level(entry: &Entry<'_>, fold: &str, set: &str, metric: Metric) -> bool {
    let measured = || entry.seeds().into_iter().filter_map(|s| entry.measures(fold, set, s));
    metric == Metric::VideoAuc || (metric == Metric::FrameAuc && measured().all(|m| m.frames == m.videos))
}

type Found = Vec<(Comparison, Interval)>;

/// Each of `others` against `best` on one set, seed by seed; nothing where a seed has no scores or too few videos.
fn compare_column(
    entries: &[Entry<'_>],
    best: usize,
    others: &[usize],
    (fold, set): (&String, &String),
    scores: &mut Scores,
) -> Result<Vec<Found>, Error> {
    let mut found: Vec<Found> = others.iter().map(|_| Vec::new()).collect();
    if others.is_empty() {
        return Ok(found);
    }
    let run = |entry: usize, seed: u64| entries[entry].runs.get(&(fold.clone(), seed)).copied();
    for seed in entries[best].seeds() {
        let Some(best_run) = run(best, seed) else { continue };
        let runs: Vec<(usize, &Run)> =
            others.iter().enumerate().filter_map(|(at, &i)| Some((at, run(i, seed)?))).collect();
        scores.fetch(&runs.iter().map(|r| r.1).chain([best_run]).collect::<Vec<_>>())?;
        let Some(of_best) = scores.set(best_run, set) else { continue };
        let mut models = Vec::new();
        for (at, run) in runs {
            let Some(own) = scores.set(run, set) else { continue };
            if !Arc::ptr_eq(&own.videos, &of_best.videos) {
                let what = format!("{} with {} on {set}", entries[others[at]].name(), entries[best].name());
                return Err(Error::Statistics { what, message: differ(&own.videos, &of_best.videos) });
            }
            models.push((at, own.scores.as_slice()));
        }
        let list: Vec<&[f64]> = models.iter().map(|m| m.1).collect();
        match compare_videos(set, &list, &of_best.scores, &of_best.videos.labels, RESAMPLES, 0) {
            Ok(compared) => {
                for ((at, _), comparison) in models.iter().zip(compared) {
                    found[*at].extend(comparison.interval.map(|interval| (comparison, interval)));
                }
            }
            Err(facebench_protocols::Error::Metric { .. }) => {} // too few videos to test: no mark either way
            Err(e) => {
                let what = format!("all rows with {} on {set}", entries[best].name());
                return Err(Error::Statistics { what, message: e.to_string() });
            }
        }
    }
    Ok(found)
}

/// How two lists of videos differ.
fn differ(a: &Videos, b: &Videos) -> String {
    fn ids(v: &Videos) -> BTreeSet<(&String, &u8)> {
        v.ids.iter().zip(&v.labels).collect()
    }
    let (ids_a, ids_b) = (ids(a), ids(b));
    let only = |x: &BTreeSet<_>, y: &BTreeSet<_>| x.difference(y).count();
    let example = ids_a.symmetric_difference(&ids_b).next().map(|(id, _)| (*id).clone());
    let error = facebench_protocols::Error::DifferentSamples {
        set: a.set.clone(),
        only_a: only(&ids_a, &ids_b),
        only_b: only(&ids_b, &ids_a),
        example: example.unwrap_or_default(),
    };
    error.to_string()
}

/// Mean difference, mean interval and p-value; `None` without a comparison.
fn over_seeds(found: &Found) -> Option<(f64, Interval, f64)> {
    if found.is_empty() {
        return None;
    }
    let n = found.len() as f64;
    let mean = |f: fn(&(Comparison, Interval)) -> f64| found.iter().map(f).sum::<f64>() / n;
    let interval = Interval { low: mean(|(_, i)| i.low), high: mean(|(_, i)| i.high) };
    let mut p: Vec<f64> = found.iter().map(|(c, _)| c.p_delong).collect();
    p.sort_by(f64::total_cmp);
    let median = p[p.len() / 2]; // the upper one of two: conservative
    let p = if p.len() == 1 { median } else { (2.0 * median).min(1.0) };
    Some((mean(|(c, _)| c.difference), interval, p))
}

/// Marks the cells that are not different from the best.
pub(super) fn mark(table: &mut Table, order: &[usize], compared: &[Compared]) {
    let rows: Vec<&mut Row> = table.groups.iter_mut().flat_map(|g| &mut g.rows).collect();
    for (row, &entry) in rows.into_iter().zip(order) {
        for c in compared.iter().filter(|c| c.entry == entry && !c.different()) {
            if let Cell::Value(value) = &mut row.cells[c.column] {
                value.equal_to_best = true;
            }
        }
    }
}
