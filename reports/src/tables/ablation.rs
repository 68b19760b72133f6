//! One row per model over all protocol families: the shape of the paper's ablation tables.
//!
//! A column is the mean AUC over the unseen test sets of a protocol, the last one the mean of the columns; means are taken
//! per seed, so ± is that of the mean. It is made only where it says something: several protocols, several rows and several
//! seeds. Rows are matched between protocols by their labels; where these do not tell two rows of one protocol apart, or a
//! protocol's runs may not stand in one table, there is none. Oracle runs are left out.

use super::{Entry, Part, entries, parts, sets, shape::metric_id};
use crate::Error;
use crate::runs::Run;
use crate::table::{Cell, Column, Direction, Group, Row, RowKind, Table, Unit, Value};
use facebench_protocols::{Family, Metric, Protocol};

/// Rows are matched by model, pre-training and head.
type Labels = (String, String, String);

fn labels_of(entry: &Entry<'_>) -> Labels {
    (entry.model.clone(), entry.pretraining.clone(), entry.head.clone())
}

/// One protocol's contribution.
struct Columns<'a> {
    name: String,
    id: String,
    metric: Metric,
    /// `(fold, set)` of the unseen test sets
    sets: Vec<(String, String)>,
    entries: Vec<Entry<'a>>,
}

impl<'a> Columns<'a> {
    fn of(part: &Part<'a>) -> Self {
        let family = part.protocol.as_ref().map(|p| p.family);
        let (name, metric) = match family {
            Some(Family::DeepfakeDetection) => ("Deepfakes", Metric::VideoAuc),
            Some(Family::AntiSpoofing) => ("Anti-spoofing", Metric::VideoAuc),
            Some(Family::DiffusionForgery) => ("Diffusion", Metric::FrameAuc),
            None => (part.stamp.id.as_str(), Metric::VideoAuc),
        };
        let all = sets(part);
        let unseen: Vec<_> = all.iter().filter(|(_, _, in_domain)| !in_domain).collect();
        let chosen = if unseen.is_empty() { all.iter().collect() } else { unseen };
        Columns {
            name: name.to_owned(),
            id: part.stamp.id.clone(),
            metric,
            sets: chosen.into_iter().map(|(fold, set, _)| (fold.clone(), set.clone())).collect(),
            entries: entries(&part.runs).into_iter().filter(|e| !e.oracle).collect(),
        }
    }

    fn entry(&self, labels: &Labels) -> Option<&Entry<'a>> {
        self.entries.iter().find(|e| labels_of(e) == *labels)
    }

    /// Mean over the unseen sets.
    fn value(&self, labels: &Labels, seed: u64) -> Option<f64> {
        let entry = self.entry(labels)?;
        let one = |(fold, set): &(String, String)| self.metric.of(entry.measures(fold, set, seed)?);
        let values: Option<Vec<f64>> = self.sets.iter().map(one).collect();
        values.filter(|v| !v.is_empty()).map(|v| v.iter().sum::<f64>() / v.len() as f64)
    }
}

/// The table over all protocols of the runs, if they make one. `extra` are protocols that do not ship.
///
/// # Errors
/// The table breaks a rule of the model.
pub fn ablation(runs: &[Run], extra: &[Protocol]) -> Result<Option<Table>, Error> {
    let mut protocols = Vec::new();
    let (mut stamps, mut synthetic) = (Vec::new(), false);
    for id in super::protocols(runs) {
        let parts = parts(&id, runs, extra);
        let [part] = parts.as_slice() else { return Ok(None) };
        stamps.push(part.stamp.short());
        synthetic |= part.synthetic;
        protocols.push(Columns::of(part));
    }
    let mut rows: Vec<Labels> = Vec::new();
    for columns in &protocols {
        let own: Vec<Labels> = columns.entries.iter().map(labels_of).collect();
        if own.iter().enumerate().any(|(i, l)| own[..i].contains(l)) {
            return Ok(None); // labels that name two things
        }
        for labels in own {
            if !rows.contains(&labels) {
                rows.push(labels);
            }
        }
    }
    let seeds = |l: &Labels| protocols.iter().find_map(|c| c.entry(l)).map(Entry::seeds).unwrap_or_default();
    if protocols.len() < 2 || rows.len() < 2 || rows.iter().all(|l| seeds(l).len() < 2) {
        return Ok(None);
    }

    let mut columns: Vec<Column> =
        protocols.iter().map(|c| column(&c.name, &c.id, &metric_id(c.metric))).collect();
    columns.push(column("Average", "average", "auc"));
    let cell = |values: Vec<Option<f64>>, reason: &str| {
        let complete: Vec<f64> = values.into_iter().flatten().collect();
        Value::over_seeds(&complete).map_or_else(|| Cell::Missing(reason.into()), Cell::Value)
    };
    let row = |labels: &Labels| {
        let seeds = seeds(labels);
        let mut cells: Vec<Cell> = protocols
            .iter()
            .map(|c| cell(seeds.iter().map(|s| c.value(labels, *s)).collect(), "not run on every set"))
            .collect();
        let average = |seed: &u64| {
            let all: Option<Vec<f64>> = protocols.iter().map(|c| c.value(labels, *seed)).collect();
            all.map(|v| v.iter().sum::<f64>() / v.len() as f64)
        };
        cells.push(cell(seeds.iter().map(average).collect(), "average of an incomplete row"));
        let name = if labels.0.is_empty() { labels.1.clone() } else { labels.0.clone() };
        Row { labels: vec![name], cells, kind: RowKind::Run, notes: Vec::new() }
    };
    let mut heads: Vec<&String> = Vec::new();
    for (_, _, head) in &rows {
        if !heads.contains(&head) {
            heads.push(head);
        }
    }
    let groups = heads.into_iter().map(|head| Group {
        title: if head.is_empty() { "no head".into() } else { head.clone() },
        ranked: true,
        rows: rows.iter().filter(|(_, _, h)| h == head).map(row).collect(),
    });
    let table = Table {
        id: "ablation".into(),
        title: "Ablation over protocol families".into(),
        stamp: None,
        synthetic,
        stub: vec!["Model".into()],
        columns,
        groups: groups.collect(),
        caption: vec![
            "AUC in per cent: mean over the unseen test sets of each protocol (video level; frame level for stills), then \
             over protocols; mean and standard deviation over seeds."
                .into(),
            format!("Protocols: {}.", stamps.join(", ")),
        ],
        notes: Vec::new(),
        intervals: false,
    };
    table.check()?;
    Ok(Some(table))
}

