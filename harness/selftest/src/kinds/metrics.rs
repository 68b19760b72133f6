//! Metrics: our definitions against exact arithmetic, compatibility rules against what the field's own functions return.
//!
//! A case is told by what it holds, not by its name. Labels are 1 = fake unless the case is about another polarity.

use std::collections::BTreeMap;

use facebench_protocols::metrics::{self, Roc, calibration, compat, pad, video};
use facebench_protocols::stats::summary;
use facebench_protocols::{Aggregation, ScoreRow, frames};
use serde_json::Value;

use crate::Context;
use crate::rules::list;
use crate::sheet::{Case, Limit, Must as _, Sheet};

type Checked = Result<(), String>;

/// Comparisons with the tolerances of the file.
struct Checker<'a> {
    case: &'a mut Case,
    tolerance: f64,
    brent: f64,
}

impl Checker<'_> {
    fn near(&mut self, what: &str, got: f64, want: &Value) {
        self.within(what, got, want, self.tolerance);
    }

    fn within(&mut self, what: &str, got: f64, want: &Value, tolerance: f64) {
        let want = number(if want.get("frac").is_some() { &want["value"] } else { want });
        self.case.number(what, got, want, Limit::absolute(tolerance));
    }

    fn same<T: PartialEq + std::fmt::Debug + ?Sized>(&mut self, what: &str, got: &T, want: &T) {
        self.case.same(what, got, want);
    }

    fn raises<T: std::fmt::Debug, E>(&mut self, what: &str, got: &Result<T, E>) {
        self.case.holds(got.is_err(), || format!("{what} must be an error"));
    }
}

/// Checks every case.
pub(crate) fn run(file: &Value, _: &Context<'_>, sheet: &mut Sheet) -> Result<(), String> {
    let limit = |key: &str| file["tolerance"][key].as_f64().must(&format!("tolerance `{key}`"));
    let (tolerance, brent) = (limit("default_abs")?, limit("brentq_abs")?);
    for at in list(file, "cases")? {
        sheet.case(at["id"].as_str().unwrap_or("?"), |case| {
            let mut check = Checker { case, tolerance, brent };
            match at["kind"].as_str() {
                Some("binary") => binary(&mut check, at),
                Some("video") => videos(&mut check, at),
                Some("protocol") => protocol(&mut check, at),
                other => Err(format!("cases of kind {other:?} are not known")),
            }
        });
    }
    Ok(())
}

/// A number, `"NaN"` or `"Infinity"`; NaN for anything else, which equals no result.
fn number(value: &Value) -> f64 {
    match value.as_str() {
        Some("Infinity") => f64::INFINITY,
        _ => value.as_f64().unwrap_or(f64::NAN),
    }
}

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().into_iter().flatten().map(number).collect()
}

fn labels(value: &Value) -> Vec<u8> {
    value.as_array().into_iter().flatten().map(|v| v.as_f64().map_or(255, |y| y as u8)).collect()
}

