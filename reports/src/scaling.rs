//! Data-scaling curves: quality over the number of pictures a model was pre-trained or tuned on.
//!
//! The amounts come from the data stamps of the runs a result was made from, never from a name. Rows lie on one line
//! only if nothing else differs: same tuning plan, same pre-training plan, other data. A line has at least two amounts.

use crate::figures::{marked, slug, unseen_mean};
use crate::plot::{Curves, Line};
use crate::runs::Run;
use crate::tables::{Entry, Study, leaves};
use std::collections::BTreeMap;

/// What a row was made from.
struct Made {
    /// Everything but the data.
    plan: BTreeMap<String, String>,
    pretrained: Option<usize>,
    tuned: Option<usize>,
}

/// Rows that differ in their amount of data only: name of each and its amount with its quality.
type Families<'e> = BTreeMap<String, Vec<(&'e str, usize, f64)>>;

/// One figure for pre-training, one for tuning, as far as rows differ in their amounts.
pub(crate) fn curves(study: &Study<'_>, runs: &[Run]) -> Vec<Curves> {
    let by_unit: BTreeMap<&str, &Run> = runs.iter().map(|r| (r.record.unit.as_str(), r)).collect();
    let (mut pretrained, mut tuned) = (Families::new(), Families::new());
    for entry in study.entries.iter().filter(|e| !e.oracle) {
        let (Some(made), Some(value)) = (made(entry, &by_unit), unseen_mean(study, entry)) else { continue };
        // the other amount is part of what must not differ
        let key = |other: Option<usize>| format!("{} {other:?} {:?}", entry.head, made.plan);
        if let Some(amount) = made.pretrained {
            pretrained.entry(key(made.tuned)).or_default().push((&entry.model, amount, value));
        }
        if let Some(amount) = made.tuned {
            tuned.entry(key(made.pretrained)).or_default().push((&entry.model, amount, value));
        }
    }
    let kinds = [("pretraining", "Pre-training", pretrained), ("training", "Training", tuned)];
    let figure = |(id, what, families): (&str, &str, Families<'_>)| {
        let lines: Vec<Line> = families.into_values().filter_map(line).collect();
        (!lines.is_empty()).then(|| Curves {
            id: slug(&["scaling", id, &study.table.id]),
            title: marked(
                &format!("{what} data and quality · {}", study.part.stamp.id),
                study.part.synthetic,
            ),
            x: format!("{what} pictures (logarithmic)"),
            y: "Mean video AUC over unseen sets (%)".into(),
            log_x: true,
            lines,
            whiskers: Vec::new(),
        })
    };
    kinds.into_iter().filter_map(figure).collect()
}

/// The line of a family; `None` below two amounts.
fn line(mut rows: Vec<(&str, usize, f64)>) -> Option<Line> {
    rows.sort_by(|a, b| a.1.cmp(&b.1).then_with(|| a.2.total_cmp(&b.2)));
    let several = rows.first()?.1 < rows.last()?.1;
    let name = common(&rows.iter().map(|r| r.0).collect::<Vec<_>>());
    let points = rows.iter().map(|r| (r.1 as f64, r.2)).collect();
    several.then_some(Line { name, points })
}

/// What the names begin with alike, without a number that is cut in two.
fn common(names: &[&str]) -> String {
    let first = names.first().copied().unwrap_or_default();
    let alike = |n: &&str| first.chars().zip(n.chars()).take_while(|(a, b)| a == b).count();
    let length = names.iter().map(alike).min().unwrap_or(0);
    let shared: String = first.chars().take(length).collect();
    let whole = names.iter().all(|n| *n == first);
    let name = if whole { first } else { shared.trim_end_matches(|c: char| !c.is_alphabetic()) };
    if name.is_empty() { "rows that differ in data only".into() } else { name.to_owned() }
}

