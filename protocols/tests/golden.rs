//! Every golden metric case: our definitions against exact arithmetic, and the compatibility rules against what
//! the field's own functions return. See `golden/README.md` for where the numbers come from.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use facebench_protocols::metrics::{self, MetricError, Roc, calibration, compat, pad, video};
use facebench_protocols::stats::summary;
use facebench_protocols::{Aggregation, ScoreRow, frames};
use serde_json::Value;

const TOLERANCE: f64 = 1e-9;
const BRENT: f64 = 1e-6;

fn cases() -> Vec<Value> {
    let file: Value = serde_json::from_str(include_str!("golden/metrics.json")).unwrap();
    file["cases"].as_array().unwrap().clone()
}

/// Number of comparisons made, so that a case without any is noticed.
struct Checker<'a> {
    id: &'a str,
    made: usize,
}

impl Checker<'_> {
    fn near(&mut self, what: &str, got: f64, want: &Value, tolerance: f64) {
        let want = number(if want.get("frac").is_some() { &want["value"] } else { want });
        assert!((got - want).abs() <= tolerance, "{}: {what} is {got}, expected {want}", self.id);
        self.made += 1;
    }

    fn same<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, got: &T, want: &T) {
        assert_eq!(got, want, "{}: {what}", self.id);
        self.made += 1;
    }

    fn raises<T: std::fmt::Debug>(&mut self, what: &str, got: &Result<T, MetricError>) {
        assert!(got.is_err(), "{}: {what} must raise, got {got:?}", self.id);
        self.made += 1;
    }
}

fn number(value: &Value) -> f64 {
    match value.as_str() {
        Some("NaN") => f64::NAN,
        Some("Infinity") => f64::INFINITY,
        _ => value.as_f64().unwrap_or_else(|| panic!("{value} is no number")),
    }
}

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

fn labels(value: &Value) -> Vec<u8> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as u8).collect()
}

#[test]
fn every_case_is_walked() {
    let mut walked = BTreeMap::<String, usize>::new();
    for case in cases() {
        let mut check = Checker { id: case["id"].as_str().unwrap(), made: 0 };
        let kind = case["kind"].as_str().unwrap();
        match kind {
            "binary" => binary(&mut check, &case),
            "video" => videos(&mut check, &case),
            "protocol" => protocol(&mut check, &case),
            other => panic!("unknown kind {other}"),
        }
        assert!(check.made > 0, "{}: nothing was compared", check.id);
        *walked.entry(kind.to_owned()).or_default() += 1;
    }
    assert_eq!(walked.values().sum::<usize>(), 63);
    assert_eq!(walked["binary"], 38);
}

