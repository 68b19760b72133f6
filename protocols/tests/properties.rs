//! Properties that no change may break, over random scores: what AUC is blind to, what labels do, what order and
//! names do, and the field's three mistakes.
#![allow(clippy::unwrap_used)]

use facebench_protocols::metrics::{self, EerMode, video};
use facebench_protocols::{Aggregation, Metric, Protocol, ScoreRow, Severity, evaluate};
use proptest::prelude::*;

/// Scores on a coarse grid (so that ties are common) with both classes.
fn scored() -> impl Strategy<Value = (Vec<f64>, Vec<u8>)> {
    (2usize..60)
        .prop_flat_map(|n| (prop::collection::vec(0u32..=40, n), prop::collection::vec(0u8..=1, n)))
        .prop_map(|(s, mut l)| {
            l[0] = 0;
            l[1] = 1;
            (s.into_iter().map(|x| f64::from(x) / 40.0).collect(), l)
        })
}

fn by_definition(s: &[f64], l: &[u8]) -> f64 {
    let (mut wins, mut pairs) = (0.0, 0.0);
    for (a, _) in s.iter().zip(l).filter(|(_, l)| **l == 1) {
        for (b, _) in s.iter().zip(l).filter(|(_, l)| **l == 0) {
            wins += if a > b {
                1.0
            } else if a == b {
                0.5
            } else {
                0.0
            };
            pairs += 1.0;
        }
    }
    wins / pairs
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-12
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn auc_is_the_mann_whitney_probability((s, l) in scored()) {
        let auc = metrics::auc(&s, &l).unwrap();
        prop_assert!(near(auc, by_definition(&s, &l)));
        prop_assert!(near(auc, metrics::Roc::new(&s, &l).unwrap().auc()));
        prop_assert!(near(auc, metrics::partial_auc(&s, &l, 1.0).unwrap()));
    }

    #[test]
    fn rising_transforms_change_no_rank_metric((s, l) in scored()) {
        let t: Vec<f64> = s.iter().map(|x| (3.0 * x).exp() - 7.0).collect();
        prop_assert_eq!(metrics::auc(&s, &l).unwrap(), metrics::auc(&t, &l).unwrap());
        prop_assert_eq!(metrics::eer(&s, &l).unwrap(), metrics::eer(&t, &l).unwrap());
        prop_assert_eq!(metrics::average_precision(&s, &l).unwrap(), metrics::average_precision(&t, &l).unwrap());
        prop_assert_eq!(metrics::tpr_at_fpr(&s, &l, 0.1).unwrap(), metrics::tpr_at_fpr(&t, &l, 0.1).unwrap());
    }

    #[test]
    fn swapped_labels_mirror((s, l) in scored()) {
        let flipped: Vec<u8> = l.iter().map(|x| 1 - x).collect();
        let negative: Vec<f64> = s.iter().map(|x| -x).collect();
        let auc = metrics::auc(&s, &l).unwrap();
        prop_assert!(near(metrics::auc(&s, &flipped).unwrap(), 1.0 - auc));
        prop_assert!(near(metrics::auc(&negative, &flipped).unwrap(), auc));
        prop_assert!(near(metrics::eer(&negative, &flipped).unwrap(), metrics::eer(&s, &l).unwrap()));
    }

    #[test]
    fn order_never_matters((s, l) in scored(), turn in 0usize..60) {
        let k = turn % s.len();
        let rotate = |v: &[f64]| [&v[k..], &v[..k]].concat();
        let (s2, l2) = (rotate(&s), [&l[k..], &l[..k]].concat());
        for mode in [EerMode::Interpolated, EerMode::DeepfakeBench, EerMode::FewShotFas] {
            prop_assert_eq!(metrics::eer_mode(&s, &l, mode).unwrap(), metrics::eer_mode(&s2, &l2, mode).unwrap());
        }
        prop_assert_eq!(metrics::auc(&s, &l).unwrap(), metrics::auc(&s2, &l2).unwrap());
        prop_assert_eq!(metrics::threshold_at_eer(&s, &l).unwrap(), metrics::threshold_at_eer(&s2, &l2).unwrap());
    }

    #[test]
    fn the_eer_threshold_balances_the_errors((s, l) in scored()) {
        let t = metrics::threshold_at_eer(&s, &l).unwrap();
        let gap = |t: f64| { let r = metrics::rates_at(&s, &l, t).unwrap(); (r.fpr - r.fnr).abs() };
        let best = s.iter().flat_map(|&x| [x, x.next_down()]).map(gap).fold(f64::INFINITY, f64::min);
        prop_assert!(gap(t) <= best + 1e-12, "{} {}", gap(t), best);
    }

    #[test]
    fn rates_lie_between_zero_and_one((s, l) in scored(), t in 0.0f64..1.0) {
        let r = metrics::rates_at(&s, &l, t).unwrap();
        let both = metrics::balanced_accuracy(&s, &l, t).unwrap();
        prop_assert!(near(both, 1.0 - r.hter()));
        for x in [r.fpr, r.fnr, r.accuracy, metrics::ece(&s, &l, 15).unwrap(), metrics::brier(&s, &l).unwrap()] {
            prop_assert!((0.0..=1.0).contains(&x));
        }
        prop_assert!(metrics::log_loss(&s, &l, 1e-7).unwrap() >= 0.0);
    }
}

