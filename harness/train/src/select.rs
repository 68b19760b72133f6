//! Which checkpoint of a tuning run: the rules, side by side in one run.
//!
//! `last`, `min-val-loss` and `max-val-auc` look at the development set only and cost nothing beyond it. `oracle`
//! looks at the test sets after every epoch, as anti-spoofing papers do; it exists to measure what that is worth, and
//! is called so wherever it appears.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Tensor;
use facebench_engine::checkpoint;
use facebench_protocols::evaluate::{Options, evaluate_with};
use facebench_protocols::{Fold, Metric, Protocol, Sample, ScoreRow, Selection, metrics};
use serde::{Deserialize, Serialize};

use crate::batches::order;
use crate::error::{Error, Result, at, bad_spec};
use crate::scorer::row;
use crate::spec::Validation;

/// A checkpoint that a rule chose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chosen {
    /// Epoch, from 0
    pub epoch: usize,
    /// File in the unit's folder
    pub file: String,
    /// Cross entropy on the development set
    pub val_loss: f64,
    /// AUC on the development set, frame level
    pub val_auc: f64,
    /// What the `oracle` rule saw on the test sets
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<TestValue>,
}

/// A metric's mean over the test sets of a fold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestValue {
    /// The metric
    pub metric: Metric,
    /// Its mean
    pub value: f64,
}

/// `selection.json`: name of the rule → checkpoint.
pub type Chosens = BTreeMap<String, Chosen>;

/// Name of the file that says which rule chose which checkpoint.
pub const SELECTION: &str = "selection.json";

/// Loss and AUC of the development set from logit margins (fake − real).
///
/// # Errors
/// One class in the set, or, by batches, in one of the batches.
pub(crate) fn dev_metrics(
    dev: &[Sample],
    margins: &[f64],
    how: Validation,
    batch: usize,
    seed: u64,
) -> Result<(f64, f64)> {
    let of = |indices: &[usize]| -> Result<(f64, f64)> {
        // −log P(label) = softplus(∓margin)
        let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
        let loss: f64 =
            indices.iter().map(|&i| softplus(if dev[i].label == 1 { -margins[i] } else { margins[i] })).sum();
        let (m, l): (Vec<f64>, Vec<u8>) = indices.iter().map(|&i| (margins[i], dev[i].label)).unzip();
        Ok((loss / indices.len() as f64, metrics::auc(&m, &l)?))
    };
    match how {
        Validation::Whole => of(&(0..dev.len()).collect::<Vec<_>>()),
        Validation::Batches => {
            let shuffled = order("val-order", seed, 0, dev.len());
            let (mut loss, mut auc, mut count) = (0.0, 0.0, 0.0);
            for chunk in shuffled.chunks(batch.max(1)) {
                let (l, a) = of(chunk).map_err(|e| {
                    Error::Spec(format!(
                        "a validation batch of {} frames: {e}\nhint: larger batches, or `recipe.validation: whole`",
                        chunk.len()
                    ))
                })?;
                loss += l;
                auc += a * chunk.len() as f64;
                count += 1.0;
            }
            Ok((loss / count, auc / dev.len() as f64))
        }
    }
}

/// The metric of the `oracle`, averaged over the test sets: the protocol's own, but where that takes its threshold
/// from the development set, the one with the test set's threshold.
pub(crate) fn test_value(
    protocol: &Protocol,
    fold: &Fold,
    tests: &[(&str, &[Sample], &[f64])],
) -> Result<TestValue> {
    let metric = if protocol.primary == Metric::HterDev { Metric::HterOracle } else { protocol.primary };
    let rows: Vec<ScoreRow> = tests
        .iter()
        .flat_map(|(name, samples, margins)| {
            samples.iter().zip(*margins).map(|(sample, margin)| row(name, sample, *margin))
        })
        .collect();
    let options = Options { resamples: 0, ..Options::default() };
    let evaluation = evaluate_with(protocol, fold, &rows, &options)?;
    let values: Vec<f64> = evaluation.sets.iter().filter_map(|m| metric.of(m)).collect();
    Ok(TestValue { metric, value: values.iter().sum::<f64>() / values.len() as f64 })
}

/// Applies the rules to an epoch. Ties keep the earlier epoch; the `oracle` takes the later one, as released.
pub(crate) fn choose(chosen: &mut Chosens, this: &Chosen) {
    let better = |rule: Selection| {
        let best = chosen.get(&rule.to_string());
        match (rule, best) {
            (Selection::MinValLoss, Some(best)) => this.val_loss < best.val_loss,
            (Selection::MaxValAuc, Some(best)) => this.val_auc > best.val_auc,
            (Selection::Oracle, best) => match (this.test, best.and_then(|b| b.test)) {
                (None, _) => false,
                (Some(now), Some(best)) if now.metric.higher_is_better() => now.value >= best.value,
                (Some(now), Some(best)) => now.value <= best.value,
                (Some(_), None) => true,
            },
            _ => true,
        }
    };
    let rules = [Selection::Last, Selection::MinValLoss, Selection::MaxValAuc, Selection::Oracle];
    for rule in rules.into_iter().filter(|r| better(*r)).collect::<Vec<_>>() {
        let test = this.test.filter(|_| rule == Selection::Oracle);
        chosen.insert(rule.to_string(), Chosen { test, ..this.clone() });
    }
}