fn binary(check: &mut Checker, case: &Value) {
    let mut s = floats(&case["inputs"]["scores"]);
    let l = labels(&case["inputs"]["labels"]);
    if case["inputs"]["score_dtype"] == "float32" {
        s.iter_mut().for_each(|x| *x = f64::from(*x as f32));
    }
    if case.get("harness_must_raise").is_some() {
        check.raises("auc", &metrics::auc(&s, &l));
        check.raises("eer", &metrics::eer(&s, &l));
        for mode in [compat::EerMode::DeepfakeBench, compat::EerMode::FewShotFas] {
            check.raises("eer mode", &metrics::eer_mode(&s, &l, mode));
        }
        check.raises("ap", &metrics::average_precision(&s, &l));
        check.raises("tpr", &metrics::tpr_at_fpr(&s, &l, 0.01));
        check.raises("hter", &metrics::hter_at(&s, &l, 0.5));
        check.raises("balanced accuracy", &metrics::balanced_accuracy(&s, &l, 0.5));
        if !s.is_empty() && s.iter().all(|x| x.is_finite()) && l.iter().all(|&x| x <= 1) {
            few_shot(check, case, &s, &l); // an empty class counts as 1 there
        }
        return;
    }
    let roc = Roc::new(&s, &l).unwrap();
    for (key, entry) in case["expected"].as_object().unwrap() {
        let want = &entry["value"];
        let at = |prefix: &str| key.strip_prefix(prefix).map(|c| c.parse::<f64>().unwrap());
        match key.as_str() {
            "sklearn.roc_auc_score" | "exact.auc" => {
                check.near(key, metrics::auc(&s, &l).unwrap(), want, TOLERANCE);
                check.near(key, roc.auc(), want, TOLERANCE);
            }
            "sklearn.average_precision_score" | "exact.ap" => {
                check.near(key, roc.average_precision(), want, TOLERANCE);
            }
            "exact.eer_line" => check.near(key, roc.eer(), want, TOLERANCE),
            "fsfm.frame_level_eer" => check.near(key, roc.eer(), want, BRENT),
            "fsfm.frame_level_auc_pct" => check.near(key, 100.0 * roc.auc(), want, TOLERANCE),
            "fsfm.balanced_acc_pct_at_0.5" => {
                let (q, m) = compat::to_live(&s, &l); // class 1 is real there, and wins a tie as it does here
                check.near(key, 100.0 * metrics::balanced_accuracy(&q, &m, 0.5).unwrap(), want, TOLERANCE);
            }
            "deepfakebench.get_test_metrics" => {
                check.near(key, roc.auc(), &want["auc"], TOLERANCE);
                check.near(key, compat::deepfakebench_eer(&roc), &want["eer"], TOLERANCE);
                check.near(key, roc.average_precision(), &want["ap"], TOLERANCE);
                check.near(key, metrics::accuracy(&s, &l, 0.5).unwrap(), &want["acc"], TOLERANCE);
            }
            "few_shot_fas.eer_hter" | "few_shot_fas.calculate_0.5" => few_shot(check, case, &s, &l),
            _ => {
                if let Some(c) = at("exact.tpr_at_fpr_le_") {
                    check.near(key, metrics::tpr_at_fpr(&s, &l, c).unwrap(), want, TOLERANCE);
                } else if let Some(c) = at("few_shot_fas.tpr_at_fpr_le_") {
                    check.near(key, compat::few_shot_fas_tpr_at_fpr(&roc, c), want, TOLERANCE);
                } else if let Some(c) = at("interp.tpr_at_fpr_") {
                    check.near(key, roc.tpr_at_fpr_interpolated(c), want, TOLERANCE);
                } else {
                    panic!("{}: nobody compares {key}", check.id);
                }
            }
        }
    }
}

/// few_shot_fas: label 1 is live, score is P(live).
fn few_shot(check: &mut Checker, case: &Value, s: &[f64], l: &[u8]) {
    let want = &case["expected"]["few_shot_fas.eer_hter"]["value"];
    let got = compat::few_shot_fas_eer(s, l);
    check.near("grid eer", got.eer, &want["eer"], TOLERANCE);
    check.near("grid hter", got.eer, &want["hter_at_threshold"], TOLERANCE);
    check.near("grid threshold", got.threshold, &want["threshold"], TOLERANCE);
    check.near("grid accuracy", got.accuracy, &want["acc_at_threshold"], TOLERANCE);
    let want = &case["expected"]["few_shot_fas.calculate_0.5"]["value"];
    let (apcer, npcer, acer, acc) = compat::few_shot_fas_rates(s, l, 0.5);
    check.near("apcer", apcer, &want["apcer"], TOLERANCE);
    check.near("npcer", npcer, &want["npcer"], TOLERANCE);
    check.near("acer", acer, &want["acer"], TOLERANCE);
    check.near("acc", acc, &want["acc"], TOLERANCE);
}

fn row(method: &str, video: &str, frame: usize, label: u8, score: f64) -> ScoreRow {
    ScoreRow {
        set: "t".into(),
        dataset: "d".into(),
        method: method.into(),
        video: video.into(),
        frame: frame as u32,
        label,
        score,
        raw: 0.0,
        subjects: vec![],
    }
}

