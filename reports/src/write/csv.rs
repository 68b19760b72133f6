//! CSV after RFC 4180: wide (one line per row) for spreadsheets, long (one line per cell) for plotting tools.
//!
//! Values are unrounded, in their stored unit (fractions, not percent), printed with the fewest digits that read
//! back to the same number. Missing cells are empty; the long form gives the reason.

use crate::table::{Cell, Table, marks};

/// One line per row, each with protocol, fingerprint and the mark of synthetic data; per column `key`, `key.std`, `key.n`, `key.low`, `key.high`, the latter four only where used.
pub(super) fn wide(table: &Table) -> String {
    let any = |c: usize, f: fn(&Cell) -> bool| table.rows().any(|(_, row)| f(&row.cells[c]));
    let uses: Vec<(bool, bool)> = (0..table.columns.len())
        .map(|c| {
            let seeds = any(c, |cell| matches!(cell, Cell::Value(v) if v.std.is_some()));
            (seeds, any(c, |cell| matches!(cell, Cell::Value(v) if v.interval.is_some())))
        })
        .collect();
    let mut head: Vec<String> =
        ["protocol", "fingerprint", "synthetic", "group", "kind"].map(String::from).to_vec();
    head.extend(table.stub.iter().cloned());
    for (column, &(seeds, interval)) in table.columns.iter().zip(&uses) {
        let key = column.key();
        head.push(key.clone());
        if seeds {
            head.extend([format!("{key}.std"), format!("{key}.n")]);
        }
        if interval {
            head.extend([format!("{key}.low"), format!("{key}.high")]);
        }
    }
    let mut out = line(&head);
    for (g, row) in table.rows() {
        let mut fields = vec![
            table.stamp.as_ref().map(|s| format!("{}@{}", s.id, s.version)).unwrap_or_default(),
            table.stamp.as_ref().map(|s| s.fingerprint.clone()).unwrap_or_default(),
            if table.synthetic { "synthetic" } else { "" }.to_owned(),
            table.groups[g].title.clone(),
            row.kind.name().to_owned(),
        ];
        fields.extend(row.labels.iter().cloned());
        for (cell, &(seeds, interval)) in row.cells.iter().zip(&uses) {
            let numbers = Numbers::of(cell);
            fields.push(numbers.mean);
            if seeds {
                fields.extend([numbers.std, numbers.n]);
            }
            if interval {
                fields.extend([numbers.low, numbers.high]);
            }
        }
        out.push_str(&line(&fields));
    }
    out
}

/// One line per cell, with the protocol stamp, mark and reason.
pub(super) fn long(table: &Table) -> String {
    let mut head: Vec<String> = ["table", "protocol", "version", "fingerprint", "synthetic", "group", "kind"]
        .map(String::from)
        .to_vec();
    head.extend(table.stub.iter().cloned());
    head.extend(
        [
            "set",
            "metric",
            "direction",
            "value",
            "std",
            "n",
            "low",
            "high",
            "mark",
            "equal_to_best",
            "missing",
        ]
        .map(String::from),
    );
    let mut out = line(&head);
    let all = marks(table);
    for (g, group) in table.groups.iter().enumerate() {
        for (r, row) in group.rows.iter().enumerate() {
            let stamp = table.stamp.as_ref();
            let mut front = vec![
                table.id.clone(),
                stamp.map(|s| s.id.clone()).unwrap_or_default(),
                stamp.map(|s| s.version.to_string()).unwrap_or_default(),
                stamp.map(|s| s.fingerprint.clone()).unwrap_or_default(),
                table.synthetic.to_string(),
                group.title.clone(),
                row.kind.name().to_owned(),
            ];
            front.extend(row.labels.iter().cloned());
            for (c, (cell, column)) in row.cells.iter().zip(&table.columns).enumerate() {
                let n = Numbers::of(cell);
                let mut fields = front.clone();
                fields.extend([
                    column.set.clone(),
                    column.metric.clone(),
                    column.direction.name().to_owned(),
                ]);
                fields.extend([n.mean, n.std, n.n, n.low, n.high]);
                fields.extend([all[g][r][c].name().to_owned(), n.equal, n.missing]);
                out.push_str(&line(&fields));
            }
        }
    }
    out
}

/// The numbers of a cell as texts; empty where there is none.
#[derive(Default)]
struct Numbers {
    mean: String,
    std: String,
    n: String,
    low: String,
    high: String,
    equal: String,
    missing: String,
}

impl Numbers {
    fn of(cell: &Cell) -> Self {
        match cell {
            Cell::Value(v) => Numbers {
                mean: v.mean.to_string(),
                std: v.std.map(|s| s.to_string()).unwrap_or_default(),
                n: v.n.to_string(),
                low: v.interval.map(|i| i.low.to_string()).unwrap_or_default(),
                high: v.interval.map(|i| i.high.to_string()).unwrap_or_default(),
                equal: v.equal_to_best.to_string(),
                missing: String::new(),
            },
            Cell::Missing(reason) => Numbers { missing: reason.clone(), ..Numbers::default() },
            Cell::Text(text) => Numbers { mean: text.clone(), ..Numbers::default() },
        }
    }
}

/// One CSV line; fields with a comma, quote, line break or edge space are quoted.
pub(crate) fn line<S: AsRef<str>>(fields: &[S]) -> String {
    let quoted = fields.iter().map(|field| {
        let field = field.as_ref();
        let edge = field.starts_with(' ') || field.ends_with(' ');
        if edge || field.contains([',', '"', '\n', '\r']) {
            format!("\"{}\"", field.replace('"', "\"\""))
        } else {
            field.to_owned()
        }
    });
    let mut text = quoted.collect::<Vec<_>>().join(",");
    text.push('\n');
    text
}