fn row(set: &str, method: &str, video: &str, frame: u32, label: u8, score: f64) -> ScoreRow {
    ScoreRow {
        set: set.into(),
        dataset: "ffpp-c23".into(),
        method: method.into(),
        video: video.into(),
        frame,
        label,
        score,
        raw: score,
        subjects: vec![],
    }
}

/// 30 real videos and their four fakes, all fakes of one pair called alike, with a score that knows something.
fn rows(set: &str) -> Vec<ScoreRow> {
    let mut out = Vec::new();
    for i in 0..30u32 {
        for frame in 0..3 {
            let wobble = f64::from((i * 7 + frame * 3) % 17) / 40.0;
            out.push(row(set, "youtube", &format!("{i:03}"), frame, 0, 0.2 + wobble));
            for (k, method) in ["DeepFakes", "Face2Face", "FaceSwap", "NeuralTextures"].iter().enumerate() {
                out.push(row(
                    set,
                    method,
                    &format!("{i:03}_{:03}", i ^ 1),
                    frame,
                    1,
                    0.3 + wobble + 0.05 * k as f64,
                ));
            }
        }
    }
    out
}

fn dfd() -> Protocol {
    Protocol::builtin("dfd-cross").unwrap().unwrap()
}

#[test]
fn identical_names_of_four_methods_stay_four_videos() {
    let rows = rows("FF++");
    let refs: Vec<&ScoreRow> = rows.iter().collect();
    assert_eq!(video::group(&refs, Aggregation::Mean).unwrap().len(), 30 + 4 * 30);
    let p = dfd();
    let got = evaluate(&p, &p.folds[0], &rows).unwrap();
    assert_eq!(got.sets[0].videos, [30, 120]);
    assert_eq!(got.sets[0].frames, [90, 360]);
}

#[test]
fn the_order_of_rows_changes_no_bit() {
    let p = dfd();
    let mut rows = [rows("FF++"), rows("dev")].concat();
    let first = evaluate(&p, &p.folds[0], &rows).unwrap();
    rows.reverse();
    rows.swap(3, 77);
    assert_eq!(evaluate(&p, &p.folds[0], &rows).unwrap(), first);
    let m = &first.sets[0];
    let ci = m.video_auc_ci.unwrap();
    assert!(ci.low < m.video_auc && m.video_auc < ci.high && ci.high - ci.low > 0.01, "{m:?}");
    assert!(m.frame_auc_ci.is_some() && m.video_eer_ci.is_some() && m.hter_dev_ci.is_some());
    assert_eq!(m.hter_dev, Some(m.hter_oracle), "the same scores in dev and test");
}

#[test]
fn the_threshold_of_the_test_set_is_called_oracle_everywhere() {
    assert!(Metric::HterOracle.label().contains("oracle"));
    assert!(Metric::HterDev.label().contains("dev"));
    assert_eq!(serde_json::to_value(Metric::HterOracle).unwrap(), "hter-oracle");
    let p = dfd();
    let without_dev = evaluate(&p, &p.folds[0], &rows("FF++")).unwrap();
    assert_eq!(
        without_dev.sets[0].hter_dev, None,
        "no HTER without a development set, whatever the test set says"
    );
    assert!(without_dev.findings.iter().any(|f| f.code == "no-dev"));
    let json = serde_json::to_value(&without_dev.sets[0]).unwrap();
    let names: Vec<&String> = json.as_object().unwrap().keys().filter(|k| k.contains("hter")).collect();
    assert_eq!(names, ["hter_dev", "hter_dev_ci", "hter_oracle"]);
}