/// The identity that a reader makes of a path: everything above the video is data set and method.
fn identified(index: usize, path: &str, label: u8, score: f64) -> (String, ScoreRow) {
    let path = path.replace('\\', "/");
    let (folder, file) = path.rsplit_once('/').unwrap();
    match file.split_once("_frame_") {
        Some((video, _)) => (format!("{folder}/{video}"), row(folder, video, index, label, score)),
        None => {
            let (above, video) = folder.rsplit_once('/').unwrap();
            (folder.to_owned(), row(above, video, index, label, score))
        }
    }
}

fn videos(check: &mut Checker, case: &Value) {
    if let Some(clips) = case["inputs"].get("clips") {
        let rows: Vec<ScoreRow> = clips
            .as_array()
            .unwrap()
            .iter()
            .enumerate()
            .map(|(i, c)| {
                let path = c["frames"][0].as_str().unwrap();
                identified(i, path, labels(&Value::Array(vec![c["label"].clone()]))[0], number(&c["score"])).1
            })
            .collect();
        check.near(
            "clip auc",
            auc_of(&rows),
            &case["expected"]["deepfakebench.get_test_metrics"]["value"]["auc"],
            TOLERANCE,
        );
        let want = &case["expected"]["reference.video_auc(mean of clips)"]["value"];
        check.near("video auc", video_auc(&rows).1, want, TOLERANCE);
        return;
    }
    let named: Vec<(String, ScoreRow)> = case["inputs"]["rows"]
        .as_array()
        .unwrap()
        .iter()
        .enumerate()
        .map(|(i, r)| {
            let label = r["label"].as_f64().unwrap() as u8; // float labels are labels
            identified(i, r["path"].as_str().unwrap(), label, number(&r["score"]))
        })
        .collect();
    let rows: Vec<ScoreRow> = named.iter().map(|(_, r)| r.clone()).collect();
    let (groups, auc) = video_auc(&rows);
    if case["id"] == "video_float_labels" {
        check.near("video auc", auc, &Value::from(1.0), TOLERANCE); // where a string conversion fails elsewhere
        return;
    }
    let frame_auc = &case["expected"]["deepfakebench.get_test_metrics"]["value"]["frame_auc"];
    check.near("frame auc", auc_of(&rows), frame_auc, TOLERANCE);
    let want = &case["expected"]["reference.full_path_key"]["value"];
    check.near("video auc", auc, &want["auc"], TOLERANCE);
    let names: BTreeMap<&str, (u8, f64)> = named
        .iter()
        .map(|(name, r)| {
            let (label, score) = groups[&(r.method.clone(), r.video.clone())];
            (name.as_str(), (label, score))
        })
        .collect();
    let want_names = want["videos"].as_array().unwrap();
    check.same("number of videos", &groups.len(), &want_names.len());
    for (i, name) in want_names.iter().enumerate() {
        let (label, score) = names[name.as_str().unwrap()];
        check.same("label", &label, &labels(&want["labels"])[i]);
        check.near("video score", score, &want["scores"][i], TOLERANCE);
    }
}

type Groups = BTreeMap<(String, String), (u8, f64)>;

fn video_auc(rows: &[ScoreRow]) -> (Groups, f64) {
    let videos = video::group(&rows.iter().collect::<Vec<_>>(), Aggregation::Mean).unwrap();
    let (scores, labels): (Vec<f64>, Vec<u8>) = videos.iter().map(|v| (v.score, v.row.label)).unzip();
    let groups = videos
        .iter()
        .map(|v| ((v.row.method.clone(), v.row.video.clone()), (v.row.label, v.score)))
        .collect();
    (groups, metrics::auc(&scores, &labels).unwrap())
}

fn auc_of(rows: &[ScoreRow]) -> f64 {
    let (scores, labels): (Vec<f64>, Vec<u8>) = rows.iter().map(|r| (r.score, r.label)).unzip();
    metrics::auc(&scores, &labels).unwrap()
}