fn column(name: &str, set: &str, metric: &str) -> Column {
    Column {
        group: String::new(),
        name: name.into(),
        set: set.into(),
        metric: metric.into(),
        direction: Direction::Up,
        unit: Unit::Percent,
        decimals: 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs;
    use crate::testing::Made;

    fn made(list: &[Made<'_>]) -> Option<Table> {
        let dir = tempfile::tempdir().unwrap();
        list.iter().for_each(|m| drop(m.write(dir.path())));
        ablation(&runs::load(dir.path()).unwrap(), &[]).unwrap()
    }

    fn all(models: &[(&'static str, f64)], seeds: u64) -> Vec<Made<'static>> {
        let mut list = Vec::new();
        for protocol in ["dfd-cross", "fas-mcio", "diff-unseen"] {
            for &(model, quality) in models {
                let one = |seed| Made { protocol, model, quality, seed, ..Made::default() };
                list.extend((0..seeds).map(one));
            }
        }
        list
    }

    fn cell(table: &Table, row: usize, column: usize) -> (f64, Option<f64>, usize) {
        match &table.groups[0].rows[row].cells[column] {
            Cell::Value(v) => (v.mean, v.std, v.n),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn families_are_columns_and_the_average_is_theirs() {
        let table = made(&all(&[("crfr-p", 0.7), ("random", 0.3)], 3)).unwrap();
        let names: Vec<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["Deepfakes", "Diffusion", "Anti-spoofing", "Average"]);
        for row in 0..2 {
            let parts: f64 = (0..3).map(|c| cell(&table, row, c).0).sum();
            let (mean, std, n) = cell(&table, row, 3);
            assert!((mean - parts / 3.0).abs() < 1e-12);
            assert!(std.is_some_and(|s| s > 0.0) && n == 3);
        }
        assert!(cell(&table, 0, 3).0 > cell(&table, 1, 3).0);
        assert!(table.synthetic && table.caption[1].contains("dfd-cross@1"));
    }

    #[test]
    fn there_is_none_where_it_would_say_nothing_or_mix() {
        assert!(made(&all(&[("a", 0.7), ("b", 0.3)], 1)).is_none(), "one seed");
        assert!(made(&all(&[("a", 0.7)], 3)).is_none(), "one row");
        let one_protocol: Vec<Made<'_>> = all(&[("a", 0.7), ("b", 0.3)], 2).drain(..4).collect();
        assert!(made(&one_protocol).is_none(), "one protocol");
        let mut mixed = all(&[("a", 0.7), ("b", 0.3)], 2);
        mixed.push(Made { model: "c", synthetic: false, ..Made::default() });
        assert!(made(&mixed).is_none(), "real and synthetic faces");
    }

    #[test]
    fn a_row_that_lacks_a_protocol_has_no_average() {
        let mut list = all(&[("a", 0.7), ("b", 0.3)], 2);
        list.retain(|m| m.model == "a" || m.protocol == "dfd-cross");
        let table = made(&list).unwrap();
        assert!(matches!(&table.groups[0].rows[1].cells[3], Cell::Missing(_)));
    }
}
