//! The published numbers are exactly those that were collected, and stand only in columns that they belong to.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use facebench_protocols::{Metric, Protocol, Reference, all_references, references};
use serde_json::Value;

fn collected() -> Vec<Value> {
    let file: Value = serde_json::from_str(include_str!("golden/reference_rows.json")).unwrap();
    file["rows"].as_array().unwrap().clone()
}

/// All that was collected of a row, as one line.
fn line(text: impl Fn(&str) -> String) -> String {
    [
        "method",
        "train",
        "test",
        "metric",
        "level",
        "value",
        "unit",
        "std_ddof0",
        "runs",
        "images",
        "source",
        "status",
        "note",
    ]
    .map(text)
    .join(" | ")
}

fn of_json(row: &Value) -> String {
    line(|key| match &row[key] {
        Value::Null => String::new(),
        Value::String(s) => s.clone(),
        Value::Array(a) => a.iter().map(|v| v.as_f64().unwrap().to_string()).collect::<Vec<_>>().join(";"),
        number => number.as_f64().unwrap().to_string(),
    })
}

fn of_reference(r: &Reference) -> String {
    line(|key| match key {
        "method" => r.method.clone(),
        "train" => r.train.clone(),
        "test" => r.test.clone(),
        "metric" => r.metric.clone(),
        "level" => r.level.clone(),
        "value" => r.value.to_string(),
        "unit" => r.unit.clone(),
        "std_ddof0" => r.std.map(|s| s.to_string()).unwrap_or_default(),
        "runs" => r.runs.iter().map(ToString::to_string).collect::<Vec<_>>().join(";"),
        "images" => r.images.map(|n| n.to_string()).unwrap_or_default(),
        "source" => r.source.clone(),
        "status" => r.status.clone(),
        _ => r.note.clone(),
    })
}

#[test]
fn every_collected_value_is_there_once_and_nothing_else() {
    let mut want: Vec<String> = collected().iter().map(of_json).collect();
    let mut got: Vec<String> = all_references().iter().map(of_reference).collect();
    assert_eq!((want.len(), got.len()), (673, 673));
    want.sort();
    got.sort();
    assert_eq!(got, want);
}

#[test]
fn columns_exist_and_lists_are_not_mixed() {
    let sets: BTreeMap<&str, Vec<String>> = Protocol::builtin_ids()
        .iter()
        .map(|id| {
            let p = Protocol::builtin(id).unwrap().unwrap();
            (*id, p.folds.iter().flat_map(|f| &f.tests).map(|t| t.name.clone()).collect())
        })
        .collect();
    for r in all_references() {
        assert_eq!(r.protocol.is_some(), r.set.is_some(), "{r:?}");
        assert!((0.0..=1.0).contains(&r.fraction()), "{r:?}");
        if let (Some(protocol), Some(set)) = (&r.protocol, &r.set) {
            assert!(sets[protocol.as_str()].contains(set), "{r:?}");
        }
        assert!(r.test != "CDFv2" || r.set.is_none(), "518 videos, or a list nobody names: {r:?}");
        assert!(r.set.as_deref() != Some("CDFv2-noYT") || r.test == "CDFv2-noYT", "{r:?}");
    }
}

#[test]
fn the_field_s_hter_is_an_oracle_and_says_so() {
    for r in all_references().iter().filter(|r| r.metric.starts_with("hter")) {
        assert_eq!(r.measure, Metric::HterOracle);
        assert!(r.oracle() && r.key().contains("hter-oracle"));
        assert!(
            r.set.is_none() || r.difference.contains("oracle") || r.difference.contains("not stated"),
            "{r:?}"
        );
    }
    let m = references("fas-mcio");
    let average = |metric: &str| {
        let four: Vec<f64> = m
            .iter()
            .filter(|r| r.method.starts_with("FSFM") && r.metric == metric)
            .map(|r| r.fraction())
            .collect();
        assert_eq!(four.len(), 4);
        four.iter().sum::<f64>() / 4.0
    };
    // the size of the oracle: best of 40 looks at the test set against the last evaluation of the same runs
    assert!((average("hter") - 0.0481).abs() < 5e-5 && (average("hter_last") - 0.1099).abs() < 1.5e-4);
}

#[test]
fn the_authors_own_row_has_no_difference_and_others_do() {
    let dfd = references("dfd-cross");
    let find = |set: &str| {
        dfd.iter()
            .find(|r| {
                r.status.contains("author log")
                    && r.set.as_deref() == Some(set)
                    && r.measure == Metric::VideoAuc
            })
            .unwrap()
    };
    let row = find("CDFv2-noYT");
    assert!((row.fraction() - 0.914_433_55).abs() < 1e-12 && row.difference.is_empty());
    assert_eq!(row.key(), "dfd-cross|CDFv2-noYT|video-auc|min-val-loss");
    assert!(
        dfd.iter()
            .filter(|r| r.source.contains("DeepfakeBench"))
            .all(|r| r.oracle() && !r.difference.is_empty())
    );
    assert!(references("diff-unseen").iter().all(|r| r.difference.contains("swapped")));
    assert!(references("own-faces").is_empty());
}