fn binary(check: &mut Checker<'_>, case: &Value) -> Checked {
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
            few_shot(check, case, &s, &l)?; // an empty class counts as 1 there
        }
        return Ok(());
    }
    let roc = Roc::new(&s, &l).must("value")?;
    for (key, entry) in case["expected"].as_object().must("value")? {
        let want = &entry["value"];
        let at = |prefix: &str| key.strip_prefix(prefix).and_then(|c| c.parse::<f64>().ok());
        match key.as_str() {
            "sklearn.roc_auc_score" | "exact.auc" => {
                check.near(key, metrics::auc(&s, &l).must("value")?, want);
                check.near(key, roc.auc(), want);
            }
            "sklearn.average_precision_score" | "exact.ap" => {
                check.near(key, roc.average_precision(), want);
            }
            "exact.eer_line" => check.near(key, roc.eer(), want),
            "fsfm.frame_level_eer" => check.within(key, roc.eer(), want, check.brent),
            "fsfm.frame_level_auc_pct" => check.near(key, 100.0 * roc.auc(), want),
            "fsfm.balanced_acc_pct_at_0.5" => {
                let (q, m) = compat::to_live(&s, &l); // class 1 is real there, and wins a tie as it does here
                check.near(key, 100.0 * metrics::balanced_accuracy(&q, &m, 0.5).must("value")?, want);
            }
            "deepfakebench.get_test_metrics" => {
                check.near(key, roc.auc(), &want["auc"]);
                check.near(key, compat::deepfakebench_eer(&roc), &want["eer"]);
                check.near(key, roc.average_precision(), &want["ap"]);
                check.near(key, metrics::accuracy(&s, &l, 0.5).must("value")?, &want["acc"]);
            }
            "few_shot_fas.eer_hter" | "few_shot_fas.calculate_0.5" => few_shot(check, case, &s, &l)?,
            _ => {
                if let Some(c) = at("exact.tpr_at_fpr_le_") {
                    check.near(key, metrics::tpr_at_fpr(&s, &l, c).must("value")?, want);
                } else if let Some(c) = at("few_shot_fas.tpr_at_fpr_le_") {
                    check.near(key, compat::few_shot_fas_tpr_at_fpr(&roc, c), want);
                } else if let Some(c) = at("interp.tpr_at_fpr_") {
                    check.near(key, roc.tpr_at_fpr_interpolated(c), want);
                } else {
                    return Err(format!("expected value `{key}` is not known"));
                }
            }
        }
    }
    Ok(())
}