/// Amounts and plan of a row; `None` if its runs differ in them or what they were made from is not among the runs.
fn made(entry: &Entry<'_>, by_unit: &BTreeMap<&str, &Run>) -> Option<Made> {
    let input = |run: &Run, kind: &str| {
        let inputs = run.record.inputs.iter().filter_map(|u| by_unit.get(u.as_str()).copied());
        inputs.into_iter().find(|r| r.record.kind == kind)
    };
    let mut plan: BTreeMap<String, String> = entry
        .plan
        .iter()
        .filter(|(k, _)| !k.contains(".init."))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    let (mut pretrained, mut tuned) = (Vec::new(), Vec::new());
    for run in entry.runs.values() {
        let tune = input(run, "tune")?;
        let train = tune.record.data.iter().filter(|d| d.dataset == "train").map(|d| d.samples);
        tuned.push(train.sum::<usize>());
        if let Some(before) = input(tune, "pretrain") {
            pretrained.push(before.record.data.iter().map(|d| d.samples).sum::<usize>());
            plan.extend(leaves(&before.record.plan).into_iter().map(|(k, v)| (format!("before.{k}"), v)));
        }
    }
    pretrained.dedup();
    let one = pretrained.len() < 2;
    // folds are trained on parts of different size; their mean stands for the row
    let mean = tuned.iter().sum::<usize>() / tuned.len().max(1);
    one.then(|| Made {
        plan,
        pretrained: pretrained.first().copied().filter(|n| *n > 0),
        tuned: (mean > 0).then_some(mean),
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::{Made, write_record};
    use crate::{Output, report};
    use facebench_protocols::{DataStamp, RunRecord};
    use std::path::Path;

    /// A row whose pre-training saw `pictures`, with `epochs` epochs.
    fn row(root: &Path, model: &str, quality: f64, pictures: usize, epochs: usize) {
        let mut record = Made { model, quality, ..Made::default() }.write(root).remove(0);
        let folder = root.join(format!("score-{}", &record.unit[..16]));
        let unit = |kind: &str| format!("{kind}-{model}-{pictures}-{epochs}");
        let data =
            |dataset: &str, samples| DataStamp { dataset: dataset.into(), samples, ..DataStamp::default() };
        record.inputs = vec![unit("tune")];
        write_record(&folder, &record);
        let tune = RunRecord {
            unit: unit("tune"),
            kind: "tune".into(),
            inputs: vec![unit("pretrain")],
            data: vec![data("train", 640), data("dev", 64)],
            ..RunRecord::default()
        };
        write_record(&root.join(unit("tune")), &tune);
        let pretrain = RunRecord {
            unit: unit("pretrain"),
            kind: "pretrain".into(),
            plan: serde_json::json!({"spec": {"optim": {"epochs": epochs}, "data": {"limit": pictures}}}),
            data: vec![data("vggface2", pictures / 2), data("celeba", pictures - pictures / 2)],
            ..RunRecord::default()
        };
        write_record(&root.join(unit("pretrain")), &pretrain);
    }

    #[test]
    fn rows_that_differ_in_data_only_lie_on_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let (runs, out) = (dir.path().join("runs"), dir.path().join("out"));
        row(&runs, "FS-VFM 1k", 0.3, 1000, 10);
        row(&runs, "FS-VFM 10k", 0.45, 10_000, 10);
        row(&runs, "FS-VFM 100k", 0.6, 100_000, 10);
        row(&runs, "FS-VFM 1M long", 0.7, 1_000_000, 99); // another plan: not on the line
        let files = report(&runs, &out, &[Output::Svg]).unwrap();
        let csv = std::fs::read_to_string(out.join("figures/scaling-pretraining-dfd-cross.csv")).unwrap();
        let rows: Vec<Vec<&str>> = csv.lines().skip(1).map(|l| l.split(',').collect()).collect();
        assert_eq!(rows.iter().map(|r| r[1]).collect::<Vec<_>>(), ["1000", "10000", "100000"], "{csv}");
        assert!(rows.iter().all(|r| r[0] == "FS-VFM"), "{csv}");
        assert!(rows.windows(2).all(|w| w[0][2].parse::<f64>().unwrap() < w[1][2].parse().unwrap()), "{csv}");
        let svg = std::fs::read_to_string(out.join("figures/scaling-pretraining-dfd-cross.svg")).unwrap();
        assert!(svg.contains("<title>Pre-training data and quality") && svg.contains("<desc>"));
        assert!(
            !files.iter().any(|f| f.ends_with("scaling-training-dfd-cross.svg")),
            "one amount is no line"
        );
        if let Ok(look) = std::env::var("LOOK") {
            report(&runs, Path::new(&look), &[Output::Png]).unwrap();
        }
    }
}