fn protocol(check: &mut Checker, case: &Value) {
    let (input, expected) = (&case["inputs"], &case["expected"]);
    let want = |key: &str| &expected[key]["value"];
    let flip = |l: &[u8]| l.iter().map(|x| 1 - x).collect::<Vec<u8>>();
    let negative = |s: &[f64]| s.iter().map(|x| -x).collect::<Vec<f64>>();
    match check.id {
        "hter_dev_vs_oracle" => {
            let part = |name: &str| (floats(&input[name]["scores"]), labels(&input[name]["labels"]));
            let ((dev, dev_l), (test, test_l)) = (part("dev"), part("test"));
            let dev_eer = compat::few_shot_fas_eer(&dev, &dev_l);
            let w = want("few_shot_fas.dev_threshold");
            check.near("dev eer", dev_eer.eer, &w["dev_eer"], TOLERANCE);
            check.near("dev threshold", dev_eer.threshold, &w["dev_threshold"], TOLERANCE);
            let hter = compat::few_shot_fas_rates(&test, &test_l, dev_eer.threshold).2;
            check.near("hter", hter, &w["test_hter_at_dev_threshold"], TOLERANCE);
            let oracle = compat::few_shot_fas_eer(&test, &test_l);
            let w = want("few_shot_fas.oracle");
            check.near("oracle eer", oracle.eer, &w["test_eer"], TOLERANCE);
            check.near("oracle threshold", oracle.threshold, &w["test_threshold"], TOLERANCE);
            check.near("oracle hter", oracle.eer, &w["test_hter_at_test_threshold"], TOLERANCE);
            // our own rule, in our polarity, gives the same error rates here
            let (fake, fake_l) = (negative(&dev), flip(&dev_l));
            let t = metrics::threshold_at_eer(&fake, &fake_l).unwrap();
            let ours = metrics::hter_at(&negative(&test), &flip(&test_l), t).unwrap();
            check.near(
                "our hter",
                ours,
                &expected["few_shot_fas.dev_threshold"]["value"]["test_hter_at_dev_threshold"],
                TOLERANCE,
            );
        }
        "fas_two_frame_video" => {
            let rows: Vec<ScoreRow> = input["rows"]
                .as_array()
                .unwrap()
                .iter()
                .enumerate()
                .map(|(i, r)| {
                    let (method, video) = r["video"].as_str().unwrap().split_once('/').unwrap();
                    row(method, video, i, r["label"].as_u64().unwrap() as u8, number(&r["score"]))
                })
                .collect();
            let w = want("few_shot_fas");
            let (groups, auc) = video_auc(&rows);
            check.near("auc", auc, &w["auc"], TOLERANCE);
            let (l, s): (Vec<u8>, Vec<f64>) = groups.values().copied().unzip();
            check.same("labels", &l, &labels(&w["labels"]));
            for (got, want) in s.iter().zip(w["scores"].as_array().unwrap()) {
                check.near("score", *got, want, TOLERANCE);
            }
            let eer = compat::few_shot_fas_eer(&s, &l);
            check.near("eer", eer.eer, &w["eer"], TOLERANCE);
            check.near("hter", eer.eer, &w["hter"], TOLERANCE);
            check.near("threshold", eer.threshold, &w["threshold"], TOLERANCE);
            check.near(
                "tpr",
                metrics::tpr_at_fpr(&s, &l, 0.01).unwrap(),
                &w["tpr_at_fpr_le_0.01"],
                TOLERANCE,
            );
        }
        "acer_iso_vs_pooled" => {
            let attack = |s: &Value| floats(s).iter().map(|x| 1.0 - x).collect::<Vec<f64>>();
            let species: BTreeMap<String, Vec<f64>> = input["attack_scores"]
                .as_object()
                .unwrap()
                .iter()
                .map(|(k, v)| (k.clone(), attack(v)))
                .collect();
            let got = pad::pad_rates(&species, &attack(&input["bona_fide_scores"]), 0.5).unwrap();
            let w = want("computed");
            for (name, value) in &got.apcer {
                check.near(name, *value, &w["apcer_per_species"][name], TOLERANCE);
            }
            check.near("worst", got.apcer_worst, &w["apcer_max"], TOLERANCE);
            check.near("pooled", got.apcer_pooled, &w["apcer_pooled"], TOLERANCE);
            check.near("bpcer", got.bpcer, &w["bpcer"], TOLERANCE);
            check.near("acer worst", got.acer_worst, &w["acer_iso_max"], TOLERANCE);
            check.near("acer pooled", got.acer_pooled, &w["acer_pooled_few_shot_fas"], TOLERANCE);
        }
        "acer_empty_attack" | "acer_empty_bonafide" => {
            let (s, l) = (floats(&input["scores"]), labels(&input["labels"]));
            let of = |class| {
                s.iter().zip(&l).filter(|(_, x)| **x == class).map(|(v, _)| 1.0 - v).collect::<Vec<f64>>()
            };
            let species = BTreeMap::from([("any".to_owned(), of(0))]);
            check.raises("pad", &pad::pad_rates(&species, &of(1), 0.5));
            check.raises("bpcer", &pad::bpcer_at_apcer(&of(0), &of(1), 0.1));
            let (apcer, npcer, acer, acc) = compat::few_shot_fas_rates(&s, &l, 0.5);
            let w = want("few_shot_fas.calculate_0.5");
            for (got, key) in [(apcer, "apcer"), (npcer, "npcer"), (acer, "acer"), (acc, "acc")] {
                check.near(key, got, &w[key], TOLERANCE);
            }
        }
        "bpcer_at_apcer" => {
            let (attack, bona) =
                (negative(&floats(&input["attack_scores"])), negative(&floats(&input["bona_fide_scores"])));
            for (key, limit) in [("BPCER10", 0.1), ("BPCER20", 0.05), ("BPCER100", 0.01)] {
                let (threshold, bpcer) = metrics::bpcer_at_apcer(&attack, &bona, limit).unwrap();
                check.near(key, -threshold, &want("computed")[key]["threshold"], TOLERANCE);
                check.near(key, bpcer, &want("computed")[key]["bpcer"], TOLERANCE);
            }
        }
        "tpr_at_fpr_5e-3_spoof_positive" => {
            let (s, l) = (floats(&input["scores"]), labels(&input["labels"]));
            let roc = Roc::new(&s, &l).unwrap();
            check.near("exact", roc.tpr_at_fpr(5e-3), want("exact"), TOLERANCE);
            check.near("step", compat::few_shot_fas_tpr_at_fpr(&roc, 5e-3), want("sklearn_step"), TOLERANCE);
            check.near("interp", roc.tpr_at_fpr_interpolated(5e-3), want("sklearn_interp"), TOLERANCE);
        }
        "polarity_equivalence" => {
            let (p, l) = (floats(&input["p_real"]), labels(&input["labels_real1"]));
            let (q, m) = (p.iter().map(|x| 1.0 - x).collect::<Vec<_>>(), flip(&l));
            check.near("auc", metrics::auc(&p, &l).unwrap(), want("auc_real_positive"), TOLERANCE);
            check.near("auc", metrics::auc(&q, &m).unwrap(), want("auc_fake_positive"), TOLERANCE);
            check.near(
                "mismatch",
                metrics::auc(&p, &m).unwrap(),
                want("auc_mismatched(fake=1 with P(real))"),
                TOLERANCE,
            );
            check.near(
                "ap",
                metrics::average_precision(&p, &l).unwrap(),
                want("ap_real_positive"),
                TOLERANCE,
            );
            check.near(
                "ap",
                metrics::average_precision(&q, &m).unwrap(),
                want("ap_fake_positive"),
                TOLERANCE,
            );
            for (s, l, key) in
                [(&p, &l, "few_shot_eer_real_positive"), (&q, &m, "few_shot_eer_fake_positive")]
            {
                let got = compat::few_shot_fas_eer(s, l);
                check.near(key, got.eer, &want(key)[0], TOLERANCE);
                check.near(key, got.threshold, &want(key)[1], TOLERANCE);
            }
        }
        "logloss_dfdc" | "logloss_saturated_wrong" => {
            let (s, l) = (floats(&input["scores"]), labels(&input["labels"]));
            for (key, eps) in [
                ("sklearn.log_loss", calibration::LOG_LOSS_EPS),
                ("manual_eps_1e-15", 1e-15),
                ("manual_eps_1e-7", 1e-7),
            ] {
                if let Some(entry) = expected.get(key) {
                    check.near(key, metrics::log_loss(&s, &l, eps).unwrap(), &entry["value"], TOLERANCE);
                }
            }
        }
        "auc_batch_mean_vs_global" => {
            let (s, l) = (floats(&input["scores"]), labels(&input["labels"]));
            check.near(
                "batches",
                compat::fsfm_batch_auc(&s, &l, 2).unwrap(),
                want("mean_of_batch_auc"),
                TOLERANCE,
            );
            check.near("global", metrics::auc(&s, &l).unwrap(), want("global_auc"), TOLERANCE);
        }
        "macro_average" => {
            let mean = summary::mean(&floats(&input["auc_pct"])).unwrap();
            check.near("mean", mean, want("mean"), TOLERANCE);
            check.same(
                "printed",
                &summary::half_up(mean, 2).as_str(),
                &want("decimal_half_up_2").as_str().unwrap(),
            );
        }
        "macro_average_wrong_divisor" => {
            let values = floats(&input["hter"]);
            let mean = summary::mean(&values).unwrap();
            check.near("over 3", mean, want("sum_over_3"), TOLERANCE);
            check.near("over 4, the slip", mean * 3.0 / 4.0, want("sum_over_4"), TOLERANCE);
        }
        "seed_mean_std" => {
            let values = floats(&input["hter_pct"]);
            check.near("mean", summary::mean(&values).unwrap(), want("mean"), TOLERANCE);
            check.near("std", summary::std_population(&values).unwrap(), want("std_ddof0"), TOLERANCE);
            check.near("std", summary::std_sample(&values).unwrap(), want("std_ddof1"), TOLERANCE);
        }
        "frame_index_linspace" => {
            for (i, n) in input["N"].as_array().unwrap().iter().enumerate() {
                let got =
                    frames::spaced(n.as_u64().unwrap() as usize, input["num"][i].as_u64().unwrap() as usize);
                check.same("indices", &Value::from(got), &want("numpy")[i].clone());
            }
        }
        "frame_index_fas" => {
            for (i, n) in input["N"].as_array().unwrap().iter().enumerate() {
                let got = frames::mcio_pair(n.as_u64().unwrap() as usize);
                check.same("pair", &Value::from(got.to_vec()), &want("computed")[i].clone());
            }
        }
        other => panic!("nobody compares case {other}"),
    }
}