/// few_shot_fas: label 1 is live, score is P(live).
fn few_shot(check: &mut Checker<'_>, case: &Value, s: &[f64], l: &[u8]) -> Checked {
    let want = &case["expected"]["few_shot_fas.eer_hter"]["value"];
    let got = compat::few_shot_fas_eer(s, l);
    check.near("grid eer", got.eer, &want["eer"]);
    check.near("grid hter", got.eer, &want["hter_at_threshold"]);
    check.near("grid threshold", got.threshold, &want["threshold"]);
    check.near("grid accuracy", got.accuracy, &want["acc_at_threshold"]);
    let want = &case["expected"]["few_shot_fas.calculate_0.5"]["value"];
    let (apcer, npcer, acer, acc) = compat::few_shot_fas_rates(s, l, 0.5);
    check.near("apcer", apcer, &want["apcer"]);
    check.near("npcer", npcer, &want["npcer"]);
    check.near("acer", acer, &want["acer"]);
    check.near("acc", acc, &want["acc"]);
    Ok(())
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
fn identified(index: usize, path: &str, label: u8, score: f64) -> Result<(String, ScoreRow), String> {
    let path = path.replace('\\', "/");
    let (folder, file) = path.rsplit_once('/').must("value")?;
    Ok(match file.split_once("_frame_") {
        Some((video, _)) => (format!("{folder}/{video}"), row(folder, video, index, label, score)),
        None => {
            let (above, video) = folder.rsplit_once('/').must("value")?;
            (folder.to_owned(), row(above, video, index, label, score))
        }
    })
}

fn videos(check: &mut Checker<'_>, case: &Value) -> Checked {
    if let Some(clips) = case["inputs"].get("clips") {
        let mut rows = Vec::new();
        for (i, c) in clips.as_array().must("clips")?.iter().enumerate() {
            let (path, label) = (c["frames"][0].as_str().must("frame")?, c["label"].as_f64().must("label")?);
            rows.push(identified(i, path, label as u8, number(&c["score"]))?.1);
        }
        check.near(
            "clip auc",
            auc_of(&rows)?,
            &case["expected"]["deepfakebench.get_test_metrics"]["value"]["auc"],
        );
        let want = &case["expected"]["reference.video_auc(mean of clips)"]["value"];
        check.near("video auc", video_auc(&rows)?.1, want);
        return Ok(());
    }
    let mut named = Vec::new();
    for (i, r) in list(&case["inputs"], "rows")?.iter().enumerate() {
        let label = r["label"].as_f64().must("label")? as u8; // float labels are labels
        named.push(identified(i, r["path"].as_str().must("path")?, label, number(&r["score"]))?);
    }
    let rows: Vec<ScoreRow> = named.iter().map(|(_, r)| r.clone()).collect();
    let (groups, auc) = video_auc(&rows)?;
    if case["expected"].as_object().is_some_and(|e| e.values().all(|v| v.get("error").is_some())) {
        // elsewhere a string conversion fails on such labels; here they are labels, and the order is the separation
        check.same("finite video auc", &auc.is_finite(), &true);
        return Ok(());
    }
    let frame_auc = &case["expected"]["deepfakebench.get_test_metrics"]["value"]["frame_auc"];
    check.near("frame auc", auc_of(&rows)?, frame_auc);
    let want = &case["expected"]["reference.full_path_key"]["value"];
    check.near("video auc", auc, &want["auc"]);
    let names: BTreeMap<&str, (u8, f64)> =
        named.iter().map(|(name, r)| (name.as_str(), groups[&(r.method.clone(), r.video.clone())])).collect();
    let want_names = want["videos"].as_array().must("value")?;
    check.same("number of videos", &groups.len(), &want_names.len());
    for (i, name) in want_names.iter().enumerate() {
        let (label, score) = names.get(name.as_str().must("name")?).must("video of that name")?;
        check.near("label", f64::from(*label), &want["labels"][i]);
        check.near("video score", *score, &want["scores"][i]);
    }
    Ok(())
}

type Groups = BTreeMap<(String, String), (u8, f64)>;

fn video_auc(rows: &[ScoreRow]) -> Result<(Groups, f64), String> {
    let videos = video::group(&rows.iter().collect::<Vec<_>>(), Aggregation::Mean).must("value")?;
    let (scores, labels): (Vec<f64>, Vec<u8>) = videos.iter().map(|v| (v.score, v.row.label)).unzip();
    let groups = videos
        .iter()
        .map(|v| ((v.row.method.clone(), v.row.video.clone()), (v.row.label, v.score)))
        .collect();
    Ok((groups, metrics::auc(&scores, &labels).must("auc")?))
}

fn auc_of(rows: &[ScoreRow]) -> Result<f64, String> {
    let (scores, labels): (Vec<f64>, Vec<u8>) = rows.iter().map(|r| (r.score, r.label)).unzip();
    metrics::auc(&scores, &labels).must("auc")
}

/// What a case without a name of its own is about.
fn family(input: &Value, expected: &Value) -> &'static str {
    let (has, wants) = (|k: &str| input.get(k).is_some(), |k: &str| expected.get(k).is_some());
    match () {
        () if has("dev") && has("test") => "dev and test",
        () if has("rows") => "rows",
        () if input["attack_scores"].is_object() => "species",
        () if has("attack_scores") => "two classes",
        () if has("p_real") => "polarity",
        () if wants("sklearn_step") => "low fpr",
        () if wants("sklearn.log_loss") => "log loss",
        () if wants("mean_of_batch_auc") => "batches",
        () if wants("few_shot_fas.calculate_0.5") => "one class",
        () if has("auc_pct") => "macro average",
        () if has("hter") => "divisors",
        () if has("hter_pct") => "seeds",
        () if has("N") && has("num") => "spaced frames",
        () if has("N") => "frame pairs",
        () => "no known combination of inputs",
    }
}

