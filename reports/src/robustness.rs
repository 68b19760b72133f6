//! How much a detector loses when its test pictures are damaged: a table, curves over severity, and all numbers.
//!
//! Table: a row per model and head, the video AUC on clean pictures, and for each kind of damage how much of it is gone,
//! averaged over the five severities and over the test sets that were not trained on (Hendrycks and Dietterich, arXiv
//! 1903.12261, average error the same way; drops are absolute points here, because a ratio of errors explodes where the
//! clean error is near zero). Curves: video AUC over severity for one run and test set, with the intervals that resample
//! videos. Clean numbers are those of the same pictures through the same path, severity 0.

use crate::Error;
use crate::figures::slug;
use crate::plot::{Curves, Figure, Line, render};
use crate::runs::Run;
use crate::table::{Cell, Column, Direction, Group, Row, RowKind, Table, Unit, Value};
use crate::tables::{self, Entry, entries, parts};
use crate::write::csv_line;
use facebench_protocols::{Evaluation, Measures, Protocol};
use std::collections::BTreeMap;

/// Rows in the figure that compares them, before they hide each other.
const ROWS: usize = 12;

/// One kind of damage at one severity.
#[derive(Clone, Debug, PartialEq)]
pub struct Damage {
    /// Kind, e.g. `jpeg`
    pub corruption: String,
    /// 1 to 5
    pub severity: usize,
    /// The parameter of that severity
    pub level: f64,
}

/// A run with what it scored on clean and damaged pictures.
#[derive(Clone, Debug)]
pub struct Study {
    /// The run
    pub run: Run,
    /// Severity 0
    pub clean: Evaluation,
    /// The rest, kind by kind, severities rising
    pub damaged: Vec<(Damage, Evaluation)>,
}

impl Study {
    /// Kinds of damage in their order.
    fn kinds(&self) -> Vec<&str> {
        let mut kinds: Vec<&str> = self.damaged.iter().map(|(d, _)| d.corruption.as_str()).collect();
        kinds.dedup();
        kinds
    }

    /// Severities with the numbers of `set`, severity 0 first.
    fn over_severity(&self, kind: &str, set: &str) -> Vec<(usize, &Measures)> {
        let clean = find(&self.clean, set).map(|m| (0, m));
        let of_kind = self.damaged.iter().filter(|(d, _)| d.corruption == kind);
        clean.into_iter().chain(of_kind.filter_map(|(d, e)| Some((d.severity, find(e, set)?)))).collect()
    }

    /// Test sets that count: those not trained on, or all if there are no others.
    fn sets(&self) -> Vec<&str> {
        let unseen = self.clean.sets.iter().any(|m| !m.in_domain);
        self.clean.sets.iter().filter(|m| !(unseen && m.in_domain)).map(|m| m.set.as_str()).collect()
    }

    /// Mean video AUC over the sets that count.
    fn mean(&self, evaluation: &Evaluation) -> Option<f64> {
        let values: Option<Vec<f64>> =
            self.sets().iter().map(|s| find(evaluation, s).map(|m| m.video_auc)).collect();
        values.filter(|v| !v.is_empty()).map(|v| v.iter().sum::<f64>() / v.len() as f64)
    }

    /// Clean mean minus the mean over the severities of a kind.
    fn drop(&self, kind: &str) -> Option<f64> {
        let of_kind = self.damaged.iter().filter(|(d, _)| d.corruption == kind);
        let values: Vec<f64> = of_kind.map(|(_, e)| self.mean(e)).collect::<Option<_>>()?;
        let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
        (!values.is_empty()).then_some(self.mean(&self.clean)? - mean)
    }
}

fn find<'e>(evaluation: &'e Evaluation, set: &str) -> Option<&'e Measures> {
    evaluation.sets.iter().find(|m| m.set == set)
}

