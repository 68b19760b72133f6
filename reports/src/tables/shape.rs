//! What the columns of a table are and how a row fills them.
//!
//! A column is one metric of one test set in one fold, or the average of columns to its left. An average is taken per
//! seed over complete seeds, then over seeds, so that its ± is that of the average.

use super::{Entry, Part};
use crate::table::{Cell, Column, Direction, Row, RowKind, Unit, Value};
use facebench_protocols::{Interval, Measures, Metric};

/// Columns of a table and their sources.
pub(super) struct Shape {
    pub(super) columns: Vec<Column>,
    pub(super) sources: Vec<Source>,
    /// Sentences about the shape.
    pub(super) caption: Vec<String>,
    /// Print intervals by default.
    pub(super) intervals: bool,
}

/// Where a column's numbers come from.
pub(super) enum Source {
    /// A metric of a test set in a fold.
    Measure { fold: String, set: String, metric: Metric },
    /// The mean of other columns, by index.
    Average(Vec<usize>),
    /// Mean and standard deviation of a metric over folds, each the mean of its seeds.
    Folds { folds: Vec<String>, set: String, metric: Metric },
}

impl Source {
    /// Whether this is the video AUC of a set.
    pub(super) fn is_video_auc_of(&self, in_fold: &str, of_set: &str) -> bool {
        matches!(self, Source::Measure { fold, set, metric: Metric::VideoAuc } if fold == in_fold && set == of_set)
    }
}

impl Shape {
    pub(super) fn new() -> Self {
        Shape { columns: Vec::new(), sources: Vec::new(), caption: Vec::new(), intervals: false }
    }

    /// Adds a measured column in per cent; returns its index.
    pub(super) fn measure(
        &mut self,
        group: &str,
        name: &str,
        (fold, set): (&str, &str),
        metric: Metric,
    ) -> usize {
        self.columns.push(column(group, name, if fold.is_empty() { set } else { fold }, metric));
        self.sources.push(Source::Measure { fold: fold.into(), set: set.into(), metric });
        self.columns.len() - 1
    }

    /// Adds the average of columns, if there are at least two.
    pub(super) fn average(&mut self, group: &str, name: &str, of: Vec<usize>, metric: Metric) {
        if of.len() > 1 {
            self.columns.push(column(group, name, "average", metric));
            self.sources.push(Source::Average(of));
        }
    }

    /// Adds the mean over folds.
    pub(super) fn folds(&mut self, name: &str, (folds, set): (&[String], &str), metric: Metric) {
        self.columns.push(column(set, name, set, metric));
        self.sources.push(Source::Folds { folds: folds.to_vec(), set: set.into(), metric });
    }

    /// Fills a row.
    pub(super) fn row(&self, entry: &Entry<'_>, labels: Vec<String>, kind: RowKind) -> Row {
        let cells = (0..self.columns.len()).map(|c| self.cell(entry, c)).collect();
        Row { labels, cells, kind, notes: Vec::new() }
    }

    fn value(&self, entry: &Entry<'_>, c: usize, seed: u64) -> Option<f64> {
        match &self.sources[c] {
            Source::Measure { fold, set, metric } => metric.of(entry.measures(fold, set, seed)?),
            Source::Average(of) => {
                let parts: Option<Vec<f64>> = of.iter().map(|&i| self.value(entry, i, seed)).collect();
                parts.map(|p| p.iter().sum::<f64>() / p.len() as f64)
            }
            Source::Folds { .. } => None, // not one number for a seed
        }
    }

    /// One number for each fold, the mean of its seeds; none if one is missing.
    fn each_fold(
        entry: &Entry<'_>,
        folds: &[String],
        set: &str,
        metric: Metric,
    ) -> std::result::Result<Vec<f64>, String> {
        let seeds = entry.seeds();
        let of = |fold: &String| {
            let values: Vec<f64> =
                seeds.iter().filter_map(|s| metric.of(entry.measures(fold, set, *s)?)).collect();
            Value::over_seeds(&values).map(|v| v.mean).ok_or_else(|| format!("{fold} is missing"))
        };
        folds.iter().map(of).collect()
    }