/// The tensors of a published tuning unit that `rule` chose.
///
/// # Errors
/// The folder is no such unit, or no checkpoint was chosen by the rule; the message names the rules there are.
pub fn chosen_tensors(unit: &Path, rule: Selection) -> Result<(Chosen, BTreeMap<String, Tensor>)> {
    let path = unit.join(SELECTION);
    let text = std::fs::read_to_string(&path).map_err(at(&path))?;
    let all: Chosens =
        serde_json::from_str(&text).map_err(|e| Error::State { path: path.clone(), what: e.to_string() })?;
    let Some(chosen) = all.get(&rule.to_string()) else {
        return bad_spec!(
            "{}: no checkpoint was chosen by `{rule}`; there are: {}\nhint: `oracle` needs the test sets while tuning: \
             `selection: [..., oracle]` in the experiment, see docs/recipes.md",
            path.display(),
            all.keys().cloned().collect::<Vec<_>>().join(", ")
        );
    };
    Ok((chosen.clone(), checkpoint::read(&unit.join(&chosen.file))?.tensors))
}

#[cfg(test)]
mod tests {
    use super::*;
    use facebench_protocols::Split;

    fn chosen(epoch: usize, val_loss: f64, val_auc: f64, hter: Option<f64>) -> Chosen {
        let test = hter.map(|value| TestValue { metric: Metric::HterOracle, value });
        Chosen { epoch, file: format!("epoch-{epoch}.safetensors"), val_loss, val_auc, test }
    }

    #[test]
    fn each_rule_keeps_its_own_epoch() {
        let mut all = Chosens::new();
        for (e, (loss, auc, hter)) in
            [(0.7, 0.8, 0.3), (0.4, 0.9, 0.2), (0.5, 0.95, 0.2), (0.4, 0.95, 0.25)].into_iter().enumerate()
        {
            choose(&mut all, &chosen(e, loss, auc, Some(hter)));
        }
        let epochs: BTreeMap<&str, usize> = all.iter().map(|(r, c)| (r.as_str(), c.epoch)).collect();
        let expected = [("last", 3), ("min-val-loss", 1), ("max-val-auc", 2), ("oracle", 2)];
        assert_eq!(epochs, expected.into_iter().collect());
        assert!(all["oracle"].test.is_some() && all["last"].test.is_none());
    }

    #[test]
    fn without_test_sets_there_is_no_oracle() {
        let mut all = Chosens::new();
        choose(&mut all, &chosen(0, 0.5, 0.9, None));
        assert_eq!(all.keys().collect::<Vec<_>>(), ["last", "max-val-auc", "min-val-loss"]);
    }

    #[test]
    fn batches_average_as_released() {
        let dev: Vec<Sample> = (0..8)
            .map(|i| Sample {
                dataset: "d".into(),
                method: "m".into(),
                video: format!("v{i}"),
                frame: 0,
                label: u8::from(i % 2 == 0),
                split: Split::Val,
                subjects: vec![],
                path: "x".into(),
            })
            .collect();
        let margins: Vec<f64> = (0..8).map(|i| f64::from(i) * 0.3 - 1.0).collect();
        let (whole, auc) = dev_metrics(&dev, &margins, Validation::Whole, 8, 0).unwrap();
        let (one, same) = dev_metrics(&dev, &margins, Validation::Batches, 8, 0).unwrap();
        assert!((whole - one).abs() < 1e-12 && auc == same, "one batch is the whole set");
        // six and two: the small batch counts as much as the large one in the loss, not in the AUC
        let shuffled = order("val-order", 4, 0, 8);
        let halves: Vec<(f64, f64)> = [&shuffled[..6], &shuffled[6..]]
            .iter()
            .map(|part| {
                let samples: Vec<Sample> = part.iter().map(|&i| dev[i].clone()).collect();
                let margins: Vec<f64> = part.iter().map(|&i| margins[i]).collect();
                dev_metrics(&samples, &margins, Validation::Whole, 8, 0)
            })
            .collect::<Result<_>>()
            .unwrap();
        let got = dev_metrics(&dev, &margins, Validation::Batches, 6, 4).unwrap();
        assert!((got.0 - f64::midpoint(halves[0].0, halves[1].0)).abs() < 1e-12);
        assert!((got.1 - (6.0 * halves[0].1 + 2.0 * halves[1].1) / 8.0).abs() < 1e-12);
        let single = dev_metrics(&dev, &margins, Validation::Batches, 1, 0).unwrap_err().to_string();
        assert!(single.contains("a validation batch of 1 frames"), "{single}");
    }
}
