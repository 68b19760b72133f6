//! `facebench selftest --device`: every operation on a device against its definition in f64 on the processor.
//!
//! One row per operation and precision; with `--bench` also step times. On a GPU bf16 is checked too.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use facebench_engine::cuda;
use facebench_engine::selftest::{self, Options, Row, Timing};
use serde_json::json;

use super::shared;
use crate::args::SelftestArgs;
use crate::fail::Status;
use crate::out;

/// Runs the cases on the device of that name.
pub(crate) fn run(device: &str, args: &SelftestArgs) -> Result<Status> {
    let (device, name) = shared::device(device)?;
    let rows = selftest::run(&device, &Options { half: device.is_cuda() }).with_context(|| name.clone())?;
    if !args.json {
        out::text(&table(&rows))?;
    }
    let timings = match args.bench {
        true => {
            selftest::bench(&device, |t| eprintln!("measured {}", t.name)).with_context(|| name.clone())?
        }
        false => Vec::new(),
    };
    let attention = cuda::attention_kind(&device);
    if args.json {
        out::json(&document(&name, attention, &rows, &timings))?;
    } else if !timings.is_empty() {
        out::text(&times(&timings))?;
    }
    let failed = rows.iter().filter(|row| !row.pass).count();
    eprintln!("{name}: bf16 attention: {attention}");
    eprintln!("{name}: {} comparisons, {failed} failed", rows.len());
    Ok(if failed == 0 { Status::Done } else { Status::Wrong })
}

fn table(rows: &[Row]) -> String {
    let width = |f: fn(&Row) -> usize| rows.iter().map(f).max().unwrap_or(0);
    let (op, shapes) = (width(|r| r.op.len()), width(|r| r.shapes.len()));
    let head = ("operation", "dtype", "shapes", "forward", "backward", "tolerance");
    let mut text = format!(
        "{:op$}  {:8}  {:shapes$}  {:>8}  {:>8}  {:>9}  result\n",
        head.0, head.1, head.2, head.3, head.4, head.5
    );
    for r in rows {
        let backward = r.backward.map_or_else(|| "-".to_owned(), |b| format!("{b:.1e}"));
        let _ = writeln!(
            text,
            "{:op$}  {:8}  {:shapes$}  {:>8}  {backward:>8}  {:>9}  {}",
            r.op,
            r.dtype,
            r.shapes,
            format!("{:.1e}", r.forward),
            format!("{:.0e}", r.tolerance),
            if r.pass { "pass" } else { "FAIL" }
        );
    }
    text
}

fn times(timings: &[Timing]) -> String {
    let mut text = format!(
        "\n{:44}  {:>5}  {:>10}  {:>10}  {:>8}\n",
        "12 blocks of ViT-B, 197 tokens", "batch", "ms/step", "images/s", "TFLOP/s"
    );
    for t in timings {
        let images = t.batch as f64 / t.milliseconds * 1e3;
        let _ = writeln!(
            text,
            "{:44}  {:>5}  {:>10.2}  {images:>10.1}  {:>8.3}",
            t.name, t.batch, t.milliseconds, t.teraflops
        );
    }
    text
}

fn document(device: &str, attention: &str, rows: &[Row], timings: &[Timing]) -> serde_json::Value {
    let finite = |v: f64| if v.is_finite() { json!(v) } else { json!(v.to_string()) };
    let rows: Vec<_> = rows
        .iter()
        .map(|r| {
            json!({
                "operation": r.op, "dtype": r.dtype, "shapes": r.shapes, "forward": finite(r.forward),
                "backward": r.backward.map(finite), "tolerance": r.tolerance, "pass": r.pass,
            })
        })
        .collect();
    let timings: Vec<_> = timings
        .iter()
        .map(|t| {
            json!({
                "step": t.name, "batch": t.batch, "milliseconds": t.milliseconds, "teraflops": t.teraflops,
            })
        })
        .collect();
    json!({"device": device, "attention": attention, "rows": rows, "timings": timings})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_what_deviates() {
        let row = Row {
            op: "gelu",
            dtype: "bf16",
            shapes: "[3, 5]".into(),
            forward: f64::INFINITY,
            backward: None,
            tolerance: 0.03,
            pass: false,
        };
        let text = table(std::slice::from_ref(&row));
        let line = text.lines().nth(1).unwrap();
        assert!(line.starts_with("gelu") && line.contains("inf") && line.ends_with("FAIL"), "{text}");
        let document = document("cuda:0", "composition", &[row], &[]);
        assert_eq!(document["rows"][0]["forward"], "inf");
        assert_eq!(document["attention"], "composition");
    }
}