/// The tables: one per protocol (and part of it that may be compared). `protocols` are those that do not ship.
///
/// # Errors
/// No study, or studies of no protocol.
pub fn tables(studies: &[Study], protocols: &[Protocol]) -> Result<Vec<Table>, Error> {
    let runs: Vec<Run> = studies.iter().map(|s| s.run.clone()).collect();
    let of: BTreeMap<&str, &Study> = studies.iter().map(|s| (s.run.record.unit.as_str(), s)).collect();
    let kinds = kinds(studies);
    let mut out = Vec::new();
    for id in tables::protocols(&runs) {
        for part in parts(&id, &runs, protocols) {
            let rows = entries(&part.runs);
            let folds: Vec<String> = {
                let mut all: Vec<String> =
                    rows.iter().flat_map(|e| e.runs.keys().map(|(fold, _)| fold.clone())).collect();
                all.sort();
                all.dedup();
                all
            };
            let group = |oracle: bool| {
                let of_kind = rows.iter().filter(|e| e.oracle == oracle);
                let rows: Vec<Row> = of_kind.map(|e| row(e, &of, &folds, &kinds)).collect();
                let title = if oracle { "checkpoint chosen on the test set: bounds" } else { "" };
                Group { title: title.into(), ranked: !oracle, rows }
            };
            let groups = [group(false), group(true)].into_iter().filter(|g| !g.rows.is_empty()).collect();
            let mut columns = vec![
                column("clean", "video AUC %", "video_auc", Direction::Up),
                column("damaged", "video AUC %", "video_auc", Direction::Up),
            ];
            // unranked: a detector that knows nothing loses nothing
            let drops = kinds.iter().map(|k| column(k, "drop by damage", "auc_drop", Direction::Neither));
            columns.extend(drops);
            let sets = rows
                .first()
                .and_then(|e| e.runs.values().next())
                .and_then(|r| of.get(r.record.unit.as_str()));
            let sets = sets.map(|s| s.sets().join(", ")).unwrap_or_default();
            let over = match folds.len() {
                0 | 1 => format!("over {sets}"),
                n => format!("over the test sets of {n} folds"),
            };
            out.push(Table {
                id: slug(&["robustness", &part.id()]),
                title: "Video AUC under damage".into(),
                stamp: Some(part.stamp.clone()),
                synthetic: part.synthetic,
                stub: vec!["Model".into(), "Head".into()],
                columns,
                groups,
                caption: vec![
                    format!("Averages {over}."),
                    "Damaged: mean over all damages and five severities. Drop: points lost, mean over five severities.".into(),
                    "Not retrained: the same networks on worse pictures.".into(),
                ],
                notes: Vec::new(),
                intervals: false,
            });
        }
    }
    Ok(out)
}

/// Kinds of damage of all studies, in order of first appearance.
fn kinds(studies: &[Study]) -> Vec<String> {
    let mut kinds: Vec<String> = Vec::new();
    for kind in studies.iter().flat_map(Study::kinds) {
        if !kinds.iter().any(|k| k == kind) {
            kinds.push(kind.to_owned());
        }
    }
    kinds
}

fn column(name: &str, group: &str, metric: &str, direction: Direction) -> Column {
    Column {
        group: group.into(),
        name: name.into(),
        set: name.into(),
        metric: metric.into(),
        direction,
        unit: Unit::Percent,
        decimals: 2,
    }
}

fn row(entry: &Entry<'_>, of: &BTreeMap<&str, &Study>, folds: &[String], kinds: &[String]) -> Row {
    // mean over folds, for each seed; a row that lacks a fold has no number
    let cell = |get: &dyn Fn(&Study) -> Option<f64>| {
        let seed = |seed: &u64| {
            let study = |fold: &String| {
                let run = entry.runs.get(&(fold.clone(), *seed))?;
                get(of.get(run.record.unit.as_str())?)
            };
            let values: Vec<f64> = folds.iter().map(study).collect::<Option<_>>()?;
            Some(values.iter().sum::<f64>() / values.len() as f64)
        };
        let values: Option<Vec<f64>> = entry.seeds().iter().map(seed).collect();
        match values.and_then(|v| Value::over_seeds(&v)) {
            Some(value) => Cell::Value(value),
            None => Cell::Missing("not scored in every fold, or not with this damage".into()),
        }
    };
    let damaged = |s: &Study| {
        let drops: Vec<f64> = kinds.iter().map(|k| s.drop(k)).collect::<Option<_>>()?;
        Some(s.mean(&s.clean)? - drops.iter().sum::<f64>() / drops.len().max(1) as f64)
    };
    let mut cells = vec![cell(&|s| s.mean(&s.clean)), cell(&damaged)];
    cells.extend(kinds.iter().map(|k| cell(&|s| s.drop(k))));
    Row {
        labels: vec![entry.model.clone(), entry.head.clone()],
        cells,
        kind: if entry.oracle { RowKind::Oracle } else { RowKind::Run },
        notes: Vec::new(),
    }
}