/// The closed-form vector of the method's description: i = 0..39, y = (i mod 3 ≠ 0).
#[test]
fn closed_form_vector() {
    let l: Vec<u8> = (0..40).map(|i| u8::from(i % 3 != 0)).collect();
    let p: Vec<f64> = (0..40)
        .map(|i| 0.5 + 0.35 * (1.1 * f64::from(i)).sin() + 0.12 * (2.0 * f64::from(l[i as usize]) - 1.0))
        .collect();
    let roc = Roc::new(&p, &l).unwrap();
    let near = |got: f64, want: f64| assert!((got - want).abs() < 5e-7, "{got} {want}");
    near(100.0 * roc.auc(), 75.549_451);
    near(roc.eer(), 0.357_143);
    near(100.0 * metrics::balanced_accuracy(&p, &l, 0.5).unwrap(), 64.835_165);
    let grid = compat::few_shot_fas_eer(&p, &l);
    near(grid.eer, 0.351_648);
    near(grid.threshold, 0.508);
    near(grid.accuracy, 0.65);
    near(compat::few_shot_fas_tpr_at_fpr(&roc, 0.01), 0.384_615);
    let (apcer, npcer, acer, _) = compat::few_shot_fas_rates(&p, &l, 0.5);
    near(apcer, 0.357_143);
    near(npcer, 0.346_154);
    near(acer, 0.351_648);
}
