//! Every number of every test set, in a table per protocol that is folded away.
//!
//! The main table shows what the field prints; this one shows what a reviewer asks for: how many frames and videos
//! per class, every error rate, the threshold, calibration.

use crate::Error;
use crate::table::{Cell, Column, Direction, Group, Row, RowKind, Table, Unit, Value};
use crate::tables::Study;
use crate::write::{Format, Style, write};
use facebench_protocols::{Interval, Measures};

type Get = fn(&Measures) -> Option<f64>;

/// Heading, machine name, direction, unit, decimals, value.
const COLUMNS: [(&str, &str, Direction, Unit, usize, Get); 16] = [
    ("real videos", "videos_real", Direction::Neither, Unit::Plain, 0, |m| Some(m.videos[0] as f64)),
    ("fake videos", "videos_fake", Direction::Neither, Unit::Plain, 0, |m| Some(m.videos[1] as f64)),
    ("real frames", "frames_real", Direction::Neither, Unit::Plain, 0, |m| Some(m.frames[0] as f64)),
    ("fake frames", "frames_fake", Direction::Neither, Unit::Plain, 0, |m| Some(m.frames[1] as f64)),
    ("video AUC %", "video_auc", Direction::Up, Unit::Percent, 2, |m| Some(m.video_auc)),
    ("frame AUC %", "frame_auc", Direction::Up, Unit::Percent, 2, |m| Some(m.frame_auc)),
    ("video EER %", "video_eer", Direction::Down, Unit::Percent, 2, |m| Some(m.video_eer)),
    ("frame EER %", "frame_eer", Direction::Down, Unit::Percent, 2, |m| Some(m.frame_eer)),
    ("HTER dev %", "hter_dev", Direction::Down, Unit::Percent, 2, |m| m.hter_dev),
    ("HTER oracle %", "hter_oracle", Direction::Down, Unit::Percent, 2, |m| Some(m.hter_oracle)),
    ("TPR@FPR=1% %", "tpr_at_fpr1", Direction::Up, Unit::Percent, 2, |m| Some(m.tpr_at_fpr1)),
    ("bal. acc. %", "balanced_acc", Direction::Up, Unit::Percent, 2, |m| Some(m.balanced_acc)),
    ("video AP %", "video_ap", Direction::Up, Unit::Percent, 2, |m| Some(m.video_ap)),
    ("frame log loss", "log_loss", Direction::Down, Unit::Plain, 3, |m| Some(m.log_loss)),
    ("frame ECE %", "ece", Direction::Down, Unit::Percent, 2, |m| Some(m.ece)),
    ("dev threshold", "dev_threshold", Direction::Neither, Unit::Plain, 4, |m| m.dev_threshold),
];

/// One folded table per study.
pub(super) fn section(studies: &[Study<'_>]) -> Result<String, Error> {
    let mut out = String::new();
    for study in studies {
        let html = write(&table(study), Format::Html, &Style { interval: true, ..Style::default() })?;
        let mark = if study.table.synthetic { " · synthetic" } else { "" };
        let title = crate::write::escape_html(&study.table.headline()) + mark;
        out.push_str(&format!("<details><summary>{title}</summary>\n{html}</details>\n"));
    }
    Ok(out)
}

/// The table: a group per entry, a row per fold, set and seed.
pub(crate) fn table(study: &Study<'_>) -> Table {
    let column =
        |(name, metric, direction, unit, decimals, _): &(&str, &str, Direction, Unit, usize, Get)| Column {
            group: String::new(),
            name: (*name).into(),
            set: "detail".into(),
            metric: (*metric).into(),
            direction: *direction,
            unit: *unit,
            decimals: *decimals,
        };
    let mut groups = Vec::new();
    for entry in &study.entries {
        let mut rows = Vec::new();
        for ((fold, seed), run) in &entry.runs {
            for m in run.record.evaluation.iter().flat_map(|e| &e.sets) {
                let set = if m.in_domain { format!("{} (seen)", m.set) } else { m.set.clone() };
                let cells = COLUMNS.iter().map(|c| cell(c.1, (c.5)(m), m)).collect();
                let kind = if entry.oracle { RowKind::Oracle } else { RowKind::Run };
                rows.push(Row {
                    labels: vec![set, fold.clone(), seed.to_string()],
                    cells,
                    kind,
                    notes: Vec::new(),
                });
            }
        }
        groups.push(Group { title: entry.name(), ranked: false, rows });
    }
    Table {
        id: format!("{}-detail", study.table.id),
        title: format!("{}, every test set", study.table.title),
        stub: vec!["Test set".into(), "Fold".into(), "Seed".into()],
        columns: COLUMNS.iter().map(column).collect(),
        groups,
        caption: vec!["HTER, TPR and balanced accuracy at video level.".into()],
        notes: Vec::new(),
        intervals: true,
        ..study.table.clone()
    }
}

fn cell(metric: &str, value: Option<f64>, m: &Measures) -> Cell {
    let interval: Option<Interval> = match metric {
        "video_auc" => m.video_auc_ci,
        "frame_auc" => m.frame_auc_ci,
        "video_eer" => m.video_eer_ci,
        "hter_dev" => m.hter_dev_ci,
        _ => None,
    };
    match value {
        Some(mean) => Cell::Value(Value { interval, ..Value::single(mean) }),
        None => Cell::Missing("no development scores".into()),
    }
}