fn protocol(check: &mut Checker<'_>, case: &Value) -> Checked {
    let (input, expected) = (&case["inputs"], &case["expected"]);
    let want = |key: &str| &expected[key]["value"];
    let flip = |l: &[u8]| l.iter().map(|x| 1 - x).collect::<Vec<u8>>();
    let negative = |s: &[f64]| s.iter().map(|x| -x).collect::<Vec<f64>>();
    match family(input, expected) {
        "dev and test" => {
            let part = |name: &str| (floats(&input[name]["scores"]), labels(&input[name]["labels"]));
            let ((dev, dev_l), (test, test_l)) = (part("dev"), part("test"));
            let dev_eer = compat::few_shot_fas_eer(&dev, &dev_l);
            let w = want("few_shot_fas.dev_threshold");
            check.near("dev eer", dev_eer.eer, &w["dev_eer"]);
            check.near("dev threshold", dev_eer.threshold, &w["dev_threshold"]);
            let hter = compat::few_shot_fas_rates(&test, &test_l, dev_eer.threshold).2;
            check.near("hter", hter, &w["test_hter_at_dev_threshold"]);
            let oracle = compat::few_shot_fas_eer(&test, &test_l);
            let w = want("few_shot_fas.oracle");
            check.near("oracle eer", oracle.eer, &w["test_eer"]);
            check.near("oracle threshold", oracle.threshold, &w["test_threshold"]);
            check.near("oracle hter", oracle.eer, &w["test_hter_at_test_threshold"]);
            // our own rule, in our polarity, gives the same error rates here
            let (fake, fake_l) = (negative(&dev), flip(&dev_l));
            let t = metrics::threshold_at_eer(&fake, &fake_l).must("value")?;
            let ours = metrics::hter_at(&negative(&test), &flip(&test_l), t).must("value")?;
            check.near(
                "our hter",
                ours,
                &expected["few_shot_fas.dev_threshold"]["value"]["test_hter_at_dev_threshold"],
            );
        }
        "rows" => {
            let mut rows = Vec::new();
            for (i, r) in list(input, "rows")?.iter().enumerate() {
                let (method, video) = r["video"].as_str().and_then(|v| v.split_once('/')).must("video")?;
                rows.push(row(
                    method,
                    video,
                    i,
                    r["label"].as_u64().must("label")? as u8,
                    number(&r["score"]),
                ));
            }
            let w = want("few_shot_fas");
            let (groups, auc) = video_auc(&rows)?;
            check.near("auc", auc, &w["auc"]);
            let (l, s): (Vec<u8>, Vec<f64>) = groups.values().copied().unzip();
            check.same("labels", &l, &labels(&w["labels"]));
            for (got, want) in s.iter().zip(w["scores"].as_array().must("value")?) {
                check.near("score", *got, want);
            }
            let eer = compat::few_shot_fas_eer(&s, &l);
            check.near("eer", eer.eer, &w["eer"]);
            check.near("hter", eer.eer, &w["hter"]);
            check.near("threshold", eer.threshold, &w["threshold"]);
            check.near("tpr", metrics::tpr_at_fpr(&s, &l, 0.01).must("value")?, &w["tpr_at_fpr_le_0.01"]);
        }
        "species" => {
            let attack = |s: &Value| floats(s).iter().map(|x| 1.0 - x).collect::<Vec<f64>>();
            let species: BTreeMap<String, Vec<f64>> = input["attack_scores"]
                .as_object()
                .must("value")?
                .iter()
                .map(|(k, v)| (k.clone(), attack(v)))
                .collect();
            let got = pad::pad_rates(&species, &attack(&input["bona_fide_scores"]), 0.5).must("value")?;
            let w = want("computed");
            for (name, value) in &got.apcer {
                check.near(name, *value, &w["apcer_per_species"][name]);
            }
            check.near("worst", got.apcer_worst, &w["apcer_max"]);
            check.near("pooled", got.apcer_pooled, &w["apcer_pooled"]);
            check.near("bpcer", got.bpcer, &w["bpcer"]);
            check.near("acer worst", got.acer_worst, &w["acer_iso_max"]);
            check.near("acer pooled", got.acer_pooled, &w["acer_pooled_few_shot_fas"]);
        }
        "one class" => {
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
                check.near(key, got, &w[key]);
            }
        }
        "two classes" => {
            let (attack, bona) =
                (negative(&floats(&input["attack_scores"])), negative(&floats(&input["bona_fide_scores"])));
            for (key, limit) in [("BPCER10", 0.1), ("BPCER20", 0.05), ("BPCER100", 0.01)] {
                let (threshold, bpcer) = metrics::bpcer_at_apcer(&attack, &bona, limit).must("value")?;
                check.near(key, -threshold, &want("computed")[key]["threshold"]);
                check.near(key, bpcer, &want("computed")[key]["bpcer"]);
            }
        }
        "low fpr" => {
            let (s, l) = (floats(&input["scores"]), labels(&input["labels"]));
            let roc = Roc::new(&s, &l).must("value")?;
            check.near("exact", roc.tpr_at_fpr(5e-3), want("exact"));
            check.near("step", compat::few_shot_fas_tpr_at_fpr(&roc, 5e-3), want("sklearn_step"));
            check.near("interp", roc.tpr_at_fpr_interpolated(5e-3), want("sklearn_interp"));
        }
        "polarity" => {
            let (p, l) = (floats(&input["p_real"]), labels(&input["labels_real1"]));
            let (q, m) = (p.iter().map(|x| 1.0 - x).collect::<Vec<_>>(), flip(&l));
            check.near("auc", metrics::auc(&p, &l).must("value")?, want("auc_real_positive"));
            check.near("auc", metrics::auc(&q, &m).must("value")?, want("auc_fake_positive"));
            check.near(
                "mismatch",
                metrics::auc(&p, &m).must("value")?,
                want("auc_mismatched(fake=1 with P(real))"),
            );
            check.near("ap", metrics::average_precision(&p, &l).must("value")?, want("ap_real_positive"));
            check.near("ap", metrics::average_precision(&q, &m).must("value")?, want("ap_fake_positive"));
            for (s, l, key) in
                [(&p, &l, "few_shot_eer_real_positive"), (&q, &m, "few_shot_eer_fake_positive")]
            {
                let got = compat::few_shot_fas_eer(s, l);
                check.near(key, got.eer, &want(key)[0]);
                check.near(key, got.threshold, &want(key)[1]);
            }
        }
        "log loss" => {
            let (s, l) = (floats(&input["scores"]), labels(&input["labels"]));
            for (key, eps) in [
                ("sklearn.log_loss", calibration::LOG_LOSS_EPS),
                ("manual_eps_1e-15", 1e-15),
                ("manual_eps_1e-7", 1e-7),
            ] {
                if let Some(entry) = expected.get(key) {
                    check.near(key, metrics::log_loss(&s, &l, eps).must("value")?, &entry["value"]);
                }
            }
        }
        "batches" => {
            let (s, l) = (floats(&input["scores"]), labels(&input["labels"]));
            check.near(
                "batches",
                compat::fsfm_batch_auc(&s, &l, 2).must("value")?,
                want("mean_of_batch_auc"),
            );
            check.near("global", metrics::auc(&s, &l).must("value")?, want("global_auc"));
        }
        "macro average" => {
            let mean = summary::mean(&floats(&input["auc_pct"])).must("value")?;
            check.near("mean", mean, want("mean"));
            check.same(
                "printed",
                &summary::half_up(mean, 2).as_str(),
                &want("decimal_half_up_2").as_str().must("value")?,
            );
        }
        "divisors" => {
            let values = floats(&input["hter"]);
            let mean = summary::mean(&values).must("value")?;
            check.near("over 3", mean, want("sum_over_3"));
            check.near("over 4, the slip", mean * 3.0 / 4.0, want("sum_over_4"));
        }
        "seeds" => {
            let values = floats(&input["hter_pct"]);
            check.near("mean", summary::mean(&values).must("value")?, want("mean"));
            check.near("std", summary::std_population(&values).must("value")?, want("std_ddof0"));
            check.near("std", summary::std_sample(&values).must("value")?, want("std_ddof1"));
        }
        "spaced frames" => {
            for (i, n) in input["N"].as_array().must("value")?.iter().enumerate() {
                let got = frames::spaced(
                    n.as_u64().must("value")? as usize,
                    input["num"][i].as_u64().must("value")? as usize,
                );
                check.same("indices", &Value::from(got), &want("numpy")[i].clone());
            }
        }
        "frame pairs" => {
            for (i, n) in input["N"].as_array().must("value")?.iter().enumerate() {
                let got = frames::mcio_pair(n.as_u64().must("value")? as usize);
                check.same("pair", &Value::from(got.to_vec()), &want("computed")[i].clone());
            }
        }
        other => return Err(format!("case is not understood: {other}")),
    }
    Ok(())
}