#[test]
fn two_lists_of_celeb_df_never_share_a_column() {
    let p = dfd();
    assert!(p.folds[0].tests.iter().any(|t| t.name == "CDFv2-noYT" && t.select[0].dataset == "cdfv2-noyt"));
    let error = evaluate(&p, &p.folds[0], &rows("CDFv2")).unwrap_err().to_string();
    assert!(error.contains("scores of set \"CDFv2\"") && error.contains("CDFv2-noYT"), "{error}");
}

fn codes(rows: &[ScoreRow], protocol: &Protocol) -> Vec<(Severity, String)> {
    let found = evaluate(protocol, &protocol.folds[0], rows).unwrap().findings;
    found.into_iter().map(|f| (f.severity, f.code)).collect()
}

#[test]
fn audits_find_what_is_wrong() {
    let p = dfd();
    let has = |found: &[(Severity, String)], s: Severity, code: &str| found.contains(&(s, code.to_owned()));
    let fine = codes(&[rows("FF++"), rows("dev")].concat(), &p);
    assert!(!fine.iter().any(|(s, _)| *s == Severity::Stop), "{fine:?}");
    assert!(has(&fine, Severity::Warn, "missing-set"), "four of five sets have no scores");

    let map = |set: &str, change: fn(&ScoreRow) -> (f64, f64)| -> Vec<ScoreRow> {
        rows(set)
            .into_iter()
            .map(|r| {
                let (score, raw) = change(&r);
                ScoreRow { score, raw, ..r }
            })
            .collect()
    };
    let swapped = |r: &ScoreRow| (1.0 - r.score, -r.raw);
    assert!(has(&codes(&map("FF++", swapped), &p), Severity::Stop, "polarity"), "in-domain");
    assert!(
        has(&codes(&map("DFDC", swapped), &p), Severity::Warn, "polarity"),
        "elsewhere it can be the truth"
    );
    assert!(has(&codes(&map("DFDC", |_| (0.5, 0.0)), &p), Severity::Stop, "constant-scores"));
    let saturated = map("DFDC", |r| if r.score > 0.4 { (1.0, r.raw) } else { (r.score, r.raw) });
    assert!(has(&codes(&saturated, &p), Severity::Warn, "saturated-scores"));
    let low = map("DFDC", |r| ((r.score + f64::from(r.label)) * 0.2, r.raw));
    assert!(has(&codes(&low, &p), Severity::Note, "uncalibrated"));
    let oracle = Protocol { selection: facebench_protocols::Selection::Oracle, ..p.clone() };
    assert!(has(&codes(&rows("FF++"), &oracle), Severity::Stop, "oracle-selection"));
    let few: Vec<ScoreRow> = rows("FF++").into_iter().filter(|r| r.video.as_str() < "010").collect();
    assert!(has(&codes(&few, &p), Severity::Note, "few-videos"));
}

#[test]
fn audits_find_other_lists_and_turned_labels_and_leave_four_videos_alone() {
    let p = dfd();
    let found = |rows: &[ScoreRow], code: &str| {
        let all = evaluate(&p, &p.folds[0], rows).unwrap().findings;
        all.into_iter().find(|f| f.code == code)
    };
    let named = |dataset: &str, real: &str| -> Vec<ScoreRow> {
        let method = |r: &ScoreRow| if r.label == 0 { real.to_owned() } else { r.method.clone() };
        rows("DFDC")
            .into_iter()
            .map(|r| ScoreRow { dataset: dataset.into(), method: method(&r), ..r })
            .collect()
    };
    let right = named("dfdc", "real");
    assert!(found(&right, "other-dataset").is_none() && found(&right, "real-as-fake").is_none());
    let other = found(&named("dfdcc", "real"), "other-dataset").unwrap();
    assert_eq!(other.severity, Severity::Warn);
    assert!(
        other.message.contains("450 of 450 frames are of data set dfdcc, the protocol takes dfdc"),
        "{other:?}"
    );
    let turned: Vec<ScoreRow> =
        right.iter().map(|r| ScoreRow { label: 1 - r.label, score: 1.0 - r.score, ..r.clone() }).collect();
    let turned = found(&turned, "real-as-fake").unwrap();
    assert!(turned.severity == Severity::Stop && turned.message.contains("`--positive real`"), "{turned:?}");

    // a set of so many real and fake videos, all in the wrong order
    let frame = right[0].frame;
    let wrong = |n: usize| -> Vec<ScoreRow> {
        let of = |label: u8| right.iter().filter(move |r| r.label == label && r.frame == frame).take(n);
        let all = of(0).map(|r| (0.9, r)).chain(of(1).map(|r| (0.1, r)));
        all.map(|(score, r)| ScoreRow { score, raw: score, ..r.clone() }).collect()
    };
    assert!(found(&wrong(2), "polarity").is_none(), "one time in six");
    assert!(found(&wrong(6), "polarity").is_some());
}