/// The curves: one figure per run and test set, and for several runs of a fold one that compares them.
///
/// # Errors
/// Numbers that cannot be drawn.
pub fn figures(studies: &[Study], png: bool) -> Result<Vec<Figure>, Error> {
    let mut out = Vec::new();
    for study in studies {
        let r = &study.run.record;
        let mark = if r.synthetic { " · synthetic" } else { "" };
        for set in study.clean.sets.iter().map(|m| m.set.as_str()) {
            let (mut lines, mut whiskers) = (Vec::new(), Vec::new());
            for kind in study.kinds() {
                let points = study.over_severity(kind, set);
                let at = |(s, m): &(usize, &Measures)| (*s as f64, 100.0 * m.video_auc);
                lines.push(Line { name: kind.to_owned(), points: points.iter().map(at).collect() });
                let ends =
                    points.iter().map(|(_, m)| m.video_auc_ci.map(|i| (100.0 * i.low, 100.0 * i.high)));
                whiskers.extend(ends.collect::<Option<Vec<_>>>());
            }
            if whiskers.len() != lines.len() {
                whiskers.clear(); // a set too small for intervals
            }
            let curves = Curves {
                id: slug(&["robustness", &r.name, set, &study.run.short()]),
                title: format!("{set} under damage · {}{mark}", r.name),
                x: "severity".into(),
                y: "Video AUC (%), 95 % interval".into(),
                log_x: false,
                lines,
                whiskers,
            };
            out.push(render(&curves, png)?);
        }
    }
    out.extend(compared(studies, png)?);
    Ok(out)
}

/// All runs of one fold: the mean over damages and test sets.
fn compared(studies: &[Study], png: bool) -> Result<Vec<Figure>, Error> {
    let mut folds: BTreeMap<(String, String, String, bool), Vec<&Study>> = BTreeMap::new();
    for s in studies {
        let p = s.run.record.protocol.clone().unwrap_or_default();
        folds.entry((p.id, p.fold, p.fingerprint, s.run.record.synthetic)).or_default().push(s);
    }
    let mut out = Vec::new();
    for ((id, fold, fingerprint, synthetic), of_fold) in folds {
        // what all rows have in common need not be in the legend
        let same = |get: fn(&Study) -> String| of_fold.iter().all(|s| get(s) == get(of_fold[0]));
        let parts: [fn(&Study) -> String; 3] = [
            |s| s.run.record.model.clone(),
            |s| s.run.record.head.clone(),
            |s| format!("seed {}", s.run.record.seed),
        ];
        let told: Vec<_> = parts.into_iter().filter(|get| !same(*get)).collect();
        let name = |s: &Study| match told.iter().map(|get| get(s)).collect::<Vec<_>>().join(", ") {
            none if none.is_empty() => s.run.short(),
            name => name,
        };
        let lines: Vec<Line> =
            of_fold.iter().filter_map(|s| Some(Line { name: name(s), points: overall(s)? })).collect();
        if !(2..=ROWS).contains(&lines.len()) {
            continue;
        }
        let short: String = fingerprint.trim_start_matches("sha256:").chars().take(8).collect();
        let mark = if synthetic { " · synthetic" } else { "" };
        let curves = Curves {
            id: slug(&["robustness", &id, &fold, &short]),
            title: format!("Mean over damages and unseen test sets · {id} {fold}{mark}"),
            x: "severity".into(),
            y: "Video AUC (%)".into(),
            log_x: false,
            lines,
            whiskers: Vec::new(),
        };
        out.push(render(&curves, png)?);
    }
    Ok(out)
}

/// Mean over damages and unseen test sets, by severity; `None` where a severity lacks a kind.
fn overall(study: &Study) -> Option<Vec<(f64, f64)>> {
    let kinds = study.kinds();
    let mut points = vec![(0.0, 100.0 * study.mean(&study.clean)?)];
    let last = study.damaged.iter().map(|(d, _)| d.severity).max()?;
    for severity in 1..=last {
        let at = study.damaged.iter().filter(|(d, _)| d.severity == severity);
        let values: Vec<f64> = at.map(|(_, e)| study.mean(e)).collect::<Option<_>>()?;
        if values.len() != kinds.len() {
            return None;
        }
        points.push((severity as f64, 100.0 * values.iter().sum::<f64>() / values.len() as f64));
    }
    Some(points)
}

