//! What a row costs: parameters, tuning time, scoring speed, beside what it reaches.
//!
//! One table over all protocols of the runs. Times are those of the machines the units ran on: they are compared only
//! where all rows ran on the same device, and a footnote names the device where they did not. The last columns are the
//! protocols' own primary averages, so the trade-off is in one place.

use super::{Entry, Study, entries::count, notes, primary_column};
use crate::runs::Run;
use crate::table::{Cell, Column, Direction, Group, Row, RowKind, Table, Unit, Value};
use std::collections::{BTreeMap, BTreeSet};

/// What names a row.
type Key = (String, String, String);

/// Whether anything is known of what a row cost; of scores from elsewhere there is not.
fn cost(entry: &Entry<'_>) -> bool {
    !entry.runs.values().all(|r| r.record.outside())
}

/// The table; nothing if no run was scored here.
pub(crate) fn table(studies: &[Study<'_>], runs: &[Run]) -> Option<Table> {
    let mut keys: Vec<Key> = Vec::new();
    for entry in studies.iter().flat_map(|s| &s.entries).filter(|e| !e.oracle && cost(e)) {
        let key = (entry.model.clone(), entry.pretraining.clone(), entry.head.clone());
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    if keys.is_empty() {
        return None;
    }
    let mut columns = vec![
        column("Parameters", "total (M)", "params_total", Direction::Neither, Unit::Millions, 2),
        column("Parameters", "trained (M)", "params_trained", Direction::Down, Unit::Millions, 4),
        column("Cost", "tuning (s)", "tune_seconds", Direction::Down, Unit::Plain, 1),
        column("Cost", "scoring (img/s)", "score_images_per_s", Direction::Up, Unit::Plain, 1),
    ];
    let quality: Vec<(usize, usize)> =
        studies.iter().enumerate().filter_map(|(i, s)| Some((i, primary_column(s)?))).collect();
    for &(i, c) in &quality {
        let (of, id) = (&studies[i].table.columns[c], &studies[i].table.id);
        // a protocol may have several tables, and a number alone does not say which
        let part = &studies[i].part;
        let with = |f: &dyn Fn(&Study<'_>) -> bool| {
            studies.iter().filter(|s| s.part.stamp.id == part.stamp.id && f(s)).count()
        };
        let group = match (with(&|_| true), with(&|s| s.part.synthetic == part.synthetic)) {
            (1, _) => id.clone(),
            (_, 1) if part.synthetic => format!("{} (synthetic)", part.stamp.id),
            (_, 1) => part.stamp.id.clone(),
            _ => format!("{} (its table {})", part.stamp.id, part.index + 1),
        };
        columns.push(Column { group, name: of.name.clone(), set: id.clone(), ..of.clone() });
    }
    let by_unit: BTreeMap<&str, &Run> = runs.iter().map(|r| (r.record.unit.as_str(), r)).collect();
    let mut rows = Vec::new();
    let mut devices: Vec<BTreeSet<String>> = Vec::new();
    for key in &keys {
        let mine: Vec<&Run> = studies
            .iter()
            .flat_map(|s| &s.entries)
            .filter(|e| !e.oracle && (&e.model, &e.pretraining, &e.head) == (&key.0, &key.1, &key.2))
            .flat_map(|e| e.runs.values().copied())
            .collect();
        let tuned: BTreeMap<&str, &Run> = mine
            .iter()
            .flat_map(|r| &r.record.inputs)
            .filter_map(|unit| Some((unit.as_str(), *by_unit.get(unit.as_str())?)))
            .filter(|(_, r)| r.record.kind == "tune")
            .collect();
        // a head may have none that is trained; a network has some
        let counted = || mine.iter().map(|r| r.record.params).filter(|p| p.total > 0);
        let mut cells = vec![
            same(counted().map(|p| p.total as f64)),
            same(counted().map(|p| p.trained as f64)),
            mean(tuned.values().map(|r| r.record.timings.wall_s), "not recorded"),
            mean(mine.iter().map(|r| r.record.timings.images_per_s), "features were read from the cache"),
        ];
        for &(i, c) in &quality {
            let s = &studies[i];
            let at = s.order.iter().position(|&e| {
                let e = &s.entries[e];
                !e.oracle && (&e.model, &e.pretraining, &e.head) == (&key.0, &key.1, &key.2)
            });
            let row = at.and_then(|at| s.table.rows().nth(at));
            cells.push(row.map_or_else(|| Cell::Missing("not run".into()), |(_, row)| row.cells[c].clone()));
        }
        for cell in &mut cells {
            if let Cell::Value(v) = cell {
                v.equal_to_best = false; // that mark belongs to the test of its own table
            }
        }
        let device = |r: &&&Run| {
            let machine = &r.record.machine;
            let s = if machine.threads == 1 { "" } else { "s" };
            format!("{}, {}, {} thread{s}", machine.cpu, machine.device, machine.threads)
        };
        devices.push(
            mine.iter()
                .filter(|r| !r.record.machine.device.is_empty())
                .collect::<Vec<_>>()
                .iter()
                .map(device)
                .collect(),
        );
        let labels = vec![text(&key.0), text(&key.1), text(&key.2)];
        rows.push(Row { labels, cells, kind: RowKind::Run, notes: Vec::new() });
    }
    let all: BTreeSet<&String> = devices.iter().flatten().collect();
    let mut table = Table {
        id: "efficiency".into(),
        title: "Efficiency".into(),
        stamp: None,
        synthetic: studies.iter().any(|s| s.part.synthetic),
        stub: ["Model", "Pre-training", "Head"].map(String::from).to_vec(),
        columns,
        groups: vec![Group { title: String::new(), ranked: true, rows }],
        caption: vec![
            "Tuning: wall-clock time of a unit, mean over protocols, folds and seeds. A frozen backbone's features are computed \
             once: the heads that come later read them, and their time is the head's own. Scoring: pictures that passed through \
             the network."
                .into(),
        ],
        notes: Vec::new(),
        intervals: false,
    };
    if let ([one], true) = (all.iter().collect::<Vec<_>>().as_slice(), devices.iter().all(|d| d.len() <= 1)) {
        table.caption.push(format!("All on {one}."));
    } else {
        for (row, devices) in devices.iter().enumerate().filter(|(_, d)| !d.is_empty()) {
            let list = devices.iter().cloned().collect::<Vec<_>>().join("; ");
            notes::note(&mut table, row, &format!("on {list}"));
        }
        for c in &mut table.columns[2..4] {
            c.direction = Direction::Neither; // other machines, other times: not to be ranked
        }
    }
    Some(table)
}

fn column(
    group: &str,
    name: &str,
    metric: &str,
    direction: Direction,
    unit: Unit,
    decimals: usize,
) -> Column {
    Column {
        group: group.into(),
        name: name.into(),
        set: "cost".into(),
        metric: metric.into(),
        direction,
        unit,
        decimals,
    }
}

fn text(label: &str) -> String {
    if label.is_empty() { "–".into() } else { label.into() }
}

fn mean(values: impl Iterator<Item = f64>, otherwise: &str) -> Cell {
    let values: Vec<f64> = values.filter(|v| *v > 0.0 && v.is_finite()).collect();
    match values.is_empty() {
        true => Cell::Missing(otherwise.into()),
        false => Cell::Value(Value::single(values.iter().sum::<f64>() / values.len() as f64)),
    }
}

/// A count that is the same for all runs of a row, or words that say between what it lies.
fn same(values: impl Iterator<Item = f64>) -> Cell {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match (values.first(), values.last()) {
        (Some(a), Some(b)) if a == b => Cell::Value(Value::single(*a)),
        (Some(a), Some(b)) => Cell::Text(format!("{} to {}", count(*a as u64), count(*b as u64))),
        _ => Cell::Missing("not recorded".into()),
    }
}