    fn cell(&self, entry: &Entry<'_>, c: usize) -> Cell {
        if let Source::Folds { folds, set, metric } = &self.sources[c] {
            let values = Self::each_fold(entry, folds, set, *metric);
            return match values.map(|v| Value::over_seeds(&v)) {
                Ok(value) => value.map_or_else(|| Cell::Missing("no fold".into()), Cell::Value),
                Err(why) => Cell::Missing(why),
            };
        }
        let seeds = entry.seeds();
        let values: Vec<f64> = seeds.iter().filter_map(|&seed| self.value(entry, c, seed)).collect();
        match Value::over_seeds(&values) {
            Some(value) => Cell::Value(Value { interval: self.interval(entry, c, &seeds), ..value }),
            None => Cell::Missing(self.reason(entry, c)),
        }
    }

    /// Interval of a measured cell: the run's own for one seed, the mean of the limits over several.
    fn interval(&self, entry: &Entry<'_>, c: usize, seeds: &[u64]) -> Option<Interval> {
        let Source::Measure { fold, set, metric } = &self.sources[c] else { return None };
        let measured = seeds.iter().filter_map(|&seed| entry.measures(fold, set, seed));
        let limits: Option<Vec<Interval>> = measured.map(|m| interval_of(*metric, m)).collect();
        let limits = limits.filter(|l| !l.is_empty())?;
        let mean = |f: fn(&Interval) -> f64| limits.iter().map(f).sum::<f64>() / limits.len() as f64;
        Some(Interval { low: mean(|i| i.low), high: mean(|i| i.high) })
    }

    fn reason(&self, entry: &Entry<'_>, c: usize) -> String {
        match &self.sources[c] {
            Source::Average(_) | Source::Folds { .. } => "average of an incomplete row".into(),
            Source::Measure { fold, set, metric } => {
                let of_fold: Vec<_> = entry.runs.iter().filter(|((f, _), _)| f == fold).collect();
                let measured = of_fold.iter().any(|((f, seed), _)| entry.measures(f, set, *seed).is_some());
                match (of_fold.is_empty(), measured) {
                    (true, _) => "not run".into(),
                    (_, true) if *metric == Metric::HterDev => "no development scores".into(),
                    _ => format!("no scores of {set}"),
                }
            }
        }
    }
}

fn interval_of(metric: Metric, measures: &Measures) -> Option<Interval> {
    match metric {
        Metric::VideoAuc => measures.video_auc_ci,
        Metric::FrameAuc => measures.frame_auc_ci,
        Metric::VideoEer => measures.video_eer_ci,
        Metric::HterDev => measures.hter_dev_ci,
        _ => None,
    }
}

/// Machine name of a metric, e.g. `video_auc`.
pub(crate) fn metric_id(metric: Metric) -> String {
    let name = serde_json::to_value(metric).ok();
    name.and_then(|v| v.as_str().map(|s| s.replace('-', "_"))).unwrap_or_default()
}

fn column(group: &str, name: &str, set: &str, metric: Metric) -> Column {
    let direction = if metric.higher_is_better() { Direction::Up } else { Direction::Down };
    Column {
        group: group.into(),
        name: name.into(),
        set: set.into(),
        metric: metric_id(metric),
        direction,
        unit: Unit::Percent,
        decimals: 2,
    }
}

/// Test sets of a part in protocol order: `(fold, set, in_domain)`.
pub(crate) fn sets(part: &Part<'_>) -> Vec<(String, String, bool)> {
    let mut sets: Vec<(String, String, bool)> = Vec::new();
    for fold in part.protocol.iter().flat_map(|p| &p.folds) {
        sets.extend(fold.tests.iter().map(|t| (fold.name.clone(), t.name.clone(), t.in_domain)));
    }
    for run in &part.runs {
        let fold = run.record.protocol.as_ref().map(|p| p.fold.clone()).unwrap_or_default();
        for m in run.record.evaluation.iter().flat_map(|e| &e.sets) {
            if !sets.iter().any(|(f, s, _)| *f == fold && *s == m.set) {
                sets.push((fold.clone(), m.set.clone(), m.in_domain));
            }
        }
    }
    sets
}