/// Every number: a line per run, test set and severity.
pub fn csv(studies: &[Study]) -> String {
    let mut out = csv_line(&[
        "unit",
        "model",
        "head",
        "protocol",
        "fold",
        "seed",
        "set",
        "in_domain",
        "corruption",
        "severity",
        "level",
        "video_auc",
        "low",
        "high",
        "frame_auc",
        "video_eer",
        "hter_dev",
    ]);
    for s in studies {
        let r = &s.run.record;
        let p = r.protocol.clone().unwrap_or_default();
        let clean = Damage { corruption: "none".into(), severity: 0, level: 0.0 };
        let all = std::iter::once((&clean, &s.clean)).chain(s.damaged.iter().map(|(d, e)| (d, e)));
        for (d, e) in all {
            for m in &e.sets {
                let or_none = |v: Option<f64>| v.map_or_else(String::new, |v| v.to_string());
                out.push_str(&csv_line(&[
                    &r.unit,
                    &r.model,
                    &r.head,
                    &p.id,
                    &p.fold,
                    &r.seed.to_string(),
                    &m.set,
                    &m.in_domain.to_string(),
                    &d.corruption,
                    &d.severity.to_string(),
                    &d.level.to_string(),
                    &m.video_auc.to_string(),
                    &or_none(m.video_auc_ci.map(|i| i.low)),
                    &or_none(m.video_auc_ci.map(|i| i.high)),
                    &m.frame_auc.to_string(),
                    &m.video_eer.to_string(),
                    &or_none(m.hter_dev),
                ]));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Made;
    use facebench_protocols::Interval;

    /// Two heads with made numbers: AUC 0.9 (and 0.8 on the second set), less 0.02 and 0.04 per severity.
    fn studies() -> (tempfile::TempDir, Vec<Study>) {
        let dir = tempfile::tempdir().unwrap();
        for head in ["linear", "fs-adapter"] {
            Made { head, ..Made::default() }.write(dir.path());
        }
        let runs = crate::runs::load(dir.path()).unwrap();
        let study = |run: &Run| {
            let clean = run.record.evaluation.clone().unwrap();
            let at = |loss: f64| {
                let mut e = clean.clone();
                for (i, m) in e.sets.iter_mut().enumerate() {
                    m.video_auc = 0.9 - 0.1 * i as f64 / 4.0 - loss;
                    m.video_auc_ci = Some(Interval { low: m.video_auc - 0.03, high: m.video_auc + 0.02 });
                }
                e
            };
            let step = if run.record.head == "linear" { 0.02 } else { 0.04 };
            let damage = |kind: &str, severity: usize, k: f64| {
                let d = Damage { corruption: kind.into(), severity, level: severity as f64 };
                (d, at(k * step * severity as f64))
            };
            let damaged = [("jpeg", 1.0), ("blur", 2.0)];
            let damaged =
                damaged.iter().flat_map(|(kind, k)| (1..=5).map(move |s| damage(kind, s, *k))).collect();
            Study { run: run.clone(), clean: at(0.0), damaged }
        };
        let studies = runs.iter().map(study).collect();
        (dir, studies)
    }

    #[test]
    fn drops_are_means_over_severities_and_unseen_sets() {
        let (_dir, studies) = studies();
        let tables = tables(&studies, &[]).unwrap();
        assert_eq!(tables.len(), 1);
        let table = &tables[0];
        table.check().unwrap();
        assert!(table.synthetic && table.id == "robustness-dfd-cross");
        let names: Vec<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["clean", "damaged", "jpeg", "blur"]);
        let value = |row: &Row, c: usize| match &row.cells[c] {
            Cell::Value(v) => v.mean,
            other => panic!("{other:?}"),
        };
        for (_, row) in table.rows() {
            let step = if row.labels[1] == "linear" { 0.02 } else { 0.04 };
            // severities 1 to 5 have the mean 3
            for (c, expected) in [(1, value(row, 0) - 4.5 * step), (2, 3.0 * step), (3, 6.0 * step)] {
                assert!((value(row, c) - expected).abs() < 1e-12, "{:?} column {c}", row.labels);
            }
            // unseen sets only: the first of the five is the training set's own
            assert!((value(row, 0) - (0.9 - 0.1 * 2.5 / 4.0)).abs() < 1e-12, "{}", value(row, 0));
        }
    }

    #[test]
    fn curves_begin_with_the_clean_number_and_carry_intervals() {
        let (_dir, studies) = studies();
        let figures = figures(&studies, false).unwrap();
        let sets = studies[0].clean.sets.len();
        assert_eq!(figures.len(), 2 * sets + 1, "one per run and set, and the comparison");
        let lines: Vec<&str> = figures[0].csv.lines().collect();
        assert_eq!((lines[0], lines.len()), ("series,x,y,low,high", 1 + 2 * 6));
        assert!(lines[1].starts_with("jpeg,0,90,87"), "{}", lines[1]);
        let last = figures.last().unwrap();
        assert!(last.title.starts_with("Mean over damages") && last.csv.contains("\nlinear,5,"));
        let all = csv(&studies);
        assert_eq!(all.lines().count(), 1 + 2 * sets * 11);
        // without intervals there are no whiskers
        let mut bare = studies[..1].to_vec();
        bare[0].clean.sets[0].video_auc_ci = None;
        assert!(super::figures(&bare, false).unwrap()[0].csv.starts_with("series,x,y\n"));
    }

    #[test]
    fn a_row_that_lacks_a_damage_has_no_number_for_it() {
        let (_dir, mut studies) = studies();
        studies[1].damaged.retain(|(d, _)| d.corruption == "jpeg");
        let table = tables(&studies, &[]).unwrap().remove(0);
        table.check().unwrap();
        let missing = table.rows().flat_map(|(_, r)| &r.cells).filter(|c| matches!(c, Cell::Missing(_)));
        assert_eq!(missing.count(), 2, "blur and all damages");
    }
}