#[test]
fn coverage_and_published_sizes_are_compared_when_known() {
    use facebench_protocols::evaluate::Options;
    use facebench_protocols::{Assembled, Sample, Split, evaluate_with};
    let p = dfd();
    let rows = rows("FF++");
    let mut expected: Vec<Sample> = rows
        .iter()
        .map(|r| Sample {
            dataset: r.dataset.clone(),
            method: r.method.clone(),
            video: r.video.clone(),
            frame: r.frame,
            label: r.label,
            split: Split::Test,
            subjects: vec![],
            path: "x.png".into(),
        })
        .collect();
    let assembled = |samples: Vec<Sample>| Assembled {
        train: vec![],
        dev: vec![],
        tests: vec![(p.folds[0].tests[0].clone(), samples)],
        synthetic: false,
    };
    let run = |samples: Vec<Sample>| {
        let all = assembled(samples);
        let options = Options { expected: Some(&all), synthetic: Some(false), ..Options::default() };
        evaluate_with(&p, &p.folds[0], &rows, &options).unwrap().findings
    };
    let found = |samples: Vec<Sample>, code: &str| run(samples).into_iter().find(|f| f.code == code);
    assert!(found(expected.clone(), "coverage").is_none());
    assert!(found(expected.clone(), "published-size").unwrap().message.contains("140 real + 560 fake"));
    let extra = Sample { video: "never scored".into(), ..expected[0].clone() };
    expected.push(extra);
    let message = found(expected.clone(), "coverage").unwrap().message;
    assert_eq!(message, "FF++: 1 of 451 expected frames have no score (150 of 151 videos are there)");
    assert_eq!(found(expected.split_off(10), "unexpected-samples").unwrap().severity, Severity::Stop);
}

#[test]
fn people_and_attack_species_have_numbers_of_their_own() {
    let fas = Protocol::builtin("fas-mcio").unwrap().unwrap();
    let fold = &fas.folds[0];
    let mut all = Vec::new();
    for set in ["dev", fold.tests[0].name.as_str()] {
        for person in 0..24_u32 {
            for (method, label, score) in [("live", 0, 0.2), ("print", 1, 0.9), ("replay", 1, 0.6)] {
                let wobble = f64::from(person * 7 % 12) / 60.0;
                // every third replay looks live
                let score = if method == "replay" && person % 3 == 0 { 0.1 } else { score };
                let video = format!("{method}{person}");
                let mut row = row(set, method, &video, 0, label, (score + wobble).min(1.0));
                row.subjects = vec![format!("p{person}")];
                all.push(row);
            }
        }
    }
    let got = evaluate(&fas, fold, &all).unwrap();
    let m = &got.sets[0];
    let people = m.subjects.as_ref().unwrap();
    assert_eq!((people.units, people.groups), ([24, 24], 24), "a person counts once per class");
    assert!(people.auc > m.video_auc, "print and replay of a person are averaged");
    let [wide, narrow] = [people.video_auc_ci.unwrap(), m.video_auc_ci.unwrap()];
    assert!(wide.low <= m.video_auc && m.video_auc <= wide.high && narrow.low <= m.video_auc);
    let pad = m.pad.as_ref().unwrap();
    let at = pad.at_dev.as_ref().unwrap();
    assert_eq!(at.worst, "replay");
    assert!(
        (at.apcer_worst - 2.0 * at.apcer_pooled).abs() < 1e-12,
        "all misses are replays, half of the attacks"
    );
    assert!((at.acer_worst - f64::midpoint(at.apcer_worst, at.bpcer)).abs() < 1e-12);
    assert!(pad.bpcer[0] <= pad.bpcer[1] && pad.bpcer[1] <= pad.bpcer[2]);
    assert!(m.brier > 0.0 && (0.0..=1.0).contains(&m.video_pauc10));
    all[0].subjects.clear();
    let unnamed = evaluate(&fas, fold, &all).unwrap();
    assert!(unnamed.dev.unwrap().subjects.is_none(), "one video without names: no number over people");
    assert!(evaluate(&dfd(), &dfd().folds[0], &rows("FF++")).unwrap().sets[0].pad.is_none());
}
