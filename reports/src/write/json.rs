//! JSON: everything the table knows, unrounded, for programs.
//!
//! Values keep their stored unit (fractions); `printed` is what the other formats show. Keys are sorted by the
//! encoder, so equal tables give equal bytes.

use crate::table::{Cell, CellText, Column, Mark, Table, Unit, cell_text, marks};
use serde_json::{Value, json};

/// The table as one pretty-printed JSON object.
pub(super) fn write(table: &Table) -> String {
    let mut text = serde_json::to_string_pretty(&object(table))
        .expect("maps with string keys and finite numbers encode");
    text.push('\n');
    text
}

fn object(table: &Table) -> Value {
    let all = marks(table);
    let groups: Vec<Value> = table
        .groups
        .iter()
        .zip(&all)
        .map(|(group, marks)| {
            let rows: Vec<Value> = group.rows.iter().zip(marks).map(|(row, marks)| {
            let cells: Vec<Value> = row.cells.iter().zip(&table.columns).zip(marks)
                .map(|((cell, column), mark)| cell_object(cell, column, *mark)).collect();
            json!({ "labels": row.labels, "kind": row.kind.name(), "cells": cells, "notes": row.notes })
        }).collect();
            json!({ "title": group.title, "ranked": group.ranked, "rows": rows })
        })
        .collect();
    let columns: Vec<Value> = table
        .columns
        .iter()
        .map(|c| {
            json!({
                "key": c.key(), "set": c.set, "metric": c.metric, "group": c.group, "name": c.name,
                "direction": c.direction.name(), "unit": unit(c.unit),
            })
        })
        .collect();
    let stamp = table
        .stamp
        .as_ref()
        .map(|s| json!({ "id": s.id, "version": s.version, "fingerprint": s.fingerprint }));
    json!({
        "schema": "facebench-table/1", "id": table.id, "title": table.title, "protocol": stamp,
        "synthetic": table.synthetic, "stub": table.stub, "columns": columns, "groups": groups,
        "caption": table.caption, "notes": table.notes,
    })
}

fn cell_object(cell: &Cell, column: &Column, mark: Mark) -> Value {
    match cell {
        Cell::Missing(reason) => json!({ "value": null, "missing": reason }),
        Cell::Text(text) => json!({ "text": text }),
        Cell::Value(v) => {
            let CellText::Number { number, .. } = cell_text(cell, column, false) else {
                unreachable!("a value cell has a number text");
            };
            json!({
                "value": v.mean, "std": v.std, "n": v.n, "printed": number,
                "interval": v.interval.map(|i| [i.low, i.high]),
                "mark": mark.name(), "equal_to_best": v.equal_to_best,
            })
        }
    }
}

fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Percent => "fraction",
        Unit::Plain => "plain",
        Unit::Millions => "count",
    }
}
